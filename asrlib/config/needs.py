"""What a recipe needs on disk and in memory, by its configurations and the hours of its corpus. Gigabytes are 1e9 bytes; figures are estimates."""

from collections.abc import Sequence
from dataclasses import dataclass

from asrlib.config.ctc import TrainConfig
from asrlib.config.memory import FLOAT, MARGIN, MOMENTS, activation_memory, fixed_memory
from asrlib.config.pretraining import RATE, TARGET_HOP, PretrainConfig
from asrlib.config.training import TrainerConfig

Config = TrainConfig | PretrainConfig
GB = 1e9
ASR_PARAMETERS = 40_000_000  # of ESPnet's conformer or its like, without the upstream


@dataclass(frozen=True)
class Need:
    """Gigabytes of something, and how to need less of them."""

    what: str
    gigabytes: float
    less: str = ""


def features(config: TrainConfig, hours: float, shards: int) -> list[Need]:
    """Features in archives and, with `shards`, once more as MindRecord."""
    size = hours * 3600 / config.features.window_stride * config.features.dim * FLOAT / GB
    return [Need("features", size), *([Need("features as MindRecord", size, "--num_shards 0")] if shards else [])]


def targets(configs: Sequence[PretrainConfig], hours: float) -> list[Need]:
    """Clusters of every iteration (16 bits a frame) and the pitch."""
    frames = hours * 3600 * RATE / TARGET_HOP
    size = frames * (2 * sum(config.uses_clusters for config in configs) + FLOAT * any(config.uses_pitch for config in configs))
    return [Need("targets of pretraining", size / GB)] if size else []


def states(config: PretrainConfig, hours: float) -> float:
    """Gigabytes of the hidden states of a frozen upstream: one of every layer and those between, float32."""
    model = config.model_conf
    return hours * 3600 * RATE / model.hop * (model.state_place(model.layers) + 1) * model.dim * FLOAT / GB


def checkpoints(config: Config, parameters: int) -> Need:
    """Kept weights, the model, and the saved state of a training."""
    trainer: TrainerConfig = config.trainer
    copies = trainer.keep_checkpoints + len(trainer.keep_updates) + 2 + (1 + MOMENTS[config.optim.name] + bool(trainer.ema))
    less = "trainer.keep_checkpoints=1" if trainer.keep_checkpoints > 1 else ""
    return Need(f"checkpoints of {config.model}", copies * parameters * FLOAT / GB, less)


def tuned(nbest: int, upstream: int, systems: int) -> Need:
    """ESPnet's checkpoints of each system: the best epochs, their mean, the model, the state with two moments. upstream: its parameters in them."""
    size = (nbest + 5) * (ASR_PARAMETERS + upstream) * FLOAT * systems / GB
    return Need(f"checkpoints of {systems} fine-tunings" if systems > 1 else "checkpoints of the fine-tuning", size, "keep_nbest_models=1")


def training_memory(config: Config, parameters: int) -> tuple[float, float]:
    """Gigabytes of a training step with the longest utterance alone, and with the whole batch."""
    batch = config.batch
    length = round(batch.max_seconds * RATE) if isinstance(config, PretrainConfig) else round(batch.max_seconds / config.features.window_stride)
    rows = batch.batch_seconds / batch.max_seconds if batch.batch_seconds else getattr(batch, "batch_size", 1)
    fixed, row = fixed_memory(config, parameters), activation_memory(config, 1, length) * MARGIN
    return (fixed + row) / GB, (fixed + max(1, int(rows)) * row) / GB


def shortage(needs: Sequence[Need], done: float, free: float, where: str) -> list[str]:
    """What to say if a disk with `free` gigabytes cannot hold the needs, of which `done` gigabytes are there already; none if it can."""
    needed = sum(need.gigabytes for need in needs) - done
    if needed <= free:
        return []
    largest = sorted((need for need in needs if need.less), key=lambda need: -need.gigabytes)[:2]
    ways = "".join(f", or {need.less} ({need.what}: {need.gigabytes:.1f} GB)" for need in largest)
    return [f"{where} will need {needed:.1f} GB more, {free:.1f} GB are free: free some space, give other folders{ways}"]
