#!/usr/bin/env bash
# Creates tools/venv, the Python environment of the project, from tools/requirements.lock. Does nothing if it is complete.
#
# Usage: tools/setup.sh [--cpu [true|false]] [--torch_index URL] [--force]
#   --cpu               install torch without CUDA libraries: 5 GB of disk instead of 8. If pip finds no CPU build (PyPI has none), install the build
#                       with CUDA libraries after a warning
#   --torch_index URL   like --cpu, but from this package index, and fail if it has no CPU build; PyTorch's is https://download.pytorch.org/whl/cpu
#   --force             create the environment again from scratch
# Without options an existing environment keeps its variant. The variable PYTHON selects the Python (3.10 to 3.12); default: the first suitable one of
# python3.11, python3.10, python3.12 and python3, for root one that other users may execute, too, if there is one. Package indexes are those that pip and uv are configured for.

set -Eeuo pipefail
unset CDPATH # with CDPATH, cd prints its target and may go to another directory of that name
[[ ${BASH_SOURCE[0]} != */* ]] || cd "${BASH_SOURCE[0]%/*}"
cd -P ..
top=$PWD venv=$PWD/tools/venv lock=$PWD/tools/requirements.lock log=$PWD/tools/.setup.log
mark=$venv/.complete # variant, path and hash of the lock file; written after everything is installed
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

# python_fault PYTHON: why a Python is unsuitable; empty if it is suitable.
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
    print("has no headers, which pyworld needs (Debian, Ubuntu: apt install %s-dev)" % name)
' 2>/dev/null || echo "does not run"
}

# is_private PYTHON: whether root would make an environment that no other user can use, as of a Python in /root.
is_private() {
    [ "$EUID" -eq 0 ] && [ -z "${PYTHON:-}" ] && [ "$("$1" -c '
import os, stat, sys
path = os.path.realpath(sys.executable)
while path != "/" and os.stat(path).st_mode & stat.S_IXOTH:
    path = os.path.dirname(path)
print("" if path == "/" else "private")
' 2>/dev/null)" = private ]
}

find_python() {
    local candidate candidates=(python3.11 python3.10 python3.12 python3) fault faults='' private=''
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}" /usr/bin/python3.11 /usr/bin/python3.10 /usr/bin/python3.12; do
        [[ $candidate != /usr/bin/* ]] || [ -n "$private" ] || [ "$candidate" = "${PYTHON:-}" ] || break
        command -v "$candidate" >/dev/null || continue
        fault=$(python_fault "$candidate" | head -n 1)
        [ -n "$fault" ] || is_private "$candidate" || { echo "$candidate" && return; }
        [ -n "$fault" ] || private=${private:-$candidate}
        faults+=${fault:+"; $candidate $fault"}
    done
    [ -z "$private" ] || { say "other users may not execute $private and cannot use this environment" && echo "$private" && return; }
    die "no suitable Python (3.10, 3.11 or 3.12 with venv and headers)$faults: install one, or set the variable PYTHON to one"
}

check_machine() {
    case $(uname -m) in x86_64 | aarch64 | arm64) ;; *) die "this machine is $(uname -m): MindSpore has wheels for x86-64 and aarch64 only" ;; esac
    command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || die "no C++ compiler, which pyworld needs: install g++"
    if [[ $variant == cpu=true* ]]; then check_disk 6; else check_disk 12; fi
}

# check_disk GB: fails if less is free. The installer needs space for unpacking besides that of the environment.
check_disk() {
    local free
    free=$(df -Pk "$top/tools" | awk 'NR == 2 { printf "%d", $4 / 1048576 }')
    [ "$free" -ge "$1" ] || die "not enough disk space: $free GB free in $top/tools, $1 GB needed"
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

last_error() { grep -i error "$log" | tail -n 1; }

# make_venv PYTHON: an empty environment with uv, or without uv if it cannot be downloaded.
make_venv() {
    rm -rf "$venv"
    "$1" -m venv "$venv" >"$log" 2>&1 || die "$1 -m venv failed: $(tail -n 1 "$log")"
    if ! pip install --retries 1 --timeout 30 "$(grep '^uv==' "$lock")" >>"$log" 2>&1; then
        pip install --retries 1 --timeout 30 --no-deps "$(grep '^tqdm==' "$lock")" >>"$log" 2>&1 ||
            die "cannot download packages: check the network and pip's index settings ($(last_error))"
        say "uv cannot be downloaded: installing with pip, which takes longer"
    fi
}

# install FILE: installs a requirements file with uv, from pip's index if one is set, or with pip if uv fails.
install() {
    local index
    if [ -x "$venv/bin/uv" ]; then
        index=${PIP_INDEX_URL:-$(pip config get global.index-url 2>/dev/null || true)}
        "$venv/bin/uv" pip install --python "$venv/bin/python" --no-deps ${index:+--default-index "$index"} -r "$1" && return
        say "uv failed: trying pip"
    fi
    pip install --no-deps -r "$1" || die "installation failed (see above): fix the cause and run tools/setup.sh again"
}

# try_torch PIP_OPTION... REQUIREMENT: installs a build of torch; fails, with none installed, if it is missing or requires CUDA libraries.
try_torch() {
    pip install --retries 1 --no-deps "$@" >>"$log" 2>&1 || return
    "$venv/bin/python" -c 'import importlib.metadata as m, sys; sys.exit(any("nvidia" in r for r in m.requires("torch") or ()))' && return
    echo "ERROR: $* is a build with CUDA" >>"$log"
    pip uninstall --yes torch >>"$log" 2>&1
    return 1
}

# Installs the CPU build of torch: from --torch_index, else version +cpu from pip's indexes and directories, else any CPU build in pip's directories.
install_cpu_torch() {
    say "looking for a CPU build of $torch"
    if [ -n "$torch_index" ]; then
        try_torch --index-url "$torch_index" "$torch+cpu" || try_torch --index-url "$torch_index" "$torch" ||
            die "no CPU build of $torch for this Python at $torch_index ($(last_error)): check the URL, or omit --torch_index"
    else
        try_torch "$torch+cpu" || try_torch --no-index "$torch"
    fi
}

# Installs the lock file. torchaudio's compiled libraries work with one version of torch only, and torchaudio works without them.
install_all() {
    local wanted=$lock
    if [[ $variant == cpu=true* ]]; then
        if install_cpu_torch; then
            wanted=$venv/requirements-cpu.txt
            grep -vE '^(torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)==' "$lock" >"$wanted"
        else
            say "pip finds no CPU build of $torch for this Python (see tools/.setup.log);" \
                "to install one, interrupt this and run: tools/setup.sh --torch_index $cpu_index"
            check_disk 12
        fi
    fi
    [ "$wanted" != "$lock" ] ||
        say "installing $torch with CUDA libraries: 2.6 GB to download, 8 GB of disk in total (5 GB with --cpu)"
    install "$wanted"
    rm -f "$venv"/lib/python3*/site-packages/torchaudio/lib/*.so
}

# Installs the command `asrlib`, an alternative to python -m asrlib.bin.NAME that nothing depends on.
install_project() {
    pip install --no-deps --no-build-isolation --no-index -e "$top" >>"$log" 2>&1 ||
        say "cannot install the command asrlib ($(last_error)): use python -m asrlib.bin.NAME, or see $log"
}

# g2p_en downloads two NLTK resources on import if they are missing; the project never uses them, so empty files will do.
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
    die "tools/venv is incomplete, or this user may not execute its Python, and $top/tools is not writable:" \
        "its owner must run tools/setup.sh (with PYTHON set to a Python that all users may execute)"
exec 9>"$top/tools/.setup.lock"
if ! flock -n 9; then
    say "another tools/setup.sh is running: waiting for it to finish"
    flock 9
    if complete; then exit 0; fi
fi

if ! $force && [ -r "$mark" ] && [ "$(head -n 2 "$mark")" = "$(fingerprint | head -n 2)" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    say "tools/requirements.lock has changed: updating tools/venv"
    rm "$mark"
else
    python=$(find_python) || exit # it has printed the error
    check_machine
    if [ -d "$venv" ] && [ ! -e "$mark" ]; then
        say "tools/venv is incomplete because an earlier set-up was interrupted: creating it again"
    elif [ -d "$venv" ]; then
        say "tools/venv was created with other options or in another directory: creating it again"
    fi
    say "creating tools/venv with $python; this takes some minutes"
    make_venv "$python"
fi
install_all
install_project
make_nltk_data
fingerprint >"$mark.tmp"
mv "$mark.tmp" "$mark"
say "tools/venv is ready"
