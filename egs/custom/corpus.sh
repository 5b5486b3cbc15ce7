# shellcheck shell=bash disable=SC2034,SC2154
# A corpus of the user's own: what stages 0 and 1 do, and from which options. A run.sh sources it before its chain of stages (egs/common/recipe.sh
# says what it defines).

option_group "Options of a custom corpus"
option train_dir path "" "folder, a Kaldi data directory to train on (needed)"
option valid_dir path "" "folder, a Kaldi data directory to validate on; none: a part of train_dir"
option test_dirs paths "" "folders, Kaldi data directories to decode and score, each under its name (needed)"
option valid_portion number 0.05 "part of train_dir to validate on when there is no valid_dir"
option audio_root path "" "folder from which relative paths in wav.scp count; none: where you are, or a folder above the data directory"
option allow_pipes bool false 'accept commands in wav.scp ("sox ... |"), and run them'
option fix bool false "leave faulty utterances out and list them, instead of stopping"

corpus_setup() {
    local dir name
    [ -n "$train_dir" ] || _refuse "--train_dir is needed: a Kaldi data directory (wav.scp, text, utt2spk) to train on"
    [ ${#test_dirs[@]} -gt 0 ] || _refuse "--test_dirs is needed: one or more Kaldi data directories to decode and score"
    for dir in "$train_dir" ${valid_dir:+"$valid_dir"} "${test_dirs[@]}"; do
        [ -d "$dir" ] || _refuse "$dir: no such folder (a Kaldi data directory is expected; given:$(_quoted \
            --train_dir "$train_dir" --test_dirs "${option_given[test_dirs]}"))"
        sources+=("$dir")
    done
    for dir in "${test_dirs[@]}"; do
        name=$(basename "$(realpath -ms "$dir")")
        [[ "/train/dev/$(printf '%s/' "${test_names[@]}")" != */"$name"/* ]] ||
            _refuse "--test_dirs: $dir: there is already a set $name: rename the folder"
        test_names+=("$name")
    done
    audio_root=${audio_root:-$called_from}
}

corpus_fetch() { echo "The corpus is yours: nothing to download"; }

corpus_prepare() {
    asr prepare_data --corpus kaldi --train_dir "$train_dir" --valid_portion "$valid_portion" \
        --test_dirs "$(path_list "${test_dirs[@]}")" --data_dir "$datadir" \
        --audio_root "$audio_root" --allow_pipes "$allow_pipes" --fix "$fix" ${valid_dir:+--valid_dir "$valid_dir"}
}
