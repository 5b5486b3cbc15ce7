"""Joint CTC/attention beam search (Watanabe et al. 2017) over a batch of utterances: the hypotheses of ESPnet's BatchBeamSearch, which searches one
utterance at a time.

All hypotheses of a step have the same number of tokens, so that those of all utterances are scored together. Utterances that have ended leave the
batch.
"""

import math
from dataclasses import dataclass, field

import torch
from espnet2.asr.espnet_model import ESPnetASRModel

from asrlib.pt.joint.ctc_prefix import LOG_ZERO, CtcPrefixScorer, Prefixes, keep
from asrlib.pt.joint.decoder import StepDecoder

PRE_BEAM = 1.5  # CTC scores so many times the beam's size of the tokens that the other scores rank first
PATIENCE, MARGIN = 3, math.log(math.exp(-10))  # the search ends after so many lengths whose best hypothesis is so much worse than the best


@dataclass(frozen=True)
class Hypothesis:
    """tokens: without sos and eos; score: weighted sum of the log-probabilities."""

    tokens: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class Options:
    """The settings of JointConfig; ratios are relative to the frames of the encoder. maxlenratio 0: the search detects the end."""

    beam_size: int
    ctc_weight: float
    penalty: float = 0.0
    maxlenratio: float = 0.0
    minlenratio: float = 0.0
    lm_weight: float = 0.0

    def longest(self, frames: int) -> int:
        if self.maxlenratio == 0:
            return frames
        return -int(self.maxlenratio) if self.maxlenratio < 0 else max(1, int(self.maxlenratio * frames))

    def shortest(self, frames: int) -> int:
        return -int(self.minlenratio) if self.minlenratio < 0 else int(self.minlenratio * frames)


@dataclass
class _Utterance:
    """What is known of an utterance: bounds of its length, hypotheses that have ended."""

    longest: int
    shortest: int
    ended: list[Hypothesis] = field(default_factory=list)
    best: dict[int, float] = field(default_factory=dict)  # best score of each length, sos and eos included

    def end(self, tokens: list[int], score: float) -> None:
        """tokens: from sos to eos."""
        self.ended.append(Hypothesis(tuple(tokens[1:-1]), score))
        self.best[len(tokens)] = max(score, self.best.get(len(tokens), -math.inf))

    def has_ended(self, step: int) -> bool:
        """Whether the last lengths had only hypotheses that are much worse than the best one (Watanabe et al. 2017, equation 50)."""
        best = max(self.best.values(), default=-math.inf)
        return all(step - m in self.best and self.best[step - m] - best < MARGIN for m in range(PATIENCE))


def joint_search(model: ESPnetASRModel, encoded: list[torch.Tensor], options: Options, lm=None) -> list[list[Hypothesis]]:
    """The hypotheses of each utterance, best first. encoded: encoder's outputs (T, D) on the model's device; lm: ESPnet's language model."""
    lengths = torch.tensor([len(x) for x in encoded], device=encoded[0].device)
    with torch.inference_mode():
        utterances = _Search(model, torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True), lengths, options, lm).run()
    answers = [sorted(utterance.ended, key=lambda hypothesis: -hypothesis.score) for utterance in utterances]
    if options.minlenratio >= 0.1 and (empty := [i for i, answer in enumerate(answers) if not answer]):
        again = Options(**{**vars(options), "minlenratio": max(0.0, options.minlenratio - 0.1)})
        for i, answer in zip(empty, joint_search(model, [encoded[i] for i in empty], again, lm), strict=True):
            answers[i] = answer
    return answers


