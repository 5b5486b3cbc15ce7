"""Scripts in a temporary directory, and functions that call them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def bash(
    script: Path | str, *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None, timeout: float = 60
) -> subprocess.CompletedProcess:
    """Runs a script with bash and captures its output."""
    command = ["bash", str(script), *arguments]
    return subprocess.run(command, cwd=cwd, env=os.environ | (env or {}), capture_output=True, text=True, timeout=timeout, check=False)


# Appends each command to $CALLS and creates the files of the real one, with its options as content.
PYTHON = """#!/usr/bin/env bash
name=${2#asrlib.bin.}
echo "$name" >>"$CALLS"
options=("${@:3}")
value() { for ((i = 0; i < ${#options[@]}; i++)); do [ "${options[i]}" != "--$1" ] || echo "${options[i + 1]}"; done; }
paths() { if [[ $(value "$1") == *$'\\n'* ]]; then value "$1"; else value "$1" | tr ' ' '\\n'; fi | sed '/^$/d'; }
make() { local path; for path; do mkdir -p "$(dirname "$path")" && echo "${options[@]}" >"$path"; done; }
case $name in
    download)
        case $(value corpus) in
            librispeech_lm) make "$(value download_dir)/librispeech_lm/$(value sets).arpa.gz" ;;
            *) folder=$(value download_dir)/LibriSpeech
                for set in $(value sets); do [ -d "$folder/$set" ] || make "$folder/$set/x.flac"; done ;;
        esac
        [[ $(value corpus) != *aishell1 ]] || make "$(value download_dir)/data_aishell"/{wav,transcript}/x
        [[ $(value corpus) != an4 ]] || make "$(value download_dir)/an4"/{etc,wav}/x
        [[ $(value corpus) != *aishell2 ]] || make "$(value download_dir)/AISHELL-2/iOS/data"/{wav.scp,trans.txt} ;;
    prepare_data)
        mapfile -t tests < <(value test_sets | tr ' -' '\\n_'; paths test_dirs | sed 's|.*/||')
        [[ $(value corpus) != *aishell1 && $(value corpus) != an4 ]] || tests=(test)
        for set in train dev "${tests[@]}"; do make "$(value data_dir)/$set"/{wav.scp,text,utt2spk}; done ;;
    make_pretraining_set) make "$(value out)"/{wav.scp,utt2spk} ;;
    extract_features) make "$(value dump_dir)"/{feats.scp,text} ;;
    make_mindrecord) make "$(value dump_dir)/mindrecord/shards.json" ;;
    make_tokens) make "$(value out)" ;;
    make_targets)
        if [ "$(value type)" = mfcc ] || [ "$(value type)" = layer ]; then file=$(value name); else file=$(value type); fi
        [ "$file" != speakers ] || file=speakers.json
        make "$(value dump_dir)/targets/${file%.json}$([[ $file == *.json ]] && echo .json || echo .safetensors)" ;;
    train | pretrain) make "$(value exp_dir)"/{config.yaml,model.safetensors} ;;
    random_upstream) make "$(value out)"/{config.yaml,model.safetensors} ;;
    float16_upstream) make "$(value out)/progre.pt" ;;
    convert)
        if [ -n "$(value updates)" ]; then make "$(value exp_dir)"/updates/{0,100}/pt/s3prl.pt
        elif [ -n "$(value out)" ]; then make "$(value out)"/{config.yaml,model.safetensors}
        else make "$(value exp_dir)"/pt/{progre,s3prl}.pt; fi ;;
    dump_speech) make "$(value out)"/{train,dev}/text ;;
    make_systems) printf 'name\tupstream\tcheckpoint\tupdates\tvalid_loss\tasr_args\texp_dir\n' >"$(value out)"
        for n in 0 100; do printf '%s\tw\tf\t%s\t-\t-\t%s\n' $n $n "$(value asr_exp)/$n"; done >>"$(value out)" ;;
    report_sweep) echo "$name --baseline $(value baseline)" >>"$CALLS" && make "$(value out)"/{RESULTS.md,sweep.png} ;;
    finetune) make "$(value exp_dir)/inference/model.pth" ;;
    compare_layers) make "$(value exp_dir)/compare/table.txt" ;;
    export) if [ "$(value format)" = onnx ]; then make "$(value exp_dir)/onnx/model.onnx"; else make "$(value exp_dir)/mindir/model.mindir"; fi ;;
    make_ngram | tune_beam) make "$(value out)" ;;
    decode) for mode in $(value modes); do while read -r set; do make "$(value out)/decode_$mode/${set##*/}/text"; done < <(paths data_dirs); done ;;
    score) make "$(value out)/result.json" ;;
    report) make "$(value exp_dir)/RESULTS.md" ;;
esac
"""


def copy_of_the_shell(folder: Path, write_script) -> Path:
    """Copies egs, conf and path.sh to a directory, with a python that only creates files and a setup.sh that does nothing."""
    shutil.copytree(ROOT / "egs", folder / "egs", ignore=shutil.ignore_patterns("mini", "downloads", "data", "dump", "exp"))
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copy(ROOT / "path.sh", folder)
    write_script(folder / "tools/setup.sh", "#!/usr/bin/env bash\n")
    write_script(folder / "tools/venv/bin/python", PYTHON)
    return folder


def kaldi_folders(top: Path, *names: str) -> list[str]:
    """Creates data directories with one utterance and returns their names."""
    for name in names:
        (top / name).mkdir(parents=True)
        (top / name / "wav.scp").write_text("a a.wav\n")
    return list(names)


@pytest.fixture
def write_script(tmp_path):
    """write_script(name, text): the path of an executable script under tmp_path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return path

    return write


@pytest.fixture
def project(tmp_path, write_script):
    """A copy of the scripts of the project, with a python that only creates files."""
    return copy_of_the_shell(tmp_path, write_script)


@pytest.fixture
def call(project):
    """call(recipe, options): the output of a recipe and the commands that it ran; it must end with exit code `code`."""

    def call(recipe: Path, *arguments: str, code: int = 0) -> tuple[str, list[str]]:
        calls = project / "calls"
        calls.write_text("")
        done = bash(project / recipe, *arguments, cwd=project, env={"CALLS": str(calls)})
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr, calls.read_text().splitlines()

    return call
