"""A recogniser: audio to text, words with times and confidences, n-best lists."""

import threading
from collections.abc import Iterator, Sequence
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple, cast

import numpy as np

from asrlib.api.audio import Audio, samples_of
from asrlib.api.long import Stretch, apart, computed, joined
from asrlib.api.networks import Network
from asrlib.api.result import Result
from asrlib.api.stream import NO_STREAM, Stream
from asrlib.decode.align import Span, align, best_path
from asrlib.decode.beam import BeamConfig, BeamDecoder, Hypothesis
from asrlib.decode.greedy import SPACE, tokens_to_text
from asrlib.decode.longform import Word, windows, words_of
from asrlib.decode.run import greedy
from asrlib.utils.errors import UserError

Mode = Literal["greedy", "beam", "joint", "attention", "attention_rescoring"]
CTC: tuple[Mode, ...] = ("greedy", "beam")
ATTENTION: tuple[Mode, ...] = ("joint", "attention", "attention_rescoring")  # of fine-tuned models that have a decoder
BATCH = 8  # clips in a search with attention


class _Clip(NamedTuple):
    """Samples of recording number `row` from `begin` seconds on. space: a word ends with them."""

    row: int
    begin: float
    samples: np.ndarray
    space: bool


class _Part(NamedTuple):
    """What is found in a part of a recording. space: a word ends with it."""

    nbest: list[Hypothesis]
    words: list[Word]
    space: bool


