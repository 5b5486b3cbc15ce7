"""Cache folders and user names on machines without them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asrlib.utils import places


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A user with a name, a home and an empty environment."""
    for name in ("XDG_CACHE_HOME", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("home", "environment", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    monkeypatch.setattr(places.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.setattr(places, "_user_has_name", lambda: True)
    return tmp_path


def read_only(monkeypatch, *folders: Path) -> None:
    """Simulates a read-only folder, because root may write to any."""
    writable = places._writable
    monkeypatch.setattr(places, "_writable", lambda folder: not any(parent in folders for parent in folder.parents) and writable(folder))


def test_nothing_where_all_is_well(machine):
    assert places.variables() == {}
    assert places.cache_folder() == machine / "home/.cache"


def test_another_place_of_the_user(machine, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "mine"))
    assert places.variables() == {} and places.cache_folder() == machine / "mine"


@pytest.mark.parametrize("home", ["", "missing", None])
def test_no_home(machine, monkeypatch, home):
    """The Python environment holds the caches and serves as home, which s3prl and NLTK need."""
    if home is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", home and str(machine / home))
    folder = str(machine / "environment/cache")
    caches = {"XDG_CACHE_HOME": folder, "NUMBA_CACHE_DIR": f"{folder}/numba", "MPLCONFIGDIR": f"{folder}/matplotlib"}
    assert places.variables() == {**caches, "HOME": folder}
    assert not (machine / "missing").exists()


def test_home_and_environment_that_cannot_be_written(machine, monkeypatch):
    read_only(monkeypatch, machine / "home", machine / "environment")
    folder = machine / f"tmp/asrlib-{os.getuid()}"
    assert places.variables()["XDG_CACHE_HOME"] == str(folder) and "HOME" not in places.variables()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_temporary_folder_of_somebody_else_is_not_taken(machine, monkeypatch):
    read_only(monkeypatch, machine / "home", machine / "environment")
    (machine / "trap").mkdir()
    (machine / f"tmp/asrlib-{os.getuid()}").symlink_to(machine / "trap")
    assert places.cache_folder().is_dir() and places.cache_folder().resolve() != machine / "trap"


def test_a_user_without_a_name(monkeypatch):
    monkeypatch.setattr(places, "_user_has_name", lambda: False)
    assert places.variables() == {"USER": str(os.getuid()), "LOGNAME": str(os.getuid())}
    monkeypatch.setenv("USER", "me")
    assert places.variables()["USER"] == "me"


def test_lines_for_the_shell():
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "XDG_CACHE_HOME")}
    done = subprocess.run([sys.executable, "-m", "asrlib.utils.places"], env=environment, capture_output=True, text=True, check=True)
    assert "XDG_CACHE_HOME=" in done.stdout and "HOME=" in done.stdout
