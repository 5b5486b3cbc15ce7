"""The device that MindSpore computes on."""

import mindspore as ms

from asrlib.utils.errors import UserError


def use_device(device: str) -> None:
    """Sets graph mode on CPU, GPU or Ascend. UserError: MindSpore is not built for it, or finds none.

    A device that is already set is not set again: MindSpore refuses that once an operator has run.
    """
    ms.set_context(mode=ms.GRAPH_MODE)
    if ms.get_context("device_target") == device:
        return
    try:
        ms.set_device(device)
    except RuntimeError as error:
        raise UserError(f"--device {device}: {str(error).split('. ')[0]}") from None
