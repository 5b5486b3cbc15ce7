"""The function that the tests of layers differentiate."""

from mindspore import Tensor, nn


class Weighted(nn.Cell):
    """(sum of the layer's output times fixed weights, output)."""

    def __init__(self, layer, weights):
        super().__init__()
        self.layer, self.weights = layer, Tensor(weights)

    def construct(self, *inputs):
        y = self.layer(*inputs)
        return (y * self.weights).sum(), y
