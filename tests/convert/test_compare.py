"""The layer comparison: the published table, and invalid outputs."""

import json
import math

import numpy as np
import pytest

from asrlib.bin import compare_layers
from asrlib.convert.compare import differences, read_outputs
from asrlib.utils.errors import UserError

PUBLISHED = """0.0005469106 0.0008232473 0.0015528084 0.0020986304 0.00258094 0.0024200461 0.0024519553 0.0021557575 0.0020926956
0.0019156568 0.002052982 0.0021666065 0.002720383"""


def test_published_table_from_the_published_arrays(shared, tmp_path, capsys):
    """ProgRE's migration from MindSpore to PyTorch: thirteen rows to 1e-6 relative."""
    migration = shared / "reference/migration"
    compare_layers.main(["--ms_dir", str(migration / "ms"), "--pt_dir", str(migration / "torch"), "--out", str(tmp_path)])
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line[:1].isdigit() and len(line.split()) == 2]
    assert [int(index) for index, _ in rows] == list(range(13))
    np.testing.assert_allclose([float(value) for _, value in rows], [float(x) for x in PUBLISHED.split()], rtol=1e-6)
    assert (tmp_path / "layers.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "result.json").read_text())["worst"] == pytest.approx(0.002720383, rel=1e-6)


def write(folder, arrays, prefix="out"):
    folder.mkdir()
    for i, array in arrays.items():
        np.save(folder / f"{prefix}{i}.npy", array)
    return folder


def test_difference_of_two_arrays(tmp_path):
    a = write(tmp_path / "a", {i: np.full((1, 4, 2), 2.0, np.float32) for i in range(11)}, "ms_out")
    b = write(tmp_path / "b", {i: np.full((1, 4, 2), 2.0 + 0.1 * i, np.float32) for i in range(11)})
    rows = differences(read_outputs(a), read_outputs(b), "here")
    assert [row.relative for row in rows] == pytest.approx([0.05 * i for i in range(11)], abs=1e-6)


def test_silent_layer():
    """Zeros equal only zeros."""
    zeros, ones = np.zeros((1, 4, 2), np.float32), np.ones((1, 4, 2), np.float32)
    assert [row.relative for row in differences([zeros, zeros, ones], [zeros, ones, zeros], "here")] == [0.0, math.inf, 1.0]


def test_faulty_outputs(tmp_path):
    one = np.ones((1, 4, 2), np.float32)
    good, gap = write(tmp_path / "good", {0: one, 1: one}), write(tmp_path / "gap", {0: one, 2: one})
    with pytest.raises(UserError, match="layer 1 .* is missing"):
        read_outputs(gap)
    with pytest.raises(UserError, match="no layer outputs"):
        read_outputs(tmp_path)
    with pytest.raises(UserError, match="2 layers from MindSpore, 1 from PyTorch"):
        differences(read_outputs(good), [one], "here")
    with pytest.raises(UserError, match=r"layer 0: shape \(1, 4, 2\) from MindSpore, \(1, 2, 4\)"):
        differences([one], [one.reshape(1, 2, 4)], "here")
    nan = one.copy()
    nan[0, 2, 1] = np.nan
    with pytest.raises(UserError, match="layer 1: PyTorch's output is empty or not finite"):
        differences([one, one, one], [one, nan, one], "here")
    with pytest.raises(UserError, match="layer 0: MindSpore's output is empty or not finite"):
        differences([one[:, :0]], [one[:, :0]], "here")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    np.save(pickled / "out0.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="pickle"):
        read_outputs(pickled)


def test_options_that_do_not_go_together(capsys):
    with pytest.raises(SystemExit):
        compare_layers.main(["--ms_dir", "a"])
    assert "give --exp_dir and --wav_scp or --feats_scp, or --ms_dir, --pt_dir and --out" in capsys.readouterr().err
