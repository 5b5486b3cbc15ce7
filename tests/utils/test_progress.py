"""Progress in a log file: lines, and unchanged values."""

from asrlib.utils.progress import each, progress


def test_each_yields_everything(capsys):
    assert list(each(range(5), "counting", unit="thing")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().out == ""


def test_lines_without_carriage_returns(capsys):
    list(each(range(5), "counting", unit="thing"))
    text = capsys.readouterr().err
    assert "\r" not in text
    last = text.splitlines()[-1]
    assert "counting: 100%" in last and "5/5" in last and "thing/s" in last


def test_bar_to_update(capsys):
    with progress(desc="copying", total=10, unit="B") as bar:
        bar.update(4)
        bar.update(6)
    assert "copying: 100%" in (last := capsys.readouterr().err.splitlines()[-1]) and "10/10" in last


def test_no_line_for_every_step(capsys):
    list(each(range(10000), "counting"))
    assert len(capsys.readouterr().err.splitlines()) <= 3


def test_a_bar_inside_another_moves_no_cursor(capsys):
    for _ in progress(range(2), "outer"):
        list(progress(range(3), "inner", leave=False))
    text = capsys.readouterr().err
    assert "outer: 100%" in text and "inner" in text and "\x1b" not in text and "" not in text.splitlines()
