"""A corpus of tones at 2 kHz and a network small enough to be compiled in seconds."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asrlib.config.ctc import TrainConfig
from asrlib.config.families import load_train_config
from asrlib.corpora.kaldi_table import write_table
from asrlib.features.extract import extract
from asrlib.ms import kernels
from asrlib.text.tokenizers import CharTokenizer

RATE = 2000
TINY = (
    f"features.sample_rate={RATE}",  # 21 bins
    "model_conf.conv_channels=2",
    "model_conf.hidden_size=8",
    "model_conf.hidden_layers=2",
    "batch.batch_size=4",
    "batch.buckets=2",
    "optim.name=adamw",
    "optim.learning_rate=1e-2",
    "schedule.name=cosine",
    "trainer.epochs=3",
    "trainer.log_interval=1",
)
TONES = {"A": 200, "B": 400, "C": 700}
TRAIN = ["AB", "BA C", "CAB", "A", "BB CA", "ACB", "C A", "BACA", "CC", "AB C"]
VALID = ["BC", "CAB A", "AC"]


def tiny_config(*overrides: str) -> TrainConfig:
    """The small configuration with changes ("section.key=value")."""
    return load_train_config(None, [*TINY, *overrides])


@pytest.fixture(scope="session")
def tiny() -> Callable[..., TrainConfig]:
    return tiny_config


@pytest.fixture(scope="session")
def tokenizer() -> CharTokenizer:
    return CharTokenizer(["A", "B", "C", "<space>", "<blank>"])


def sing(text: str, rng: np.random.Generator) -> np.ndarray:
    """0.2 s of a tone for a letter, 0.1 s of silence for a space, and some noise."""
    parts = [0.3 * np.sin(2 * np.pi * TONES.get(c, 0) * np.arange(int((0.1 if c == " " else 0.2) * RATE)) / RATE) for c in text]
    return np.concatenate(parts) + 0.01 * rng.normal(size=sum(map(len, parts)))


def make_dump(folder: Path, name: str, texts: Sequence[str]) -> Path:
    """folder/dump/name with features of utterances NAME-0, NAME-1, ..., the tones of the texts."""
    data, wavs, rng = folder / "data" / name, folder / "wav", np.random.default_rng(len(texts))
    wavs.mkdir(parents=True, exist_ok=True)
    tables: dict[str, dict[str, str]] = {"wav.scp": {}, "text": {}, "utt2spk": {}}
    for i, text in enumerate(texts):
        utt = f"{name}-{i}"
        soundfile.write(wavs / f"{utt}.wav", sing(text, rng), RATE)
        tables["wav.scp"][utt], tables["text"][utt], tables["utt2spk"][utt] = str(wavs / f"{utt}.wav"), text, name
    for table, rows in tables.items():
        write_table(data / table, rows)
    extract(data, folder / "dump" / name, tiny_config().features)
    return folder / "dump" / name


@pytest.fixture(scope="session")
def dump(tmp_path_factory, tokenizer) -> Path:
    """Dump directories train and valid, and tokens.txt; read-only."""
    folder = tmp_path_factory.mktemp("tones")
    for name, texts in (("train", TRAIN), ("valid", VALID)):
        make_dump(folder, name, texts)
    tokenizer.save(folder / "dump" / "tokens.txt")
    return folder / "dump"


@pytest.fixture
def own_dump(tmp_path) -> Callable[..., Path]:
    """own_dump(texts): a new dump directory."""
    return lambda texts, name="train": make_dump(tmp_path, name, texts)


AUGMENTED = ("augment.spec_augment=true", "augment.speed_volume_perturb=true", "augment.speed_min=1.0", "batch.buckets=1")


def train_arguments(dump: Path, exp_dir: Path, *overrides: str) -> list[str]:
    """argv of asrlib.bin.train for the tones: augmented, one padded length, three epochs."""
    config = dump.parent / "train.yaml"
    config.write_text("")
    arguments = ["--train_config", config, "--train_dir", dump / "train", "--valid_dir", dump / "valid", "--tokens", dump / "tokens.txt"]
    return [*map(str, arguments), "--exp_dir", str(exp_dir), "--train_args", " ".join([*TINY, *AUGMENTED, *overrides])]


@pytest.fixture(scope="session")
def trained(dump) -> Path:
    """exp_dir of an uninterrupted training; read-only."""
    from asrlib.bin import train

    exp_dir = dump.parent / "exp"
    train.main(train_arguments(dump, exp_dir))
    return exp_dir


@pytest.fixture(params=[True, False], ids=["compiled", "plain"])
def compiled(request, monkeypatch) -> bool:
    """Whether layers, step and optimizers of this test use compiled kernels."""
    if request.param and kernels.library() is None:
        pytest.skip("no C++ compiler on this machine")
    if not request.param:
        monkeypatch.setenv("ASRLIB_KERNELS", "0")
    return request.param
