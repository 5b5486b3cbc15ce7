#!/usr/bin/env bash
# Jasper trained from scratch on CMU AN4, 42 minutes of speech: from the archive to a table of word error rates.
# conf/jasper.yaml is a small model; --mini true only moves the outputs to mini/.

# shellcheck source=egs/common/begin.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE:-$0}")")/../../common/begin.sh"

# shellcheck disable=SC2034  # for ctc.sh
model=jasper

# The options of the corpus and the commands of stages 0 and 1.
# shellcheck source=egs/an4/corpus.sh
. ../corpus.sh

# Run the stages: corpus, features, training in MindSpore, conversion to PyTorch, decoding and scoring.
# shellcheck source=egs/common/ctc.sh
. ../../common/ctc.sh "$@"
