# shellcheck shell=bash
# The environment of every recipe and test: `. path.sh` from anywhere. Makes tools/venv on first use (tools/setup.sh); not with dry_run=true.

ROOT=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
export ROOT

if [ "${dry_run:-false}" != true ]; then
    "$ROOT/tools/setup.sh" || return 1
fi

export PATH="$ROOT/tools/venv/bin:$PATH"
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
unset PYTHONHOME                                 # of another Python
export LC_ALL=C                                  # Kaldi's order of ids: by bytes
export PYTHONUTF8=1 PYTHONIOENCODING=UTF-8       # text is UTF-8 all the same
export NLTK_DATA="$ROOT/tools/venv/nltk_data"    # g2p_en would download on import
export GLOG_v=3                                  # MindSpore: errors only
export TOKENIZERS_PARALLELISM=false TF_CPP_MIN_LOG_LEVEL=3

# A user without a name, or without a folder for caches in a home (containers): libraries fail on that, so they get both
if [ "${dry_run:-false}" != true ] && ! {
    id -un && [ -d "${HOME:-}" ] && mkdir -p "${XDG_CACHE_HOME:-$HOME/.cache}" && [ -w "${XDG_CACHE_HOME:-$HOME/.cache}" ]
} >/dev/null 2>&1; then
    while IFS= read -r _variable; do export "${_variable?}"; done < <(python -m asrlib.utils.places)
    unset _variable
fi
