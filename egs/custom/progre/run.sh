#!/usr/bin/env bash
# ProgRE pretrained in MindSpore on your own corpus, converted to PyTorch, and fine-tuned in ESPnet as a frozen s3prl upstream.
#     run.sh --train_dir my/train --test_dirs "my/test" [--valid_dir my/dev]
# --mini true: small models for a first try. --size large: the large model. --pretrained_model FILE: use a pretrained model.

# shellcheck source=egs/common/begin.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE:-$0}")")/../../common/begin.sh"

# shellcheck disable=SC2034  # for ssl.sh
model=progre

option_group "Options of this recipe"
option size 'choice:base|large' base "size of the model"

# The options of the corpus and the commands of stages 0 and 1.
# shellcheck source=egs/custom/corpus.sh
. ../corpus.sh

# Run the stages: corpus, targets, pretraining in MindSpore, conversion to PyTorch, fine-tuning in ESPnet, decoding and scoring.
# shellcheck source=egs/common/ssl.sh
. ../../common/ssl.sh "$@"
