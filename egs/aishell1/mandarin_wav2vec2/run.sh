#!/usr/bin/env bash
# Mandarin wav2vec 2.0: fine-tuned in ESPnet on AISHELL-1 from every kept checkpoint of ../../aishell2/wav2vec2_base, to a table and a curve of CER
# against updates.
#     run.sh --aishell2_dir AISHELL-2       pretrains as well        run.sh --pretrained_exp DIR       takes a pretraining that is there
# --mini true does all of it in minutes, on synthesised Mandarin in the layouts of both corpora.

# shellcheck source=egs/common/begin.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../common/begin.sh"

# shellcheck disable=SC2034  # for updates.sh
model=wav2vec2 size=base pretraining=egs/aishell2/wav2vec2_base

# shellcheck source=egs/aishell1/corpus.sh
. ../corpus.sh
# shellcheck source=egs/common/updates.sh
. ../../common/updates.sh "$@"
