"""A fine-tuned ESPnet model that takes audio: CTC log-probabilities, or hypotheses of the searches that its decoder takes part in."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from espnet2.asr.encoder.conformer_encoder import TooShortUttError

from asrlib.config.base import read_yaml
from asrlib.decode.beam import BeamDecoder, Hypothesis
from asrlib.decode.greedy import SPACE, tokens_to_text
from asrlib.pt.asr_model import load_asr_model
from asrlib.pt.device import OutOfMemory, activate, choose, memory_faults
from asrlib.pt.joint.decoder import supported
from asrlib.pt.joint.espnet_search import espnet_search, load_lm
from asrlib.pt.joint.rescoring import rescore
from asrlib.pt.joint.search import Hypothesis as Found
from asrlib.pt.joint.search import Options, joint_search
from asrlib.utils.errors import UserError

INFERENCE = "inference"  # folder of the model that takes audio, in the experiment
RATE = 16000
FRAME = 400  # samples: the receptive field of HuBERT's convolutions; a window of ESPnet's log-mel features has 512
BLANK = 0
SEARCHES = ("joint", "attention", "attention_rescoring")  # modes that need an attention decoder
Output = list[Hypothesis] | np.ndarray  # best first, at least one, or log-probabilities (T, V) of the tokens


@dataclass
class JointConfig:
    """Options of the joint CTC/attention beam search (Watanabe et al. 2017) in ESPnet's asr_inference."""

    beam_size: int = 10
    ctc_weight: float = 0.5
    penalty: float = 0.0  # added per token
    maxlenratio: float = 0.0  # longest output relative to the encoder's frames; 0: the search detects the end
    minlenratio: float = 0.0  # shortest output relative to the encoder's frames
    lm_weight: float = 0.3  # weight of ESPnet's language model, if lm_model is given
    lm_config: str = ""  # config.yaml of the language model
    lm_model: str = ""  # weights of the language model


