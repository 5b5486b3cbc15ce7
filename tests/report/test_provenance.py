"""The commit in the provenance of a result."""

import os
import subprocess

import pytest

from asrlib.report import provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of one commit, with a space in its path, for a git without settings."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    folder = tmp_path / "my project"
    folder.mkdir()
    (folder / "file").write_text("1\n")
    for words in ("init -q", "add file", "-c user.name=me -c user.email=me@here commit -q -m first"):
        subprocess.run(["git", *words.split()], cwd=folder, check=True)
    monkeypatch.setattr(provenance, "ROOT", folder)
    return folder


def test_commit_and_local_changes(checkout):
    commit = subprocess.run(["git", "log", "-1", "--format=%h of %cs"], cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()
    assert provenance._commit() == commit
    (checkout / "file").write_text("2\n")
    assert provenance._commit() == f"{commit}, with local changes"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a checkout to another user")
def test_checkout_of_another_owner(checkout):
    """Containers mount such checkouts; git's check of the owner must not hide the commit."""
    for path in (checkout, *checkout.rglob("*")):
        os.chown(path, 12345, 12345)
    assert subprocess.run(["git", "log"], cwd=checkout, capture_output=True, env=os.environ | {"SUDO_UID": ""}, check=False).returncode != 0
    assert " of 20" in provenance._commit()


def test_what_is_no_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    assert provenance._commit() == "not a git checkout"
    (tmp_path / ".git").write_text("gitdir: /nonexistent\n")
    assert provenance._commit().startswith("unknown: fatal: not a git repository: /nonexistent")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance._commit() == "unknown: git cannot be run (No such file or directory)"
