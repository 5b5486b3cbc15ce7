#!/usr/bin/env bash
# DeepSpeech2 trained from scratch on a corpus of your own: Kaldi data directories (wav.scp, text, utt2spk) in, a table of word error rates out.
#     run.sh --train_dir my/train --test_dirs "my/test" [--valid_dir my/dev]
# conf/deepspeech2.yaml is a small model; --mini true only keeps what is made under mini/.

# shellcheck disable=SC2034  # read by ctc.sh
chain=ctc model=deepspeech2

# shellcheck source=egs/custom/corpus.sh
. "$(dirname "${BASH_SOURCE[0]}")/../corpus.sh" "$@"
