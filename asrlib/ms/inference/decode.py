"""Decoding of dump directories: hypotheses and real-time factors."""

import time
from collections.abc import Sequence
from pathlib import Path

from asrlib.config.features import FeatureConfig
from asrlib.corpora.kaldi_table import read_table
from asrlib.decode.beam import BeamConfig, Hypothesis
from asrlib.decode.run import decode_nbest, write_hypotheses
from asrlib.features.ark import read_matrix
from asrlib.ms.inference.acoustic import AcousticModel
from asrlib.utils.errors import UserError
from asrlib.utils.parallel import cores

CHUNK_FRAMES = 2_000_000  # features held at once: 1.3 GB, more than five hours of speech


def decode_dumps(
    model: AcousticModel, data_dirs: Sequence[Path], out: Path, modes: Sequence[str], beam: BeamConfig, nj: int = 0, nbest: int = 0
) -> None:
    """Writes OUT/decode_MODE/SET/text (`utterance words`, a line per utterance) and rtf.json for each mode (greedy, beam) and dump directory.

    nbest: see write_hypotheses. UserError: a directory has no features.
    """
    for data_dir in data_dirs:
        if not (data_dir / "feats.scp").exists():
            raise UserError(f"{data_dir / 'feats.scp'} is missing: run stage 2")
    for data_dir in data_dirs:
        _decode_dump(model, data_dir, {mode: out / f"decode_{mode}" / data_dir.name for mode in modes}, beam, nj or cores(), nbest)


def _decode_dump(model: AcousticModel, data_dir: Path, folders: dict[str, Path], beam: BeamConfig, nj: int, nbest: int) -> None:
    """folders: mode -> output folder. The network runs once for all modes."""
    locations, frames = (read_table(data_dir / name).rows for name in ("feats.scp", "utt2num_frames"))
    tokenizer, network_seconds, clips = model.tokenizer, 0.0, _clips(data_dir, model.config.features)
    hypotheses: dict[str, dict[str, list[Hypothesis]]] = {mode: {} for mode in folders}
    search_seconds = dict.fromkeys(folders, 0.0)
    for chunk in _chunks({utt: int(frames[utt]) for utt in locations}):
        feats = [read_matrix(locations[utt], f"utterance {utt}", model.config.features.dim) for utt in chunk]
        start = time.perf_counter()
        log_probs = [x[:0] if utt in clips else x for utt, x in zip(chunk, model.log_probs(feats), strict=True)]
        network_seconds += time.perf_counter() - start
        for mode in folders:
            start = time.perf_counter()
            found = decode_nbest(log_probs, tokenizer.tokens, tokenizer.blank, mode, beam, nj, tokenizer.separator)
            search_seconds[mode] += time.perf_counter() - start
            hypotheses[mode] |= dict(zip(chunk, found, strict=True))
    audio = sum(int(frames[utt]) for utt in locations) * model.config.features.window_stride
    for mode, folder in folders.items():
        seconds = {"network_seconds": round(network_seconds, 3), "search_seconds": round(search_seconds[mode], 3)}
        write_hypotheses(folder, hypotheses[mode], tokenizer.tokens, nbest, audio, network_seconds + search_seconds[mode], seconds)


def _clips(data_dir: Path, config: FeatureConfig) -> set[str]:
    """Utterances shorter than a window, which have a frame but no text (asrlib.ms.inference.acoustic.CtcTranscriber)."""
    seconds = read_table(data_dir / "utt2dur").rows if (data_dir / "utt2dur").exists() else {}
    return {utt for utt, value in seconds.items() if round(float(value) * config.sample_rate) < config.window_samples}


def _chunks(frames: dict[str, int]):
    """Lists of utterances of about CHUNK_FRAMES frames."""
    chunk, total = [], 0
    for utt, count in frames.items():
        chunk.append(utt)
        total += count
        if total >= CHUNK_FRAMES:
            yield chunk
            chunk, total = [], 0
    if chunk:
        yield chunk
