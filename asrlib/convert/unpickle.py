"""Unpickling without running code: tensors and plain values are read; of every other class there is an object that does nothing.

A pickle is a program that names functions and classes and calls them. Here no name is imported. The functions that build tensors, containers and
NumPy values are replaced by those of this file; every other name becomes an `Inert` class. A pickle that calls anything else than a class of
this kind is refused, because that is how a file runs code.
"""

import pickle
import re
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple

import numpy as np

from asrlib.utils.arrays import BFLOAT16

STORAGES = {
    "Float": "f4", "Double": "f8", "Half": "f2", "Long": "i8", "Int": "i4", "Short": "i2", "Char": "i1", "Byte": "u1", "Bool": "?",
    "ComplexFloat": "c8", "ComplexDouble": "c16", "Untyped": "u1",
}  # fmt: skip
DTYPES = {
    "float32": "f4", "float64": "f8", "float16": "f2", "int64": "i8", "int32": "i4", "int16": "i2", "int8": "i1", "uint8": "u1", "bool": "?",
    "complex64": "c8", "complex128": "c16", "uint16": "u2", "uint32": "u4", "uint64": "u8",
}  # fmt: skip
NUMERIC = re.compile(r"[<>|=]?[biufcSU]\d+|[<>|=]?[?]|bool|u?int\d+|float\d+|complex\d+")

# Calls of the standard library, NumPy and PyTorch that do nothing on disk or in the system; their results are not needed.
HARMLESS = {
    "argparse.Namespace", "types.SimpleNamespace", "pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "pathlib.WindowsPath",
    "pathlib.PurePosixPath", "pathlib.PureWindowsPath", "pathlib._local.PosixPath", "pathlib._local.WindowsPath", "datetime.date", "datetime.time",
    "datetime.datetime", "datetime.timedelta", "datetime.timezone", "decimal.Decimal", "fractions.Fraction", "uuid.UUID", "uuid.SafeUUID",
    "functools.partial", "builtins.slice", "builtins.range", "builtins.object", "collections.deque", "torch.device", "torch.Size",
    "numpy.random._pickle.__randomstate_ctor", "numpy.random._pickle.__bit_generator_ctor", "numpy.random._pickle.__generator_ctor", "re._compile",
    "torch.serialization._get_layout", "torch.Tensor", "torch._utils._rebuild_qtensor", "torch._utils._rebuild_sparse_tensor",
}  # fmt: skip
OURS = {*sys.stdlib_module_names, "torch", "numpy", "nt"}  # here classes and functions are told apart by HARMLESS, elsewhere by their names


class RunsCode(pickle.UnpicklingError):
    """The pickle calls or changes something else than what weights need; says what."""


class Storage(NamedTuple):
    """Numbers of a file to which tensors refer: the name and the count of them."""

    dtype: np.dtype
    key: str
    length: int


class _InertClass(type):
    """The class of a name in a pickle. Calling it is refused unless it is a class without effects."""

    def __call__(cls, *args, **kwargs):
        if not _is_harmless(cls.__module__, cls.__qualname__):
            raise RunsCode(f"it calls {cls.__module__}.{cls.__qualname__}")
        return super().__call__(*args, **kwargs)


class Inert(metaclass=_InertClass):
    """An object of a class that is not known: what the file says of it.

    arguments: of its constructor; state: usually its attributes by name; items and entries: its contents if it is a kind of dictionary or list.
    """

    arguments: tuple
    state: Any
    items: dict
    entries: list

    def __new__(cls, *args, **kwargs):
        self = object.__new__(cls)
        self.arguments, self.state, self.items, self.entries = args, {}, {}, []
        return self

    def __setstate__(self, state):
        self.state = state

    def __call__(self, *args):
        raise RunsCode(f"it calls an object of {type(self).__module__}.{type(self).__qualname__}")

    def __setitem__(self, key, value):
        self.items[key] = value

    def append(self, value):
        self.entries.append(value)

    def extend(self, values):
        self.entries.extend(values)


