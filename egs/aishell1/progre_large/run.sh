#!/usr/bin/env bash
# ProgRE large pretrained in MindSpore, converted to PyTorch, and fine-tuned in ESPnet on AISHELL-1 as a frozen s3prl upstream: from the corpus to a table of CERs.
# --mini true does all of it in minutes, on a small corpus of synthesised Mandarin in AISHELL-1's layout.

# shellcheck disable=SC2034  # read by ssl.sh
chain=ssl model=progre size=large

# shellcheck source=egs/aishell1/corpus.sh
. "$(dirname "${BASH_SOURCE[0]}")/../corpus.sh" "$@"
