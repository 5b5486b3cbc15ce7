"""The families of models, and their configurations read from YAML."""

import difflib
import pkgutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TypeVar, cast

from asrlib.config import models
from asrlib.config.base import build, override_values, read_yaml
from asrlib.config.ctc import TrainConfig
from asrlib.config.pretraining import PretrainConfig
from asrlib.utils.errors import UserError

C = TypeVar("C", TrainConfig, PretrainConfig)

# Keys that version 0.1 saved in the configuration of every self-supervised model, whatever its family.
SHARED_IN_0_1 = {
    "model_conf": {"pitch", "pitch_channels", "pitch_hidden", "speaker_layer", "speaker_bottleneck", "num_speakers",
                   "codebooks", "codewords", "code_dim", "dropout_features", "num_classes"},
    "loss": {"negatives", "diversity_weight", "temperature", "temperature_decay", "unmasked_weight", "speaker_weight"},
}  # fmt: skip


def families(kind: type[TrainConfig] | type[PretrainConfig]) -> dict[str, type]:
    """Name -> schema of the families of a kind: the modules of asrlib.config.models."""
    schemas = {name: import_module(f"{models.__name__}.{name}").Config for _, name, _ in pkgutil.iter_modules(models.__path__)}
    return {name: schema for name, schema in schemas.items() if issubclass(schema, kind)}


def load_train_config(path: str | Path | None, overrides: Sequence[str] = ()) -> TrainConfig:
    """A CTC training configuration of the family that its key `model` names; default: DeepSpeech2.

    UserError: see asrlib.config.base.load_config; an unknown family.
    """
    return _load(path, overrides, TrainConfig, "deepspeech2")


def load_pretrain_config(path: str | Path | None, overrides: Sequence[str] = ()) -> PretrainConfig:
    """The same for pretraining; default: HuBERT."""
    return _load(path, overrides, PretrainConfig, "hubert")


def load_experiment_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig | PretrainConfig:
    """The configuration of an experiment of either kind, by its key `model`. UserError: see load_train_config."""
    if read_yaml(path).get("model") in families(PretrainConfig):
        return load_pretrain_config(path, overrides)
    return load_train_config(path, overrides)


def pretrain_config_of(values: dict, where: str) -> PretrainConfig:
    """The configuration in a mapping, for example from a package of a pretrained model; `where`: for messages. UserError: see load_train_config."""
    return _build(values, where, PretrainConfig, "hubert")


def _load(path: str | Path | None, overrides: Sequence[str], kind: type[C], default: str) -> C:
    values = read_yaml(path) if path else {}
    override_values(values, overrides, path)
    return _build(values, str(path or "defaults"), kind, default)


def _build(values: dict, where: str, kind: type[C], default: str) -> C:
    schemas, name = families(kind), values.get("model", default)
    if name not in schemas:
        near = difflib.get_close_matches(str(name), schemas, n=1)
        raise UserError(f"{where}: model: {name!r} is not one of {', '.join(schemas)}" + (f"; did you mean {near[0]}?" if near else ""))
    return cast(C, build(schemas[name], _without_foreign_keys(values, schemas[name]) if kind is PretrainConfig else values, where))


def _without_foreign_keys(values: dict, schema: type) -> dict:
    """The configuration that version 0.1 saved, without the keys of other families."""
    if not SHARED_IN_0_1["model_conf"] <= values.get("model_conf", {}).keys():
        return values
    own = {section: getattr(schema(), section).__dataclass_fields__ for section in SHARED_IN_0_1}
    dropped = {section: keys - own[section].keys() for section, keys in SHARED_IN_0_1.items()}
    return {
        section: {key: value for key, value in content.items() if key not in dropped[section]} if section in dropped else content
        for section, content in values.items()
    }
