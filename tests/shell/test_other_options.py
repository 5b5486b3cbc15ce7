"""egs/common/other_options.tsv: what is typed from habit works, or is answered with options that the recipe has."""

import re
from pathlib import Path

import pytest

from asrlib.config.base import read_yaml
from asrlib.config.families import load_pretrain_config, load_train_config
from tests.shell.conftest import ROOT, bash
from tests.shell.test_recipes import AISHELL1, AISHELL2, CUSTOM, CUSTOM_PROGRE, LIBRISPEECH, MANDARIN

KINDS = (LIBRISPEECH, CUSTOM, AISHELL1, CUSTOM_PROGRE, MANDARIN, AISHELL2)
LINES = [line.split("\t") for line in (ROOT / "egs/common/other_options.tsv").read_text().splitlines() if line and not line.startswith("#")]
HEADER, ROWS = LINES[0], LINES[1:]
TYPED = list(dict.fromkeys(option for row in ROWS for option in row[0].split()))
ASR_KEYS = {key for file in ROOT.glob("conf/**/asr_*.yaml") for key in read_yaml(file)} | {"use_amp"}
# The options of ESPnet's asr.sh that users try first, and Kaldi's --cmd.
FIRST = (
    "stage stop_stage skip_stages skip_data_prep skip_train skip_eval ngpu num_nodes nj inference_nj gpu_inference dumpdir expdir "
    "python local_data_opts speed_perturb_factors feats_type audio_format fs min_wav_duration max_wav_duration token_type nbpe lang "
    "use_lm use_ngram lm_config lm_args lm_tag lm_exp asr_config asr_args asr_tag asr_exp asr_stats_dir pretrained_model "
    "ignore_init_mismatch feats_normalize inference_config inference_args inference_tag inference_asr_model inference_lm batch_size "
    "download_model use_streaming train_set valid_set test_sets score_opts local_score_opts cleaner nlsyms_txt debug cmd "
)
# Parses the options of each line of $LINES in a shell of its own and prints the answer, or what was given, after the line and the exit code.
HOOK = r"""
eval "one_$(declare -f parse_options)"
parse_options() {
    local line words output code
    while IFS= read -r line; do
        read -r -a words <<<"$line"
        trap - ERR && set +e
        output=$( (
            one_parse_options "${words[@]}"
            for name in "${!option_given[@]}"; do printf '%s=%s;' "$name" "${option_given[$name]}"; done
        ) 2>&1)
        code=$?
        printf '%s\t%s\t%s\n' "$line" "$code" "$output"
    done <"$LINES"
    exit 0
}
"""


@pytest.fixture
def parse(project):
    """parse(recipe, lines): exit code and answer of each line of options; option_given if it is 0."""

    def parse(recipe: Path, lines: list[str]) -> dict[str, tuple[int, str]]:
        run = project / recipe
        first, begin, rest = run.read_text().partition('common/begin.sh"\n')
        run.write_text(first + begin + HOOK + rest)
        (project / "lines").write_text("".join(f"{line}\n" for line in lines))
        done = bash(run, env={"LINES": str(project / "lines")})
        assert done.returncode == 0, done.stderr
        found = [line.split("\t") for line in done.stdout.splitlines()]
        assert [line for line, *_ in found] == lines
        return {line: (int(code), answer) for line, code, answer in found}

    return parse


def own_options(recipe: Path) -> set[str]:
    return {"help", *re.findall(r"^  --(\w+)", bash(ROOT / recipe, "--help").stdout, re.MULTILINE)}


def test_table():
    assert HEADER == ["option", "of", "if", "here"]
    assert all(len(row) == 4 and all(row) for row in ROWS)
    assert len({(name, condition, here) for names, _, condition, here in ROWS for name in names.split()}) == sum(len(row[0].split()) for row in ROWS)


