# shellcheck shell=bash disable=SC2034,SC2154
# AISHELL-1 for its recipes: what stages 0 and 1 do, and from which options. A run.sh sources it before its chain of stages (egs/common/recipe.sh says
# what it defines).

option_group "Options of AISHELL-1"
option corpus_dir path "" "folder of a corpus already there (data_aishell, with wav and transcript in it); none: DOWNLOAD_DIR/data_aishell"
option mirror text "" "URL of a mirror of the archive"
option remove_archive bool false "delete the archive once it is unpacked"

corpus=aishell1 default_published=egs/aishell1/published.md

corpus_setup() {
    if $mini && [ -z "$corpus_dir" ]; then
        corpus=mini_aishell1
    fi
    [ -z "$corpus_dir" ] || [ -d "$corpus_dir/wav" ] || _refuse "--corpus_dir $corpus_dir has no folder wav: give data_aishell"
    sources=("${corpus_dir:-$download_dir/data_aishell}"/{wav,transcript})
    test_names=(test)
}

corpus_fetch() {
    if [ -n "$corpus_dir" ]; then
        echo "The corpus is in $corpus_dir: nothing to download"
    else
        asr download --corpus "$corpus" --download_dir "$download_dir" --remove_archive "$remove_archive" ${mirror:+--mirror "$mirror"}
    fi
}

corpus_prepare() {
    asr prepare_data --corpus "$corpus" --corpus_dir "${corpus_dir:-$download_dir/data_aishell}" --data_dir "$datadir"
}
