"""Golden values: ten updates of a small network of every family, and killed runs that resume exactly.

golden.json was written by the code that still had two training loops (commit b83989c), except for intended changes since: loss and frames are those
of a whole update if batches are accumulated, epochs are fractions in pretraining, DeepSpeech2's batch normalisation leaves out the padding, the
moving average includes its statistics, and Jasper has dropout and a mean over fewer batches in the last update of an epoch. These tests run the
commands and read their output. They do not import the code under test, so that they stay the same when it is moved. Write the file again only for an
intended change of the results:

    python -m tests.ms.test_golden tests/ms/golden.json

DeepSpeech2 and Jasper, without compiled kernels, and killed runs: tests/run.sh --recipes true, or pytest with this file.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file, save_file

GOLDEN = Path(__file__).with_name("golden.json")
UPDATES = 10
TOLERANCE = 1e-5  # relative; other instruction sets and plain operators differed by up to 4e-6
SLOW = pytest.mark.recipe  # minutes to compile: not in every run of all tests
TONE_RATE, RATE = 2000, 16000
TONES = {"A": 200, "B": 400, "C": 700}
TRAIN, VALID = ("AB", "CA", "BC", "BB", "AA", "CB", "A CBA", "BACAB", "ABC BACB"), ("BA", "CB")  # three padded lengths, and one
SECONDS = (0.3, 0.28, 0.31, 0.26, 0.32, 0.24, 0.6, 0.9)  # the same for the voices

CTC = "batch.buckets=3 batch.batch_size=2 trainer.log_interval=1 trainer.save_interval=0"
DEEPSPEECH2 = f"{CTC} features.sample_rate={TONE_RATE} model_conf.conv_channels=2 model_conf.hidden_size=8"
LOGMEL = f"features.sample_rate={TONE_RATE} features.n_fft=64 features.num_mels=8 features.dither=0"
JASPER = (
    f"{CTC} {LOGMEL} model_conf.repeat=2 model_conf.blocks=1 model_conf.filters=[6] model_conf.kernels=[3] model_conf.dropouts=[0.2] "
    "model_conf.prologue_filters=6 model_conf.prologue_kernel=3 model_conf.prologue_dropout=0.2 "
    "model_conf.epilogue_filters=[8,8] model_conf.epilogue_kernel=3 model_conf.epilogue_dropout=0.4"
)
HOP, FIELD = 320, 325  # samples from frame to frame, and that a frame sees
WAVEFORMS = (
    "model_conf.conv_kernels=[10,8,8] model_conf.conv_strides=[5,8,8] model_conf.conv_channels=8 model_conf.dim=16 model_conf.ffn_dim=24 "
    "model_conf.heads=2 model_conf.conv_pos=8 model_conf.conv_pos_groups=2 model_conf.final_dim=8 model_conf.layerdrop=0.3 "
    "mask.length=3 mask.prob=0.5 batch.batch_seconds=0.7 batch.max_seconds=0.8 batch.min_seconds=0.2 batch.buckets=3 "
    f"trainer.updates={UPDATES} trainer.log_interval=1 trainer.valid_interval=5 trainer.save_interval=0"
)
ADAMW = "optim.name=adamw optim.learning_rate=1e-3 optim.betas=[0.9,0.98] optim.eps=1e-6 optim.weight_decay=0.01"
LINEAR = "schedule.name=linear schedule.warmup_steps=3"
# The old pretraining loop left the network in evaluation mode, without dropout, until its first validation. Families for which that matters are
# validated at the start.
NO_DROPOUT = "model_conf.dropout=0 model_conf.attention_dropout=0 model_conf.dropout_input=0"
VALIDATED_FIRST = "trainer.keep_updates=[0]"
# Family -> command, `model` of its configuration, overrides. Each combination of a padded length and of whether a batch ends an update was compiled
# by itself, which takes nearly all of the time: the seeds were chosen for runs that have all three lengths, but few combinations.
RUNS = {
    "deepspeech2": (
        "train",
        "deepspeech2",
        f"{DEEPSPEECH2} model_conf.hidden_layers=1 augment.spec_augment=true augment.time_mask_width=8 augment.freq_mask_width=4 optim.name=adamw "
        "optim.learning_rate=1e-2 schedule.name=cosine trainer.ema=0.8 trainer.epochs=2 trainer.seed=7",
    ),
    "deepspeech2_gru": (
        "train",
        "deepspeech2",
        f"{DEEPSPEECH2} model_conf.hidden_layers=2 model_conf.rnn_type=gru model_conf.rnn_norm=layer model_conf.bidirectional=false "
        "model_conf.lookahead_context=3 optim.name=sgd optim.learning_rate=1e-2 optim.grad_clip=5 schedule.name=anneal schedule.warmup_steps=3 "
        "trainer.valid_interval=2 trainer.epochs=2 trainer.seed=8",
    ),
    "jasper": (
        "train",
        "jasper",
        f"{JASPER} optim.name=novograd optim.learning_rate=1e-2 optim.betas=[0.95,0.5] optim.weight_decay=1e-3 optim.accumulate=2 optim.grad_clip=2 "
        "schedule.name=hold schedule.hold_epochs=1 schedule.decay=0.5 trainer.ema=0.9 trainer.valid_interval=2 trainer.epochs=4 trainer.seed=5",
    ),
    "hubert": (
        "pretrain",
        "hubert",
        f"{WAVEFORMS} model_conf.num_classes=4 model_conf.layers=1 {NO_DROPOUT} {ADAMW} optim.accumulate=2 optim.grad_clip=1 "
        f"{LINEAR} loss.unmasked_weight=0.5 trainer.seed=25",
    ),
    "progre": (
        "pretrain",
        "progre",
        f"{WAVEFORMS} model_conf.num_classes=4 model_conf.layers=2 model_conf.speaker_layer=0 model_conf.pitch_channels=8 model_conf.pitch_hidden=4 "
        f"model_conf.speaker_bottleneck=8 model_conf.layer_norm_first=true {ADAMW} optim.grad_clip=10 {LINEAR} {VALIDATED_FIRST} trainer.seed=107",
    ),
    "wav2vec2": (
        "pretrain",
        "wav2vec2",
        f"{WAVEFORMS} model_conf.layers=1 model_conf.codewords=8 model_conf.code_dim=8 model_conf.extractor_mode=layer model_conf.normalize=true "
        "loss.negatives=5 loss.temperature_decay=0.9 optim.name=adam optim.learning_rate=1e-3 optim.betas=[0.9,0.999] optim.eps=1e-8 "
        "optim.weight_decay=1e-5 optim.accumulate=2 optim.grad_clip=0 "
        f"{LINEAR} {VALIDATED_FIRST} trainer.seed=72",
    ),
}
KILLED = {"deepspeech2": 8, "jasper": 8, "hubert": 9, "wav2vec2": 9}  # killed before this state is saved, after a validation

# Runs commands [[name, argument, ...], ...] in one process, also after one that fails. kill > 0: SIGKILL when the state with that number is written
# but not yet put in place.
PROGRAM = """
import importlib, json, os, signal, sys, traceback
kill, commands = json.loads(sys.argv[1])
states = 0
def hook(event, arguments):
    global states
    if event == "os.rename" and str(arguments[1]).endswith("state.safetensors"):
        states += 1
        if states == kill:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
