"""CTC decoding on one core: greedy, and beam search with a word n-gram, in asrlib and in torchaudio, on the same emissions.

The emissions are generated from sentences of random words: peaks at their letters, blanks between them, and noise. The table lists the word error
rate next to the real-time factor, since a search may be fast because it finds worse hypotheses. torch_greedy is the decoder of torchaudio's tutorial.
"""

import functools
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from common import ONE_THREAD, Case, chosen, measure, parser, report

from asrlib.utils.cli import run

TOKENS = ["'", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "<space>", "<blank>"]
SPACE, BLANK = 27, 28
FRAME_SECONDS = 0.02


@dataclass(frozen=True)
class Task:
    """Sentences with words drawn from a Zipf distribution, and their emissions; the same in every process."""

    utterances: int
    words: int  # size of the vocabulary
    noise: float
    seed: int = 0

    def vocabulary(self) -> list[str]:
        rng = np.random.default_rng(self.seed)
        words: dict[str, None] = {}
        while len(words) < self.words:
            words["".join(TOKENS[i] for i in rng.integers(1, 27, rng.integers(2, 9)))] = None
        return list(words)

    def sentences(self, count: int, seed: int) -> list[list[str]]:
        rng, words = np.random.default_rng([self.seed, seed]), self.vocabulary()
        odds = 1 / np.arange(1, len(words) + 1)
        return [[words[i] for i in rng.choice(len(words), rng.integers(6, 24), p=odds / odds.sum())] for _ in range(count)]

    def test(self) -> list[list[str]]:
        return self.sentences(self.utterances, seed=1)

    def emissions(self) -> list[np.ndarray]:
        """Natural log-probabilities (T, V) of the test sentences, each with a space at its end."""
        rng = np.random.default_rng([self.seed, 2])
        return [self._emission(rng, [TOKENS.index(c) if c != " " else SPACE for c in " ".join(s) + " "]) for s in self.test()]

    def _emission(self, rng: np.random.Generator, ids: list[int]) -> np.ndarray:
        path = [i for token in ids for i in [token] * rng.integers(1, 3) + [BLANK] * rng.integers(1, 4)]
        logits = rng.normal(scale=self.noise, size=(len(path), len(TOKENS)))
        logits[np.arange(len(path)), path] += 10.0
        return (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32)


def asrlib_greedy(task: Task) -> Callable[[], list[str]]:
    from asrlib.decode.greedy import ctc_greedy, tokens_to_text

    return _over(task, lambda x: tokens_to_text(ctc_greedy(x, BLANK), TOKENS))


def asrlib_beam(task: Task, lm: str, beam_size: int) -> Callable[[], list[str]]:
    from asrlib.decode.beam import BeamConfig, BeamDecoder

    decoder = BeamDecoder(TOKENS, BLANK, BeamConfig(lm=lm, beam_size=beam_size))
    return _over(task, lambda x: decoder.decode(x)[0].text)


def torch_greedy(task: Task) -> Callable[[], list[str]]:
    import torch

    def decode(emission: np.ndarray) -> str:
        path = torch.unique_consecutive(torch.argmax(torch.from_numpy(emission), dim=-1), dim=-1)
        return "".join(TOKENS[i] for i in path if i != BLANK).replace("<space>", " ")

    return _over(task, decode)


def torchaudio_beam(task: Task, lm: str, beam_size: int) -> Callable[[], list[str]]:
    """Options as in asrlib's BeamConfig: alpha 1, beta 1, threshold 30, alignments summed."""
    import torch
    from torchaudio.models.decoder import ctc_decoder

    with tempfile.NamedTemporaryFile("w", suffix=".lexicon") as lexicon:
        lexicon.writelines(f"{word} {' '.join(word)} <space>\n" for word in sorted(set(task.vocabulary())))
        lexicon.flush()
        decoder = ctc_decoder(
            lexicon.name, TOKENS, lm, beam_size=beam_size, beam_size_token=len(TOKENS), beam_threshold=30.0, lm_weight=math.log(10.0), word_score=1.0,
            log_add=True, blank_token="<blank>", sil_token="<space>",
        )  # fmt: skip
    return _over(task, lambda x: " ".join(decoder(torch.from_numpy(x)[None])[0][0].words))


def _over(task: Task, decode: Callable[[np.ndarray], str]) -> Callable[[], list[str]]:
    """Returns a function that decodes all emissions."""
    emissions = task.emissions()
    return lambda: [decode(x) for x in emissions]


def word_error_rate(task: Task, hypotheses: list[str]) -> float:
    """Word error rate over all sentences, in percent."""
    from asrlib.score.error_rate import count_errors

    return count_errors([" ".join(sentence) for sentence in task.test()], hypotheses).error_rate


def main(argv=None) -> int | None:
    options = parser(__doc__, ("greedy", "torch_greedy", "beam", "torchaudio_beam"), repeats=7)
    options.add_argument("--utterances", type=int, default=50, help="number of sentences, of 6 to 23 words each")
    options.add_argument("--words", type=int, default=5000, help="size of the vocabulary")
    options.add_argument("--noise", type=float, default=2.2, help="standard deviation of the noise added to the logits, whose peaks are 10")
    options.add_argument("--order", type=int, default=3, help="order of the n-gram model")
    options.add_argument("--beam_size", type=int, default=128, help="beam size")
    args = options.parse_args(argv)

    from asrlib.decode.ngram import estimate, write_arpa

    task = Task(args.utterances, args.words, args.noise)
    with tempfile.TemporaryDirectory() as folder:
        lm = f"{folder}/lm.arpa"
        write_arpa(estimate([*task.sentences(4 * args.words, seed=3), *([word] for word in task.vocabulary())], args.order), lm)
        settings = {"value": functools.partial(word_error_rate, task), "env": ONE_THREAD}
        cases = (
            Case("greedy", asrlib_greedy, (task,), **settings),
            Case("torch_greedy", torch_greedy, (task,), **settings),
            Case("beam", asrlib_beam, (task, lm, args.beam_size), **settings),
            Case("torchaudio_beam", torchaudio_beam, (task, lm, args.beam_size), **settings),
        )
        results = measure(chosen(cases, args.cases), args.repeats, args.load)
    report(args, results, "WER %", audio_seconds=FRAME_SECONDS * sum(map(len, task.emissions())))
    return None


if __name__ == "__main__":
    run(main)