@pytest.mark.parametrize("recipe", KINDS, ids=str)
def test_everything_typed_works_or_is_answered(parse, recipe):
    """Nothing is unknown, and an answer names options and keys that there are."""
    own = own_options(recipe)
    assert {option.partition("=")[0] for option in TYPED} | own >= set(FIRST.split())
    lines = [f"--{option}" if "=" in option else f"--{option}=1" for option in dict.fromkeys([*TYPED, *FIRST.split()])]
    for line, (code, answer) in parse(recipe, lines).items():
        name, _, value = line[2:].partition("=")
        if code == 0:
            given = dict(part.split("=", 1) for part in answer.split(";") if part)
            wanted = {row[3] for row in ROWS if {name, f"{name}={value}"} & set(row[0].split()) and row[3].startswith("=")}
            assert set(given) <= own
            assert given == {name: value} or not given and "=" in wanted or any(_same(alias, given, value) for alias in wanted), line
            continue
        assert code == 2 and "unknown option" not in answer and "\n" not in answer, line
        message = answer.partition(": ")[2]
        assert len(message) < 220 and message.startswith((f"there is no option --{name}", f"--{name}: ")), line
        assert set(re.findall(r"--(\w+)", message.partition(": ")[2])) <= own, line
        _check_keys(message)


def _same(alias: str, given: dict[str, str], value: str) -> bool:
    """Whether "=OPTION" or "=OPTION WORDS" sets what was given."""
    option, _, words = alias[1:].partition(" ")
    return list(given) == [option] and given[option].split() == (words or value).split()


def _check_keys(message: str) -> None:
    """UserError: an example has a key that its configuration does not have."""
    for option, text in re.findall(r'--(\w+_args) "([^"]*)"', message):
        if text.startswith("KEY="):
            continue
        if option == "train_args":
            load_train_config(None, [] if "noise_dir" in text else text.split())
        elif option == "pretrain_args":
            load_pretrain_config(None, ["model=hubert", *text.split()])
        else:
            assert text.partition("=")[0].partition(".")[0] in ASR_KEYS


@pytest.mark.parametrize("option", ["--zzz", "--fs2", "--dat", "--foo_bar", "--lm2x", "--pretrain_argument"])
def test_nothing_is_suggested_that_is_not_near(option):
    done = bash(ROOT / LIBRISPEECH, option, "1")
    assert done.returncode == 2 and "did you mean" not in done.stderr and "--help lists all" in done.stderr


@pytest.mark.parametrize(("option", "near"), [("--stge", "stage"), ("--decode_mode", "decode_modes"), ("--train_arsg", "train_args")])
def test_misspelt(option, near):
    assert f"did you mean --{near}?" in bash(ROOT / LIBRISPEECH, option, "1").stderr


def test_the_run_is_that_of_our_options(call, project):
    theirs = "--asr_tag a --asr_args trainer.epochs=3 --token_type bpe --skip_train true --skip_data_prep true --cmd slurm.pl"
    ours = "--tag a --train_args trainer.epochs=3 --token_type sentencepiece --cmd_backend slurm"
    options = ["--mini", "true", "--dry_run", "true"]
    output = call(LIBRISPEECH, *theirs.split(), "--decode_modes", "ctc_greedy_search", *options)[0]
    assert output.count("skipped (--skip_stages)") == 6

    def plan(text: str) -> list[str]:
        return [re.sub("--command .* --published", "", line[20:] if line.startswith("2") else line) for line in text.splitlines()]

    assert plan(output) == plan(call(LIBRISPEECH, *ours.split(), "--skip_stages", "3 4 5 0 1 2", "--decode_modes", "greedy", *options)[0])


def test_arguments_of_other_parsers_are_answered():
    done = bash(ROOT / LIBRISPEECH, "--train_args", "--max_epoch 10")
    assert done.returncode == 2 and 'write KEY=VALUE, with dots between keys: --train_args "KEY=VALUE' in done.stderr
