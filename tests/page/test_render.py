"""The page has what the files of its experiments have, and nothing of them becomes markup."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
import soundfile

from asrlib.bin import page as command
from asrlib.page.render import policy, write_page
from asrlib.score.compare import compare, write_comparison
from asrlib.score.error_rate import score
from asrlib.utils.errors import UserError
from tests.page.conftest import HOSTILE, MANDARIN, TEXTS, parsed, recognised, speaker_of


@pytest.fixture(scope="module")
def html(page):
    return parsed(page)


def facts(recipe, system, decoding, name, kind):
    return json.loads((recipe / f"exp/{system}/decode_{decoding}/{name}/score_{kind}/result.json").read_text())


def test_results_are_those_of_the_score_folders(html, recipe):
    head, *rows = html.tables["results"]
    found = {tuple(row[:4]): dict(zip(head, row, strict=True)) for row in rows}
    assert len(rows) == len(found) == 2 * (2 + 1) * 2, "two systems; words and characters of test, characters of mandarin; two searches"
    for (system, name, decoding, measure), row in found.items():
        result = facts(recipe, system, decoding, name, measure.lower())
        assert row["error rate (%)"] == f"{result['error_rate']:.1f}"
        assert row["95 % interval"] == "{:.1f} to {:.1f}".format(*result["ci95"])
        assert (row["sentences"], row["units"]) == (str(result["utterances"]), str(result["ref_units"]))
    assert "WER on test, beam" in html.text and "CER on mandarin, beam" in html.text


def test_comparisons_are_those_of_the_texts(html):
    """The first system against the other by the same search, and its beam search against its greedy search."""
    head, *rows = html.tables["comparisons"]
    found = {tuple(row[:5]): dict(zip(head, row, strict=True)) for row in rows}
    assert len(found) == 6 + 3
    for key, a, b in ((("test", "beam", "WER", "other", "system"), 2, 3), (("test", "greedy, beam", "WER", "greedy", "beam"), 2, 3)):
        expected = compare(score(TEXTS, recognised(TEXTS, a), "word"), score(TEXTS, recognised(TEXTS, b), "word"))
        row = found[key]
        assert row["B − A"] == f"{expected.delta:+.2f}" and row["P(B better)"] == f"{expected.probability_of_improvement:.3f}"
        assert row["95 % interval"] == "{:+.1f} to {:+.1f}".format(*expected.ci95)
        assert row["verdict"] == (f"{key[4]} is better" if expected.ci95[1] < 0 else "no difference shown")


def test_comparisons_of_compare_systems_in_the_folder(recipe, tmp_path):
    shutil.copytree(recipe / "exp/system", tmp_path / "exp")
    scores = (score(TEXTS, recognised(TEXTS, number), "word") for number in (1, 4))
    write_comparison(compare(*scores), tmp_path / "exp/against_baseline", hyp_a="first.txt", hyp_b="second.txt")
    expected = json.loads((tmp_path / "exp/against_baseline/comparison.json").read_text())
    row = parsed(write_page([tmp_path / "exp"])[0]).tables["comparisons"][-1]
    assert row[:5] == ["against_baseline", "–", "WER", "first.txt", "second.txt"] and row[10] == "second.txt is better"
    assert row[5:8] == [f"{expected['error_rate_a']:.1f}", f"{expected['error_rate_b']:.1f}", f"{expected['delta']:+.2f}"]
    (tmp_path / "exp/against_baseline/comparison.json").write_text("{")
    with pytest.raises(UserError, match="comparison.json: not valid JSON .*: run compare_systems again"):
        write_page([tmp_path / "exp"])


def test_errors_by_word_length_and_speaker(html):
    """The sets are in the order of their names: mandarin, then test."""
    result = score(TEXTS, recognised(TEXTS, 3), "word", {utt: speaker_of(utt) for utt in TEXTS})
    speakers = {name: f"{counts.error_rate:.1f}" for name, counts in result.by_speaker().items()}
    assert dict(zip(html.column("set1-speakers", "speaker"), html.column("set1-speakers", "error rate (%)"), strict=True)) == speakers
    assert sum(map(int, html.column("set1-confusions", "times"))) == result.counts.errors
    assert sum(map(int, html.column("set1-lengths", "errors"))) == result.counts.errors
    assert sum(map(int, html.column("set1-lengths", "sentences"))) == len(TEXTS)
    wrong = dict(zip(html.column("set1-words", "word"), html.column("set1-words", "wrong"), strict=True))
    assert sum(map(int, wrong.values())) == result.counts.substitutions + result.counts.deletions
    assert html.column("set0-confusions", "hypothesis") and {"不", "了"} >= set(html.column("set0-confusions", "hypothesis")) - {""}
    assert html.charts["set1-lengths-chart"]["labels"] == html.column("set1-lengths", "words")


def test_worst_utterances_with_their_sound(page, html, recipe):
    result = score(TEXTS, recognised(TEXTS, 3), "word")
    errors = dict(zip(result.utts, result.errors.tolist(), strict=True))
    articles = re.findall(r"<article.*?</article>", page.read_text(encoding="utf-8"), re.DOTALL)
    of_test = [one for one in articles if "set1-utterance" in one]
    assert len(of_test) == sum(number > 0 for number in errors.values())
    shown = [int(re.search(r"(\d+) errors? in", one)[1]) for one in of_test]
    assert shown == sorted(shown, reverse=True) == sorted((number for number in errors.values() if number), reverse=True)
    assert all(name in of_test[0] for name in (">beam</p>", ">greedy</p>", ">other</p>"))
    audio = base64.b64decode(re.search(r"data:audio/wav;base64,([\w+/=]+)", of_test[0])[1])
    samples, rate = soundfile.read(io.BytesIO(audio), dtype="int16")
    expected, _ = soundfile.read(recipe / "wav/test.wav", dtype="int16")
    assert rate == 16000
    np.testing.assert_array_equal(samples, expected)
    assert of_test[0].count("data:image/webp;base64,") == 1
    assert any(attributes.get("lang") == "zh" for tag, attributes in html.tags if tag == "bdi"), "fonts and speech know that it is Mandarin"


def test_alignment_is_that_of_the_score(page):
    """REF, HYP and the letter of each step of the utterance with the hostile text."""
    article = next(one for one in re.findall(r"<article.*?</article>", page.read_text(encoding="utf-8"), re.DOTALL) if "cy&amp;amp;" in one)
    first = re.search(r"<ol.*?</ol>", article, re.DOTALL)[0]
    steps = [(li.count("<abbr"), re.search(r'class="(\w)"', li)[1]) for li in re.findall(r"<li class=\"[SDICO]\">.*?</li>", first)]
    alignment = dict(score(TEXTS, recognised(TEXTS, 3), "word").pairs.alignments())["<b>cy&amp;\"'-00"]
    assert [op for _, op in steps] == list(alignment.ops)
    assert all((marks == 1) == (op in "SDI") for marks, op in steps)


def test_curves_have_the_values_of_the_history(html):
    chart = html.charts["training-loss"]
    by_name = {one["name"]: one for one in chart["series"]}
    assert list(by_name) == ["system: training", "system: validation", "other: training", "other: validation"]
    assert by_name["system: training"]["x"] == [n / 4 for n in range(1, 13)] and by_name["system: training"]["y"] == [40.0 / n for n in range(1, 13)]
    assert by_name["other: validation"]["y"] == [30.0, 15.0, 10.0]
    assert (chart["x"], chart["y"], chart["log"]) == ("epoch", "loss", True)
    assert html.column("training-values0", "WER (%)") == ["90.00", "45.00", "30.00"]


def test_model_configuration_and_how_to_repeat_it(html, recipe):
    assert html.charts["layers-chart"]["series"][0]["y"] == [pytest.approx(1e-7 * n) for n in (1, 2, 3, 4)]
    head, *rows = html.tables["configuration"]
    keys = {row[0]: row[1:] for row in rows}
    assert keys["model_conf.hidden_size"] == ["77", "1024"] and keys["trainer.seed"] == ["5", "1"]
    origin = json.loads((recipe / "exp/system/results.json").read_text())
    assert "egs/x/y/run.sh --tag system --note" in html.text, "without --stage 6, which repeats a part only"
    assert origin["commit"] in html.text and origin["processor"] in html.text


def test_nothing_becomes_markup_or_script(page, html):
    text = page.read_text(encoding="utf-8")
    assert HOSTILE in html.text, "it is shown as text"
    assert not {"b", "i"} & {tag for tag, _ in html.tags} and [tag for tag, _ in html.tags].count("img") == text.count("data:image/webp")
    scripts = [attributes for tag, attributes in html.tags if tag == "script"]
    assert [one for one in scripts if one.get("type") != "application/json"] == [{}]
    assert not [name for _, attributes in html.tags for name in attributes if name.startswith("on")]


def test_nothing_comes_from_elsewhere(page, html):
    for tag, attributes in html.tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), (tag, attributes)
    text = page.read_text(encoding="utf-8")
    assert "@import" not in text and "url(" not in text
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    assert f'content="{policy(script)}"'.replace("'", "&#39;") in text and "default-src 'none'" in policy(script)


def test_what_is_missing_names_its_stage(tmp_path, recipe):
    """An experiment at its beginning, and one whose data directories are gone."""
    (tmp_path / "exp/new").mkdir(parents=True)
    (tmp_path / "exp/new/config.yaml").write_text("model: jasper\n")
    found = parsed(write_page([tmp_path / "exp/new"])[0])
    for what in (
        "scored yet: stage 6",
        "curves yet: stage 3 (training)",
        "layers yet: stage 4 (conversion)",
        "stage 6 (decoding and scoring) writes",
    ):
        assert what in found.text, what
    shutil.copytree(recipe / "exp/system", tmp_path / "moved")
    path, budget = write_page([tmp_path / "moved"])
    assert path == tmp_path / "moved/page.html" and budget.sounds == 0
    assert "data directory of the references is not here (stage 1 makes it)" in parsed(path).text and "audio" not in dict(parsed(path).tags)


def test_sound_is_bounded(recipe, tmp_path):
    whole = write_page([recipe / "exp/system"], tmp_path / "whole.html")[1]
    path, part = write_page([recipe / "exp/system"], tmp_path / "part.html", megabytes=whole.used / 2e6)
    assert 0 < part.sounds < whole.sounds and part.used <= whole.used / 2 + 1
    assert "--megabytes" in parsed(path).text and len(path.read_bytes()) < len((tmp_path / "whole.html").read_bytes()) - part.used / 2
    assert write_page([recipe / "exp/system"], tmp_path / "none.html", worst=3, megabytes=0)[1].sounds == 0
    assert (tmp_path / "none.html").read_text(encoding="utf-8").count("<article") == 3 + 1, "test, and mandarin, where one has an error"


def test_why_a_recording_is_left_out(recipe, tmp_path):
    """Commands are not run; a file and an utterance may be gone; another utterance keeps its sound."""
    copy = shutil.copytree(recipe, tmp_path / "copy")
    lines = {"anna-00": f"touch {tmp_path}/run && cat wav/test.wav |", "anna-06": "wav/gone.wav", "ben-02": None}
    for name in ("wav.scp", "utt2spk"):
        rows = dict(line.split(" ", 1) for line in (copy / "data/test" / name).read_text().splitlines())
        rows |= lines if name == "wav.scp" else {"ben-02": None}
        (copy / "data/test" / name).write_text("".join(f"{utt} {value}\n" for utt, value in rows.items() if value))
    path, _ = write_page([copy / "exp/system"], tmp_path / "page.html")
    articles = {re.search(r">([^<]*)</h4>", one)[1]: one for one in re.findall(r"<article.*?</article>", path.read_text("utf-8"), re.DOTALL)}
    assert "has a command for it, which is not run" in articles["anna-00"] and not (tmp_path / "run").exists()
    assert "No sound: utterance anna-06:" in articles["anna-06"] and "wav/gone.wav" in articles["anna-06"]
    missing = [utt for utt, article in articles.items() if "has no such utterance any more" in article]
    assert missing == ["ben-02"] and "data:audio/wav" in articles["anna-03"]


def test_command(recipe, tmp_path, capsys):
    command.main(
        [
            str(recipe / "exp/system"),
            str(recipe / "exp/../exp/system"),
            "--siblings",
            "true",
            "--out",
            str(tmp_path / "a b.html"),
            "--title",
            "标题 <x>",
        ]
    )
    assert re.fullmatch(r".*a b.html: [\d,]+ kB, \d+ recordings: open it in a browser\n", capsys.readouterr().out)
    found = parsed(tmp_path / "a b.html")
    assert "标题 <x>" in found.text and set(found.column("results", "system")) == {"system", "other"}
    with pytest.raises(UserError, match="no such experiment"):
        command.main([str(tmp_path / "nowhere")])
    with pytest.raises(UserError, match="not the folder of an experiment"):
        command.main([str(recipe / "data")])
    with pytest.raises(SystemExit):
        command.main([str(recipe / "exp/system"), "--worst", "-1"])
    (tmp_path / "exp").mkdir()
    shutil.copytree(recipe / "exp/system", tmp_path / "exp/damaged")
    (tmp_path / "exp/damaged/decode_beam/test/score_wer/per_utt.tsv").write_text("nonsense\n1\n")
    with pytest.raises(UserError, match="per_utt.tsv: not a table of the score command"):
        command.main([str(tmp_path / "exp/damaged")])


def test_long_names_are_shown_without_their_common_beginning(recipe, tmp_path):
    for name in ("system", "other"):
        shutil.copytree(recipe / "exp" / name, tmp_path / f"asr_conformer_max_epoch=3_{name}")
    found = parsed(write_page([tmp_path / f"asr_conformer_max_epoch=3_{name}" for name in ("system", "other")])[0])
    assert set(found.column("results", "system")) == {"…_system", "…_other"} and "compared with asr_conformer_max_epoch=3_other" in found.text
    assert [one["name"] for one in found.charts["training-rate"]["series"]] == ["…_system: learning rate", "…_other: learning rate"]


def test_mandarin_sets_are_analysed_by_characters(html):
    assert "mandarin, beam, CER" in html.text and sum(map(int, html.column("set0-lengths", "sentences"))) == len(MANDARIN)
