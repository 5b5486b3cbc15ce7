"""Attention rescoring: the decoder scores whole hypotheses that CTC has found (as in the two-pass decoding of WeNet, Yao et al. 2021)."""

from collections.abc import Sequence

import torch
from espnet2.asr.espnet_model import ESPnetASRModel

from asrlib.pt.joint.search import Hypothesis, Options


def rescore(model: ESPnetASRModel, encoded: torch.Tensor, candidates: Sequence[Hypothesis], options: Options) -> list[Hypothesis]:
    """The candidates by (1 - ctc_weight) ln P_attention + ctc_weight * score + penalty per token, best first, with the joint search's terms.

    encoded: encoder's output (T, D); a candidate's score: that of CTC's prefix beam search, with its language model.
    """
    with torch.inference_mode():
        attention = _attention_scores(model, encoded, [candidate.tokens for candidate in candidates])
    weight = options.ctc_weight
    scored = [
        Hypothesis(candidate.tokens, (1 - weight) * score + weight * candidate.score + options.penalty * (len(candidate.tokens) + 1))
        for candidate, score in zip(candidates, attention.tolist(), strict=True)
    ]
    return sorted(scored, key=lambda hypothesis: -hypothesis.score)


def _attention_scores(model: ESPnetASRModel, encoded: torch.Tensor, sequences: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """ln P of each sequence and the end after it (N,)."""
    count, device = len(sequences), encoded.device
    rows = [torch.tensor([model.sos, *tokens], device=device) for tokens in sequences]
    inputs = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=model.eos)
    outputs = torch.nn.utils.rnn.pad_sequence([torch.cat((row[1:], row.new_tensor([model.eos]))) for row in rows], batch_first=True, padding_value=-1)
    frames = torch.full((count,), len(encoded), device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    logits, _ = model.decoder(encoded.expand(count, -1, -1), frames, inputs, lengths)
    scores = logits.log_softmax(-1).gather(-1, outputs.clamp(min=0)[..., None])[..., 0]
    return scores.masked_fill(outputs < 0, 0.0).double().sum(-1)
