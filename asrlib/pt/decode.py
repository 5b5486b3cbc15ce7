"""Decoding of Kaldi directories with a fine-tuned ESPnet model on all cores or cards: CTC alone, or searches with attention."""

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

from asrlib.config.base import read_yaml
from asrlib.corpora.faults import BAD_UTTS, list_bad, pass_over
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.decode.beam import BeamConfig, BeamDecoder
from asrlib.decode.run import decode_nbest, write_hypotheses
from asrlib.pt.device import OutOfMemory, choose
from asrlib.pt.recogniser import BLANK, RATE, SEARCHES, JointConfig, Output, Recogniser, model_files, separator
from asrlib.utils.backend import LOCAL, Backend
from asrlib.utils.errors import UserError
from asrlib.utils.parallel import run_jobs, split_evenly
from asrlib.utils.progress import progress

UTTERANCES = 8  # minimum per process: starting a process takes longer than decoding a few short utterances
BATCH = {"cpu": 8, "cuda": 32, "npu": 32}  # utterances that are searched together
Answer = tuple[Output, float, float]  # output, seconds of work, seconds of audio


@dataclass(frozen=True)
class Job:
    """The settings of a decoding process."""

    exp_dir: Path
    mode: str
    joint: JointConfig
    beam: BeamConfig
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
    backend: Backend = LOCAL,
    nbest: int = 0,
) -> dict[Path, Path]:
    """Writes OUT/decode_MODE/SET/text and rtf.json for every mode (greedy, beam, joint, attention, attention_rescoring) and Kaldi directory.

    nj: processes on CPUs, at most; with cards there is one for each, and nj for the search of mode beam. nbest: see write_hypotheses.
    Utterances that cannot be read are passed over, logged, and listed with the reason in OUT/decode_MODE/SET/bad_utts.txt: returns these lists of
    the first mode by the directory. UserError: no model, no such device, too little memory, a mode that needs an attention decoder which the model
    does not have, no utterance of a set can be read.
    """
    if set(modes) & set(SEARCHES) and read_yaml(model_files(exp_dir)[0]).get("model_conf", {}).get("ctc_weight") == 1.0:
        raise UserError(f"{exp_dir} was trained with CTC only and has no attention decoder: choose greedy or beam")
    sets = {path: list(KaldiDir.read(path).utterances()) for path in data_dirs}
    utterances = [utterance for part in sets.values() for utterance in part]
    nj = max(1, min(nj, len(utterances) // UTTERANCES))
    names = [""] * nj if backend.slurm else choose(device).names()  # a job of the cluster chooses its own
    names = names * nj if names == ["cpu"] else names[:nj]
    lists: dict[Path, Path] = {}
    ctc = [mode for mode in modes if mode not in SEARCHES]  # they share the outputs
    for group in ([ctc] if ctc else []) + [[mode] for mode in modes if mode in SEARCHES]:
        answers = iter(_answers(Job(exp_dir, group[0], joint, beam, device), utterances, names, backend, out / "log"))
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
                _write(folder, mode, read, [output for output in outputs if not isinstance(output, str)], exp_dir, beam, nj, len(names), nbest)
    return lists


def _write(
    folder: Path, mode: str, utterances: Sequence[Utterance], answers: Sequence[Answer], exp_dir: Path, beam: BeamConfig, nj: int, processes: int,
    nbest: int,
) -> None:  # fmt: skip
    tokens = list(read_yaml(model_files(exp_dir)[0])["token_list"])
    outputs, seconds, begin = [answer[0] for answer in answers], sum(answer[1] for answer in answers) / processes, time.perf_counter()
    if mode not in SEARCHES:
        outputs = decode_nbest(outputs, tokens, BLANK, mode, beam, nj, separator(tokens))
    seconds += time.perf_counter() - begin
    found = {utterance.id: best for utterance, best in zip(utterances, outputs, strict=True)}
    write_hypotheses(folder, found, tokens, nbest, sum(answer[2] for answer in answers), seconds, {"processes": processes})


def _answers(job: Job, utterances: Sequence[Utterance], names: Sequence[str], backend: Backend, log_dir: Path) -> list[Answer | str]:
    """The outputs of the utterances, in order, or why one cannot be read. names: the device of each process."""
    nj = len(names)
    if backend.slurm:
        parts = [(job, part) for part in split_evenly(utterances, nj)]
        return [answer for part in run_jobs(_part, parts, log_dir, nj, backend, "decoding") for answer in part]
    size = max(1, min(_batch_size(names[0]), len(utterances) // (2 * nj)))
    batches = [utterances[i : i + size] for i in range(0, len(utterances), size)]
    with progress(desc=f"decoding ({job.mode})", total=len(utterances), unit="utt") as bar:
        if nj > 1:
            return _in_processes(job, batches, names, bar)
        _load(job, names[0])
        return [answer for batch in batches for answer in _shown(bar, _batch(batch))]


def _batch_size(device: str) -> int:
    return BATCH[device.partition(":")[0]]


def _in_processes(job: Job, batches: Sequence[Sequence[Utterance]], names: Sequence[str], bar) -> list[Answer | str]:
    context, nj = get_context("spawn"), len(names)
    devices = context.SimpleQueue()
    for name in names:
        devices.put(name)
    try:
        with ProcessPoolExecutor(nj, context, _start, (job, devices)) as pool:
            return [answer for answers in pool.map(_batch, batches) for answer in _shown(bar, answers)]
    except BrokenProcessPool:
        raise UserError(f"a decoding process was killed (out of memory?): try --nj below {nj}") from None


def _shown(bar, answers: list[Answer | str]) -> list[Answer | str]:
    bar.update(len(answers))
    return answers


# State of a worker process
_recogniser: Recogniser | None = None
_decoder: BeamDecoder | None = None  # of mode attention_rescoring
_error: UserError | None = None
_job: Job | None = None


def _load(job: Job, device: str) -> None:
    global _recogniser, _decoder, _job
    _recogniser, _job = Recogniser(job.exp_dir, job.joint, device), job
    tokens = _recogniser.tokens
    _decoder = BeamDecoder(tokens, BLANK, job.beam, separator(tokens)) if job.mode == "attention_rescoring" else None


def _start(job: Job, devices: SimpleQueue) -> None:
    global _error
    torch.set_num_threads(1)
    try:
        _load(job, devices.get())
    except UserError as error:  # raised by the first utterance: an exception here would break the pool without a message
        _error = error


def _batch(utterances: Sequence[Utterance]) -> list[Answer | str]:
    """The outputs of the utterances, or why one cannot be read."""
    if _error is not None:
        raise _error
    read = [_audio(utterance) for utterance in utterances]
    audios = [audio for audio in read if not isinstance(audio, str)]
    ids = [utterance.id for utterance, audio in zip(utterances, read, strict=True) if not isinstance(audio, str)]
    begin = time.perf_counter()
    outputs = iter(_outputs(ids, audios) if audios else [])
    seconds = (time.perf_counter() - begin) / max(1, len(audios))
    return [audio if isinstance(audio, str) else (next(outputs), seconds, len(audio) / RATE) for audio in read]


def _outputs(ids: Sequence[str], audios: Sequence[np.ndarray]) -> list[Output]:
    """The outputs of a batch; where memory is short, of its halves. UserError: one utterance alone is too long."""
    try:
        return [output if isinstance(output, np.ndarray) else output[: _job.beam.nbest] for output in _recogniser(audios, _job.mode, _decoder)]
    except OutOfMemory as error:
        fault = str(error)
    if len(ids) > 1:  # not inside the handler, whose error holds the memory
        half = len(ids) // 2
        return _outputs(ids[:half], audios[:half]) + _outputs(ids[half:], audios[half:])
    smaller = "a smaller beam_size (--inference_config)" if _job.mode in SEARCHES else "fewer processes (--nj)"
    raise UserError(f"utterance {ids[0]}: {fault}: cut it (segments), or give {smaller} or --asr_device cpu")


def _audio(utterance: Utterance) -> np.ndarray | str:
    try:
        return utterance.audio(RATE)
    except UserError as error:
        return str(error)


def _part(job: Job, utterances: Sequence[Utterance]) -> list[Answer | str]:
    device = choose(job.device).names()[0]
    size = _batch_size(device)
    _load(job, device)
    return [answer for i in range(0, len(utterances), size) for answer in _batch(utterances[i : i + size])]
