# shellcheck shell=bash
# The environment of recipes and tests: `. path.sh`, from any directory. Creates tools/venv on first use (tools/setup.sh), except with dry_run=true.

ROOT=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
export ROOT

if [ "${dry_run:-false}" != true ]; then
    "$ROOT/tools/setup.sh" || return 1
fi

export PATH="$ROOT/tools/venv/bin:$PATH"
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
unset PYTHONHOME                                 # it belongs to another Python
export LC_ALL=C                                  # Kaldi sorts ids by bytes
export PYTHONUTF8=1 PYTHONIOENCODING=UTF-8       # but text is UTF-8
export NLTK_DATA="$ROOT/tools/venv/nltk_data"    # otherwise g2p_en downloads on import
export GLOG_v=3                                  # MindSpore: errors only
export TOKENIZERS_PARALLELISM=false TF_CPP_MIN_LOG_LEVEL=3

# Libraries fail if the user has no name or no writable cache directory, as in containers: set the variables that provide them
if [ "${dry_run:-false}" != true ] && ! {
    id -un && [ -d "${HOME:-}" ] && mkdir -p "${XDG_CACHE_HOME:-$HOME/.cache}" && [ -w "${XDG_CACHE_HOME:-$HOME/.cache}" ]
} >/dev/null 2>&1; then
    while IFS= read -r _variable; do export "${_variable?}"; done < <(python -m asrlib.utils.places)
    unset _variable
fi
