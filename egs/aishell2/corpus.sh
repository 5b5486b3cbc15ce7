# shellcheck shell=bash disable=SC2034,SC2154
# AISHELL-2, to pretrain on, without the sentences of AISHELL-1's dev and test: what stages 0 and 1 do, and from which options. A run.sh sources it
# before its chain of stages (egs/common/recipe.sh says what it defines).

option_group "Options of AISHELL-2"
option corpus_dir path "" \
    "folder of the corpus (AISHELL-2, with iOS/data in it), which is licensed: http://www.aishelltech.com/aishell_2 (needed without --mini)"
option aishell1_dir path "" "folder of AISHELL-1 (data_aishell) whose dev and test sentences are left out; none: DOWNLOAD_DIR/data_aishell, fetched"
option filter_leaks bool true "leave these sentences out; false: AISHELL-1 is not needed, and what is trained must not be tested on it"
option concat int 6 "utterances of a speaker that are joined to one; 1: none"
option valid_portion number 0.01 "part of the utterances, once joined, to validate on; of the mini corpus 0.05"
option mirror text "" "URL of a mirror of AISHELL-1's archive"
option remove_archive bool false "delete that archive once it is unpacked"

corpus=aishell2 corpora=()  # corpora: what stage 0 fetches

corpus_setup() {
    local folder prefix=
    if [ -z "$corpus_dir" ]; then
        $mini || _refuse "--corpus_dir is needed: the folder AISHELL-2, which is licensed (http://www.aishelltech.com/aishell_2), or --mini true"
        corpus=mini_aishell2 corpora=(mini_aishell2) prefix=mini_
        corpus_dir=$download_dir/AISHELL-2
        [ -n "${option_given[valid_portion]+given}" ] || valid_portion=0.05
    else
        for folder in "$corpus_dir" "$corpus_dir"/{data,iOS/data}; do
            [ ! -e "$folder/wav.scp" ] || break
        done
        [ -e "$folder/wav.scp" ] || _refuse "--corpus_dir $corpus_dir has no iOS/data/wav.scp: give the folder AISHELL-2"
    fi
    sources=("${folder:-$corpus_dir/iOS/data}"/{wav.scp,trans.txt})
    evaluation_sets=()
    if ! $filter_leaks; then
        aishell1_dir=
        return
    fi
    if [ -z "$aishell1_dir" ]; then
        corpora+=("${prefix}aishell1")
        aishell1_dir=$download_dir/data_aishell
    else
        [ -d "$aishell1_dir/wav" ] || _refuse "--aishell1_dir $aishell1_dir has no folder wav: give data_aishell"
    fi
    sources+=("$aishell1_dir/transcript")
    evaluation_sets=("$aishell1_dir")
}

corpus_fetch() {
    local name
    [ ${#corpora[@]} -gt 0 ] || echo "The corpora are in $corpus_dir${aishell1_dir:+ and $aishell1_dir}: nothing to download"
    for name in "${corpora[@]}"; do
        asr download --corpus "$name" --download_dir "$download_dir" --remove_archive "$remove_archive" ${mirror:+--mirror "$mirror"}
    done
}

corpus_prepare() {
    asr prepare_data --corpus "$corpus" --corpus_dir "$corpus_dir" --data_dir "$datadir" --filter_leaks "$filter_leaks" --concat "$concat" \
        --valid_portion "$valid_portion" ${aishell1_dir:+--aishell1_dir "$aishell1_dir"}
}
