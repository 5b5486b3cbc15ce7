"""Names of devices on the command line: MindSpore's (--device) and PyTorch's (--asr_device)."""

import argparse

ASR_DEVICES = ("auto", "cpu", "cuda", "npu")
VISIBLE = {"cuda": "CUDA_VISIBLE_DEVICES", "npu": "ASCEND_RT_VISIBLE_DEVICES"}  # the variable that limits the cards of a process, by kind
NO_CUDA = (
    "GPU: MindSpore's wheels compute on CPU and Ascend, not on CUDA: give --device CPU or Ascend for MindSpore (stages 3 and 4), "
    "--asr_device cuda for fine-tuning and decoding with PyTorch (stages 5 and 6), or --pretrained_model FILE instead of pretraining"
)


def ms_device(text: str) -> str:
    """argparse type of --device: CPU or Ascend; GPU is refused with the way out."""
    if text == "GPU":
        raise argparse.ArgumentTypeError(NO_CUDA)
    return text


def add_ms_device(parser: argparse.ArgumentParser, what: str = "MindSpore's device target") -> None:
    """Adds --device."""
    parser.add_argument("--device", type=ms_device, choices=("CPU", "Ascend"), default="CPU", help=what)


def add_asr_device(parser: argparse.ArgumentParser, what: str = "where ESPnet's model computes") -> None:
    """Adds --asr_device."""
    text = f"{what}: auto takes CUDA if PyTorch sees a card, else an NPU if torch_npu sees one, else the CPU"
    parser.add_argument("--asr_device", choices=ASR_DEVICES, default="auto", help=text)
