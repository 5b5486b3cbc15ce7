"""Loading of s3prl's upstreams and ours, as in ESPnet's s3prl frontend."""

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # raised by torch.load

from asrlib.utils.errors import UserError

CONVERTED = ("hubert_local", "wav2vec2_local")
HOW = "convert --to ms --checkpoint FILE --out DIR, then convert --exp_dir DIR"


@dataclass(frozen=True)
class UpstreamSource:
    """An upstream: its name in s3prl, its checkpoint file ("" for s3prl's own), number and size of its hidden states, samples per frame."""

    name: str
    path: str
    layers: int
    dim: int
    downsample_rate: int


def describe_upstream(name: str, path: str) -> UpstreamSource:
    """Loads an upstream to read its sizes. UserError: s3prl does not know it, no such file, not a checkpoint of that kind."""
    model = _make(name, path)
    if len(set(model.hidden_sizes)) > 1 or len(set(model.downsample_rates)) > 1:
        raise UserError(f"upstream {name}: its hidden states have different sizes and cannot be summed: choose another upstream")
    return UpstreamSource(name, path, model.num_layers, model.hidden_sizes[0], model.downsample_rates[0])


def load_upstream(source: UpstreamSource):
    """The upstream (s3prl.nn.S3PRLUpstream) in evaluation mode: (B, samples), (B,) -> hidden states, lengths."""
    return _make(source.name, source.path).eval()


def check_upstream(name: str, path: str) -> None:
    """UserError: s3prl does not know the name, no such file."""
    from s3prl.nn import S3PRLUpstream

    from asrlib.pt.upstreams import register

    register()
    if name not in S3PRLUpstream.available_names():
        raise UserError(f"s3prl has no upstream {name!r}: choose progre_local, hubert_local, wav2vec2_local or one of s3prl's list")
    if path and not Path(path).is_file():
        raise UserError(f"{path}: no such checkpoint of an upstream: run stage 4")


def cacheable(values: dict) -> bool:
    """Whether an ESPnet configuration freezes the upstream and sums its hidden states, so that they can be computed once."""
    upstream = "frontend.upstream.upstream.model"
    frozen = any(upstream == name or upstream.startswith(f"{name}.") for name in values.get("freeze_param") or ())
    return frozen and (values.get("frontend_conf") or {}).get("multilayer_feature", True)


def _make(name: str, path: str):
    from s3prl.nn import S3PRLUpstream

    check_upstream(name, path)
    try:
        return S3PRLUpstream(name, path_or_url=path or None)
    except (KeyError, RuntimeError, AssertionError, TypeError, EOFError, UnpicklingError) as error:
        hint = f"; convert makes one of files of fairseq and transformers: pt/s3prl.pt ({HOW})" if name in CONVERTED else ""
        raise UserError(f"{path}: not a checkpoint for s3prl's {name}: {' '.join(str(error).split())[:120]}{hint}") from None
