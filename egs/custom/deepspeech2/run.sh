#!/usr/bin/env bash
# DeepSpeech2 trained from scratch on a corpus of your own: Kaldi data directories (wav.scp, text, utt2spk) in, a table of word error rates out.
#     run.sh --train_dir my/train --test_dirs "my/test" [--valid_dir my/dev]
# conf/deepspeech2.yaml is a small model; --mini true only keeps what is made under mini/.

# shellcheck source=egs/common/begin.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../common/begin.sh"

# shellcheck disable=SC2034  # for ctc.sh
model=deepspeech2

# shellcheck source=egs/custom/corpus.sh
. ../corpus.sh
# shellcheck source=egs/common/ctc.sh
. ../../common/ctc.sh "$@"
