"""Provenance of a result: command, configuration, versions, commit, seed and date."""

import datetime
import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from asrlib.config.base import read_yaml
from asrlib.utils.parallel import cores

PACKAGES = ("mindspore", "torch", "espnet", "s3prl", "numpy", "flashlight-text")
ROOT = Path(__file__).resolve().parents[2]


def provenance(exp_dir: str | Path, command: str = "") -> dict[str, str]:
    """Name and value of each fact; unknown values say so."""
    config = Path(exp_dir) / "config.yaml"
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": f"`{command}`" if command else "not recorded",
        "configuration": f"`{config}` (sha256 {hashlib.sha256(config.read_bytes()).hexdigest()[:10]})" if config.is_file() else f"no {config}",
        "seed": _seed(config),
        "commit": _commit(),
        "processor": processor(),
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "packages": ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name))),
    }


def processor() -> str:
    """Name and number of the cores that this process may use."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine() or "unknown")
    return f"{cores()} x {name}"


def _seed(config: Path) -> str:
    values = read_yaml(config) if config.is_file() else {}
    for section in (values, values.get("trainer")):  # at the top level in ESPnet's configurations, in the section trainer in ours
        if isinstance(section, dict) and "seed" in section:
            return str(section["seed"])
    return "not recorded"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    try:
        commit = _git("log", "-1", "--format=%h of %cs")
        return commit + (", with local changes" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except OSError as error:
        return f"unknown: git cannot be run ({error.strerror})"
    except subprocess.CalledProcessError as error:
        if not (ROOT / ".git").exists():
            return "not a git checkout"
        return f"unknown: {(error.stderr.strip().splitlines() or ['git failed'])[0]}"


def _git(*arguments: str) -> str:
    """Output of a git command in the checkout. safe.directory: accept any owner, because its code runs in this process anyway. LC_ALL: English."""
    command = ["git", "--no-optional-locks", "-c", f"safe.directory={ROOT}", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"LC_ALL": "C"}, check=True, capture_output=True, text=True).stdout.strip()
