"""Benchmarks run on tiny sizes and write complete tables; their times are not tested."""

import json
import multiprocessing
import os
import subprocess
import sys

import pytest

from asrlib.utils.errors import UserError

TINY = ["--train_args", "model_conf.conv_channels=1", "model_conf.hidden_size=4", "model_conf.hidden_layers=1", "--frames", "30", "--labels", "3"]
TINY_HUBERT = ["conv_channels=4", "dim=8", "ffn_dim=8", "heads=2", "layers=1", "conv_pos=8", "conv_pos_groups=2", "final_dim=4", "num_classes=5"]
TINY_WAV2VEC2 = ["--pretrain_args", *(f"model_conf.{word}" for word in TINY_HUBERT[:-1]), "model_conf.code_dim=4", "model_conf.codewords=4"]
RUNS = {
    "pretrain_step": (
        ["--seconds", "0.5", "--cases", "asrlib,torch,logmel", "--pretrain_args", *(f"model_conf.{word}" for word in TINY_HUBERT)],
        ["asrlib", "torch", "logmel"],
    ),
    "pretrain_step wav2vec2": (
        ["--seconds", "0.5", "--pretrain_config", "conf/wav2vec2_base.yaml", "--cases", "asrlib,torch", *TINY_WAV2VEC2],
        ["asrlib", "torch"],
    ),
    "train_step": (["--cases", "asrlib,torch", *TINY], ["asrlib", "torch"]),
    "features": (["--audio_seconds", "5"], ["asrlib", "librosa", "librosa_short"]),
    "decoding": (["--utterances", "3", "--words", "200", "--beam_size", "16"], ["greedy", "torch_greedy", "beam", "torchaudio_beam"]),
}


def bench(root, name: str, *options: str) -> subprocess.CompletedProcess:
    env = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, root / "tools" / "bench" / f"{name.split()[0]}.py", *options]
    return subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def ran(root, tmp_path_factory):
    """ran(name): the rows of the printed table by case, and the JSON."""
    cache = {}

    def run(name):
        if name not in cache:
            out = tmp_path_factory.mktemp("bench") / f"{name}.json"
            done = bench(root, name, *RUNS[name][0], "--repeats", "2", "--out", str(out))
            assert done.returncode == 0, done.stderr
            cache[name] = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}, json.loads(out.read_text())
        return cache[name]

    return run


@pytest.mark.parametrize("name", RUNS)
def test_table_and_json(ran, name):
    table, facts = ran(name)
    cases = RUNS[name][1]
    assert [result["name"] for result in facts["results"]] == cases
    for result in facts["results"]:
        assert len(result["seconds"]) == 2 and min(result["seconds"]) > 0
        assert result["peak_mb"] > 20
        assert float(table[result["name"]][1]) == pytest.approx(result["median"], rel=1e-3)
    assert table[cases[0]][4] == "1.000"  # times its own time


def test_features_of_all_cases_agree(ran):
    """All cases compute the same."""
    values = [result["value"] for result in ran("features")[1]["results"]]
    assert values == pytest.approx([values[0]] * 3, rel=1e-4)


def test_searches_find_as_much(ran):
    """torchaudio's decoder has the same options and finds hypotheses as good."""
    error_rates = {result["name"]: result["value"] for result in ran("decoding")[1]["results"]}
    assert error_rates["greedy"] == error_rates["torch_greedy"]
    assert error_rates["beam"] == pytest.approx(error_rates["torchaudio_beam"], abs=3.0)
    assert error_rates["beam"] < error_rates["greedy"]


@pytest.mark.recipe
def test_joint_decoding(root):
    """The same texts in both searches; without this the command ends with an error."""
    done = bench(root, "joint_decoding", "--utterances", "2", "--repeats", "1", "--cases", "espnet,asrlib")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "asrlib as many times as fast as espnet" in done.stdout


@pytest.mark.recipe
def test_gains(root):
    """A table for each kind of measure; the cases that read the same features find the same frames."""
    training, data = ("base", "accumulate"), ("waveforms", "archives", "mindrecord", "processes_1")
    options = ["--cases", ",".join([*training, *data]), "--repeats", "1", "--utterances", "3", "--batch_size", "4"]
    done = bench(root, "gains", *options, *TINY[:-2])
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line}
    assert {*training, *data, "training:", "data:", "extraction:"} <= set(rows) and "fp16" not in rows
    assert all(float(rows[name][1]) > 0 for name in (*training, *data)) and {rows[name][8] for name in data} == {"3003"}
    assert float(rows["accumulate"][8]) == pytest.approx(float(rows["base"][8]), rel=0.2)


