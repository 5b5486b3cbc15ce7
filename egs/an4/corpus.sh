# shellcheck shell=bash disable=SC2034,SC2154
# CMU AN4 for its recipes. A run.sh sources it before its chain of stages.

corpus=an4 corpus_parts=(etc wav)

# shellcheck source=egs/common/corpus.sh
. "$common/corpus.sh"
