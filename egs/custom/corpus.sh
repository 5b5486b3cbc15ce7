# shellcheck shell=bash disable=SC2034,SC2154
# A corpus of the user's own; $chain (ctc|ssl) is the chain of stages to go on with:  . ../corpus.sh "$@"

# Options of a custom corpus
train_dir=  # folder, a Kaldi data directory to train on (needed)
valid_dir=  # folder, a Kaldi data directory to validate on; none: a part of train_dir
test_dirs=  # folders, Kaldi data directories to decode and score, each under its name (needed)
valid_portion=0.05  # part of train_dir to validate on when there is no valid_dir
audio_root=  # folder from which relative paths in wav.scp count; none: where you are, or a folder above the data directory
allow_pipes=false  # accept commands in wav.scp ("sox ... |"), and run them
fix=false  # leave faulty utterances out and list them, instead of stopping
# End of options

corpus_setup() {
    local dir
    [ -n "$train_dir" ] || _refuse "--train_dir is needed: a Kaldi data directory (wav.scp, text, utt2spk) to train on"
    [ -n "$test_dirs" ] || _refuse "--test_dirs is needed: one or more Kaldi data directories to decode and score"
    for dir in "$train_dir" ${valid_dir:+"$valid_dir"} $test_dirs; do
        [ -d "$dir" ] || _refuse "$dir: no such folder (a Kaldi data directory is expected)"
        sources+=("$dir")
    done
    for dir in $test_dirs; do
        test_names+=("$(basename "$dir")")
    done
    audio_root=${audio_root:-$called_from}
}

corpus_fetch() { echo "The corpus is yours: nothing to download"; }

corpus_prepare() {
    asr prepare_data --corpus kaldi --train_dir "$train_dir" --valid_portion "$valid_portion" --test_dirs "$test_dirs" --data_dir "$datadir" \
        --audio_root "$audio_root" --allow_pipes "$allow_pipes" --fix "$fix" ${valid_dir:+--valid_dir "$valid_dir"}
}

# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/../common/${chain:?}.sh" "$@"
