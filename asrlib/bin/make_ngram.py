"""Estimates an n-gram language model for beam search from a Kaldi text file (interpolated modified Kneser-Ney) and writes it as ARPA.

--unit word makes a word model over character tokens (English); --unit char makes a character model in which spaces are written <space>, as in the
token list (Mandarin, or an open vocabulary). A tag such as [noise] is one unit, <unk> the unknown unit; reserved symbols (<s>, <blank>, ...) in the
text are left out with a warning. With --valid_text the perplexity on that text is logged. N-grams are counted in temporary files ($TMPDIR, about 60
bytes for each different n-gram), so that memory hardly grows with the text.
"""

import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> int | None:
    parser = Parser(__doc__)
    parser.add_argument("--text", required=True, type=Path, help="text file with an utterance id first in each line")
    parser.add_argument("--out", required=True, type=Path, help="ARPA file to write")
    parser.add_argument("--order", type=int, default=3, choices=range(2, 7), help="order of the model: length of its longest n-grams")
    parser.add_argument("--unit", choices=("word", "char"), default="word", help="unit of the n-grams")
    parser.add_argument("--valid_text", type=Path, help="text file to measure the perplexity on")
    args = parser.parse_args(argv)

    from asrlib.decode.lm import perplexity
    from asrlib.decode.ngram import estimate, write_arpa
    from asrlib.score.texts import read_text
    from asrlib.text.tags import characters, find_tags
    from asrlib.text.tokenizers import RESERVED, SPACE
    from asrlib.utils.log import get_logger

    log = get_logger(__name__)

    def sentences(path: Path) -> Iterator[list[str]]:
        reserved, phrases = Counter[str](), set[str]()
        for text in read_text(path).values():
            if found := {tag for tag in find_tags(text) if " " in tag}:  # no words of an ARPA file
                phrases |= found
                text = functools.reduce(lambda text, tag: text.replace(tag, " "), found, text)
            units = text.split() if args.unit == "word" else characters(text, " ")
            reserved.update(unit for unit in units if unit in RESERVED)
            yield [SPACE if unit == " " else unit for unit in units if unit not in RESERVED]
        if phrases:
            log.warning("%s: tags with spaces are left out, as %s: normalise_text removes tags", path, min(phrases))
        if reserved:
            log.warning("%s: %d reserved symbols are left out: %s", path, reserved.total(), " ".join(sorted(reserved)))

    model = estimate(sentences(args.text), args.order)
    valid = list(sentences(args.valid_text)) if args.valid_text else []
    write_arpa(model, args.out)
    for n, (size, discount) in enumerate(zip(model.sizes, model.discounts, strict=True), 1):
        log.info("order %d: %d n-grams, discounts %s", n, size, " ".join(f"{d:.3f}" for d in discount))
    if valid:
        known = set(model.units)
        unknown = sum(unit not in known for sentence in valid for unit in sentence)
        units = sum(map(len, valid))
        log.info("perplexity %.1f on %s, %d of %d units unknown", perplexity(args.out, valid), args.valid_text, unknown, units)


if __name__ == "__main__":
    run(main)
