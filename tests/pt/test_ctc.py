"""Fine-tuning an upstream with CTC only: frozen parts, averaging, resume, decoding, and a sweep over several upstreams."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from asrlib.bin import decode, dump_speech, finetune, finetune_sweep, make_tokens, report_sweep, score, transcribe
from asrlib.config.systems import System, write_systems
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.pt.average import average_epochs, mean_state
from asrlib.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "conf/mini/asr_wav2vec2_ctc.yaml"
TINY = "num_workers=0 batch_bins=40000 max_epoch=3 log_interval=1 optim_conf.lr=1e-2 scheduler_conf.warmup_steps=5"
TINY += " frontend_conf.freeze_finetune_updates=2"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
FROZEN = ("mask_emb", "feature_extractor.", "post_extract_proj.", "encoder.pos_conv.", "final_proj.")


@pytest.fixture(scope="module")
def dumps(tones_dir, hubert_package, tmp_path_factory):
    """Dumps of audio: with this configuration `auto` writes no hidden states."""
    out = tmp_path_factory.mktemp("dumps")
    options = ["--data_dirs", f"{tones_dir / 'train'} {tones_dir / 'dev'}", "--upstream", "hubert_local", "--upstream_model", str(hubert_package)]
    dump_speech.main([*options, "--asr_config", str(CONFIG), "--out", str(out), "--nj", "1"])
    make_tokens.main(["--text", str(tones_dir / "train/text"), "--out", str(out / "tokens.txt")])
    return out


def arguments(dumps, exp_dir, package, *more):
    data = ["--train_dir", dumps / "train", "--valid_dir", dumps / "dev", "--tokens", dumps / "tokens.txt", "--exp_dir", exp_dir]
    words = ["--asr_config", CONFIG, "--asr_args", TINY, *data, "--upstream", "hubert_local", "--upstream_model", package, *more]
    return [str(word) for word in words]


@pytest.fixture(scope="module")
def experiment(dumps, hubert_package, tmp_path_factory):
    """A finished fine-tuning, which was killed after its first epoch and resumed."""
    exp = tmp_path_factory.mktemp("exp") / "asr"
    words = [sys.executable, "-m", "asrlib.bin.finetune", *arguments(dumps, exp, hubert_package)]
    process = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (exp / "1epoch.pth").exists():
        time.sleep(0.05)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    finetune.main(words[3:])
    return exp


def state(path):
    return torch.load(path, weights_only=True)


def test_audio_is_dumped_for_an_upstream_that_is_trained(dumps, tones_dir, hubert_package, tmp_path):
    assert json.loads((dumps / "train/speech.json").read_text())["kind"] == "audio"
    options = ["--data_dirs", str(tones_dir / "dev"), "--out", str(tmp_path), "--nj", "1"]
    options += ["--upstream", "hubert_local", "--upstream_model", str(hubert_package)]
    with pytest.raises(UserError, match="--cache_states true: .*trains the upstream"):
        dump_speech.main([*options, "--asr_config", str(CONFIG), "--cache_states", "true"])
    dump_speech.main([*options, "--asr_config", str(CONFIG), "--asr_args", "freeze_param=[frontend.upstream] frontend_conf.multilayer_feature=true"])
    assert json.loads((tmp_path / "dev/speech.json").read_text())["kind"] == "states"
    words = arguments(dumps, tmp_path / "exp", hubert_package)
    words[words.index("--train_dir") + 1] = str(tmp_path / "dev")
    with pytest.raises(UserError, match="holds hidden states, but .* trains the upstream"):
        finetune.main(words)


def test_updates_are_counted_across_a_kill(experiment):
    """7 batches per epoch, 3 epochs: every epoch's file has the count."""
    batches = int((experiment / "train.log").read_text().split("N-batch=")[1].split(",")[0])
    assert [int(state(experiment / f"{epoch}epoch.pth")["frontend.updates"]) for epoch in (1, 2, 3)] == [batches, 2 * batches, 3 * batches]
    assert (experiment / "train.log").read_text().count("after 2 updates, the upstream is no longer frozen") == 1


def test_what_is_frozen_for_good_and_what_is_trained(experiment, hubert_package):
    trained, before = state(experiment / "3epoch.pth"), state(hubert_package)["model_weight"]
    for name, tensor in before.items():
        same = torch.equal(trained[f"frontend.upstream.upstream.model.{name}"], tensor)
        unused = name.startswith("label_embs")
        assert same == (name.startswith(FROZEN) or unused), name


