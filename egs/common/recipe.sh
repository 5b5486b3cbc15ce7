# shellcheck shell=bash disable=SC2034,SC2154
# The part that all recipes share: common options, the command line, the environment, directories, stages 0 and 1. ctc.sh, ssl.sh, pretrain.sh and
# finetune_sweep.sh source it with "$@", after the options of the recipe, of its corpus and their own are declared.
# corpus.sh has defined
#     corpus_setup     checks the options of the corpus; sets the arrays sources (outputs of stage 0 that stage 1 reads), test_names (directories
#                      under data) and, if there are any, fetched (outputs of stage 0 that later stages read)
#     corpus_fetch     the commands of stage 0          corpus_prepare     the commands of stage 1

option_group "Options of every recipe"
stages='download|data|features|training/train/pretraining/pretrain|conversion/convert|fine-tuning/finetuning/finetune|decoding/decode/scoring/score'
run_option stage "stage:$stages" 0 "first stage to run: 0 download, 1 data, 2 features, 3 training, 4 conversion, 5 fine-tuning, 6 decoding"
run_option stop_stage "stage:$stages" 6 "last stage to run, by number or name"
run_option skip_stages "stages:$stages" "" 'stages to skip, e.g. "0 1" or "download data"'
option mini bool false "use a small corpus and small models; all outputs go to mini/"
run_option nj int 0 "parallel jobs; 0: one per core"
run_option inference_nj int 0 "parallel jobs in stage 6; 0: one per core"
run_option cmd_backend 'choice:local|slurm' local "where stages 2 to 6 run: here, or as jobs on Slurm"
run_option slurm_args text "" \
    'options of sbatch, "time=4:00:00 mem=8G training.time=3-0 gpu.gres=gpu:1"; array. (many files), training. (MindSpore), gpu. (ESPnet): of a kind'
run_option memory_gb int "" "memory limit of training and fine-tuning on each machine, in GB; none: the available memory"
run_option profile bool false "write MindSpore's trace of ten updates of the training to EXP/profile and log their dearest operators"
option ngpu int 1 "processes of training on each machine, one on each device; also of fine-tuning, without --asr_ngpu"
option num_nodes int 1 "number of machines for training"
option device 'choice:CPU|Ascend|GPU' CPU \
    "device of MindSpore: stages 3 and 4, and 6 of models trained from scratch; GPU is refused: MindSpore's wheels have no CUDA"
run_option asr_device 'choice:auto|cpu|cuda|npu' auto \
    "device of ESPnet, stages 5 and 6; auto: CUDA if PyTorch sees a card, else an NPU if torch_npu sees one, else the CPU"
run_option asr_ngpu int "" "processes of fine-tuning in ESPnet, which divide every batch, each on a card, or on a share of the cores; none: --ngpu"
option download_dir path downloads "directory of downloads"
option datadir path data "directory of the Kaldi data directories"
option dumpdir path dump "directory of features and tokens"
option expdir path exp "directory of experiments"
option tag text "" "name of the experiment; none: made from the configuration, the overridden keys and the seed"
option seed int "" "random seed of training; none: that of the configuration"
option token_type 'choice:char|word|sentencepiece' char "output units of the model"
option nbpe int 500 "vocabulary size of the sentencepiece model"
option lm path "" "n-gram language model (ARPA or KenLM) for CTC beam search"
option inference_config path "" "configuration of the beam search (of the joint search in recipes that have one)"
run_option shortage 'choice:stop|warn' stop "what stage 0 does if disk or memory is likely to run out: stop, or say so and go on"
run_option force bool false "run the stages even if nothing has changed, and start training over"
run_option dry_run bool false "print the plan without running anything"
parse_options "$@"
[ "$device" != GPU ] ||
    _refuse "--device GPU: MindSpore's wheels compute on CPU and Ascend, not on CUDA: give --device CPU or Ascend for MindSpore (stages 3 and 4), \
--asr_device cuda for ESPnet (stages 5 and 6), or --pretrained_model FILE instead of pretraining"

# shellcheck source=path.sh
. "$common/../../path.sh" || exit # path.sh has printed the error
# shellcheck source=egs/common/stages.sh
. "$common/stages.sh"

mini_prefix= # of directories
if $mini; then
    mini_prefix=mini/
    for name in download_dir datadir dumpdir expdir; do
        [ -n "${option_given[$name]+given}" ] || printf -v "$name" '%s' "$mini_prefix${!name}"
    done
fi
sources=() test_names=() fetched=() estimate=() parts_of_decoding=true
corpus_setup
data_names=(train dev "${test_names[@]}")
data_dirs=("${data_names[@]/#/"$datadir/"}")
tokens=$dumpdir/tokens.txt
command_line=$0$(_quoted "$@")

asr() { run python -m "asrlib.bin.$1" "${@:2}"; }

# compute KIND EXP COMMAND OPTION...: runs a command here, or as a job of the kind (training or gpu) on Slurm.
compute() {
    if [ "$cmd_backend" = slurm ]; then
        asr submit --kind "$1" --log_dir "$2/log/slurm/$3" ${slurm_args:+--slurm_args "$slurm_args"} -- "${@:3}"
    else
        asr "${@:3}"
    fi
}

