"""Runs recipes with their output directories in a temporary directory."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

TONES = {"LOW": 300.0, "HIGH": 1500.0}
ROOT = Path(__file__).resolve().parents[2]


class Recipe:
    """A recipe with downloads, data, dump and exp under `folder`."""

    def __init__(self, name: str, folder: Path):
        self.script, self.folder = ROOT / "egs" / name / "run.sh", folder

    def __call__(self, *options: str) -> str:
        """Runs the recipe and returns its output. AssertionError with the end of the output if it fails."""
        folders = [word for name, place in self._folders() for word in (name, str(place))]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run([self.script, *folders, *options], capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def _folders(self):
        for option, name in (("download_dir", "downloads"), ("datadir", "data"), ("dumpdir", "dump"), ("expdir", "exp")):
            yield f"--{option}", self.folder / name

    def result(self, tag: str, test_set: str, kind: str = "wer", mode: str = "greedy") -> dict:
        return json.loads((self.folder / "exp" / tag / f"decode_{mode}" / test_set / f"score_{kind}" / "result.json").read_text())


@pytest.fixture
def recipe(tmp_path):
    """recipe("librispeech/deepspeech2")"""
    return lambda name: Recipe(name, tmp_path)


@pytest.fixture
def tones(tmp_path):
    """Kaldi directories train, dev and test under my/: two words, each a tone, in noise, at 8 kHz."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 12), ("dev", 4), ("test", 4)):
        folder = tmp_path / "my" / name
        folder.mkdir(parents=True)
        rows = []
        for i in range(count):
            words = rng.choice(list(TONES), 2)
            audio = np.concatenate([np.sin(2 * np.pi * TONES[word] * np.arange(4000) / 8000) for word in words])
            path = tmp_path / "my" / f"{name}-{i:02d}.wav"
            soundfile.write(path, 0.3 * audio + 0.01 * rng.normal(size=audio.size), 8000)
            rows.append((f"s{i % 2}-{name}{i:02d}", path, " ".join(words), f"s{i % 2}"))
        for table, column in (("wav.scp", 1), ("text", 2), ("utt2spk", 3)):
            (folder / table).write_text("".join(f"{row[0]} {row[column]}\n" for row in sorted(rows)))
    return tmp_path / "my"