class Recogniser:
    """A fine-tuned model. device: PyTorch's name, "cpu" or "cuda:0". UserError: exp_dir has none, or it does not fit into the device's memory."""

    def __init__(self, exp_dir: Path, joint: JointConfig, device: str = "cpu"):
        activate(device)
        config, weights = model_files(exp_dir)
        self.tokens: list[str] = list(read_yaml(config)["token_list"])
        with memory_faults(f"the model on {device}"):
            self.model, self.device = load_asr_model(config, weights, device), device
            self.lm = load_lm(joint.lm_config, joint.lm_model, device) if joint.lm_model else None
        beam_size, lm_weight = min(joint.beam_size, len(self.tokens)), joint.lm_weight if self.lm else 0.0
        self.options = Options(beam_size, joint.ctc_weight, joint.penalty, joint.maxlenratio, joint.minlenratio, lm_weight)

    def __call__(self, audios: Sequence[np.ndarray], mode: str, decoder: BeamDecoder | None = None) -> list[Output]:
        """audios: (samples,) each, at 16 kHz -> the hypotheses of a mode of `search`, for other modes the CTC log-probabilities (T, V).

        Audio that is shorter than a frame, or than what the encoder's subsampling needs, has an empty text and no frames. OutOfMemory: the device has
        too little for these.
        """
        with memory_faults(f"{sum(map(len, audios)) / RATE:.1f} s of audio on {self.device}"):
            encoded = [self.encode(audio) for audio in audios]
            return self.search(encoded, mode, decoder) if mode in SEARCHES else [self.log_probs(x) for x in encoded]

    def encode(self, audio: np.ndarray) -> torch.Tensor | None:
        """The encoder's output (T, D); None: the audio is too short. One utterance at a time: padding would change the convolutions' output."""
        if len(audio) >= FRAME:
            with contextlib.suppress(TooShortUttError), torch.inference_mode():
                speech = torch.from_numpy(audio)[None].to(self.device)
                encoded, _ = self.model.encode(speech, torch.tensor([len(audio)], device=self.device))
                return (encoded[0] if isinstance(encoded, tuple) else encoded)[0]
        return None

    def log_probs(self, encoded: torch.Tensor | None) -> np.ndarray:
        """CTC's log-probabilities (T, V) of an output of `encode`."""
        if encoded is None:
            return np.empty((0, len(self.tokens)), np.float32)
        with torch.inference_mode():
            return self.model.ctc.log_softmax(encoded[None])[0].cpu().numpy()

    def search(self, encoded: Sequence[torch.Tensor | None], mode: str = "joint", decoder: BeamDecoder | None = None) -> list[list[Hypothesis]]:
        """The hypotheses of outputs of `encode`, best first, with different texts; an empty one for audio that is too short.

        mode: joint; attention, without CTC; or attention_rescoring, of the hypotheses of `decoder`, CTC's prefix beam search.
        """
        present = [x for x in encoded if x is not None]
        if mode == "attention_rescoring":
            assert decoder is not None
            answers = iter([self._rescored(x, decoder) for x in present])
        else:
            options = self.options if mode == "joint" else replace(self.options, ctc_weight=0.0)
            answers = iter(self._search(present, options) if present else [])
        return [self._distinct([] if x is None else next(answers)) for x in encoded]

    def _search(self, encoded: list[torch.Tensor], options: Options) -> list[list[Found]]:
        """The hypotheses of each utterance; decoders that StepDecoder does not know go through ESPnet's own search."""
        if options.ctc_weight == 1 or supported(self.model.decoder):
            return joint_search(self.model, encoded, options, self.lm)
        return [espnet_search(self.model, x, options, self.lm) for x in encoded]

    def _rescored(self, encoded: torch.Tensor, decoder: BeamDecoder) -> list[Found]:
        candidates = decoder.decode(self.log_probs(encoded), self.options.beam_size)
        return rescore(self.model, encoded, [Found(self._spelled(found), found.score) for found in candidates], self.options)

    def _spelled(self, found: Hypothesis) -> tuple[int, ...]:
        """The tokens without the space with which a search over words ends them."""
        ids = found.tokens
        while ids and self.tokens[ids[-1]] == SPACE:
            ids = ids[:-1]
        return ids

    def _distinct(self, found: Sequence[Found]) -> list[Hypothesis]:
        texts: dict[str, Hypothesis] = {}
        for hypothesis in found:
            ids = tuple(token for token in hypothesis.tokens if token != BLANK)
            text = self.text(ids)
            texts.setdefault(text, Hypothesis(text, hypothesis.score, ids))
        return list(texts.values()) or [Hypothesis("", 0.0)]

    def text(self, tokens: Sequence[int]) -> str:
        """The text of token ids."""
        return tokens_to_text([token for token in tokens if token != BLANK], self.tokens, separator(self.tokens))


def model_files(exp_dir: Path) -> tuple[Path, Path]:
    """Configuration and weights of the model that takes audio. UserError: fine-tuning has not finished."""
    config, models = exp_dir / INFERENCE / "config.yaml", [exp_dir / INFERENCE / f"model{suffix}" for suffix in (".pth", ".safetensors")]
    model = next((path for path in models if path.is_file()), None)
    if not config.is_file() or model is None:
        raise UserError(f"{config.parent} has no model: finish the fine-tuning (run stage 5)")
    return config, model


class CtcTranscriber:
    """A fine-tuned model that returns the CTC log-probabilities of audio."""

    def __init__(self, exp_dir: Path, device: str = "cpu", joint: JointConfig | None = None):
        """device: a kind, auto, cpu, cuda or npu. joint: settings of the joint search."""
        self.model, self.rate, self.blank = Recogniser(exp_dir, joint or JointConfig(), choose(device).names()[0]), RATE, BLANK
        self.tokens, self.separator = self.model.tokens, separator(self.model.tokens)
        self.joint = self.model.model.ctc_weight < 1.0  # else trained with CTC only: it has no attention decoder

    def log_probs(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """(samples,) each -> (T', V) each."""
        try:
            return self.model(audios, "ctc")
        except OutOfMemory as error:
            raise UserError(f"{error}: give a smaller --window, or --asr_device cpu") from None


def separator(tokens: Sequence[str]) -> str:
    """The string between tokens in a text: a space if the tokens are words, "" for characters and pieces."""
    return " " if any(len(token) > 1 and not token.startswith("<") and "\u2581" not in token for token in tokens) else ""
