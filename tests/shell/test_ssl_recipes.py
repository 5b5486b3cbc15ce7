"""Self-supervised recipes: dry runs, and all stages with a fake python that only creates files."""

import re
from pathlib import Path

import pytest

from tests.shell.conftest import bash, kaldi_folders
from tests.shell.test_recipes import (
    AISHELL1,
    AISHELL2,
    AN4_HUBERT,
    AN4_PROGRE,
    AN4_WAV2VEC2,
    CUSTOM_PROGRE,
    LIBRISPEECH,
    MANDARIN,
    SSL,
    custom_options,
)

MINI_CHAIN = ["preflight", "download", "prepare_data", "make_tokens", *["make_targets"] * 5, "pretrain", "convert", "compare_layers"]
DECODING = ["decode", *["score"] * 4]


def test_ssl_mini_chain_then_all_skipped(call, project):
    assert call(AISHELL1, "--mini", "true")[1] == [*MINI_CHAIN, "dump_speech", "finetune", *DECODING, "report", "page"]
    exp = project / AISHELL1.parent / "mini/exp"
    assert sorted(path.name for path in exp.iterdir()) == ["asr_conformer_progre", "progre"]
    assert call(AISHELL1, "--mini", "true")[1] == []


def test_ablation_adds_two_systems(call, project):
    output, calls = call(AISHELL1, "--mini", "true", "--ablation", "true")
    tuning = ["dump_speech", "finetune"]
    assert calls == [*MINI_CHAIN, *tuning, "random_upstream", "convert", *tuning, *tuning, *DECODING * 3, "report", "page"]
    assert "--baselines 'mini/exp/asr_conformer_progre_random mini/exp/asr_conformer_logmel'" in output
    own, *others = (f"mini/exp/asr_conformer_{name}" for name in ("progre", "progre_random", "logmel"))
    assert flat(output, "page") == [f"page {own} {' '.join(others)}"]
    dumped = [line for line in output.splitlines() if "asrlib.bin.dump_speech" in line]
    assert [("--upstream progre_local" in line, "_random/pt/" in line) for line in dumped] == [(True, False), (True, True), (False, False)]


def test_iterations_of_the_published_model(call, project):
    output, calls = call(AISHELL1)
    assert calls.count("pretrain") == 3 and calls.count("make_targets") == 5 + 4
    pretrained = [line.split("--pretrain_config ")[1] for line in output.splitlines() if "asrlib.bin.pretrain " in line]
    assert [Path(line.split()[0]).name for line in pretrained] == ["hubert_base.yaml", "hubert_base.yaml", "progre_large.yaml"]
    assert [line.split("num_classes=")[1].split()[0].strip("'") for line in pretrained] == ["104", "504", "504"]
    layers = [line.split("--layer ")[1].split()[0] for line in output.splitlines() if "--type layer" in line]
    assert layers == ["6", "6", "9", "9"]
    assert "progre_large_iteration2_layer9_km500" in output
    assert call(AISHELL1)[1] == []


def test_memory_limit_reaches_training(call):
    """Also if another recipe is run to pretrain. A new limit does not rerun stages."""
    assert "--memory_gb 7" in call(LIBRISPEECH, "--mini", "true", "--memory_gb", "7")[0]
    assert call(LIBRISPEECH, "--mini", "true")[1] == []
    output, _ = call(MANDARIN, "--mini", "true", "--memory_gb", "7", "--dry_run", "true")
    assert re.search(r"wav2vec2_base/run.sh --stage 0 --stop_stage 3 .*--memory_gb 7", output)


def test_storing_hidden_states_does_not_rerun_stages(call):
    call(AISHELL1, "--mini", "true")
    assert call(AISHELL1, "--mini", "true", "--cache_states", "false", "--cache_gb", "1")[1] == []


def test_pretraining_on_several_devices(call):
    output, _ = call(AISHELL1, "--mini", "true", "--ngpu", "4", "--num_nodes", "2", "--device", "Ascend", "--dry_run", "true")
    assert " -- pretrain --exp_dir mini/exp/progre --pretrain_config" in output
    output, _ = call(LIBRISPEECH, "--mini", "true", "--ngpu", "4", "--num_nodes", "2", "--device", "Ascend", "--dry_run", "true")
    launcher = "$ python -m asrlib.bin.launch --processes 4 --machines 2 --alive mini/exp/deepspeech2/.stages/first.lock"
    marks = "--passed mini/exp/deepspeech2/.stages/3.passed --log_dir mini/exp/deepspeech2/log/launch"
    assert f"{launcher} {marks} -- train --exp_dir mini/exp/deepspeech2 --train_config" in output


