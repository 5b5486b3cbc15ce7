"""Log-mel frames of waveforms, inside the network."""

import math

from mindspore import Tensor, nn, ops

from asrlib.config.pretraining import LOG_MEL
from asrlib.features.filterbank import FLOOR, matrices
from asrlib.ms.layers.convolution import PatchProduct


class LogMel(nn.Cell):
    """wavs (B, samples) -> (B, T, mels), Kaldi's log-mel filter bank (asrlib.features.filterbank), without a gradient.

    The Fourier transform is a convolution over blocks of 80 samples, of which a frame has 5, that is, one matrix product of all frames.
    """

    def __init__(self, num_mels: int):
        super().__init__()
        spectrum, mels = matrices(num_mels)
        self.spectrum, self.mels = Tensor(spectrum), Tensor(mels)
        self.block = math.gcd(*LOG_MEL)
        width, stride = (samples // self.block for samples in LOG_MEL)
        self.product = PatchProduct(width, stride, 1, 0)

    def construct(self, wavs):
        blocks = wavs.shape[1] // self.block
        x = self.product(wavs[:, : blocks * self.block].reshape(-1, blocks, self.block), self.spectrum)
        energies = ops.matmul((x * x).reshape(-1, self.mels.shape[0]), self.mels)
        return ops.stop_gradient(ops.log(ops.maximum(energies, FLOOR))).reshape(x.shape[0], x.shape[1], -1)
