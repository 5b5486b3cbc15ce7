#!/usr/bin/env bash
# Runs all checks and tests: ruff, shellcheck, mypy and pytest, one process per core (at most four; -n 0: no processes, as --pdb needs).
# Other options and arguments are passed to pytest: tests/run.sh tests/score -k sclite
#
#   --recipes true   also run whole recipes: those on the mini corpora, and all of egs/recipes.csv with the published network on a few dozen
#                    utterances; each takes many minutes

set -euo pipefail
unset CDPATH # with CDPATH, cd may go to another directory of that name
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

case ${1:-} in
    --help | -h) sed -n '2,/^$/s/^# \{0,1\}//p' tests/run.sh && exit 0 ;;
    --recipes) recipes=${2:-} && shift 2 ;;
    --recipes=*) recipes=${1#*=} && shift ;;
    *) recipes=false ;;
esac
case $recipes in
    true) selection=() ;;
    false) selection=(-m "not recipe") ;;
    *) echo "tests/run.sh: --recipes: '$recipes' is not true or false" >&2 && exit 2 ;;
esac

. ./path.sh
python -m ruff check .
mapfile -t scripts < <(find . -path ./tools/venv -prune -o \( -name '*.sh' -o -path ./.ci/run \) -print)
shellcheck -x "${scripts[@]}"
python -m mypy
workers=$(nproc) && [ "$workers" -le 4 ] || workers=4 # each may need 3 GB of memory
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # the workers share the cores
python -m pytest -n "$workers" --dist loadfile --no-loadscope-reorder "${selection[@]}" "$@"
