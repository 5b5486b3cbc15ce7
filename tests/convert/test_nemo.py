"""Files of NeMo and NVIDIA: the archive's two files are read, nothing else is unpacked or run; the average is preferred."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from asrlib.convert.nemo import read_model
from asrlib.utils.errors import UserError

CONFIG = {"labels": [" ", "a"], "decoder": {"vocabulary": [" ", "a"]}}
STATE = {"encoder.encoder.0.mconv.0.conv.weight": torch.arange(6.0).reshape(1, 2, 3)}


def saved(content) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def archive(path, members, mode="w:gz") -> Path:
    """members: name -> bytes, or the target of a symbolic link."""
    with tarfile.open(path, mode) as file:
        for name, data in members:
            member = tarfile.TarInfo(name)
            if isinstance(data, str):
                member.type, member.linkname = tarfile.SYMTYPE, data
                file.addfile(member)
            else:
                member.size = len(data)
                file.addfile(member, io.BytesIO(data))
    return path


BOTH = [("./model_config.yaml", yaml.safe_dump(CONFIG).encode()), ("./model_weights.ckpt", saved(STATE))]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_weights_and_configuration(tmp_path, mode):
    for dots in ("./", ""):
        arrays, settings = read_model(archive(tmp_path / "a", [(f"{dots}{name[2:]}", data) for name, data in BOTH], mode))
        assert settings == CONFIG and arrays.keys() == STATE.keys()
        np.testing.assert_array_equal(arrays["encoder.encoder.0.mconv.0.conv.weight"], np.arange(6).reshape(1, 2, 3))


def test_other_members_are_not_unpacked(tmp_path, monkeypatch):
    """Paths that lead out of the archive have no effect, nor has a folder of the same file name."""
    monkeypatch.chdir(tmp_path)
    evil = [("../outside", b"x"), (str(tmp_path / "absolute"), b"x"), ("link", str(tmp_path / "absolute")), ("tokenizer/model_config.yaml", b"}")]
    arrays, settings = read_model(archive(tmp_path / "a.nemo", [*evil, *BOTH]))
    assert settings == CONFIG and len(arrays) == 1 and os.listdir(tmp_path) == ["a.nemo"] and not (tmp_path.parent / "outside").exists()


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def faulty(tmp_path):
    """Kind -> members, message."""
    config, weights = BOTH
    return {
        "no configuration": ([weights], "not a model of NeMo: no model_config.yaml in the archive"),
        "no weights": ([config, ("model_weights/x", b"")], "not a model of NeMo: no model_weights.ckpt in the archive"),
        "a link": ([config, ("model_weights.ckpt", "/etc/passwd")], "refused: model_weights.ckpt in the archive is a link"),
        "twice": ([config, weights, (weights[0][2:], weights[1])], "refused: model_weights.ckpt in the archive is a link, occurs twice"),
        "code": ([config, ("model_weights.ckpt", saved({"w": Malicious(tmp_path / "ran")}))], "model_weights.ckpt: refused, because"),
        "code in the configuration": ([("model_config.yaml", b"a: !!python/name:os.getcwd"), weights], "model_config.yaml: not valid YAML"),
        "a huge configuration": ([("model_config.yaml", bytes(10_000_001)), weights], "refused: model_config.yaml in the archive .* is too large"),
        "text": ([config, ("model_weights.ckpt", b"nothing")], "model_weights.ckpt: damaged checkpoint"),
    }


@pytest.mark.parametrize("kind", faulty(Path()))
def test_faulty_archives(tmp_path, kind):
    members, message = faulty(tmp_path)[kind]
    with pytest.raises(UserError, match=rf"^{tmp_path}/a\.nemo: {message}") as error:
        read_model(archive(tmp_path / "a.nemo", members))
    assert not (tmp_path / "ran").exists() and str(error.value).count("/tmp") == 1


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_cut_archive(tmp_path, mode):
    data = archive(tmp_path / "a", [("noise", np.random.default_rng(0).bytes(5000)), *BOTH], mode).read_bytes()
    (tmp_path / "cut.nemo").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="cut.nemo: not a .nemo archive, or damaged"):
        read_model(tmp_path / "cut.nemo")


def test_the_average_and_the_settings_of_a_file(tmp_path, logged):
    torch.save({"state_dict": {"w": torch.zeros(1)}, "ema_state_dict": {"w": torch.ones(1)}, "labels": ["a"]}, tmp_path / "a.pt")
    arrays, settings = read_model(tmp_path / "a.pt")
    assert arrays["w"] == [1] and settings == {"labels": ["a"]} and any("ema_state_dict is taken" in line for line in logged)
    torch.save({"state_dict": {"w": torch.zeros(1)}, "ema_state_dict": None, "hyper_parameters": {"cfg": CONFIG}}, tmp_path / "b.pt")
    arrays, settings = read_model(tmp_path / "b.pt")
    assert arrays["w"] == [0] and settings == {"cfg": CONFIG}
