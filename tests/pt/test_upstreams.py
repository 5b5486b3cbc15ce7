"""ProgRE as an s3prl upstream: sizes, padding, evaluation mode, invalid files."""

import pytest
import torch
from s3prl.nn import S3PRLUpstream

from asrlib.pt.s3prl_upstream import UpstreamSource, describe_upstream, load_upstream
from asrlib.pt.upstreams import PackagedUpstream, register
from asrlib.utils.errors import UserError


@pytest.fixture
def wavs():
    torch.manual_seed(1)
    return [0.1 * torch.randn(n) for n in (9000, 4321, 7999)]


def test_s3prl_knows_the_names():
    register()
    assert {"progre_local", "progre_base", "progre_large"} <= set(S3PRLUpstream.available_names())


def test_sizes(progre_package):
    expected = UpstreamSource("progre_local", str(progre_package), 6, 16, 320)  # states: pitch, input, 3 layers, speaker
    assert describe_upstream("progre_local", str(progre_package)) == expected


def test_a_batch_gives_each_utterance_what_it_gives_alone(progre_package, wavs):
    upstream = load_upstream(describe_upstream("progre_local", str(progre_package)))
    lengths = torch.tensor([len(wav) for wav in wavs])
    with torch.no_grad():
        batch, frames = upstream(torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True), lengths)
        for row, wav in enumerate(wavs):
            alone, count = upstream(wav[None], lengths[row : row + 1])
            assert frames[0][row] == count[0][0] == -(-len(wav) // 320)
            for layer, own in zip(batch, alone, strict=True):
                torch.testing.assert_close(layer[row, : count[0][0]], own[0], rtol=1e-4, atol=1e-5)


def test_training_mode_changes_nothing(progre_package, wavs):
    upstream = PackagedUpstream(progre_package)
    assert upstream.config.model_conf.dropout > 0
    with torch.no_grad():
        before = upstream(wavs)["hidden_states"]
        upstream.train()
        after = upstream(wavs)["hidden_states"]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_less_than_a_frame(progre_package):
    states = PackagedUpstream(progre_package)([torch.zeros(10)])["hidden_states"]
    assert all(state.shape == (1, 1, 16) and state.isfinite().all() for state in states)


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
