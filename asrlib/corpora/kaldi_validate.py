"""Validation of a Kaldi data directory, without stopping at the first problem.

The rules are those of Kaldi's validate_data_dir.sh (spec: https://kaldi-asr.org/doc/data_prep.html): files exist, UTF-8, sorted by bytes,
unique keys, the same utterances in every file, utterance ids start with their speaker, no `~` in wav.scp, no reserved words and only printable
characters in text, spk2utt agrees with utt2spk, segments lie inside their recordings. In addition, wav.scp has all recordings of utt2parts (our
addition), and if requested the audio files are read.
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from asrlib.corpora.audio import MAX_OVERSHOOT, AudioInfo, check_audio
from asrlib.corpora.audio_file import is_pipe
from asrlib.corpora.channels import Channel
from asrlib.corpora.kaldi_dir import KaldiDir, parse_segment, read_tables
from asrlib.corpora.kaldi_table import FIX, REC_FILES, SPK_FILES, UTT_FILES, Problem, Table
from asrlib.utils.characters import JOINERS, code_point, odd_spaces, plain, same_letters
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger
from asrlib.utils.pool import mapped
from asrlib.utils.progress import progress

log = get_logger(__name__)

ALONE = (None,)  # the channel of a recording that has one
# Words that language-model graphs and token lists use.
RESERVED = {"<s>", "</s>", "#0", "<eps>", "<blank>", "<space>", "<sos/eos>"}


@dataclass(frozen=True)
class Rules:
    """Which rules apply: text and wav.scp required, ids that start with the speaker, printable text, commands in wav.scp, readable audio files."""

    text: bool = True
    wav: bool = True
    spk_sort: bool = True
    printable: bool = True
    allow_pipes: bool = False
    audio: bool = False
    keep_all: bool = False  # of a test set, whose results on fewer utterances could not be compared: repair refuses to drop any
    audio_root: Path | None = None  # base folder of relative paths in wav.scp; None: the current folder


def validate(folder: str | Path, rules: Rules = Rules()) -> list[Problem]:  # noqa: B008 (frozen)
    """All problems of a directory, file by file; empty if it is valid. UserError: no such folder, a file cannot be opened."""
    return check(Path(folder), read_tables(folder), rules)


def check(folder: Path, tables: dict[str, Table], rules: Rules, opened: dict[str, AudioInfo] | None = None) -> list[Problem]:
    """`validate` for tables in memory. opened: receives what is found in every recording that is opened."""
    problems = [*_missing(folder, tables, rules), *(problem for table in tables.values() for problem in table.problems)]
    if "utt2spk" in tables:
        problems += [*_keys(tables), *_speakers(tables["utt2spk"], tables.get("spk2utt"), rules)]
    problems += [*_numbers(tables), *_gender(tables), *_channels(tables)]
    if "text" in tables:
        problems += _text(tables["text"], rules)
    if "segments" in tables:
        problems += _segments(tables)
    if "segments" in tables and "utt2parts" in tables:
        what, fix = "utt2parts and segments are mutually exclusive", "remove one of the files"
        problems.append(Problem(tables["utt2parts"].path, None, what, fix=fix, fatal=True))
    if "wav.scp" in tables:
        problems += [*_wav(tables["wav.scp"], rules), *(_audio(tables, rules, {} if opened is None else opened) if rules.audio else ())]
    return problems


def recordings(tables: dict[str, Table]) -> dict[str, list[str]]:
    """Recording -> its utterances, by segments or utt2parts; without these, an utterance has the id of its recording."""
    found: dict[str, list[str]] = {}
    if "segments" in tables:
        for utt, value in tables["segments"].rows.items():
            found.setdefault(value.split(maxsplit=1)[0] if value else "", []).append(utt)
    elif "utt2parts" in tables:
        for utt, value in tables["utt2parts"].rows.items():
            for recording in value.split():
                found.setdefault(recording, []).append(utt)
    else:
        found = {utt: [utt] for utt in tables["utt2spk"].rows}
    return found


def resolve(value: str, audio_root: Path | None) -> str:
    """A value of wav.scp with a relative path resolved against `audio_root`; commands are unchanged."""
    return value if audio_root is None or is_pipe(value) else str(Path(audio_root) / value)


def _missing(folder: Path, tables: dict[str, Table], rules: Rules) -> Iterator[Problem]:
    wanted = {
        "utt2spk": "write `utterance speaker` lines (if speakers are unknown, the utterance id twice)",
        "spk2utt": f"{FIX}, from utt2spk",
        "text": "write `utterance transcript` lines, or give --no_text true if there are no transcripts",
        "wav.scp": "write `utterance path` lines, or give --no_wav true if features are enough",
    }
    optional = {"text": rules.text, "wav.scp": rules.wav}
    for name, fix in wanted.items():
        if name not in tables and optional.get(name, True):
            yield Problem(folder / name, None, "the file is missing", fix=fix, fatal=name != "spk2utt")


def _keys(tables: dict[str, Table]) -> Iterator[Problem]:
    """Checks that every table has the same utterances as utt2spk, or its recordings or speakers."""
    utts = tables["utt2spk"]
    source = next((name for name in ("segments", "utt2parts") if name in tables), "utt2spk")
    sources = [(UTT_FILES, set(utts.rows), "utt2spk"), (REC_FILES, recordings(tables).keys() - {""}, source)]
    sources.append((SPK_FILES, set(utts.rows.values()), "utt2spk"))
    for names, wanted, source in sources:
        for name in names:
            if name not in tables or name == source:
                continue
            table = tables[name]
            for key in sorted(table.rows.keys() - wanted):
                yield table.problem(key, f"id is not in {source}", key + same_letters(key, wanted))
            for key in sorted(wanted - table.rows.keys() - table.bad):
                thing = "id" if names is UTT_FILES or name == "wav.scp" else "file"
                detail = key + same_letters(key, table.rows)
                yield Problem(table.path, None, f"missing id of {source}", detail, f"add it, or --fix true drops the {thing}", drop=key)


def _speakers(utt2spk: Table, spk2utt: Table | None, rules: Rules) -> Iterator[Problem]:
    for utt, speaker in utt2spk.rows.items():
        if len(speaker.split()) > 1:
            yield utt2spk.problem(utt, "more than one speaker in the line", f"{utt} {speaker}")
    if rules.spk_sort:
        yield from _speaker_order(utt2spk)
    if spk2utt is None:
        return
    wanted: dict[str, set[str]] = {}
    for utt, speaker in utt2spk.rows.items():
        wanted.setdefault(speaker, set()).add(utt)
    for speaker, utts in spk2utt.rows.items():
        if speaker in wanted and sorted(wanted[speaker]) != sorted(utts.split()):
            yield spk2utt.problem(speaker, "other utterances than in utt2spk", f"speaker {speaker}", FIX, drop=False)


def _speaker_order(utt2spk: Table) -> Iterator[Problem]:
    fix = "begin the id with the speaker id (speaker-utterance), or give --no_spk_sort true"
    unprefixed = [utt for utt, speaker in utt2spk.rows.items() if not utt.startswith(speaker)]
    for utt in unprefixed:
        yield utt2spk.problem(utt, "utterance id does not begin with its speaker id", f"{utt} {utt2spk.rows[utt]}", fix, drop=False)
    if unprefixed:
        return
    rows = sorted(utt2spk.rows.items())
    for (_, before), (utt, speaker) in zip(rows, rows[1:], strict=False):
        if before > speaker:
            fix = "write - after the speaker in the ids, use speaker ids of equal length, or give --no_spk_sort true"
            yield utt2spk.problem(utt, "sorted by utterance, the speakers are not sorted", f"{before} comes before {speaker}", fix, drop=False)
            return


def _text(text: Table, rules: Rules) -> Iterator[Problem]:
    for utt, words in text.rows.items():
        reserved = RESERVED.intersection(words.split())
        if reserved:
            fix = "remove it by hand, or --fix true removes it and keeps the other words"
            yield text.problem(utt, "reserved word in the transcript", f"{utt}: {', '.join(sorted(reserved))}", fix, drop=False)
        if rules.printable and (odd := odd_spaces(words)):
            names = ", ".join(map(code_point, dict.fromkeys(odd)))
            fix = "--fix true makes it a plain space and keeps the utterance"
            fix = fix if any(map(str.isspace, odd)) else "--fix true removes it and keeps the utterance"
            yield text.problem(utt, "other white space or an invisible character in the transcript", f"{utt}: {names}", fix, drop=False)
        shown = utt + plain(words)
        unprintable = [] if shown.isprintable() else [c for c in shown if not c.isprintable() and c not in JOINERS]
        if unprintable and rules.printable:
            fix = "correct the line, or give --non_print true to accept it, or --fix true to drop it"
            yield text.problem(utt, "non-printable character", f"{utt}: {code_point(unprintable[0])}", fix)
        elif words and not mended(words, rules):
            yield text.problem(utt, "empty transcript", f"{utt}: nothing but {words!r}")


def mended(words: str, rules: Rules) -> str:
    """A transcript with plain spaces and without invisible characters (if `rules` want printable ones) and reserved words."""
    return " ".join(word for word in (plain(words) if rules.printable else words).split(" ") if word not in RESERVED)


def _wav(wav: Table, rules: Rules) -> Iterator[Problem]:
    for key, value in wav.rows.items():
        if value.startswith("~"):
            yield wav.problem(key, "~ in wav.scp is not expanded", key, "write the full path, or --fix true drops the line")
        if is_pipe(value) and not rules.allow_pipes:
            fix = "give --allow_pipes true if you trust the commands, or write plain paths"
            yield wav.problem(key, "command instead of a path", f"{key} {value}", fix)


def _segments(tables: dict[str, Table]) -> Iterator[Problem]:
    segments = tables["segments"]
    durations = tables["reco2dur"].rows if "reco2dur" in tables else {}
    for utt, value in segments.rows.items():
        try:
            recording, _, end, _ = parse_segment(utt, value)
        except UserError as error:
            yield segments.problem(utt, "invalid segment", str(error))
            continue
        if "wav.scp" in tables and recording not in tables["wav.scp"].rows:
            yield segments.problem(utt, "recording is not in wav.scp", f"{utt} {recording}")
        elif end is not None and recording in durations and end > _number(durations[recording]) + MAX_OVERSHOOT:
            yield segments.problem(utt, "segment ends after its recording", f"{utt} ends at {end} s of {durations[recording]} s")


def _numbers(tables: dict[str, Table]) -> Iterator[Problem]:
    for name in ("utt2dur", "reco2dur", "utt2num_frames", "utt2num_samples"):
        table = tables.get(name, Table(Path(name)))
        for key, value in table.rows.items():
            if not 0 < _number(value) < float("inf"):
                yield table.problem(key, "not a positive number", f"{key} {value}")


def _number(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("nan")


def _gender(tables: dict[str, Table]) -> Iterator[Problem]:
    table = tables.get("spk2gender", Table(Path("spk2gender")))
    for speaker, gender in table.rows.items():
        if gender not in ("m", "f"):
            yield table.problem(speaker, "gender other than m or f", f"{speaker} {gender}")


def _channels(tables: dict[str, Table]) -> Iterator[Problem]:
    table = tables.get("reco2file_and_channel", Table(Path("reco2file_and_channel")))
    known = KaldiDir({table.path.name: table.rows}).channels()
    for recording in [key for key, value in table.rows.items() if value and key not in known]:
        fix = "write `recording file A`, with A, B, ... or 1, 2, ..."
        yield table.problem(recording, "no channel in the line", f"{recording} {table.rows[recording]}", fix, drop=False)


def _used_channels(tables: dict[str, Table]) -> dict[str, set[Channel | None]]:
    """Recording -> the channels that its utterances are in, None for an utterance without a channel."""
    data = KaldiDir({name: table.rows for name, table in tables.items()})
    of_recording = data.channels()
    used: dict[str, set[Channel | None]] = {key: {of_recording[key]} for key in of_recording}
    if "segments" not in tables:
        return used
    used = {}
    for utt, value in tables["segments"].rows.items():
        try:
            recording, _, _, channel = parse_segment(utt, value)
        except UserError:
            continue  # _segments reports it
        used.setdefault(recording, set()).add(channel or of_recording.get(recording))
    return used


def _audio(tables: dict[str, Table], rules: Rules, opened: dict[str, AudioInfo]) -> Iterator[Problem]:
    """Opens every audio file and adds what is found to `opened`; commands are not run."""
    wav = tables["wav.scp"]
    files = {key: resolve(value, rules.audio_root) for key, value in wav.rows.items() if value and not is_pipe(value)}
    channels = _used_channels(tables)
    noted: dict[str, str] = {}
    results = mapped(_audio_or_error, ((path, channels.get(key, ALONE)) for key, path in files.items()), len(files))
    for key, result in zip(files, progress(results, desc="audio files", total=len(files), unit="file", delay=2), strict=True):
        if isinstance(result, UserError):
            relative = rules.audio_root is None and not os.path.isabs(files[key]) and not os.path.exists(files[key])
            fix = f"{'give --audio_root, the folder of relative paths, or ' if relative else ''}--fix true drops it"
            yield wav.problem(key, "invalid audio", f"{key}: {result}", fix)
        else:
            opened[key] = result
            noted |= {key: result.note} if result.note else {}
    if noted:
        first = next(iter(noted))
        log.warning("%s: %d recordings have a wrong size in the header, the first %s: %s", wav.path, len(noted), first, noted[first])
    segments = tables.get("segments", Table(Path("segments")))
    for utt, value in segments.rows.items():
        try:
            recording, start, end, _ = parse_segment(utt, value)
        except UserError:
            continue  # _segments reports it
        seconds = opened[recording].seconds if recording in opened else float("inf")
        if start >= seconds or (end or 0) > seconds + MAX_OVERSHOOT:
            yield segments.problem(utt, "segment ends after its recording", f"{utt} {value}: {recording} has {seconds:.2f} s")


def _audio_or_error(file: tuple[str, Collection[Channel | None]]) -> AudioInfo | UserError:
    """What is in a file, given with the channels that its utterances are in."""
    try:
        return check_audio(*file)
    except UserError as error:
        return error
