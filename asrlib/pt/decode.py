"""Decoding of Kaldi directories with a fine-tuned ESPnet model on all cores: CTC best path, CTC prefix beam search or joint beam search."""

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from espnet2.asr.encoder.conformer_encoder import TooShortUttError

from asrlib.config.base import read_yaml
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.decode.beam import BeamConfig
from asrlib.decode.run import decode_all, write_hypotheses
from asrlib.pt.finetune import INFERENCE, register
from asrlib.pt.joint.decoder import supported
from asrlib.pt.joint.search import Hypothesis, Options, joint_search
from asrlib.utils.errors import UserError
from asrlib.utils.parallel import run_jobs, split_evenly
from asrlib.utils.progress import progress

RATE = 16000
FRAME = 400  # samples: the receptive field of HuBERT's convolutions; a window of ESPnet's log-mel features has 512
UTTERANCES = 8  # minimum per process: starting a process takes longer than decoding a few short utterances
BATCH = {"cpu": 8, "cuda": 32}  # utterances that are searched together
Output = str | np.ndarray  # a text, or log-probabilities (T, V) of the tokens
Answer = tuple[Output, float, float]  # output, seconds of work, seconds of audio


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
    """A fine-tuned model that takes audio."""

    def __init__(self, exp_dir: Path, joint: JointConfig, device: str = "cpu"):
        from espnet2.bin.asr_inference import Speech2Text

        register()
        config, model = _model_files(exp_dir)
        tokens = read_yaml(config)["token_list"]
        lm = {"lm_train_config": joint.lm_config, "lm_file": joint.lm_model, "lm_weight": joint.lm_weight} if joint.lm_model else {"lm_weight": 0.0}
        self.speech2text = Speech2Text(
            asr_train_config=str(config), asr_model_file=str(model), device=device,
            beam_size=min(joint.beam_size, len(tokens)), ctc_weight=joint.ctc_weight,
            penalty=joint.penalty, maxlenratio=joint.maxlenratio, minlenratio=joint.minlenratio, **lm,
        )  # fmt: skip
        self.model, self.device = self.speech2text.asr_model.eval(), device
        self.tokens: list[str] = list(tokens)
        self.options = Options(
            self.speech2text.beam_search.beam_size, joint.ctc_weight, joint.penalty, joint.maxlenratio, joint.minlenratio, lm.get("lm_weight", 0.0)
        )

    def __call__(self, audios: Sequence[np.ndarray], mode: str) -> list[Output]:
        """audios: (samples,) each, at 16 kHz -> the texts if mode is "joint", otherwise the CTC log-probabilities (T, V).

        Audio that is shorter than a frame, or than what the encoder's subsampling needs, has an empty text and no frames.
        """
        encoded = [self._encode(audio) for audio in audios]
        if mode == "joint":
            return self._texts(encoded)
        with torch.inference_mode():
            empty = np.empty((0, len(self.tokens)), np.float32)
            return [empty if x is None else self.model.ctc.log_softmax(x[None])[0].cpu().numpy() for x in encoded]

    def _encode(self, audio: np.ndarray) -> torch.Tensor | None:
        """The encoder's output (T, D); None: the audio is too short. One utterance at a time: padding would change the convolutions' output."""
        if len(audio) >= FRAME:
            with contextlib.suppress(TooShortUttError), torch.inference_mode():
                speech = torch.from_numpy(audio)[None].to(self.device)
                encoded, _ = self.model.encode(speech, torch.tensor([len(audio)], device=self.device))
                return (encoded[0] if isinstance(encoded, tuple) else encoded)[0]
        return None

    def _texts(self, encoded: Sequence[torch.Tensor | None]) -> list[str]:
        present = [x for x in encoded if x is not None]
        answers = iter(self._search(present) if present else [])
        return ["" if x is None else self._text(next(answers)) for x in encoded]

    def _search(self, encoded: list[torch.Tensor]) -> list[list[Hypothesis]]:
        """The hypotheses of each utterance. Decoders other than the recipes' go through ESPnet's own search."""
        if supported(self.model.decoder):
            return joint_search(self.model, encoded, self.options, self.speech2text.beam_search.full_scorers.get("lm"))
        bounds = {"maxlenratio": self.options.maxlenratio, "minlenratio": self.options.minlenratio}
        with torch.inference_mode():
            answers = [self.speech2text.beam_search(x=x, **bounds) for x in encoded]
        return [[Hypothesis(tuple(h.yseq[1:-1].tolist()), float(h.score)) for h in answer] for answer in answers]

    def _text(self, hypotheses: Sequence[Hypothesis]) -> str:
        if not hypotheses:
            return ""
        tokens = self.speech2text.converter.ids2tokens([token for token in hypotheses[0].tokens if token != 0])
        return self.speech2text.tokenizer.tokens2text(tokens)


def _model_files(exp_dir: Path) -> tuple[Path, Path]:
    """Configuration and weights of the model that takes audio. UserError: fine-tuning has not finished."""
    config, model = exp_dir / INFERENCE / "config.yaml", exp_dir / INFERENCE / "model.pth"
    if not (config.is_file() and model.is_file()):
        raise UserError(f"{config.parent} has no model: finish the fine-tuning (run stage 5)")
    return config, model


