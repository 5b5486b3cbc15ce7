"""Atomic writing of files and folders; names of files."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asrlib.utils.errors import UserError
from asrlib.utils.files import (
    added_files,
    atomic_directory,
    atomic_write,
    file_name,
    held,
    named_folder,
    plain_name,
    run_folder,
    settle,
    settled,
    unique_names,
)


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


@pytest.mark.parametrize(
    "paths, expected",
    [
        (["a/x.wav", "b/y.flac"], ["x", "y"]),
        (["a/x.wav", "b/x.wav", "y.wav"], ["a_x", "b_x", "y"]),
        (["c/a/x.wav", "d/a/x.wav", "a/x.wav"], ["c_a_x", "d_a_x", "a_x"]),
        (["a/x.wav", "a/x.flac", "b/x.wav"], ["x.wav", "x.flac", "b_x"]),
        (["my talk.wav", "my_talk.wav"], ["my_talk.wav.1", "my_talk.wav.2"]),
        (["/x.wav", "../x.wav"], ["x.wav.1", "x.wav.2"]),
        (["a\tb\n.wav", "\u3000c.wav", "\u2028d.wav"], ["a_b_", "_c", "_d"]),
        (["安 宁.wav", 'l\'été "1".wav'], ["安_宁", 'l\'été_"1"']),
        ([";;x.wav", "-y.wav", "...wav", "\udce9.wav"], ["_x", "_y", "_", "\ufffd"]),
    ],
)
def test_names_of_files_are_words_of_their_own(paths, expected):
    assert unique_names([Path(path) for path in paths]) == expected


@given(st.lists(st.text(st.sampled_from("ab _./\u3000"), min_size=1, max_size=8), unique=True, max_size=12))
def test_names_are_unique_words(paths):
    names = unique_names([Path(path) for path in paths])
    assert len(set(names)) == len(paths) and all(len(name.split()) == 1 and "/" not in name for name in names)


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=8))
def test_ids_as_names_of_files(ids):
    names = {file_name(identifier) for identifier in ids}
    assert len(names) == len(ids)
    assert all(os.path.basename(name) == name and name not in (".", "..") and "\0" not in name for name in names)


def test_ids_that_are_plain_stay():
    assert file_name("spk1-utt_2.3 安") == "spk1-utt_2.3 安" and plain_name("") == "_"
    assert (file_name(".."), file_name("a/../b"), file_name("%2F"), file_name("/")) == ("%2E.", "a%2F..%2Fb", "%252F", "%2F")


def test_folders_named_by_dots(tmp_path, monkeypatch):
    (tmp_path / "set/sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "set/sub")
    assert [named_folder(Path(path)).name for path in (".", "..", "../sub", "x/y")] == ["sub", "set", "sub", "y"]


def test_files_of_a_run_go_to_their_places(tmp_path):
    """Those that a killed run has left are removed, and so is what is not moved."""
    (tmp_path / ".run.left.tmp").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b/old").touch()
    with run_folder(tmp_path) as folder:
        (folder / "a.ark").write_text("new")
        (folder / "b").mkdir()
        (folder / "b/new").touch()
        (folder / "half").touch()
        for name in ("a.ark", "b", "missing"):
            settle(folder / name)
        assert settled(f"{folder}/a.ark:17", folder) == f"{tmp_path}/a.ark:17" and settled("/other/a.wav", folder) == "/other/a.wav"
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["a.ark", "b", "b/new"]


def test_only_one_holds_a_lock(tmp_path):
    with held(tmp_path / "x/lock", "busy"), pytest.raises(UserError, match="busy"), held(tmp_path / "x/lock", "busy"):
        pass
    with held(tmp_path / "x/lock", "busy"):
        pass


def test_many_files_join_those_that_are_there(tmp_path):
    for text in ("one", "two"):
        with added_files(tmp_path / "x" / "txt") as folder:
            (folder / "a").write_text(text)
            (folder / text).write_text(text)
            assert names(tmp_path / "x" / "txt") == ["a", "one"] if text == "two" else not (tmp_path / "x" / "txt").exists()
    assert names(tmp_path / "x") == ["txt"] and names(tmp_path / "x" / "txt") == ["a", "one", "two"]
    assert (tmp_path / "x" / "txt" / "a").read_text() == "two" and stat.S_IMODE((tmp_path / "x" / "txt").stat().st_mode) == 0o755


def test_many_files_of_which_none_are_added(tmp_path):
    with added_files(tmp_path / "txt"):
        pass
    with pytest.raises(RuntimeError), added_files(tmp_path / "txt") as folder:
        (folder / "a").write_text("x")
        raise RuntimeError
    assert names(tmp_path) == []
