"""What a transcription gives."""

from dataclasses import dataclass

from asrlib.decode.beam import Hypothesis
from asrlib.decode.longform import Word


@dataclass(frozen=True)
class Result:
    """The text of a recording of `seconds` seconds.

    words: with begin and end in seconds and confidence (0 to 1), from the most probable path of CTC through the text. Where CTC has no path, because
    the text is longer than the network's output, confidences are 0 and times only divide the part of the recording. nbest: the best hypotheses, the
    first one's text is `text`; scores are natural logarithms.
    """

    text: str
    seconds: float
    words: tuple[Word, ...]
    nbest: tuple[Hypothesis, ...]

    def __str__(self) -> str:
        return self.text
