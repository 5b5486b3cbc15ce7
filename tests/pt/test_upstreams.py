"""ProgRE, and HuBERT on log-mel frames, as s3prl upstreams: sizes, padding, evaluation mode, invalid files."""

import pytest
import torch
from s3prl.nn import S3PRLUpstream

from asrlib.pt.s3prl_upstream import UpstreamSource, describe_upstream, load_upstream
from asrlib.pt.upstreams import PackagedUpstream, register
from asrlib.utils.errors import UserError


@pytest.fixture(params=["progre", "logmel"])
def package(request):
    return request.getfixturevalue(f"{request.param}_package")


@pytest.fixture
def wavs():
    torch.manual_seed(1)
    return [0.1 * torch.randn(n) for n in (9000, 4321, 7999)]


def test_s3prl_knows_the_names():
    register()
    assert {"progre_local", "progre_base", "progre_large"} <= set(S3PRLUpstream.available_names())


def test_sizes(progre_package, logmel_packages, packages):
    expected = UpstreamSource("progre_local", str(progre_package), 6, 16, 320)  # states: pitch, input, 3 layers, speaker
    assert describe_upstream("progre_local", str(progre_package)) == expected
    for kind, path in logmel_packages.items():
        expected = UpstreamSource(f"{kind}_local", str(path), 4, 16, 640)  # a frame every 40 ms
        assert describe_upstream(f"{kind}_local", str(path)) == expected
    theirs = load_upstream(describe_upstream("hubert_local", str(packages["hubert"]))).upstream
    assert type(theirs).__module__.startswith("s3prl."), "all other files are s3prl's"


def test_a_batch_gives_each_utterance_what_it_gives_alone(package, wavs):
    upstream = load_upstream(describe_upstream("hubert_local" if package.stem == "s3prl" else "progre_local", str(package)))
    (hop,) = set(upstream.downsample_rates)
    lengths = torch.tensor([len(wav) for wav in wavs])
    with torch.no_grad():
        batch, frames = upstream(torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True), lengths)
        for row, wav in enumerate(wavs):
            alone, count = upstream(wav[None], lengths[row : row + 1])
            assert frames[0][row] == count[0][0] == -(-len(wav) // hop)
            for layer, own in zip(batch, alone, strict=True):
                torch.testing.assert_close(layer[row, : count[0][0]], own[0], rtol=1e-4, atol=1e-5)


def test_training_mode_changes_nothing(package, wavs):
    upstream = PackagedUpstream(package)
    assert upstream.config.model_conf.dropout > 0
    with torch.no_grad():
        before = upstream(wavs)["hidden_states"]
        upstream.train()
        after = upstream(wavs)["hidden_states"]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_less_than_a_frame(package):
    states = PackagedUpstream(package)([torch.zeros(10)])["hidden_states"]
    assert all(state.shape == (1, 1, 16) and state.isfinite().all() for state in states)


def test_half_precision_does_not_reach_the_filter_bank(logmel_package, wavs):
    """Under autocast, as with ESPnet's use_amp: energies in bfloat16 would be wrong by a hundredth, their logarithm by much more in quiet frames."""
    extractor = PackagedUpstream(logmel_package).model.feature_extractor
    wav = wavs[0][None] * torch.linspace(0, 1, 9000) ** 4
    whole = extractor.log_mel(wav)
    with torch.autocast("cpu", torch.bfloat16):
        half, features = extractor.log_mel(wav), extractor(wav, torch.tensor([9000]))[0]
    assert torch.equal(whole, half) and half.dtype == torch.float32 and features.isfinite().all()


def test_faults(progre_package, tmp_path):
    with pytest.raises(UserError, match="3 layers of 16, progre_base has 12 of 768"):
        describe_upstream("progre_base", str(progre_package))
    with pytest.raises(UserError, match="no public checkpoint"):
        describe_upstream("progre_large", "")
    with pytest.raises(UserError, match="no such checkpoint"):
        describe_upstream("progre_local", str(tmp_path / "none.pt"))
    with pytest.raises(UserError, match="no upstream 'progre'"):
        describe_upstream("progre", "")
    torch.save({"model": {"x": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="not a package of ProgRE"):
        describe_upstream("progre_local", str(tmp_path / "other.pt"))
