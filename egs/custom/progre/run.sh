#!/usr/bin/env bash
# ProgRE pretrained in MindSpore on a corpus of your own, converted to PyTorch, and fine-tuned in ESPnet as a frozen s3prl upstream.
#     run.sh --train_dir my/train --test_dirs "my/test" [--valid_dir my/dev]
# --mini true takes small models, for a first try. --size large: the large model; --pretrained_model FILE: one that is pretrained already.

# shellcheck disable=SC2034  # read by ssl.sh
chain=ssl model=progre

# Options of this recipe
size=base  # base|large: of the model
# End of options

# shellcheck source=egs/custom/corpus.sh
. "$(dirname "${BASH_SOURCE[0]}")/../corpus.sh" "$@"
