#!/usr/bin/env bash
# wav2vec 2.0 base pretrained in MindSpore on AISHELL-2, without the sentences of AISHELL-1's dev and test sets; every kept checkpoint is converted to
# PyTorch.
#     run.sh --corpus_dir AISHELL-2
# --mini true pretrains a small model in minutes, on a synthesised corpus in AISHELL-2's layout.

# shellcheck source=egs/common/begin.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE:-$0}")")/../../common/begin.sh"

# shellcheck disable=SC2034  # for pretrain.sh
model=wav2vec2 size=base finetuning_recipe=egs/aishell1/mandarin_wav2vec2

# The options of the corpus and the commands of stages 0 and 1.
# shellcheck source=egs/aishell2/corpus.sh
. ../corpus.sh

# Run the stages: corpus, pretraining in MindSpore, conversion to PyTorch.
# shellcheck source=egs/common/pretrain.sh
. ../../common/pretrain.sh "$@"
