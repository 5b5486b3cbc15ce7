"""Available memory, peak memory of this process, and release of unused heap."""

import ctypes
from pathlib import Path

GB = 1e9


def available_memory() -> float:
    """Bytes that processes may still allocate: those of the machine, or of its container if that has a lower limit (cgroups 1 and 2)."""
    limits = [_field(Path("/proc/meminfo"), "MemAvailable:") * 1024]
    for group in _control_groups():
        limit, used = _number(group / "memory.max"), _number(group / "memory.current")
        if limit is None:
            limit, used = _number(group / "memory.limit_in_bytes"), _number(group / "memory.usage_in_bytes")
        if limit is not None and limit < 1 << 60:
            limits.append(limit - max(0.0, (used or 0.0) - _field(group / "memory.stat", "inactive_file")))
    return max(0.0, min(limits))


def peak_memory() -> float:
    """Peak resident memory of this process so far, in bytes."""
    return _field(Path("/proc/self/status"), "VmHWM:") * 1024


def release_memory() -> None:
    """Returns freed heap memory to the system, if the C library can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _control_groups() -> list[Path]:
    """The folders of this process's control group and of its parents."""
    top, folders = Path("/sys/fs/cgroup"), []
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers in ("", "memory"):
            folder = (top / controllers if controllers else top) / name.lstrip("/")
            folders += [parent for parent in (folder, *folder.parents) if parent == top or top in parent.parents]
    return folders


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text())
    except (OSError, ValueError):  # "max": no limit
        return None


def _field(path: Path, name: str) -> float:
    """The number after `name` in a file of lines "name number ..."; 0 if there is none."""
    try:
        return next((float(line.split()[1]) for line in path.read_text().splitlines() if line.startswith(name)), 0.0)
    except OSError:
        return 0.0
