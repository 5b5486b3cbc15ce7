"""Repair of a Kaldi data directory: fixes what it can, drops and lists other invalid utterances, and keeps the original files in `.backup`."""

import os
import shutil
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path

from asrlib.corpora.audio import AudioInfo
from asrlib.corpora.audio_file import is_pipe
from asrlib.corpora.faults import BAD_UTTS, list_bad
from asrlib.corpora.kaldi_dir import KaldiDir, read_tables
from asrlib.corpora.kaldi_ops import select
from asrlib.corpora.kaldi_table import FILES, REC_FILES, SPK_FILES, UTT_FILES, Problem, Table, summarise
from asrlib.corpora.kaldi_validate import Rules, check, mended, recordings
from asrlib.utils.characters import odd_spaces, plain
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)


@dataclass
class Repair:
    """The repaired directory, dropped utterance -> reason, and the header of every recording that was opened."""

    data: KaldiDir
    dropped: dict[str, str]
    opened: dict[str, AudioInfo] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        return f"kept {len(self.data)} utterances out of {len(self.data) + len(self.dropped)}"

    def write(self, folder: str | Path) -> None:
        """Writes the directory, and the dropped utterances as `utterance reason` lines in bad_utts.txt (removed if there are none)."""
        self.data.write(folder)
        list_bad(self.dropped, Path(folder) / BAD_UTTS)


def fix(folder: str | Path, rules: Rules = Rules()) -> Repair:  # noqa: B008 (frozen)
    """Repairs a directory in place and copies its original files to `.backup`. UserError: as `repair`; then nothing is changed."""
    folder = Path(folder)
    result = repair(folder, read_tables(folder), rules)
    backup = folder / ".backup"
    backup.mkdir(exist_ok=True)
    for name in FILES:
        if (folder / name).exists():
            shutil.copy2(folder / name, backup / name)
    result.write(folder)
    return result


def accept(folder: Path, tables: dict[str, Table], rules: Rules, repairing: bool) -> Repair:
    """The tables as a valid directory with absolute paths; nothing is written. If audio files are opened, utt2dur has their durations.

    folder: source of the tables, for the messages. A missing spk2utt is accepted, because writing creates it.
    repairing: repair problems. UserError: a problem cannot be repaired, or `repairing` is False; the log lists the problems.
    """
    if "utt2spk" in tables and "spk2utt" not in tables:
        tables = {**tables, "spk2utt": Table(folder / "spk2utt", KaldiDir({"utt2spk": tables["utt2spk"].rows}).spk2utt)}
    if repairing:
        result = repair(folder, tables, rules)
        tables = {name: Table(folder / name, dict(rows)) for name, rows in {**result.data.tables, "spk2utt": result.data.spk2utt}.items()}
        rules = replace(rules, audio=False)  # the repair has opened every remaining file
    else:
        result = Repair(KaldiDir({name: table.rows for name, table in tables.items() if name != "spk2utt"}), {})
    problems = check(folder, tables, rules, result.opened)
    if problems:
        for line in summarise(problems):
            log.error(line)
        remedy = "correct them by hand" if repairing else "correct them, or give --fix true to repair the files and drop invalid utterances"
        raise UserError(f"{folder} is not a valid data directory ({len(problems)} problems, listed above): {remedy}")
    if not len(result.data):
        raise UserError(f"{folder} has no utterances: is it the folder of the set?")
    if "wav.scp" in result.data.tables:
        root = os.path.abspath(rules.audio_root or "")
        absolute = {key: value if is_pipe(value) else os.path.join(root, value) for key, value in result.data.wav.items()}
        result.data.tables["wav.scp"] = absolute
    _add_durations(result)
    return result


def _add_durations(result: Repair) -> None:
    """Adds utt2dur if every recording has been opened. A segment ends with its recording at the latest."""
    data, rows = result.data, {}
    if not data.wav or not data.wav.keys() <= result.opened.keys():
        return
    for utterance in data.utterances():
        whole = sum(result.opened[recording].seconds for recording in data.recordings(utterance.id))
        rows[utterance.id] = f"{(whole if utterance.end is None else min(whole, utterance.end)) - utterance.start:.6f}"
    data.tables["utt2dur"] = rows


