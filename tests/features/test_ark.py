"""Archives: round trips and damaged files, with each library."""

import importlib.util
import sys

import kaldiio
import numpy as np
import pytest

from asrlib.features import ark
from asrlib.features.ark import read_matrix, write_ark
from asrlib.utils.errors import UserError

OMNIIO = importlib.util.find_spec("omniio") is not None
LIBRARIES = ("kaldiio", "omniio") if OMNIIO else ("kaldiio",)


@pytest.fixture(params=LIBRARIES, autouse=True)
def library(request, monkeypatch):
    """Runs each test with each library, selected by the environment variable."""
    monkeypatch.setenv("ASRLIB_ARK", request.param)


@pytest.fixture
def matrices():
    rng = np.random.default_rng(0)
    return {f"utt-{frames}": rng.normal(size=(frames, 7)).astype(np.float32) for frames in (1, 30, 200)} | {"ä": np.ones((2, 7), np.float32)}


def test_round_trip(tmp_path, matrices):
    rows = write_ark(tmp_path / "feats.ark", matrices.items())
    assert [(utt, frames) for utt, _, frames in rows] == [(utt, len(m)) for utt, m in matrices.items()]
    for utt, location, _ in rows:
        read = read_matrix(location, utt)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, matrices[utt])


def test_kaldiio_reads_the_scp(tmp_path, matrices):
    rows = write_ark(tmp_path / "feats.ark", matrices.items())
    (tmp_path / "feats.scp").write_text("".join(f"{utt} {location}\n" for utt, location, _ in rows), encoding="utf-8")
    read = dict(kaldiio.load_scp(str(tmp_path / "feats.scp")).items())
    assert read.keys() == matrices.keys()
    for utt, matrix in matrices.items():
        np.testing.assert_array_equal(read[utt], matrix)


def test_compressed(tmp_path, matrices):
    plain, small = tmp_path / "plain.ark", tmp_path / "small.ark"
    write_ark(plain, matrices.items())
    for utt, location, frames in write_ark(small, matrices.items(), compress=True):
        read = read_matrix(location, utt)
        assert read.shape == (frames, 7)
        assert np.all(np.abs(read - matrices[utt]).max(0) <= 0.01 * np.ptp(matrices[utt], axis=0) + 1e-4)
    assert small.stat().st_size < 0.35 * plain.stat().st_size


def test_no_archive_when_the_features_fail(tmp_path, matrices):
    def failing():
        yield from matrices.items()
        raise UserError("the last one")

    with pytest.raises(UserError, match="the last one"):
        write_ark(tmp_path / "feats.ark", failing())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("compress", [False, True])
def test_cut_archive(tmp_path, matrices, compress):
    """Reading a truncated matrix raises an error that names the utterance; complete matrices before it are read."""
    rows = write_ark(tmp_path / "feats.ark", matrices.items(), compress)
    data = (tmp_path / "feats.ark").read_bytes()
    first, second = rows[0], rows[1]
    begin, end = int(second[1].rpartition(":")[2]), int(rows[2][1].rpartition(":")[2]) - len("utt-200 ")
    for size in [begin, *range(begin + 1, begin + 40), (begin + end) // 2, end - 1]:
        (tmp_path / "feats.ark").write_bytes(data[:size])
        assert read_matrix(first[1], "utterance 1").shape == (1, 7)
        with pytest.raises(UserError, match=r"^utterance 2: cannot read features at .*feats\.ark:\d+ .*: run stage 2 again with --force true$"):
            read_matrix(second[1], "utterance 2")


def test_missing_archive(tmp_path):
    with pytest.raises(UserError, match="utterance 1: cannot read features at .*none.ark:5"):
        read_matrix(f"{tmp_path}/none.ark:5", "utterance 1")


@pytest.mark.parametrize("location", ["{}/feats.ark:1", "{}/feats.ark:x", "{}/feats.ark:-1", "{}/feats.ark", "cat {}/feats.ark |", "{}:0", ""])
def test_location_that_is_none(tmp_path, matrices, location):
    write_ark(tmp_path / "feats.ark", matrices.items())
    with pytest.raises(UserError, match="^utterance 1: cannot read features at "):
        read_matrix(location.format(tmp_path), "utterance 1")


def test_archive_with_a_pickle_is_not_opened(tmp_path):
    """kaldiio's own reader would unpickle it and so run code."""
    kaldiio.save_ark(str(tmp_path / "feats.ark"), {"utt": np.ones((2, 2), np.float32)}, write_function="pickle")
    with pytest.raises(UserError, match="no Kaldi matrix at this offset"):
        read_matrix(f"{tmp_path}/feats.ark:4", "utterance 1")


def test_folder_with_brackets_and_colons(tmp_path, matrices):
    """kaldiio takes [a:b] in a location for a slice."""
    for utt, location, _ in write_ark(tmp_path / "run[0:3]" / "feats.ark", matrices.items()):
        np.testing.assert_array_equal(read_matrix(location, utt), matrices[utt])


@pytest.mark.parametrize("reader", LIBRARIES)
@pytest.mark.parametrize("compress", [False, True])
def test_either_library_reads_what_the_other_wrote(tmp_path, matrices, monkeypatch, reader, compress):
    rows = write_ark(tmp_path / "feats.ark", matrices.items(), compress)
    own = [read_matrix(location, utt) for utt, location, _ in rows]
    monkeypatch.setenv("ASRLIB_ARK", reader)
    for (utt, location, _), matrix in zip(rows, own, strict=True):
        np.testing.assert_array_equal(read_matrix(location, utt), matrix)


def test_unknown_library(tmp_path, matrices, monkeypatch):
    monkeypatch.setenv("ASRLIB_ARK", "pickle")
    with pytest.raises(UserError, match="^ASRLIB_ARK=pickle: unknown archive library: set it to kaldiio or omniio$"):
        write_ark(tmp_path / "feats.ark", matrices.items())


def test_library_that_is_not_installed(tmp_path, matrices, monkeypatch):
    monkeypatch.setenv("ASRLIB_ARK", "omniio")
    monkeypatch.setitem(sys.modules, "omniio.kaldi", None)
    ark.library.cache_clear()
    try:
        with pytest.raises(UserError, match="^ASRLIB_ARK=omniio: the package omniio is not installed: .* pip install --no-deps omniio$"):
            write_ark(tmp_path / "feats.ark", matrices.items())
    finally:
        ark.library.cache_clear()


def test_kaldiio_unless_another_is_chosen(monkeypatch):
    monkeypatch.setenv("ASRLIB_ARK", "")
    assert ark.chosen() is ark.library("kaldiio")
    monkeypatch.delenv("ASRLIB_ARK")
    assert ark.chosen() is ark.library("kaldiio")


@pytest.mark.skipif(not OMNIIO, reason="omniio is not installed (pip install --no-deps omniio): archives are tested with kaldiio alone")
def test_omniio_is_used(tmp_path, matrices, monkeypatch):
    monkeypatch.setenv("ASRLIB_ARK", "omniio")
    monkeypatch.setattr(kaldiio, "save_ark", None)
    assert ark.chosen().read.__module__.startswith("omniio.")
    write_ark(tmp_path / "feats.ark", matrices.items())
