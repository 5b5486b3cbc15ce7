"""The files of a score folder."""

import json

import pytest

from asrlib.score.alignment import align
from asrlib.score.error_rate import score
from asrlib.score.files import confusions, per_utterance, render, table, write_score
from asrlib.score.texts import width
from asrlib.utils.disk_counter import DiskCounter

REF = {"a": "ONE TWO THREE", "b": "FOUR FIVE", "c": "SIX", "d": ""}
HYP = {"a": "ONE TOO THREE", "b": "FOUR FIVE SIX", "d": ""}


@pytest.fixture
def result():
    return score(REF, HYP, "word", {"a": "anna", "b": "ben", "c": "ben", "d": "anna"})


def test_result_json(result, tmp_path):
    write_score(result, tmp_path / "new" / "score_wer", ref="data/x/text", hyp="exp/x/text")
    found = json.loads((tmp_path / "new/score_wer/result.json").read_text())
    expected = {"unit": "word", "utterances": 4, "ref_units": 6, "correct": 4, "substitutions": 1, "deletions": 1, "insertions": 1}
    expected |= {"error_rate": 50.0, "ci95_over": "utterance", "wrong_utterances": 3, "sentence_error": 75.0, "missing": 1, "extra": 0, "empty": 0}
    expected |= {"ref": "data/x/text", "hyp": "exp/x/text"}
    assert found.pop("ci95") == result.ci95
    assert found == expected
    names = {path.name for path in (tmp_path / "new/score_wer").iterdir()}
    assert names == {"result.json", "result.txt", "per_utt.tsv", "alignments.txt", "confusions.tsv"}


def test_table_has_speakers_and_the_sum(result):
    cells = [line.replace("|", " ").split() for line in table(result).splitlines()]
    assert ["anna", "2", "3", "66.7", "33.3", "0.0", "0.0", "33.3", "50.0"] in cells
    assert ["ben", "2", "3", "66.7", "0.0", "33.3", "33.3", "66.7", "100.0"] in cells
    assert ["Sum/Avg", "4", "6", "66.7", "16.7", "16.7", "16.7", "50.0", "75.0"] in cells
    text = table(result)
    assert "%WER 50.00 [ 3 / 6, 1 ins, 1 del, 1 sub ], 95 % interval" in text
    assert "missing: c" in text
    assert len({width(line) for line in text.splitlines() if line.startswith("|")}) == 1


def test_table_of_mandarin_speakers_and_of_a_reference_without_words():
    text = table(score({"a": "", "b": ""}, {"a": "好", "b": ""}, "char", {"a": "说话人", "b": "s"}))
    assert "%CER undefined: the reference has no char (1 insertions)" in text
    assert len({width(line) for line in text.splitlines() if line.startswith("|")}) == 1


def test_per_utterance(result):
    rows = [line.split("\t") for line in "".join(per_utterance(result)).splitlines()]
    assert rows[0][0] == "utterance"
    assert rows[1:] == [
        ["a", "anna", "3", "2", "1", "0", "0", "33.33", "present"],
        ["b", "ben", "2", "2", "0", "0", "1", "50.00", "present"],
        ["c", "ben", "1", "0", "0", "1", "0", "100.00", "missing"],
        ["d", "anna", "0", "0", "0", "0", "0", "", "present"],
    ]


def test_confusions_by_falling_count():
    many = score({"a": "A B C", "b": "A B C", "c": "A", "d": "D"}, {"a": "A X C", "b": "A X C", "c": "A A", "d": ""}, "word")
    with DiskCounter() as edits:
        for _, alignment in many.pairs.alignments():
            edits.update(alignment.edits())
        lines = "".join(confusions(edits)).splitlines()
    assert lines == ["count\top\tref\thyp", "2\tS\tB\tX", "1\tD\tD\t", "1\tI\t\tA"]


def test_alignment_lines_have_columns_of_equal_width():
    one = align([list("今天好")], [list("今a好吗")])[0]
    lines = render("u", one).splitlines()
    assert lines[:2] == ["id: (u)", "Scores: (#C #S #D #I) 2 1 0 1"]
    ref, hyp, marks = lines[2:]
    assert ref == "REF:  今 天 好 **"
    assert hyp == "HYP:  今 a  好 吗"
    assert marks == "Eval:    S     I"
    assert width(ref) == width(hyp)
