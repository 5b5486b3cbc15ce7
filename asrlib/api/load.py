"""A recogniser from an experiment's folder or from a packed model."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from asrlib.api.model import Mode, Model
from asrlib.api.networks import FILES, Framework, framework_of, open_network
from asrlib.api.package import PACKED, unpacked
from asrlib.api.stream import NO_STREAM, Stream
from asrlib.config.base import build, read_yaml
from asrlib.decode.beam import BeamConfig
from asrlib.utils.errors import UserError
from asrlib.utils.files import file_near

SEARCH, TUNED = "search.yaml", "beam.yaml"  # settings of the searches in a packed model; of the beam search, as an experiment's stage 6 tunes them


def load(
    path: str | Path,
    *,
    mode: Mode | None = None,
    lm: str | Path | None = None,
    search: Mapping[str, Any] | None = None,
    framework: Framework | None = None,
    device: str = "auto",
) -> Model:
    """The recogniser in `path`: a packed model (asrlib pack), or the folder of an experiment that stage 3 or, of fine-tuning, stage 5 has made.

    mode: what `transcribe` does if it is not told: greedy, beam (CTC prefix beam search, with an n-gram model if there is one) or, of fine-tuned
    models, joint (CTC and attention), attention (alone), attention_rescoring (of the beam's hypotheses); None: as packed, else greedy. lm: an n-gram
    model for the beam, in ARPA or KenLM's binary format; None: that of the packed model or of the experiment's beam.yaml. search: settings that
    replace those, keys of asrlib.decode.beam.BeamConfig and asrlib.pt.recogniser.JointConfig; hotwords=["...", ...] are words and phrases that get a
    bonus in the beam. framework: mindspore, pytorch (the twin), mindir, onnx or espnet; None: the first that is there and installed. device: auto,
    cpu, cuda or npu; MindSpore computes on CPUs and NPUs (Ascend) only.
    UserError: no model, a damaged one, a framework that is not installed, an invalid setting.
    """
    folder, files, framework = _opened(path, framework)
    found = framework_of(folder, framework)
    settings = _settings(folder)
    _replace(settings, search or {}, found == "espnet", path)
    if lm:
        settings["beam"]["lm"] = str(lm)
    network = open_network(folder, found, device, settings["joint"])
    return Model(network, found, mode or settings["mode"], build(BeamConfig, settings["beam"], "settings of the beam search"), files, folder)


def load_stream(path: str | Path, rate: int | None = None) -> Stream:
    """`load(path).stream(rate)` without importing a framework."""
    folder, files, _ = _opened(path, None)
    if (folder / "inference").is_dir():
        raise UserError(f"{path}: {NO_STREAM}")
    return Stream(folder, rate, files)


def _opened(path: str | Path, framework: Framework | None) -> tuple[Path, TemporaryDirectory | None, Framework | None]:
    """The folder of an experiment or of an unpacked model, which is to be kept as long as it is used. UserError: no such model."""
    folder, files = Path(path), None
    if folder.suffix == PACKED and folder.is_file():
        files = unpacked(folder)
        folder = Path(files.name)
    folder, framework = _within(folder, framework)
    if not folder.is_dir():
        raise UserError(f"{path}: no such model: give an experiment's folder or a file of asrlib pack")
    return folder, files, framework


def _replace(settings: dict[str, Any], search: Mapping[str, Any], joint: bool, path: str | Path) -> None:
    """Puts the given settings into those of the beam and, if the model has one, of the joint search. UserError: the model has no such setting."""
    names = {field.name for field in fields(BeamConfig)}
    for key, value in search.items():
        if key in names:
            settings["beam"][key] = value
        if joint and (key not in names or key == "beam_size"):  # the joint search checks its own
            settings["joint"][key] = value
        elif key not in names:
            raise UserError(f"{path}: no setting {key!r} of the beam search: choose one of {', '.join(sorted(names))}")


def _within(path: Path, framework: Framework | None) -> tuple[Path, Framework | None]:
    """The experiment that a file or a folder of one framework is in: EXP/pt, EXP/mindir, EXP/onnx and their files."""
    for name, file in FILES.items():
        inner = Path(file)
        if len(inner.parts) == 2 and path.name in inner.parts:
            folder = path.parent if path.name == inner.parts[0] else path.parent.parent
            if path in (folder / inner, folder / inner.parts[0]) and (folder / "config.yaml").is_file():
                return folder, framework or name  # type: ignore[return-value]
    return path, framework


def _settings(folder: Path) -> dict[str, Any]:
    """mode, beam and joint: the settings in an experiment's folder, with the place of its language model; the beam says if that is missing."""
    values: dict[str, Any] = {"mode": "greedy", "beam": {}, "joint": {}}
    if (folder / SEARCH).is_file():
        values |= read_yaml(folder / SEARCH)
    elif (folder / TUNED).is_file():
        values["beam"] = read_yaml(folder / TUNED)
    for key in ("lm", "lexicon"):
        if place := file_near(values["beam"].get(key) or "", folder):
            values["beam"][key] = str(place)
    return values


def beam_of(folder: Path) -> BeamConfig:
    """The settings of an experiment's beam search."""
    return build(BeamConfig, _settings(folder)["beam"], str(folder))