def test_on_slurm(call):
    """Stages 3 to 6 are jobs, too; where they run does not rerun stages."""
    cluster = ["--cmd_backend", "slurm", "--slurm_args", "time=60 gpu.gres=gpu:2"]
    output, _ = call(LIBRISPEECH, "--mini", "true", "--ngpu", "4", "--num_nodes", "2", "--device", "Ascend", "--dry_run", "true", *cluster)
    for name in ("train", "convert", "compare_layers", "export", "decode"):
        assert f"--log_dir mini/exp/deepspeech2/log/slurm/{name} --slurm_args 'time=60 gpu.gres=gpu:2' -- " in output, name
    assert "submit --kind training --machines 2 --log_dir" in output and "-- launch --processes 4 --machines 2 --log_dir" in output
    assert "extract_features --train_config" in output and "--cmd_backend slurm --slurm_args 'time=60 gpu.gres=gpu:2'" in output
    output, _ = call(AISHELL1, "--mini", "true", "--dry_run", "true", *cluster)
    assert "submit --kind gpu --log_dir mini/exp/asr_conformer_progre/log/slurm/finetune" in output
    call(LIBRISPEECH, "--mini", "true")
    assert call(LIBRISPEECH, "--mini", "true", *cluster)[1] == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "--asr_device auto --ngpu 1"),
        (["--ngpu", "8", "--device", "Ascend"], "--asr_device auto --ngpu 8"),
        (["--ngpu", "8", "--asr_ngpu", "2", "--asr_device", "cuda"], "--asr_device cuda --ngpu 2"),
    ],
)
def test_fine_tuning_on_several_devices(call, options, expected):
    """The processes of stage 3 are also those of stage 5, unless it has its own."""
    output, _ = call(AISHELL1, "--mini", "true", "--stage", "5", "--dry_run", "true", *options)
    assert "asrlib.bin.finetune --asr_config" in output and f" {expected} --force" in output
    assert f"--device {'Ascend' if 'Ascend' in options else 'CPU'} --asr_device {expected.split()[1]} --cmd_backend" in output, "decoding"


def test_another_device_of_fine_tuning_does_not_rerun_stages(call):
    call(AISHELL1, "--mini", "true")
    assert call(AISHELL1, "--mini", "true", "--asr_device", "cpu", "--asr_ngpu", "2")[1] == []


@pytest.mark.parametrize("recipe", [AISHELL1, LIBRISPEECH, MANDARIN])
def test_mindspore_has_no_cuda(call, recipe):
    output, calls = call(recipe, "--mini", "true", "--device", "GPU", code=2)
    assert "--device GPU: MindSpore's wheels compute on CPU and Ascend" in output and "--asr_device cuda" in output and calls == []


