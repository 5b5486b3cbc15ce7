"""Kernels, that is, compiled operators, for what MindSpore computes slowly on CPUs; MindSpore's own operators are used if they are not available.

The first process that needs the kernels compiles them for its CPU with the C++ compiler in the variable CXX (default: g++) and keeps the library in
the virtual environment. Without a compiler, on other devices, or with ASRLIB_KERNELS=0, MindSpore's own operators give the same results.
"""

import contextlib
import contextvars
import functools
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import mindspore as ms
from mindspore import ops
from mindspore.ops import signature as sig

from asrlib.utils.log import get_logger
from asrlib.utils.places import cache_folder

log = get_logger(__name__)

SOURCES = sorted(Path(__file__).parent.glob("*.cc"))
HEADERS = sorted(Path(__file__).parent.glob("*.h"))
FLAGS = ("-O3", "-march=native", "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-fopenmp", "-shared", "-fPIC")


_enabled = contextvars.ContextVar("enabled", default=True)
_operators: list[ops.Custom] = []  # kept alive: MindSpore may call a kernel's functions after its layer is gone, and would crash


@contextlib.contextmanager
def plain_operators() -> Iterator[None]:
    """Networks that are built inside use only MindSpore's operators, so that their graphs run without the kernels."""
    token = _enabled.set(False)
    try:
        yield
    finally:
        _enabled.reset(token)


def library() -> Path | None:
    """The compiled kernels, or None if they are disabled or cannot be compiled."""
    return _library() if _enabled.get() and os.environ.get("ASRLIB_KERNELS") != "0" and ms.get_context("device_target") == "CPU" else None


@functools.cache
def _library() -> Path | None:
    compiler = os.environ.get("CXX", "g++")
    path = _folder() / f"kernels-{_fingerprint(compiler)}.so"
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            built = Path(folder) / path.name
            subprocess.run([compiler, *FLAGS, "-o", str(built), *map(str, SOURCES)], check=True, capture_output=True, text=True)
            built.replace(path)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        log.warning("cannot compile the kernels (%s), training is slower: install g++ or set CXX", reason[0] if reason else error)
        return None
    return path


def kernel(name: str, outputs: Callable, gradient: Callable | None = None) -> ops.Custom | None:
    """A kernel as a MindSpore operator, or None: not available. outputs: shapes or types of the inputs -> those of the outputs."""
    path = library()
    return None if path is None else _keep(ops.Custom(f"{path}:{name}", outputs, outputs, func_type="aot", bprop=gradient))


class InPlace(ops.Custom):
    """A kernel that changes its first inputs, which are parameters. Operators that read them later in the graph see the change."""

    def __init__(self, name: str, changed: int, others: int):
        super().__init__(f"{library()}:{name}", _one, _one, func_type="aot")
        kind = sig.sig_dtype.T
        parameters = [sig.make_sig(f"changed{i}", sig.sig_rw.RW_WRITE, dtype=kind) for i in range(changed)]
        self.set_signatures((*parameters, *(sig.make_sig(f"other{i}", dtype=kind) for i in range(others))))
        self.add_prim_attr("side_effect_mem", True)


def in_place(name: str, changed: int, others: int) -> InPlace | None:
    """A kernel of optim.cc as a MindSpore operator with one output (1,), or None: not available. changed, others: numbers of inputs."""
    return None if library() is None else _keep(InPlace(name, changed, others))


def _keep(operator: ops.Custom) -> ops.Custom:
    _operators.append(operator)
    return operator


def _one(weight, *_):  # of shapes or of types
    return [1] if isinstance(weight, (list, tuple)) else weight


def _folder() -> Path:
    own = Path(sys.prefix) / "asrlib_kernels"
    writable = os.access(own if own.exists() else sys.prefix, os.W_OK)
    return own if writable else cache_folder() / "asrlib_kernels"


def _fingerprint(compiler: str) -> str:
    """Changes with the source, the compiler and the CPU, since machines may share a folder."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    model = sorted({line for line in lines if line.split(":")[0].strip() in ("flags", "Features", "model name")})
    return hashlib.sha256("\n".join([*(source.read_text() for source in [*SOURCES, *HEADERS]), compiler, *FLAGS, *model]).encode()).hexdigest()[:16]
