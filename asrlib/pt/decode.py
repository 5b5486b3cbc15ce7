"""Decoding of Kaldi directories with a fine-tuned ESPnet model on all cores or cards: CTC best path, CTC prefix beam search or joint beam search."""

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import numpy as np
import torch
from espnet2.asr.encoder.conformer_encoder import TooShortUttError

from asrlib.config.base import read_yaml
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.decode.beam import BeamConfig
from asrlib.decode.run import decode_all, write_hypotheses
from asrlib.pt.device import OutOfMemory, activate, choose, memory_faults
from asrlib.pt.finetune import INFERENCE
from asrlib.pt.training import register
from asrlib.utils.errors import UserError
from asrlib.utils.parallel import run_jobs, split_evenly
from asrlib.utils.progress import progress

RATE = 16000
FRAME = 400  # samples: the receptive field of HuBERT's convolutions; a window of ESPnet's log-mel features has 512
UTTERANCES = 8  # minimum per process: starting a process takes longer than decoding a few short utterances
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
    """A fine-tuned model that takes audio. device: PyTorch's name, "cpu" or "cuda:0"."""

    def __init__(self, exp_dir: Path, joint: JointConfig, device: str = "cpu"):
        from espnet2.bin.asr_inference import Speech2Text

        activate(device)
        register()
        config, model = _model_files(exp_dir)
        tokens = read_yaml(config)["token_list"]
        lm = {"lm_train_config": joint.lm_config, "lm_file": joint.lm_model, "lm_weight": joint.lm_weight} if joint.lm_model else {"lm_weight": 0.0}
        with memory_faults(f"the model on {device}"):
            self.speech2text = Speech2Text(
                asr_train_config=str(config), asr_model_file=str(model), device=device,
                beam_size=min(joint.beam_size, len(tokens)), ctc_weight=joint.ctc_weight,
                penalty=joint.penalty, maxlenratio=joint.maxlenratio, minlenratio=joint.minlenratio, **lm,
            )  # fmt: skip
        self.model, self.device = self.speech2text.asr_model.eval(), device
        self.tokens: list[str] = list(tokens)

    def __call__(self, audio: np.ndarray, mode: str) -> Output:
        """audio (samples,) at 16 kHz -> the text if mode is "joint", otherwise the CTC log-probabilities.

        Audio that is shorter than a frame, or than what the encoder's subsampling needs, has an empty text and no frames. OutOfMemory: the device has
        too little of it.
        """
        if len(audio) >= FRAME:
            with contextlib.suppress(TooShortUttError), memory_faults(f"{len(audio) / RATE:.1f} s of audio on {self.device}"):
                return self.speech2text(audio)[0][0] if mode == "joint" else self._log_probs(audio)
        return "" if mode == "joint" else np.empty((0, len(self.tokens)), np.float32)

    def _log_probs(self, audio: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            speech = torch.from_numpy(audio)[None].to(self.device)
            encoded, _ = self.model.encode(speech, torch.tensor([len(audio)], device=self.device))
            return self.model.ctc.log_softmax(encoded[0] if isinstance(encoded, tuple) else encoded)[0].cpu().numpy()


def _model_files(exp_dir: Path) -> tuple[Path, Path]:
    """Configuration and weights of the model that takes audio. UserError: fine-tuning has not finished."""
    config, model = exp_dir / INFERENCE / "config.yaml", exp_dir / INFERENCE / "model.pth"
    if not (config.is_file() and model.is_file()):
        raise UserError(f"{config.parent} has no model: finish the fine-tuning (run stage 5)")
    return config, model


class CtcTranscriber:
    """A fine-tuned model that returns the CTC log-probabilities of audio."""

    def __init__(self, exp_dir: Path, device: str = "cpu"):
        """device: a kind, auto, cpu, cuda or npu."""
        self.model, self.rate, self.blank = Recogniser(exp_dir, JointConfig(), choose(device).names()[0]), RATE, 0
        self.tokens, self.separator = self.model.tokens, separator(self.model.tokens)

    def log_probs(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """(samples,) each -> (T', V) each."""
        try:
            return [self.model(audio, "ctc") for audio in audios]
        except OutOfMemory as error:
            raise UserError(f"{error}: give a smaller --window, or --asr_device cpu") from None


def separator(tokens: Sequence[str]) -> str:
    """The string between tokens in a text: a space if the tokens are words, "" for characters and pieces."""
    return " " if any(len(token) > 1 and not token.startswith("<") and "\u2581" not in token for token in tokens) else ""


@dataclass(frozen=True)
class Job:
    """The settings of a decoding process."""

    exp_dir: Path
    mode: str
    joint: JointConfig
    device: str  # a kind: auto, cpu, cuda or npu


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

    nj: processes on CPUs, at most; with cards there is one for each, and nj for the search of mode beam.
    UserError: no model, no such device, mode joint without an attention decoder, audio that cannot be read.
    """
    if "joint" in modes and read_yaml(_model_files(exp_dir)[0]).get("model_conf", {}).get("ctc_weight") == 1.0:
        raise UserError(f"{exp_dir} was trained with CTC only and has no attention decoder: choose greedy or beam")
    sets = {path.name: list(KaldiDir.read(path).utterances()) for path in data_dirs}
    utterances = [utterance for part in sets.values() for utterance in part]
    nj = max(1, min(nj, len(utterances) // UTTERANCES))
    names = [""] * nj if backend == "slurm" else choose(device).names()  # a job of the cluster chooses its own
    names = names * nj if names == ["cpu"] else names[:nj]
    for group in ([mode for mode in modes if mode != "joint"], [mode for mode in modes if mode == "joint"]):  # CTC modes share the outputs
        if not group:
            continue
        answers = iter(_answers(Job(exp_dir, group[0], joint, device), utterances, names, backend, out / "log"))
        for name, part in sets.items():
            outputs = [next(answers) for _ in part]
            for mode in group:
                _write(out / f"decode_{mode}" / name, mode, part, outputs, exp_dir, beam, nj, len(names))


def _write(
    folder: Path, mode: str, utterances: Sequence[Utterance], answers: Sequence[Answer], exp_dir: Path, beam: BeamConfig, nj: int, processes: int
) -> None:
    outputs, seconds, begin = [answer[0] for answer in answers], sum(answer[1] for answer in answers) / processes, time.perf_counter()
    if mode != "joint":
        tokens = list(read_yaml(_model_files(exp_dir)[0])["token_list"])
        outputs = decode_all(outputs, tokens, 0, mode, beam, nj, separator(tokens))
    seconds += time.perf_counter() - begin
    texts = {utterance.id: text for utterance, text in zip(utterances, outputs, strict=True)}
    write_hypotheses(folder, texts, sum(answer[2] for answer in answers), seconds, {"processes": processes})


def _answers(job: Job, utterances: Sequence[Utterance], names: Sequence[str], backend: str, log_dir: Path) -> list[Answer]:
    """The outputs of the utterances, in order. names: the device of each process."""
    nj = len(names)
    if backend == "slurm":
        parts = [(job, part) for part in split_evenly(utterances, nj)]
        return [answer for part in run_jobs(_part, parts, log_dir, nj, backend, "decoding") for answer in part]
    if nj == 1:
        _load(job, names[0])
        return [_one(utterance) for utterance in progress(utterances, desc=f"decoding ({job.mode})", unit="utt")]
    context = get_context("spawn")
    devices = context.SimpleQueue()
    for name in names:
        devices.put(name)
    try:
        with ProcessPoolExecutor(nj, context, _start, (job, devices)) as pool:
            return list(progress(pool.map(_one, utterances), desc=f"decoding ({job.mode})", total=len(utterances), unit="utt"))
    except BrokenProcessPool:
        raise UserError(f"a decoding process was killed (out of memory?): try --nj below {nj}") from None


# State of a worker process
_recogniser: Recogniser | None = None
_error: UserError | None = None
_mode = ""


def _load(job: Job, device: str) -> None:
    global _recogniser, _mode
    _recogniser, _mode = Recogniser(job.exp_dir, job.joint, device), job.mode


def _start(job: Job, devices: SimpleQueue) -> None:
    global _error
    torch.set_num_threads(1)
    try:
        _load(job, devices.get())
    except UserError as error:  # raised by the first utterance: an exception here would break the pool without a message
        _error = error


def _one(utterance: Utterance) -> Answer:
    if _error is not None:
        raise _error
    audio = utterance.audio(RATE)
    begin = time.perf_counter()
    try:
        output = _recogniser(audio, _mode)
    except OutOfMemory as error:
        smaller = "a smaller beam_size (--inference_config)" if _mode == "joint" else "fewer processes (--nj)"
        raise UserError(f"utterance {utterance.id}: {error}: cut it (segments), or give {smaller} or --asr_device cpu") from None
    return output, time.perf_counter() - begin, len(audio) / RATE


def _part(job: Job, utterances: Sequence[Utterance]) -> list[Answer]:
    _load(job, choose(job.device).names()[0])
    return [_one(utterance) for utterance in utterances]
