"""Space on disks."""

import shutil
import subprocess

from asrlib.utils.space import free_space, nearest, size_of


def test_sizes_are_those_of_du(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x").write_bytes(bytes(1000))
    (tmp_path / "a" / "b" / "y").write_bytes(bytes(234))
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a" / "x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    expected = subprocess.run(["find", tmp_path / "a", "-type", "f", "-printf", "%s\n"], capture_output=True, text=True).stdout.split()
    assert size_of(tmp_path / "a") == sum(map(int, expected)) == 1234
    assert size_of(tmp_path / "a" / "x") == 1000 and size_of(tmp_path / "none") == size_of(tmp_path / "a" / "link") == 0


def test_free_space_of_a_folder_that_is_not_there_yet(tmp_path):
    assert nearest(tmp_path / "a" / "b") == tmp_path
    assert abs(free_space(tmp_path / "a" / "b") - shutil.disk_usage(tmp_path).free) < 1e9