def test_a_pretrained_model_instead_of_pretraining(call, project):
    (project / "mandarin.pt").write_text("")
    output, calls = call(AISHELL1, "--upstream", "hubert_fairseq", "--pretrained_model", "mandarin.pt")
    assert "pretrain" not in calls and "make_targets" not in calls
    conversion = f"--to ms --default_config {project}/conf/hubert_large.yaml --checkpoint {project}/mandarin.pt"
    assert f"{conversion} --out exp/hubert_mandarin.pt" in output, "whatever its size"
    assert "--upstream hubert_local --upstream_model exp/hubert_mandarin.pt/pt/s3prl.pt" in output
    config = f"{project}/conf/hubert_base.yaml"
    output, _ = call(AISHELL1, "--upstream", "hubert_fairseq", "--pretrained_model", "mandarin.pt", "--pretrain_configs", config, "--dry_run", "true")
    assert f"--to ms --pretrain_config {config} --checkpoint {project}/mandarin.pt" in output, "a given configuration is checked"
    output, _ = call(AISHELL1, "--upstream", "wav2vec2_fairseq", "--pretrained_model", "mandarin.pt", "--dry_run", "true")
    assert "--upstream wav2vec2_local --upstream_model exp/wav2vec2_mandarin.pt/pt/s3prl.pt" in output
    args = ["--upstream", "hubert_fairseq", "--pretrained_model", "mandarin.pt", "--pretrain_args", "model_conf.dropout=0"]
    output, _ = call(AISHELL1, *args, code=2)
    assert "--pretrain_args overrides keys of a configuration" in output
    output, _ = call(AISHELL1, *args, "--pretrain_configs", config, "--dry_run", "true")
    assert f"--to ms --pretrain_config {config} --pretrain_args model_conf.dropout=0 --checkpoint" in output
    assert "--out exp/hubert_base_model_conf.dropout=0_mandarin.pt" in output


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("chinese-hubert-base", "hubert_chinese-hubert-base"),
        ("chinese-hubert-base/pytorch_model.bin", "hubert_chinese-hubert-base_pytorch_model.bin"),
        ("exp/hubert_base/model.safetensors", "hubert_hubert_base_model.safetensors"),
        ("exp/english/pt/s3prl.pt", "hubert_english_pt_s3prl.pt"),
        ("run7/checkpoint_best.pt", "hubert_run7_checkpoint_best.pt"),
        ("run7/checkpoints/checkpoint_12_400000.pt", "hubert_run7_checkpoints_checkpoint_12_400000.pt"),
        ("exp/english/pt/progre.pt", "hubert_english_pt_progre.pt"),
        ("exp/english/updates/400000/pt/model.safetensors", "hubert_english_updates_400000_pt_model.safetensors"),
        ("hubert_large_ll60k.pt", "hubert_hubert_large_ll60k.pt"),
    ],
)
def test_names_of_pretrained_models_tell_them_apart(call, project, path, name):
    """Files that have the same name in many folders are named with their folders."""
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_text("")
    output, _ = call(AISHELL1, "--upstream", "hubert_fairseq", "--pretrained_model", path, "--dry_run", "true")
    assert f"--out exp/{name}\n" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--upstream", "hubert_fairseq"], "needs --pretrained_model FILE"),
        (["--upstream", "wavlm"], "--upstream: 'wavlm' is not one of progre_ms, hubert_ms, hubert_fairseq, wav2vec2_fairseq"),
        (["--decode_modes", "magic"], "--decode_modes: 'magic' is not one of greedy beam joint attention attention_rescoring"),
        (["--mini", "true", "--clusters", "100 500"], "must have the same length"),
        (["--corpus_dir", "."], "has no folder wav: give data_aishell"),
    ],
)
def test_ssl_invalid_options(call, arguments, message):
    output, calls = call(AISHELL1, *arguments, code=2)
    assert message in output and calls == []


def test_environment_of_recipes(project, monkeypatch):
    """path.sh sets paths, byte order and UTF-8, and nothing that changes PyTorch's arithmetic."""
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)  # tests of asrlib.ms leave it behind
    script = project / "show.sh"
    script.write_text(". ./path.sh\nenv\n")
    done = bash(script, cwd=project, env={"PYTHONPATH": "mine"})
    environment = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert environment["ROOT"] == str(project)
    assert environment["PATH"].startswith(f"{project}/tools/venv/bin:")
    assert environment["PYTHONPATH"] == f"{project}:mine"
    assert environment["LC_ALL"] == "C" and environment["PYTHONUTF8"] == "1" and environment["PYTHONIOENCODING"] == "UTF-8"
    assert environment["NLTK_DATA"] == f"{project}/tools/venv/nltk_data"
    assert "ONEDNN_MAX_CPU_ISA" not in environment


def test_pretraining_and_fine_tuning_from_every_checkpoint(call, project):
    """The recipe that fine-tunes runs the recipe that pretrains. A second call skips all stages; --pretrained_exp skips pretraining."""
    output, calls = call(MANDARIN, "--mini", "true")
    first = ["preflight", "download", "prepare_data", "make_tokens", "dump_speech"]
    sub = ["preflight", "download", "prepare_data", "pretrain", "convert", "convert", "compare_layers"]
    system = ["decode", *["score"] * 8, "report"]
    assert calls == [*first, *sub, "make_systems", "finetune_sweep", *system, *system, "report_sweep", "report_sweep --baseline 100", "page"]
    assert (project / "egs/aishell2/wav2vec2_base/mini/exp/wav2vec2/updates/100/pt/s3prl.pt").exists()
    assert call(MANDARIN, "--mini", "true")[1] == []
    pretrained = str(project / "egs/aishell2/wav2vec2_base/mini/exp/wav2vec2")
    _, calls = call(MANDARIN, "--mini", "true", "--pretrained_exp", pretrained, "--tag", "again", "--baseline", "0", "--updates", "0 100")
    assert calls == ["convert", "make_systems", "finetune_sweep", *system, *system, "report_sweep", "report_sweep --baseline 0", "page"]


