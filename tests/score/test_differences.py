"""Texts that are written in different ways: what is told and what an option leaves out of the count."""

import json
import unicodedata

import pytest

from asrlib.bin import compare_systems, score
from asrlib.report.baselines import read_score
from asrlib.score.conventions import Conventions
from asrlib.score.error_rate import score as score_texts


@pytest.mark.parametrize("text", ["café crème", "Hiếu đến rồi", "한국어 음성", "Ångström"])
@pytest.mark.parametrize("unit", ["word", "char"])
def test_equal_text_in_another_normal_form_costs_nothing(text, unit, warnings):
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    for ref, hyp in (forms, forms[::-1]):
        counts = score_texts({"u": ref}, {"u": hyp}, unit).counts
        assert (counts.errors, counts.ref_units) == (0, len(forms[0].split()) if unit == "word" else len(forms[0].replace(" ", "")))
    assert "0 references and 1 hypotheses have decomposed characters" in warnings.text


@pytest.mark.parametrize(
    ("ref", "hyp", "unit", "name"),
    [
        ("HELLO WORLD", "hello world", "word", "case"),
        ("don't stop", "don\u2019t stop", "word", "apostrophes"),
        ("don't stop", "don\u02bct stop", "char", "apostrophes"),
        ("\u0587 a", "\u0565\u0582 a", "char", "compatibility"),
        ("\uff21\uff22 C", "AB C", "word", "compatibility"),
        ("so\u00adft", "soft", "word", "invisible"),
    ],
)
def test_a_difference_of_form_is_told_and_folded(ref, hyp, unit, name, warnings):
    before = score_texts({"u": ref, "v": "x"}, {"u": hyp, "v": "y"}, unit).counts.errors
    assert f"{before - 1} of {before} errors are differences of {name} alone, the first in u: --fold {name}" in warnings.text
    assert score_texts({"u": ref, "v": "x"}, {"u": hyp, "v": "y"}, unit, conventions=Conventions(fold=(name,))).counts.errors == 1


def test_recognition_errors_alone_are_not_told(warnings):
    score_texts({"u": "THE CAT SAT", "v": "ON IT"}, {"u": "THE MAT SAT", "v": "ON"}, "word")
    assert warnings.text == ""


def test_tags_are_one_unit_told_and_left_out(warnings):
    ref, hyp = {"u": "<NOISE>今天[noise]天气<NOISE>"}, {"u": "今天天气"}
    counts = score_texts(ref, hyp, "char").counts
    assert (counts.ref_units, counts.deletions, counts.errors) == (7, 3, 3)
    assert "the references have 3 tags, each scored as one character (<NOISE> 2 times, [noise] 1 times): --leave_out" in warnings.text
    assert score_texts(ref, hyp, "char", conventions=Conventions(leave_out=("<noise>",))).counts.errors == 1
    assert score_texts(ref, hyp, "char", conventions=Conventions(leave_out=("all",))).counts.errors == 0


def test_signs_of_sclite_are_told(warnings):
    ref = {"u1": "{ CANNOT / CAN NOT } GO", "u2": "(UH) YES", "u3": "MY FRIEND-", "u4": "@ OK", "u5": "A { B"}
    hyp = {"u1": "CAN NOT GO", "u2": "YES", "u3": "MY FRIENDLY", "u4": "OK", "u5": "A @ B"}
    assert score_texts(ref, hyp, "word").counts.errors == 3
    assert "1 references have optional words in round brackets, the first is u2" in warnings.text
    assert "1 references have parts of words with a hyphen, the first is u3" in warnings.text
    assert "1 references have a brace without its pair, the first is u5" in warnings.text
    assert "1 hypotheses have signs of alternatives ({ / } @), the first is u5" in warnings.text
    counts = score_texts(ref, hyp, "word", conventions=Conventions(optional_words=True, fragments=True)).counts
    assert (counts.errors, counts.correct, counts.ref_units) == (1, 10, 11)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "ref").write_text("u1 <NOISE> Don't { CANNOT / CAN NOT } go (uh)\n", encoding="utf-8")
    (tmp_path / "hyp").write_text("u1 DON\u2019T CAN NOT GO\n", encoding="utf-8")
    return ["--ref", str(tmp_path / "ref"), "--unit", "word", "--out", str(tmp_path / "out")]


OPTIONS = ["--fold", "case,apostrophes", "--leave_out", "<NOISE>", "--optional_words", "true"]


def test_the_result_names_the_conventions(files, tmp_path, capsys):
    assert not score.main([*files, "--hyp", str(tmp_path / "hyp"), *OPTIONS])
    assert "scored with fold: case apostrophes, leave_out: <NOISE>, optional_words: True" in capsys.readouterr().out
    result = json.loads((tmp_path / "out/result.json").read_text(encoding="utf-8"))
    assert (result["substitutions"], result["deletions"], result["error_rate"]) == (0, 0, 0.0)
    assert result["conventions"] == {"fold": ["case", "apostrophes"], "leave_out": ["<NOISE>"], "optional_words": True}
    assert read_score(tmp_path / "out/result.json")[0].counts.errors == 0
    assert not score.main([*files, "--hyp", str(tmp_path / "hyp")])
    assert "conventions" not in json.loads((tmp_path / "out/result.json").read_text(encoding="utf-8"))


def test_systems_that_take_different_alternatives_are_compared(files, tmp_path):
    (tmp_path / "other").write_text("u1 don't cannot stop\n", encoding="utf-8")
    arguments = [*files, "--hyp_a", str(tmp_path / "other"), "--hyp_b", str(tmp_path / "hyp"), *OPTIONS]
    assert not compare_systems.main(arguments)
    assert json.loads((tmp_path / "out/comparison.json").read_text())["improvements"] == {"u1": -1}


def test_an_unknown_fold_is_named(files, tmp_path, capsys):
    with pytest.raises(SystemExit):
        score.main([*files, "--hyp", str(tmp_path / "hyp"), "--fold", "cases"])
    assert "'cases' is not one of case apostrophes compatibility invisible" in capsys.readouterr().err
