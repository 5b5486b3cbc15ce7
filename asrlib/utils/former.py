"""Former runs in the folder of an experiment: --force removes them, and they are set aside if the data have changed."""

import argparse
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from asrlib.utils.log import get_logger

log = get_logger(__name__)

FOLDER = "former"
MARK = ".started_over"


@dataclass(frozen=True)
class StartOver:
    """Whether a former run is removed: "true", "false", or the name of a call of a recipe, for which that happens once: resumed, it goes on."""

    word: str = "false"

    def due(self, exp_dir: Path) -> bool:
        """Whether a former run in exp_dir has to be removed."""
        mark = exp_dir / MARK
        return self.word == "true" or self.word != "false" and not (mark.is_file() and mark.read_text() == self.word)

    def done(self, exp_dir: Path) -> None:
        """To be called once it is removed."""
        if self.word not in ("true", "false"):
            (exp_dir / MARK).write_text(self.word)


def start_over(text: str) -> StartOver:
    """argparse type of --force."""
    word = text.lower() if text.lower() in ("true", "false") else text
    if not re.fullmatch(r"[\w.-]+", word):
        raise argparse.ArgumentTypeError(f"{text!r} is not true or false")
    return StartOver(word)


def remove(exp_dir: Path, names: Sequence[str]) -> None:
    """Removes files and folders of exp_dir, by names or patterns, in this order."""
    for path in _found(exp_dir, names):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def set_aside(exp_dir: Path, names: Sequence[str], reason: str) -> Path:
    """Moves files and folders of exp_dir, by names or patterns, in this order, to exp_dir/former/N; returns that folder."""
    number = 1 + max((int(path.name) for path in (exp_dir / FOLDER).glob("[0-9]*") if path.name.isdigit()), default=0)
    folder = exp_dir / FOLDER / str(number)
    folder.mkdir(parents=True)
    for path in _found(exp_dir, names):
        path.rename(folder / path.name)
    log.warning("%s: %s: starting over; the former run is kept in %s", exp_dir, reason, folder)
    return folder


def _found(exp_dir: Path, names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        yield from sorted(exp_dir.glob(name))
