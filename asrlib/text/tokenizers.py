"""Tokenizers: text to label ids for CTC and back. A token list is a file with one token per line, `<space>` for the space, `<blank>` last."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import sentencepiece

from asrlib.text.tags import characters, find_tags, is_tag
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

BLANK, SPACE, UNKNOWN = "<blank>", "<space>", "<unk>"
RESERVED = {BLANK, SPACE, "<s>", "</s>", "<sos/eos>", "<eps>"}  # symbols of token lists and decoders, which no transcript can have
BOUNDARY = "\u2581"  # SentencePiece's mark for the space before a word
FIX = "normalise the text (python -m asrlib.bin.normalise_text) or add them to the labels file"


class Tokenizer:
    """tokens: the token list with the blank; blank: index of the blank; separator: string between tokens in text ("" or " ").

    Any white space in a text counts as a single space. A tag (asrlib.text.tags) is one token in every kind of list.
    """

    separator = ""

    def __init__(self, tokens: Sequence[str]):
        self.tokens = list(tokens)
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self.ids) != len(self.tokens):
            duplicate = next(t for i, t in enumerate(self.tokens) if self.ids[t] != i)
            raise UserError(f"token list: duplicate token {describe(duplicate)}: remove one")
        if BLANK not in self.ids:
            raise UserError(f"token list: no {BLANK}: add it as the last line")
        self.blank = self.ids[BLANK]

    def split(self, text: str) -> list[str]:
        """The tokens of a text, known or not."""
        raise NotImplementedError

    def unknown(self, text: str) -> list[str]:
        """All occurrences in a text of units that the token list lacks, and of reserved symbols."""
        reserved = [tag for tag in find_tags(text) if tag in RESERVED]
        return reserved + [token for token in self.split(text) if token not in self.ids and token not in reserved]

    def encode(self, text: str, where: str = "text") -> list[int]:
        """Label ids of a text. UserError: the token list lacks a unit of the text; the message names `where` and the units."""
        if unknown := self.unknown(text):
            raise UserError(f"{where}: not in the label set: {', '.join(map(describe, sorted(set(unknown))))}: {FIX}")
        return [self.ids[token] for token in self.split(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of label ids, without blanks."""
        text = self.separator.join(" " if self.tokens[i] == SPACE else self.tokens[i] for i in ids if i != self.blank)
        return " ".join(text.split())

    def save(self, path: Path) -> None:
        """Writes the token list; removes the SentencePiece model of an older list beside it."""
        path.with_suffix(".model").unlink(missing_ok=True)
        _write(path, self.tokens)


class CharTokenizer(Tokenizer):
    """Code points and tags; the space is `<space>`."""

    def split(self, text: str) -> list[str]:
        return characters(text, SPACE)


class WordTokenizer(Tokenizer):
    """Words; if the list has `<unk>`, it replaces unknown words."""

    separator = " "

    def split(self, text: str) -> list[str]:
        return [word if word in self.ids or UNKNOWN not in self.ids else UNKNOWN for word in text.split()]


class SentencePieceTokenizer(Tokenizer):
    """Pieces of a SentencePiece model. model: the contents of the model file, which has the name of the token list with the suffix .model."""

    def __init__(self, model: bytes):
        self.model = model
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        super().__init__([*(self.processor.id_to_piece(i) for i in range(self.processor.get_piece_size())), BLANK])

    def split(self, text: str) -> list[str]:
        """Pieces; tags are pieces by the model, but <unk>, which is the model's own."""
        first, *rest = " ".join(text.split()).split(UNKNOWN)
        pieces = self.processor.encode(first, out_type=str)
        for before, part in zip([first, *rest], rest, strict=False):
            pieces += [BOUNDARY] * before.endswith(" ") + [UNKNOWN, *self.processor.encode(part, out_type=str)]
        return pieces

    def unknown(self, text: str) -> list[str]:
        return [c for c in characters(text, "") if c == BOUNDARY or c in RESERVED or (c and c not in self.ids)]

    def decode(self, ids: Iterable[int]) -> str:
        return " ".join(super().decode(ids).replace(BOUNDARY, " ").split())

    def save(self, path: Path) -> None:
        with atomic_write(path.with_suffix(".model"), "wb") as stream:
            stream.write(self.model)
        _write(path, self.tokens)


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a token list: SentencePiece if there is a .model beside it, words or characters by `has_words`."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such token list: run stage 2")
    tokens, model = read_labels(path), path.with_suffix(".model")
    if model.is_file():
        return _load_sentencepiece(tokens, path, model)
    try:
        return (WordTokenizer if has_words(tokens) else CharTokenizer)(tokens)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _load_sentencepiece(tokens: list[str], path: Path, model: Path) -> SentencePieceTokenizer:
    try:
        tokenizer = SentencePieceTokenizer(model.read_bytes())
    except RuntimeError:
        raise UserError(f"{model}: not a SentencePiece model, or truncated: run stage 2 again") from None
    if tokenizer.tokens != tokens:
        raise UserError(f"{path}: the tokens are not the pieces of {model}: run stage 2 again")
    return tokenizer


def has_words(tokens: Sequence[str]) -> bool:
    """Whether a token list is one of words: a token is longer than a character and no tag, or <unk> comes right before <blank>."""
    return tokens[-2:] == [UNKNOWN, BLANK] or any(len(token) > 1 and not is_tag(token) for token in tokens)


def read_labels(path: Path) -> list[str]:
    """The lines of a label file; a byte-order mark and CR are ignored. UserError: no file, not UTF-8, an empty line, white space in a label."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise UserError(f"{path}: no such label file: check the path") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8: convert it (iconv -t UTF-8)") from None
    lines = [line.rstrip("\r") for line in lines]
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        if [line] != line.split():
            what = f"white space in {line!r}" if line else "empty line"
            raise UserError(f"{path}, line {number}: {what}: write one label per line, and {SPACE} for the space")
    return lines


def describe(token: str) -> str:
    """A token with its code point, because many characters look alike, or as reserved."""
    if token in RESERVED:
        return f"{token!r} (reserved: remove it)"
    return f"{token!r} (U+{ord(token):04X})" if len(token) == 1 else repr(token)


def _write(path: Path, tokens: Sequence[str]) -> None:
    with atomic_write(path) as stream:
        stream.writelines(f"{token}\n" for token in tokens)
