#!/usr/bin/env bash
# Jasper trained from scratch on LibriSpeech: from the corpus to a table of word error rates.
# --mini true runs all stages in minutes, on a small corpus of synthesised speech in LibriSpeech's layout.

# shellcheck source=egs/common/begin.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE:-$0}")")/../../common/begin.sh"

# shellcheck disable=SC2034  # for ctc.sh
model=jasper default_labels=conf/labels_en.txt

# The options of the corpus and the commands of stages 0 and 1.
# shellcheck source=egs/librispeech/corpus.sh
. ../corpus.sh

# Run the stages: corpus, features, training in MindSpore, conversion to PyTorch, decoding and scoring.
# shellcheck source=egs/common/ctc.sh
. ../../common/ctc.sh "$@"
