"""A fine-tuned model apart from its recipe: what remains of its upstream's file once the weights are in the model, so that the file is not needed."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from asrlib.convert.checkpoint_file import kind_of
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

UPSTREAM = "upstream.json"  # beside the configuration of the model
PREFIX = "frontend.upstream.upstream.model."  # of the upstream's tensors in ESPnet's model
WEIGHTS = "model_weight"  # key of the weights in the files of convert
PARTS = (
    "frontend", "specaug", "normalize", "preencoder", "encoder", "postencoder", "decoder", "model", "ctc", "adapter", "joint_net", "preprocessor",
)  # fmt: skip
KEYS = {*PARTS, *(f"{part}_conf" for part in PARTS), "token_list", "token_type", "input_size", "use_adapter", "init"}


def describe_file(path: str | Path) -> dict[str, Any] | None:
    """What a file of convert (s3prl.pt, progre.pt) holds besides the values of its weights, as JSON takes it; None: it is another kind of file."""
    if not Path(path).is_file() or kind_of(path) != "torch":
        return None
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if not isinstance(content, dict) or WEIGHTS not in content:
        return None
    weights = {name: [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)] for name, tensor in content[WEIGHTS].items()}
    rest = {key: value for key, value in content.items() if key != WEIGHTS}
    return {"weights": weights, "rest": rest} if _is_plain(rest) else None


def write_description(path: str | Path, folder: Path) -> None:
    """Writes FOLDER/upstream.json for the upstream's file; nothing for a file of another kind, which then stays needed."""
    if (description := describe_file(path)) is not None:
        with atomic_write(folder / UPSTREAM) as stream:
            json.dump(description, stream, indent=1)


@contextlib.contextmanager
def upstream_file(description: Path, state: dict[str, torch.Tensor]) -> Iterator[str]:
    """The file that a description is of, with the weights in the model's state; it is deleted at the end of the block.

    Arrays that the upstream's network leaves aside (heads of the pretraining) are zeros.
    """
    facts = json.loads(description.read_text(encoding="utf-8"))
    weights = {}
    for name, (kind, shape) in facts["weights"].items():
        tensor = state.get(PREFIX + name)
        weights[name] = torch.zeros(shape, dtype=getattr(torch, kind)) if tensor is None else tensor
    with tempfile.TemporaryDirectory(prefix="asrlib-") as folder:
        path = Path(folder) / "upstream.pt"
        torch.save({**facts["rest"], WEIGHTS: weights}, path)
        yield str(path)


def for_inference(values: dict[str, Any], where: Path) -> dict[str, Any]:
    """The keys of an ESPnet configuration that build the model; without those of data, training and places.

    UserError: its upstream is one that s3prl would download.
    """
    kept = {key: value for key, value in values.items() if key in KEYS}
    conf = kept.get("frontend_conf") or {}
    if kept.get("frontend") == "s3prl" and (inner := conf.get("frontend_conf")):
        if not (where / UPSTREAM).is_file():
            raise UserError(f"{where}: its upstream {inner.get('path_or_url') or inner['upstream']} is not a file of convert, and cannot be packed")
        kept["frontend_conf"] = {**conf, "frontend_conf": {**inner, "path_or_url": UPSTREAM}}
    return kept


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(inner) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, int, float, bool))
