"""Atomic writing of files and folders."""

import os
import stat
import subprocess
import sys

import pytest

from asrlib.utils.files import atomic_directory, atomic_write


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_is_utf8_with_lf(tmp_path):
    with atomic_write(tmp_path / "new" / "a.txt") as stream:
        stream.write("ä\nb\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "ä\nb\n".encode()


def test_binary(tmp_path):
    with atomic_write(tmp_path / "a", "wb") as stream:
        stream.write(b"\r\n\x00")
    assert (tmp_path / "a").read_bytes() == b"\r\n\x00"


def test_name_is_free_until_the_end_and_readable_by_all(tmp_path):
    with atomic_write(tmp_path / "a") as stream:
        stream.write("x")
        assert not (tmp_path / "a").exists()
    assert names(tmp_path) == ["a"]
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_error_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "a") as stream:
        stream.write("new")
        raise RuntimeError
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_killed_while_writing_keeps_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old")
    code = "import os, sys\nfrom asrlib.utils.files import atomic_write\n"
    code += "with atomic_write(sys.argv[1]) as s:\n  s.write('new'); s.flush(); os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False).returncode == -9
    assert (tmp_path / "a").read_text() == "old"


def test_full_disk_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    """A file size limit simulates a full disk: write(2) fails in the same way."""
    (tmp_path / "a").write_text("old")
    code = (
        "import resource, signal, sys\nfrom asrlib.utils.files import atomic_write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n  with atomic_write(sys.argv[1]) as s:\n    s.write('x' * 100000)\nexcept OSError as e:\n  sys.exit(e.errno)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False).returncode == 27  # EFBIG
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_directory_replaces_the_old_one_as_a_whole(tmp_path):
    for content in ("first", "second"):
        with atomic_directory(tmp_path / "d") as folder:
            (folder / content).touch()
    assert names(tmp_path / "d") == ["second"]
    assert names(tmp_path) == ["d"]
    assert os.access(tmp_path / "d", os.X_OK)


def test_directory_error_keeps_the_old_one(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "old").touch()
    with pytest.raises(KeyboardInterrupt), atomic_directory(tmp_path / "d") as folder:
        (folder / "new").touch()
        raise KeyboardInterrupt
    assert names(tmp_path / "d") == ["old"]
    assert names(tmp_path) == ["d"]