def test_aishell2_must_be_there(call):
    output, _ = call(AISHELL2, code=2)
    assert "--corpus_dir is needed: the folder AISHELL-2, which is licensed" in output
    output, _ = call(AISHELL2, "--corpus_dir", "nowhere", code=2)
    assert "no iOS/data/wav.scp" in output


@pytest.mark.parametrize("options", [[], ["--mini", "true"], ["--pretrain_args", "trainer.updates=3 optim.accumulate=2", "--seed", "7"]])
def test_both_recipes_have_one_pretraining(call, project, options):
    """Both recipes use the same experiment directory, so that days of pretraining are not repeated."""
    for name in ("wav.scp", "trans.txt"):
        (project / "AISHELL-2/iOS/data").mkdir(parents=True, exist_ok=True)
        (project / "AISHELL-2/iOS/data" / name).touch()
    pretrained = call(AISHELL2, "--corpus_dir", "AISHELL-2", *options, "--dry_run", "true")[0]
    (made,) = re.findall(r"makes (.*)/model.safetensors", pretrained)
    needed = call(MANDARIN, "--aishell2_dir", "AISHELL-2", *options, "--dry_run", "true")[0]
    assert f"needs {project}/{AISHELL2.parent}/{made}/model.safetensors\n" in needed
    assert ("/wav2vec2_base" in made) == ("--mini" not in options)


def flat(output: str, command: str) -> list[str]:
    return [line.partition("asrlib.bin.")[2] for line in output.splitlines() if f"asrlib.bin.{command} " in line]


@pytest.mark.parametrize("recipe", [*SSL, AISHELL2, AN4_WAV2VEC2], ids=str)
def test_pretraining_on_other_directories(call, project, recipe):
    """Stage 1 makes data/pretrain of them, stage 3 trains on it; validation, tokens and fine-tuning stay as they are. Paths may contain spaces."""
    kaldi_folders(project, "more speech/data/train", "a/b")
    options = custom_options(project) if recipe.parts[1] == "custom" else []
    listed = f"{project}/{recipe.parent}/mini/data/train\nmore speech/data/train\na/b"
    output, _ = call(recipe, *options, "--mini", "true", "--pretrain_dirs", listed, "--dry_run", "true")
    before, _ = call(recipe, *options, "--mini", "true", "--dry_run", "true")
    assert "pretrain/" not in before and "make_pretraining_set" not in before
    made = output[output.index("make_pretraining_set") :].partition("  makes ")[0]
    assert all(path in made for path in (f"{project}/{recipe.parent}/mini/data/train", f"{project}/more speech/data/train", f"{project}/a/b"))
    assert "--out mini/data/pretrain --train_dir mini/data/train" in made
    assert output.count(f"  needs {project}/more speech/data/train\n") == 1 and "needs mini/data/pretrain\n" in output
    (pretrained,) = flat(output, "pretrain")
    assert "--train_dir mini/data/pretrain" in pretrained and "--valid_dir mini/data/dev" in pretrained
    assert "_on_train_more_speech-train_a-b " in pretrained, "the name of the experiment"
    for command in ("make_tokens", "dump_speech", "decode"):
        theirs = [line.replace("_on_train_more_speech-train_a-b", "") for line in flat(output, command)]
        assert theirs == flat(before, command)
    assert all("/pretrain " in line or "/dev " in line for line in flat(output, "make_targets"))


def test_sentences_of_the_evaluation_sets_are_left_out(call, project):
    kaldi_folders(project, "more")
    output, _ = call(AN4_HUBERT, "--mini", "true", "--pretrain_dirs", "more", "--dry_run", "true")
    assert "--against 'mini/data/dev mini/data/test'" in output
    output, _ = call(AISHELL2, "--mini", "true", "--pretrain_dirs", "more", "--dry_run", "true")
    assert "--against mini/downloads/data_aishell " in output
    output, _ = call(AISHELL2, "--mini", "true", "--pretrain_dirs", "more", "--filter_leaks", "false", "--dry_run", "true")
    assert "--against '' " in output


