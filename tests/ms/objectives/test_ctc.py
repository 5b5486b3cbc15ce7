"""The CTC loss against PyTorch's."""

import mindspore as ms
import numpy as np
import pytest
import torch
from mindspore import Tensor, nn, ops

from asrlib.ms.data.dataset import ctc_frames
from asrlib.ms.objectives.ctc import ctc_loss

FRAMES, VOCAB, BLANK = 12, 6, 5
LABELS = [[0], [1, 2, 3], [4, 4, 4], [2, 2, 1, 1, 0], [0, 1, 2, 3], [], [3, 3, 3, 3, 3, 3], [1, 1]]
LENGTHS = [12, 9, 5, 7, 4, 6, 10, 2]


class Loss(nn.Cell):
    def construct(self, logits, lengths, labels, label_lengths):
        return ctc_loss(logits, lengths, labels, label_lengths, BLANK)


class Gradient(nn.Cell):
    """Gradient of the summed losses by the logits."""

    def __init__(self):
        super().__init__()
        self.gradient, self.loss = ops.GradOperation(), Loss()

    def construct(self, *arguments):
        return self.gradient(self.loss)(*arguments)


@pytest.fixture(scope="module")
def results():
    """Losses and gradients of the sum of the finite ones, ours and PyTorch's (float64)."""
    ms.set_context(mode=ms.GRAPH_MODE)
    logits = np.random.default_rng(0).normal(size=(FRAMES, len(LABELS), VOCAB)).astype(np.float32) * 3
    labels = np.full((len(LABELS), 6), 2, np.int32)  # padded with a label
    for row, values in enumerate(LABELS):
        labels[row, : len(values)] = values
    lengths, label_lengths = np.array(LENGTHS, np.int32), np.array([len(values) for values in LABELS], np.int32)
    ours = Loss()(Tensor(logits), Tensor(lengths), Tensor(labels), Tensor(label_lengths)).asnumpy()
    rows = np.flatnonzero(np.isfinite(ours))
    gradient = Gradient()(Tensor(logits[:, rows]), *(Tensor(array[rows]) for array in (lengths, labels, label_lengths))).asnumpy()

    theirs_in = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    theirs = torch.nn.functional.ctc_loss(
        theirs_in.log_softmax(-1), torch.tensor(labels), torch.tensor(lengths), torch.tensor(label_lengths), BLANK, reduction="none"
    )
    theirs[torch.tensor(rows)].sum().backward()
    return {"ours": ours, "gradient": gradient, "theirs": theirs.detach().numpy(), "their gradient": theirs_in.grad.numpy()[:, rows]}


def test_losses(results):
    np.testing.assert_allclose(results["ours"], results["theirs"], rtol=1e-5)


def test_gradients(results):
    np.testing.assert_allclose(results["gradient"], results["their gradient"], atol=2e-5)


def test_too_short_for_its_labels(results):
    """Infinite exactly where ctc_frames says so: set_aside relies on it."""
    needed = np.array([ctc_frames(np.array(values, np.int32)) for values in LABELS])
    np.testing.assert_array_equal(np.isinf(results["ours"]), needed > LENGTHS)
    assert (needed > LENGTHS).sum() == 2 and (needed == LENGTHS).sum() >= 3
