"""Products in float16 against NumPy's; the package of such a model."""

import numpy as np
import pytest
import torch
from torch import nn

from asrlib.bin import float16_upstream
from asrlib.config.base import save_config
from asrlib.config.families import load_pretrain_config
from asrlib.pt.models import make_network
from asrlib.pt.packages import write_packages
from asrlib.pt.products import products_of
from asrlib.pt.s3prl_upstream import describe_upstream, load_upstream
from asrlib.pt.upstreams import PackagedUpstream
from asrlib.utils.arrays import save_arrays
from tests.pt.conftest import HEADS, TRUNK, mindspore_arrays


def test_operands_and_results_are_rounded():
    torch.manual_seed(0)
    x, layer, norm = torch.randn(3, 8), nn.Linear(8, 5), nn.LayerNorm(8)

    def half(tensor):
        return tensor.detach().numpy().astype(np.float16).astype(np.float32)

    with products_of("float16"):
        found, unchanged = layer(x).detach(), norm(x)
    expected = half(torch.from_numpy(half(x) @ half(layer.weight).T + half(layer.bias)))
    np.testing.assert_allclose(found, expected, rtol=2**-10)  # one place: sums of another order
    assert not torch.equal(found, layer(x)) and torch.equal(unchanged, norm(x))
    with products_of("float32"):
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize("frontend", ["waveform", "logmel"])
def test_the_package_of_a_model(tmp_path, frontend):
    """Its hidden states differ from the exact ones as those of the published code do: by 0.02 to 1 %."""
    torch.manual_seed(0)
    sizes = f"{TRUNK} {HEADS['hubert']} frontend={frontend}".split()
    config = load_pretrain_config(None, ["model=hubert", *(f"model_conf.{word}" for word in sizes)])
    arrays = mindspore_arrays(make_network(config))
    save_config(config, tmp_path / "config.yaml")
    save_arrays(tmp_path / "model.safetensors", arrays)
    write_packages(config, arrays, tmp_path / "pt")
    float16_upstream.main(["--exp_dir", str(tmp_path), "--out", str(tmp_path / "half")])
    wavs, lengths = 0.1 * torch.randn(1, 9000), torch.tensor([9000])
    exact, half = (
        [state[0] for state in load_upstream(describe_upstream("hubert_local", str(tmp_path / folder / "s3prl.pt")))(wavs, lengths)[0]]
        for folder in ("pt", "half")
    )
    assert len(exact) == len(half)
    for one, other in zip(exact, half, strict=True):
        assert 2e-4 < float((one - other).norm() / one.norm()) < 1e-2


def test_progre(progre_package, tmp_path):
    """All its states are those of rounded products, also pitch and speaker."""
    torch.save(torch.load(progre_package, weights_only=True) | {"products": "float16"}, tmp_path / "progre.pt")
    wavs = [0.1 * torch.randn(9000)]
    with torch.no_grad():
        exact, half = (PackagedUpstream(path)(wavs)["hidden_states"] for path in (progre_package, tmp_path / "progre.pt"))
    for one, other in zip(exact, half, strict=True):
        assert 1e-5 < float((one - other).norm() / one.norm()) < 2e-2
