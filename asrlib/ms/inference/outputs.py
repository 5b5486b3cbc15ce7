"""Layer outputs of the MindSpore network of an experiment."""

from pathlib import Path

import numpy as np
from mindspore import Tensor, nn

from asrlib.convert.compare import utterances_first
from asrlib.ms.inference.acoustic import AcousticModel
from asrlib.ms.inference.upstream import Upstream


class _Outputs(nn.Cell):
    def __init__(self, network: nn.Cell):
        super().__init__(auto_prefix=False)
        self.network = network
        self.set_train(False)

    def construct(self, feats, lengths):
        return self.network.layer_outputs(feats, lengths)


def layer_outputs(exp_dir: Path, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs (B, T', D) of all layers of an experiment's model.

    inputs: feats (B, T, F) and lengths (B,); for a pretrained model wavs (B, S), lengths (B,) and pitch (B, T).
    """
    if "wavs" in inputs:
        upstream = Upstream.load(exp_dir)
        return upstream.states(inputs["wavs"], inputs["lengths"], inputs["pitch"] if upstream.config.uses_pitch else None)
    model = AcousticModel.load(exp_dir)
    outputs = _Outputs(model.network)(Tensor(inputs["feats"]), Tensor(inputs["lengths"].astype(np.int32)))
    return utterances_first([x.asnumpy() for x in outputs])
