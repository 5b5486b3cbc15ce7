#!/usr/bin/env bash
# All tests: ruff, shellcheck, mypy, pytest, as many files at a time as there are cores (-n 0: one after the other, as --pdb needs).
# Other options and arguments go to pytest: tests/run.sh tests/score -k sclite
#
#   --recipes true   also run whole recipes: those on the mini corpora, and every recipe (egs/recipes.csv) with its published network on a few dozen
#                    utterances; many minutes each

set -euo pipefail
unset CDPATH # with it, cd may find another folder of that name
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
workers=$(nproc) && [ "$workers" -le 4 ] || workers=4 # each may take 3 GB
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # the workers share the cores
python -m pytest -n "$workers" --dist loadfile --no-loadscope-reorder "${selection[@]}" "$@"
