"""The factor of the loss that keeps small gradients of float16 from becoming 0."""

from asrlib.config.training import TrainerConfig


def start(trainer: TrainerConfig) -> float:
    """The factor of the first update; 1 without float16."""
    return trainer.loss_scale if trainer.precision == "fp16" else 1.0


def adapted(scale: float, finite_updates: int, finite: bool, window: int) -> tuple[float, int]:
    """Factor of the next update, and the number of updates since it changed, after an update with `scale`.

    An update that is not finite halves it, down to 1, and `window` finite ones double it (Micikevicius et al. 2018, section 3.2). window=0: fixed.
    """
    if window == 0 or scale == 1.0 and not finite:
        return scale, 0
    if not finite:
        return max(1.0, scale / 2), 0
    return (scale * 2, 0) if finite_updates + 1 >= window else (scale, finite_updates + 1)
