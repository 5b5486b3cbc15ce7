"""The table of all results, RESULTS.md and the tables in READMEs."""

import json
import statistics
from pathlib import Path

import pytest

from asrlib.bin.results import main
from asrlib.report.records import BEGIN, END, read_records, results_page, with_results, without_seed
from asrlib.report.tables import write_results
from asrlib.score.error_rate import score
from asrlib.score.files import write_score

ROOT = Path(__file__).resolve().parents[2]
REF = {f"u{i}": "ONE TWO THREE FOUR" for i in range(10)}


@pytest.fixture
def checkout(tmp_path):
    recipe = tmp_path / "egs/an4/deepspeech2"
    recipe.mkdir(parents=True)
    (recipe / "README.md").write_text(f"# DeepSpeech2\n\n{BEGIN}\n{END}\n\n## More\n")
    return tmp_path


def experiment(checkout, seed, wrong, seconds=()):
    """An experiment of two words for each wrong utterance."""
    folder = checkout / f"egs/an4/deepspeech2/exp/deepspeech2_seed{seed}"
    hyp = {utt: "ONE TWO FIVE SIX" if i < wrong else text for i, (utt, text) in enumerate(REF.items())}
    write_score(score(REF, hyp, "word"), folder / "decode_greedy/test/score_wer")
    (folder / "config.yaml").write_text(f"trainer: {{seed: {seed}}}\n")
    (folder / ".stages").mkdir()
    for stage, runs in enumerate(seconds, 2):
        (folder / f".stages/{stage}.seconds").write_text(runs)
    write_results(folder, f"./run.sh --corpus_dir /data/an4 --seed {seed}")
    return folder


def add(checkout, *exp_dirs):
    main(["--root", str(checkout), "--recipe", "an4/deepspeech2", "--exp_dirs", "\n".join(map(str, exp_dirs))])


def test_mean_and_deviation_over_seeds(checkout):
    folders = [experiment(checkout, seed, wrong, ("10\n", "20\n7\n")) for seed, wrong in ((1, 1), (2, 2), (3, 4))]
    add(checkout, *folders)
    page, readme = (checkout / "RESULTS.md").read_text(), (checkout / "egs/an4/deepspeech2/README.md").read_text()
    deviation = statistics.stdev([5, 10, 20])
    row = next(line for line in page.splitlines() if line.startswith("|test|greedy|word|"))
    assert f"|{35 / 3:.2f} ± {deviation:.2f}|1 2 3|" in row and "|40|37|" in row
    assert row in readme and "`./run.sh --corpus_dir /data/an4`" in readme and readme.endswith(f"{END}\n\n## More\n")
    assert "## Real speech" in page and "Synthesised" not in page
    assert (checkout / "egs/results.csv").read_text().count("\n") == 4


def test_a_newer_run_of_a_seed_replaces_the_former(checkout):
    add(checkout, experiment(checkout, 1, 1))
    add(checkout, experiment(checkout / "again", 1, 3))
    (record,) = read_records(checkout / "egs/results.csv")
    assert record.rate == 15.0 and record.seed == "1" and record.unit == "word" and record.units == 40
    assert main(["--root", str(checkout)]) is None and read_records(checkout / "egs/results.csv") == [record]


def test_another_command_is_shown(checkout):
    """One without the folders of this machine."""
    command = ["--command", "./run.sh --corpus_dir /corpora/an4 --seed 1"]
    main(["--root", str(checkout), "--recipe", "an4/deepspeech2", "--exp_dirs", str(experiment(checkout, 1, 1)), *command])
    assert "`./run.sh --corpus_dir /corpora/an4`" in (checkout / "RESULTS.md").read_text() and "/data/" not in (checkout / "RESULTS.md").read_text()


def test_what_a_user_can_get_wrong(checkout, capsys):
    folder = experiment(checkout, 1, 1)
    (folder / "results.json").unlink()
    with pytest.raises(Exception, match="results.json is missing: run stage 6"):
        add(checkout, folder)
    (folder / "results.json").write_text(json.dumps([1]))
    with pytest.raises(Exception, match="not written by the report command"):
        add(checkout, folder)
    (checkout / "egs/results.csv").write_text("recipe,data\nan4,real\n")
    with pytest.raises(Exception, match="results.csv, line 2: KeyError"):
        read_records(checkout / "egs/results.csv")
    with pytest.raises(Exception, match="no place for results"):
        with_results("# README", [])
    with pytest.raises(SystemExit):
        main(["--exp_dirs", str(folder)])
    assert "--exp_dirs needs --recipe" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "expected"),
    [("./run.sh --seed 3 --ngram 3", "./run.sh --ngram 3"), ("./run.sh --seed=3", "./run.sh"), ("./run.sh --a 'x y'", "./run.sh --a 'x y'")],
)
def test_without_seed(command, expected):
    assert without_seed(command) == expected


def test_the_pages_of_the_project_are_those_of_its_table():
    records = read_records(ROOT / "egs/results.csv")
    assert (ROOT / "RESULTS.md").read_text() == results_page(records)
    for recipe in {record.recipe for record in records}:
        readme = (ROOT / "egs" / recipe / "README.md").read_text()
        assert readme == with_results(readme, [record for record in records if record.recipe == recipe])
