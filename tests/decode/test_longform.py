"""Windows of long recordings, joining of their outputs, and word times."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asrlib.decode.longform import first_cut, own_frames, timed_words, windows

TOKENS = ["A", "B", "<space>", "<blank>"]


@given(st.integers(0, 5000), st.integers(20, 400), st.integers(0, 19))
def test_windows_cover_a_recording(samples, size, overlap):
    spans = windows(samples, size, overlap)
    assert spans[0][0] == 0 and spans[-1][1] == samples
    assert all(end - begin <= size for begin, end in spans)
    assert all(before[1] - after[0] == overlap for before, after in zip(spans, spans[1:], strict=False))


@given(st.integers(1, 100), st.integers(6, 40), st.integers(0, 2))
def test_stitching_gives_the_frames_of_the_whole(frames, size, overlap):
    """Outputs that depend only on time equal those of a single window; frames of 10 samples."""
    whole = np.arange(frames, dtype=np.float32)[:, None]
    spans = windows(10 * frames, 10 * size, 20 * overlap)
    parts = [whole[begin // 10 : end // 10] for begin, end in spans]
    own = [part[own_frames(len(part), number, spans)] for number, part in enumerate(parts)]
    np.testing.assert_array_equal(np.concatenate(own), whole)


def outputs(path):
    return np.log(np.eye(len(TOKENS), dtype=np.float32)[[TOKENS.index(token) for token in path]] + 1e-3)


def test_words_of_characters():
    path = ["<blank>", "A", "A", "<blank>", "B", "<space>", "<blank>", "B", "<blank>", "<blank>"]
    words = timed_words(outputs(path), TOKENS, 3, "", 1.0)
    assert [(w.text, round(w.begin, 3), round(w.end, 3)) for w in words] == [("AB", 0.1, 0.5), ("B", 0.7, 0.8)]


def test_characters_without_a_space_are_words_of_their_own():
    tokens = ["天", "气", "<blank>"]
    path = np.log(np.eye(3, dtype=np.float32)[[0, 2, 1, 1]] + 1e-3)
    assert [word.text for word in timed_words(path, tokens, 2, "", 0.4)] == ["天", "气"]


def test_pieces_and_words():
    pieces = ["\u2581GO", "ING", "\u2581ON", "<blank>"]
    path = np.log(np.eye(4, dtype=np.float32)[[0, 1, 3, 2]] + 1e-3)
    assert [word.text for word in timed_words(path, pieces, 3, "", 0.4)] == ["GOING", "ON"]
    words = ["GO", "ON", "<blank>"]
    path = np.log(np.eye(3, dtype=np.float32)[[0, 2, 1]] + 1e-3)
    assert [word.text for word in timed_words(path, words, 2, " ", 0.3)] == ["GO", "ON"]


def test_confidence_is_the_mean_of_the_tokens():
    path = np.log(np.array([[0.6, 0.1, 0.1, 0.2], [0.9, 0.05, 0.01, 0.04], [0.1, 0.5, 0.1, 0.3]], np.float32))
    assert [round(word.confidence, 3) for word in timed_words(path, TOKENS, 3, "", 0.3)] == [0.7]


@given(st.lists(st.sampled_from([0, 1, 2, 3]), min_size=3, max_size=60), st.integers(2, 20))
def test_cuts_are_in_pauses(path, longest):
    """At a space of the second half if there is one, else at a blank, else between two tokens, else as late as possible."""
    longest = min(longest, len(path) - 1)
    cut, space = first_cut(np.log(np.eye(4)[path] + 1e-3), 3, 2, longest)
    assert 0 < cut <= longest
    half = path[longest // 2 : longest]
    assert space == (2 in half)
    if {2, 3} & set(half):
        assert {path[cut - 1], path[cut]} & {2, 3}
    else:
        assert path[cut - 1] != path[cut] if len(set(half)) > 1 else cut == longest


def test_nothing():
    assert timed_words(np.empty((0, 4), np.float32), TOKENS, 3, "", 0.0) == []
