"""Decoding of a Kaldi directory with a fine-tuned ESPnet model: CTC best path or prefix beam, or ESPnet's joint CTC/attention beam search, on all cores."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.corpora.kaldi_table import write_table
from asrlib.decode.beam import BeamConfig
from asrlib.decode.run import decode_all
from asrlib.pt.finetune import INFERENCE, register
from asrlib.utils.config import read_yaml
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger
from asrlib.utils.parallel import run_jobs, split_evenly
from asrlib.utils.progress import progress

log = get_logger(__name__)

RATE = 16000
Output = str | np.ndarray  # a text, or log-probabilities (T, V) of the tokens


@dataclass
class JointConfig:
    """Joint CTC/attention beam search (Watanabe et al. 2017), as ESPnet's asr_inference has it."""

    beam_size: int = 10
    ctc_weight: float = 0.5
    penalty: float = 0.0  # added for each token
    maxlenratio: float = 0.0  # of the encoder's frames; 0: the search finds the end
    minlenratio: float = 0.0
    lm_weight: float = 0.3  # of ESPnet's language model, if there is one
    lm_config: str = ""  # its config.yaml
    lm_model: str = ""  # its weights


class Recogniser:
    """A fine-tuned model that takes audio."""

    def __init__(self, exp_dir: Path, joint: JointConfig, device: str = "cpu"):
        from espnet2.bin.asr_inference import Speech2Text

        register()
        config, model = _model_files(exp_dir)
        tokens = read_yaml(config)["token_list"]
        lm = {"lm_train_config": joint.lm_config, "lm_file": joint.lm_model, "lm_weight": joint.lm_weight} if joint.lm_model else {"lm_weight": 0.0}
        self.speech2text = Speech2Text(
            asr_train_config=str(config), asr_model_file=str(model), device=device, beam_size=min(joint.beam_size, len(tokens)), ctc_weight=joint.ctc_weight,
            penalty=joint.penalty, maxlenratio=joint.maxlenratio, minlenratio=joint.minlenratio, **lm,
        )  # fmt: skip
        self.model, self.device = self.speech2text.asr_model.eval(), device
        self.tokens: list[str] = list(tokens)

    def __call__(self, audio: np.ndarray, mode: str) -> Output:
        """audio (samples,) at 16 kHz; mode "joint": the text; else the log-probabilities of CTC."""
        if mode == "joint":
            return self.speech2text(audio)[0][0]
        with torch.inference_mode():
            speech = torch.from_numpy(audio)[None].to(self.device)
            encoded, _ = self.model.encode(speech, torch.tensor([len(audio)], device=self.device))
            return self.model.ctc.log_softmax(encoded[0] if isinstance(encoded, tuple) else encoded)[0].cpu().numpy()


def _model_files(exp_dir: Path) -> tuple[Path, Path]:
    """Configuration and weights of the model that takes audio."""
    config, model = exp_dir / INFERENCE / "config.yaml", exp_dir / INFERENCE / "model.pth"
    if not (config.is_file() and model.is_file()):
        raise UserError(f"{config.parent} has no model: run stage 5 (fine-tuning) to its end")
    return config, model


