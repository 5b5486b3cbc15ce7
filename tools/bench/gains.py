"""What usual advice for faster or smaller training gains on this machine. The first case of each table is the one without the measure.

Training (one update of the same utterances): base; fp16; accumulate, the batch in four parts; recompute, gradient checkpointing; small, half as many
units.
Data (reading all utterances once): waveforms, features computed each time; archives and mindrecord, features computed once.
Extraction (the command, features of all utterances): processes_1 and processes_2.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from common import ONE_THREAD, Case, chosen, measure, parser, table
from train_step import LABELS, ROOT, Shape

from asrlib.config.ctc import TrainConfig
from asrlib.config.families import load_train_config
from asrlib.corpora.audio import write_wav
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.features.compute import compute
from asrlib.features.extract import extract
from asrlib.utils.cli import run

PARTS = 4
MEASURES = {
    "base": [],
    "fp16": ["trainer.precision=fp16"],
    "accumulate": [f"optim.accumulate={PARTS}"],
    "recompute": ["trainer.recompute=true"],
}


def training(config: TrainConfig, shape: Shape) -> Callable[[], float]:
    """One update: optim.accumulate batches, which share the utterances of `shape`."""
    import asrlib.ms  # noqa: F401  (caps oneDNN before mindspore is imported)

    import mindspore as ms  # isort: skip
    from asrlib.ms.models import make_network
    from asrlib.ms.objectives.ctc import CtcLoss
    from asrlib.ms.training import loss_scale
    from asrlib.ms.training.optim import make_optimizer
    from asrlib.ms.training.run import set_precision
    from asrlib.ms.training.step import TrainStep

    ms.set_context(mode=ms.GRAPH_MODE)
    network, parts = make_network(config, LABELS), config.optim.accumulate
    set_precision(network, config)
    half = config.trainer.precision == "fp16"
    step = TrainStep(network, CtcLoss(network, LABELS - 1), make_optimizer(network, config.optim), config.optim, half)
    step.loss_scale = loss_scale.start(config.trainer)
    part = Shape(shape.utterances // parts, shape.frames, shape.labels)
    weights, share, seed = np.full(part.utterances, 1 / part.utterances, np.float32), np.array(1 / parts, np.float32), np.array(1, np.int32)
    inputs = *part.batch(config.features.dim), weights, share, seed

    def update() -> float:
        return float([step(config.optim.learning_rate, number == parts, *inputs)[0][0] for number in range(1, parts + 1)][-1])

    return update


def reading(source: str, dump_dir: Path, config: TrainConfig) -> Callable[[], int]:
    """Frames of all utterances, with features computed from the audio, or read from archives or shards."""
    from asrlib.features.ark import read_matrix
    from asrlib.ms.data.mindrecord import Shards

    dim = config.features.dim
    if source == "mindrecord":
        shards, utts = Shards.find(dump_dir, dim), list(read_table(dump_dir / "feats.scp").rows)
        assert shards is not None
        return lambda: sum(len(feats) for feats in shards.read(utts))
    if source == "archives":
        locations = read_table(dump_dir / "feats.scp").rows
        return lambda: sum(len(read_matrix(location, utt, dim)) for utt, location in locations.items())
    utterances = list(KaldiDir.read(dump_dir).utterances())
    return lambda: sum(len(compute(utterance.audio(config.features.sample_rate), config.features)) for utterance in utterances)


def extraction(data_dir: Path, train_config: Path, nj: int) -> Callable[[], float]:
    """Frames that the command extracts with `nj` processes."""
    dump_dir = data_dir.parent / f"dump_{nj}"
    command = [sys.executable, "-m", "asrlib.bin.extract_features", "--train_config", train_config, "--data_dir", data_dir, "--dump_dir", dump_dir]

    def extracted() -> float:
        subprocess.run([*map(str, command), "--nj", str(nj)], cwd=ROOT, check=True, capture_output=True)
        return sum(map(int, read_table(dump_dir / "utt2num_frames").rows.values()))

    return extracted


def corpus(folder: Path, utterances: int, seconds: float, config: TrainConfig) -> tuple[Path, Path]:
    """A Kaldi directory of noise, and its dump directory with archives and shards."""
    from asrlib.ms.data.mindrecord import write_shards

    rate, rng = config.features.sample_rate, np.random.default_rng(0)
    tables: dict[str, dict[str, str]] = {"wav.scp": {}, "text": {}, "utt2spk": {}}
    for i in range(utterances):
        utt, wav = f"noise-{i:04d}", folder / "wav" / f"{i:04d}.wav"
        write_wav(wav, 0.1 * rng.normal(size=int(seconds * rate)), rate)
        tables["wav.scp"][utt], tables["text"][utt], tables["utt2spk"][utt] = str(wav), "A", "noise"
    for name, rows in tables.items():
        write_table(folder / "data" / name, rows)
    extract(folder / "data", folder / "dump", config.features, nj=1)
    write_shards(folder / "dump", 1, nj=1)
    return folder / "data", folder / "dump"


def main(argv=None) -> None:
    options = parser(__doc__, (*MEASURES, "small", "waveforms", "archives", "mindrecord", "processes_1", "processes_2"), repeats=5)
    options.add_argument("--train_config", type=Path, default=ROOT / "conf" / "deepspeech2.yaml", help="configuration of network and optimizer")
    options.add_argument("--train_args", nargs="*", default=[], help="keys of the configuration to override, key=value")
    options.add_argument("--batch_size", type=int, default=8, help="utterances of an update")
    options.add_argument("--frames", type=int, default=300, help="frames of an utterance in training")
    options.add_argument("--utterances", type=int, default=100, help="utterances of 10 s that are read")
    args = options.parse_args(argv)
    load = partial(load_train_config, args.train_config)
    config, shape = load(args.train_args), Shape(args.batch_size, args.frames, args.frames // 8)
    small = f"model_conf.hidden_size={config.model_conf.hidden_size // 2}"
    measures = MEASURES | {"small": [small]}
    with tempfile.TemporaryDirectory() as folder:
        data_dir, dump_dir = corpus(Path(folder), args.utterances, 10.0, config)
        groups = {
            "training": [Case(name, training, (load([*args.train_args, *keys]), shape)) for name, keys in measures.items()],
            "data": [Case(name, reading, (name, dump_dir, config), env=ONE_THREAD) for name in ("waveforms", "archives", "mindrecord")],
            "extraction": [Case(f"processes_{nj}", extraction, (data_dir, args.train_config.resolve(), nj), env=ONE_THREAD) for nj in (1, 2)],
        }
        names = [case.name for case in chosen([case for cases in groups.values() for case in cases], args.cases)]
        for title, cases in groups.items():
            if wanted := [case for case in cases if case.name in names]:
                print(f"{title}:\n{table(measure(wanted, args.repeats), 'loss' if title == 'training' else 'frames')}\n", flush=True)


if __name__ == "__main__":
    run(main)
