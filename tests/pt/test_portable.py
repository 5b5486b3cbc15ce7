"""The description of an upstream's file and the weights in the fine-tuned model give a file with the same hidden states."""

import json

import pytest
import torch
from s3prl.nn import S3PRLUpstream

from asrlib.pt import upstreams
from asrlib.pt.portable import UPSTREAM, describe_file, for_inference, upstream_file, write_description
from asrlib.utils.errors import UserError


@pytest.mark.parametrize("kind", ["progre", "hubert", "wav2vec2"])
def test_there_and_back(kind, packages, progre_package, tmp_path):
    upstreams.register()
    path = progre_package if kind == "progre" else packages[kind]
    model = S3PRLUpstream(f"{kind}_local", path_or_url=str(path)).eval()
    write_description(path, tmp_path)
    assert (tmp_path / UPSTREAM).stat().st_size < 60_000 and str(path.parent) not in (tmp_path / UPSTREAM).read_text()
    state = {f"frontend.upstream.{name}": tensor for name, tensor in model.state_dict().items()}
    with upstream_file(tmp_path / UPSTREAM, state) as place:
        again = S3PRLUpstream(f"{kind}_local", path_or_url=place).eval()
    wavs, lengths = 0.1 * torch.randn(1, 8000), torch.tensor([8000])
    with torch.no_grad():
        for mine, other in zip(model(wavs, lengths)[0], again(wavs, lengths)[0], strict=True):
            assert torch.equal(mine, other) and mine.abs().mean() > 0


def test_other_files_have_no_description(tmp_path):
    torch.save({"model": {}}, tmp_path / "fairseq.pt")
    assert describe_file(tmp_path / "fairseq.pt") is None and describe_file(tmp_path / "none.pt") is None
    write_description(tmp_path / "fairseq.pt", tmp_path)
    assert not (tmp_path / UPSTREAM).exists()


def test_the_configuration_without_places(tmp_path):
    values = {"frontend": "s3prl", "frontend_conf": {"frontend_conf": {"upstream": "hubert_local", "path_or_url": "/a/s3prl.pt"}}, "output_dir": "/x"}
    with pytest.raises(UserError, match="/a/s3prl.pt is not a file of convert, and cannot be packed"):
        for_inference(values, tmp_path)
    (tmp_path / UPSTREAM).write_text(json.dumps({}))
    assert for_inference(values, tmp_path) == {
        "frontend": "s3prl", "frontend_conf": {"frontend_conf": {"upstream": "hubert_local", "path_or_url": UPSTREAM}},
    }  # fmt: skip
