#!/usr/bin/env bash
# ProgRE pretrained in MindSpore on AN4, or on more English without transcripts (--pretrain_dirs), converted to PyTorch, and fine-tuned in ESPnet on
# AN4 as a frozen s3prl upstream: from the archive to a table of error rates.
# --mini true: one short iteration of pretraining.

# shellcheck source=egs/common/begin.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE:-$0}")")/../../common/begin.sh"

# shellcheck disable=SC2034  # for ssl.sh
model=progre size=base
# shellcheck disable=SC2034
default_configs=(hubert_base.yaml progre_base.yaml) default_iteration_args=(trainer.updates=3000)
# shellcheck disable=SC2034
default_targets=(mfcc 3) default_clusters=(100 200) default_mfcc_args=(--cmvn true --portion 1) default_layer_args=(--portion 1)
# shellcheck disable=SC2034
# 40 ms a frame of the encoder, as conv2d2 makes of the states, and masks of 200 ms
default_logmel_args="encoder_conf.input_layer=conv2d specaug_conf.time_mask_width_range=[0,20]"

# The options of the corpus and the commands of stages 0 and 1.
# shellcheck source=egs/an4/corpus.sh
. ../corpus.sh

# Run the stages: corpus, targets, pretraining in MindSpore, conversion to PyTorch, fine-tuning in ESPnet, decoding and scoring.
# shellcheck source=egs/common/ssl.sh
. ../../common/ssl.sh "$@"
