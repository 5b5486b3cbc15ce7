"""Operations on Kaldi data directories in memory: subset, combine, split, concat."""

import random
from collections.abc import Iterable, Sequence

from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import REC_FILES, UTT_FILES
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)


def select(data: KaldiDir, utts: Iterable[str]) -> KaldiDir:
    """The directory with only these utterances and their recordings and speakers."""
    utts = set(utts)
    recordings = {recording for utt in utts for recording in data.recordings(utt)}
    speakers = {data.utt2spk[utt] for utt in utts}
    tables = {}
    for name, rows in data.tables.items():
        wanted = utts if name in UTT_FILES else recordings if name in REC_FILES else speakers
        tables[name] = {key: value for key, value in rows.items() if key in wanted}
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
    utts = [utt for utt in sorted(data.utt2spk) if speakers is None or data.utt2spk[utt] in set(speakers)]
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
    part = set(random.Random(seed).sample(sorted(data.utt2spk), count))
    return select(data, data.utt2spk.keys() - part), select(data, part)


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
    combined = KaldiDir({name: {} for name in parts[0].tables if name in common})
    for table, rows in combined.tables.items():
        for name, part in zip(names, parts, strict=True):
            for key, value in part.tables[table].items():
                if rows.setdefault(key, value) != value:
                    raise UserError(f"{name}/{table}: {key} has another value in another directory: make the ids unique")
    if sum(len(part) for part in parts) != len(combined):
        repeated = next(utt for i, part in enumerate(parts) for utt in sorted(part.utt2spk) if any(utt in other.utt2spk for other in parts[:i]))
        raise UserError(f"utterance {repeated} is in more than one of {', '.join(names)}: make the ids unique")
    return combined


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
    tables = {name: rows for name, rows in data.tables.items() if name not in UTT_FILES}
    names = ("utt2spk", "text", "utt2parts", "utt2dur")
    joined: dict[str, dict[str, str]] = {name: {} for name in names if name == "utt2parts" or name in data.tables}
    for speaker, line in data.spk2utt.items():
        utts = line.split()
        for group in (utts[i : i + num] for i in range(0, len(utts), num)):
            recordings = [recording for utt in group for recording in data.recordings(utt)]
            utt = f"{group[0]}_{len(recordings)}"
            joined["utt2spk"][utt], joined["utt2parts"][utt] = speaker, " ".join(recordings)
            if data.text is not None:
                joined["text"][utt] = " ".join(data.text[part] for part in group)
            if "utt2dur" in joined:
                joined["utt2dur"][utt] = f"{sum(float(data.tables['utt2dur'][part]) for part in group):.6f}"
    for name in sorted(data.tables.keys() & set(UTT_FILES) - joined.keys()):
        log.warning(f"dropped {name}: its values are unknown for joined utterances")
    return KaldiDir({**tables, **joined})
