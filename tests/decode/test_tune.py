"""Tuning of language model weights on a validation set."""

import numpy as np

from asrlib.decode.beam import BeamConfig
from asrlib.decode.ngram import estimate, write_arpa
from asrlib.decode.tune import tune

TOKENS = ["A", "B", "<space>", "<blank>"]


def test_the_pair_with_the_fewest_errors(tmp_path):
    """The acoustics slightly prefer B, the language model knows only A: with enough weight A wins."""
    write_arpa(estimate([["A"], ["A"], ["A"], ["B"]], 2), tmp_path / "lm.arpa")
    frame = np.log(np.array([0.45, 0.55, 1e-4, 1e-4], np.float32))
    blank = np.log(np.array([1e-4, 1e-4, 1e-4, 1.0], np.float32))
    config = BeamConfig(lm=str(tmp_path / "lm.arpa"))
    grid = [(0.01, 0.0), (2.0, 0.0), (3.0, 0.0)]
    best, trials = tune([np.stack([frame, blank])], TOKENS, 3, "", config, grid, lambda texts: 100.0 * (texts != ["A"]))
    assert [trial.error_rate for trial in trials] == [100.0, 0.0, 0.0]
    assert (best.alpha, best.beta, best.lm) == (2.0, 0.0, config.lm), "the first of equals"
