"""The text files of a Kaldi data directory: one `key value` per line, UTF-8, keys unique and sorted by bytes (LC_ALL=C).

utt2parts is our addition: `utterance recording recording ...`, an utterance that consists of several recordings of wav.scp (kaldi_ops.concat).

`read_table` reads invalid files too and lists their problems, so that a validator can show all of them and a repair can report what it drops.
Removing the line of the key `Problem.drop` solves the problem; if that is None, writing the file again does, unless the problem is `fatal`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asrlib.utils.characters import code_point, odd_spaces, plain
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.keyed_lines import KeyedLines, sorted_items

UTT_FILES = (
    *("utt2spk", "text", "segments", "utt2parts", "feats.scp", "vad.scp"),
    *("utt2num_frames", "utt2num_samples", "utt2dur", "utt2uniq", "utt2lang"),
)
REC_FILES = ("wav.scp", "reco2dur", "reco2file_and_channel")
SPK_FILES = ("spk2utt", "spk2gender", "cmvn.scp")
FILES = UTT_FILES + REC_FILES + SPK_FILES

FIX = "--fix true repairs it"
FIX_DROPS = "correct the line, or --fix true drops it"


@dataclass(frozen=True)
class Problem:
    """One problem: what is wrong in `path` at `line` (None: the whole file), `detail` gives the id or value, `fix` says what to do.

    source: the name of the table, if it differs from the file's (the transcript files of a corpus become the table `text`).
    """

    path: Path
    line: int | None
    what: str
    detail: str = ""
    fix: str = FIX_DROPS
    drop: str | None = None
    fatal: bool = False
    source: str = ""

    @property
    def table(self) -> str:
        return self.source or self.path.name

    def __str__(self) -> str:
        where = f"{self.path}, line {self.line}" if self.line else f"{self.path}"
        return f"{where}: {self.what}{f' ({self.detail})' if self.detail else ''}: {self.fix}"


@dataclass
class Table:
    """rows: key -> value in file order (the first of duplicate keys); lines: key -> line number; bad: keys of invalid lines."""

    path: Path
    rows: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, key: str | None, what: str, detail: str = "", fix: str = FIX_DROPS, drop: bool = True) -> Problem:
        """A Problem at the line of `key`."""
        return Problem(self.path, None if key is None else self.lines.get(key), what, detail, fix, key if drop else None)


def read_table(path: str | Path) -> Table:
    """Reads one file, valid or not. UserError: it cannot be opened."""
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    table = Table(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        fix = f"convert it: iconv -f UTF-16 -t UTF-8 {path.name}"
        table.problems.append(Problem(path, 1, "the file is UTF-16", fix=fix, fatal=True))
        return table
    if data.startswith(b"\xef\xbb\xbf"):
        table.problems.append(Problem(path, 1, "byte-order mark (BOM) before the first line", fix=FIX))
        data = data[3:]
    if not data:
        table.problems.append(Problem(path, None, "the file is empty", fix="create it again, or remove it", fatal=path.name != "spk2utt"))
        return table
    lines = data.split(b"\n")
    if lines.pop():
        table.problems.append(Problem(path, len(lines) + 1, "the last line has no line end and may be truncated", fix=f"check it; {FIX}"))
        lines = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        _read_line(table, number, line)
    keys = list(table.rows)
    for before, after in zip(keys, keys[1:], strict=False):
        if before > after:  # order of code points is order of UTF-8 bytes
            fix = f"{FIX}, or: LC_ALL=C sort -k1,1"
            table.problems.append(Problem(path, table.lines[after], "not sorted by bytes", f"{after} comes after {before}", fix))
            break
    return table


def _read_line(table: Table, number: int, line: bytes) -> None:
    if line.endswith(b"\r"):
        table.problems.append(Problem(table.path, number, "Windows line end (CRLF)", fix=f"{FIX}, or: sed -i 's/\\r$//'"))
        line = line[:-1]
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        key = line.decode("utf-8", errors="backslashreplace").split(maxsplit=1)[0]
        fix = "save the file as UTF-8 (for example iconv -f LATIN1 -t UTF-8), or --fix true drops the line"
        table.bad.add(key)
        table.problems.append(Problem(table.path, number, "not UTF-8", key, fix, drop=key))
        return
    key, value = _split_odd(table, number, *split_line(text))
    if not key:
        table.problems.append(Problem(table.path, number, "empty line", fix=FIX))
        return
    if text[0] in " \t":
        table.problems.append(Problem(table.path, number, "space before the key", key, FIX))
    if key in table.rows:
        if table.rows[key] == value:
            table.problems.append(Problem(table.path, number, "duplicate line", f"{key}, also in line {table.lines[key]}", FIX))
        else:
            table.bad.add(key)
            what = "duplicate id with another value"
            table.problems.append(Problem(table.path, number, what, f"{key}, also in line {table.lines[key]}", drop=key))
        return
    table.rows[key], table.lines[key] = value, number
    if not value:
        what = "empty transcript" if table.path.name == "text" else "no value after the key"
        table.bad.add(key)
        table.problems.append(Problem(table.path, number, what, key, drop=key))


def _split_odd(table: Table, number: int, key: str, value: str) -> tuple[str, str]:
    """Key and value of a line, in which another Unicode space or an invisible character may stand in or after the key, or in a value of ids."""
    odd = odd_spaces(key if table.path.name in ("text", "wav.scp") else key + value)
    if not odd:
        return key, value
    key, value = split_line(f"{plain(key)} {value if table.path.name in ('text', 'wav.scp') else plain(value)}")
    what = "other white space or an invisible character beside the id"
    table.problems.append(Problem(table.path, number, what, f"{key}: {code_point(odd[0])}", FIX))
    return key, value


def split_line(line: str) -> tuple[str, str]:
    """`key` and `value` of a line; only space and tab separate them, because a transcript may contain other Unicode spaces."""
    parts = re.split(r"[ \t]+", line.strip(" \t\r\n"), maxsplit=1)
    return parts[0], parts[1] if len(parts) == 2 else ""


def table_on_disk(path: str | Path) -> KeyedLines | None:
    """The rows of a file, which stay on disk (12 bytes a line in memory); None if `read_table` would list a problem."""

    def split(line: str) -> tuple[str, str]:
        key, value = split_line(line)
        odd = odd_spaces(key if named in ("text", "wav.scp") else key + value)
        if odd or not value or line[0] in " \t" or line[-1:] != "\n" or line[-2:] == "\r\n":
            raise UserError(f"{path}: invalid line {line!r}")
        return key, value

    named = Path(path).name
    try:
        table = KeyedLines(path, split)
    except UserError:
        return None
    return table if len(table) and table.starts[0] == 0 and table.order is None else None


def write_table(path: str | Path, rows: Mapping[str, str]) -> None:
    """Writes rows sorted by bytes, atomically."""
    with atomic_write(path) as stream:
        stream.writelines(f"{key} {value}\n" for key, value in sorted_items(rows))


def summarise(problems: Iterable[Problem], each: int = 3) -> list[str]:
    """Messages for the user: the first `each` problems of every kind in every table, then the number of the others."""
    groups: dict[tuple, list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.table, problem.what), []).append(problem)
    lines = []
    for (table, what), group in groups.items():
        lines += [str(problem) for problem in group[:each]]
        if len(group) > each:
            lines.append(f"{table}: {what}: {len(group) - each} more, {len(group)} in all")
    return lines
