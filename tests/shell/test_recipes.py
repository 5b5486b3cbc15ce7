"""Recipes: options, dry runs, and all stages with a fake python that only creates files."""

import re
from pathlib import Path

import pytest

from tests.shell.conftest import ROOT, bash, kaldi_folders

RECIPES = sorted(path.relative_to(ROOT) for path in ROOT.glob("egs/*/*/run.sh"))
LIBRISPEECH, CUSTOM = (Path(f"egs/{corpus}/deepspeech2/run.sh") for corpus in ("librispeech", "custom"))
AISHELL1, CUSTOM_PROGRE = Path("egs/aishell1/progre_large/run.sh"), Path("egs/custom/progre/run.sh")
AN4_HUBERT, AN4_PROGRE, AN4_WAV2VEC2 = (Path(f"egs/an4/{name}/run.sh") for name in ("hubert_base", "progre_base", "wav2vec2_base"))
MANDARIN, AISHELL2 = Path("egs/aishell1/mandarin_wav2vec2/run.sh"), Path("egs/aishell2/wav2vec2_base/run.sh")
SSL = [recipe for recipe in RECIPES if recipe.parent.name.startswith(("progre", "hubert"))]
COMMON_OPTIONS = (
    "stage", "stop_stage", "skip_stages", "nj", "inference_nj", "ngpu", "num_nodes", "device", "cmd_backend", "dumpdir", "expdir", "download_dir",
    "inference_config", "seed", "mini", "dry_run", "force",
)  # fmt: skip
CTC_OPTIONS = ("train_config", "train_args", "pretrained_model")
SSL_OPTIONS = ("pretrain_configs", "pretrain_args", "pretrain_dirs", "asr_config", "asr_args", "upstream", "ablation", "pretrained_model")
OTHER_OPTIONS = {
    MANDARIN: ("pretrained_exp", "updates", "sweep", "asr_config", "pretrain_dirs", "aishell2_dir"),
    AN4_WAV2VEC2: ("pretrained_exp", "updates", "sweep", "asr_config", "pretrain_dirs"),
    AISHELL2: ("pretrain_config", "pretrain_args", "pretrain_dirs", "concat", "pretrained_model"),
}


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_help(recipe):
    done = bash(ROOT / recipe, "--help")
    assert done.returncode == 0
    for option in (*COMMON_OPTIONS, *OTHER_OPTIONS.get(recipe, SSL_OPTIONS if recipe in SSL else CTC_OPTIONS)):
        assert f"\n  --{option} " in done.stdout, option


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_recipe_is_short_and_ends_in_one_call(recipe):
    lines = (ROOT / recipe).read_text().splitlines()
    assert len(lines) < 60
    assert lines[-1].endswith('"$@"')


def custom_options(project: Path) -> list[str]:
    return ["--train_dir", *kaldi_folders(project, "my/train"), "--test_dirs", *kaldi_folders(project, "my/test")]


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_dry_run_touches_nothing(call, project, recipe):
    options = custom_options(project) if recipe.parts[1] == "custom" else []
    before = sorted(project.rglob("*"))
    output, calls = call(recipe, *options, "--dry_run", "true", "--mini", "true")
    assert calls == []
    assert sorted(project.rglob("*")) == sorted({*before, project / "calls"})
    assert [line.split(":")[0] for line in output.splitlines() if line.startswith("stage ")] == [f"stage {i}" for i in range(7)]


def test_librispeech_chain_then_all_skipped(call, project):
    output, calls = call(LIBRISPEECH, "--mini", "true", "--decode_modes", "greedy beam")
    decoding = ["decode", *["score"] * 4]
    features = [*["extract_features"] * 3, *["make_mindrecord"] * 2, "make_tokens"]
    conversion = ["convert", "compare_layers", "export", "export"]
    assert calls == ["preflight", "download", "prepare_data", *features, "train", *conversion, *decoding, "report", "page"]
    assert output.splitlines()[-1].startswith("Successfully finished.")
    recipe = project / LIBRISPEECH.parent
    assert sorted(path.name for path in recipe.iterdir() if path.is_dir() and path.name not in ("conf", "local")) == ["mini"]
    assert sorted(path.name for path in (recipe / "mini").iterdir()) == ["data", "downloads", "dump", "exp"]
    assert (recipe / "mini/exp/deepspeech2/decode_beam/test_clean/score_cer/result.json").exists()
    assert call(LIBRISPEECH, "--mini", "true", "--decode_modes", "greedy beam")[1] == []


def test_a_recipe_does_not_fail_without_its_page(call, project):
    python = project / "tools/venv/bin/python"
    python.write_text(python.read_text().replace("case $name in\n", "case $name in\n    page) echo 'page: error: no space' >&2 && exit 1 ;;\n", 1))
    output, calls = call(LIBRISPEECH, "--mini", "true")
    assert calls[-1] == "page" and "there is no page of the experiment (see above); the results are complete" in output
    assert "page: error: no space" in output and output.splitlines()[-1].startswith("Successfully finished.")
    assert call(LIBRISPEECH, "--mini", "true")[1] == []


