#!/usr/bin/env bash
# Mandarin wav2vec 2.0: every kept checkpoint of ../../aishell2/wav2vec2_base fine-tuned in ESPnet on AISHELL-1; a table and a curve of CER against
# pretraining updates.
#     run.sh --aishell2_dir AISHELL-2       pretrains, then fine-tunes
#     run.sh --pretrained_exp DIR           fine-tunes from an existing pretraining experiment
# --mini true runs all stages in minutes, on synthesised Mandarin in the layouts of both corpora.

# shellcheck source=egs/common/begin.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE:-$0}")")/../../common/begin.sh"

# shellcheck disable=SC2034  # for finetune_sweep.sh
model=wav2vec2 size=base pretraining_recipe=egs/aishell2/wav2vec2_base

# The options of the corpus and the commands of stages 0 and 1.
# shellcheck source=egs/aishell1/corpus.sh
. ../corpus.sh

# Run the stages: corpus, pretraining by the other recipe, fine-tuning in ESPnet, decoding and scoring, table and curve.
# shellcheck source=egs/common/finetune_sweep.sh
. ../../common/finetune_sweep.sh "$@"
