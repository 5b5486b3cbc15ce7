"""Comparison of a system with baselines."""

import pytest

from asrlib.corpora.kaldi_table import write_table
from asrlib.report.baselines import baseline_rows, siblings
from asrlib.report.tables import write_results
from asrlib.score.error_rate import score
from asrlib.score.files import write_score
from asrlib.utils.errors import UserError

REF = {"a": "今天天气好", "b": "我们去北京", "c": "他在学校"}


@pytest.fixture
def experiment(tmp_path):
    """experiment(name, hypotheses): a scored experiment."""

    def make(name, hyp):
        write_table(tmp_path / "ref", REF)
        write_table(tmp_path / f"{name}.text", hyp)
        for unit in ("char", "word"):
            out = tmp_path / name / "decode_joint/test" / f"score_{unit[0]}er"
            write_score(score(REF, hyp, unit), out, ref=str(tmp_path / "ref"), hyp=str(tmp_path / f"{name}.text"))
        return tmp_path / name

    return make


def test_difference_and_interval(experiment):
    own, other = experiment("own", REF), experiment("random", REF | {"a": "今天天七好", "b": "我去北京"})
    (row,) = baseline_rows(own, [other])  # only characters, because the texts have no spaces
    assert row[:6] == ["decode_joint/test", "char", "random", "14.3", "0.0", "-14.3"]
    assert row[7] == "-100.0 %"


def test_results_have_them_and_what_is_published(experiment, tmp_path):
    own, other = experiment("own", REF), experiment("random", REF | {"a": ""})
    (tmp_path / "published.md").write_text("|Method|CER|\n|---|---:|\n|HuBERT|3.9|\n")
    text = write_results(own, "", [other], tmp_path / "published.md").read_text()
    assert "### Compared with" in text and "|decode_joint/test|char|random|" in text
    assert "### Published by others, not made here\n\n|Method|CER|" in text


def test_siblings_are_those_that_decoded_the_same(experiment, tmp_path):
    own, other = experiment("own", REF), experiment("other", REF)
    (tmp_path / "pretraining").mkdir()
    assert siblings(own) == [other]


def test_a_baseline_that_was_not_decoded(experiment, tmp_path):
    with pytest.raises(UserError, match="run stage 6 for none, too"):
        baseline_rows(experiment("own", REF), [tmp_path / "none"])
