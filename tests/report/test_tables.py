"""RESULTS.md."""

import hashlib
import json

import pytest

from asrlib.report import provenance as module
from asrlib.report.provenance import provenance
from asrlib.report.tables import write_results
from asrlib.score.error_rate import score
from asrlib.score.files import write_score
from asrlib.utils.errors import UserError


@pytest.fixture
def exp(tmp_path):
    folder = tmp_path / "exp" / "deepspeech2"
    ref = {"a": "ONE TWO THREE", "b": "FOUR"}
    for mode, hyp in (("greedy", {"a": "ONE TOO THREE"}), ("beam", ref)):
        for kind, unit in (("wer", "word"), ("cer", "char")):
            write_score(score(ref, hyp, unit), folder / f"decode_{mode}" / "test" / f"score_{kind}")
    (folder / "config.yaml").write_text("model: deepspeech2\ntrainer: {seed: 17}\n")
    return folder


def test_tables_have_espnets_columns(exp):
    lines = write_results(exp, "./run.sh --mini true").read_text().splitlines()
    wer = lines[lines.index("### WER") : lines.index("### CER")]
    assert wer[2] == "|dataset|Snt|Wrd|Corr|Sub|Del|Ins|Err|S.Err|95 % interval of Err|"
    assert wer[4] == "|decode_beam/test|2|4|100.0|0.0|0.0|0.0|0.0|0.0|0.0 to 0.0|"
    assert wer[5].startswith("|decode_greedy/test|2|4|50.0|25.0|25.0|0.0|50.0|100.0|33.3 to 100.0|")
    assert "- decode_greedy/test: 1 missing hypotheses" in wer
    assert "- command: `./run.sh --mini true`" in lines
    assert "- seed: 17" in lines
    assert "### Decoding speed" not in lines


def test_speed_is_listed_where_it_was_measured(exp):
    (exp / "decode_beam/test/rtf.json").write_text(json.dumps({"audio_seconds": 12.3, "real_time_factor": 0.0567}))
    assert "|decode_beam/test|12|0.0567|" in write_results(exp).read_text()


def test_nothing_scored_is_an_error(tmp_path):
    with pytest.raises(UserError, match="run stage 6 first"):
        write_results(tmp_path)
    assert not (tmp_path / "RESULTS.md").exists()


@pytest.mark.parametrize("content", ["{", "{}", "[]"])
def test_a_broken_result_is_named(exp, content):
    (exp / "decode_beam/test/score_wer/result.json").write_text(content)
    with pytest.raises(UserError, match=r"decode_beam/test/score_wer/result.json: not a result of the score command"):
        write_results(exp)


def test_provenance(exp, monkeypatch, tmp_path):
    facts = provenance(exp, "cmd")
    assert hashlib.sha256((exp / "config.yaml").read_bytes()).hexdigest()[:10] in facts["configuration"]
    assert "numpy" in facts["packages"]
    (exp / "config.yaml").write_text("seed: 3\n")
    assert provenance(exp)["seed"] == "3"
    (exp / "config.yaml").unlink()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    facts = provenance(exp)
    assert (facts["seed"], facts["command"], facts["commit"]) == ("not recorded", "not recorded", "not a git checkout")
