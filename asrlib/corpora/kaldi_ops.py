"""Operations on Kaldi data directories: subset, combine, split, concat. The tables of their results are on disk if those of the data are."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import attrgetter
from typing import NamedTuple

from asrlib.corpora.kaldi_dir import KaldiDir, Rows
from asrlib.corpora.kaldi_table import REC_FILES, SPK_FILES, UTT_FILES
from asrlib.utils.disk_sort import DiskSort
from asrlib.utils.errors import UserError
from asrlib.utils.keyed_lines import joined, of_kind, sorted_items, sorted_keys
from asrlib.utils.log import get_logger

log = get_logger(__name__)


def select(data: KaldiDir, utts: Iterable[str], others: bool = False) -> KaldiDir:
    """The directory with only these utterances (others: only those that are not among them) and their recordings and speakers."""
    utts = set(utts)
    own = data.segments is None and data.parts is None  # then a recording has the id of its utterance
    recordings = set[str]() if own else {name for utt, names in data.all_recordings() if (utt in utts) != others for name in names}
    speakers = {speaker for utt, speaker in data.utt2spk.items() if (utt in utts) != others} if data.tables.keys() & set(SPK_FILES) else set()
    tables = dict[str, Rows]()
    for name, rows in data.tables.items():
        if name in UTT_FILES or (own and name in REC_FILES):
            kept = ((key, value) for key, value, (speaker,) in joined(rows, data.utt2spk) if speaker is not None and (key in utts) != others)
        else:
            wanted = recordings if name in REC_FILES else speakers
            kept = ((key, value) for key, value in sorted_items(rows) if key in wanted)
        tables[name] = of_kind(rows, kept)
    return KaldiDir(tables)


def subset(
    data: KaldiDir, *, first: int | None = None, last: int | None = None, num: int | None = None, speakers: Sequence[str] | None = None, seed: int = 0
) -> KaldiDir:
    """The utterances of `speakers` (None: all): of these, the first or last in sorted order, or `num` drawn at random with `seed`.

    UserError: an unknown speaker, or fewer utterances than requested.
    """
    unknown = sorted(set(speakers or ()) - set(data.utt2spk.values()))
    if unknown:
        raise UserError(f"speaker {unknown[0]} is not in utt2spk: choose from {', '.join(sorted(set(data.utt2spk.values()))[:10])} ...")
    utts = [utt for utt, speaker in sorted_items(data.utt2spk) if speakers is None or speaker in speakers]
    for name, count in (("first", first), ("last", last), ("num", num)):
        if count is not None and not 0 < count <= len(utts):
            raise UserError(f"--{name} {count}: give a number from 1 to {len(utts)}, the number of utterances")
    if num is not None:
        utts = random.Random(seed).sample(utts, num)
    elif last is not None:
        utts = utts[-last:]
    elif first is not None:
        utts = utts[:first]
    return select(data, utts)


def split(data: KaldiDir, portion: float, seed: int = 0) -> tuple[KaldiDir, KaldiDir]:
    """(rest, part): `part` is that portion of the utterances (at least one), drawn with `seed`. UserError: one of the two would be empty."""
    count = max(1, round(len(data) * portion))
    if not 0 < portion < 1 or count >= len(data):
        raise UserError(f"cannot split {len(data)} utterances with portion {portion}: give a portion between 0 and 1, or more utterances")
    part = random.Random(seed).sample(sorted_keys(data.utt2spk), count)
    return select(data, part, others=True), select(data, part)


def combine(parts: Sequence[KaldiDir], names: Sequence[str]) -> KaldiDir:
    """All utterances of the directories `parts`, called `names` in messages. Tables that only some of them have are dropped with a warning.

    UserError: a duplicate id with different values; `text`, `wav.scp`, `segments` or `utt2parts` in only some of the directories.
    """
    every = [set(part.tables) for part in parts]
    common, some = set.intersection(*every), set.union(*every)
    for name in sorted(some - common):
        lacking = ", ".join(n for n, part in zip(names, parts, strict=True) if name not in part.tables)
        if name in ("text", "wav.scp", "segments", "utt2parts"):
            raise UserError(f"{name} is missing in {lacking}, but not in the others: combine directories with the same files")
        log.warning(f"dropped {name}: it is missing in {lacking}")
    tables: dict[str, dict[str, str]] = {name: {} for name in parts[0].tables if name in common}
    for table, rows in tables.items():
        for name, part in zip(names, parts, strict=True):
            for key, value in part.tables[table].items():
                if rows.setdefault(key, value) != value:
                    raise UserError(f"{name}/{table}: {key} has another value in another directory: make the ids unique")
    combined = KaldiDir(dict(tables))
    if sum(len(part) for part in parts) != len(combined):
        repeated = next(utt for i, part in enumerate(parts) for utt in sorted(part.utt2spk) if any(utt in other.utt2spk for other in parts[:i]))
        raise UserError(f"utterance {repeated} is in more than one of {', '.join(names)}: make the ids unique")
    return combined


class Piece(NamedTuple):
    """An utterance, before or after it is joined; text and utt2dur: its values, "" without the table."""

    speaker: str
    utt: str
    recordings: list[str]
    text: str
    utt2dur: str


def concat(data: KaldiDir, num: int) -> KaldiDir:
    """Joins every `num` consecutive utterances of a speaker, in the order of their ids; the last one of a speaker may have fewer parts.

    No audio is copied: utt2parts lists the recordings of each utterance in order. The id is that of the first part with _ and the number of
    recordings; transcripts are joined with spaces, durations (utt2dur) are summed.
    UserError: num below 2, segments, no utterances.
    """
    if num < 2:
        raise UserError(f"cannot join {num} utterances into one: give 2 or more")
    if data.segments is not None:
        raise UserError("a directory with segments cannot be concatenated: write each utterance to its own file first")
    if not len(data):
        raise UserError("the directory has no utterances to concatenate")
    rows = DiskSort[Piece](attrgetter("utt"))
    rows.add(_joined_parts(data, num))
    values: dict[str, Callable[[Piece], str]] = {"utt2spk": attrgetter("speaker"), "utt2parts": lambda row: " ".join(row.recordings)}
    values |= {name: attrgetter(name) for name in ("text", "utt2dur") if name in data.tables}
    for name in sorted(data.tables.keys() & set(UTT_FILES) - values.keys()):
        log.warning(f"dropped {name}: its values are unknown for joined utterances")
    tables = {name: table for name, table in data.tables.items() if name not in UTT_FILES}
    return KaldiDir(tables | {name: of_kind(data.utt2spk, ((row.utt, value(row)) for row in rows)) for name, value in values.items()})


def _joined_parts(data: KaldiDir, num: int) -> Iterator[Piece]:
    parts, tables = DiskSort[Piece](), [data.tables.get(name) for name in ("text", "utt2dur")]
    known = joined(data.utt2spk, *({} if table is None else table for table in tables))
    for (utt, speaker, values), (_, recordings) in zip(known, data.all_recordings(), strict=True):
        for name, table, value in zip(("text", "utt2dur"), tables, values, strict=True):
            if table is not None and value is None:
                raise UserError(f"utterance {utt} is not in {name}: run validate_data --fix true on the directory")
        parts.add([Piece(speaker, utt, recordings, *(value or "" for value in values))])
    for speaker, of_speaker in groupby(parts, key=attrgetter("speaker")):
        while group := list(islice(of_speaker, num)):
            recordings = [recording for part in group for recording in part.recordings]
            seconds = "" if tables[1] is None else f"{sum(float(part.utt2dur) for part in group):.6f}"
            yield Piece(speaker, f"{group[0].utt}_{len(recordings)}", recordings, " ".join(part.text for part in group), seconds)