def test_the_upstream_stays_as_it_is_before_its_first_update(dumps, hubert_package, tmp_path):
    words = arguments(dumps, tmp_path, hubert_package)
    words[words.index("--asr_args") + 1] += " max_epoch=1 frontend_conf.freeze_finetune_updates=1000"
    finetune.main(words)
    trained, before = state(tmp_path / "1epoch.pth"), state(hubert_package)["model_weight"]
    assert all(torch.equal(trained[f"frontend.upstream.upstream.model.{name}"], tensor) for name, tensor in before.items())
    assert not torch.equal(trained["encoder.after_norm.weight"], torch.ones(16))


def test_the_network_is_normalisation_and_a_linear_layer(experiment):
    """The model that takes audio is a plain ESPnet model without our frontend's keys or tensors."""
    trained = state(experiment / "inference/model.pth")
    rest = {name for name in trained if not name.startswith("frontend.")}
    assert rest == {"encoder.after_norm.weight", "encoder.after_norm.bias", "ctc.ctc_lo.weight", "ctc.ctc_lo.bias"}
    config = yaml.safe_load((experiment / "inference/config.yaml").read_text())
    assert (config["frontend"], config["decoder"], "frontend.updates" in trained) == ("s3prl", None, False)
    assert config["encoder_conf"] == {"num_blocks": 0, "input_layer": None, "normalize_before": True, "output_size": 16}
    assert set(config["frontend_conf"]) == {"multilayer_feature", "frontend_conf"}


def test_the_last_epochs_are_averaged(experiment):
    """The last 3 epochs (keep_nbest_models) are averaged; of fewer epochs, all are."""
    epochs, average = [state(experiment / f"{epoch}epoch.pth") for epoch in (1, 2, 3)], state(experiment / "inference/model.pth")
    for name, tensor in average.items():
        expected = sum(epoch[name] for epoch in epochs) / 3
        torch.testing.assert_close(tensor, expected, msg=name)
    assert not torch.equal(average["ctc.ctc_lo.weight"], epochs[-1]["ctc.ctc_lo.weight"])


def test_fewer_epochs_than_are_averaged(experiment, tmp_path):
    shutil.copytree(experiment, tmp_path / "asr", symlinks=True)
    link = tmp_path / "asr/train.total_count.ave.pth"
    link.unlink()
    link.symlink_to("3epoch.pth")  # as ESPnet leaves it
    values = {"best_model_criterion": [["train", "total_count", "max"]]}
    assert average_epochs(tmp_path / "asr", values | {"keep_nbest_models": 3}).resolve().name == "3epoch.pth"
    assert average_epochs(tmp_path / "asr", values | {"keep_nbest_models": 10}).resolve().name == "train.total_count.ave_3best.pth"
    averaged, epochs = state(link), [state(experiment / f"{epoch}epoch.pth") for epoch in (1, 2, 3)]
    torch.testing.assert_close(averaged["ctc.ctc_lo.bias"], sum(epoch["ctc.ctc_lo.bias"] for epoch in epochs) / 3)
    assert averaged["frontend.updates"] == epochs[-1]["frontend.updates"]
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="ESPnet did not write .*: see .*train.log"):
        average_epochs(tmp_path / "none", values)


def test_mean_of_one_file_is_itself(experiment):
    one = state(experiment / "1epoch.pth")
    assert all(torch.equal(tensor, one[name]) for name, tensor in mean_state([experiment / "1epoch.pth"]).items())


def test_a_finished_one_is_left_alone(experiment, dumps, hubert_package, tmp_path, monkeypatch):
    before = (experiment / "inference/model.pth").stat().st_mtime_ns, (experiment / "train.log").stat().st_mtime_ns
    finetune.main(arguments(dumps, experiment, hubert_package))
    assert ((experiment / "inference/model.pth").stat().st_mtime_ns, (experiment / "train.log").stat().st_mtime_ns) == before
    other = tmp_path / "s3prl.pt"
    weights = state(hubert_package)
    weights["model_weight"]["mask_emb"] += 1
    torch.save(weights, other)
    shutil.copytree(experiment, tmp_path / "asr", symlinks=True)
    settings = tmp_path / "asr/asr.yaml"
    settings.write_text(settings.read_text().replace(str(hubert_package), str(other)).replace(str(experiment), str(tmp_path / "asr")))
    monkeypatch.setattr("asrlib.pt.finetune.train", lambda *_: None)
    monkeypatch.setattr("asrlib.pt.finetune._finish", lambda *_: None)
    finetune.main(arguments(dumps, tmp_path / "asr", other))
    assert (tmp_path / "asr/former/1/inference/model.pth").is_file(), "the upstream has changed since"


