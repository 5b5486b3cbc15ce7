"""What the commands of asrlib.bin share: the argument parser, argument types and the handling of errors."""

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
    """argparse that accepts `-` for `_` in option names, shows defaults in --help and suggests a name for an unknown option."""

    def __init__(self, doc: str, **kwargs):
        super().__init__(description=doc, formatter_class=_Formatter, allow_abbrev=False, **kwargs)

    def parse_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        args = [self._canonical(a) for a in (sys.argv[1:] if args is None else args)]
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            names = [name.lstrip("-") for action in self._actions for name in action.option_strings]
            near = difflib.get_close_matches(unknown[0].split("=")[0].lstrip("-"), names, n=1, cutoff=0.8)  # a lower one suggests other things
            self.error(f"unknown option or argument {unknown[0]!r}" + (f"; did you mean --{near[0]}?" if near else ""))
        return known

    def parse_command(self, args: Sequence[str] | None = None) -> tuple[Any, str, list[str]]:
        """The options before `--`, and the name and the options of the command after it."""
        words = list(sys.argv[1:] if args is None else args)
        place = words.index("--") if "--" in words else len(words)
        known = self.parse_args(words[:place])
        if place + 1 >= len(words):
            self.error("give the command after --, as in -- train --exp_dir EXP")
        return known, words[place + 1], words[place + 2 :]

    @staticmethod
    def _canonical(argument: str) -> str:
        if not argument.startswith("--"):
            return argument
        name, equals, value = argument.partition("=")
        return "--" + name[2:].replace("-", "_") + equals + value


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    pass


def boolean(text: str) -> bool:
    """argparse type for `true` and `false`, as in Kaldi's parse_options."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is not true or false")
    return text.lower() == "true"


def paths(text: str) -> list[Path]:
    """argparse type for several paths: one per line, or on a single line separated by spaces.

    On a single line, the longest prefix that exists as a file is taken as one path, so that paths may contain spaces.
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
    """argparse type for "key=value key=value": a word without a key belongs to the value before it, as in noise_dir=/my data."""
    found: list[str] = []
    for word in re.split(r"[ \n\t]", text.strip()):
        if found and not re.match(r"[A-Za-z_][\w.]*=", word):
            found[-1] += f" {word}"
        elif word:
            found.append(word)
    return [value.strip() for value in found]


def run(main: Callable[[Sequence[str] | None], int | None]) -> None:
    """Runs `main(argv)` and exits: with 0, or with 1 and one line on standard error for an error that the user can fix.

    UserError and the OSErrors of a full disk and of a missing or read-only file are such errors; others are bugs and keep their traceback.
    Files and file names are UTF-8 whatever the locale: with another encoding, the command is restarted in Python's UTF-8 mode.
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
    except BrokenPipeError:  # the reader of the output has exited, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        if error.errno == errno.ENOSPC:
            code = _fail(name, f"no space left on device while writing {error.filename or 'output'}: free some space and run the same command again")
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            code = _fail(name, f"{error.strerror}: {error.filename}")
        else:
            raise
    sys.exit(code or 0)


def _fail(name: str, message: str, code: int = 1) -> int:
    sys.stderr.flush()
    print(f"{name}: error: {' '.join(message.splitlines())}", file=sys.stderr)
    return code
