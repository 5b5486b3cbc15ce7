"""Space on disks."""

import os
import shutil
from pathlib import Path


def nearest(folder: Path) -> Path:
    """The folder itself or the nearest one above it that exists."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def free_space(folder: Path) -> int:
    """Free bytes on the disk of a folder, which need not exist yet."""
    return shutil.disk_usage(nearest(folder)).free


def size_of(path: Path) -> int:
    """Bytes that a file or everything below a folder takes; links count nothing."""
    if path.is_symlink() or not path.exists():
        return 0
    if not path.is_dir():
        return path.stat().st_size
    with os.scandir(path) as entries:
        return sum(size_of(Path(entry.path)) for entry in entries)