def test_pretraining_of_another_recipe_has_the_directories(call, project):
    kaldi_folders(project, "my speech/train")
    output, _ = call(MANDARIN, "--mini", "true", "--pretrain_dirs", "my speech/train", "--dry_run", "true")
    assert "--tag wav2vec2_on_my_speech-train " in output and f"--pretrain_dirs $'\\n{project}/my speech/train'" in output
    assert "make_pretraining_set" not in output, "of the other recipe's stage 1"
    own, _ = call(AISHELL2, "--mini", "true", "--pretrain_dirs", "my speech/train", "--dry_run", "true")
    assert "makes mini/exp/wav2vec2_on_my_speech-train/model.safetensors" in own


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        (AN4_HUBERT, ["--pretrain_dirs", "more nowhere"], "nowhere has no wav.scp: give Kaldi data directories; the training set is "),
        (AN4_HUBERT, ["--pretrain_dirs", "more", "--pretrained_model", "m.pt"], "--pretrain_dirs and --pretrained_model are mutually exclusive"),
        (MANDARIN, ["--pretrain_dirs", "more", "--pretrained_exp", "exp"], "--pretrain_dirs and --pretrained_exp are mutually exclusive"),
        (AN4_HUBERT, ["--ablation", "true", "--baselines", "logmel"], "--ablation and --baselines are mutually exclusive"),
        (AN4_HUBERT, ["--baselines", "mfcc"], "--baselines: 'mfcc' is not one of random logmel iterations"),
        (CUSTOM_PROGRE, ["--train_dir", "more", "--test_dirs", "pretrain", "--pretrain_dirs", "more"], "data/pretrain, which is a test set"),
    ],
)
def test_invalid_pretrain_dirs(call, project, recipe, options, message):
    kaldi_folders(project, "more", "pretrain")
    output, calls = call(recipe, "--mini", "true", *options, code=2)
    assert message in output and calls == []


def test_pretrain_dirs_are_made_once_and_again_if_they_change(call, project):
    kaldi_folders(project, "more")
    options = ["--pretrain_dirs", f"{project}/{AN4_HUBERT.parent}/data/train more"]
    _, calls = call(AN4_HUBERT, *options)
    assert calls[:5] == ["preflight", "estimate", "download", "prepare_data", "make_pretraining_set"] and calls.count("pretrain") == 2
    assert call(AN4_HUBERT, *options)[1] == []
    (stamp,) = (project / AN4_HUBERT.parent / "dump/dev/targets").glob("*.model")
    for change, made in (("b b.wav\n", 2), ("c c.wav\n", 4)):
        with (project / "more/wav.scp").open("a") as stream:
            stream.write(change)
        _, calls = call(AN4_HUBERT, *options)
        assert calls[:2] == ["prepare_data", "make_pretraining_set"] and calls.count("pretrain") == 2
        assert calls.count("make_targets") == made, "those of hidden states, too, if they are another model's"
        stamp.write_text(stamp.read_text().replace(stamp.read_text()[:8], "0" * 8, 1))


def test_iterations_of_a_small_corpus(call):
    """Its own configurations; the first iteration is shorter; the same conformer."""
    output, _ = call(AN4_HUBERT, "--dry_run", "true")
    first, second = flat(output, "pretrain")
    assert "--exp_dir exp/hubert_base_iteration1 --pretrain_config ../conf/hubert_base.yaml" in first and "trainer.updates=3000" in first
    assert "--exp_dir exp/hubert_base --pretrain_config ../conf/hubert_base.yaml" in second and "trainer.updates" not in second
    output, _ = call(AN4_PROGRE, "--dry_run", "true")
    assert [re.search(r"conf/(\w+).yaml", line)[1] for line in flat(output, "pretrain")] == ["hubert_base", "progre_base"]


