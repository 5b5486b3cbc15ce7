# shellcheck shell=bash disable=SC2034,SC2154
# What the chains that pretrain share: the set to pretrain on, and pretraining on waveforms alone (wav2vec 2.0). A chain sources this file before
# recipe.sh, and after it calls `choose_pretraining_set`, which sets
#     pretrain_set      the name of the set to pretrain on: train, or pretrain, which stage 1 makes of --pretrain_dirs
#     pretrain_data     its Kaldi directory        pretrain_dump     its folder of features and targets
# A corpus.sh may set the array evaluation_sets, whose sentences are left out of --pretrain_dirs; none: dev and the test sets.

option pretrain_dirs paths "" "Kaldi data directories to pretrain on, with or without transcripts, instead of the training set, which may be one of \
them (DATADIR/train); sentences and recordings of dev and the test sets are left out of the others"
option filter_sentences bool true "leave these sentences out; false: the recordings alone, for speech of few sentences, such as commands or digits"

choose_pretraining_set() {
    local dir sources=()
    pretrain_set=train
    [ ${#pretrain_dirs[@]} -eq 0 ] || pretrain_set=pretrain
    pretrain_data=$datadir/$pretrain_set pretrain_dump=$dumpdir/$pretrain_set
    [ ${#pretrain_dirs[@]} -gt 0 ] || return 0
    [[ " ${test_names[*]} " != *" pretrain "* ]] || _refuse "--pretrain_dirs makes $pretrain_data, which is a test set: rename that set"
    for dir in "${pretrain_dirs[@]}"; do
        ! is_training_set "$dir" || continue
        [ -e "$dir/wav.scp" ] ||
            _refuse "--pretrain_dirs: $dir has no wav.scp: give Kaldi data directories; the training set is $(realpath -m "$datadir/train")"
        sources+=("$dir")
    done
    declare -p evaluation_sets >/dev/null 2>&1 || evaluation_sets=("${data_dirs[@]:1}")
    add_to_stage 1 needs "${sources[@]}" makes "$pretrain_data/wav.scp"
}

# The second part of stage 1, with --pretrain_dirs.
prepare_pretraining_set() {
    asr make_pretraining_set --data_dirs "$(path_list "${pretrain_dirs[@]}")" --out "$pretrain_data" --train_dir "$datadir/train" \
        --against "$(path_list "${evaluation_sets[@]}")" --filter_sentences "$filter_sentences" \
        --audio_root "${audio_root:-$called_from}" ${fix:+--fix "$fix"}
}

# is_training_set DIR: whether it is that of the recipe that pretrains, DATADIR/train, which stage 1 may still have to make.
is_training_set() { [ "$(realpath -m "$1")" = "$(realpath -m "${training_set:-$datadir/train}")" ]; }

# pretraining_name CONFIG ARGUMENTS [PRETRAINED_MODEL]: default name of a pretraining experiment; with --pretrain_dirs it has their names.
pretraining_name() {
    local dir names=
    for dir in "${pretrain_dirs[@]}"; do
        if is_training_set "$dir"; then names+=_train; else names+=_$(data_name "$dir"); fi
    done
    folder_name "$(experiment_name "$@")${names:+_on$names}"
}

# data_name DIR: its name after that of the folder that holds it (of /corpora/digits/data/train: digits-train).
data_name() {
    local path folder
    path=$(realpath -ms "$1")
    folder=${path%/*}
    [[ $folder != */data ]] || folder=${folder%/*}
    echo "${folder##*/}-${path##*/}"
}

# pretrain_on_waveforms CONFIG EXP [OPTION...]
pretrain_on_waveforms() {
    launch pretrain "$2" --pretrain_config "$1" --train_dir "$pretrain_data" --valid_dir "$datadir/dev" \
        --device "$device" --force "$start_over" "${@:3}" ${seed:+--seed "$seed"} ${pretrain_args:+--pretrain_args "$pretrain_args"}
}

# convert_every_checkpoint EXP: to PyTorch, also the last one's layers compared.
convert_every_checkpoint() {
    compute training "$1" convert --exp_dir "$1"
    compute training "$1" convert --exp_dir "$1" --updates true
    compute training "$1" compare_layers --exp_dir "$1" --wav_scp "$datadir/dev/wav.scp" --num_utts 2
}
