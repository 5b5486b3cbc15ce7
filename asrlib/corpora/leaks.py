"""Leaks: utterances of a training corpus that say what an evaluation set says, word for word. They are found by their transcripts and left out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrlib.corpora import aishell1
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_ops import select
from asrlib.corpora.kaldi_table import read_table
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.progress import progress


@dataclass(frozen=True)
class Leak:
    """An utterance, its transcript as it is written, and the first utterance of an evaluation set that has the same."""

    utt: str
    text: str
    set: str
    other: str


def find_leaks(data: KaldiDir, against: Mapping[str, Mapping[str, str]], normalise: Callable[[str], str]) -> list[Leak]:
    """The utterances whose transcript is that of an utterance in `against` (set -> utterance -> transcript), both as `normalise` gives them, sorted.

    An empty transcript is nobody's. UserError: no transcripts; those of several utterances in one, which would hide a leak; sets without a word.
    """
    if data.text is None:
        raise UserError("leaks are found by transcripts, and there is no text: give a data directory with one")
    if data.parts is not None:
        raise UserError("leaks are found before utterances are concatenated (there is utt2parts): filter first, then concatenate")
    held: dict[str, tuple[str, str]] = {}
    for name, texts in against.items():
        for utt in sorted(texts):
            held.setdefault(normalise(texts[utt]), (name, utt))
    held.pop("", None)
    if not held:
        raise UserError(f"{', '.join(against) or 'no directory'}: no transcripts to compare with: give the evaluation sets")
    leaks = []
    for utt in progress(sorted(data.text), desc="transcripts compared", unit="utt", delay=2):
        if utt in data.utt2spk and (found := held.get(normalise(data.text[utt]))):
            leaks.append(Leak(utt, data.text[utt], *found))
    return leaks


def without(data: KaldiDir, leaks: Iterable[Leak]) -> KaldiDir:
    """The other utterances. UserError: there are none."""
    rest = data.utt2spk.keys() - {leak.utt for leak in leaks}
    if not rest:
        raise UserError("every utterance has a transcript of the evaluation sets, so none would be left: is it one of them?")
    return select(data, rest)


def transcripts(folders: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Set -> utterance -> transcript of evaluation sets: Kaldi directories, folders that hold dev and test, AISHELL-1's data_aishell (dev and test).

    UserError: a folder that is none of these, or whose text cannot be read.
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
                raise UserError(f"{folder} holds no evaluation sets: {directory / 'text'} is missing; give {what}")
            sets[str(directory)] = _texts(directory / "text")
    return sets


def _of_aishell1(folder: Path, name: str) -> dict[str, str]:
    tables = aishell1.prepare(folder, name)
    if problems := tables["wav.scp"].problems:
        raise UserError(f"{problems[0]}")
    return tables["text"].rows


def _texts(path: Path) -> dict[str, str]:
    """A text file; what is out of order or empty in it does no harm here, a line that cannot be read would hide a leak."""
    table = read_table(path)
    for problem in table.problems:
        if problem.fatal or (problem.drop is not None and table.rows.get(problem.drop) != ""):
            raise UserError(f"{problem}")
    return table.rows


def write_leaks(path: Path, leaks: Sequence[Leak]) -> None:
    """A table: utterance, its transcript, the set and the utterance it equals."""
    with atomic_write(path) as stream:
        stream.write("utterance\ttranscript\tset\tequals\n")
        stream.writelines(f"{leak.utt}\t{leak.text}\t{leak.set}\t{leak.other}\n" for leak in leaks)
