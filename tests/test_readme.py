"""The Python snippets of README.md run as they are written there; hidden states are the same in both frameworks."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import asrlib
from asrlib.bin import convert
from asrlib.config.base import save_config
from asrlib.ms.checkpoint.weights import network_arrays
from asrlib.ms.models import make_network
from asrlib.utils.arrays import save_arrays
from tests.ms.inference.test_upstream import configuration
from tests.pt.test_export import DEEPSPEECH2, experiment

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TRANSCRIBING, STREAMING, OURS, S3PRL = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SAVE = """
import numpy
numpy.save("states.npy", numpy.stack([numpy.asarray(state).reshape(-1, state.shape[-1]) for state in states]))
"""
RENAMED = {"progre": {}, "large": {"progre_local": "hubert_local", "progre.pt": "s3prl.pt"}}


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "ONEDNN_MAX_CPU_ISA"} | {"PYTHONPATH": str(ROOT)}


def run(snippet: str, folder: Path) -> np.ndarray:
    """The states (S, frames, D) that a snippet gives in a folder with exp/progre_base and speech.wav."""
    done = subprocess.run([sys.executable, "-c", snippet + SAVE], cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return np.load(folder / "states.npy")


def test_transcribing(tmp_path):
    """Of a model that has its PyTorch twin alone."""
    experiment(tmp_path / "exp/deepspeech2", DEEPSPEECH2)
    soundfile.write(tmp_path / "speech.wav", 0.1 * np.random.default_rng(0).normal(size=4000), 2000)
    done = subprocess.run([sys.executable, "-c", TRANSCRIBING], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    text, *lines = done.stdout.splitlines()
    words, hypotheses = [line.split() for line in lines[: len(text.split())]], lines[len(text.split()) :]
    assert text and [word[3] for word in words] == text.split() and all(0 <= float(word[0]) < float(word[1]) <= 2 for word in words)
    assert len(hypotheses) == 3 and hypotheses[0].split()[1:] == text.split()


def test_streaming(tmp_path):
    experiment(tmp_path / "exp/streaming", f"{DEEPSPEECH2} model_conf.bidirectional=false features.normalize_causal=true")
    soundfile.write(tmp_path / "speech.wav", 0.1 * np.random.default_rng(0).normal(size=6000), 2000)
    done = subprocess.run([sys.executable, "-c", STREAMING], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    expected = asrlib.load(tmp_path / "exp/streaming", framework="pytorch").transcribe(tmp_path / "speech.wav").text
    assert lines[-1] == expected and len(lines) == 31 and all(expected.startswith(line) for line in lines)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[] if kind == "progre" else pytest.mark.recipe) for kind in RENAMED])
def test_hidden_states_in_both_frameworks(kind, tmp_path):
    """large: HuBERT with pre-normalisation and normalised waveforms; the words that README.md names for the other models are put in."""
    config = configuration(kind, *(["model_conf.normalize=true"] if kind == "large" else []))
    exp = tmp_path / "exp/progre_base"
    save_config(config, exp / "config.yaml")
    save_arrays(exp / "model.safetensors", network_arrays(make_network(config)))
    convert.main(["--exp_dir", str(exp)])
    time = np.arange(9000) / 16000
    noise = np.random.default_rng(0).normal(size=9000)
    soundfile.write(tmp_path / "speech.wav", 0.3 * np.sin(2 * np.pi * 150 * time) + 0.02 * noise, 16000)
    torch_snippet = S3PRL
    for old, new in RENAMED[kind].items():
        torch_snippet = torch_snippet.replace(old, new)
    ours, theirs = run(OURS, tmp_path), run(torch_snippet, tmp_path)
    frames = config.model_conf.frames(9000)
    assert ours.shape == (6 if kind == "progre" else 4, frames, 32) and frames <= theirs.shape[1] <= 29
    assert np.abs(ours).mean(axis=(1, 2)).min() > 0.01
    for index, (mine, other) in enumerate(zip(ours, theirs[:, :frames], strict=True)):
        assert np.abs(mine - other).mean() <= 5e-6 * np.abs(mine).mean(), index
