"""Former runs: removed once for a name, set aside under numbers."""

import argparse

import pytest

from asrlib.utils.former import StartOver, remove, set_aside, start_over


def test_once_for_a_name(tmp_path):
    assert StartOver("true").due(tmp_path) and not StartOver("false").due(tmp_path)
    for word in ("true", "17-4.2"):
        assert start_over(word).due(tmp_path)
        start_over(word).done(tmp_path)
    assert StartOver("true").due(tmp_path), "by hand it is meant every time"
    assert not StartOver("17-4.2").due(tmp_path) and StartOver("18").due(tmp_path)
    assert start_over("False") == StartOver() and start_over("TRUE").word == "true"


@pytest.mark.parametrize("text", ["", "yes no", "a/b", "../x"])
def test_not_a_name(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not true or false"):
        start_over(text)


def fill(folder):
    (folder / "checkpoints").mkdir()
    for name in ("checkpoints/a", "b.pth", "c.pth", "config.yaml"):
        (folder / name).write_text("x")


def test_remove(tmp_path):
    fill(tmp_path)
    remove(tmp_path, ("checkpoints", "*.pth", "absent"))
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_set_aside(tmp_path):
    for number in (1, 2):
        fill(tmp_path)
        assert set_aside(tmp_path, ("checkpoints", "*.pth", "absent"), "other data") == tmp_path / "former" / str(number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "former"]
    for number in "12":
        assert sorted(path.name for path in (tmp_path / "former" / number).iterdir()) == ["b.pth", "c.pth", "checkpoints"]
