"""Decoding of many utterances on all cores."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np

from asrlib.corpora.kaldi_table import write_table
from asrlib.decode.beam import BeamConfig, BeamDecoder, Hypothesis
from asrlib.decode.greedy import ctc_greedy, tokens_to_text
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger
from asrlib.utils.progress import progress

log = get_logger(__name__)

_decoder: BeamDecoder | None = None  # of a worker process


def greedy(log_probs: np.ndarray, tokens: Sequence[str], blank: int, separator: str = "") -> Hypothesis:
    """The labelling of the best path of (T, V); its score is that of the path."""
    ids = ctc_greedy(log_probs, blank)
    return Hypothesis(tokens_to_text(ids, tokens, separator), float(log_probs.max(-1).sum()) if len(log_probs) else 0.0, tuple(ids))


def decode_all(
    log_probs: Sequence[np.ndarray],
    tokens: Sequence[str],
    blank: int,
    mode: Literal["greedy", "beam"],
    config: BeamConfig | None = None,
    nj: int = 1,
    separator: str = "",
) -> list[str]:
    """The best text of each utterance, in the order given.

    log_probs: arrays (T, V), natural logarithms of probabilities, V = len(tokens). Tokens are joined with `separator` ("" for characters
    and pieces, " " for tokens that are words), `<space>` becomes a space, runs of spaces become one. An output of only blanks gives the
    empty text. nj: processes of the beam search; greedy search runs in this process.
    """
    return [best[0].text for best in decode_nbest(log_probs, tokens, blank, mode, config or BeamConfig(), nj, separator)]


def decode_nbest(
    log_probs: Sequence[np.ndarray],
    tokens: Sequence[str],
    blank: int,
    mode: Literal["greedy", "beam"],
    config: BeamConfig,
    nj: int = 1,
    separator: str = "",
) -> list[list[Hypothesis]]:
    """The config.nbest best hypotheses of each utterance, of greedy search one; arguments as for decode_all."""
    if mode == "greedy":
        return [[greedy(x, tokens, blank, separator)] for x in log_probs]
    bar: dict = {"desc": "beam search", "total": len(log_probs), "unit": "utt"}
    if nj == 1 or len(log_probs) < 2:
        decoder = BeamDecoder(tokens, blank, config, separator)
        return [decoder.decode(x) for x in progress(log_probs, **bar)]
    # Report errors in the options and the language model here, before a worker fails on them.
    BeamDecoder(tokens, blank, config, separator)
    workers = min(nj, len(log_probs))
    try:
        with ProcessPoolExecutor(workers, get_context("spawn"), _start, (list(tokens), blank, config, separator)) as pool:
            return list(progress(pool.map(_decode, log_probs, chunksize=max(1, len(log_probs) // (8 * workers))), **bar))
    except BrokenProcessPool:
        raise UserError(f"a process of the beam search was killed (out of memory?): try --nj below {workers} or a smaller beam_size") from None


def write_hypotheses(
    folder: Path, found: Mapping[str, Sequence[Hypothesis]], tokens: Sequence[str], nbest: int, audio_seconds: float, seconds: float,
    facts: Mapping[str, float],
) -> None:  # fmt: skip
    """Writes FOLDER/text, one line per utterance, and FOLDER/rtf.json: the real-time factor (seconds of work per second of audio) and `facts`.

    found: the hypotheses of each utterance, best first, at least one. nbest: if above 0, also FOLDER/1best_recog to FOLDER/{nbest}best_recog in
    ESPnet's layout: text, token, token_int, score. An utterance that has fewer hypotheses is left out of the later ones.
    """
    write_table(folder / "text", {utt: best[0].text for utt, best in found.items()})
    for n in range(nbest):
        rows = {utt: best[n] for utt, best in found.items() if len(best) > n}
        place = folder / f"{n + 1}best_recog"
        write_table(place / "text", {utt: hypothesis.text for utt, hypothesis in rows.items()})
        write_table(place / "token", {utt: " ".join(tokens[i] for i in hypothesis.tokens) for utt, hypothesis in rows.items()})
        write_table(place / "token_int", {utt: " ".join(map(str, hypothesis.tokens)) for utt, hypothesis in rows.items()})
        write_table(place / "score", {utt: f"{hypothesis.score:.6f}" for utt, hypothesis in rows.items()})
    factor = seconds / audio_seconds
    with atomic_write(folder / "rtf.json") as stream:
        json.dump({"audio_seconds": round(audio_seconds, 2), **facts, "real_time_factor": round(factor, 5)}, stream, indent=1)
    empty = sum(not best[0].text for best in found.values())
    log.info("%d utterances, %d of them empty, real-time factor %.4f -> %s", len(found), empty, factor, folder / "text")


def _start(*arguments) -> None:
    global _decoder
    _decoder = BeamDecoder(*arguments)


def _decode(log_probs: np.ndarray) -> list[Hypothesis]:
    assert _decoder is not None  # _start has made it
    return _decoder.decode(log_probs)