class CtcTranscriber:
    """A fine-tuned model from audio to the log-probabilities of its CTC."""

    def __init__(self, exp_dir: Path, device: str = "cpu"):
        self.model, self.rate, self.blank = Recogniser(exp_dir, JointConfig(), device), RATE, 0
        self.tokens, self.separator = self.model.tokens, separator(self.model.tokens)

    def log_probs(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """(samples,) each -> (T', V) each."""
        return [self.model(audio, "ctc") for audio in audios]


def separator(tokens: Sequence[str]) -> str:
    """What stands between tokens in a text: a space between words, nothing between characters and pieces."""
    return " " if any(len(token) > 1 and not token.startswith("<") and "\u2581" not in token for token in tokens) else ""


@dataclass(frozen=True)
class Job:
    """What each process needs to know."""

    exp_dir: Path
    mode: str
    joint: JointConfig
    device: str


def decode_dir(
    exp_dir: Path, data_dir: Path, out: Path, mode: str, config: BeamConfig | JointConfig, nj: int, device: str = "cpu", backend: str = "local"
) -> None:
    """Writes OUT/text and OUT/rtf.json. mode: greedy, beam (both CTC) or joint. UserError: no model, none for that mode, audio that cannot be read."""
    if mode == "joint" and read_yaml(_model_files(exp_dir)[0]).get("model_conf", {}).get("ctc_weight") == 1.0:
        raise UserError(f"{exp_dir} was trained with CTC alone and has no attention decoder: choose --mode greedy or beam")
    utterances = list(KaldiDir.read(data_dir).utterances())
    job = Job(exp_dir, mode, config if isinstance(config, JointConfig) else JointConfig(), device)
    nj = max(1, min(nj, len(utterances)))
    outputs, seconds, audio_seconds, tokens = _outputs(job, utterances, nj, backend, out / "log")
    begin = time.perf_counter()
    if mode != "joint":
        outputs = decode_all(outputs, tokens, 0, mode, config if mode == "beam" else None, nj, separator(tokens))
    seconds += time.perf_counter() - begin
    write_table(out / "text", {utterance.id: text for utterance, text in zip(utterances, outputs, strict=True)})
    facts = {"audio_seconds": round(audio_seconds, 2), "real_time_factor": round(seconds / audio_seconds, 5), "processes": nj}
    with atomic_write(out / "rtf.json") as stream:
        json.dump(facts, stream, indent=1)
    empty = sum(not text for text in outputs)
    log.info("%d utterances, %d of them empty, real-time factor %.4f -> %s", len(outputs), empty, facts["real_time_factor"], out / "text")


def _outputs(job: Job, utterances: Sequence[Utterance], nj: int, backend: str, log_dir: Path) -> tuple[list[Output], float, float, list[str]]:
    """Outputs in order, seconds of work divided by the processes, seconds of audio, tokens."""
    if backend == "slurm":
        parts = [(job, part) for part in split_evenly(utterances, nj)]
        answers = [answer for part in run_jobs(_part, parts, log_dir, nj, backend, "decoding") for answer in part]
    elif nj == 1:
        _load(job)
        answers = [_one(utterance) for utterance in progress(utterances, desc=f"decoding ({job.mode})", unit="utt")]
    else:
        try:
            with ProcessPoolExecutor(nj, get_context("spawn"), _start, (job,)) as pool:
                answers = list(progress(pool.map(_one, utterances), desc=f"decoding ({job.mode})", total=len(utterances), unit="utt"))
        except BrokenProcessPool:
            raise UserError(f"a process of the decoding was killed (out of memory?): try --nj below {nj}") from None
    return [a[0] for a in answers], sum(a[1] for a in answers) / nj, sum(a[2] for a in answers), list(read_yaml(job.exp_dir / INFERENCE / "config.yaml")["token_list"])


_recogniser: Recogniser | None = None  # of a process
_fault: UserError | None = None
_mode = ""


def _load(job: Job) -> None:
    global _recogniser, _mode
    _recogniser, _mode = Recogniser(job.exp_dir, job.joint, job.device), job.mode


def _start(job: Job) -> None:
    global _fault
    torch.set_num_threads(1)
    try:
        _load(job)
    except UserError as error:  # an exception here would only break the pool
        _fault = error


def _one(utterance: Utterance) -> tuple[Output, float, float]:
    if _fault is not None:
        raise _fault
    audio = utterance.audio(RATE)
    begin = time.perf_counter()
    output = _recogniser(audio, _mode)
    return output, time.perf_counter() - begin, len(audio) / RATE


def _part(job: Job, utterances: Sequence[Utterance]) -> list[tuple[Output, float, float]]:
    _load(job)
    return [_one(utterance) for utterance in utterances]
