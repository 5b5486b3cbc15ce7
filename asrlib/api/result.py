"""What a transcription gives."""

from dataclasses import dataclass

from asrlib.decode.beam import Hypothesis
from asrlib.decode.longform import Word


@dataclass(frozen=True)
class Result:
    """The text of a recording of `seconds` seconds.

    words: with begin and end in seconds and confidence (0 to 1), from the most probable path of CTC through the text; empty if there is none (texts
    that are longer than the network's output). nbest: the best hypotheses, the first one's text is `text`; scores are natural logarithms.
    """

    text: str
    seconds: float
    words: tuple[Word, ...]
    nbest: tuple[Hypothesis, ...]

    def __str__(self) -> str:
        return self.text
