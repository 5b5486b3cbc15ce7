"""Decoding of Kaldi directories with a fine-tuned ESPnet model on all cores: CTC best path, CTC prefix beam search or joint beam search."""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch

from asrlib.config.base import read_yaml
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.decode.beam import BeamConfig
from asrlib.decode.run import decode_all, write_hypotheses
from asrlib.pt.recogniser import RATE, JointConfig, Output, Recogniser, model_files, separator
from asrlib.utils.errors import UserError
from asrlib.utils.parallel import run_jobs, split_evenly
from asrlib.utils.progress import progress

UTTERANCES = 8  # minimum per process: starting a process takes longer than decoding a few short utterances
BATCH = {"cpu": 8, "cuda": 32}  # utterances that are searched together
Answer = tuple[Output, float, float]  # output, seconds of work, seconds of audio


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
    if "joint" in modes and read_yaml(model_files(exp_dir)[0]).get("model_conf", {}).get("ctc_weight") == 1.0:
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
        tokens = list(read_yaml(model_files(exp_dir)[0])["token_list"])
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
