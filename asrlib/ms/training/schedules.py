"""Learning rates as a function of progress, so that the rate of each update is known, logged and reproducible."""

import math

from asrlib.config.training import ScheduleConfig


def learning_rate(config: ScheduleConfig, peak: float, update: int, epoch: float, epochs: int, updates: int = 0) -> float:
    """Rate of an update.

    update: updates done before it; epoch: epochs done before it, with the fraction of the current one; epochs, updates: of the whole training, 0: no
    limit. Progress is counted in updates if they are limited, else in epochs. All rates are multiplied by a linear warm-up.

    constant: peak.
    anneal: peak for half of the epochs, then divided by learning_anneal per epoch (the model zoo computes lr / 1.1^(i - epochs/2), but never passes
    it to the optimizer).
    cyclic: triangle between min_rate * peak and peak with period 2 * cycle_steps (Smith 2017).
    cosine: half a cosine down to min_rate * peak.
    linear: a straight line from the end of the warm-up down to min_rate * peak (fairseq's polynomial_decay).
    hold: peak for hold_epochs after the warm-up, then times `decay` per epoch, at least min_rate * peak (the published Jasper).
    """
    warmup = min(1.0, (update + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.warmup_epochs:
        warmup = min(1.0, epoch / config.warmup_epochs)  # epoch counts fractions; the very first update is at 0
    progress = update / updates if updates else epoch / max(1, epochs)
    low = config.min_rate * peak
    if config.name == "anneal":
        rate = peak / config.learning_anneal ** max(0.0, math.floor(epoch) - epochs / 2)
    elif config.name == "cyclic":
        position = abs((update / config.cycle_steps) % 2 - 1)  # 1 at the ends of a cycle, 0 at its peak
        rate = peak - (peak - low) * position
    elif config.name == "cosine":
        rate = low + (peak - low) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
    elif config.name == "hold":
        rate = max(low, peak * config.decay ** max(0.0, math.floor(epoch) - config.warmup_epochs - config.hold_epochs))
    elif config.name == "linear":
        left = (updates - update) / max(1, updates - config.warmup_steps) if updates else 1 - progress
        rate = low + (peak - low) * min(1.0, max(0.0, left))
    else:
        rate = peak
    return rate * warmup
