"""Log-mel frames inside the network against Kaldi's."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from asrlib.features.filterbank import FLOOR
from asrlib.ms.kernels import plain_operators
from asrlib.ms.layers.logmel import LogMel
from tests.features.test_filterbank import kaldis


@pytest.mark.parametrize("compiled", [True, False])
def test_frames_are_kaldis(compiled):
    """Of every utterance of a batch; silence has the floor."""
    ms.set_context(mode=ms.GRAPH_MODE)
    rng = np.random.default_rng(0)
    wavs = (0.1 * np.linspace(0, 1, 5003) ** 3 * rng.normal(size=(3, 5003))).astype(np.float32)
    wavs[2] = 0
    if compiled:
        found = LogMel(80)(Tensor(wavs)).asnumpy()
    else:
        with plain_operators():
            found = LogMel(80)(Tensor(wavs)).asnumpy()
    assert found.shape == (3, 29, 80)
    for row in range(2):
        np.testing.assert_allclose(found[row], np.maximum(kaldis(wavs[row], 80), np.log(FLOOR)), atol=2e-3)
    np.testing.assert_allclose(found[2], np.log(FLOOR), rtol=1e-6)
