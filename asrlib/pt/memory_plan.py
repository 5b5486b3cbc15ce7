"""Parts of ESPnet's batches, so that fine-tuning on a CPU fits into memory: smaller batches, and as many more per update (accum_grad).

The estimate counts float32 numbers per second of audio in a batch; its constants were measured on CPUs, see CONTRIBUTING.md.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asrlib.config.pretraining import TrunkConfig
from asrlib.corpora.kaldi_table import read_table
from asrlib.pt.dump import RATE, Speech
from asrlib.pt.frontends import TRAINED
from asrlib.pt.s3prl_upstream import UpstreamSource
from asrlib.utils.log import get_logger
from asrlib.utils.memory import GB, available_memory

log = get_logger(__name__)

FLOAT = 4  # bytes
PROCESS = 1.5 * GB  # Python, ESPnet and the weights of models of up to 300 M parameters
MARGIN = 1.15
STATES = 6.0  # copies of the hidden states: batch, batch ahead in the loader, stack, product with the weights, gradients
UPSTREAM = 1.7  # PyTorch's share of what asrlib.config.pretraining.TrunkConfig.activation_size counts
PER_WIDTH, PER_FEED_FORWARD, PER_SCORE = 60.0, 8.0, 16.0  # per frame and encoder block: for output_size, linear_units, heads * frames
SUBSAMPLING = {"conv2d": 4, "conv2d1": 1, "conv2d2": 2, "conv2d6": 6, "conv2d8": 8}


def plan_parts(values: Mapping[str, Any], speech: Speech, source: UpstreamSource | None, memory_gb: float | None, processes: int = 1) -> int:
    """Parts of each batch of a training on the CPU.

    values: the configuration for ESPnet, with its shape files; memory_gb: the limit, None: the available memory; processes: share memory and batches.
    """
    samples, numbers = (_shapes(Path(path)) for path in values["train_shape_file"])
    size = batch_seconds(values, samples, numbers) / processes
    if not size:
        return 1
    longest = max(samples, default=0) / RATE
    free = (available_memory() if memory_gb is None else memory_gb * GB) / processes
    per_second = FLOAT * MARGIN * floats_per_second(values, speech, source, longest)
    fitting = max(longest, (free - PROCESS) / per_second)
    parts = max(1, math.ceil(size / fitting))
    log.info("memory: a batch of %.0f s needs about %.1f GB, %.1f GB are free", size, (PROCESS + per_second * size) / GB, free / GB)
    if parts > 1:
        log.info("batches are divided into %d parts, whose gradients are added up (accum_grad %d)", parts, with_parts(values, parts)["accum_grad"])
    if PROCESS + per_second * longest > free:
        log.warning("one utterance of %.1f s needs %.1f GB: training may be killed; lower --longest", longest, (PROCESS + per_second * longest) / GB)
    return parts


def with_parts(values: Mapping[str, Any], parts: int) -> dict[str, Any]:
    """The configuration with batches divided by `parts` and accum_grad multiplied by it, to at most the batches of an epoch.

    ESPnet would never update the weights with fewer batches than that.
    """
    changed = dict(values)
    if parts > 1:
        key = "batch_bins" if values.get("batch_type") in ("numel", "length") else "batch_size"
        changed[key] = max(1, values[key] // parts)
        samples, numbers = (_shapes(Path(path)) for path in values["train_shape_file"])
        whole = {"numel": sum(samples) + sum(numbers), "length": max(sum(samples), sum(numbers))}  # of an epoch, counted as batches are
        batches = whole.get(values.get("batch_type", "folded"), len(samples)) // changed[key]
        changed["accum_grad"] = max(1, min(parts * values.get("accum_grad", 1), batches))
        if values.get("frontend") == TRAINED:  # which counts updates
            changed["frontend_conf"] = {**values["frontend_conf"], "accum_grad": changed["accum_grad"]}
    return changed


def batch_seconds(values: Mapping[str, Any], samples: Sequence[int], numbers: Sequence[int]) -> float:
    """Padded audio of the largest batches; 0 for kinds of batches that are not planned.

    samples, numbers: of each utterance, and of its transcript as one-hot vectors: ESPnet's numel fills batch_bins with both.
    """
    kind = values.get("batch_type", "folded")
    if kind == "length":
        return values.get("batch_bins", 0) / RATE
    if kind == "numel":
        share = sum(samples) / max(1, sum(samples) + sum(numbers))
        return share * values.get("batch_bins", 0) / RATE
    if kind == "folded" and values.get("fold_length"):
        return values.get("batch_size", 20) * values["fold_length"][0] / RATE
    return 0.0


def _shapes(path: Path) -> list[int]:
    """Elements of each utterance in a shape file."""
    return [math.prod(map(int, shape.split(","))) for shape in read_table(path).rows.values()]


def floats_per_second(values: Mapping[str, Any], speech: Speech, source: UpstreamSource | None, longest: float) -> float:
    """float32 numbers that a training step holds for each second of audio, in utterances of `longest` seconds."""
    rate, features, total = 100.0, 80, 0.0  # log-mel
    if source is not None:
        rate, features = RATE / source.downsample_rate, source.dim
        trained = values.get("frontend") == TRAINED
        layers = source.layers if speech.kind == "states" or values["frontend_conf"].get("multilayer_feature", True) else 1
        total += STATES * rate * layers * source.dim
        total += _upstream(source, longest) * (UPSTREAM if trained else 0.0)
    features = (values.get("preencoder_conf") or {}).get("output_size", features)
    return total + _encoder(values.get("encoder_conf") or {}, rate, features, longest)


def _upstream(source: UpstreamSource, longest: float) -> float:
    shape = TrunkConfig(dim=source.dim, ffn_dim=4 * source.dim, heads=max(1, source.dim // 64), layers=source.layers - 1, conv_pos_groups=1)
    return shape.activation_size(max(RATE, round(longest * RATE))) / max(1.0, longest)


def _encoder(conf: Mapping[str, Any], rate: float, features: int, longest: float) -> float:
    width, step, total = conf.get("output_size", 256), SUBSAMPLING.get(conf.get("input_layer", "conv2d"), 1), 0.0
    if step > 1:  # two convolutions over time and frequency, the first of stride 2, each with its activation and their gradients
        total += 4 * width * (rate / 2 * features / 2 + rate / step * features / 2 / max(1, step / 2))
    rate /= step
    feed_forward = PER_FEED_FORWARD * conf.get("linear_units", 2048) * (1 if conf.get("macaron_style") else 0.5)
    block = PER_WIDTH * width + feed_forward + PER_SCORE * conf.get("attention_heads", 4) * rate * longest
    return total + conf.get("num_blocks", 6) * rate * block
