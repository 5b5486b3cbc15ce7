"""Reading of language models, and errors for invalid files."""

import gzip

import pytest

from asrlib.decode.lm import load_kenlm, vocabulary
from asrlib.decode.ngram import estimate, write_arpa
from asrlib.utils.errors import UserError


@pytest.fixture
def arpa(tmp_path):
    write_arpa(estimate([["A", "B"], ["B"]], 2), tmp_path / "lm.arpa")
    return tmp_path / "lm.arpa"


def test_gzip(arpa):
    packed = arpa.with_suffix(".arpa.gz")
    packed.write_bytes(gzip.compress(arpa.read_bytes()))
    assert vocabulary(packed) == vocabulary(arpa) == ["A", "B"]
    plain, zipped = load_kenlm(arpa, ["A", "B"]), load_kenlm(packed, ["A", "B"])
    assert plain.score(plain.start(False), 1)[1] == zipped.score(zipped.start(False), 1)[1]


def test_loading_is_silent(arpa, capfd):
    load_kenlm(arpa, ["A"])
    assert capfd.readouterr().err == ""


def test_missing(tmp_path):
    for read in (vocabulary, lambda path: load_kenlm(path, ["A"])):
        with pytest.raises(UserError, match="no such language model: estimate one with make_ngram"):
            read(tmp_path / "none.arpa")


def test_not_a_model(tmp_path):
    path = tmp_path / "lm.arpa"
    path.write_text("THESE ARE WORDS\n")
    with pytest.raises(UserError, match="not an ARPA file"):
        vocabulary(path)
    with pytest.raises(UserError, match="not a readable ARPA or KenLM binary file"):
        load_kenlm(path, ["A"])


def test_cut_off(arpa):
    arpa.write_bytes(arpa.read_bytes()[:-60])
    with pytest.raises(UserError, match="lm.arpa: not a readable ARPA or KenLM binary file"):
        load_kenlm(arpa, ["A", "B"])


def test_a_binary_needs_a_lexicon(tmp_path):
    path = tmp_path / "lm.bin"
    path.write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0")
    with pytest.raises(UserError, match="also give a lexicon"):
        vocabulary(path)