class _Search:
    """The hypotheses of the utterances that have not ended. Places without a hypothesis have the score -inf."""

    def __init__(self, model: ESPnetASRModel, encoded: torch.Tensor, lengths: torch.Tensor, options: Options, lm):
        self.options, self.eos, self.lm = options, model.eos, lm
        self.lengths, device = lengths, encoded.device
        self.utterances = [_Utterance(options.longest(frames), options.shortest(frames)) for frames in lengths.tolist()]
        self.running = list(range(len(encoded)))
        self.vocabulary = len(model.token_list)
        self.decoder = StepDecoder(model.decoder, encoded, lengths) if options.ctc_weight < 1 else None
        self.ctc = CtcPrefixScorer(model.ctc.log_softmax(encoded), lengths, self.eos) if options.ctc_weight > 0 else None
        self.prefixes = self.ctc.start() if self.ctc else None
        self.states: list = [None] * len(encoded)  # of the language model, of each hypothesis
        self.tokens = torch.full((len(encoded), 1, 1), model.sos, device=device)  # (U, N, tokens)
        self.scores = torch.zeros(len(encoded), 1, dtype=torch.double, device=device)  # (U, N)

    def run(self) -> list[_Utterance]:
        for step in range(max(utterance.longest for utterance in self.utterances)):
            self._extend(step)
            self._end(step)
            if not self.running:
                break
        return self.utterances

    def _extend(self, step: int) -> None:
        """Replaces the hypotheses by their best continuations."""
        full = self._full_scores(step)
        scores, ctc = full + self.scores[..., None], None
        if self.ctc:
            size = int(PRE_BEAM * self.options.beam_size)
            ids = full.topk(size)[1] if size < self.vocabulary and self.options.ctc_weight < 1 else None
            ctc = self.ctc.scores(self.prefixes, ids)
            scores = scores + self.options.ctc_weight * (ctc - self.prefixes.score[..., None])
            scores.masked_fill_(ctc < LOG_ZERO / 2, -math.inf)
        self.scores, best = scores.flatten(1).topk(self.options.beam_size)
        parents, tokens = best // self.vocabulary, best % self.vocabulary
        if self.ctc:
            self.prefixes = self.ctc.extend(self.prefixes, ctc, parents, tokens)
        if self.decoder:
            self.decoder.reorder(parents)
        if self.lm:
            size = self.tokens.shape[1]
            self.states = [self.states[row * size + parent] for row, chosen in enumerate(parents.tolist()) for parent in chosen]
        before = self.tokens.gather(1, parents[..., None].expand(-1, -1, self.tokens.shape[-1]))
        self.tokens = torch.cat((before, tokens[..., None]), -1)

    def _full_scores(self, step: int) -> torch.Tensor:
        """Weighted scores (U, N, V) of the decoder, the penalty and the language model."""
        full = self.scores.new_full((*self.scores.shape, self.vocabulary), self.options.penalty)
        if self.decoder:
            full += (1 - self.options.ctc_weight) * self.decoder(self.tokens[..., -1], step)
        if self.lm:
            log_probs, self.states = self.lm.batch_score(self.tokens.flatten(0, 1), self.states, None)
            full += self.options.lm_weight * log_probs.view_as(full)
        return full

    def _end(self, step: int) -> None:
        """Takes out the hypotheses that end with eos, and the utterances that have ended."""
        last = torch.tensor([step == self.utterances[row].longest - 1 for row in self.running], device=self.scores.device)
        ends = ((self.tokens[..., -1] == self.eos) | last[:, None]) & self.scores.isfinite()
        for row, place in ends.nonzero().tolist():
            utterance = self.utterances[self.running[row]]
            if step >= utterance.shortest:
                eos = [self.eos] if step == utterance.longest - 1 else []
                utterance.end(self.tokens[row, place].tolist() + eos, float(self.scores[row, place]))
        self.scores.masked_fill_(ends, -math.inf)
        alive = self.scores.isfinite().any(1).tolist()
        detect = self.options.maxlenratio == 0
        stay = [row for row, number in enumerate(self.running) if alive[row] and not (detect and self.utterances[number].has_ended(step))]
        if len(stay) < len(self.running):
            self._keep(stay)

    def _keep(self, rows: list[int]) -> None:
        """Keeps the utterances of these rows only."""
        self.running = [self.running[row] for row in rows]
        if not rows:
            return
        size, index = self.tokens.shape[1], torch.tensor(rows, device=self.scores.device)
        self.tokens, self.scores, self.lengths = self.tokens[index], self.scores[index], self.lengths[index]
        frames = int(self.lengths.max())
        if self.ctc:
            self.ctc.keep(index, frames)
            self.prefixes: Prefixes = keep(self.prefixes, index, frames)
        if self.decoder:
            self.decoder.keep(index, frames)
        if self.lm:
            self.states = [self.states[row * size + place] for row in rows for place in range(size)]
