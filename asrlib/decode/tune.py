"""Tuning of the language model weights of the beam search on a validation set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from asrlib.decode.beam import BeamConfig
from asrlib.decode.run import decode_all
from asrlib.utils.log import get_logger

log = get_logger(__name__)


@dataclass(frozen=True)
class Trial:
    """A pair of weights and the error rate (percent) with it."""

    alpha: float
    beta: float
    error_rate: float


def tune(
    log_probs: Sequence[np.ndarray],
    tokens: Sequence[str],
    blank: int,
    separator: str,
    config: BeamConfig,
    grid: Sequence[tuple[float, float]],
    error_rate: Callable[[list[str]], float],
    nj: int = 1,
) -> tuple[BeamConfig, list[Trial]]:
    """The configuration with the pair (alpha, beta) of the grid that gives the lowest error rate, and all trials in the order of the grid.

    Of equal pairs the first wins. error_rate: maps the texts of all utterances, in order, to their error rate.
    """
    trials = []
    for alpha, beta in grid:
        texts = decode_all(log_probs, tokens, blank, "beam", replace(config, alpha=alpha, beta=beta), nj, separator)
        trials.append(Trial(alpha, beta, error_rate(texts)))
        log.info("alpha %g beta %g: %.2f %%", alpha, beta, trials[-1].error_rate)
    best = min(trials, key=lambda trial: trial.error_rate)
    return replace(config, alpha=best.alpha, beta=best.beta), trials
