"""CTC decoding without search: the best token of each frame, repeats merged, blanks removed (Graves et al. 2006)."""

from collections.abc import Sequence

import numpy as np

SPACE, BOUNDARY = "<space>", "\u2581"  # tokens: a space; what pieces that begin a word begin with


def ctc_greedy(log_probs: np.ndarray, blank: int) -> list[int]:
    """Token ids of the best path; log_probs: (T, V), or any monotone function of the probabilities."""
    return collapse(np.argmax(log_probs, axis=-1), blank) if len(log_probs) else []


def collapse(path: np.ndarray, blank: int) -> list[int]:
    """The labelling of an alignment (T,): repeats merged, then blanks removed."""
    path = np.asarray(path)
    new = np.ones(len(path), dtype=bool)
    new[1:] = path[1:] != path[:-1]
    return path[new & (path != blank)].tolist()


def tokens_to_text(ids: Sequence[int], tokens: Sequence[str], separator: str = "") -> str:
    """Joins tokens to text: `<space>` and SentencePiece's U+2581 become spaces, runs of spaces one, none at the ends.

    separator: "" for characters and pieces, " " for tokens that are words.
    """
    text = separator.join(" " if tokens[i] == SPACE else tokens[i] for i in ids)
    return " ".join(text.replace(BOUNDARY, " ").split())