failed = 0
for name, *arguments in commands:
    try:
        importlib.import_module("asrlib.bin." + name).main(arguments)
    except Exception:
        failed = 1
        traceback.print_exc()
sys.exit(failed)
"""


def run(folder: Path, commands: list[list[str]], kernels: bool = True, kill: int = 0) -> subprocess.CompletedProcess:
    """Runs commands one after the other in one new process; with one thread and one instruction set, so that most machines give equal rounding."""
    settings = {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    settings |= {} if kernels else {"ASRLIB_KERNELS": "0"}
    environment = {name: value for name, value in os.environ.items() if name != "ASRLIB_KERNELS"} | settings
    words = [sys.executable, "-c", PROGRAM, json.dumps([kill, commands])]
    return subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def write_tables(data: Path, **tables: dict[str, str]) -> None:
    """Tables of a Kaldi directory."""
    data.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        (data / name.replace("_", ".")).write_text("".join(f"{utt} {value}\n" for utt, value in sorted(rows.items())))


def make_tones(folder: Path) -> None:
    """folder/tones/{train,valid} and the token list: 0.06 s of a tone for each letter, 0.03 s of silence for each space."""
    for name, texts in (("train", TRAIN), ("valid", VALID)):
        rng = np.random.default_rng(len(texts))
        wavs = {f"{name}-{i}": folder / "tones" / f"{name}-{i}.wav" for i in range(len(texts))}
        (folder / "tones").mkdir(exist_ok=True)
        for wav, text in zip(wavs.values(), texts, strict=True):
            parts = [0.3 * np.sin(2 * np.pi * TONES.get(c, 0) * np.arange(int((0.03 if c == " " else 0.06) * TONE_RATE)) / TONE_RATE) for c in text]
            sound = np.concatenate(parts)
            soundfile.write(wav, sound + 0.01 * rng.normal(size=sound.size), TONE_RATE)
        tables = {"wav_scp": {utt: str(wav) for utt, wav in wavs.items()}, "text": dict(zip(wavs, texts, strict=True))}
        write_tables(folder / "tones" / name, **tables, utt2spk=dict.fromkeys(wavs, name))
    (folder / "tokens.txt").write_text("A\nB\nC\n<space>\n<blank>\n")


def feature_commands(folder: Path) -> list[list[str]]:
    """The commands that extract the features of the tones: folder/{spectrogram,logmel}/{train,valid}."""
    commands = []
    for model, kind, overrides in (("deepspeech2", "spectrogram", f"features.sample_rate={TONE_RATE}"), ("jasper", "logmel", LOGMEL)):
        for name in ("train", "valid"):
            folders = ["--data_dir", str(folder / "tones" / name), "--dump_dir", str(folder / kind / name)]
            commands.append(["extract_features", "--train_config", config_file(folder, model), "--train_args", overrides, *folders])
    return commands


def make_voices(folder: Path) -> None:
    """folder/voices/{train,valid}: buzzing by two speakers, with random targets: cluster, pitch and speaker."""
    for name, lengths in (("train", SECONDS), ("valid", SECONDS[:2])):
        rng = np.random.default_rng(len(lengths))
        data = folder / "voices" / name
        data.mkdir(parents=True)
        wavs, speakers, labels, pitch = {}, {}, {}, {}
        for i, seconds in enumerate(lengths):
            utt, speaker = f"s{i % 2}-{name}{i}", i % 2
            t = np.arange(int(RATE * seconds)) / RATE
            sound = sum(np.sin(2 * np.pi * k * (120 + 90 * speaker + 20 * i) * t) / k for k in range(1, 8)) * 0.1 + 0.01 * rng.normal(size=t.size)
            soundfile.write(data / f"{utt}.wav", sound, RATE)
            wavs[utt], speakers[utt] = str(data / f"{utt}.wav"), speaker
            frames = 1 + (t.size - FIELD) // HOP
            labels[utt] = np.repeat(rng.integers(4, size=frames // 3 + 1), 3)[:frames].astype(np.uint16)
            pitch[utt] = (rng.normal(size=frames) * (rng.random(frames) < 0.7)).astype(np.float32)
        write_tables(data, wav_scp=wavs, utt2spk={utt: utt[:2] for utt in wavs})
        save_file(labels, data / "clusters.safetensors")
        save_file(pitch, data / "pitch.safetensors")
        (data / "speakers.json").write_text(json.dumps({"classes": 2, "utterances": speakers}))


def config_file(folder: Path, model: str) -> str:
    """A configuration file that names the model; all else are overrides."""
    path = folder / f"{model}.yaml"
    path.write_text(f"model: {model}\n")
    return str(path)


def command(folder: Path, family: str, exp_dir: Path) -> list[str]:
    """The command that trains a family in exp_dir."""
    name, model, overrides = RUNS[family]
    words = [name, f"--{name}_config", config_file(folder, model), f"--{name}_args", overrides, "--exp_dir", str(exp_dir)]
    if name == "train":
        data = folder / ("logmel" if model == "jasper" else "spectrogram")
        words += ["--tokens", str(folder / "tokens.txt")]
    else:
        data = folder / "voices"
    words += ["--train_dir", str(data / "train"), "--valid_dir", str(data / "valid")]
    if model in ("hubert", "progre"):
        words += ["--train_targets", str(data / "train"), "--valid_targets", str(data / "valid")]
    return words


def make_corpora(folder: Path) -> None:
    """All data that the families need."""
    make_tones(folder)
    make_voices(folder)
    done = run(folder, feature_commands(folder))
    assert done.returncode == 0, done.stderr[-3000:]


def history(exp_dir: Path) -> list[dict]:
    """The rows of history.jsonl without those columns that differ from run to run."""
    rows = [json.loads(line) for line in (exp_dir / "history.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if "seconds" not in key and "memory" not in key} for row in rows]


def measured(exp_dir: Path) -> dict:
    """Columns of the first ten updates, the last validation, the source of the final weights, and mean and norm of some of them in float64.

    Weights: of those with two axes or more, in the order of their names, five evenly spaced ones; the first moving mean and variance.
    """
    rows, arrays, summary = history(exp_dir), load_file(exp_dir / "model.safetensors"), exp_dir / "model.json"
    updates, validations = ([row for row in rows if key in row] for key in ("loss", "valid_loss"))
    matrices = sorted(name for name, array in arrays.items() if array.ndim >= 2)
    chosen = [matrices[round(i * (len(matrices) - 1) / 4)] for i in range(5)]
    for end in ("moving_mean", "moving_variance"):
        chosen += sorted(name for name in arrays if name.endswith(end))[:1]
    return {
        "updates": {key: [row[key] for row in updates[:UPDATES]] for key in updates[0]},
        "validation": validations[-1],
        "source": json.loads(summary.read_text())["source"] if summary.exists() else "",
        "weights": {name: statistics(arrays[name]) for name in chosen},
    }


def statistics(array: np.ndarray) -> dict[str, float]:
    """Size, mean and L2 norm."""
    array = array.astype(np.float64)
    return {"size": array.size, "mean": float(array.mean()), "norm": float(np.sqrt((array**2).sum()))}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    """Folder of tones and voices; to be read only."""
    folder = tmp_path_factory.mktemp("golden")
    make_corpora(folder)
    return folder


def selected(request, runs: str) -> list[str]:
    """The families of the selected tests that need these runs."""
    tests = [item for item in request.session.items if item.module is request.module]
    return [family for family in RUNS if any(item.callspec.params["family"] == family and runs in needs(item) for item in tests)]


def needs(item: pytest.Item) -> tuple[str, ...]:
    """The fixtures of a test, those that its parameter names included."""
    return *item.fixturenames, item.callspec.params.get("runs", "")


def train(folder: Path, families: Iterable[str], kernels: bool) -> Path:
    """Trains families; returns the folder of their experiments, which also has the log."""
    exps = folder / ("compiled" if kernels else "plain")
    done = run(folder, [command(folder, family, exps / family) for family in families], kernels)
    (exps / "log").write_text(done.stderr)
    return exps


@pytest.fixture(scope="module")
def compiled_runs(request, corpora) -> Path:
    """Experiments with compiled kernels (where there is a compiler); to be read only."""
    return train(corpora, selected(request, "compiled_runs"), True)


@pytest.fixture(scope="module")
def plain_runs(request, corpora) -> Path:
    """The same with MindSpore's own operators."""
    return train(corpora, selected(request, "plain_runs"), False)


