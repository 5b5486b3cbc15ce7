"""Cache folder and user name for containers in which the user id has no name, or HOME is missing or read-only.

numba, NLTK, matplotlib, s3prl and torch fail there on import. `python -m asrlib.utils.places` prints the environment variables that prevent this,
for path.sh.
"""

import os
import pwd
import sys
import tempfile
from pathlib import Path


def cache_folder() -> Path:
    """A writable folder for caches: the user's or, if that is not writable, one in the Python environment, else a temporary one."""
    home = _home()
    own = os.environ.get("XDG_CACHE_HOME") or (home and os.path.join(home, ".cache"))
    for folder in filter(None, (own, os.path.join(sys.prefix, "cache"))):
        if _writable(Path(folder)):
            return Path(folder)
    return _temporary()


def variables() -> dict[str, str]:
    """The environment variables to set; empty if the user has a name and a home with a writable cache folder."""
    wanted = {} if _user_has_name() else {name: os.environ.get(name) or str(os.getuid()) for name in ("USER", "LOGNAME")}
    folder, home = cache_folder(), _home()
    if not home or folder not in (Path(home, ".cache"), Path(os.environ.get("XDG_CACHE_HOME") or "/dev/null")):
        wanted |= {"XDG_CACHE_HOME": str(folder), "NUMBA_CACHE_DIR": str(folder / "numba"), "MPLCONFIGDIR": str(folder / "matplotlib")}
    if not home:
        wanted["HOME"] = str(folder)
    return wanted


def _user_has_name() -> bool:
    try:
        return bool(pwd.getpwuid(os.getuid()))
    except KeyError:
        return False


def _home() -> str:
    """HOME, or "" if it is not a folder."""
    home = os.environ.get("HOME", "")
    return home if os.path.isdir(home) else ""


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _temporary() -> Path:
    """The temporary folder of this user, the same for every process; a new one if another user owns that name."""
    folder = Path(tempfile.gettempdir(), f"asrlib-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise PermissionError
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="asrlib-"))
    return folder


if __name__ == "__main__":
    for name, value in variables().items():
        print(f"{name}={value}")