class CtcTranscriber:
    """A fine-tuned model that returns the CTC log-probabilities of audio."""

    def __init__(self, exp_dir: Path, device: str = "cpu"):
        self.model, self.rate, self.blank = Recogniser(exp_dir, JointConfig(), device), RATE, 0
        self.tokens, self.separator = self.model.tokens, separator(self.model.tokens)

    def log_probs(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """(samples,) each -> (T', V) each."""
        return self.model(audios, "ctc")


def separator(tokens: Sequence[str]) -> str:
    """The string between tokens in a text: a space if the tokens are words, "" for characters and pieces."""
    return " " if any(len(token) > 1 and not token.startswith("<") and "\u2581" not in token for token in tokens) else ""


@dataclass(frozen=True)
class Job:
    """The settings of a decoding process."""

    exp_dir: Path
    mode: str
    joint: JointConfig
    device: str


def decode_dirs(
    exp_dir: Path,
    data_dirs: Sequence[Path],
    out: Path,
    modes: Sequence[str],
    beam: BeamConfig,
    joint: JointConfig,
    nj: int,
    device: str = "cpu",
    backend: str = "local",
) -> None:
    """Writes OUT/decode_MODE/SET/text and rtf.json for every mode (greedy, beam, joint) and Kaldi directory.

    UserError: no model, mode joint without an attention decoder, audio that cannot be read.
    """
    if "joint" in modes and read_yaml(_model_files(exp_dir)[0]).get("model_conf", {}).get("ctc_weight") == 1.0:
        raise UserError(f"{exp_dir} was trained with CTC only and has no attention decoder: choose greedy or beam")
    sets = {path.name: list(KaldiDir.read(path).utterances()) for path in data_dirs}
    utterances = [utterance for part in sets.values() for utterance in part]
    nj = max(1, min(nj, len(utterances) // UTTERANCES))
    for group in ([mode for mode in modes if mode != "joint"], [mode for mode in modes if mode == "joint"]):  # CTC modes share the outputs
        if not group:
            continue
        answers = iter(_answers(Job(exp_dir, group[0], joint, device), utterances, nj, backend, out / "log"))
        for name, part in sets.items():
            outputs = [next(answers) for _ in part]
            for mode in group:
                _write(out / f"decode_{mode}" / name, mode, part, outputs, exp_dir, beam, nj)


def _write(folder: Path, mode: str, utterances: Sequence[Utterance], answers: Sequence[Answer], exp_dir: Path, beam: BeamConfig, nj: int) -> None:
    outputs, seconds, begin = [answer[0] for answer in answers], sum(answer[1] for answer in answers) / nj, time.perf_counter()
    if mode != "joint":
        tokens = list(read_yaml(_model_files(exp_dir)[0])["token_list"])
        outputs = decode_all(outputs, tokens, 0, mode, beam, nj, separator(tokens))
    seconds += time.perf_counter() - begin
    texts = {utterance.id: text for utterance, text in zip(utterances, outputs, strict=True)}
    write_hypotheses(folder, texts, sum(answer[2] for answer in answers), seconds, {"processes": nj})


def _answers(job: Job, utterances: Sequence[Utterance], nj: int, backend: str, log_dir: Path) -> list[Answer]:
    """The outputs of the utterances, in order."""
    size = BATCH[torch.device(job.device).type]
    if backend == "slurm":
        parts = [(job, part, size) for part in split_evenly(utterances, nj)]
        return [answer for part in run_jobs(_part, parts, log_dir, nj, backend, "decoding") for answer in part]
    size = max(1, min(size, len(utterances) // (2 * nj)))
    batches = [utterances[i : i + size] for i in range(0, len(utterances), size)]
    with progress(desc=f"decoding ({job.mode})", total=len(utterances), unit="utt") as bar:
        if nj > 1:
            return _in_processes(job, batches, nj, bar)
        _load(job)
        return [answer for batch in batches for answer in _shown(bar, _batch(batch))]


def _in_processes(job: Job, batches: Sequence[Sequence[Utterance]], nj: int, bar) -> list[Answer]:
    try:
        with ProcessPoolExecutor(nj, get_context("spawn"), _start, (job,)) as pool:
            return [answer for answers in pool.map(_batch, batches) for answer in _shown(bar, answers)]
    except BrokenProcessPool:
        raise UserError(f"a decoding process was killed (out of memory?): try --nj below {nj}") from None


def _shown(bar, answers: list[Answer]) -> list[Answer]:
    bar.update(len(answers))
    return answers


# State of a worker process
_recogniser: Recogniser | None = None
_error: UserError | None = None
_mode = ""


def _load(job: Job) -> None:
    global _recogniser, _mode
    _recogniser, _mode = Recogniser(job.exp_dir, job.joint, job.device), job.mode


def _start(job: Job) -> None:
    global _error
    torch.set_num_threads(1)
    try:
        _load(job)
    except UserError as error:  # raised by the first utterance: an exception here would break the pool without a message
        _error = error


def _batch(utterances: Sequence[Utterance]) -> list[Answer]:
    if _error is not None:
        raise _error
    audios = [utterance.audio(RATE) for utterance in utterances]
    begin = time.perf_counter()
    outputs = _recogniser(audios, _mode)
    seconds = (time.perf_counter() - begin) / len(audios)
    return [(output, seconds, len(audio) / RATE) for output, audio in zip(outputs, audios, strict=True)]


def _part(job: Job, utterances: Sequence[Utterance], size: int) -> list[Answer]:
    _load(job)
    return [answer for i in range(0, len(utterances), size) for answer in _batch(utterances[i : i + size])]