def assert_golden(found: dict, golden: dict) -> None:
    """Columns, scores and weights that are new since the golden values were written are ignored."""
    for key, column in golden["updates"].items():
        assert found["updates"][key] == pytest.approx(column, rel=TOLERANCE, abs=1e-9), key
    assert {key: found["validation"][key] for key in golden["validation"]} == pytest.approx(golden["validation"], rel=TOLERANCE, abs=1e-9)
    for name, values in golden["weights"].items():
        mine, deviation = found["weights"][name], values["norm"] / values["size"] ** 0.5
        assert mine["size"] == values["size"] and mine["norm"] == pytest.approx(values["norm"], rel=TOLERANCE), name
        assert mine["mean"] == pytest.approx(values["mean"], abs=TOLERANCE * deviation), name
    assert found["source"] == golden["source"]


CTC_FAMILIES = ("deepspeech2", "deepspeech2_gru", "jasper")


@pytest.mark.parametrize("family", [pytest.param(family, marks=SLOW if family in CTC_FAMILIES else []) for family in RUNS])
@pytest.mark.parametrize("runs", ["compiled_runs", pytest.param("plain_runs", marks=SLOW)])
def test_golden_values(request, runs, family):
    """Losses, rates and gradient norms of ten updates, the last validation and the final weights."""
    exps = request.getfixturevalue(runs)
    assert (exps / family / "model.safetensors").exists(), (exps / "log").read_text()[-5000:]
    assert_golden(measured(exps / family), json.loads(GOLDEN.read_text())[family])


