"""The batched joint search against ESPnet's, which searches one utterance at a time."""

from types import SimpleNamespace

import pytest
import torch
from espnet.nets.ctc_prefix_score import CTCPrefixScoreTH
from espnet2.asr.ctc import CTC
from espnet2.asr.decoder.transformer_decoder import TransformerDecoder
from espnet2.lm.transformer_lm import TransformerLM

from asrlib.pt.joint.ctc_prefix import CtcPrefixScorer
from asrlib.pt.joint.decoder import StepDecoder, supported
from asrlib.pt.joint.espnet_search import espnet_search
from asrlib.pt.joint.search import Options, joint_search

DIM = 32
IMPOSSIBLE = -1e8  # ESPnet keeps hypotheses that CTC cannot have (-1e10 times the weight) where nothing better is left


def random_model(vocabulary, seed=0, sharpness=4.0, **decoder):
    """What the search needs of an ESPnet model, with random weights; sharpness makes some tokens much more likely than others."""
    torch.manual_seed(seed)
    decoder = {"attention_heads": 4, "linear_units": 48, "num_blocks": 2} | decoder
    model = SimpleNamespace(decoder=TransformerDecoder(vocabulary, DIM, **decoder).eval(), ctc=CTC(vocabulary, DIM).eval())
    model.sos = model.eos = vocabulary - 1
    model.token_list = [str(i) for i in range(vocabulary)]
    for layer in (model.decoder.output_layer, model.ctc.ctc_lo):
        layer.weight.data *= sharpness
    return model


def encodings(count, seed=0, longest=24):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, longest, (count,), generator=generator).tolist()
    return [2 * torch.randn(length, DIM, generator=generator) for length in lengths]


def theirs_of(model, encoded, options, lm=None):
    """(tokens, score) of ESPnet's hypotheses, best first."""
    return [(h.tokens, h.score) for h in espnet_search(model, encoded, options, lm)]


