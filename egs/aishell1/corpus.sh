# shellcheck shell=bash disable=SC2034,SC2154
# AISHELL-1 for its recipes. A run.sh sources it before its chain of stages.

corpus=aishell1 mini_corpus=mini_aishell1 corpus_folder=data_aishell corpus_parts=(wav transcript) default_published=egs/aishell1/published.md

# shellcheck source=egs/common/corpus.sh
. "$common/corpus.sh"