def repair(folder: Path, tables: dict[str, Table], rules: Rules) -> Repair:
    """Keeps the utterances that are valid in every table; nothing is written.

    UserError: a required file is missing or unreadable, no valid utterance is left, or with rules.keep_all one would be dropped.
    """
    if "utt2spk" not in tables and "spk2utt" in tables:
        tables = {"utt2spk": _invert(tables["spk2utt"]), **tables}
    _unify_ids(tables)
    _mend_paths(tables, rules)
    opened: dict[str, AudioInfo] = {}
    problems = check(folder, tables, rules, opened)
    fatal = [problem for problem in problems if problem.fatal]
    if fatal:
        raise UserError(str(fatal[0]))
    own = () if {"segments", "utt2parts"} & tables.keys() else ("wav.scp",)  # else the keys of wav.scp are recordings
    sources = [tables[name] for name in (*UTT_FILES, *own) if name in tables]
    all_utts = {utt for table in sources for utt in table.rows.keys() | table.bad}
    reasons = _reasons(problems, tables)
    dropped = {utt: reasons[utt] for utt in sorted(all_utts & reasons.keys())}
    if len(dropped) == len(all_utts):
        utt, reason = next(iter(dropped.items()))
        raise UserError(f"{folder} has no valid utterance (the first: {utt}, {reason}), so nothing is changed: correct the files by hand")
    if dropped and rules.keep_all:
        listed = "; ".join(f"{utt}: {reason}" for utt, reason in list(dropped.items())[:3]) + ("; ..." if len(dropped) > 3 else "")
        what = f"{folder} is a test set, of which --fix would drop {len(dropped)} utterances ({listed})"
        raise UserError(f"{what}; results on fewer utterances cannot be compared: correct them by hand")
    if "text" in tables:
        _mend(tables["text"], rules)
    for problem in problems:  # lines of speakers and recordings
        if problem.drop is not None and problem.table not in UTT_FILES:
            tables[problem.table].rows.pop(problem.drop, None)
    data = KaldiDir({name: table.rows for name, table in tables.items() if name != "spk2utt"})
    return Repair(_complete(select(data, all_utts - dropped.keys())), dropped, opened)


def _mend(text: Table, rules: Rules) -> None:
    after = {utt: mended(words, rules) for utt, words in text.rows.items()}
    if changed := [utt for utt, words in text.rows.items() if " ".join(words.split(" ")) != after[utt]]:
        log.info("%s: mended spaces, invisible characters or reserved words in %d transcripts, the first is %s", text.path, len(changed), changed[0])
    text.rows.update(after)


def _reasons(problems: list[Problem], tables: dict[str, Table]) -> dict[str, str]:
    """Utterance -> reason for dropping it. A problem of a recording applies to all its utterances."""
    of_recording = recordings(tables)
    reasons: dict[str, str] = {}
    for problem in problems:
        if problem.drop is None or problem.table not in (*UTT_FILES, "wav.scp"):
            continue
        shared = problem.table == "wav.scp" and {"segments", "utt2parts"} & tables.keys()
        utts = of_recording.get(problem.drop, []) if shared else [problem.drop]
        where = f"{problem.path.name}{f' line {problem.line}' if problem.line else ''}"
        for utt in utts:
            detail = problem.detail.removeprefix(f"{problem.drop}: ") if problem.detail != problem.drop else ""
            reasons.setdefault(utt, f"{where}: {problem.what}{f' ({detail})' if detail else ''}")
    return reasons


def _complete(data: KaldiDir) -> KaldiDir:
    """Removes incomplete tables of speakers and recordings: a missing gender is no reason to drop a speaker's utterances."""
    recordings, speakers = data.wav.keys(), set(data.utt2spk.values())
    for name in [name for name in data.tables if name in SPK_FILES + REC_FILES]:
        if data.tables[name].keys() != (recordings if name in REC_FILES else speakers):
            log.warning(f"dropped {name}: it lacks ids or is not sorted")
            del data.tables[name]
    return data


def _invert(spk2utt: Table) -> Table:
    return Table(spk2utt.path.with_name("utt2spk"), {utt: speaker for speaker, utts in spk2utt.rows.items() for utt in utts.split()})


def _unify_ids(tables: dict[str, Table]) -> None:
    """Gives the ids of all tables the Unicode normal form that they have in utt2spk."""
    wanted = {unicodedata.normalize("NFC", utt): utt for utt in tables["utt2spk"].rows} if "utt2spk" in tables else {}
    own = () if {"segments", "utt2parts"} & tables.keys() else ("wav.scp",)
    for name in (*UTT_FILES, *own):
        rows = tables[name].rows if name in tables else {}
        others = {key: wanted.get(unicodedata.normalize("NFC", key), key) for key in rows}
        changed = [key for key, utt in others.items() if utt != key and utt not in rows]
        if changed:
            renamed = {others[key] if key in changed else key: value for key, value in rows.items()}
            rows.clear()
            rows.update(renamed)
            log.info("%s: %d ids in the Unicode form of utt2spk, the first is %s", tables[name].path, len(changed), changed[0])


def _mend_paths(tables: dict[str, Table], rules: Rules) -> None:
    """Removes white space and invisible characters beside or in the paths of wav.scp where this gives a file."""
    rows = tables["wav.scp"].rows if "wav.scp" in tables else {}
    for key, value in rows.items():
        path, mended_path = (os.path.join(rules.audio_root or "", name) for name in (value, plain(value)))
        if odd_spaces(value) and not is_pipe(value) and not os.path.exists(path) and os.path.exists(mended_path):
            rows[key] = plain(value)
