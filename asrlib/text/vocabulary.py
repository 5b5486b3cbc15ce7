"""The token list of a recipe, read from a label file or derived from the training text, and a check of texts against it."""

import io
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import sentencepiece

from asrlib.text import tokenizers
from asrlib.text.tags import characters, find_tags, is_tag
from asrlib.text.tokenizers import BLANK, FIX, RESERVED, SPACE, UNKNOWN, CharTokenizer, SentencePieceTokenizer, Tokenizer, WordTokenizer, describe
from asrlib.utils.disk_counter import DiskCounter
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)

SENTENCES = 200_000  # most that SentencePiece learns from: its memory grows with them (1.4 GB for 280,000)

Texts = Mapping[str, str]  # utterance -> transcript


def make_tokenizer(kind: str, texts: Texts, vocab_size: int = 500, sentences: int = SENTENCES) -> Tokenizer:
    """Derives char, word or sentencepiece tokens from texts. UserError: the texts are empty, or SentencePiece cannot make that many pieces."""
    if not any(text.split() for text in texts.values()):
        raise UserError("the transcripts contain no words to derive tokens from: check --text")
    if kind == "char":
        return CharTokenizer(char_tokens(texts.values()))
    return WordTokenizer(word_tokens(texts.values())) if kind == "word" else train_sentencepiece(texts.values(), vocab_size, sentences)


def read_tokenizer(kind: str, labels: Path) -> Tokenizer:
    """The tokenizer of a label file; `<blank>` is appended if missing. kind: char or word."""
    tokens = tokenizers.read_labels(labels)
    words = [token for token in tokens if len(token) > 1 and not is_tag(token)]
    if kind == "char" and words:
        raise UserError(f"{labels}, line {tokens.index(words[0]) + 1}: {words[0]!r} is longer than a character: correct it, or give --type word")
    if kind == "word" and not words and UNKNOWN not in tokens:
        raise UserError(f"{labels}: every label is a single character: give --type char, or add words or {UNKNOWN}")
    try:
        return (CharTokenizer if kind == "char" else WordTokenizer)(tokens if BLANK in tokens else [*tokens, BLANK])
    except UserError as error:
        raise UserError(f"{labels}: {error}") from None


def char_tokens(texts: Iterable[str]) -> list[str]:
    """The tags of texts, then the characters sorted by code point, `<space>` if there is one, `<blank>` last; no reserved symbols."""
    units = {unit for text in texts for unit in characters(text, " ")} - RESERVED
    return [*sorted(units - {" "}, key=lambda unit: (len(unit) == 1, unit)), *([SPACE] if " " in units else []), BLANK]


def word_tokens(texts: Iterable[str]) -> list[str]:
    """The words of texts, sorted, then `<unk>` for unknown words, `<blank>` last."""
    with DiskCounter() as words:
        for text in texts:
            words.update(text.split())
        return [*(word for word, _ in words.items() if word != UNKNOWN and word not in RESERVED), UNKNOWN, BLANK]


def train_sentencepiece(texts: Iterable[str], vocab_size: int, most: int = SENTENCES) -> SentencePieceTokenizer:
    """A unigram model of at most `vocab_size` pieces, including `<unk>` and every tag, over the texts without normalisation.

    It is learnt from `most` of the texts, drawn at random with a fixed seed, if there are more; the log tells it. All characters and tags are pieces.
    """
    sentences, tags, characters_of_all, number = list[str](), set[str](), set[str](), 0
    draw = random.Random(0)
    for number, text in enumerate(texts, 1):
        sentence = " ".join(text.replace(UNKNOWN, " ").split())
        tags.update(find_tags(sentence))
        characters_of_all.update(sentence)
        if number <= most:
            sentences.append(sentence)
        elif (place := draw.randrange(number)) < most:
            sentences[place] = sentence
    options = {}
    if number > most:
        what = "SentencePiece learns from %d of %d sentences, drawn at random (--sentences), and has all characters of the others, too"
        log.info(what, most, number)
        options["required_chars"] = "".join(sorted(characters_of_all - {" "}))
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_writer=model, vocab_size=vocab_size, hard_vocab_limit=False, character_coverage=1.0,
            normalization_rule_name="identity", max_sentence_length=2**30, bos_id=-1, eos_id=-1, minloglevel=2,
            user_defined_symbols=sorted(tags - RESERVED), **options,
        )  # fmt: skip
    except RuntimeError as error:
        if needed := re.search(r"required_chars\. \d+ vs (\d+)", str(error)):
            what = f"the text has {needed[1]} different characters, and each is a piece"
            raise UserError(f"--nbpe {vocab_size} is too small: {what}: give a larger one") from None
        raise UserError(f"SentencePiece cannot make {vocab_size} pieces from this text: {error}: give another --nbpe, or --type char") from None
    return SentencePieceTokenizer(model.getvalue())


def check_texts(tokenizer: Tokenizer, files: Mapping[str, Texts]) -> None:
    """Checks that the tokens cover the texts of all files; the log gives the number of words that become `<unk>`.

    UserError: they do not. The log lists every uncovered unit with its count and first utterance, the message the five most frequent.
    """
    found: dict[str, int] = {}
    first: dict[str, str] = {}
    for name, texts in files.items():
        for utt, text in texts.items():
            for token in tokenizer.unknown(text):
                found[token] = found.get(token, 0) + 1
                first.setdefault(token, f"{utt} ({name})")
        if isinstance(tokenizer, WordTokenizer):
            words = Counter(token == UNKNOWN for text in texts.values() for token in tokenizer.split(text))
            log.info(f"{name}: {words[True]} of {words.total()} words are not in the token list and become {UNKNOWN}")
    rows = [f"{describe(token)} {found[token]} times, first in {first[token]}" for token in sorted(found, key=lambda token: (-found[token], token))]
    for row in rows:
        log.error(f"not in the label set: {row}")
    if rows:
        more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
        raise UserError(f"not in the label set: {'; '.join(rows[:5])}{more}: {FIX}")
