"""What every command of asrlib.bin shares: its parser, its booleans and how it ends on an error."""

import argparse
import difflib
import errno
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from asrlib.utils import places
from asrlib.utils.errors import UserError


class Parser(argparse.ArgumentParser):
    """argparse with `-` and `_` alike in option names, defaults in --help and the nearest name for an unknown option."""

    def __init__(self, doc: str, **kwargs):
        super().__init__(description=doc, formatter_class=_Formatter, allow_abbrev=False, **kwargs)

    def parse_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        args = [self._canonical(a) for a in (sys.argv[1:] if args is None else args)]
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            names = [name for action in self._actions for name in action.option_strings]
            near = difflib.get_close_matches(unknown[0].split("=")[0], names, n=1)
            self.error(f"unknown option or argument {unknown[0]!r}" + (f"; did you mean {near[0]}?" if near else ""))
        return known

    @staticmethod
    def _canonical(argument: str) -> str:
        if not argument.startswith("--"):
            return argument
        name, equals, value = argument.partition("=")
        return "--" + name[2:].replace("-", "_") + equals + value


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    pass


def boolean(text: str) -> bool:
    """argparse type for `true` and `false`, as Kaldi's parse_options has them."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is not true or false")
    return text.lower() == "true"


def paths(text: str) -> list[Path]:
    """argparse type for several paths: one a line or, if there is but one line, with spaces between them.

    In one line the longest words that exist together are one path.
    """
    if "\n" in text:
        return [Path(line) for line in text.splitlines() if line.strip()]
    found, rest = [], text.strip(" ")
    while rest:
        path = rest
        while " " in path and not os.path.exists(path):
            path = path.rpartition(" ")[0]
        found.append(Path(path.rstrip(" ")))
        rest = rest[len(path) :].lstrip(" ")
    return found


def assignments(text: str) -> list[str]:
    """argparse type for "key=value key=value": a word that begins no key belongs to the value before it, as in noise_dir=/my data."""
    found: list[str] = []
    for word in re.split(r"[ \n\t]", text.strip()):
        if found and not re.match(r"[A-Za-z_][\w.]*=", word):
            found[-1] += f" {word}"
        elif word:
            found.append(word)
    return [value.strip() for value in found]


def run(main: Callable[[Sequence[str] | None], int | None]) -> None:
    """Runs `main(argv)` and exits: 0, or 1 with one line on standard error for what a user can cause.

    UserError and the OSErrors of a full disk, a read-only or missing file give the line; anything else is a fault of ours and keeps its traceback.
    Files and names of files are UTF-8 whatever the locale: under another one the command is started again in Python's UTF-8 mode.
    """
    os.environ.update(places.variables())
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        os.environ["PYTHONUTF8"] = "1"
        os.environ.pop("PYTHONIOENCODING", None)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    name = os.path.basename(sys.argv[0]).removesuffix(".py")
    try:
        code = main(None)
    except UserError as error:
        code = _fail(name, str(error))
    except KeyboardInterrupt:
        code = _fail(name, "interrupted", 130)
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        if error.errno == errno.ENOSPC:
            code = _fail(name, f"no space left on device while writing {error.filename or 'output'}: free some and run the same command again")
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            code = _fail(name, f"{error.strerror}: {error.filename}")
        else:
            raise
    sys.exit(code or 0)


def _fail(name: str, message: str, code: int = 1) -> int:
    sys.stderr.flush()
    print(f"{name}: error: {' '.join(message.splitlines())}", file=sys.stderr)
    return code
