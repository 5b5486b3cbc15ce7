"""A recogniser: audio to text, words with times and confidences, n-best lists."""

import threading
from collections.abc import Sequence
from itertools import islice, product
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from asrlib.api.audio import Audio, samples_of
from asrlib.api.networks import Network
from asrlib.api.result import Result
from asrlib.decode.align import align, best_path
from asrlib.decode.beam import BeamConfig, BeamDecoder, Hypothesis
from asrlib.decode.greedy import SPACE, tokens_to_text
from asrlib.decode.longform import Piece, Word, pieces, stitched, windows, words_of
from asrlib.utils.errors import UserError

Mode = Literal["greedy", "beam", "joint"]
WINDOW, OVERLAP = 30.0, 4.0  # seconds; longer recordings are computed in overlapping windows
JOINT_BATCH = 8  # windows in a joint search


class _Part(NamedTuple):
    """What is found in a part of a recording: its begin and the length of a frame in seconds, outputs (T, V), n best, whether a word ends with it."""

    begin: float
    frame: float
    log_probs: np.ndarray
    nbest: list[Hypothesis]
    space: bool


class Model:
    """What `asrlib.load` returns. Threads may share it: the network computes for one at a time.

    framework: mindspore, pytorch, mindir, onnx or espnet; mode: the default of `transcribe`; rate: Hz, other rates are resampled; tokens: the token
    list; modes: what `mode` may be.
    """

    def __init__(self, network: Network, framework: str, mode: Mode, beam: BeamConfig, files: TemporaryDirectory | None = None):
        """files: the folder that holds what the model reads, deleted with it. UserError: the model does not have the mode."""
        self.framework, self.mode, self.rate, self.tokens = framework, mode, network.rate, list(network.tokens)
        self.modes: tuple[Mode, ...] = ("greedy", "beam", "joint") if getattr(network, "joint", False) else ("greedy", "beam")
        self._network, self._beam, self._files = network, beam, files
        self._decoder: BeamDecoder | None = None
        self._space = self.tokens.index(SPACE) if SPACE in self.tokens else None
        self._lock = threading.Lock()
        self._check(mode)

    def transcribe(self, audio: Audio, rate: int | None = None, *, mode: Mode | None = None, nbest: int = 1, channel: int | None = None) -> Result:
        """The text of a recording.

        audio: a file (wav, flac, mp3, ...), or an array (samples,) at `rate` Hz, floats in [-1, 1] or integers of 16 or 32 bits. nbest: hypotheses,
        of the searches (greedy has one). channel: of a file with several channels that differ, from 1.
        UserError: a file that cannot be read, an array without a rate, a mode that the model does not have.
        """
        return self.transcribe_all([audio], rate, mode=mode, nbest=nbest, channel=channel)[0]

    def transcribe_all(
        self, audios: Sequence[Audio], rate: int | None = None, *, mode: Mode | None = None, nbest: int = 1, channel: int | None = None
    ) -> list[Result]:
        """The same for several recordings, which the network computes in batches."""
        mode = mode or self.mode
        self._check(mode)
        if nbest < 1:
            raise UserError(f"nbest is {nbest}: give 1 or more")
        samples = [samples_of(audio, rate, self.rate, channel) for audio in audios]
        with self._lock:
            if mode == "joint":
                return self._joint(samples, nbest)
            outputs = self._log_probs(samples)
            search = self._greedy if mode == "greedy" else self._prefix_beam
            return [search(x, len(audio) / self.rate, nbest) for x, audio in zip(outputs, samples, strict=True)]

    def _check(self, mode: str) -> None:
        if mode not in self.modes:
            raise UserError(f"mode {mode!r}: this model has {', '.join(self.modes)}")

    def _log_probs(self, samples: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs of whole recordings (T, V), from windows."""
        spans = [windows(len(audio), round(WINDOW * self.rate), round(OVERLAP * self.rate)) for audio in samples]
        cut = [audio[begin:end] for audio, places in zip(samples, spans, strict=True) for begin, end in places]
        parts = iter(self._network.log_probs(cut))
        return [stitched(list(islice(parts, len(places))), places) for places in spans]

    def _greedy(self, log_probs: np.ndarray, seconds: float, nbest: int) -> Result:
        spans = best_path(log_probs, self._network.blank)
        ids = tuple(span.token for span in spans)
        text = tokens_to_text(ids, self.tokens, self._network.separator)
        words = words_of(spans, self.tokens, self._network.separator, seconds / max(1, len(log_probs)))
        return Result(text, seconds, tuple(words), (Hypothesis(text, float(log_probs.max(-1).sum()) if len(log_probs) else 0.0, ids),))

    def _prefix_beam(self, log_probs: np.ndarray, seconds: float, nbest: int) -> Result:
        if self._decoder is None:
            self._decoder = BeamDecoder(self.tokens, self._network.blank, self._beam, self._network.separator)
        frame = seconds / max(1, len(log_probs))
        parts = []
        for begin, end, space in pieces(log_probs, self._network.blank, self._space, round(WINDOW / max(frame, 1e-3))):
            parts.append(_Part(begin * frame, frame, log_probs[begin:end], self._decoder.decode(log_probs[begin:end], nbest), space))
        return self._result(parts, seconds, nbest)

    def _joint(self, samples: Sequence[np.ndarray], nbest: int) -> list[Result]:
        """Recordings longer than a window are cut at pauses, which CTC finds."""
        recogniser = cast(Any, self._network).model  # asrlib.pt.recogniser.Recogniser
        long = [audio for audio in samples if len(audio) > WINDOW * self.rate]
        outputs = iter(self._log_probs(long))
        cuts: list[list[Piece]] = []  # in samples
        for audio in samples:
            if len(audio) <= WINDOW * self.rate:
                cuts.append([Piece(0, len(audio), False)])
                continue
            log_probs = next(outputs)
            step = len(audio) / max(1, len(log_probs))  # samples of a frame
            found = pieces(log_probs, self._network.blank, self._space, int(WINDOW * self.rate / step))
            cuts.append([Piece(round(piece.begin * step), round(piece.end * step), piece.space) for piece in found])
        clips = [audio[piece.begin : piece.end] for audio, row in zip(samples, cuts, strict=True) for piece in row]
        results, every = [], iter(self._searched(recogniser, clips, nbest))
        for audio, row in zip(samples, cuts, strict=True):
            parts = [next(every)._replace(begin=piece.begin / self.rate, space=piece.space) for piece in row]
            results.append(self._result(parts, len(audio) / self.rate, nbest))
        return results

    def _searched(self, recogniser: Any, audios: Sequence[np.ndarray], nbest: int) -> list[_Part]:
        found = []
        for first in range(0, len(audios), JOINT_BATCH):
            batch = audios[first : first + JOINT_BATCH]
            encoded = [recogniser.encode(audio) for audio in batch]
            for audio, x, hypotheses in zip(batch, encoded, recogniser.search(encoded), strict=True):
                log_probs = recogniser.log_probs(x)
                texts: dict[str, Hypothesis] = {}
                for hypothesis in hypotheses:
                    ids = tuple(token for token in hypothesis.tokens if token != self._network.blank)
                    text = recogniser.text(ids)
                    texts.setdefault(text, Hypothesis(text, hypothesis.score, ids))
                best = list(texts.values())[:nbest] or [Hypothesis("", 0.0)]
                found.append(_Part(0.0, len(audio) / self.rate / max(1, len(log_probs)), log_probs, best, False))
        return found

    def _result(self, parts: Sequence[_Part], seconds: float, nbest: int) -> Result:
        """The result of a recording from its parts, one after the other."""
        words = [word for part in parts for word in self._words(part)]
        best = parts[0].nbest
        for before, part in zip(parts, parts[1:], strict=False):
            pairs = sorted(product(best, part.nbest), key=lambda pair: -pair[0].score - pair[1].score)
            best = [self._joined(first, second, before.space) for first, second in pairs[:nbest]]
        return Result(best[0].text, seconds, tuple(words), tuple(best))

    def _joined(self, first: Hypothesis, second: Hypothesis, space: bool) -> Hypothesis:
        ids = first.tokens + ((self._space,) if space and self._space is not None else ()) + second.tokens
        return Hypothesis(tokens_to_text(ids, self.tokens, self._network.separator), first.score + second.score, ids)

    def _words(self, part: _Part) -> list[Word]:
        ids = list(part.nbest[0].tokens)
        while ids and self.tokens[ids[-1]] == SPACE:  # a word search ends words with a space
            ids.pop()
        spans = align(part.log_probs, ids, self._network.blank) or []
        words = words_of(spans, self.tokens, self._network.separator, part.frame)
        return [Word(word.text, part.begin + word.begin, part.begin + word.end, word.confidence) for word in words]
