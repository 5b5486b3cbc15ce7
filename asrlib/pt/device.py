"""The device that PyTorch computes on: the CPU, CUDA cards, or Ascend's NPUs through torch_npu."""

import contextlib
import importlib
import importlib.util
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from asrlib.utils.devices import VISIBLE
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)

BACKENDS = {"cpu": "gloo", "cuda": "nccl", "npu": "hccl"}  # of torch.distributed
MEMORY_FAULTS = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(frozen=True)
class Device:
    """cpu, or a kind of cards with the names of all that this process sees."""

    kind: str
    cards: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """PyTorch's names: ["cpu"], or ["cuda:0", "cuda:1", ...]."""
        return [f"{self.kind}:{number}" for number in range(len(self.cards))] or [self.kind]

    def places(self, each: int = 1) -> list[str]:
        """Values of the variable that limits the cards of a process, each with `each` of the cards; none for the CPU."""
        shown = os.environ.get(VISIBLE.get(self.kind, ""), "")
        numbers = shown.split(",") if shown else [str(number) for number in range(len(self.cards))]
        numbers = numbers[: len(self.cards)]
        return [",".join(numbers[begin : begin + each]) for begin in range(0, len(numbers) - each + 1, each)]


def find_cards() -> dict[str, tuple[tuple[str, ...], str]]:
    """For cuda and npu: the names of the cards, and if there are none the reason."""
    return {"cuda": _cuda(), "npu": _npu()}


def choose(kind: str, count: int = 1) -> Device:
    """The device of a kind (auto, cpu, cuda, npu) with at least `count` cards; it is logged.

    auto: CUDA if there is a card, else NPU, else the CPU. UserError: there are fewer cards; the CPU never replaces a kind that was asked for.
    """
    found = {} if kind == "cpu" else find_cards()
    if kind == "auto":
        kind = next((name for name, (cards, _) in found.items() if cards), "cpu")
    if kind == "cpu":
        reasons = "; ".join(f"no {name}: {reason}" for name, (_, reason) in found.items())
        log.info("computing on the CPU%s", f" ({reasons})" if reasons else "")
        return Device("cpu")
    cards, reason = found[kind]
    if not cards:
        raise UserError(f"--asr_device {kind}: {reason}: give --asr_device cpu, or run on a machine with such a card")
    if len(cards) < count:
        raise UserError(f"{count} processes need {count} {kind} cards, PyTorch sees {len(cards)}: give --ngpu {len(cards)} (recipes: --asr_ngpu)")
    log.info("computing on %s: %s", kind, described(cards))
    return Device(kind, cards)


def described(cards: tuple[str, ...]) -> str:
    """ "2 x NVIDIA A100, NVIDIA T4"."""
    counts = {name: cards.count(name) for name in cards}
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())


def activate(kind: str) -> None:
    """Prepares this process for a kind of device or a name such as npu:0: for NPUs, calls of torch.cuda, as ESPnet has them, go to torch_npu."""
    if kind.startswith("npu"):
        importlib.import_module("torch_npu.contrib.transfer_to_npu")


class OutOfMemory(UserError):
    """The memory of a device is used up."""


@contextlib.contextmanager
def memory_faults(what: str) -> Iterator[None]:
    """PyTorch's errors of memory in this context become OutOfMemory("`what`: PyTorch's first sentence")."""
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one
        if not is_memory_fault(error):
            raise
        raise OutOfMemory(f"{what}: {' '.join(str(error).split()).split('. ')[0]}") from None


def is_memory_fault(error: BaseException) -> bool:
    """Whether PyTorch could not allocate memory, on a card or for the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in MEMORY_FAULTS)


def _cuda() -> tuple[tuple[str, ...], str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return tuple(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())), ""
    if torch.version.cuda is None and torch.version.hip is None:
        return (), "this PyTorch is built without CUDA"
    if caught:  # the driver is too old, or a card is in a bad state
        return (), " ".join(str(caught[0].message).split()).split(". ")[0][:200]
    hidden = os.environ.get(VISIBLE["cuda"])
    return (), "PyTorch sees no card" + (f" ({VISIBLE['cuda']}={hidden})" if hidden is not None else "")


def _npu() -> tuple[tuple[str, ...], str]:
    if importlib.util.find_spec("torch_npu") is None:
        return (), "torch_npu is not installed"
    try:
        npu = importlib.import_module("torch_npu").npu
        if npu.is_available():
            return tuple(npu.get_device_name(number) for number in range(npu.device_count())), ""
    except (ImportError, OSError, RuntimeError, AttributeError) as error:  # without CANN or with another version of PyTorch
        return (), f"torch_npu fails: {' '.join(str(error).split())[:120]}"
    return (), "torch_npu sees no NPU"