def test_startup(root):
    done = bench(root, "startup", "--repeats", "1", "--cases", "python,help")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:4]] == ["case", "python", "help"]
    done = bench(root, "startup", "--cases", "python,helps")
    assert done.returncode == 1 and "no case 'helps'" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.recipe
def test_training_table(root):
    done = bench(root, "training_table", "--steps", "mini jasper", "--repeats", "1", "--load", "1")
    assert done.returncode == 0, done.stderr
    row = done.stdout.splitlines()[-1].split("|")
    assert row[1].startswith("mini Jasper") and float(row[2]) > 0 and len(row) == 9
    assert bench(root, "training_table", "--steps", "rnn-t").returncode == 1


def test_published_network_runs(root):
    done = bench(root, "train_step", "--cases", "published", *TINY, "--repeats", "2", "--published_repeats", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[0] == "published"


@pytest.mark.parametrize(("options", "message"), [(["--cases", "asrlib,nemo"], "no case 'nemo'"), (["--repeat", "3"], "did you mean --repeats")])
def test_wrong_options(root, options, message):
    done = bench(root, "features", *options)
    assert done.returncode in (1, 2) and message in done.stderr and "Traceback" not in done.stderr


@pytest.fixture
def common(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools" / "bench"))
    import common

    return common


def test_strict(common):
    missed, met = common.Bar("a over b", 1.2, 1.0), common.Bar("b over a", 1.2, 1.0, at_least=True)
    common.report_bars([missed, met], strict=False)
    common.report_bars([met], strict=True)
    with pytest.raises(UserError, match="1 of 2 targets missed"):
        common.report_bars([missed, met], strict=True)


def idle():
    return lambda: sum(i for i in range(300_000))


def test_load(common):
    """Every round has a second measurement beside busy processes, which end with it."""
    results = common.measure([common.Case(name, idle) for name in ("a", "b")], 3, load=2)
    assert [len(result.loaded_seconds) for result in results.values()] == [3, 3] and results["a"].loss > 0
    (bar,) = common.load_bar(results["a"], results["b"])
    assert bar.limit == 1.2 and bar.ratio == results["a"].loss / results["b"].loss
    assert common.load_bar(common.Result("a", 0.0, 0.0), results["b"]) == []
    assert not multiprocessing.active_children()


def broken():
    raise RuntimeError("no such kernel")


def test_a_case_that_fails_ends_the_run(common, capfd):
    with pytest.raises(UserError, match="case worse ended with exit code 1"):
        common.measure([common.Case("worse", broken)], 1)
    assert "no such kernel" in capfd.readouterr().err


def thread_setting():
    return lambda: int(os.environ["OMP_NUM_THREADS"]) + 10 * ("ONEDNN_MAX_CPU_ISA" in os.environ)


def test_environment_of_a_case(common, monkeypatch):
    """A case has its own variables, without the limit on oneDNN that the shell or an import of asrlib.ms has set."""
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    result = common.measure([common.Case("threads", thread_setting, env={"OMP_NUM_THREADS": "3"})], 2)["threads"]
    assert result.value == 3 and len(result.seconds) == 2
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"


def test_ratios_are_within_rounds(common):
    """The machine was twice as slow in the second of three rounds; the other case ran two rounds only."""
    a = common.Result("a", 0.0, 0.0, seconds=[1.0, 2.0, 1.0])
    b = common.Result("b", 0.0, 0.0, seconds=[3.0, 6.0])
    assert b.over(a) == 3.0 and a.over(b) == pytest.approx(1 / 3)
    assert common.Bar("b over a", 3.0, 2.0, at_least=True).met and not common.Bar("b over a", 3.0, 2.0).met


def test_large_corpus(root, tmp_path):
    """Commands and tables of two tiny corpora, the table of both, and no measurement twice."""
    cases = ["score, words", "concat_data", "prepare_data, headers"]
    options = ["--work", str(tmp_path), "--utterances", "40", "80", "--cases", *cases]
    done = bench(root, "large_corpus", *options)
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows[2:]] == cases and all(float(row[3]) > 0 for row in rows[2:])
    assert all(row[1].endswith(" GB") for row in rows[2:]) and bench(root, "large_corpus", *options).stdout == done.stdout
    assert len((tmp_path / "80" / "text").read_text().splitlines()) == 80 and (tmp_path / "40" / "out" / "word" / "result.json").exists()
    assert len((tmp_path / "80" / "out" / "data" / "train" / "utt2dur").read_text().splitlines()) == 79
    sizes = ["--utterances", "40", "80", "80000000"]
    shown = bench(root, "large_corpus", "--work", str(tmp_path), *sizes, "--most_seconds", "60", "--cases", *cases).stdout
    assert [line.split(" | ")[3] for line in shown.splitlines()[2:]] == ["-"] * 3, "what would take longer is left out"
