#!/usr/bin/env bash
# Makes tools/venv, the Python environment of the project, from tools/requirements.lock. A second call does nothing.
#
# Usage: tools/setup.sh [--cpu [true|false]] [--torch_index URL] [--force]
#   --cpu               leave the CUDA libraries out: 5 GB of disk instead of 8. Where pip finds no CPU build of torch (PyPI has none), it says so
#                       and installs the build with CUDA
#   --torch_index URL   --cpu, with that build from this package index, or an error; PyTorch's own is https://download.pytorch.org/whl/cpu
#   --force             make the environment anew
# Without options the variant that is there stays. The variable PYTHON names the Python to use (3.10 to 3.12);
# else the first suitable one of python3.11, python3.10, python3.12 and python3 is taken. Package indexes are those that pip and uv are configured for.

set -Eeuo pipefail
unset CDPATH # with it, cd prints its target and may find another folder of that name
[[ ${BASH_SOURCE[0]} != */* ]] || cd "${BASH_SOURCE[0]%/*}"
cd -P ..
top=$PWD venv=$PWD/tools/venv lock=$PWD/tools/requirements.lock log=$PWD/tools/.setup.log
mark=$venv/.complete # variant, path and hash of the lock; written last
torch=$(grep '^torch==' "$lock") cpu_index=https://download.pytorch.org/whl/cpu
cpu='' torch_index='' force=false

say() { echo "tools/setup.sh: $*" >&2; }
die() { say "error: $*" && exit 1; }

report_error() { [ "$BASH_SUBSHELL" -gt 0 ] || say "error: line $1: exit code $2 of: ${3%%$'\n'*}"; }
trap 'report_error "$LINENO" "$?" "$BASH_COMMAND"' ERR

usage_error() {
    say "$1 (--help shows the options)"
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) sed -n '2,/^$/s/^# \{0,1\}//p' "tools/setup.sh" && exit 0 ;;
        --cpu) cpu=true && case ${2:-} in true | false) cpu=$2 && shift ;; esac ;;
        --cpu=true | --cpu=false) cpu=${1#*=} ;;
        --torch[-_]index) [ $# -gt 1 ] || usage_error "$1 needs a URL" && torch_index=$2 && shift ;;
        --torch[-_]index=*) torch_index=${1#*=} ;;
        --force) force=true ;;
        *) usage_error "unknown option '$1'" ;;
    esac
    shift
done

variant=$([ ! -r "$mark" ] || head -n 1 "$mark")
if [ -n "$cpu$torch_index" ] || [ -z "$variant" ]; then
    [ -z "$torch_index" ] || cpu=true
    variant="cpu=${cpu:-false} torch_index=$torch_index"
fi

fingerprint() { printf '%s\n' "$variant" "$venv" "$(sha256sum <"$lock")"; }

complete() {
    ! $force && [ -r "$mark" ] && [ "$(cat "$mark")" = "$(fingerprint)" ] && "$venv/bin/python" -c '' 2>/dev/null
}

# Why a Python does not serve; nothing if it does.
python_fault() {
    "$1" -c '
import os, sys, sysconfig
name = "python%d.%d" % sys.version_info[:2]
if not (3, 10) <= sys.version_info[:2] <= (3, 12) or sys.maxsize < 2**32:
    print("is not a 64-bit Python 3.10, 3.11 or 3.12")
    sys.exit()
try:
    import ensurepip, venv
except ImportError:
    print("has no venv (Debian, Ubuntu: apt install %s-venv)" % name)
if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
    print("has no headers, which pyworld is built with (Debian, Ubuntu: apt install %s-dev)" % name)
' 2>/dev/null || echo "does not run"
}

find_python() {
    local candidate candidates=(python3.11 python3.10 python3.12 python3) fault faults=
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        command -v "$candidate" >/dev/null || continue
        fault=$(python_fault "$candidate" | head -n 1)
        [ -n "$fault" ] || { echo "$candidate" && return; }
        faults+="; $candidate $fault"
    done
    die "no suitable Python (3.10, 3.11 or 3.12 with venv and headers)$faults: install one, or name it in the variable PYTHON"
}

check_machine() {
    case $(uname -m) in x86_64 | aarch64 | arm64) ;; *) die "this machine is $(uname -m): MindSpore has wheels for x86-64 and aarch64 only" ;; esac
    command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || die "no C++ compiler, which pyworld is built with: install g++"
    if [[ $variant == cpu=true* ]]; then check_disk 6; else check_disk 12; fi
}

# GB that must be free: those of the environment and of what the installer unpacks meanwhile.
check_disk() {
    local free
    free=$(df -Pk "$top/tools" | awk 'NR == 2 { printf "%d", $4 / 1048576 }')
    [ "$free" -ge "$1" ] || die "too little disk: $free GB free in $top/tools, $1 GB needed"
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

last_error() { grep -i error "$log" | tail -n 1; }

# An empty environment with uv; without uv if only that cannot be had.
make_venv() {
    rm -rf "$venv"
    "$1" -m venv "$venv" >"$log" 2>&1 || die "$1 -m venv failed: $(tail -n 1 "$log")"
    if ! pip install --retries 1 --timeout 30 "$(grep '^uv==' "$lock")" >>"$log" 2>&1; then
        pip install --retries 1 --timeout 30 --no-deps "$(grep '^tqdm==' "$lock")" >>"$log" 2>&1 ||
            die "no package can be fetched: check the network, or pip's index settings ($(last_error))"
        say "uv cannot be had here: installing with pip, which takes longer"
    fi
}

# Installs a file of requirements with uv, from pip's index if one is set; with pip where uv does not get through.
install() {
    local index
    if [ -x "$venv/bin/uv" ]; then
        index=${PIP_INDEX_URL:-$(pip config get global.index-url 2>/dev/null || true)}
        "$venv/bin/uv" pip install --python "$venv/bin/python" --no-deps ${index:+--default-index "$index"} -r "$1" && return
        say "uv did not get through: trying pip"
    fi
    pip install --no-deps -r "$1" || die "the packages could not be installed (see above): mend that and run tools/setup.sh again"
}

# Puts one build of torch in (options and requirement for pip); fails, and leaves none, if that cannot be had or asks for CUDA libraries.
try_torch() {
    pip install --retries 1 --no-deps "$@" >>"$log" 2>&1 || return
    "$venv/bin/python" -c 'import importlib.metadata as m, sys; sys.exit(any("nvidia" in r for r in m.requires("torch") or ()))' && return
    echo "ERROR: $* is a build with CUDA" >>"$log"
    pip uninstall --yes torch >>"$log" 2>&1
    return 1
}

# Puts the CPU build of torch in: from --torch_index, else the one that pip's indexes and folders have under its own name, else one in pip's folders.
install_cpu_torch() {
    say "looking for a CPU build of $torch"
    if [ -n "$torch_index" ]; then
        try_torch --index-url "$torch_index" "$torch+cpu" || try_torch --index-url "$torch_index" "$torch" ||
            die "no CPU build of $torch for this Python at $torch_index ($(last_error)): check the address, or leave --torch_index out"
    else
        try_torch "$torch+cpu" || try_torch --no-index "$torch"
    fi
}

# The packages of the lock. torchaudio's own libraries fit one version of torch only; it does without them.
install_all() {
    local wanted=$lock
    if [[ $variant == cpu=true* ]]; then
        if install_cpu_torch; then
            wanted=$venv/requirements-cpu.txt
            grep -vE '^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)==' "$lock" >"$wanted"
        else
            say "pip finds no CPU build of $torch for this Python (see tools/.setup.log);" \
                "to have one, stop this and run: tools/setup.sh --torch_index $cpu_index"
            check_disk 12
        fi
    fi
    [ "$wanted" != "$lock" ] ||
        say "installing $torch with CUDA libraries: 2.6 GB of them to download, 8 GB of disk in all (--cpu asks for 5 GB without them)"
    install "$wanted"
    rm -f "$venv"/lib/python3*/site-packages/torchaudio/lib/*.so
}

# The command `asrlib`, beside python -m asrlib.bin.NAME; nothing needs it.
install_project() {
    pip install --no-deps --no-build-isolation --no-index -e "$top" >>"$log" 2>&1 ||
        say "the command asrlib could not be installed ($(last_error)): use python -m asrlib.bin.NAME, or see $log"
}

# g2p_en looks for two NLTK resources on import, and would download them; it never uses them here.
make_nltk_data() {
    "$venv/bin/python" - "$venv/nltk_data" <<'END'
import pathlib, sys, zipfile
for name in ("taggers/averaged_perceptron_tagger_eng.zip", "corpora/cmudict.zip"):
    path = pathlib.Path(sys.argv[1], name)
    path.parent.mkdir(parents=True, exist_ok=True)
    zipfile.ZipFile(path, "w").close()
END
}

if complete; then exit 0; fi
{ : >>"$top/tools/.setup.lock"; } 2>/dev/null ||
    die "tools/venv is not complete, or this user may not run its Python, and $top/tools cannot be written:" \
        "let its owner run tools/setup.sh (PYTHON: a Python for all)"
exec 9>"$top/tools/.setup.lock"
if ! flock -n 9; then
    say "another set-up is at work: waiting for it"
    flock 9
    if complete; then exit 0; fi
fi

if ! $force && [ -r "$mark" ] && [ "$(head -n 2 "$mark")" = "$(fingerprint | head -n 2)" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    say "tools/requirements.lock has changed: bringing tools/venv up to date"
    rm "$mark"
else
    python=$(find_python) || exit # it has said why
    check_machine
    if [ -d "$venv" ] && [ ! -e "$mark" ]; then
        say "tools/venv is half-made, an earlier set-up was stopped: making it anew"
    elif [ -d "$venv" ]; then
        say "tools/venv was made with other options, or for another folder: making it anew"
    fi
    say "making tools/venv with $python; this takes some minutes the first time"
    make_venv "$python"
fi
install_all
install_project
make_nltk_data
fingerprint >"$mark.tmp"
mv "$mark.tmp" "$mark"
say "tools/venv is ready"
