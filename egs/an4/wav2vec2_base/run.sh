#!/usr/bin/env bash
# wav2vec 2.0 pretrained in MindSpore on AN4, or on more English without transcripts (--pretrain_dirs); every kept checkpoint fine-tuned in ESPnet on
# AN4: a table and a curve of error rates against pretraining updates.
# --mini true: a short pretraining.

# shellcheck source=egs/common/begin.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE:-$0}")")/../../common/begin.sh"

# shellcheck disable=SC2034  # for finetune_sweep.sh
model=wav2vec2 size=base

# The options of the corpus and the commands of stages 0 and 1.
# shellcheck source=egs/an4/corpus.sh
. ../corpus.sh

# Run the stages: corpus, pretraining in MindSpore, conversion to PyTorch, fine-tuning in ESPnet, decoding and scoring, table and curve.
# shellcheck source=egs/common/finetune_sweep.sh
. ../../common/finetune_sweep.sh "$@"
