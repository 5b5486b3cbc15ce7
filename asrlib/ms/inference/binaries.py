"""Binary inputs and outputs of an exported model, one utterance per file, as the Ascend 310 programs of MindSpore's model zoo read and write them.

preprocess_Result/00_data/N.bin: features (1, T, F) float32; 01_lengths/N.bin: frames (1,) int32; utterances.tsv: N, utterance, T, frames.
result_Files/N_0.bin: log-probabilities (1, T', V) float32; N_1.bin: frames of the output (1,) int32.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrlib.corpora.kaldi_table import read_table
from asrlib.features.ark import read_matrix
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_directory, atomic_write
from asrlib.utils.progress import progress

DATA, LENGTHS, UTTERANCES = "00_data", "01_lengths", "utterances.tsv"
Model = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]  # (1, T, F), (1,) -> (1, T', V), (1,)


class Row(NamedTuple):
    """An utterance: number (its files' name), id, frames of the input with and without padding."""

    number: str
    utt: str
    padded: int
    frames: int


def write_inputs(dump_dir: Path, out: Path, dim: int, frames: int = 0) -> int:
    """Writes the features of a dump directory to OUT; the number of utterances.

    frames: length that every input is padded to, for a graph of fixed shape; 0: none. UserError: no features; an utterance is longer than `frames`.
    """
    if not (dump_dir / "feats.scp").exists():
        raise UserError(f"{dump_dir / 'feats.scp'} is missing: run stage 2")
    locations = read_table(dump_dir / "feats.scp").rows
    rows = []
    with atomic_directory(out) as folder:
        for name in (DATA, LENGTHS):
            (folder / name).mkdir()
        for number, (utt, location) in enumerate(progress(locations.items(), desc="binary inputs", total=len(locations), unit="utt", delay=2)):
            feats = read_matrix(location, f"utterance {utt}", dim)
            row = Row(f"{number:07d}", utt, frames or len(feats), len(feats))
            if row.frames > row.padded:
                raise UserError(f"utterance {utt} has {row.frames} frames, more than --frames {frames}: export a longer graph and give its length")
            np.pad(feats, ((0, row.padded - row.frames), (0, 0)))[None].tofile(folder / DATA / f"{row.number}.bin")
            np.array([row.frames], np.int32).tofile(folder / LENGTHS / f"{row.number}.bin")
            rows.append(row)
        with atomic_write(folder / UTTERANCES) as stream:
            stream.writelines("\t".join(map(str, row)) + "\n" for row in rows)
    return len(rows)


def read_rows(folder: Path) -> list[Row]:
    """The utterances of a folder of inputs. UserError: it is none."""
    path = folder / UTTERANCES
    if not path.is_file():
        raise UserError(f"{path} is missing: give a folder that preprocess has written")
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return [Row(number, utt, int(padded), int(frames)) for number, utt, padded, frames in rows]


def infer(model: Model, inputs: Path, out: Path) -> int:
    """Runs `model` over the inputs and writes its outputs to OUT; the number of utterances."""
    rows = read_rows(inputs)
    with atomic_directory(out) as folder:
        for row in progress(rows, desc="inference", unit="utt"):
            feats = _read(inputs / DATA / f"{row.number}.bin", np.float32).reshape(1, row.padded, -1)
            for i, output in enumerate(model(feats, _read(inputs / LENGTHS / f"{row.number}.bin", np.int32))):
                np.ascontiguousarray(output).tofile(folder / f"{row.number}_{i}.bin")
    return len(rows)


def read_outputs(inputs: Path, results: Path, vocab_size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Utterance and log-probabilities (T', V), without padding, of every input. UserError: a result is missing or has another size."""
    for row in read_rows(inputs):
        path = results / f"{row.number}_0.bin"
        scores, lengths = _read(path, np.float32), _read(results / f"{row.number}_1.bin", np.int32)
        if scores.size % vocab_size or lengths.size != 1 or not 0 <= lengths[0] <= scores.size // vocab_size:
            found = f"{scores.size} values and length {lengths.tolist()}"
            raise UserError(f"{path} (utterance {row.utt}): {found} do not fit {vocab_size} labels: run infer again with the model of --exp_dir")
        yield row.utt, scores.reshape(-1, vocab_size)[: lengths[0]]


def _read(path: Path, kind: type) -> np.ndarray:
    if not path.is_file():
        raise UserError(f"{path} is missing: run the step before again, which writes a file for every utterance")
    return np.fromfile(path, kind)
