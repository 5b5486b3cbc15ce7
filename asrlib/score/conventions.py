"""How texts are made alike before they are scored: composed characters, folded forms, tags left out, signs of sclite's references."""

import unicodedata
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from asrlib.text.normalise import APOSTROPHES
from asrlib.text.tags import remove_tags
from asrlib.utils.characters import HIDDEN
from asrlib.utils.cli import Parser, boolean

FOLDS: dict[str, Callable[[str], str]] = {
    "case": str.lower,
    "apostrophes": lambda text: text.translate(APOSTROPHES),
    "compatibility": lambda text: unicodedata.normalize("NFKC", text),
    "invisible": lambda text: HIDDEN.sub("", text),
}


@dataclass(frozen=True)
class Conventions:
    """fold: names in FOLDS. leave_out: tags to leave out, in any case ("all": every tag). optional_words, fragments: see asrlib.score.lattice."""

    fold: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    optional_words: bool = False
    fragments: bool = False

    def apply(self, text: str) -> str:
        """The text to score. Characters are composed (NFC), because the same text can be written composed and decomposed."""
        text = unicodedata.normalize("NFC", text)
        if self.leave_out:
            wanted = {tag.casefold() for tag in self.leave_out}
            text = remove_tags(text, lambda tag: "all" not in wanted and tag.casefold() not in wanted)
        for name in self.fold:
            text = FOLDS[name](text)
        return " ".join(text.split())

    def facts(self) -> dict[str, Any]:
        """What differs from the default, for result.json; `Conventions(**facts)` is this again."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items() if value}

    @classmethod
    def of(cls, facts: dict[str, Any]) -> "Conventions":
        """The conventions of `facts`."""
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
        return cls(**values)


def add_options(parser: Parser) -> None:
    """The options of a command that scores; `from_options` reads them."""
    group = parser.add_argument_group("what counts as equal")
    group.add_argument("--fold", type=_folds, default=(), help=f"differences that are no errors, any of: {' '.join(FOLDS)}")
    group.add_argument("--leave_out", type=_words, default=(), help="tags to leave out of references and hypotheses ('<NOISE> [noise]'), or all")
    group.add_argument("--optional_words", type=boolean, default=False, help="words in round brackets may be missing (sclite -D)")
    group.add_argument("--fragments", type=boolean, default=False, help="FRIEND- is any word that begins with FRIEND (sclite -F; --unit word)")


def from_options(args: Namespace) -> Conventions:
    """The conventions that the options of `add_options` name."""
    return Conventions(args.fold, args.leave_out, args.optional_words, args.fragments)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _folds(text: str) -> tuple[str, ...]:
    names = tuple(text.replace(",", " ").split())
    if unknown := [name for name in names if name not in FOLDS]:
        raise ArgumentTypeError(f"{unknown[0]!r} is not one of {' '.join(FOLDS)}")
    return names
