"""asrlib.load_upstream: HuBERT, ProgRE and wav2vec 2.0 have the same hidden states in both frameworks, also packed and elsewhere."""

import numpy as np
import pytest
import soundfile

import asrlib
from asrlib.bin import convert, pack
from asrlib.config.base import save_config
from asrlib.ms.checkpoint.weights import network_arrays
from asrlib.ms.models import make_network
from asrlib.utils.arrays import save_arrays
from asrlib.utils.errors import UserError
from tests.ms.inference.test_upstream import configuration


@pytest.mark.parametrize("kind", ["progre", "large", "wav2vec2"])
def test_both_frameworks(tmp_path, kind):
    config = configuration(kind, *(["model_conf.normalize=true"] if kind == "large" else []))
    exp = tmp_path / "exp"
    save_config(config, exp / "config.yaml")
    save_arrays(exp / "model.safetensors", network_arrays(make_network(config)))
    convert.main(["--exp_dir", str(exp)])
    time = np.arange(9000) / 16000
    audio = (0.3 * np.sin(2 * np.pi * 150 * time) + 0.02 * np.random.default_rng(0).normal(size=9000)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", audio, 16000, subtype="FLOAT")
    ours, theirs = (asrlib.load_upstream(exp, framework=name) for name in ("mindspore", "pytorch"))
    assert asrlib.load_upstream(exp).framework == "mindspore"
    states = ours.hidden_states(audio, 16000)
    assert len(states) == (6 if kind == "progre" else 4) and {x.shape for x in states} == {(config.model_conf.frames(9000), 32)}
    for index, (mine, other) in enumerate(zip(states, theirs.hidden_states(tmp_path / "a.wav"), strict=True)):
        assert np.abs(mine).mean() > 0.01 and np.abs(mine - other).mean() <= 5e-6 * np.abs(mine).mean(), index
    pack.main([str(exp), "-o", str(tmp_path / "model.zip"), "--framework", "pytorch"])
    packed = asrlib.load_upstream(tmp_path / "model.zip")
    assert packed.framework == "pytorch"
    for mine, other in zip(packed.hidden_states(audio, 16000), theirs.hidden_states(audio, 16000), strict=True):
        np.testing.assert_array_equal(mine, other)
    with pytest.raises(UserError, match="shorter than one frame"):
        theirs.hidden_states(audio[:100], 16000)


def test_no_upstream(tmp_path):
    with pytest.raises(UserError, match="no pretrained model in it: run stage 3"):
        asrlib.load_upstream(tmp_path)
    with pytest.raises(UserError, match="choose mindspore or pytorch"):
        asrlib.load_upstream(tmp_path, framework="jax")
