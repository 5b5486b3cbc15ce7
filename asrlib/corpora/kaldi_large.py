"""Acceptance of a large data directory whose tables stay on disk: block by block, by the rules of kaldi_validate."""

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from asrlib.corpora.audio import AudioInfo
from asrlib.corpora.audio_file import is_pipe
from asrlib.corpora.kaldi_dir import KaldiDir, Rows
from asrlib.corpora.kaldi_fix import Repair
from asrlib.corpora.kaldi_table import FILES, UTT_FILES, Table, table_on_disk
from asrlib.corpora.kaldi_validate import Rules, check
from asrlib.utils.keyed_lines import joined, sorted_keys, stored

LARGE = 100_000  # utterances from which a directory is accepted in this way
BLOCK = 50_000  # utterances that are checked at once
SIMPLE = {*UTT_FILES, "wav.scp", "spk2utt"} - {"segments", "utt2parts"}  # tables of directories in which a recording is an utterance
Block = dict[str, dict[str, str]]


def accept_large(folder: Path, rules: Rules, find_root: Callable[[Iterable[str]], Path | None]) -> Repair | None:
    """What kaldi_fix.accept gives for a valid directory, with tables on disk: the same rows, utt2dur from the headers, absolute paths.

    find_root: the base folder of relative paths, from the values of wav.scp. None: the directory is small, has a problem, segments or other tables:
    `accept` is the one to take it or to tell.
    """
    names = [name for name in FILES if (folder / name).exists()]
    tables: dict[str, Rows] = {name: rows for name in names if name in SIMPLE and (rows := table_on_disk(folder / name)) is not None}
    sizes = {len(rows) for name, rows in tables.items() if name != "spk2utt"}
    if not {"utt2spk", "wav.scp"} <= tables.keys() or len(tables) < len(names) or len(sizes) > 1 or min(sizes) < LARGE:
        return None
    data, seconds = KaldiDir({name: rows for name, rows in tables.items() if name != "spk2utt"}), array("d")
    rules = replace(rules, audio_root=find_root(data.wav.values()))
    speaker = ""
    for block in _blocks(data):
        opened: dict[str, AudioInfo] = {}
        if block is None or (rules.spk_sort and speaker > next(iter(block["utt2spk"].values()))) or _faulty(folder, block, rules, opened):
            return None
        seconds.extend(info.seconds for info in opened.values())
        speaker = list(block["utt2spk"].values())[-1]
    if "spk2utt" in tables and not _same_speakers(data, tables["spk2utt"]):
        return None
    return Repair(_completed(data, seconds, os.path.abspath(rules.audio_root or "")), {})


def _completed(data: KaldiDir, seconds: Sequence[float], root: str) -> KaldiDir:
    """The directory with absolute paths and, if all files have been opened, their durations."""
    wav = stored((utt, value if is_pipe(value) else os.path.join(root, value)) for utt, value in data.wav.items())
    if len(seconds) < len(data):
        return KaldiDir({**data.tables, "wav.scp": wav})
    durations = stored((utt, f"{length:.6f}") for utt, length in zip(sorted_keys(data.utt2spk), seconds, strict=True))
    return KaldiDir({**data.tables, "wav.scp": wav, "utt2dur": durations})


def _blocks(data: KaldiDir) -> Iterator[Block | None]:
    """The rows of some utterances after the other; None: a table lacks one."""
    names = [name for name in data.tables if name != "utt2spk"]
    rows = joined(data.utt2spk, *(data.tables[name] for name in names))
    while part := list(islice(rows, BLOCK)):
        if any(None in values for _, _, values in part):
            yield None
        block: Block = {"utt2spk": {utt: speaker for utt, speaker, _ in part}}
        yield block | {name: {utt: values[place] for utt, _, values in part} for place, name in enumerate(names)}


def _faulty(folder: Path, block: Block, rules: Rules, opened: dict[str, AudioInfo]) -> bool:
    tables = {name: Table(folder / name, rows) for name, rows in block.items()}
    tables["spk2utt"] = Table(folder / "spk2utt", KaldiDir({"utt2spk": block["utt2spk"]}).spk2utt)
    return bool(check(folder, tables, rules, opened)) or any(info.note for info in opened.values())


def _same_speakers(data: KaldiDir, spk2utt: Rows) -> bool:
    lines = joined(spk2utt)
    return all(next(lines, ("",))[:2] == (speaker, " ".join(utts)) for speaker, utts in data.speakers()) and next(lines, None) is None