def test_decoding(experiment, tones_dir, tmp_path):
    """Decoding two sets in two modes in one call gives the hypotheses of single calls."""
    sets = [str(tones_dir / name) for name in ("dev", "train")]
    decode.main(["--exp_dir", str(experiment), "--data_dirs", " ".join(sets), "--modes", "greedy beam", "--out", str(tmp_path), "--nj", "2"])
    decode.main(["--exp_dir", str(experiment), "--data_dirs", sets[1], "--modes", "beam", "--out", str(tmp_path / "alone"), "--nj", "1"])
    for mode in ("greedy", "beam"):
        for name in ("dev", "train"):
            assert read_table(tmp_path / f"decode_{mode}/{name}/text").rows.keys() == KaldiDir.read(tones_dir / name).text.keys()
    assert (tmp_path / "alone/decode_beam/train/text").read_text() == (tmp_path / "decode_beam/train/text").read_text()


def test_decoding_passes_over_what_cannot_be_read(experiment, tmp_path, logged):
    """The others have a hypothesis; the faults are logged once and listed with each mode, and the exit code is 1."""
    rows = {f"a-{number}": str(tmp_path / f"{number}.wav") for number in range(3)}
    for wav in rows.values():
        soundfile.write(wav, 0.1 * np.random.default_rng(0).normal(size=8000), 16000)
    Path(rows["a-1"]).write_bytes(Path(rows["a-1"]).read_bytes()[:-1000])
    for table, value in (("wav.scp", rows), ("utt2spk", dict.fromkeys(rows, "a"))):
        write_table(tmp_path / "eval" / table, value)
    options = ["--exp_dir", str(experiment), "--data_dirs", str(tmp_path / "eval"), "--modes", "greedy beam", "--nj", "1"]
    assert decode.main([*options, "--out", str(tmp_path / "out")]) == 1
    for mode in ("greedy", "beam"):
        folder = tmp_path / f"out/decode_{mode}/eval"
        assert list(read_table(folder / "text").rows) == ["a-0", "a-2"]
        assert re.match("utterance a-1: audio file .*1.wav is truncated", read_table(folder / "bad_utts.txt").rows["a-1"])
    assert sum("passed over: utterance a-1" in line for line in logged) == 1
    assert logged[-1].startswith(f"{tmp_path}/eval: 1 utterances passed over, listed in {tmp_path}/out/decode_greedy/eval/bad_utts.txt")
    for path in rows.values():
        Path(path).write_bytes(b"")
    with pytest.raises(UserError, match="eval: no utterance can be read, utterance a-0"):
        decode.main([*options, "--out", str(tmp_path / "none")])


def test_joint_decoding_has_no_decoder(experiment, tones_dir, tmp_path):
    with pytest.raises(UserError, match="trained with CTC only and has no attention decoder: choose greedy or beam"):
        decode.main(["--exp_dir", str(experiment), "--data_dirs", str(tones_dir / "dev"), "--modes", "joint", "--out", str(tmp_path), "--nj", "1"])


def test_transcribing(experiment, tones_dir, tmp_path):
    audio = sorted(tones_dir.glob("dev*.wav"))
    transcribe.main(["--exp_dir", str(experiment), "--out", str(tmp_path / "out"), *map(str, audio)])
    assert [line.split()[0] for line in (tmp_path / "out").read_text().splitlines()] == ["dev00", "dev01", "dev02"]


def test_transcribing_from_another_folder(experiment, hubert_package, tones_dir, tmp_path, monkeypatch):
    """The path of the upstream is relative to the recipe; a file of its name in the current folder is another one."""
    recipe = tmp_path / "recipe"
    shutil.copytree(experiment / "inference", recipe / "exp/asr/inference")
    config = recipe / "exp/asr/inference/config.yaml"
    values = yaml.safe_load(config.read_text())
    values["frontend_conf"]["frontend_conf"]["path_or_url"] = "exp/hubert/pt/s3prl.pt"
    config.write_text(yaml.safe_dump(values))
    (recipe / "exp/hubert/pt").mkdir(parents=True)
    audio, elsewhere = str(next(tones_dir.glob("dev*.wav"))), tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert transcribe.main(["--exp_dir", str(recipe / "exp/asr"), "--out", "moved", audio]) == 0, "the description of the upstream is enough"
    (recipe / "exp/asr/inference/upstream.json").unlink()  # as fine-tunings before there were descriptions
    with pytest.raises(UserError, match="its upstream exp/hubert/pt/s3prl.pt is missing"):
        transcribe.main(["--exp_dir", str(recipe / "exp/asr"), audio])
    (elsewhere / "exp/hubert/pt").mkdir(parents=True)
    (elsewhere / "exp/hubert/pt/s3prl.pt").write_text("another")
    shutil.copy(hubert_package, recipe / "exp/hubert/pt/s3prl.pt")
    for name, exp in (("here", experiment), ("there", recipe / "exp/asr")):
        assert transcribe.main(["--exp_dir", str(exp), "--out", name, audio]) == 0
    assert (elsewhere / "here").read_text() == (elsewhere / "there").read_text() == (elsewhere / "moved").read_text()