# launch COMMAND EXP OPTION...: runs a training command, in several processes if there are several devices. Without Slurm, the recipe is started on
# each machine: MASTER_ADDR is the address of the first, NODE_RANK the number of this one.
launch() {
    local command=("$1" --exp_dir "$2" "${@:3}" ${memory_gb:+--memory_gb "$memory_gb"}) marks=${stage_dir[$shared_stage]}/.stages machines=()
    ! $profile || command+=(--profile true)
    if [ $((ngpu * num_nodes)) -gt 1 ]; then
        [ "$num_nodes" -eq 1 ] || machines=(--machines "$num_nodes")
        [ ${#machines[@]} -eq 0 ] || [ "$cmd_backend" = slurm ] || machines+=(--alive "$marks/first.lock" --passed "$marks/$shared_stage.passed")
        command=(launch --processes "$ngpu" "${machines[@]}" --log_dir "$2/log/launch" -- "${command[@]}")
    fi
    if [ "$cmd_backend" = slurm ]; then
        asr submit --kind training "${machines[@]}" --log_dir "$2/log/slurm/$1" ${slurm_args:+--slurm_args "$slurm_args"} -- "${command[@]}"
    else
        run_on_all python -m "asrlib.bin.${command[0]}" "${command[@]:1}"
    fi
}

# config_file NAME: conf/NAME of the recipe if it exists, else of its corpus (../conf), else of the top-level conf (conf/mini with --mini true).
config_file() {
    local folder
    for folder in conf ../conf "$ROOT/conf/${mini_prefix%/}"; do
        [ ! -e "$folder/$1" ] || break
    done
    echo "${folder%/}/$1"
}

# pretraining_config MODEL SIZE: file name of the pretraining configuration.
pretraining_config() { if $mini; then echo "$1.yaml"; else echo "$1_$2.yaml"; fi; }

# experiment_name CONFIG ARGUMENTS [PRETRAINED_MODEL]: default name of an experiment.
experiment_name() {
    folder_name "$(basename "$1" .yaml)${2:+_$2}${seed:+_seed$seed}${3:+_$(model_name "$3")}"
}

# model_name FILE: its name, after that of its folder if many models have files of this name (pytorch_model.bin, EXP/pt/s3prl.pt).
model_name() {
    local path name folder
    local common='^(pytorch_model|model|checkpoint|weights|valid|train|best|last|average|s3prl|encoder|decoder)([._-]?(best|last|[0-9]+))*([.].*)?$'
    local inner='^(pt|ms|transformers|checkpoints|updates|inference|snapshots|[0-9]+|[0-9a-f]{40})$' # folders in that of an experiment or a hub
    path=$(realpath -ms "$1")
    name=${path##*/} folder=$(basename "${path%/*}")
    while [ -n "${path%/*}" ] && { [[ ${path##*/} =~ $common ]] || [[ ${path##*/} =~ $inner ]] || [[ $folder =~ $inner ]]; }; do
        path=${path%/*} name=${folder}_$name
        folder=$(basename "${path%/*}")
    done
    echo "$name"
}

# folder_name TEXT: the text as the name of a directory; a long one is truncated and ends in a digest of the whole text.
folder_name() {
    local name=${1//[^A-Za-z0-9_.=-]/_}
    [ ${#name} -le 120 ] || name=${name:0:100}_$(sha256sum <<<"$name" | head -c 10)
    echo "$name"
}

stage 0 "download" "$download_dir" makes "${sources[@]}" "${fetched[@]}"
stage_0() {
    asr preflight --download_dir "$download_dir" --asr_device "$asr_device"
    estimate_needs
    corpus_fetch
}

# What the recipe needs on disk and in memory; the array estimate has options that the chain of stages gives. Synthesised corpora are small. It is no
# part of what stage 0 is compared by: other options of later stages do not download again.
estimate_needs() {
    [[ ${corpus:-} != mini_* ]] && [ ${#estimate[@]} -gt 0 ] && [ -n "$command_line" ] || return 0
    asr estimate --sources "$(path_list "${sources[@]}" "${pretrain_dirs[@]}")" ${corpus:+--corpus "$corpus"} --dump_dir "$dumpdir" \
        --exp_dir "$expdir" "${estimate[@]}" --device "$device" ${memory_gb:+--memory_gb "$memory_gb"} --shortage "$shortage"
}

stage 1 "data preparation" "$datadir" needs "${sources[@]}" makes "${data_dirs[@]/%//wav.scp}" "${data_dirs[@]/%//text}"
stage_1() {
    corpus_prepare
    [ "${pretrain_set:-train}" = train ] || prepare_pretraining_set # of pretraining.sh
}

# decode_sets EXP DIR: decodes DIR/SET of all test sets in all modes to EXP/decode_MODE/SET. On Slurm, fine-tuned models have a job for each part.
decode_sets() {
    local place=(asr) backend=$cmd_backend
    $parts_of_decoding || { place=(compute training "$1") && backend=local; }
    "${place[@]}" decode --exp_dir "$1" --data_dirs "$(path_list "${test_names[@]/#/"$2/"}")" --modes "${decode_modes[*]}" --out "$1" \
        --nj "$inference_nj" --device "$device" --asr_device "$asr_device" --cmd_backend "$backend" ${slurm_args:+--slurm_args "$slurm_args"} \
        ${inference_config:+--inference_config "$inference_config"} ${lm:+--lm "$lm"}
}

# score_sets EXP: computes word and character error rates in EXP/decode_MODE/SET for all modes and test sets.
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

# write_page EXP... [OPTION...]: the page of an experiment, compared with the others. It takes seconds, and no recipe fails without it.
write_page() {
    (asr page "$@") || echo "there is no page of the experiment (see above); the results are complete"
}

# score_files EXP: the output files of score_sets.
score_files() {
    local mode name
    for mode in "${decode_modes[@]}"; do
        for name in "${test_names[@]}"; do
            printf '%s\n' "$1/decode_$mode/$name"/score_{wer,cer}/result.json
        done
    done
}
