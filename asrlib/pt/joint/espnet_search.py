"""ESPnet's joint search, one utterance at a time, for decoders that asrlib.pt.joint.decoder does not know; ESPnet's language models."""

import torch
from espnet.nets.batch_beam_search import BatchBeamSearch
from espnet.nets.beam_search import BeamSearch
from espnet.nets.scorer_interface import BatchScorerInterface
from espnet.nets.scorers.ctc import CTCPrefixScorer
from espnet.nets.scorers.length_bonus import LengthBonus
from espnet2.asr.espnet_model import ESPnetASRModel

from asrlib.pt.joint.search import Hypothesis, Options


def espnet_search(model: ESPnetASRModel, encoded: torch.Tensor, options: Options, lm=None) -> list[Hypothesis]:
    """The hypotheses of an utterance, best first, with the settings of espnet2.bin.asr_inference. encoded: encoder's output (T, D)."""
    scorers = {"decoder": model.decoder, "ctc": CTCPrefixScorer(model.ctc, model.eos), "length_bonus": LengthBonus(len(model.token_list)), "lm": lm}
    weights = {"decoder": 1 - options.ctc_weight, "ctc": options.ctc_weight, "length_bonus": options.penalty, "lm": options.lm_weight}
    before_ctc = None if options.ctc_weight == 1 else "full"
    search = BeamSearch(scorers, weights, options.beam_size, len(model.token_list), model.sos, model.eos, pre_beam_score_key=before_ctc)
    if all(isinstance(scorer, BatchScorerInterface) for scorer in search.full_scorers.values()):
        search.__class__ = BatchBeamSearch
    with torch.no_grad():
        found = search(x=encoded, maxlenratio=options.maxlenratio, minlenratio=options.minlenratio)
    return [Hypothesis(tuple(int(token) for token in hypothesis.yseq[1:-1]), float(hypothesis.score)) for hypothesis in found]


def load_lm(config: str, weights: str, device: str):
    """ESPnet's language model in evaluation mode."""
    from espnet2.tasks.lm import LMTask

    return LMTask.build_model_from_file(config, weights, device)[0].lm.eval()
