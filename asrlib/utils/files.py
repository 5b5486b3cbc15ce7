"""Atomic writing of files and folders; locks; names of files; the current folder."""

import collections
import contextlib
import ctypes
import fcntl
import itertools
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from asrlib.utils.characters import code_point, odd_spaces, plain
from asrlib.utils.errors import UserError

LOCK = ".lock"  # of an experiment, in its folder
BUSY = "{}: another process trains in this folder: wait for it or end it, or give another --tag or --exp_dir"


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "w", encoding: str | None = "utf-8") -> Iterator[IO]:
    """Opens a temporary file beside `path`, which replaces `path` when the block ends without an error.

    mode: "w" (text, LF line ends) or "wb". The data are on disk (fsync) before the rename. On any error the temporary file is removed
    and an existing `path` is left unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    binary = "b" in mode
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, mode, encoding=None if binary else encoding, newline=None if binary else "\n") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """Yields an empty temporary folder beside `path`, which replaces `path` when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
            os.replace(path, old / path.name)
            os.replace(temporary, path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextlib.contextmanager
def added_files(folder: Path) -> Iterator[Path]:
    """Yields an empty folder for many small files, which move to `folder` when the block ends without an error, in the place of those of their names.

    They are on disk before they move: one wait for all of them, where atomic_write waits for each.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        yield temporary
        with os.scandir(temporary) as files:
            if next(files, None) is not None:
                _sync(temporary)
                os.chmod(temporary, 0o755)
                _add(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Waits until everything that was written to the file system of a folder is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        ctypes.CDLL(None).syncfs(handle)
    finally:
        os.close(handle)


def _add(temporary: Path, folder: Path) -> None:
    if not folder.exists():
        os.replace(temporary, folder)
        return
    for name in os.listdir(temporary):
        os.replace(temporary / name, folder / name)


@contextlib.contextmanager
def run_folder(parent: Path) -> Iterator[Path]:
    """Yields a new folder in `parent` for the files of the jobs of this run, which whoever awaits them moves to their places (`settle`).

    Jobs of a killed run can therefore not touch the files of another. Such folders of former runs are removed, and this one at the end.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(".run.*.tmp"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=".run.", suffix=".tmp", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settle(path: Path) -> None:
    """Moves a file or folder in a run_folder to the folder above it, if it exists, in the place of a former one."""
    place = path.parent.parent / path.name
    if path.is_dir() and place.is_dir():
        shutil.rmtree(place)
    if path.exists():
        os.replace(path, place)


def settled(location: str, folder: Path) -> str:
    """The name of a file, or a place in it, after its way out of run_folder `folder`."""
    return location.replace(f"/{folder.name}/", "/", 1)


@contextlib.contextmanager
def held(path: Path, message: str) -> Iterator[None]:
    """Holds a lock on a file, on every machine that shares it, until the block or the process ends. UserError(message): another process does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(message) from None
        except OSError:  # a file system without locks
            pass
        yield


def other_form(path: str | Path) -> str:
    """For a path that does not exist: a remark on a file whose name has the same letters in another Unicode normal form, or other spaces; else "".

    Mac OS unpacks archives with decomposed names (NFD); lists of files are mostly written composed (NFC).
    """
    bare = plain(str(path))
    if bare != str(path) and os.path.exists(bare):
        return f"{bare} does: the path has white space or an invisible character ({code_point(odd_spaces(str(path))[0])}) in or beside it: correct it"
    found = ""
    for part in Path(os.path.abspath(path)).parts:
        candidate = os.path.join(found, part)
        if not os.path.exists(candidate):
            same = [name for name in _names(found) if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", part)]
            if not same:
                return ""
            candidate = os.path.join(found, same[0])
        found = candidate
    form = "decomposed (NFD)" if unicodedata.is_normalized("NFD", found) else "composed (NFC)"
    return f"{found} does, whose name has the same letters in another Unicode form, {form}: rename the files or correct the list"


def _names(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(folder)
    return []


def unique_names(paths: Sequence[Path]) -> list[str]:
    """A name for each of several files, without spaces: the stem, with as many of its folders as are needed to tell it from the others.

    Spaces, control characters and what is not UTF-8 become `_`; names that are still equal get the extension, then a number.
    """
    names: dict[int, str] = {}
    folders = [[part for part in path.parts[:-1] if part not in ("/", ".", "..")] for path in paths]
    for depth in range(max(map(len, folders), default=0) + 1):
        _name(names, [plain_name("_".join([*folders[i][len(folders[i]) - depth :], path.stem])) for i, path in enumerate(paths)])
    _name(names, [plain_name(path.name) for path in paths])
    taken = set(names.values())
    for i, path in enumerate(paths):
        if i not in names:
            names[i] = next(name for n in itertools.count(1) if (name := f"{plain_name(path.name)}.{n}") not in taken)
            taken.add(names[i])
    return [names[i] for i in range(len(paths))]


def _name(names: dict[int, str], candidates: Sequence[str]) -> None:
    """Gives the files that have no name yet their candidates, where no other file has the same."""
    counts, taken = collections.Counter(name for i, name in enumerate(candidates) if i not in names), set(names.values())
    names.update({i: name for i, name in enumerate(candidates) if i not in names and counts[name] == 1 and name not in taken})


def named_folder(path: Path) -> Path:
    """The path, absolute if it ends in `.` or `..`, so that its last part is the name of the folder and no other place."""
    return path if path.name not in ("", "..") else Path(os.path.abspath(path))


def file_name(identifier: str) -> str:
    """The id of an utterance as the name of a file (without a folder): `/`, `%`, control characters and a first dot become %XX, so that ids stay
    different and none is a path."""
    return re.sub(r"[/%\x00-\x1f\x7f]|^\.", lambda match: f"%{ord(match[0]):02X}", identifier)


def plain_name(text: str) -> str:
    """The text as one word that can be a file name, an id of a Kaldi directory and a name in a CTM file, where `;;` begins a comment."""
    text = os.fsencode(text).decode("utf-8", errors="replace")
    return re.sub("^[;.-]+", "_", "".join(c if c.isprintable() and not c.isspace() and c != "/" else "_" for c in text)) or "_"


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Changes the current folder of the process until the block ends."""
    former = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(former)


def file_near(name: str, folder: Path) -> Path | None:
    """The file that a configuration in `folder` names. A relative name counts from a folder above, where the configuration was written, or from the
    working directory; a file of that name in `folder` counts, too, because experiments are copied."""
    if not name:
        return None
    folder = folder.resolve()
    places = [folder / name, *(above / name for above in folder.parents), Path(name).absolute(), folder / Path(name).name]
    return next((place for place in places if place.is_file()), None)