def test_layout_of_deepspeech2(call, project):
    """LibriSpeech_dataset: its own sets are the defaults, and its manifests are inputs of stage 1."""
    for name in ("train", "val", "test_clean"):
        (project / "LibriSpeech_dataset" / name / "wav").mkdir(parents=True)
    (project / "LibriSpeech_dataset/libri_train_manifest.csv").write_text("")
    corpus = ["--corpus_dir", str(project / "LibriSpeech_dataset"), "--dry_run", "true", "--stop_stage", "1"]
    output = call(LIBRISPEECH, *corpus)[0]
    assert "--train_sets train --valid_sets val --test_sets test_clean" in output
    assert re.search("needs .*/LibriSpeech_dataset/libri_train_manifest.csv", output)
    assert "--test_sets test_clean" in call(LIBRISPEECH, *corpus, "--test_sets", "test-clean")[0]
    assert "has no folder test_other" in call(LIBRISPEECH, *corpus, "--test_sets", "test-other", code=2)[0]


def test_profile(call):
    """Of the training alone; a finished stage does not run again for it."""
    output, _ = call(LIBRISPEECH, "--mini", "true", "--profile", "true", "--dry_run", "true")
    assert re.findall(r"asrlib\.bin\.(\w+) (?!.*--command).*--profile true", output) == ["train"]
    call(LIBRISPEECH, "--mini", "true", "--stop_stage", "3")
    assert call(LIBRISPEECH, "--mini", "true", "--stop_stage", "3", "--profile", "true")[1] == []
    output, _ = call(Path("egs/librispeech/hubert_base/run.sh"), "--mini", "true", "--profile", "true", "--dry_run", "true")
    assert re.search(r"asrlib\.bin\.pretrain .*--profile true", output)


def test_own_language_model(call, project):
    """Estimated from the training text, tuned on dev, applied to the test set; another order does not rerun the training."""
    output, calls = call(LIBRISPEECH, "--mini", "true", "--ngram", "3")
    assert [name for name in calls if name in ("make_ngram", "tune_beam", "decode")] == ["make_ngram", "tune_beam", "decode"]
    exp = "mini/exp/deepspeech2"
    assert f"--data_dir mini/dump/dev --lm {exp}/3-gram.arpa --out {exp}/beam.yaml" in output
    assert f"--data_dirs mini/dump/test_clean --modes 'greedy beam' --out {exp}" in output
    assert f"--inference_config {exp}/beam.yaml --lm {exp}/3-gram.arpa" in output
    assert call(LIBRISPEECH, "--mini", "true", "--ngram", "3")[1] == []
    assert "train" not in call(LIBRISPEECH, "--mini", "true", "--ngram", "4")[1]
    assert "--ngram and --lm are mutually exclusive" in call(LIBRISPEECH, "--mini", "true", "--ngram", "3", "--lm", "a.arpa", code=2)[0]


def test_language_model_of_librispeech(call, project):
    """Downloaded in stage 0, tuned on dev, decoded with and without it; no other stage runs again."""
    call(LIBRISPEECH, "--mini", "true")
    output, calls = call(LIBRISPEECH, "--mini", "true", "--librispeech_lm", "3-gram.pruned.1e-7")
    assert calls == ["preflight", "download", "download", "tune_beam", "decode", *["score"] * 4, "report", "page"]
    model = "mini/downloads/librispeech_lm/3-gram.pruned.1e-7.arpa.gz"
    assert "--corpus librispeech_lm --download_dir mini/downloads --sets 3-gram.pruned.1e-7" in output
    assert f"--data_dir mini/dump/dev --lm {model}" in output and f"beam.yaml --lm {model}" in output
    (project / LIBRISPEECH.parent / model).unlink()
    _, calls = call(LIBRISPEECH, "--mini", "true", "--librispeech_lm", "3-gram.pruned.1e-7", "--stop_stage", "0")
    assert calls == ["preflight", "download", "download"]
    assert re.search("--librispeech_lm .*--lm ", call(LIBRISPEECH, "--librispeech_lm", "4-gram", "--lm", "a.arpa", code=2)[0])
    output, _ = call(LIBRISPEECH, "--librispeech_lm", "4-gram", "--ngram", "3", code=2)
    assert "--ngram and --librispeech_lm are mutually exclusive" in output
    output, _ = call(Path("egs/librispeech/hubert_base/run.sh"), "--librispeech_lm", "4-gram", "--dry_run", "true")
    assert re.search(r"decode .*--modes '[a-z ]*beam[a-z ]*' --out exp/asr_conformer_hubert_base .*--lm .*4-gram.arpa.gz", output)


