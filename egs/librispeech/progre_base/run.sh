#!/usr/bin/env bash
# ProgRE base pretrained in MindSpore on LibriSpeech, converted to PyTorch, and fine-tuned in ESPnet as a frozen s3prl upstream: from the corpus to a table of error rates.
# --mini true does all of it in minutes, on a small corpus of synthesised speech in LibriSpeech's layout.

# shellcheck disable=SC2034  # read by ssl.sh
chain=ssl model=progre size=base

# shellcheck source=egs/librispeech/corpus.sh
. "$(dirname "${BASH_SOURCE[0]}")/../corpus.sh" "$@"
