"""Checks of the machine before a run: Python, the packages of the lock, free disk space, cores, memory."""

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from asrlib.utils.errors import UserError
from asrlib.utils.parallel import cores

LOCK = Path(__file__).parents[2] / "tools" / "requirements.lock"
SETUP = "run tools/setup.sh"


@dataclass
class Fact:
    """One line of the table; `fault` says what is wrong and what to do; it is empty if all is well."""

    name: str
    value: str
    fault: str = ""


def preflight(disk_gb: float = 0, folder: Path = Path("."), lock: Path = LOCK) -> list[Fact]:
    """All facts. disk_gb: gigabytes that must be free on the disk of `folder`, which need not exist yet."""
    return [
        check_python(),
        *check_packages(lock),
        check_imports(),
        check_disk(disk_gb, folder),
        Fact("cores", str(cores())),
        Fact("memory", f"{memory_gb():.0f} GB"),
    ]


def require_fit(facts: list[Fact]) -> None:
    """UserError with every fault of the machine in one line."""
    faults = [fact.fault for fact in facts if fact.fault]
    if faults:
        raise UserError("; ".join(faults))


def check_python() -> Fact:
    version = platform.python_version()
    fit = (3, 10) <= sys.version_info[:2] <= (3, 12)
    return Fact("python", version, "" if fit else f"Python {version} is not 3.10, 3.11 or 3.12: set the variable PYTHON to another one and {SETUP}")


def check_packages(lock: Path = LOCK) -> list[Fact]:
    """The key packages, and any other package that is missing or has another version than the lock requires on this machine."""
    cpu = not _needs_cuda()  # tools/setup.sh --cpu
    facts = []
    for name, wanted in read_lock(lock):
        if cpu and (name == "triton" or name.startswith(("nvidia-", "cuda-"))):
            continue
        found = _version(name)
        fault = "" if found in (wanted, f"{wanted}+cpu") else f"{name} is {found}, {lock.name} has {wanted}: {SETUP}"
        if fault or name in ("mindspore", "torch", "espnet", "numpy"):
            facts.append(Fact(name, found, fault))
    return facts


def _version(name: str) -> str:
    distribution = _distribution(name)
    return distribution.version if distribution else "missing"


def _needs_cuda() -> bool:
    """Whether torch is a CUDA build, that is, requires CUDA libraries; the version number does not always tell."""
    distribution = _distribution("torch")
    return distribution is None or any("nvidia" in requirement for requirement in distribution.requires or ())


def _distribution(name: str) -> metadata.Distribution | None:
    """The distribution in the environment, even if PYTHONPATH holds another one."""
    for distribution in metadata.distributions(name=name, path=[str(folder) for folder in _packages()]):
        return distribution
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def check_imports() -> Fact:
    """Checks that PYTHONPATH and the current folder do not shadow modules of Python or of the environment."""
    folders = [*(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")), *_packages()]
    installed = {name for folder in _packages() for path in folder.iterdir() if (name := path.name.split(".")[0]).isidentifier()}
    names = sorted(installed | sys.stdlib_module_names - {"distutils"})  # setuptools brings its own
    foreign = {name: origin for name in names if (origin := _foreign_origin(name, folders))}
    if not foreign:
        return Fact("imports", f"{len(names)} modules, none shadowed")
    name, origin = next(iter(foreign.items()))
    others = f" (and {len(foreign) - 1} more from elsewhere)" if len(foreign) > 1 else ""
    where = os.environ.get("PYTHONPATH", "")
    return Fact(
        "imports",
        origin,
        f"{name} is imported from {origin}{others}, not from the environment: remove that folder from PYTHONPATH, which is {where!r}",
    )


def _packages() -> list[Path]:
    """The folders in which packages are installed."""
    return [folder for folder in dict.fromkeys(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")) if folder.is_dir()]


def _foreign_origin(name: str, folders: list[Path]) -> str:
    """The file that `import NAME` loads, if it is in none of the folders, else ""."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return ""
    if spec is None or not spec.has_location or spec.origin is None:  # built in, or a namespace package
        return ""
    inside = any(folder in Path(path).parents for folder in folders for path in (spec.origin, os.path.realpath(spec.origin)))
    return "" if inside else spec.origin


def read_lock(lock: Path) -> Iterator[tuple[str, str]]:
    """Name and version of every line of a lock that applies to this machine."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate():
                yield requirement.name, next(iter(requirement.specifier)).version


def check_disk(gigabytes: float, folder: Path) -> Fact:
    """Free disk space of `folder` or its nearest existing parent."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    fault = f"{free:.1f} GB free in {folder}, {gigabytes:g} GB needed: free some space, or choose another folder" if free < gigabytes else ""
    return Fact("free disk", f"{free:.1f} GB", fault)


def memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