def plain(value: Any, above: tuple = ()) -> Any:
    """The value with dictionaries, lists and plain values instead of inert objects: attributes of a Namespace or dataclass, contents of omegaconf's
    DictConfig, ListConfig and nodes, the value of an Enum. An object that contains itself ends with None."""
    if any(value is other for other in above):
        return None
    above = (*above, value)
    if isinstance(value, Inert):
        state = value.state if isinstance(value.state, Mapping) else {}
        for key in ("_content", "_val"):
            if key in state:
                return plain(state[key], above)
        if value.entries:
            return plain(value.entries, above)
        if len(value.arguments) == 1 and not state and not value.items:
            return plain(value.arguments[0], above)
        return plain({**value.items, **state}, above)
    if isinstance(value, type) and issubclass(value, Inert):
        return value.__qualname__.rpartition(".")[2]  # a member of an Enum, written by its name
    if isinstance(value, Mapping):
        return {key: plain(inner, above) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, above) for inner in value]
    return value


class Unpickler(pickle.Unpickler):
    """Reads one pickle. numbers(storage): the array of a storage, 1-D; it may have any values if the tensors are not used.

    load() raises RunsCode, or any other error that damaged data cause.
    """

    def __init__(self, stream: IO[bytes], numbers: Callable[[Storage], np.ndarray]):
        super().__init__(stream, encoding="latin1")  # Python 2's byte strings: names, which are ASCII, and the bytes of NumPy's arrays
        self._numbers = numbers

    def find_class(self, module: str, name: str) -> Any:
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))  # protocols below 3 have Python 2's names
        full = f"{module}.{name}"
        if full in KNOWN:
            return KNOWN[full]
        if module in ("torch", "torch.cuda", "torch.storage") and name.endswith("Storage"):
            kind = name.removesuffix("Storage")
            if kind == "BFloat16":
                return BFLOAT16
            if kind in STORAGES:
                return np.dtype(STORAGES[kind])
        if module == "torch" and name in DTYPES:
            return np.dtype(DTYPES[name])
        if full == "torch.bfloat16":
            return BFLOAT16
        return inert_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        """A storage; or the class of a pickled network, which old versions of PyTorch write with its source."""
        if isinstance(pid, tuple) and pid[:1] == ("module",) and len(pid) > 1:
            return pid[1]
        if not (isinstance(pid, tuple) and pid[:1] == ("storage",) and len(pid) in (5, 6)):
            raise pickle.UnpicklingError(f"{str(pid)[:80]} is not a storage of PyTorch")
        _, dtype, key, _, count, *view = pid
        if not isinstance(dtype, np.dtype):  # quantised numbers and other types that NumPy does not have
            return np.zeros(0, np.uint8)
        numbers = self._numbers(Storage(dtype, str(key), int(count)))
        if view and view[0] is not None:  # PyTorch 0.4 and before: a part of the storage
            _, begin, length = view[0]
            numbers = numbers[begin : begin + length]
        return numbers


def inert_class(module: str, name: str) -> type:
    """A class that stands for the name; nothing is imported."""
    return _InertClass(name, (Inert,), {"__module__": module, "__qualname__": name})


def _is_harmless(module: str, name: str) -> bool:
    if module.partition(".")[0] in OURS:
        return f"{module}.{name}" in HARMLESS
    return all(part.lstrip("_")[:1].isupper() for part in name.split("."))  # classes, not functions or modules, whose names are small (PEP 8)


class _Function:
    """A function that pickles may call. It has no attributes that a pickle could set."""

    __slots__ = ("_function",)
    _function: Callable

    def __init__(self, function: Callable):
        object.__setattr__(self, "_function", function)

    def __call__(self, *args):
        return self._function(*args)

    def __setattr__(self, name, value):
        raise RunsCode("it changes a function")

    def __setstate__(self, state):
        raise RunsCode("it changes a function")


