"""The device that MindSpore computes on."""

import mindspore as ms

from asrlib.utils.errors import UserError


def use_device(device: str, number: int | None = None) -> None:
    """Sets graph mode on CPU, Ascend, or GPU, which MindSpore's wheels do not have, and the number of the device if one is given.

    A device that is already set is not set again: MindSpore refuses that once an operator has run. UserError: MindSpore is not built for it, or finds
    none.
    """
    ms.set_context(mode=ms.GRAPH_MODE)
    if number is None and ms.get_context("device_target") == device:
        return
    try:
        ms.set_device(device, number)
    except RuntimeError as error:
        raise UserError(f"--device {device}: {str(error).split('. ')[0]}") from None
