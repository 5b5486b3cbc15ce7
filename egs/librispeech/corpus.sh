# shellcheck shell=bash disable=SC2034,SC2154
# LibriSpeech for its recipes: what stages 0 and 1 do, and from which options. A run.sh sources it before its chain of stages (egs/common/recipe.sh
# says what it defines).

option_group "Options of LibriSpeech"
option train_sets words "train-clean-100 train-clean-360 train-other-500" "sets to train on; with --mini true: train-clean-100"
option valid_sets words "dev-clean dev-other" "sets to validate on; with --mini true: dev-clean"
option test_sets words "test-clean test-other" "sets to decode and score; with --mini true: test-clean"
option corpus_dir path "" \
    "folder of a corpus already there, with dev-clean and so on, or MindSpore's LibriSpeech_dataset; none: DOWNLOAD_DIR/LibriSpeech"
option mirror text "" "URL of a mirror of the archives"
option remove_archive bool false "delete each archive once it is unpacked"
option librispeech_lm 'choice:3-gram.pruned.3e-7|3-gram.pruned.1e-7|3-gram|4-gram' "" \
    "n-gram model of OpenSLR 11 for the beam (the last two take GBs of memory in every process)"

corpus=librispeech

corpus_setup() {
    local name
    if $mini; then
        [ -n "$corpus_dir" ] || corpus=mini_librispeech
        [ -n "${option_given[train_sets]+given}" ] || train_sets=(train-clean-100)
        [ -n "${option_given[valid_sets]+given}" ] || valid_sets=(dev-clean)
        [ -n "${option_given[test_sets]+given}" ] || test_sets=(test-clean)
    fi
    [ ! -d "$corpus_dir/train/wav" ] || wav_layout_sets
    for name in "${train_sets[@]}" "${valid_sets[@]}" "${test_sets[@]}"; do
        [ -z "$corpus_dir" ] || [ -d "$corpus_dir/$name" ] ||
            _refuse "--corpus_dir $corpus_dir has no folder $name (--train_sets, --valid_sets, --test_sets)"
        sources+=("${corpus_dir:-$download_dir/LibriSpeech}/$name")
    done
    test_names=("${test_sets[@]//-/_}")
    [ -n "$librispeech_lm" ] || return 0
    [ -z "$lm" ] || _refuse "--librispeech_lm and --lm are mutually exclusive: give one"
    lm=$download_dir/librispeech_lm/$librispeech_lm.arpa.gz
    fetched=("$lm")
    [ -n "${option_given[decode_modes]+given}" ] || decode_modes+=(beam)
}

# The sets of LibriSpeech_dataset/{train,val,test_clean,test_other}/{wav,txt}, the layout of MindSpore's DeepSpeech2.
wav_layout_sets() {
    local name
    for name in "$corpus_dir" "$corpus_dir/.."; do
        mapfile -t -O "${#sources[@]}" sources < <(compgen -G "$name/libri_*_manifest.*")
    done
    [ -n "${option_given[train_sets]+given}" ] || train_sets=(train)
    [ -n "${option_given[valid_sets]+given}" ] || valid_sets=(val)
    test_sets=("${test_sets[@]//-/_}")
    [ -z "${option_given[test_sets]+given}" ] || return 0
    test_sets=()
    for name in test_clean test_other; do
        [ ! -d "$corpus_dir/$name/wav" ] || test_sets+=("$name")
    done
}

corpus_fetch() {
    if [ -n "$corpus_dir" ]; then
        echo "The corpus is in $corpus_dir: nothing to download"
    else
        asr download --corpus "$corpus" --download_dir "$download_dir" --sets "${train_sets[*]} ${valid_sets[*]} ${test_sets[*]}" \
            --remove_archive "$remove_archive" ${mirror:+--mirror "$mirror"}
    fi
    [ -z "$librispeech_lm" ] || asr download --corpus librispeech_lm --download_dir "$download_dir" --sets "$librispeech_lm"
}

corpus_prepare() {
    asr prepare_data --corpus "$corpus" --corpus_dir "${corpus_dir:-$download_dir/LibriSpeech}" --data_dir "$datadir" \
        --train_sets "${train_sets[*]}" --valid_sets "${valid_sets[*]}" --test_sets "${test_sets[*]}"
}
