"""What NeMo's or NVIDIA's configuration of a Jasper says in the words of ours, and a check that the two are of one model."""

import math
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from asrlib.config.models.jasper import Config, JasperConfig
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)

FINE = ("features.log_floor", "features.symmetric_window")  # differences that only silence and quiet recordings show
BLOCK = {  # what our network has in every block, by NeMo's key: the only value that is converted
    "groups": 1, "separable": False, "heads": -1, "residual_mode": "add", "se": False, "kernel_size_factor": 1.0, "stride_last": False,
    "future_context": -1,
}  # fmt: skip
PLAIN = {"stride": 1, "dilation": 1, "repeat": 1, "residual": False}  # prologue and epilogues
DENSE = {"stride": 1, "dilation": 1, "residual": True, "residual_dense": True}  # the blocks between them
ENCODER = {"activation": "relu", "normalization_mode": "batch", "residual_mode": "add", "frame_splicing": 1}
FEATURES = {
    "normalize": "per_feature", "log": True, "log_zero_guard_type": "add", "frame_splicing": 1, "mag_power": 2.0, "exact_pad": False, "lowfreq": 0,
    "highfreq": None,
}  # fmt: skip


def check_settings(config: Config, theirs: Mapping[str, Any], where: str) -> None:
    """Compares a toolkit's configuration with ours; settings that it does not hold are not compared.

    Warns of details in which the features differ. UserError: another network or other features, with the --train_args to give, or something that our
    Jasper does not have.
    """
    found: dict[str, Any] = {}
    try:
        theirs = _like_nemo(theirs)
        if features := theirs.get("preprocessor"):
            found |= _features(features, where)
        if encoder := theirs.get("encoder"):
            found |= _network(encoder, config.model_conf, where)
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{where}: the configuration in the file is not as NeMo or NVIDIA's code writes it") from None
    differ = {key: value for key, value in found.items() if not _equal(value, attrgetter(key)(config))}
    if wrong := [key for key in differ if key not in FINE]:
        had = ", ".join(f"{key} {differ[key]} instead of {attrgetter(key)(config)}" for key in wrong[:3])
        raise UserError(f'{where}: the configuration in the file has {had}: give --train_args "{_arguments(differ)}"')
    if differ:
        log.warning('%s: its features differ in details: for the same ones give --train_args "%s"', where, _arguments(differ))


def _like_nemo(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration with NeMo's section names: that of a Lightning checkpoint is in `cfg`, NVIDIA's has other names."""
    settings = next((s for s in (settings.get("cfg"), settings.get("model")) if isinstance(s, Mapping)), settings)
    network, inputs = settings.get("jasper"), settings.get("input_val")
    if not isinstance(network, Mapping) or not isinstance(inputs, Mapping):
        return settings
    encoder = dict(network.get("encoder", {}))
    blocks = [{("kernel" if key == "kernel_size" else key): value for key, value in block.items()} for block in encoder.pop("blocks", [])]
    features = dict(inputs.get("filterbank_features", {}))
    features = {"features": features.pop("n_filt", 64), "log_zero_guard_value": 1e-20} | features
    return {"preprocessor": features, "encoder": encoder | {"jasper": blocks, "conv_mask": encoder.get("use_conv_masks", True)}}


def _features(theirs: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Our keys and NeMo's values. Both toolkits have symmetric windows; NeMo adds 2^-24 before the logarithm."""
    _require(theirs, FEATURES, f"{where}: preprocessor")
    rate, size = theirs.get("sample_rate", 16000), theirs.get("window_size", 0.02)
    return {
        "features.sample_rate": rate,
        "features.window_size": size,
        "features.window_stride": theirs.get("window_stride", 0.01),
        "features.window": theirs.get("window", "hann"),
        "features.n_fft": theirs.get("n_fft") or 2 ** math.ceil(math.log2(rate * size)),
        "features.num_mels": theirs.get("features", 64),
        "features.preemphasis": theirs.get("preemph", 0.97) or 0.0,
        "features.normalize": True,
        "features.log_floor": theirs.get("log_zero_guard_value", 2.0**-24),
        "features.symmetric_window": True,
    }


def _network(theirs: Mapping[str, Any], ours: JasperConfig, where: str) -> dict[str, Any]:
    """Our keys of the blocks: a prologue, groups of equal blocks with dense residuals, two epilogues."""
    _require(theirs, ENCODER, f"{where}: encoder")
    if not theirs.get("conv_mask", True):
        log.warning("%s: trained without masks in its convolutions: ours mask the padding, so the ends of utterances differ slightly", where)
    blocks = [{key: _number(value) for key, value in block.items()} for block in theirs.get("jasper", [])]
    if not blocks:
        return {}
    prologue, *inner, first, second = blocks if len(blocks) > 3 else ({}, {}, {})
    roles = [PLAIN | {"stride": 2}, *[DENSE] * len(inner), PLAIN | {"dilation": 2}, PLAIN | {"kernel": 1}]
    for number, (block, role) in enumerate(zip(blocks, roles, strict=False)):
        _require(block, BLOCK | role, f"{where}: encoder.jasper[{number}]")
    sizes = {
        "model_conf.prologue_filters": prologue.get("filters"),
        "model_conf.prologue_kernel": prologue.get("kernel"),
        "model_conf.epilogue_filters": (first.get("filters"), second.get("filters")),
        "model_conf.epilogue_kernel": first.get("kernel"),
    }
    shapes = [(block.get("filters"), block.get("kernel"), block.get("repeat")) for block in inner]
    if shapes == [(*shape, ours.repeat) for shape in zip(ours.filters, ours.kernels, strict=True) for _ in range(ours.blocks)]:
        return sizes
    groups = list(dict.fromkeys(shapes))
    dropouts = [next(block.get("dropout", 0.0) for block, shape in zip(inner, shapes, strict=True) if shape == group) for group in groups]
    count, repeats = max((shapes.count(group) for group in groups), default=0), {repeat for _, _, repeat in groups}
    if len(repeats) != 1 or shapes != [group for group in groups for _ in range(count)]:
        raise UserError(f"{where}: encoder.jasper: our Jasper has equally many blocks of each width and one number of sub-blocks")
    return sizes | {
        "model_conf.repeat": repeats.pop(),
        "model_conf.blocks": count,
        "model_conf.filters": tuple(filters for filters, _, _ in groups),
        "model_conf.kernels": tuple(kernel for _, kernel, _ in groups),
        "model_conf.dropouts": tuple(dropouts),  # as many as widths
    }


def _require(theirs: Mapping[str, Any], values: Mapping[str, Any], where: str) -> None:
    """UserError unless each key has this value, or is missing."""
    for key, value in values.items():
        found = _number(theirs.get(key, value))
        if found != value and (found or value):
            raise UserError(f"{where}.{key} is {found!r}: our Jasper has {value!r} alone")


def _number(value: Any) -> Any:
    """The number in a list of one, as sizes of one-dimensional convolutions are written."""
    return value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value


def _equal(a: Any, b: Any) -> bool:
    return math.isclose(a, b, rel_tol=1e-6) if isinstance(a, float) or isinstance(b, float) else a == b


def _arguments(values: Mapping[str, Any]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, tuple):
            return f"[{','.join(map(str, value))}]"
        return str(value).lower() if isinstance(value, bool) else str(value)

    return " ".join(f"{key}={text(value)}" for key, value in values.items())
