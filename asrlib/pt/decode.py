"""Decoding of Kaldi directories with a fine-tuned ESPnet model on all cores: CTC best path, CTC prefix beam search or joint beam search."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import yaml
from espnet2.asr.encoder.conformer_encoder import TooShortUttError

from asrlib.config.base import read_yaml
from asrlib.corpora.faults import BAD_UTTS, list_bad, pass_over
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.decode.beam import BeamConfig
from asrlib.decode.run import decode_all, write_hypotheses
from asrlib.pt.finetune import INFERENCE, register
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
    """A fine-tuned model that takes audio."""

    def __init__(self, exp_dir: Path, joint: JointConfig, device: str = "cpu"):
        from espnet2.bin.asr_inference import Speech2Text

        register()
        config, model = _model_files(exp_dir)
        tokens = read_yaml(config)["token_list"]
        lm = {"lm_train_config": joint.lm_config, "lm_file": joint.lm_model, "lm_weight": joint.lm_weight} if joint.lm_model else {"lm_weight": 0.0}
        with _upstream_found(config) as found:
            self.speech2text = Speech2Text(
                asr_train_config=str(found), asr_model_file=str(model), device=device,
                beam_size=min(joint.beam_size, len(tokens)), ctc_weight=joint.ctc_weight,
                penalty=joint.penalty, maxlenratio=joint.maxlenratio, minlenratio=joint.minlenratio, **lm,
            )  # fmt: skip
        self.model, self.device = self.speech2text.asr_model.eval(), device
        self.tokens: list[str] = list(tokens)

    def __call__(self, audio: np.ndarray, mode: str) -> Output:
        """audio (samples,) at 16 kHz -> the text if mode is "joint", otherwise the CTC log-probabilities.

        Audio that is shorter than a frame, or than what the encoder's subsampling needs, has an empty text and no frames.
        """
        if len(audio) >= FRAME:
            with contextlib.suppress(TooShortUttError):
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


@contextlib.contextmanager
def _upstream_found(config: Path) -> Iterator[Path]:
    """The configuration, or a copy for use from other folders: the path of the upstream is relative to that of the fine-tuning, a recipe's.

    UserError: the upstream is missing.
    """
    values = read_yaml(config)
    inner = (values.get("frontend_conf") or {}).get("frontend_conf") or {}
    name = str(inner.get("path_or_url") or "")
    if not name or "://" in name:
        yield config
        return
    places = [*(folder / name for folder in config.resolve().parents), Path(name)]
    place = next((place for place in places if place.is_file()), None)
    if place is None:
        raise UserError(f"{config}: its upstream {name} is missing: put it back, or correct frontend_conf.frontend_conf.path_or_url there")
    inner["path_or_url"] = str(place)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "config.yaml"
        copy.write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False), encoding="utf-8")
        yield copy


class CtcTranscriber:
    """A fine-tuned model that returns the CTC log-probabilities of audio."""

    def __init__(self, exp_dir: Path, device: str = "cpu"):
        self.model, self.rate, self.blank = Recogniser(exp_dir, JointConfig(), device), RATE, 0
        self.tokens, self.separator = self.model.tokens, separator(self.model.tokens)

    def log_probs(self, audios: Sequence[np.ndarray]) -> list[np.ndarray]:
        """(samples,) each -> (T', V) each."""
        return [self.model(audio, "ctc") for audio in audios]


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
) -> dict[Path, Path]:
    """Writes OUT/decode_MODE/SET/text and rtf.json for every mode (greedy, beam, joint) and Kaldi directory.

    Utterances that cannot be read are passed over, logged, and listed with the reason in OUT/decode_MODE/SET/bad_utts.txt: returns these lists of
    the first mode by the directory. UserError: no model, mode joint without an attention decoder, no utterance of a set can be read.
    """
    if "joint" in modes and read_yaml(_model_files(exp_dir)[0]).get("model_conf", {}).get("ctc_weight") == 1.0:
        raise UserError(f"{exp_dir} was trained with CTC only and has no attention decoder: choose greedy or beam")
    sets = {path: list(KaldiDir.read(path).utterances()) for path in data_dirs}
    utterances = [utterance for part in sets.values() for utterance in part]
    nj = max(1, min(nj, len(utterances) // UTTERANCES))
    lists: dict[Path, Path] = {}
    for group in ([mode for mode in modes if mode != "joint"], [mode for mode in modes if mode == "joint"]):  # CTC modes share the outputs
        if not group:
            continue
        answers = iter(_answers(Job(exp_dir, group[0], joint, device), utterances, nj, backend, out / "log"))
        for path, part in sets.items():
            outputs = [next(answers) for _ in part]
            bad = {utterance.id: output for utterance, output in zip(part, outputs, strict=True) if isinstance(output, str)}
            for mode in group:
                folder = out / f"decode_{mode}" / path.name
                (list_bad if path in lists else pass_over)(bad, folder / BAD_UTTS)
                if bad:
                    lists.setdefault(path, folder / BAD_UTTS)
                if len(bad) == len(part):
                    raise UserError(f"{path}: no utterance can be read, {next(iter(bad.values()))}")
                read = [utterance for utterance in part if utterance.id not in bad]
                _write(folder, mode, read, [output for output in outputs if not isinstance(output, str)], exp_dir, beam, nj)
    return lists


def _write(folder: Path, mode: str, utterances: Sequence[Utterance], answers: Sequence[Answer], exp_dir: Path, beam: BeamConfig, nj: int) -> None:
    outputs, seconds, begin = [answer[0] for answer in answers], sum(answer[1] for answer in answers) / nj, time.perf_counter()
    if mode != "joint":
        tokens = list(read_yaml(_model_files(exp_dir)[0])["token_list"])
        outputs = decode_all(outputs, tokens, 0, mode, beam, nj, separator(tokens))
    seconds += time.perf_counter() - begin
    texts = {utterance.id: text for utterance, text in zip(utterances, outputs, strict=True)}
    write_hypotheses(folder, texts, sum(answer[2] for answer in answers), seconds, {"processes": nj})


def _answers(job: Job, utterances: Sequence[Utterance], nj: int, backend: str, log_dir: Path) -> list[Answer | str]:
    """The outputs of the utterances, in order."""
    if backend == "slurm":
        parts = [(job, part) for part in split_evenly(utterances, nj)]
        return [answer for part in run_jobs(_part, parts, log_dir, nj, backend, "decoding") for answer in part]
    if nj == 1:
        _load(job)
        return [_one(utterance) for utterance in progress(utterances, desc=f"decoding ({job.mode})", unit="utt")]
    try:
        with ProcessPoolExecutor(nj, get_context("spawn"), _start, (job,)) as pool:
            return list(progress(pool.map(_one, utterances), desc=f"decoding ({job.mode})", total=len(utterances), unit="utt"))
    except BrokenProcessPool:
        raise UserError(f"a decoding process was killed (out of memory?): try --nj below {nj}") from None


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


def _one(utterance: Utterance) -> Answer | str:
    """The output, or why the utterance cannot be read."""
    if _error is not None:
        raise _error
    try:
        audio = utterance.audio(RATE)
    except UserError as error:
        return str(error)
    begin = time.perf_counter()
    output = _recogniser(audio, _mode)
    return output, time.perf_counter() - begin, len(audio) / RATE


def _part(job: Job, utterances: Sequence[Utterance]) -> list[Answer | str]:
    _load(job)
    return [_one(utterance) for utterance in utterances]
