"""Removal of leaks: utterances of a training corpus whose transcript or recording occurs in an evaluation set."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrlib.corpora import aishell1
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_ops import select
from asrlib.corpora.kaldi_table import read_table
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.keyed_lines import joined
from asrlib.utils.progress import progress


@dataclass(frozen=True)
class Leak:
    """An utterance, its original transcript ("": it has none), and the first utterance of an evaluation set with the same normalised transcript, or
    with the same recording."""

    utt: str
    text: str
    set: str
    other: str


def find_leaks(data: KaldiDir, against: Mapping[str, Mapping[str, str]], normalise: Callable[[str], str]) -> list[Leak]:
    """The utterances, sorted, whose normalised transcript equals one in `against` (set -> utterance -> transcript); empty transcripts never match.

    UserError: the data has no transcripts; it is concatenated, which hides leaks; the evaluation sets have no words.
    """
    if data.text is None:
        raise UserError("the data directory has no text, which the search for leaks needs: add the transcripts")
    if data.parts is not None:
        raise UserError("the data directory is concatenated (utt2parts), which hides leaks: filter leaks before concatenation")
    known: dict[str, tuple[str, str]] = {}
    for name, texts in against.items():
        for utt in sorted(texts):
            known.setdefault(normalise(texts[utt]), (name, utt))
    known.pop("", None)
    if not known:
        raise UserError(f"{', '.join(against) or 'no directory'}: no transcripts to compare with: give the evaluation sets")
    leaks = []
    for utt, text, (speaker,) in progress(joined(data.text, data.utt2spk), "transcripts compared", len(data.text), "utt", delay=2):
        if speaker is not None and (found := known.get(normalise(text))):
            leaks.append(Leak(utt, text, *found))
    return leaks


def find_shared(data: KaldiDir, against: Mapping[str, KaldiDir]) -> list[Leak]:
    """The utterances, sorted, of which a recording is the file of an utterance in `against` (set -> directory), also by a link."""
    known: dict[str, tuple[str, str]] = {}
    for name, held in against.items():
        for utt, recordings in held.all_recordings():
            for recording in recordings:
                known.setdefault(os.path.realpath(held.wav[recording]), (name, utt))
    leaks = []
    for utt, recordings in data.all_recordings():
        files = (os.path.realpath(data.wav[recording]) for recording in recordings)
        if found := next((known[file] for file in files if file in known), None):
            leaks.append(Leak(utt, (data.text or {}).get(utt, ""), *found))
    return leaks


def without(data: KaldiDir, leaks: Iterable[Leak]) -> KaldiDir:
    """The data without the leaked utterances. UserError: no utterance is left."""
    leaked = {leak.utt for leak in leaks}
    if len(leaked) == len(data):
        raise UserError(
            "every utterance has a transcript or recording of the evaluation sets: check that --against does not contain the training set"
        )
    return select(data, leaked, others=True)


def transcripts(folders: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Set -> utterance -> transcript, from Kaldi directories, folders that hold dev and test, or AISHELL-1's data_aishell (its dev and test).

    UserError: another kind of folder, or an invalid text.
    """
    sets: dict[str, dict[str, str]] = {}
    for folder in folders:
        if (folder / aishell1.TRANSCRIPT).exists():
            sets |= {str(folder / "wav" / name): _of_aishell1(folder, name) for name in ("dev", "test")}
            continue
        found = [folder] if (folder / "text").exists() else [folder / "dev", folder / "test"]
        for directory in found:
            if not (directory / "text").exists():
                what = "Kaldi data directories with text, a folder with dev and test in it, or data_aishell"
                raise UserError(f"{folder} has no evaluation sets ({directory / 'text'} is missing): give {what}")
            sets[str(directory)] = _texts(directory / "text")
    return sets


def _of_aishell1(folder: Path, name: str) -> dict[str, str]:
    tables = aishell1.prepare(folder, name)
    if problems := tables["wav.scp"].problems:
        raise UserError(f"{problems[0]}")
    return tables["text"].rows


def _texts(path: Path) -> dict[str, str]:
    """A text file. UserError: an invalid line, which could hide a leak; wrong order and empty transcripts are accepted."""
    table = read_table(path)
    for problem in table.problems:
        if problem.fatal or (problem.drop is not None and table.rows.get(problem.drop) != ""):
            raise UserError(f"{problem}")
    return table.rows


def write_leaks(path: Path, leaks: Sequence[Leak]) -> None:
    """Writes a table: utterance, its transcript, and the set and utterance with the same transcript or recording."""
    with atomic_write(path) as stream:
        stream.write("utterance\ttranscript\tset\tequals\n")
        stream.writelines(f"{leak.utt}\t{leak.text}\t{leak.set}\t{leak.other}\n" for leak in leaks)