def test_shards(call):
    """Of the training and validation sets; --num_shards 0 makes none."""
    output, calls = call(LIBRISPEECH, "--mini", "true", "--num_shards", "4", "--stop_stage", "2")
    assert calls.count("make_mindrecord") == 2
    assert all(f"make_mindrecord --dump_dir mini/dump/{name} --num_shards 4 --nj 0" in output for name in ("train", "dev"))
    output, calls = call(LIBRISPEECH, "--mini", "true", "--num_shards", "0", "--stop_stage", "2")
    assert "runs again, its options have changed" in output and "make_mindrecord" not in calls


def test_missing_shards_are_made_again(call, project):
    call(LIBRISPEECH, "--mini", "true", "--stop_stage", "2")
    (project / LIBRISPEECH.parent / "mini/dump/dev/mindrecord/shards.json").unlink()
    output, calls = call(LIBRISPEECH, "--mini", "true", "--stop_stage", "2")
    assert "runs again, mini/dump/dev/mindrecord/shards.json is missing" in output and "make_mindrecord" in calls


def test_published_results(call, project):
    """The recipe's own, another file, or none."""
    assert "--published published.md" in call(LIBRISPEECH, "--mini", "true")[0]
    assert "--published published.md" in call(Path("egs/librispeech/jasper/run.sh"), "--mini", "true", "--dry_run", "true")[0]
    (project / "others.md").write_text("Others")
    output, calls = call(LIBRISPEECH, "--mini", "true", "--published", "others.md")
    assert f"--published {project}/others.md" in output and "train" not in calls
    assert "--published" not in call(CUSTOM, *custom_options(project), "--dry_run", "true")[0]


def test_only_changed_stages_run_again(call, project):
    call(LIBRISPEECH, "--mini", "true")
    assert "extract_features" not in call(LIBRISPEECH, "--mini", "true", "--train_args", "optim.learning_rate=1e-3")[1]
    assert (project / LIBRISPEECH.parent / "mini/exp/deepspeech2_optim.learning_rate=1e-3").is_dir()
    assert "extract_features" in call(LIBRISPEECH, "--mini", "true", "--train_args", "features.window=hann")[1]


def test_many_arguments_still_make_a_name_for_a_folder(call, project):
    words = " ".join(f"optim.learning_rate={i}e-4" for i in range(20))
    call(LIBRISPEECH, "--mini", "true", "--train_args", words)
    call(LIBRISPEECH, "--mini", "true", "--train_args", words + "1")
    names = [path.name for path in (project / LIBRISPEECH.parent / "mini/exp").iterdir()]
    assert len(names) == 2 and all(len(name) < 130 and name.startswith("deepspeech2_optim.learning_rate=0e-4") for name in names)


def test_called_from_another_folder_is_the_same_run(call, project):
    call(LIBRISPEECH, "--mini", "true")
    done = bash(Path("run.sh"), "--mini", "true", cwd=project / LIBRISPEECH.parent, env={"CALLS": str(project / "calls")})
    assert done.stdout.count("skipped, nothing has changed") == 7


def test_corpus_already_there_is_not_downloaded(call, project):
    for name in ("train-clean-100", "dev-clean", "test-other"):
        (project / "corpus" / name).mkdir(parents=True)
    options = ["--corpus_dir", "corpus", "--train_sets", "train-clean-100", "--valid_sets", "dev-clean", "--test_sets"]
    output, calls = call(LIBRISPEECH, *options, "test-other")
    assert "download" not in calls
    assert f"--corpus_dir {project}/corpus --data_dir data" in output
    assert "has no folder test-clean" in call(LIBRISPEECH, *options, "test-clean", code=2)[0]


def test_stage_before_its_needs(call):
    output, calls = call(LIBRISPEECH, "--mini", "true", "--stage", "3", code=1)
    assert calls == []
    assert "which stage 2 (feature extraction) makes: run --stage 2 first" in output


def test_custom_chain(call, project):
    options = custom_options(project)
    output, calls = call(CUSTOM, *options)
    assert calls[:4] == ["preflight", "estimate", "prepare_data", "extract_features"] and calls[-2:] == ["report", "page"]
    assert f"--train_dir {project}/my/train" in output and f"--audio_root {project} " in output
    assert call(CUSTOM, *options)[1] == []
    (project / "my/train/wav.scp").write_text("a a.wav\nb b.wav\n")
    assert "prepare_data" in call(CUSTOM, *options)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--train_dir is needed"),
        (["--train_dir", "."], "--test_dirs is needed"),
        (["--train_dir", ".", "--test_dirs", "none"], "none: no such folder"),
        (["--train_dir", ".", "--test_dirs", ".", "--decode_modes", " "], "--decode_modes: give at least one of greedy beam"),
        (["--train_dir", ".", "--test_dirs", ".", "--decode_modes", "magic"], "--decode_modes: 'magic' is not one of greedy beam"),
    ],
)
def test_custom_invalid_options(call, arguments, message):
    output, calls = call(CUSTOM, *arguments, code=2)
    assert message in output
    assert calls == []
