"""Label lists of checkpoints: the token that each row of a network's output layer stands for, and the same tokens in another order.

The order is a convention of the toolkit: NVIDIA's English models have the space, a to z and the apostrophe, and the blank in a last row of its own;
deepspeech.pytorch has the blank first; the MindSpore model zoo the apostrophe, A to Z, the space and the blank.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asrlib.config.base import read_yaml
from asrlib.text import tokenizers
from asrlib.text.tokenizers import BLANK, BOUNDARY, SPACE, CharTokenizer, Tokenizer, WordTokenizer, describe
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)

BLANKS = ("<blank>", "<blk>", "<ctc_blank>")  # in any case
UNDERSCORE = "_"  # the blank of deepspeech.pytorch and of the model zoo, in lists with one label per row
FOLDS: dict[str, Callable[[str], str]] = {"": str, "upper": str.upper, "lower": str.lower}


def read_label_list(path: Path) -> list[str]:
    """The labels in a file: one per line (`<space>` for the space), a JSON list, or `labels` in a toolkit's configuration (JSON or YAML).

    UserError: no such file, no list in it, or what asrlib.text.tokenizers.read_labels refuses.
    """
    if path.suffix in (".yaml", ".yml"):
        content: Any = read_yaml(path)
    else:
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            raise UserError(f"{path}: no such label file: check the path") from None
        except ValueError:  # not JSON, or not UTF-8
            return tokenizers.read_labels(path)
    if isinstance(content, Mapping):
        content = labels_of(content)
    elif not isinstance(content, list):  # a file of one line, a label that JSON can read
        return tokenizers.read_labels(path)
    if not content:
        raise UserError(f"{path}: no list of labels in it: give one label per line, or a JSON list")
    return _strings(content, str(path))


def labels_of(settings: Mapping) -> list[str] | None:
    """The labels in a toolkit's configuration: `decoder.vocabulary` (NeMo), `labels`, `vocabulary`, also under `model` or `cfg`; or None."""
    for section in (settings, settings.get("model"), settings.get("cfg")):
        if isinstance(section, Mapping):
            decoder = section.get("decoder")
            for found in (decoder.get("vocabulary") if isinstance(decoder, Mapping) else None, section.get("labels"), section.get("vocabulary")):
                if isinstance(found, Mapping):  # NVIDIA's first configurations: [labels] labels = [...]
                    found = found.get("labels")
                if isinstance(found, (list, tuple)) and found:
                    return _strings(found, "labels")
    return None


def beside(checkpoint: Path) -> Path | None:
    """The token list of this project's experiment that a checkpoint belongs to: in its folder, or above `checkpoints`; or None."""
    folders = [checkpoint.parent, checkpoint.parent.parent] if checkpoint.parent.name == "checkpoints" else [checkpoint.parent]
    return next((folder / "tokens.txt" for folder in folders if (folder / "tokens.txt").is_file()), None)


def labels_for(checkpoint: Path, named: Path | None, settings: Mapping, own: bool) -> tuple[list[str], str]:
    """The labels of a checkpoint and the file they are from: `named`, its configuration, or, if it is the project's own, the token list beside it.

    UserError: there are none.
    """
    found = labels_of(settings)
    if named:
        labels = read_label_list(named)
        if found and found != labels:
            log.warning("%s: its own list of labels is another one than %s, which is taken", checkpoint, named)
        return labels, str(named)
    if found:
        return found, str(checkpoint)
    if own and (path := beside(checkpoint)):
        return tokenizers.read_labels(path), str(path)
    raise UserError(
        f"{checkpoint}: it has no list of its labels, whose order says what the rows of its output layer mean: give one with --labels FILE "
        "(conf/labels_nvidia_en.txt for NVIDIA's English models, conf/labels_en.txt for DeepSpeech2 of the MindSpore model zoo)"
    )