class Model:
    """What `asrlib.load` returns. Threads may share it: the network computes for one at a time.

    framework: mindspore, pytorch, mindir, onnx or espnet; mode: the default of `transcribe`; rate: Hz, other rates are resampled; tokens: the token
    list; modes: what `mode` may be. window, overlap: seconds; recordings that are longer than a window are computed in overlapping windows.
    """

    def __init__(
        self, network: Network, framework: str, mode: Mode, beam: BeamConfig, files: TemporaryDirectory | None = None, folder: Path | None = None
    ):
        """folder: the experiment; files: the same, if it is to be deleted with the model. UserError: the model does not have the mode."""
        self.framework, self.mode, self.rate, self.tokens = framework, mode, network.rate, list(network.tokens)
        self.modes: tuple[Mode, ...] = (*CTC, *ATTENTION) if getattr(network, "joint", False) else CTC
        self.window, self.overlap = 30.0, 4.0
        self._network, self._beam, self._files, self._folder = network, beam, files, folder
        self._decoder: BeamDecoder | None = None
        self._space = self.tokens.index(SPACE) if SPACE in self.tokens else None
        self._lock = threading.Lock()
        self._check(mode)

    def transcribe(
        self, audio: Audio, rate: int | None = None, *, mode: Mode | None = None, nbest: int = 1, channel: int | None = None, vad: bool = False
    ) -> Result:
        """The text of a recording.

        audio: a file (wav, flac, mp3, ...), or an array (samples,) at `rate` Hz, floats in [-1, 1] or integers of 16 or 32 bits. nbest: hypotheses,
        of the searches (greedy has one). channel: of a file with several channels that differ, from 1. vad: a recording that is longer than a window
        is cut in pauses that Silero's voice activity detector finds, not in windows, and what is no speech is left out.
        UserError: a file that cannot be read, an array without a rate, a mode that the model does not have.
        """
        return self.transcribe_all([audio], rate, mode=mode, nbest=nbest, channel=channel, vad=vad)[0]

    def transcribe_all(
        self,
        audios: Sequence[Audio],
        rate: int | None = None,
        *,
        mode: Mode | None = None,
        nbest: int = 1,
        channel: int | None = None,
        vad: bool = False,
    ) -> list[Result]:
        """The same for several recordings, which the network computes in batches."""
        mode = mode or self.mode
        self._check(mode)
        if nbest < 1:
            raise UserError(f"nbest is {nbest}: give 1 or more")
        samples = [samples_of(audio, rate, self.rate, channel) for audio in audios]
        found: list[list[_Part]] = [[] for _ in samples]
        with self._lock:
            for row, part in self._attended(samples, nbest, mode, vad) if mode in ATTENTION else self._searched(samples, nbest, mode, vad):
                found[row].append(part)
        return [self._result(parts, len(audio) / self.rate, nbest) for parts, audio in zip(found, samples, strict=True)]

    def stream(self, rate: int | None = None) -> Stream:
        """A new transcription of samples that arrive a few at a time, at `rate` Hz (None: the model's): accept(samples) -> text so far, finish().

        It computes by itself, in NumPy. UserError: the model is not causal; the message says what to train.
        """
        if self.framework == "espnet" or self._folder is None:
            raise UserError(NO_STREAM)
        return Stream(self._folder, rate, self._files)

    def _check(self, mode: str) -> None:
        if mode not in self.modes:
            raise UserError(f"mode {mode!r}: this model has {', '.join(self.modes)}")
        if self._beam.hotwords and self._beam.hotword_weight and mode not in ("beam", "attention_rescoring"):
            raise UserError(f"mode {mode!r} takes no hot words: choose beam" + (" or attention_rescoring" if "joint" in self.modes else ""))

    def _searched(self, samples: Sequence[np.ndarray], nbest: int, mode: Mode, vad: bool) -> Iterator[tuple[int, _Part]]:
        """The parts of every recording, by number, from CTC alone."""
        for row, stretch in self._stretches(samples, vad):
            if mode == "greedy":
                hypotheses = [greedy(stretch.log_probs, self.tokens, self._network.blank, self._network.separator)]
                words = self._timed(stretch, best_path(stretch.log_probs, self._network.blank))
            else:
                hypotheses = self.beam_decoder().decode(stretch.log_probs, nbest)
                words = self._words(stretch, hypotheses[0])
            yield row, _Part(hypotheses, words, stretch.space)

    def _stretches(self, samples: Sequence[np.ndarray], vad: bool) -> Iterator[tuple[int, Stretch]]:
        """The outputs of every recording, by number."""
        spans = [self._spans(audio, vad) for audio in samples]
        outputs = computed(self._network, (audio[begin:end] for audio, row in zip(samples, spans, strict=True) for begin, end in row))
        for number, (audio, row) in enumerate(zip(samples, spans, strict=True)):
            if vad and self._long(audio):
                parts = apart(outputs, row, self.rate)
            else:
                parts = joined(outputs, row, self.rate, self._network.blank, self._space)
            yield from ((number, part) for part in parts)

    def _long(self, audio: np.ndarray) -> bool:
        return len(audio) > self.window * self.rate

    def _spans(self, audio: np.ndarray, vad: bool) -> list[tuple[int, int]]:
        """What the network computes of a recording: parts with speech, or overlapping windows."""
        if vad and self._long(audio):
            from asrlib.api.vad import speech  # onnxruntime

            return speech(audio, self.rate, self.window)
        return windows(len(audio), round(self.window * self.rate), round(self.overlap * self.rate))

    def _attended(self, samples: Sequence[np.ndarray], nbest: int, mode: Mode, vad: bool) -> Iterator[tuple[int, _Part]]:
        """The parts of every recording, by number, from a search that the decoder takes part in."""
        clips = self._clips(samples, vad)
        while batch := list(islice(clips, BATCH)):
            for clip, part in zip(batch, self._attended_batch(batch, nbest, mode), strict=True):
                yield clip.row, part

    def _clips(self, samples: Sequence[np.ndarray], vad: bool) -> Iterator[_Clip]:
        """Parts that are no longer than a window; without voice activity detection CTC finds the pauses."""
        for row, audio in enumerate(samples):
            if self._long(audio) and not vad:
                for _, part in self._stretches([audio], vad):
                    yield _Clip(row, part.begin, audio[round(part.begin * self.rate) : round(part.end * self.rate)], part.space)
            else:
                for begin, end in self._spans(audio, vad):
                    yield _Clip(row, begin / self.rate, audio[begin:end], True)

    def _attended_batch(self, clips: Sequence[_Clip], nbest: int, mode: Mode) -> Iterator[_Part]:
        recogniser = cast(Any, self._network).model  # asrlib.pt.recogniser.Recogniser
        encoded = [recogniser.encode(clip.samples) for clip in clips]
        decoder = self.beam_decoder() if mode == "attention_rescoring" else None
        for clip, x, hypotheses in zip(clips, encoded, recogniser.search(encoded, mode, decoder), strict=True):
            log_probs = recogniser.log_probs(x)
            stretch = Stretch(clip.begin, len(clip.samples) / self.rate / max(1, len(log_probs)), log_probs, clip.space)
            yield _Part(hypotheses[:nbest], self._words(stretch, hypotheses[0]), clip.space)

    def beam_decoder(self) -> BeamDecoder:
        """The prefix beam search, made when it is first needed. UserError: its language model or its hot words do not fit the tokens."""
        if self._decoder is None:
            self._decoder = BeamDecoder(self.tokens, self._network.blank, self._beam, self._network.separator)
        return self._decoder

    def _result(self, parts: Sequence[_Part], seconds: float, nbest: int) -> Result:
        """The result of a recording from its parts, one after the other."""
        best = parts[0].nbest if parts else [Hypothesis("", 0.0)]
        for before, part in zip(parts, parts[1:], strict=False):
            pairs = sorted(product(best, part.nbest), key=lambda pair: -pair[0].score - pair[1].score)
            best = [self._joined(first, second, before.space) for first, second in pairs[:nbest]]
        return Result(best[0].text, seconds, tuple(word for part in parts for word in part.words), tuple(best))

    def _joined(self, first: Hypothesis, second: Hypothesis, space: bool) -> Hypothesis:
        ids = first.tokens + ((self._space,) if space and self._space is not None else ()) + second.tokens
        return Hypothesis(tokens_to_text(ids, self.tokens, self._network.separator), first.score + second.score, ids)

    def _words(self, part: Stretch, hypothesis: Hypothesis) -> list[Word]:
        ids = list(hypothesis.tokens)
        while ids and self.tokens[ids[-1]] == SPACE:  # a word search ends words with a space
            ids.pop()
        spans = align(part.log_probs, ids, self._network.blank)
        if spans is not None:
            return self._timed(part, spans)
        words = hypothesis.text.split()  # there are fewer frames than tokens
        share = (part.end - part.begin) / max(1, len(words))
        return [Word(word, part.begin + share * i, part.begin + share * (i + 1), 0.0) for i, word in enumerate(words)]

    def _timed(self, part: Stretch, spans: Sequence[Span]) -> list[Word]:
        words = words_of(spans, self.tokens, self._network.separator, part.frame)
        return [Word(word.text, part.begin + word.begin, part.begin + word.end, word.confidence) for word in words]