@pytest.fixture(scope="module")
def resumed(request, corpora) -> Path:
    """Experiments that were killed and resumed."""
    exps, families, begun = corpora / "resumed", selected(request, "resumed"), {}
    for family in families:
        done = run(corpora, [command(corpora, family, exps / family)], kill=KILLED[family])
        assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
        assert not (exps / family / "model.safetensors").exists() and (exps / family / "state.safetensors").exists()
        begun[family] = first_row(exps / family)
    done = run(corpora, [command(corpora, family, exps / family) for family in families])
    assert done.returncode == 0, done.stderr[-3000:]
    assert begun == {family: first_row(exps / family) for family in families}, "the runs started over"
    return exps


def first_row(exp_dir: Path) -> str:
    """It has the duration of the first update, which identifies a run."""
    return (exp_dir / "history.jsonl").read_text().splitlines()[0]


@SLOW
@pytest.mark.parametrize("family", KILLED)
def test_resumes_exactly(compiled_runs, resumed, family):
    """After SIGKILL the same command gives, bit by bit, the weights, optimizer state, checkpoints and history of a run that was not killed."""
    mine, theirs = resumed / family, compiled_runs / family
    files, expected = (sorted(str(path.relative_to(exp)) for path in exp.rglob("*.safetensors")) for exp in (mine, theirs))
    assert files == expected and {"model.safetensors", "state.safetensors"} < set(files)
    for name in files:
        one, two = load_file(mine / name), load_file(theirs / name)
        assert one.keys() == two.keys() and all(one[key].tobytes() == two[key].tobytes() for key in two), name
    assert history(mine) == history(theirs)


def write_golden(path: Path) -> None:
    """Writes golden.json: nine digits, a line for each column."""
    with tempfile.TemporaryDirectory() as folder:
        make_corpora(Path(folder))
        exps = train(Path(folder), RUNS, True)
        text = json.dumps({family: measured(exps / family) for family in RUNS})
    values = json.loads(text, parse_float=lambda digits: float(f"{float(digits):.9g}"))
    lines = re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda inner: " ".join(inner[0].split()), json.dumps(values, indent=1))
    path.write_text(lines + "\n")


if __name__ == "__main__":
    write_golden(Path(sys.argv[1]))
