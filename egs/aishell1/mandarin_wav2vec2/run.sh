#!/usr/bin/env bash
# Mandarin wav2vec 2.0: fine-tuned in ESPnet on AISHELL-1 from every kept checkpoint of ../../aishell2/wav2vec2_base, to a table and a curve of CER against updates.
#     run.sh --aishell2_dir AISHELL-2       pretrains as well        run.sh --pretrained_exp DIR       takes a pretraining that is there
# --mini true does all of it in minutes, on synthesised Mandarin in the layouts of both corpora.

# shellcheck disable=SC2034  # read by updates.sh
chain=updates model=wav2vec2 pretraining=egs/aishell2/wav2vec2_base

# shellcheck source=egs/aishell1/corpus.sh
. "$(dirname "${BASH_SOURCE[0]}")/../corpus.sh" "$@"
