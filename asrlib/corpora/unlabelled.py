"""The set that a recipe pretrains on, from several Kaldi directories: without transcripts, and without what its evaluation sets hold."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from asrlib.config.pretraining import RATE
from asrlib.corpora.audio_file import is_pipe
from asrlib.corpora.kaldi import accept_folder
from asrlib.corpora.kaldi_dir import KaldiDir, read_tables
from asrlib.corpora.kaldi_fix import Repair
from asrlib.corpora.kaldi_ops import combine
from asrlib.corpora.kaldi_validate import Rules
from asrlib.corpora.leaks import Leak, find_leaks, find_shared, transcripts, without
from asrlib.corpora.pretraining import PretrainingSets
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)

TABLES = ("wav.scp", "segments", "utt2parts", "reco2file_and_channel", "utt2spk", "utt2dur")  # what pretraining reads
RULES = Rules(text=False, spk_sort=False, audio=True)


def read_unlabelled(folder: Path, audio_root: Path | None = None, fix: bool = False) -> Repair:
    """A checked directory, whose transcripts are optional; logs the sampling rates other than 16 kHz, which are resampled when audio is read.

    UserError: a fault in the directory, without `fix`; commands in wav.scp, which pretraining does not run.
    """
    wav = read_tables(folder).get("wav.scp")
    if command := next((key for key, value in (wav.rows if wav else {}).items() if is_pipe(value)), None):
        raise UserError(f"{folder}/wav.scp: {command} is a command, and pretraining runs none: write its audio to a file")
    found = accept_folder(folder, replace(RULES, audio_root=audio_root), fix)
    rates = Counter(found.opened[recording].rate for recording in found.data.wav if recording in found.opened)
    for rate, number in sorted(rates.items()):
        if rate != RATE:
            lacks = f"; they have nothing above {rate // 2} Hz" if rate < RATE else ""
            log.warning("%s: %d of %d recordings have %d Hz and are resampled to %d Hz%s", folder, number, rates.total(), rate, RATE, lacks)
    return found


def unlabelled_set(
    parts: Mapping[str, Repair], evaluation: Sequence[Path], normalise: Callable[[str], str] | None, trusted: str = ""
) -> PretrainingSets:
    """`pretrain`: the utterances of all parts, by name; and the tables of what was left out.

    evaluation: folders as for leaks.transcripts; a part loses the utterances whose transcript or recording is in one of them. normalise: as for
    find_leaks; None: only recordings are compared. trusted: the part that is the training set of these evaluation sets, which loses none.
    UserError: as find_leaks and joined_tables; nothing is left of a part.
    """
    against = transcripts(evaluation) if evaluation else {}
    held = {str(folder): KaldiDir.read(folder) for folder in evaluation if (folder / "wav.scp").exists()}
    steps, rest, leaks = {}, {}, list[Leak]()
    for name, part in parts.items():
        steps[name] = rest[name] = part.data
        if against and name != trusted and (found := _leaks(name, part.data, against, held, normalise)):
            if len(found) == len(part.data):
                remedy = "leave the directory out, or give --filter_sentences false if its sentences are few by nature"
                raise UserError(f"{name}: every utterance has a transcript or recording of the evaluation sets: {remedy}")
            steps[f"{name} without leaks"] = rest[name] = without(part.data, found)
            leaks += found
    whole = joined_tables(rest)
    sets = {"pretrain": Repair(whole, {utt: reason for part in parts.values() for utt, reason in part.dropped.items()})}
    return PretrainingSets(sets, leaks if against else None, {**steps, "pretrain": whole})


def _leaks(name: str, data: KaldiDir, against: Mapping, held: Mapping[str, KaldiDir], normalise: Callable[[str], str] | None) -> list[Leak]:
    found = {leak.utt: leak for leak in find_shared(data, held)}
    if normalise is None:
        log.info("%s: only recordings of the evaluation sets are left out", name)
    elif data.text is None:
        log.warning("%s has no transcripts: sentences of the evaluation sets cannot be found in it, only their recordings", name)
    else:
        found = {leak.utt: leak for leak in find_leaks(data, against, normalise)} | found
    if found:
        log.info("%s: %d of %d utterances are left out, because an evaluation set has their transcript or recording", name, len(found), len(data))
    return [found[utt] for utt in sorted(found)]


def joined_tables(parts: Mapping[str, KaldiDir]) -> KaldiDir:
    """One directory of all parts, without transcripts. Where only some have segments, utt2parts or channels, the others' recordings are whole ones.

    UserError: an id that means different things in two parts; one part has segments and another utt2parts.
    """
    used = {name for part in parts.values() for name in part.tables}
    if {"segments", "utt2parts"} <= used:
        raise UserError(
            f"{', '.join(parts)}: some have segments and others utt2parts, which exclude each other: write each utterance to its own file"
        )
    same = []
    for part in parts.values():
        whole = {
            "segments": {utt: f"{utt} 0 -1" for utt in part.utt2spk},
            "utt2parts": {utt: utt for utt in part.utt2spk},
            "reco2file_and_channel": dict[str, str](),
        }
        whole = {name: rows for name, rows in whole.items() if name in used}
        same.append(KaldiDir(whole | {name: part.tables[name] for name in TABLES if name in part.tables}))
    _warn_of_shared_speakers(parts)
    return combine(same, list(parts))


def _warn_of_shared_speakers(parts: Mapping[str, KaldiDir]) -> None:
    """ProgRE learns speakers: equal names in two corpora would be one person."""
    uses = Counter(speaker for part in parts.values() for speaker in set(part.utt2spk.values()))
    if shared := sorted(speaker for speaker, count in uses.items() if count > 1):
        log.warning("%d speakers, among them %s, are in more than one of %s: they are taken for the same", len(shared), shared[0], ", ".join(parts))


def same_folder(one: Path, other: Path) -> bool:
    """Whether two paths are one folder, by links or not."""
    return os.path.realpath(one) == os.path.realpath(other)