def test_stage_0_estimates_what_the_options_need(call):
    """Of every system with an upstream; synthesised corpora are small and not estimated."""
    options = ["--baselines", "random logmel", "--cache_states", "true", "--shortage", "warn", "--memory_gb", "9", "--dry_run", "true"]
    (line,) = flat(call(AN4_HUBERT, *options)[0], "estimate")
    assert "--sources 'downloads/an4/etc downloads/an4/wav' --corpus an4 --dump_dir dump --exp_dir exp" in line
    assert "--pretrain_configs '../conf/hubert_base.yaml ../conf/hubert_base.yaml'" in line and "--systems 3" in line
    assert "--cache_states true --cache_gb 50 --device CPU --memory_gb 9 --shortage warn" in line and "--pretrained" not in line
    (line,) = flat(call(LIBRISPEECH, "--num_shards", "0", "--train_args", "trainer.epochs=3", "--dry_run", "true")[0], "estimate")
    assert "LibriSpeech/train-other-500" in line and "--train_args trainer.epochs=3 --num_shards 0" in line and "--shortage stop" in line
    assert flat(call(AISHELL1, "--mini", "true", "--dry_run", "true")[0], "estimate") == []


def test_baselines(call):
    """Random weights with keys of their own, log-mel features, and the first iteration, which is another model in the recipe of ProgRE."""
    recipe = AN4_PROGRE
    options = ["--baselines", "random logmel iterations", "--random_args", "max_epoch=200", "--asr_args", "max_epoch=9", "--seed", "2"]
    same_rate = "encoder_conf.input_layer=conv2d specaug_conf.time_mask_width_range=[0,20]"
    output, calls = call(recipe, *options)
    assert calls.count("finetune") == 4 and calls.count("decode") == 4 and calls.count("random_upstream") == 1
    asr = "asr_conformer_max_epoch_9_seed2" if "asr_conformer_max_epoch_9" in output else "asr_conformer_max_epoch=9_seed2"
    tuned = {re.search(r"--exp_dir exp/(\S+)", line)[1]: line for line in flat(output, "finetune")}
    own = f"{asr}_progre_base_seed2"
    assert list(tuned) == [own, f"{own}_random_max_epoch=200", f"{asr}_logmel", f"{own}_iteration1"]
    assert [same_rate in line.partition("--asr_args")[2] for line in tuned.values()] == [False, False, True, False]
    assert ["max_epoch=200" in line.partition("--asr_args")[2] for line in tuned.values()] == [False, True, False, False]
    assert "--upstream hubert_local --upstream_model exp/progre_base_seed2_iteration1/pt/s3prl.pt" in tuned[f"{own}_iteration1"]
    assert "--upstream" not in tuned[f"{asr}_logmel"] and all("--seed 2" in line for line in tuned.values())
    (report,) = flat(output, "report")
    assert f"--baselines 'exp/{own}_random_max_epoch=200 exp/{asr}_logmel exp/{own}_iteration1'" in report
    assert call(recipe, *options)[1] == []


def test_the_cost_of_the_migration(call):
    """The same model with products in float16, under the same conformer."""
    output, calls = call(AN4_PROGRE, "--baselines", "float16")
    assert calls.count("finetune") == 2 and calls.count("float16_upstream") == 1
    exact, half = flat(output, "finetune")
    assert "--upstream progre_local --upstream_model exp/progre_base/pt/progre.pt" in exact
    assert "--upstream progre_local --upstream_model exp/progre_base/pt_float16/progre.pt" in half
    assert "--exp_dir exp/asr_conformer_progre_base_float16 " in half
    assert "--baselines exp/asr_conformer_progre_base_float16" in flat(output, "report")[0]


def test_a_recipe_that_pretrains_and_compares_checkpoints(call, project):
    output, calls = call(AN4_WAV2VEC2, "--mini", "true")
    system = ["decode", *["score"] * 8, "report"]
    pretraining = ["pretrain", "convert", "convert", "compare_layers"]
    first = ["preflight", "estimate", "download", "prepare_data", "make_tokens", "dump_speech"]
    assert calls == [*first, *pretraining, "make_systems", "finetune_sweep", *system, *system, "report_sweep", "report_sweep --baseline 100", "page"]
    assert (project / AN4_WAV2VEC2.parent / "mini/exp/wav2vec2/updates/100/pt/s3prl.pt").exists()
    assert call(AN4_WAV2VEC2, "--mini", "true")[1] == []
    assert "pretrain" not in call(AN4_WAV2VEC2, "--mini", "true", "--asr_args", "max_epoch=3")[1], "another fine-tuning of the same pretraining"
    assert "unknown option '--aishell2_dir'" in call(AN4_WAV2VEC2, "--aishell2_dir", "x", code=2)[0]
