"""Choosing the device of PyTorch, on machines that this one pretends to be."""

import importlib.util
import sys
import types

import pytest
import torch

from asrlib.pt import device
from asrlib.pt.device import Device, OutOfMemory, choose, described, find_cards, memory_faults
from asrlib.utils.errors import UserError


@pytest.fixture
def machine(monkeypatch):
    """machine(cuda=[...], npu=[...]): the names of the cards that PyTorch and torch_npu see; npu None: torch_npu is not installed."""

    def machine(cuda=(), npu=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cuda))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cuda))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: cuda[number])
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: find_spec(name if name != "torch_npu" or npu is None else "torch"))
        if npu is not None:
            calls = {"is_available": lambda: bool(npu), "device_count": lambda: len(npu), "get_device_name": lambda number: npu[number]}
            monkeypatch.setitem(sys.modules, "torch_npu", types.SimpleNamespace(npu=types.SimpleNamespace(**calls)))

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return machine


def test_auto_takes_cuda_then_npu_then_the_cpu(machine, logged):
    machine(cuda=["A100", "A100"], npu=["910B"])
    assert choose("auto") == Device("cuda", ("A100", "A100")) and choose("npu").names() == ["npu:0"]
    machine(npu=["910B"])
    assert choose("auto") == Device("npu", ("910B",))
    machine(npu=[])
    assert choose("auto") == Device("cpu") and choose("auto").names() == ["cpu"]
    assert "computing on cuda: 2 x A100" in logged
    assert logged[-1].startswith("computing on the CPU (no cuda: ") and logged[-1].endswith("no npu: torch_npu sees no NPU)"), "why"


def test_the_cpu_that_was_asked_for_needs_no_search(monkeypatch):
    monkeypatch.setattr(device, "find_cards", lambda: pytest.fail("it looked for cards"))
    assert choose("cpu", 4) == Device("cpu")


def test_what_was_asked_for_and_is_missing_is_an_error(machine, monkeypatch):
    machine()
    with pytest.raises(UserError, match="^--asr_device npu: torch_npu is not installed: give --asr_device cpu, or run on a machine with such"):
        choose("npu")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match=r"^--asr_device cuda: PyTorch sees no card \(CUDA_VISIBLE_DEVICES=\): give"):
        choose("cuda")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(UserError, match="--asr_device cuda: this PyTorch is built without CUDA"):
        choose("cuda")
    machine(cuda=["T4"])
    with pytest.raises(UserError, match=r"^4 processes need 4 cuda cards, PyTorch sees 1: give --ngpu 1"):
        choose("auto", 4)


def test_an_old_driver_is_named(machine, monkeypatch):
    import warnings

    machine()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    old = "The NVIDIA driver on your system is too old. Update it"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(warnings.warn(old, stacklevel=1)))
    assert find_cards()["cuda"] == ((), "The NVIDIA driver on your system is too old")


def test_a_torch_npu_that_fails(machine, monkeypatch):
    machine(npu=["910B"])
    monkeypatch.setitem(sys.modules, "torch_npu", None)
    assert find_cards()["npu"][1].startswith("torch_npu fails: ")


def test_places_are_groups_of_the_visible_cards(monkeypatch):
    cards = Device("cuda", ("T4",) * 5)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert cards.places() == ["0", "1", "2", "3", "4"] and cards.places(2) == ["0,1", "2,3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1,7,GPU-5,0")
    assert cards.places(2) == ["3,1", "7,GPU-5"] and Device("cuda", ("T4",)).places() == ["3"]


def test_description():
    assert described(("A100", "T4", "A100")) == "2 x A100, T4"


def test_memory_faults():
    cuda, cpu = "CUDA out of memory. Tried to allocate 9 GiB.", "DefaultCPUAllocator: can't allocate memory: 9"
    for error in (torch.OutOfMemoryError(cuda), RuntimeError(cpu)):
        with pytest.raises(OutOfMemory, match=r"^3 s on cuda:0: (CUDA out of memory|DefaultCPUAllocator)"), memory_faults("3 s on cuda:0"):
            raise error
    with pytest.raises(RuntimeError, match="shapes differ"), memory_faults("3 s"):
        raise RuntimeError("shapes differ")