def tokens_of_rows(labels: Sequence[str], rows: int, where: str) -> list[str]:
    """Our token of every row of an output layer: `<space>` for " ", `<blank>` for the blank.

    The blank is the label `<blank>` (`<BLANK>`, `<blk>`), or else `_` in a list with one label per row, or else, in a list of one label fewer, the
    last row. UserError: another number of labels, none or several blanks, a duplicate.
    """
    if empty := [label for label in labels if label != " " and label.split() != [label]]:
        raise UserError(f"{where}: {empty[0]!r} is no label: a label has no white space, except for the space itself")
    tokens = [SPACE if label == " " else BLANK if label.lower() in BLANKS else label for label in labels]
    if len(tokens) == rows - 1 and BLANK not in tokens:
        tokens.append(BLANK)
    elif len(tokens) != rows:
        raise UserError(f"{where}: {len(labels)} labels, but the output layer has {rows} rows, one per label and one for the blank")
    if BLANK not in tokens:
        tokens = [BLANK if token == UNDERSCORE else token for token in tokens]
    if BLANK not in tokens:
        raise UserError(f"{where}: none of the {rows} labels is the blank: name it {BLANK} in the list")
    duplicates = sorted({token for token in tokens if tokens.count(token) > 1})
    if duplicates:
        raise UserError(f"{where}: duplicate label {_named(duplicates[0])}: give the list of the checkpoint")
    return tokens


def tokenizer_of(tokens: Sequence[str]) -> Tokenizer:
    """A tokenizer with these tokens in their order, the blank last. UserError: parts of words, which need their own tokenizer."""
    if pieces := [token for token in tokens if BOUNDARY in token or token.startswith("##")]:
        raise UserError(f"the labels are parts of words ({pieces[0]}): give --tokens, a token list with the SentencePiece model beside it")
    ordered = [*(token for token in tokens if token != BLANK), BLANK]
    return (WordTokenizer if tokenizers.has_words(ordered) else CharTokenizer)(ordered)


def row_order(have: Sequence[str], want: Sequence[str], where: str) -> list[int]:
    """The row of `have` (tokens of a checkpoint's rows) for each token of `want`; letters may differ in case throughout. Logs what changes.

    UserError: the two do not match one to one; the message names the labels.
    """
    folds = {name: [_folded(token, fold) for token in have] for name, fold in FOLDS.items()}
    name = min(folds, key=lambda name: len(set(folds[name]) ^ set(want)))
    tokens = folds[name]
    if sorted(tokens) != sorted(want):
        raise UserError(f"{where}: {_mismatch(have, tokens, want)}: the checkpoint cannot be used with this token list")
    rows = {token: row for row, token in enumerate(tokens)}
    order = [rows[token] for token in want]
    folded = [f"{old} -> {new}" for old, new in zip(have, tokens, strict=True) if old != new]
    if folded:
        log.info("%s: letters change case: %s%s", where, ", ".join(folded[:3]), ", ..." if len(folded) > 3 else "")
    moved = sum(row != place for place, row in enumerate(order))
    if moved:
        log.info("%s: %d of %d rows of the output layer change their place", where, moved, len(order))
    return order


def require_token_list(checkpoint: Path, tokens: Path) -> None:
    """UserError unless the checkpoint exists and the token list beside it is that of the file `tokens`."""
    if not checkpoint.is_file():
        raise UserError(f"{checkpoint}: no such checkpoint")
    own = beside(checkpoint)
    if own and tokenizers.read_labels(own) == tokenizers.read_labels(tokens):
        return
    what = f"its token list, {own}, is not {tokens}" if own else "there is no token list (tokens.txt) beside it"
    command = f"asrlib convert --to ms --train_config CONFIG --tokens {tokens} --checkpoint {checkpoint} --out DIR"
    raise UserError(f"{checkpoint}: {what}: convert it first ({command}) and give DIR/model.safetensors")


def _folded(token: str, fold: Callable[[str], str]) -> str:
    return token if tokenizers.is_tag(token) else fold(token)


def _named(token: str) -> str:
    return repr(token) if tokenizers.is_tag(token) else describe(token)


def _mismatch(have: Sequence[str], folded: Sequence[str], want: Sequence[str]) -> str:
    sides = {
        "only in the checkpoint's labels": [old for old, new in zip(have, folded, strict=True) if new not in want],
        "only in the token list": [token for token in want if token not in folded],
        "two letters that differ in case": [old for old, new in zip(have, folded, strict=True) if folded.count(new) > 1],
    }
    found = []
    for side, tokens in sides.items():
        if tokens:
            more = f" and {len(tokens) - 5} more" if len(tokens) > 5 else ""
            found.append(f"{side}: {', '.join(map(_named, tokens[:5]))}{more}")
    return "; ".join(found)


def _strings(labels: Sequence, where: str) -> list[str]:
    """UserError: something else than a string or a digit in a list of labels."""
    for label in labels:
        if not isinstance(label, (str, int)) or isinstance(label, bool):
            raise UserError(f"{where}: {label!r} in the list of labels is not a string: write it in quotes")
    return [str(label) for label in labels]
