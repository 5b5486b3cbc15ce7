"""The most probable path of CTC through given tokens, against all paths of small outputs."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlib.decode.align import align, best_path
from asrlib.decode.greedy import collapse

BLANK = 2


def outputs(frames, seed):
    logits = np.random.default_rng(seed).normal(0, 2, (frames, 3))
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6), st.lists(st.integers(0, 1), max_size=4), st.integers(0, 99))
def test_no_path_is_more_probable(frames, tokens, seed):
    log_probs = outputs(frames, seed)
    paths = [path for path in product(range(3), repeat=frames) if collapse(np.array(path, int), BLANK) == tokens]
    spans = align(log_probs, tokens, BLANK)
    if not paths:
        assert spans is None
        return
    path = np.full(frames, BLANK)
    for span in spans:
        path[span.begin : span.end] = span.token
        assert span.confidence == pytest.approx(np.exp(log_probs[span.begin : span.end, span.token].max()))
    best = max(sum(log_probs[frame, token] for frame, token in enumerate(one)) for one in paths)
    assert [span.token for span in spans] == tokens and collapse(path, BLANK) == tokens
    assert log_probs[np.arange(frames), path].sum() == pytest.approx(best)


def test_best_path_is_the_path_through_its_tokens():
    log_probs = outputs(50, 0)
    spans = best_path(log_probs, BLANK)
    assert [span.token for span in spans] == collapse(np.argmax(log_probs, -1), BLANK) and spans == align(log_probs, [s.token for s in spans], BLANK)
    assert best_path(log_probs[:0], BLANK) == []
