# shellcheck shell=bash disable=SC2034,SC2154
# A corpus with the sets train, dev and test and no options of its own: what stages 0 and 1 do. A run.sh sources it before its chain of stages
# (egs/common/recipe.sh says what it defines), and sets before
#     corpus           its name in asrlib/corpora/registry.py
#     corpus_folder    its folder in the download folder; none: the name
#     corpus_parts     an array: folders in that folder; none: train dev test
#     mini_corpus      the corpus that --mini true takes; none: the same
#     corpus_source    of a corpus that cannot be downloaded: where to get it; --corpus_dir is then needed

corpus_folder=${corpus_folder:-${corpus:?}}
[ -n "${corpus_parts+set}" ] || corpus_parts=(train dev test)

option_group "Options of the corpus $corpus"
option corpus_dir path "" "folder $corpus_folder of a corpus already there, which holds ${corpus_parts[*]}; none: DOWNLOAD_DIR/$corpus_folder"
option mirror text "" "URL of a mirror of the archive"
option remove_archive bool false "delete the archive once it is unpacked"

corpus_setup() {
    local part
    if $mini && [ -z "$corpus_dir" ] && [ -n "${mini_corpus:-}" ]; then
        corpus=$mini_corpus
    elif [ -z "$corpus_dir" ] && [ -n "${corpus_source:-}" ]; then
        _refuse "--corpus_dir is needed: the folder $corpus_folder, which cannot be downloaded ($corpus_source)"
    fi
    for part in "${corpus_parts[@]}"; do
        [ -z "$corpus_dir" ] || [ -d "$corpus_dir/$part" ] || _refuse "--corpus_dir $corpus_dir has no folder $part: give $corpus_folder"
        sources+=("${corpus_dir:-$download_dir/$corpus_folder}/$part")
    done
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
    asr prepare_data --corpus "$corpus" --corpus_dir "${corpus_dir:-$download_dir/$corpus_folder}" --data_dir "$datadir"
}