def test_log_mel_features_need_an_encoder(dumps, tmp_path):
    words = arguments(dumps, tmp_path, "")
    words[words.index("--upstream") + 1] = ""
    with pytest.raises(UserError, match="a CTC layer alone cannot learn from log-mel features"):
        finetune.main(words)


def sweep_arguments(dumps, table, *more):
    words = ["--systems", table, "--asr_config", CONFIG, "--asr_args", TINY, "--train_dir", dumps / "train", "--valid_dir", dumps / "dev", *more]
    return [str(word) for word in (*words, "--tokens", dumps / "tokens.txt")]


@pytest.mark.recipe
def test_a_sweep_side_by_side_and_resumed(dumps, tones_dir, hubert_package, tmp_path, monkeypatch):
    """Two in parallel; a second run skips the finished one and resumes the killed one; then decoding, scoring and report."""
    package = str(hubert_package)
    systems = [System(f"{n}", "hubert_local", package, n, 1 / n, f"optim_conf.lr={n}e-3 max_epoch=2", tmp_path / f"asr{n}") for n in (1, 4)]
    write_systems(systems, tmp_path / "systems.tsv")
    said = []
    monkeypatch.setattr("asrlib.pt.sweep.log.info", lambda text, *numbers: said.append(numbers[:3]))
    finetune_sweep.main(sweep_arguments(dumps, tmp_path / "systems.tsv", "--nj", 2))
    logs = [(system.exp_dir / "train.log").read_text() for system in systems]
    (begin1, end1), (begin2, end2) = ((log[:23], log.splitlines()[-1][:23]) for log in logs)
    assert begin1 < end2 and begin2 < end1, "they overlapped"
    assert [yaml.safe_load((system.exp_dir / "asr.yaml").read_text())["optim_conf"]["lr"] for system in systems] == [1e-3, 4e-3]
    (systems[1].exp_dir / "inference/config.yaml").unlink()  # as a run killed at the end leaves it
    made = [(system.exp_dir / "train.log").stat().st_mtime_ns for system in systems]
    finetune_sweep.main(sweep_arguments(dumps, tmp_path / "systems.tsv", "--nj", 2))
    assert said == [(2, 0, 2), (2, 1, 1)], "systems, finished, at a time"
    again = [(system.exp_dir / "train.log").stat().st_mtime_ns for system in systems]
    assert again[0] == made[0] and again[1] > made[1]
    assert "The training was resumed" in (systems[1].exp_dir / "train.log").read_text()
    for system in systems:
        out = system.exp_dir / "decode_greedy/dev"
        decode.main(["--exp_dir", str(system.exp_dir), "--data_dirs", str(tones_dir / "dev"), "--out", str(system.exp_dir), "--nj", "1"])
        score.main(["--ref", str(tones_dir / "dev/text"), "--hyp", str(out / "text"), "--unit", "char", "--out", str(out / "score_cer")])
    report_sweep.main(["--systems", str(tmp_path / "systems.tsv"), "--out", str(tmp_path / "report"), "--sets", "dev", "--baseline", "1"])
    assert "|4|4*|0.2500|" in (tmp_path / "report/RESULTS.md").read_text()


def test_a_sweep_says_first_what_cannot_be_done(dumps, hubert_package, tmp_path):
    table = tmp_path / "systems.tsv"
    for system, message in (
        (("hubert_locl", hubert_package, ""), "system a: s3prl has no upstream 'hubert_locl'"),
        (("hubert_local", tmp_path / "none.pt", ""), "system a: .*none.pt: no such checkpoint"),
        (("hubert_local", dumps / "tokens.txt", ""), "system a: .*tokens.txt: not a checkpoint for s3prl's hubert_local"),
        (("hubert_local", hubert_package, "optim_conf.lrr=1"), "system a: .*unknown key optim_conf.lrr; did you mean optim_conf.lr"),
    ):
        upstream, checkpoint, asr_args = system
        write_systems([System("a", upstream, str(checkpoint), 1, None, asr_args, tmp_path / "a")], table)
        with pytest.raises(UserError, match=message):
            finetune_sweep.main(sweep_arguments(dumps, table))
