#!/usr/bin/env bash
# Jasper trained from scratch on LibriSpeech: from the corpus to a table of word error rates.
# --mini true does all of it in minutes, on a small corpus of synthesised speech in LibriSpeech's layout.

# shellcheck disable=SC2034  # read by ctc.sh
chain=ctc model=jasper default_labels=conf/labels_en.txt

# shellcheck source=egs/librispeech/corpus.sh
. "$(dirname "${BASH_SOURCE[0]}")/../corpus.sh" "$@"
