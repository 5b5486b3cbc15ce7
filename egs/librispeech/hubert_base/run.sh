#!/usr/bin/env bash
# HuBERT base pretrained in MindSpore on LibriSpeech, converted to PyTorch, and fine-tuned in ESPnet as a frozen s3prl upstream: from the corpus to a
# table of error rates.
# --mini true runs all stages in minutes, on a small corpus of synthesised speech in LibriSpeech's layout.

# shellcheck source=egs/common/begin.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE:-$0}")")/../../common/begin.sh"

# shellcheck disable=SC2034  # for ssl.sh
model=hubert size=base

# The options of the corpus and the commands of stages 0 and 1.
# shellcheck source=egs/librispeech/corpus.sh
. ../corpus.sh

# Run the stages: corpus, targets, pretraining in MindSpore, conversion to PyTorch, fine-tuning in ESPnet, decoding and scoring.
# shellcheck source=egs/common/ssl.sh
. ../../common/ssl.sh "$@"
