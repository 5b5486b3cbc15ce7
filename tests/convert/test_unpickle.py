"""Pickles: what would run code is refused and does not run; inert objects keep what the file says of unknown classes."""

import argparse
import io
import os
import pickle
import pickletools
import re
import subprocess
from collections import Counter, OrderedDict, defaultdict
from enum import Enum
from functools import partial
from pathlib import PurePosixPath

import numpy as np
import pytest

from asrlib.convert.unpickle import Inert, RunsCode, Unpickler, plain


def read(data: bytes):
    def numbers(storage):
        raise AssertionError("no tensors here")

    return Unpickler(io.BytesIO(data), numbers).load()


class Calls:
    """Pickled as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


CALLS = {
    "os.system": lambda mark: Calls(os.system, f"touch {mark}"),
    "eval": lambda mark: Calls(eval, f"open({str(mark)!r}, 'w')"),
    "exec": lambda mark: Calls(exec, f"open({str(mark)!r}, 'w')"),
    "open": lambda mark: Calls(open, str(mark), "w"),
    "print": lambda mark: Calls(print, "ran"),
    "a class that starts a program": lambda mark: Calls(subprocess.Popen, ["touch", str(mark)]),
    "an import": lambda mark: Calls(__import__, "antigravity"),
    "a function of NumPy": lambda mark: Calls(np.save, str(mark), 1),
    "a method": lambda mark: Calls(mark.write_text, "ran"),
    "a partial function": lambda mark: Calls(partial(os.system, f"touch {mark}")),
    "a function as a part": lambda mark: {"model": [1, {"cfg": Calls(os.mkdir, str(mark))}]},
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("call", CALLS)
def test_calls_are_refused_and_do_not_run(call, protocol, tmp_path, capsys):
    mark = tmp_path / "mark"
    data = pickle.dumps(CALLS[call](mark), protocol)
    with pytest.raises(RunsCode, match="^it (calls|makes)"):
        read(data)
    assert not mark.exists() and not capsys.readouterr().out


HAND_WRITTEN = {
    "a function under a class's module": b"cfairseq.utils\nos.system\n(S'true'\ntR.",
    "a small name of another library": b"csomewhere\nrun\n(tR.",
    "Python 2's name": b"c__builtin__\neval\n(S'1'\ntR.",
    "the instance of a function": b"(S'true'\nios\nsystem\n.",
    "the object of a function": b"(cos\nsystem\nS'true'\no.",
    "the name of a name": b"c__builtin__\ngetattr\n(cos\npath\nS'system'\ntRS'true'\n\x85R.",
    "the attributes of a function": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}(U\x08__code__K\x01ub.",
    "the slots of a function": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}(U\x08__code__K\x01u\x86b.",
}


@pytest.mark.parametrize("kind", HAND_WRITTEN)
def test_other_ways_to_run_code(kind):
    pickletools.dis(HAND_WRITTEN[kind], io.StringIO())  # a valid pickle
    with pytest.raises(RunsCode):
        read(HAND_WRITTEN[kind])


def test_a_name_is_never_imported(tmp_path, monkeypatch):
    """A module beside the file, which leaves a mark when it is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "booby.py").write_text("open('mark', 'w')\nclass Trap:\n    def __setstate__(self, state):\n        open('mark', 'w')\n")
    found = read(b"\x80\x02cbooby\nTrap\n)\x81}X\x01\x00\x00\x00aK\x01sb.")
    assert not (tmp_path / "mark").exists()
    assert isinstance(found, Inert) and (type(found).__module__, type(found).__name__) == ("booby", "Trap") and plain(found) == {"a": 1}


class Colour(Enum):
    RED = "red"

    def __reduce_ex__(self, protocol):
        return type(self), (self.value,)  # in Python 3.11.0 to 3.11.3 members are written by name


class Words(dict):
    """A dictionary with attributes."""


class Numbers(list):
    pass


class Old:
    def __init__(self):
        self.size = 3


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_values(protocol):
    """Values of the standard library and NumPy, and what is left of other classes, in every protocol."""
    words = Words(a=1)
    words.name = "w"
    value = {
        "plain": (1, 2.5, "ü", b"\xff\x00", None, True, 10**30, {1, 2}, frozenset({3}), bytearray(b"x"), 1j),
        "namespace": argparse.Namespace(layers=12, inner=argparse.Namespace(mode="default")),
        "containers": [OrderedDict(a=1), defaultdict(list, b=2), Counter("aab"), words, Numbers([1, 2])],
        "numpy": [np.float64(2.5), np.int32(-3), np.bool_(True), np.arange(6, dtype=">i4").reshape(2, 3), np.array(["x", "yz"])],
        "objects": [Colour.RED, Old(), PurePosixPath("/a/b"), np.random.RandomState(1), np.random.default_rng(1), re.compile("a")],
    }
    found = read(pickle.dumps(value, protocol))
    assert found["plain"] == value["plain"]
    assert plain(found["namespace"]) == {"layers": 12, "inner": {"mode": "default"}}
    assert plain(found["containers"]) == [{"a": 1}, {"b": 2}, {"a": 2, "b": 1}, {"a": 1, "name": "w"}, [1, 2]]
    assert found["numpy"][:3] == [2.5, -3, True] and [type(x) for x in found["numpy"][:3]] == [float, int, bool]
    np.testing.assert_array_equal(found["numpy"][3], value["numpy"][3])
    np.testing.assert_array_equal(found["numpy"][4], value["numpy"][4])
    assert plain(found["objects"][1]) == {"size": 3}
    assert all(isinstance(x, Inert) for x in found["objects"])


def test_members_of_an_enum():
    """By value, and by name as Python 3.12 writes them."""
    assert plain(read(pickle.dumps([Colour.RED], 2))) == ["red"]
    assert plain(read(b"c__builtin__\ngetattr\n(cpackage.constants\nChoices\nS'layer_norm'\ntR.")) == "layer_norm"


def test_an_array_of_objects_is_empty():
    assert read(pickle.dumps(np.array(["x", None], object))).size == 0


def test_an_object_that_contains_itself():
    node = argparse.Namespace(a=1)
    node.itself = node
    assert plain(read(pickle.dumps(node))) == {"a": 1, "itself": None}
