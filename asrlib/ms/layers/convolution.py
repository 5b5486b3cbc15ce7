"""Convolutions as matrix products, several times faster than MindSpore's own on CPUs. Activations are (batch, time, ..., channels)."""

import math

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from asrlib.ms.kernels import kernel as compiled
from asrlib.ms.layers.broadcast import BiasAdd, Permute, cast
from asrlib.ms.layers.common import uniform


class TimeConv(nn.Cell):
    """Convolution over time, padded with `before` frames at both ends: (B, T, I) -> (B, (T + 2 before - width) // stride + 1, O).

    weight: (O, I, width) as in PyTorch. average: the initial weights are twice the mean over time of every channel plus a tenth of the usual
    random weights.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        stride: int,
        rng: np.random.Generator,
        average: bool = False,
        bias: bool = False,
        before: int = 0,
    ):
        super().__init__()
        weight = rng.normal(0, math.sqrt(2 / (inputs * width)), (outputs, inputs, width))
        if average:
            weight = 0.1 * weight + 2 * np.eye(outputs, inputs)[:, :, None] / width  # 2: GELU halves small values
        self.weight, self.dtype = Parameter(Tensor(weight.astype(np.float32)), name="weight"), ms.float32
        self.product, self.turn = PatchProduct(width, stride, 1, before), Permute(0, 3, 2, 1)
        self.bias = Parameter(uniform(rng, (inputs * width) ** -0.5, (outputs,)), name="bias") if bias else None  # PyTorch's default
        self.add = BiasAdd()

    def construct(self, x):
        outputs, inputs, width = self.weight.shape
        weights = self.turn(self.weight.reshape(1, outputs, inputs, width)).reshape(width * inputs, outputs)
        x = cast(self.product(cast(x, self.dtype), cast(weights, self.dtype)), ms.float32)
        return x if self.bias is None else self.add(x, self.bias)


class Conv(nn.Cell):
    """Convolution over time without bias, padded by dilation * (width // 2) at both ends; weights `kernel` (width * I, O), Xavier uniform."""

    def __init__(self, inputs: int, outputs: int, width: int, rng: np.random.Generator, stride: int = 1, dilation: int = 1):
        super().__init__()
        bound = math.sqrt(6 / ((inputs + outputs) * width))
        self.kernel = Parameter(uniform(rng, bound, (width * inputs, outputs)), name="kernel")
        self.product = PatchProduct(width, stride, dilation, dilation * (width // 2))
        self.dtype = ms.float32

    def construct(self, x):
        return cast(self.product(cast(x, self.dtype), cast(self.kernel, self.dtype)), ms.float32)


class PatchProduct(nn.Cell):
    """A convolution over time, padded with `before` frames at both ends, as one product of patches with a matrix. Holds no parameters.

    x (B, T, I), weights (width * I, O) -> (B, T', O); weights of three axes would be copied whenever they are reshaped.
    The gradient computes the patches again instead of keeping them, since they take `width` times the memory of x.
    """

    def __init__(self, width: int, stride: int, dilation: int, before: int):
        super().__init__()
        self.width, self.stride, self.dilation, self.before = width, stride, dilation, before
        self.of_weights, self.of_patches = ops.MatMul(transpose_a=True), ops.MatMul(transpose_b=True)
        self.gather = compiled("Patches", lambda x, _: [x[0], self._frames(x[1]), width * x[2]] if isinstance(x, (list, tuple)) else x)
        self.spread = compiled("PatchesGrad", lambda gradient, x, _: x)

    def construct(self, x, weights):
        return ops.matmul(self._patches(x), weights).reshape(x.shape[0], self._frames(x.shape[1]), weights.shape[1])

    def bprop(self, x, weights, out, dout):
        gradient = dout.reshape(-1, weights.shape[1])
        return self._patches_gradient(self.of_patches(gradient, weights), x), self.of_weights(self._patches(x), gradient)

    def _frames(self, steps):
        return (steps + 2 * self.before - self.dilation * (self.width - 1) - 1) // self.stride + 1

    def _patches(self, x):
        """x (B, T, I) -> (B * T', width * I)."""
        batch, steps, inputs = x.shape
        if self.width == 1 and self.stride == 1:
            return x.reshape(-1, inputs)
        if self.gather is not None and x.dtype == ms.float32:
            return self.gather(x, self._geometry()).reshape(-1, self.width * inputs)
        edge = ops.zeros((batch, self.before, inputs), x.dtype)
        x = ops.concat((edge, x, edge), 1)
        parts = ()
        for k in range(self.width):
            first = k * self.dilation
            parts += (x[:, first : first + (self._frames(steps) - 1) * self.stride + 1 : self.stride],)
        return ops.concat(parts, -1).reshape(-1, self.width * inputs)

    def _patches_gradient(self, gradient, x):
        """(B * T', width * I) -> (B, T, I): for every frame the sum over its positions in the patches."""
        batch, steps, inputs = x.shape
        if self.width == 1 and self.stride == 1:
            return gradient.reshape(x.shape)
        frames = self._frames(steps)
        if self.spread is not None and x.dtype == ms.float32:
            return self.spread(gradient.reshape(batch, frames, -1), x, self._geometry())
        gradient = gradient.reshape(batch, frames, 1, self.width, inputs)
        if self.stride > 1:
            gradient = ops.concat((gradient, ops.zeros((batch, frames, self.stride - 1, self.width, inputs), x.dtype)), 2)
        gradient = gradient.reshape(batch, frames * self.stride, self.width, inputs)[:, : (frames - 1) * self.stride + 1]
        length = steps + 2 * self.before
        parts = ()
        for k in range(self.width):
            before = k * self.dilation
            after = length - before - gradient.shape[1]
            parts += (ops.concat((ops.zeros((batch, before, inputs), x.dtype), gradient[:, :, k], ops.zeros((batch, after, inputs), x.dtype)), 1),)
        return ops.addn(parts)[:, self.before : self.before + steps]

    def _geometry(self):
        return Tensor([self.width, self.stride, self.dilation, self.before], ms.int32)


class Conv2d(nn.Cell):
    """Convolution over time and frequency without bias, padded by half of the filter's size: x (B, T, F, I) -> (B, T', F', O).

    weight (O, I, frequency, time) as in PyTorch; strides: of frequency and of time.
    """

    def __init__(self, weight: Tensor, strides: tuple[int, int]):
        super().__init__()
        self.weight, self.dtype = Parameter(weight, name="weight"), ms.float32
        outputs, _, height, width = weight.shape
        frequency, time = strides
        self.strides = Tensor(strides, ms.int32)
        self.plain = ops.Conv2D(outputs, (height, width), pad_mode="pad", pad=(height // 2, height // 2, width // 2, width // 2), stride=strides)
        of_input = compiled("Conv2dInputGrad", lambda x, weight, strides, dy: x)
        of_weight = compiled("Conv2dWeightGrad", lambda x, weight, strides, dy: weight)

        def infer(x, weight, _):  # of shapes or of types
            if not isinstance(x, (list, tuple)):
                return x
            return [x[0], (x[1] + 2 * (width // 2) - width) // time + 1, (x[2] + 2 * (height // 2) - height) // frequency + 1, outputs]

        def bprop(x, weight, strides, out, dout):
            return of_input(x, weight, strides, dout), of_weight(x, weight, strides, dout), ops.zeros_like(strides)

        self.kernel = compiled("Conv2d", infer, bprop)

    def construct(self, x):
        if self.kernel is not None and self.dtype == ms.float32:
            return self.kernel(x, self.weight, self.strides)
        y = self.plain(cast(x.transpose(0, 3, 2, 1), self.dtype), cast(self.weight, self.dtype))
        return cast(y, ms.float32).transpose(0, 3, 2, 1)


class GroupedConv(nn.Cell):
    """Grouped convolution over time: x (B, T + K - 1, G I), weight (G, K, I, O) -> (B, T, G O). Holds no parameters."""

    def __init__(self):
        super().__init__()
        grad = compiled("GroupedConvGrad", lambda x, w, dy: (x, w))

        def infer(x, w):  # of shapes or of types
            return [x[0], x[1] - w[1] + 1, w[0] * w[3]] if isinstance(x, (list, tuple)) else x

        def bprop(x, w, out, dout):
            return grad(x, w, dout)

        self.kernel = compiled("GroupedConv", infer, bprop)

    def construct(self, x, weight):
        groups, width, inputs, outputs = weight.shape
        y, w = cast(x, ms.float32), cast(weight, ms.float32)
        if self.kernel is None:
            w = w.transpose(0, 3, 2, 1).reshape(groups * outputs, inputs, width)
            y = ops.conv1d(y.swapaxes(1, 2), w, groups=groups).swapaxes(1, 2)
        else:
            y = self.kernel(y, w)
        return cast(y, x.dtype)
