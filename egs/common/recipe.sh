# shellcheck shell=bash disable=SC2034,SC2154
# What every chain of stages begins with: the common options, the command line, the environment, the folders, stages 0 and 1. ctc.sh, ssl.sh,
# pretrain.sh and updates.sh source it with "$@"; their own options, and those of the corpus and the recipe, are declared before.
# The corpus has defined
#     corpus_setup     checks its options; sets the arrays sources (what stage 0 leaves for stage 1), test_names (directories under data)
#                      and, if there is more, fetched (what stage 0 leaves for later stages)
#     corpus_fetch     the commands of stage 0          corpus_prepare     the commands of stage 1

option_group "Options of every recipe"
run_option stage int 0 "first stage: 0 download, 1 data, 2 features, 3 training, 4 conversion, 5 fine-tuning, 6 decoding"
run_option stop_stage int 6 "last stage"
run_option skip_stages ints "" 'stages to leave out, e.g. "0 1"'
option mini bool false "a small corpus and small models; what is made lies under mini/"
run_option nj int 0 "jobs at a time; 0: as many as cores"
run_option inference_nj int 0 "jobs at a time in stage 6; 0: as many as cores"
run_option cmd_backend 'choice:local|slurm' local "where jobs run"
run_option memory_gb int "" "memory that training may take on a machine, in GB; none: what is free, in a container of what it has"
option ngpu int 1 "devices to train on, on each machine"
option num_nodes int 1 "machines to train on"
option device 'choice:CPU|GPU|Ascend' CPU "where MindSpore trains"
option download_dir path downloads "folder for what is downloaded"
option datadir path data "folder of the Kaldi data directories"
option dumpdir path dump "folder of the features and tokens"
option expdir path exp "folder of the experiments"
option tag text "" "name of the experiment; none: from the configuration, its arguments and the seed"
option seed int "" "number: seed of the training; none: the configuration's"
option token_type 'choice:char|word|sentencepiece' char "what the model writes"
option nbpe int 500 "pieces of a sentencepiece model"
option lm path "" "file of an n-gram language model (ARPA or KenLM) for the beam of CTC"
option inference_config path "" "file with the settings of the beam search (joint search where there is one)"
run_option force bool false "run the stages though nothing has changed"
run_option dry_run bool false "show what would be done and do nothing"
parse_options "$@"

# shellcheck source=path.sh
. "$common/../../path.sh" || exit # it has said why
# shellcheck source=egs/common/stages.sh
. "$common/stages.sh"

small= # what --mini true puts before the names of folders
if $mini; then
    small=mini/
    for folder in download_dir datadir dumpdir expdir; do
        [ -n "${option_given[$folder]+given}" ] || printf -v "$folder" '%s' "$small${!folder}"
    done
fi
sources=() test_names=() fetched=()
corpus_setup
data_names=(train dev "${test_names[@]}")
data_dirs=("${data_names[@]/#/"$datadir/"}")
tokens=$dumpdir/tokens.txt
command_line=$0$(_quoted "$@")
gpus=0 # for PyTorch
[ "$device" != GPU ] || gpus=1

asr() { run python -m "asrlib.bin.$1" "${@:2}"; }

# launch COMMAND EXP OPTION...: a training command, on several devices under msrun. The first machine's address and this one's number come from
# MASTER_ADDR and NODE_RANK.
launch() {
    local processes=$((ngpu * num_nodes))
    set -- "$@" ${memory_gb:+--memory_gb "$memory_gb"}
    if [ "$processes" -gt 1 ]; then # not the script msrun, whose first line does not survive a space in the checkout's path
        export ASRLIB_LOCAL_PROCESSES=$ngpu # they share the memory of the machine
        run python -m mindspore.parallel.cluster.run --worker_num="$processes" --local_worker_num="$ngpu" --master_addr="${MASTER_ADDR:-127.0.0.1}" \
            --node_rank="${NODE_RANK:-0}" --join=True --log_dir="$2/log/msrun" "$ROOT/asrlib/bin/$1.py" --exp_dir "$2" "${@:3}"
    else
        asr "$1" --exp_dir "$2" "${@:3}"
    fi
}

# config_file NAME: the recipe's own configuration of that name, else the shared one (with --mini true the small one).
config_file() {
    if [ -e "conf/$1" ]; then
        echo "conf/$1"
    else
        echo "$ROOT/conf/$small$1"
    fi
}

# pretraining_config MODEL SIZE: name of the configuration that a model is pretrained with.
pretraining_config() { if $mini; then echo "$1.yaml"; else echo "$1_$2.yaml"; fi; }

# experiment_name CONFIG ARGUMENTS [PRETRAINED_MODEL]: name of an experiment, from what makes it.
experiment_name() {
    folder_name "$(basename "$1" .yaml)${2:+_$2}${seed:+_seed$seed}${3:+_$(basename "$3")}"
}

# folder_name TEXT: a name for a folder; a long one is cut and ends in a digest of the whole.
folder_name() {
    local name=${1//[^A-Za-z0-9_.=-]/_}
    [ ${#name} -le 120 ] || name=${name:0:100}_$(sha256sum <<<"$name" | head -c 10)
    echo "$name"
}

stage 0 "download" "$download_dir" makes "${sources[@]}" "${fetched[@]}"
stage_0() {
    asr preflight --download_dir "$download_dir"
    corpus_fetch
}

stage 1 "data preparation" "$datadir" needs "${sources[@]}" makes "${data_dirs[@]/%//wav.scp}" "${data_dirs[@]/%//text}"
stage_1() { corpus_prepare; }

# decode_sets EXP FOLDER: all test sets, in FOLDER, in all modes: EXP/decode_MODE/SET.
decode_sets() {
    asr decode --exp_dir "$1" --data_dirs "$(path_list "${test_names[@]/#/"$2/"}")" --modes "${decode_modes[*]}" --out "$1" --nj "$inference_nj" \
        --device "$device" --cmd_backend "$cmd_backend" ${inference_config:+--inference_config "$inference_config"} ${lm:+--lm "$lm"}
}

# score_sets EXP: word and character error rates of EXP/decode_MODE/SET for every mode and set.
score_sets() {
    local mode name unit out
    for mode in "${decode_modes[@]}"; do
        for name in "${test_names[@]}"; do
            out=$1/decode_$mode/$name
            for unit in word char; do
                asr score --ref "$datadir/$name/text" --hyp "$out/text" --unit "$unit" --out "$out/score_${unit:0:1}er"
            done
        done
    done
}

# score_files EXP: what score_sets makes.
score_files() {
    local mode name
    for mode in "${decode_modes[@]}"; do
        for name in "${test_names[@]}"; do
            printf '%s\n' "$1/decode_$mode/$name"/score_{wer,cer}/result.json
        done
    done
}
