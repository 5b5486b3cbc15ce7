"""Transcription while a recording arrives."""

import time
from array import array
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soxr

from asrlib.api.causal import CONTEXT, CausalDeepSpeech2
from asrlib.api.networks import FILES
from asrlib.api.result import Result
from asrlib.config.ctc import TrainConfig
from asrlib.config.families import load_train_config
from asrlib.config.models.deepspeech2 import DeepSpeech2Config
from asrlib.convert.rules import pytorch_name
from asrlib.decode.align import path_spans
from asrlib.decode.beam import Hypothesis
from asrlib.decode.greedy import collapse, tokens_to_text
from asrlib.decode.longform import words_of
from asrlib.features.spectrogram import RunningNorm, spectra
from asrlib.text.tokenizers import load_tokenizer
from asrlib.utils.arrays import read_safetensors
from asrlib.utils.errors import UserError

CAUSAL = 'train a DeepSpeech2 with --train_args "model_conf.bidirectional=false features.normalize_causal=true"'
NO_STREAM = f"a model fine-tuned in ESPnet cannot stream, because its encoder sees the whole recording: {CAUSAL}"
WEIGHTS = ("mindspore", "pytorch")  # whose files hold weights


class Stream:
    """What `asrlib.load(...).stream()` returns: samples in, text out, with the greedy search. One thread at a time.

    rate: Hz of the samples; text: so far, which only ever grows at its end; look_ahead: seconds after a frame that its output needs; seconds: of
    audio so far; busy: seconds of work so far.
    """

    def __init__(self, folder: Path, rate: int | None = None, files: TemporaryDirectory | None = None):
        """folder: an experiment; rate: None: the model's; files: the folder, if it is to be deleted with
        the stream. UserError: the model is not causal, or a graph without its weights."""
        self._files = files
        self._config = config = load_train_config(folder / "config.yaml")
        network, tokenizer = _causal(config, folder), load_tokenizer(folder / "tokens.txt")
        file = next((folder / FILES[name] for name in WEIGHTS if (folder / FILES[name]).is_file()), None)
        if file is None:
            raise UserError(f"{folder}: streaming needs weights, of MindSpore or PyTorch: run stage 3, or pack the model with --framework mindspore")
        self._network = CausalDeepSpeech2(network, {pytorch_name(name): value for name, value in read_safetensors(file).items()})
        self._tokens, self._blank, self._separator = tokenizer.tokens, tokenizer.blank, tokenizer.separator
        self.rate, wanted = rate or config.features.sample_rate, config.features.sample_rate
        self._resampler = None if self.rate == wanted else soxr.ResampleStream(self.rate, wanted, 1, dtype="float32")
        frames = CONTEXT + 2 * (CONTEXT + network.lookahead_context)  # the first convolution halves the rate
        self.look_ahead = frames * config.features.window_stride + config.features.window_size / 2
        self._normalize = RunningNorm() if config.features.normalize else None
        self._samples = np.zeros(config.features.window_samples // 2, np.float32)  # that the next frame begins with
        self._count, self.busy, self.text, self.seconds = 0, 0.0, "", 0.0
        self._path, self._scores, self._ids, self._finished = array("i"), array("f"), array("i"), False

    def accept(self, samples: np.ndarray) -> str:
        """The text with the next samples (n,), floats in [-1, 1] or integers of 16 or 32 bits. UserError: other arrays; the stream has ended."""
        self._add(samples, False)
        return self.text

    def finish(self) -> Result:
        """The result of the whole recording: that of `transcribe` on a recording that fits into a window."""
        self._add(np.zeros(0, np.float32), True)
        path, scores = np.array(self._path, int), np.array(self._scores, np.float32)
        frame = self.seconds / max(1, len(path))
        words = words_of(path_spans(path, scores, self._blank), self._tokens, self._separator, frame) if len(path) else []
        return Result(self.text, self.seconds, tuple(words), (Hypothesis(self.text, float(scores.sum()), tuple(self._ids)),))

    def log_probs(self, samples: np.ndarray, last: bool = False) -> np.ndarray:
        """The network's outputs (m, V) for the next samples (n,) float32 at the model's rate."""
        config = self._config.features
        self._count += len(samples)
        ends = [np.zeros(config.window_samples // 2, np.float32)] if last else []
        kept = np.concatenate([self._samples, samples, *ends])
        count = max(0, (len(kept) - config.window_samples) // config.stride_samples + 1)
        self._samples = kept[count * config.stride_samples :]
        feats = spectra(kept, config) if count else np.empty((0, config.dim), np.float32)
        outputs = self._network(self._normalize(feats) if self._normalize else feats, last)
        return outputs[:0] if last and self._count < config.window_samples else outputs

    def _add(self, samples: np.ndarray, last: bool) -> None:
        if self._finished:
            raise UserError("this stream has ended: begin another one with stream()")
        begin = time.perf_counter()
        self._finished = last
        samples = _floats(samples)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=last)
        outputs = self.log_probs(samples, last)
        self.seconds = self._count / self._config.features.sample_rate
        if len(outputs):
            self._extend(outputs)
        self.busy += time.perf_counter() - begin

    def _extend(self, outputs: np.ndarray) -> None:
        """The text after the next outputs."""
        path = outputs.argmax(-1)
        before = self._path[-1] if self._path else self._blank
        new = collapse(np.concatenate([[before], path]), self._blank)[0 if before == self._blank else 1 :]
        self._path.extend(path.tolist())
        self._scores.extend(outputs.max(-1).tolist())
        if new:
            self._ids.extend(new)
            self.text = tokens_to_text(self._ids, self._tokens, self._separator)


def _causal(config: TrainConfig, folder: Path) -> DeepSpeech2Config:
    """The shape of a network that does not need the end of a recording. UserError: it does."""
    network, features, faults = config.model_conf, config.features, []
    if not isinstance(network, DeepSpeech2Config):
        faults.append(f"{config.model} sees both sides of every frame")
    elif network.bidirectional:
        faults.append("its recurrent layers run from both ends")
    if features.type != "spectrogram" or (features.normalize and not features.normalize_causal):
        faults.append("its features are normalised over the whole recording")
    if features.type == "spectrogram" and features.pad_mode != "constant":
        faults.append("its first frame mirrors later samples")
    if faults or not isinstance(network, DeepSpeech2Config):
        raise UserError(f"{folder}: the model cannot stream, because {' and '.join(faults)}: {CAUSAL}")
    return network


def _floats(samples: np.ndarray) -> np.ndarray:
    if samples.ndim != 1 or not (np.issubdtype(samples.dtype, np.floating) or samples.dtype in (np.int16, np.int32)):
        raise UserError(f"an array of {samples.dtype} and shape {samples.shape}: give (samples,), floats in [-1, 1], int16 or int32")
    if samples.dtype in (np.int16, np.int32):
        return samples.astype(np.float32) / np.float32(-np.iinfo(samples.dtype).min)
    return samples.astype(np.float32, copy=False)