CASES = {
    "default": (40, {}),
    "large vocabulary": (300, {}),
    "wide beam": (40, {"beam_size": 20}),
    "beam of one": (40, {"beam_size": 1}),
    "more attention": (40, {"ctc_weight": 0.3, "penalty": 1.5}),
    "CTC only": (40, {"ctc_weight": 1.0, "penalty": 0.5}),
    "attention only": (40, {"ctc_weight": 0.0}),
    "bounds": (40, {"maxlenratio": 0.5, "minlenratio": 0.3, "penalty": -0.5}),
    "fixed bounds": (40, {"maxlenratio": -7, "minlenratio": -2}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("sharpness", [1.0, 5.0])
def test_same_hypotheses_as_espnet(case, sharpness):
    vocabulary, changes = CASES[case]
    options = Options(**{"beam_size": 10, "ctc_weight": 0.5} | changes)
    model, encoded = random_model(vocabulary, seed=1, sharpness=sharpness), encodings(3, seed=2)
    for x, ours in zip(encoded, joint_search(model, encoded, options), strict=True):
        theirs = [(tokens, score) for tokens, score in theirs_of(model, x, options) if score > IMPOSSIBLE]
        assert ours[0].tokens == theirs[0][0]
        assert [h.score for h in ours] == pytest.approx([score for _, score in theirs], rel=1e-4, abs=1e-3)


def test_language_model():
    options = Options(10, 0.4, lm_weight=0.6)
    model, encoded = random_model(40, seed=3), encodings(4, seed=4)
    lm = TransformerLM(40, att_unit=16, head=2, unit=24, layer=1).eval()
    lm.decoder.weight.data *= 10
    changed = 0
    for x, ours, without in zip(encoded, joint_search(model, encoded, options, lm), joint_search(model, encoded, Options(10, 0.4)), strict=True):
        tokens, score = theirs_of(model, x, options, lm)[0]
        assert ours[0].tokens == tokens and ours[0].score == pytest.approx(score, rel=1e-4)
        changed += ours[0].tokens != without[0].tokens
    assert changed, "the language model changes nothing"


def test_batches_change_nothing():
    model, encoded, options = random_model(40), encodings(9, seed=5), Options(10, 0.5)
    together = joint_search(model, encoded, options)
    alone = [joint_search(model, [x], options)[0] for x in encoded]
    assert [[h.tokens for h in answer] for answer in together] == [[h.tokens for h in answer] for answer in alone]


def test_blank_is_no_token_of_a_hypothesis():
    """ESPnet's search lets blank into the beam if the beam is as wide as the vocabulary, and then gives it a score of zero."""
    model, encoded = random_model(6, sharpness=1.0), encodings(5, seed=0)
    options = Options(6, 0.5)
    assert any(0 in tokens for x in encoded for tokens, _ in theirs_of(model, x, options))
    assert all(0 not in h.tokens for answer in joint_search(model, encoded, options) for h in answer)


def test_no_hypothesis_that_is_long_enough():
    """A bound that leaves nothing is lowered until something is left, as in ESPnet."""
    model, encoded = random_model(40), encodings(2, seed=6, longest=10)
    options = Options(10, 0.5, minlenratio=1.0, maxlenratio=0.5)
    for x, ours in zip(encoded, joint_search(model, encoded, options), strict=True):
        assert ours[0].tokens == theirs_of(model, x, options)[0][0]


def test_decoder_step_by_step():
    """Log-probabilities of the whole sequence at once, for utterances of different lengths, with hypotheses that change places."""
    model, encoded = random_model(40), encodings(3, seed=7)
    lengths = torch.tensor([len(x) for x in encoded])
    memory = torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.full((3, 4, 1), model.sos)
    with torch.inference_mode():
        step = StepDecoder(model.decoder, memory, lengths)
        for position in range(6):
            log_probs = step(tokens[..., -1], position)
            parents = torch.randint(0, 4, (3, 4), generator=generator)
            step.reorder(parents)
            before = tokens.gather(1, parents[..., None].expand_as(tokens))
            tokens = torch.cat((before, torch.randint(1, 39, (3, 4, 1), generator=generator)), -1)
        log_probs = step(tokens[..., -1], 6)
        for row in range(3):
            whole, _ = model.decoder(memory[row : row + 1].expand(4, -1, -1), lengths[row : row + 1].expand(4), tokens[row], torch.full((4,), 7))
            torch.testing.assert_close(log_probs[row], whole[:, -1].log_softmax(-1), atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("ids", [None, "some"])
def test_ctc_prefix_scores(ids):
    """Scores of espnet.nets.ctc_prefix_score along random prefixes with repeated tokens."""
    vocabulary, beam, frames = 12, 3, 25
    generator = torch.Generator().manual_seed(0)
    log_probs = torch.randn(1, frames, vocabulary, generator=generator).mul(2).log_softmax(-1)
    theirs = CTCPrefixScoreTH(log_probs.double().clone(), torch.tensor([frames]), 0, vocabulary - 1)
    ours = CtcPrefixScorer(log_probs, torch.tensor([frames]), vocabulary - 1)
    sequences, state, prefixes = torch.full((beam, 1), vocabulary - 1), None, ours.start()
    prefixes = type(prefixes)(*(x.expand(-1, beam, *[-1] * (x.ndim - 2)) for x in vars(prefixes).values()))
    for _ in range(8):
        chosen = None if ids is None else torch.rand(beam, vocabulary - 2, generator=generator).topk(5)[1] + 1
        if chosen is not None:
            chosen[0, 0] = sequences[0, -1]
            chosen = torch.stack([torch.tensor(list(dict.fromkeys([*row.tolist(), *range(1, 11)]))[:5]) for row in chosen])
        scores, full_state = theirs(sequences, state, chosen)
        answer = ours.scores(prefixes, None if chosen is None else chosen[None])[0]
        expected = scores + (0.0 if state is None else state[1])
        known = expected > -1e9
        torch.testing.assert_close(answer[known], expected[known].double(), atol=1e-6, rtol=1e-6)
        assert known.sum() >= 5 * beam and bool((answer[~known] < -1e9).all())
        tokens = (torch.randint(1, vocabulary - 1, (beam,), generator=generator) if chosen is None else chosen[:, 0]).clone()
        best = torch.arange(beam) * vocabulary + tokens
        state = theirs.index_select_state(full_state, best[None])
        prefixes = ours.extend(prefixes, ours.scores(prefixes, None if chosen is None else chosen[None]), torch.arange(beam)[None], tokens[None])
        sequences = torch.cat((sequences, tokens[:, None]), 1)


def test_other_decoders_are_left_to_espnet():
    assert supported(random_model(10).decoder)
    assert not supported(random_model(10, concat_after=True).decoder)
    assert not supported(random_model(10, normalize_before=False).decoder)
    assert not supported(random_model(10, qk_norm=True).decoder)
