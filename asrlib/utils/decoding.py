"""Options of commands that decode: modes, hot words."""

import argparse
from pathlib import Path
from typing import Any

from asrlib.utils.errors import UserError

MODES = ("greedy", "beam", "joint", "attention", "attention_rescoring")


def add_hotwords(parser: argparse.ArgumentParser) -> None:
    """Adds --hotwords and --hotword_weight."""
    text = "words and phrases that get a bonus in the beam search: a file with one per line, or separated by commas"
    parser.add_argument("--hotwords", metavar="FILE|WORD,...", help=text)
    parser.add_argument("--hotword_weight", type=float, default=1.0, help="the bonus of each character of a hot word in nats; 0: none")


def hotwords(args: argparse.Namespace) -> dict[str, Any]:
    """The settings of the beam search (asrlib.decode.beam.BeamConfig) that these options give. UserError: a bad weight, no hot words."""
    if args.hotword_weight < 0:
        raise UserError(f"--hotword_weight is {args.hotword_weight:g}: give 0 or more")
    return {"hotwords": read_hotwords(args.hotwords), "hotword_weight": args.hotword_weight} if args.hotwords else {}


def read_hotwords(value: str) -> tuple[str, ...]:
    """A file with a hot word or phrase in each line, or words separated by commas. UserError: there are none."""
    path = Path(value)
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else value.split(",")
    except UnicodeDecodeError:
        raise UserError(f"{value}: not UTF-8: give a file with one hot word per line") from None
    found = tuple(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip()))
    if not found:
        raise UserError(f"{value!r}: no hot words: give a file with one per line, or words separated by commas")
    return found