def _tensor(numbers: np.ndarray, offset: int, size: tuple, stride: tuple, *_) -> np.ndarray:
    """torch._utils._rebuild_tensor_v2: the part of a storage with that offset, size and stride, counted in numbers."""
    if not isinstance(numbers, np.ndarray) or len(size) != len(stride) or any(not isinstance(n, int) or n < 0 for n in (offset, *size, *stride)):
        raise pickle.UnpicklingError("a tensor of an unknown form")
    end = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1 if all(size) else offset
    if end > len(numbers):
        raise pickle.UnpicklingError("a tensor is larger than its storage")
    steps = [step * numbers.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(numbers[offset:], tuple(size), steps)


def _typed_tensor(numbers: np.ndarray, offset: int, size: tuple, stride: tuple, _grad, _hooks, dtype: np.dtype, *_) -> np.ndarray:
    """torch._utils._rebuild_tensor_v3: a tensor in a storage of bytes."""
    if not isinstance(dtype, np.dtype):
        return inert_class("torch", "Tensor")()
    return _tensor(numbers[: len(numbers) // dtype.itemsize * dtype.itemsize].view(dtype), offset, size, stride)


def _tensor_subclass(function: Any, _type, arguments: tuple, _state) -> Any:
    """torch._tensor._rebuild_from_type_v2."""
    if not isinstance(function, _Function):
        raise pickle.UnpicklingError("a tensor of an unknown form")
    return function(*arguments)


class _Dtype:
    """numpy.dtype of numbers and texts; any other is object, which _Array leaves empty."""

    def __init__(self, text: Any, *_):
        self.dtype = np.dtype(text if isinstance(text, str) and NUMERIC.fullmatch(text) else object)

    def __setstate__(self, state):
        if len(state) > 1 and state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """numpy.ndarray of numbers; one of objects stays empty."""

    def __setstate__(self, state):
        *version, shape, dtype, fortran, data = state
        if not dtype.dtype.hasobject:
            super().__setstate__((*version, shape, dtype.dtype, fortran, data.encode("latin1") if isinstance(data, str) else data))


def _scalar(dtype: _Dtype, data: bytes | str = b"") -> Any:
    """numpy.core.multiarray.scalar as a Python value."""
    if not isinstance(data, bytes | str) or dtype.dtype.hasobject:
        return None
    return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, dtype.dtype, 1)[0].item()


def _from_buffer(data: bytes, dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
    return np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def _new(kind: Any, *args) -> Inert:
    """copyreg.__newobj__."""
    if not isinstance(kind, type) or not issubclass(kind, Inert):
        raise RunsCode("it makes an object of an unknown kind")
    return Inert.__new__(kind, *args)


def _object(kind: Any, base: Any, state: Any) -> Inert:
    """copyreg._reconstructor: an object of a class, by protocols 0 and 1."""
    made = _new(kind)
    if isinstance(state, dict):
        made.items.update(state)
    elif isinstance(state, list | tuple):
        made.entries.extend(state)
    return made


def _attribute(owner: Any, name: str) -> type:
    """getattr of a class, by which Python 3.11 writes members of an Enum."""
    if not isinstance(owner, _InertClass) or not isinstance(name, str):
        raise RunsCode("it calls builtins.getattr")
    return inert_class(owner.__module__, f"{owner.__qualname__}.{name}")


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    """_codecs.encode, by which protocols 0 to 2 write bytes."""
    return text.encode("latin1" if encoding in ("latin1", "latin-1") else "utf-8")


NUMPY: dict[str, Callable] = {
    "multiarray._reconstruct": lambda *_: np.ndarray.__new__(_Array, (0,), np.uint8),
    "multiarray.scalar": _scalar,
    "numeric._frombuffer": _from_buffer,
}
FUNCTIONS: dict[str, Callable] = {
    "collections.defaultdict": lambda *_: OrderedDict(),
    "collections.Counter": lambda *counts: OrderedDict(*counts),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
    "torch.nn.parameter.Parameter": lambda data, *_: data,
    "torch._tensor._rebuild_from_type_v2": _tensor_subclass,
    "copyreg._reconstructor": _object,
    "copyreg.__newobj__": _new,
    "builtins.getattr": _attribute,
    "_codecs.encode": _encoded,
    "numpy.dtype": _Dtype,
    **{f"numpy.{core}.{name}": function for core in ("core", "_core") for name, function in NUMPY.items()},
}
KNOWN: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    **{f"builtins.{kind.__name__}": kind for kind in (set, frozenset, complex, bytearray, dict, list, tuple)},
    **{name: _Function(function) for name, function in FUNCTIONS.items()},
}
