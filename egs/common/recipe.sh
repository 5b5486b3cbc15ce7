# shellcheck shell=bash disable=SC2034,SC2154
# What every recipe begins with: the common options, the command line, the environment, the folders. ctc.sh, ssl.sh, pretrain.sh and updates.sh source it with "$@"; their own
# options, and those of the corpus and the recipe, stand before.
# The corpus has defined
#     corpus_setup     checks its options; sets the arrays sources (what stage 0 leaves for stage 1), test_names (directories under data) and, if there is
#                      more, fetched (what stage 0 leaves for later stages)
#     corpus_fetch     the commands of stage 0          corpus_prepare     the commands of stage 1

set -euo pipefail
# shellcheck disable=SC2034  # for the recipe
called_from=$PWD
sources=() test_names=() fetched=()
common=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
recipe=$(cd "$(dirname "${BASH_SOURCE[-1]}")" && pwd)

# Options of every recipe
stage=0  # first stage: 0 download, 1 data, 2 features, 3 training, 4 conversion, 5 fine-tuning, 6 decoding
stop_stage=6  # last stage
skip_stages=  # stages to leave out, e.g. "0 1"
mini=false  # a small corpus and small models; what is made lies under mini/
nj=0  # jobs at a time; 0: as many as cores
inference_nj=0  # jobs at a time in stage 6; 0: as many as cores
cmd_backend=local  # local|slurm: where jobs run
ngpu=1  # devices to train on, on each machine
num_nodes=1  # machines to train on
device=CPU  # CPU|GPU|Ascend: where MindSpore trains
download_dir=downloads  # folder for what is downloaded
datadir=data  # folder of the Kaldi data directories
dumpdir=dump  # folder of the features and tokens
expdir=exp  # folder of the experiments
tag=  # name of the experiment; none: from the configuration, its arguments and the seed
seed=  # number: seed of the training; none: the configuration's
token_type=char  # char|word|sentencepiece: what the model writes
nbpe=500  # pieces of a sentencepiece model
lm=  # file of an n-gram language model (ARPA or KenLM) for the beam of CTC
inference_config=  # file with the settings of the beam search (joint search where there is one)
force=false  # run the stages though nothing has changed
dry_run=false  # show what would be done and do nothing
# End of options

# shellcheck source=egs/common/parse_options.sh
. "$common/parse_options.sh"
parse_options "$@"
cd "$recipe"
# shellcheck source=path.sh
. "$common/../../path.sh"
# shellcheck source=egs/common/stages.sh
. "$common/stages.sh"

if $mini; then
    for folder in download_dir datadir dumpdir expdir; do
        [ -n "${option_given[$folder]:-}" ] || printf -v "$folder" 'mini/%s' "${!folder}"
    done
fi
corpus_setup
data_names=(train dev "${test_names[@]}")
data_dirs=("${data_names[@]/#/"$datadir/"}")
tokens=$dumpdir/tokens.txt
# shellcheck disable=SC2034  # for the chain
command_line="$0$(_quoted "$@")"

asr() { run python -m "asrlib.bin.$1" "${@:2}"; }

# launch COMMAND EXP OPTION...: a training command, on several devices under msrun. The first machine's address and this one's number come from MASTER_ADDR and NODE_RANK.
launch() {
    local processes=$((ngpu * num_nodes))
    if [ "$processes" -gt 1 ]; then
        run msrun --worker_num="$processes" --local_worker_num="$ngpu" --master_addr="${MASTER_ADDR:-127.0.0.1}" --node_rank="${NODE_RANK:-0}" --join=True \
            --log_dir="$2/log/msrun" "$ROOT/asrlib/bin/$1.py" --exp_dir "$2" "${@:3}"
    else
        asr "$1" --exp_dir "$2" "${@:3}"
    fi
}

# The recipe's own configuration of that name, else the shared one (with --mini true the small one).
config_file() {
    if [ -e "conf/$1" ]; then
        echo "conf/$1"
    else
        echo "$ROOT/conf/$($mini && echo mini/)$1"
    fi
}

# Its arguments as a name for a folder; a long one is cut and ends in a digest of the whole.
folder_name() {
    local name=$*
    name=${name//[^A-Za-z0-9_.=-]/_}
    [ ${#name} -le 120 ] || name=${name:0:100}_$(sha256sum <<<"$name" | head -c 10)
    echo "$name"
}

check_modes() {
    local mode valid=" $1 "
    [[ $decode_modes == *[![:space:]]* ]] || _refuse "--decode_modes: name at least one of $1"
    for mode in $decode_modes; do
        [[ $valid == *" $mode "* ]] || _refuse "--decode_modes: '$mode' is not one of $1"
    done
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
    asr decode --exp_dir "$1" --data_dirs "${test_names[*]/#/$2/}" --modes "$decode_modes" --out "$1" --nj "$inference_nj" \
        --device "$device" --cmd_backend "$cmd_backend" ${inference_config:+--inference_config "$inference_config"} ${lm:+--lm "$lm"}
}

# score_sets EXP: word and character error rates of EXP/decode_MODE/SET for every mode and set.
score_sets() {
    local mode name unit out
    for mode in $decode_modes; do
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
    for mode in $decode_modes; do
        for name in "${test_names[@]}"; do
            printf '%s\n' "$1/decode_$mode/$name"/score_{wer,cer}/result.json
        done
    done
}
