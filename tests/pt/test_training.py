"""Fine-tuning in two processes (gloo on the CPU): the weights of one process, resumed after either is killed; errors with what to set."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from asrlib.bin import dump_speech, finetune, make_tokens
from asrlib.pt import training
from asrlib.pt.device import Device
from asrlib.pt.training import EpochProgress, train
from asrlib.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
# No dropout, no masks and no batch normalisation: each process has its own. SGD: the gradients of the keys' biases are 0 but for rounding, which Adam
# would divide by its own size
TINY = (
    "num_workers=0 batch_type=unsorted log_interval=1 keep_nbest_models=4 specaug=null specaug_conf=null preencoder_conf.output_size=8 "
    "encoder_conf.output_size=8 encoder_conf.attention_heads=2 encoder_conf.linear_units=8 encoder_conf.num_blocks=1 "
    "encoder_conf.use_cnn_module=false encoder_conf.dropout_rate=0 encoder_conf.positional_dropout_rate=0 decoder_conf.attention_heads=2 "
    "decoder_conf.linear_units=8 decoder_conf.num_blocks=1 decoder_conf.dropout_rate=0 decoder_conf.positional_dropout_rate=0 "
    "optim=sgd optim_conf.lr=1e-2 scheduler_conf.warmup_steps=4"
)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def dumps(tones_dir, progre_package, tmp_path_factory):
    """12 utterances of training, 3 of validation."""
    out = tmp_path_factory.mktemp("dumps")
    options = ["--data_dirs", f"{tones_dir / 'train'} {tones_dir / 'dev'}", "--upstream", "progre_local", "--upstream_model", str(progre_package)]
    dump_speech.main([*options, "--shortest", "0.5", "--out", str(out), "--nj", "1"])
    make_tokens.main(["--text", str(tones_dir / "train/text"), "--out", str(out / "tokens.txt")])
    return out


@pytest.fixture(scope="module")
def words(dumps, progre_package):
    """words(exp_dir, asr_args, option...): a fine-tuning, as arguments of the command."""

    def words(exp_dir, asr_args, *more):
        data = ["--train_dir", dumps / "train", "--valid_dir", dumps / "dev", "--tokens", dumps / "tokens.txt", "--exp_dir", exp_dir]
        upstream = ["--upstream", "progre_local", "--upstream_model", progre_package, "--asr_device", "cpu"]
        config = ["--asr_config", ROOT / "conf/mini/asr_conformer.yaml", "--asr_args", f"{TINY} {asr_args}"]
        return [str(word) for word in (*config, *data, *upstream, *more)]

    return words


def run(words):
    done = subprocess.run([sys.executable, "-m", "asrlib.bin.finetune", *words], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def state(path):
    return torch.load(path, weights_only=True)


def assert_same(exp_dir, other, epochs):
    for epoch in range(1, epochs + 1):
        weights = state(other / f"{epoch}epoch.pth")
        for name, tensor in state(exp_dir / f"{epoch}epoch.pth").items():
            torch.testing.assert_close(tensor, weights[name], rtol=0, atol=1e-5, msg=lambda text, name=name, epoch=epoch: f"{epoch}, {name}: {text}")


@pytest.fixture(scope="module")
def two(words, tmp_path_factory):
    """Two processes, of which the second was killed in the second epoch, then the first in the third."""
    exp_dir = tmp_path_factory.mktemp("two") / "asr"
    command = [sys.executable, "-m", "asrlib.bin.finetune", *words(exp_dir, "batch_size=12 max_epoch=4", "--ngpu", 2)]
    for rank, epoch in ((1, 1), (0, 2)):
        process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (exp_dir / f"{epoch}epoch.pth").exists():
            time.sleep(0.02)
        os.kill(ranks(process.pid)[rank], signal.SIGKILL)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 1, said
        wanted = f"finetune: error: process {rank} was killed by SIGKILL (out of memory?): run the same command again to resume"
        assert said.splitlines()[-1] == wanted, said
    run(command[3:])
    return exp_dir


def ranks(pid):
    """Ids of the processes of a training, in the order of their start."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]


@pytest.mark.recipe  # two minutes
def test_two_processes_have_the_weights_of_one_that_accumulates(two, words, tmp_path):
    """An epoch is an update: of two batches one after the other, or of one batch that two processes divide."""
    finetune.main(words(tmp_path, "batch_size=6 accum_grad=2 max_epoch=4"))
    assert_same(two, tmp_path, 4)
    begin, end = state(two / "1epoch.pth"), state(two / "4epoch.pth")
    assert max((begin[name].float() - end[name].float()).abs().max() for name in begin) > 1e-3, "they have learnt"
    assert (two / "train.log").read_text().count("The training was resumed") == 2


@pytest.mark.parametrize(
    ("asr_args", "options", "message"),
    [
        ("use_amp=true", [], "^use_amp=true: mixed precision needs a card, and this fine-tuning is on the CPU: remove it, or give --asr_device cuda"),
        ("", ["--asr_device", "npu"], "^--asr_device npu: torch_npu is not installed"),
        ("", ["--asr_device", "cuda", "--ngpu", "0"], "^--ngpu 0 is the CPU, and --asr_device is cuda: give one of them$"),
        ("ngpu=2", [], r"asr_conformer.yaml or --asr_args: ngpu is set by --ngpu \(recipes: --asr_ngpu\), which starts the processes: remove ngpu$"),
    ],
)
def test_what_cannot_be_done_is_said_first(words, tmp_path, asr_args, options, message):
    with pytest.raises(UserError, match=message):
        finetune.main(words(tmp_path, asr_args, *options))
    assert not (tmp_path / "asr.yaml").exists()


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (
            {"batch_type": "numel", "batch_bins": 8000, "accum_grad": 2},
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
            '; give --asr_args "batch_bins=4000 accum_grad=4" for the same updates with half of the memory, or use_amp=true on a card$',
        ),
        ({"batch_size": 3, "use_amp": True}, RuntimeError("CUDA error: out of memory"), r'"batch_size=1 accum_grad=2" .* half of the memory$'),
        ({}, RuntimeError("The batch-size must be equal or more than world_size: 1 < 2"), r"; give a smaller --ngpu \(recipes: --asr_ngpu\)"),
        ({}, ValueError("else"), "^ESPnet failed: ValueError: else: see .*train.log$"),
    ],
)
def test_errors_say_what_to_set(tmp_path, monkeypatch, values, error, message):
    def main(cmd):
        raise error

    monkeypatch.setattr(training.ASRTask, "main", main)
    with pytest.raises(UserError, match=message):
        train(tmp_path / "asr.yaml", values, Device("cpu"), 1)
    assert "Traceback" in (tmp_path / "train.log").read_text()


def test_processes_are_not_started_by_torchrun(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="^WORLD_SIZE is 2, as under torchrun: start one process with --ngpu N"):
        train(tmp_path / "asr.yaml", {}, Device("cpu"), 1)


def test_progress_follows_espnets_log(capsys):
    handler = EpochProgress(2)
    for message in (
        "[train] Batch sampler: NumElementsBatchSampler(N-batch=4, batch_bins=1)",
        "1epoch:train:1-3batch: iter_time=0.1, loss=2.500, acc=0.250",
        "1epoch results: [train] loss=2.0, acc=0.5, time=1 second, [valid] loss=3.0, acc=0.4, cer_ctc=0.9",
    ):
        handler.emit(logging.LogRecord("root", logging.INFO, "", 0, message, None, None))
    assert (handler.bar.n, handler.bar.total) == (4, 8)
    handler.close()
