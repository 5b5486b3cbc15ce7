"""asrlib.load on every kind of model: the same texts in every framework, from experiments that have been moved, and from packed models."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

import asrlib
from asrlib.bin import pack
from asrlib.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
FRAMEWORKS = ("pytorch", "onnx", "mindspore", "mindir")
SLOW = pytest.mark.recipe  # exporting takes half a minute: not in every run of all tests
# What a program with a packed model is: ten lines that know nothing of the model.
SCRIPT = """
import sys
import asrlib

model = asrlib.load("model.zip")
result = model.transcribe("talk.wav", mode=sys.argv[1], nbest=2)
print(result.text)
print([(word.text, round(word.begin, 2), round(word.end, 2), round(word.confidence, 2)) for word in result.words])
print([(hypothesis.text, round(hypothesis.score, 2)) for hypothesis in result.nbest])
print(model.framework, *sorted({"mindspore", "torch", "onnxruntime", "espnet2"} & sys.modules.keys()))
"""


def described(result):
    words = [(word.text, round(word.begin, 2), round(word.end, 2), round(word.confidence, 2)) for word in result.words]
    return result.text, words, [(hypothesis.text, round(hypothesis.score, 2)) for hypothesis in result.nbest]


def elsewhere(model: Path, folder: Path, audio, rate, mode: str) -> list[str]:
    """What the script prints in a new process, in a folder with the packed model and a recording."""
    folder.mkdir()
    shutil.move(model, folder / "model.zip")
    soundfile.write(folder / "talk.wav", audio, rate, subtype="FLOAT")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT, mode], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-4:]  # ESPnet prints a line when it is imported


def test_import_is_cheap():
    code = "import asrlib, sys; print(*sorted({'numpy', 'yaml', 'torch', 'mindspore', 'soundfile'} & sys.modules.keys()), asrlib.load)"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.stdout.startswith("<function load") or done.stdout.startswith(" <function load"), done.stdout + done.stderr


@pytest.fixture
def experiment(request, trained):
    """experiment(framework): the experiment, with what the framework needs."""
    return lambda framework: request.getfixturevalue("exported") if framework == "mindir" else trained


@pytest.mark.parametrize("framework", [pytest.param(name, marks=SLOW if name == "mindir" else []) for name in FRAMEWORKS[1:]])
def test_every_framework_gives_the_same(experiment, trained, tones, framework):
    """As the twin, with the language model of beam.yaml in the beam."""
    for mode in ("greedy", "beam"):
        first = asrlib.load(trained, framework="pytorch").transcribe(*tones, mode=mode, nbest=2)
        result = asrlib.load(experiment(framework), framework=framework).transcribe(*tones, mode=mode, nbest=2)
        assert len(first.text.replace(" ", "")) > 1 and first.words
        assert [h.text for h in result.nbest] == [h.text for h in first.nbest] and len(result.nbest) == (2 if mode == "beam" else 1)
        assert [word.text for word in result.words] == [word.text for word in first.words]
        for word, other in zip(result.words, first.words, strict=True):
            assert (word.begin, word.end, word.confidence) == pytest.approx((other.begin, other.end, other.confidence), abs=1e-3)
        assert [h.score for h in result.nbest] == pytest.approx([h.score for h in first.nbest], abs=1e-2)


@pytest.mark.parametrize(("inner", "framework"), [("pt", "pytorch"), ("pt/model.safetensors", "pytorch"), ("onnx", "onnx")])
def test_the_place_says_the_framework(trained, inner, framework):
    assert asrlib.load(trained / inner).framework == framework


@pytest.mark.parametrize("framework", [pytest.param(name, marks=SLOW if name == "mindir" else []) for name in FRAMEWORKS])
def test_packed_and_elsewhere(experiment, tones, tmp_path, framework):
    """In another folder, without the other frameworks."""
    trained = experiment(framework)
    pack.main([str(trained), "-o", str(tmp_path / "model.zip"), "--framework", framework])
    check_content(tmp_path / "model.zip", trained)
    text, words, nbest = described(asrlib.load(trained, framework=framework).transcribe(*tones, mode="beam", nbest=2))
    printed = elsewhere(tmp_path / "model.zip", tmp_path / "there", *tones, "beam")
    assert printed[:3] == [text, str(words), str(nbest)]
    imported = {"mindir": "mindspore", "pytorch": "torch", "onnx": "onnxruntime"}.get(framework, framework)
    assert printed[3] == f"{framework} {imported}"


def check_content(archive: Path, exp_dir: Path) -> None:
    """No place of this machine, nothing that would be unpickled."""
    with zipfile.ZipFile(archive) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    assert {"manifest.json", "config.yaml", "LICENCE.txt", "provenance.json"} <= {Path(name).name for name in contents}
    for name, content in contents.items():
        assert str(exp_dir.parents[1]).encode() not in content and str(ROOT).encode() not in content, name
        assert not content.startswith(b"\x80") and Path(name).suffix not in (".pth", ".pt", ".ckpt", ".pkl"), name
        if Path(name).suffix in (".md", ".json", ".yaml", ".txt"):
            assert not re.search(rb"(?<![\w.:/<])/(tmp|home|root|usr|opt|work)\b", content), name


def test_fine_tuned_models(finetuned, tones, tmp_path):
    """Moved without the recipe, and packed: what the experiment gives."""
    audio = soxr.resample(*tones, 16000), 16000
    model = asrlib.load(finetuned)
    assert model.modes == ("greedy", "beam", "joint", "attention", "attention_rescoring")
    expected = {mode: described(model.transcribe(*audio, mode=mode, nbest=2)) for mode in model.modes}
    assert all(text for text, *_ in expected.values()) and len(expected["joint"][2]) == 2
    shutil.copytree(finetuned, tmp_path / "moved")
    moved = asrlib.load(tmp_path / "moved")
    assert {mode: described(moved.transcribe(*audio, mode=mode, nbest=2)) for mode in model.modes} == expected
    pack.main([str(finetuned), "-o", str(tmp_path / "model.zip"), "--mode", "joint"])
    check_content(tmp_path / "model.zip", finetuned)
    printed = elsewhere(tmp_path / "model.zip", tmp_path / "there", *audio, "joint")
    assert printed[:3] == [str(part) for part in expected["joint"]] and printed[3] == "espnet espnet2 torch"


def test_settings(trained, finetuned, tmp_path):
    assert asrlib.load(trained, framework="onnx", search={"beam_size": 3})._beam.beam_size == 3
    assert asrlib.load(trained, framework="onnx")._beam.lm == str(trained / "words.arpa")
    assert asrlib.load(finetuned, search={"beam_size": 3, "ctc_weight": 0.2})._network.model.options.ctc_weight == 0.2
    pack.main([str(trained), "-o", str(tmp_path / "m.zip"), "--framework", "onnx", "--mode", "beam"])
    model = asrlib.load(tmp_path / "m.zip")
    assert model.mode == "beam" and model._beam.beam_size == 20 and model._beam.alpha == 0.5 and Path(model._beam.lm).name == "words.arpa"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "joint", "framework": "onnx"}, "mode 'joint': this model has greedy, beam"),
        ({"search": {"beam": 3}, "framework": "onnx"}, "no setting 'beam' of the beam search"),
        ({"framework": "espnet"}, "has no model for espnet; it has mindspore, pytorch,.*onnx"),
        ({"framework": "caffe"}, "framework 'caffe': choose one of"),
        ({"search": {"beam_size": 0}, "framework": "onnx"}, "beam_size must be at least 1"),
    ],
)
def test_invalid_settings(trained, options, message):
    with pytest.raises(UserError, match=message):
        asrlib.load(trained, **options)


def test_no_model(tmp_path, trained):
    with pytest.raises(UserError, match="no such model"):
        asrlib.load(tmp_path / "none")
    with pytest.raises(UserError, match="has no trained model"):
        asrlib.load(tmp_path)
    shutil.copytree(trained, tmp_path / "copy")
    (tmp_path / "copy/words.arpa").unlink()
    copy = asrlib.load(tmp_path / "copy", framework="onnx")
    with pytest.raises(UserError, match="exp/tiny/words.arpa: no such language model"):
        copy.transcribe(np.zeros(400), 2000, mode="beam")
    with pytest.raises(UserError, match="exp/tiny/words.arpa: no such language model"):
        pack.main([str(tmp_path / "copy"), "-o", str(tmp_path / "m.zip")])
    assert np.isfinite(asrlib.load(trained, framework="onnx").transcribe(np.zeros(400), 2000).nbest[0].score)
