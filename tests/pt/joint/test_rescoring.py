"""Attention rescoring against ESPnet's decoder, one token at a time, and CTC's loss."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from asrlib.decode.beam import BeamConfig, BeamDecoder
from asrlib.pt.joint.rescoring import rescore
from asrlib.pt.joint.search import Hypothesis, Options
from asrlib.pt.recogniser import Recogniser
from tests.pt.joint.test_search import encodings, random_model


def attention_score(model, encoded, tokens):
    """By ESPnet's step of its own search."""
    total, state, sequence = 0.0, None, [model.sos]
    for token in (*tokens, model.eos):
        scores, state = model.decoder.score(torch.tensor(sequence), state, encoded)
        total, sequence = total + float(scores[token]), [*sequence, token]
    return total


def ctc_score(model, encoded, tokens):
    log_probs = model.ctc.log_softmax(encoded[None])[0][:, None]
    sizes = torch.tensor([len(encoded)]), torch.tensor([len(tokens)])
    return -float(torch.nn.functional.ctc_loss(log_probs, torch.tensor([tokens]), *sizes, reduction="sum"))


@pytest.mark.parametrize("options", [Options(8, 0.3), Options(8, 0.0), Options(8, 0.5, penalty=1.5)])
def test_scores_and_order(options):
    """Of all hypotheses of a wide prefix beam search, whose scores are the sums over alignments."""
    model, encoded = random_model(12, seed=1, sharpness=3.0), encodings(1, seed=4, longest=8)[0]
    tokens = ["<blank>", *"ABCDEFGHIJ", "<sos/eos>"]
    with torch.inference_mode():
        found = BeamDecoder(tokens, 0, BeamConfig(beam_size=5000, beam_threshold=1e4)).decode(model.ctc.log_softmax(encoded[None])[0].numpy(), 8)
        candidates = [Hypothesis(h.tokens, h.score) for h in found]
        expected = []
        for candidate in candidates:
            ctc = ctc_score(model, encoded, candidate.tokens)
            assert candidate.score == pytest.approx(ctc, abs=1e-3)
            total = (1 - options.ctc_weight) * attention_score(model, encoded, candidate.tokens) + options.ctc_weight * ctc
            expected.append((candidate.tokens, total + options.penalty * (len(candidate.tokens) + 1)))
        expected.sort(key=lambda pair: -pair[1])
        rescored = rescore(model, encoded, candidates, options)
    assert [h.tokens for h in rescored] == [tokens for tokens, _ in expected]
    assert [h.score for h in rescored] == pytest.approx([score for _, score in expected], abs=1e-3)
    assert [h.tokens for h in rescored] != [h.tokens for h in candidates], "rescoring changes nothing"


def test_candidates_are_those_of_the_beam():
    """Without the space that ends a word of a search over words; audio that is too short has an empty text."""
    model, encoded = random_model(6, seed=2, sharpness=2.0), encodings(2, seed=1, longest=8)
    recogniser = object.__new__(Recogniser)
    recogniser.model, recogniser.options, recogniser.lm = model, Options(4, 0.3), None
    recogniser.tokens = ["<blank>", "A", "B", "C", "<space>", "<sos/eos>"]
    asked = []

    def decode(log_probs, nbest):
        asked.append((log_probs.shape, nbest))
        return [SimpleNamespace(tokens=(1, 2, 4), score=-3.0), SimpleNamespace(tokens=(3, 4), score=-2.0)]

    answers = recogniser.search([encoded[0], None], "attention_rescoring", SimpleNamespace(decode=decode))
    assert asked == [((len(encoded[0]), 6), 4)]
    assert {(h.text, h.tokens) for h in answers[0]} == {("AB", (1, 2)), ("C", (3,))}
    assert [h.text for h in answers[1]] == [""]
    with torch.inference_mode():
        expected = {tokens: 0.7 * attention_score(model, encoded[0], tokens) + 0.3 * score for tokens, score in (((1, 2), -3.0), ((3,), -2.0))}
    assert {h.tokens: h.score for h in answers[0]} == pytest.approx(expected, abs=1e-3)
    assert np.isfinite([h.score for h in recogniser.search(encoded, "attention")[0]]).all()
