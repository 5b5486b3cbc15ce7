# shellcheck shell=bash disable=SC2034,SC2154
# Self-supervised recipes: corpus, targets, pretraining in MindSpore, conversion, ESPnet fine-tuning through an s3prl upstream, decoding, scores. The last line
# of a run.sh (or of its corpus.sh) sources it:
#     . ../../common/ssl.sh "$@"
# The recipe has set $model (progre|hubert) and $size (base|large), and defined its corpus (recipe.sh says how) before.
#
# Pretraining goes in iterations, each with its configuration, its targets and its number of clusters:
#     pretrain_configs="hubert_base.yaml hubert_base.yaml progre_large.yaml"  targets="mfcc 6 9"  clusters="100 500 500"
# trains on clusters of MFCC, then of that model's hidden state 6, then of the second model's hidden state 9 (Hsu et al. 2021, section 4).

# Options of self-supervised recipes
pretrain_configs=  # files, one for each iteration; none: those of the published model, with --mini true one small model
targets=  # what each iteration predicts clusters of: mfcc, or the hidden state of the model before
mfcc_args=  # options of make_targets for the clusters of MFCC, e.g. "--cmvn true" (what --mini true does)
clusters=  # how many clusters each iteration has
pretrain_args=  # keys of the pretraining configurations to set, e.g. "trainer.updates=1000"
pretrained_model=  # file of a pretrained model instead of pretraining: ours, or a HuBERT of fairseq, s3prl or transformers
upstream=  # progre_ms, hubert_ms or hubert_fairseq: which model is pretrained, or taken from --pretrained_model; none: the recipe's
speakers=labels  # labels|clusters: where the speakers that ProgRE tells apart come from; clusters where utt2spk says nothing
num_speakers=100  # with --speakers clusters: how many
asr_config=  # file with ESPnet's configuration; none: asr_conformer.yaml (conf/mini with --mini true)
asr_args=  # keys of asr_config to set, e.g. "optim_conf.lr=1e-3 max_epoch=20"
cache_states=auto  # auto|true|false: compute the frozen upstream's hidden states once, where they fit into --cache_gb
cache_gb=50  # GB for the hidden states of the training and validation sets
ablation=false  # also fine-tune on the same model with random weights and on log-mel features, and compare
decode_modes="greedy joint"  # ways to decode, of "greedy beam joint"
published=  # file with published results, a Markdown table, for RESULTS.md; none: the corpus's
# End of options

# shellcheck source=egs/common/recipe.sh
. "$(dirname "${BASH_SOURCE[0]}")/recipe.sh" "$@"

check_modes "greedy beam joint"
case ${upstream:-${model:?}_ms} in
    hubert_fairseq)
        model=hubert
        [ -n "$pretrained_model" ] || _refuse "--upstream hubert_fairseq needs --pretrained_model FILE (of fairseq, s3prl or transformers)"
        ;;
    progre_ms | hubert_ms) upstream=${upstream:-${model}_ms} model=${upstream%_ms} ;;
    *) _refuse "--upstream: '$upstream' is not one of progre_ms, hubert_ms, hubert_fairseq" ;;
esac
# What is published: two iterations of HuBERT base, the large models on clusters of the second one's layer 9
if [ -z "$pretrain_configs" ]; then
    if $mini; then
        pretrain_configs=$model.yaml targets=${targets:-mfcc} clusters=${clusters:-100}
        [ -n "${option_given[mfcc_args]:-}" ] || mfcc_args="--cmvn true"
    elif [ "${size:?}" = base ]; then
        pretrain_configs="hubert_base.yaml ${model}_base.yaml" targets=${targets:-mfcc 6} clusters=${clusters:-100 500}
    else
        pretrain_configs="hubert_base.yaml hubert_base.yaml ${model}_large.yaml" targets=${targets:-mfcc 6 9} clusters=${clusters:-100 500 500}
    fi
    pretrain_configs=$(for name in $pretrain_configs; do config_file "$name"; done | paste -sd ' ')
fi
read -ra configs <<<"$pretrain_configs"
read -ra target_list <<<"$targets"
read -ra cluster_list <<<"$clusters"
if [ -n "$pretrained_model" ]; then
    configs=("${configs[@]: -1}")
elif [ ${#configs[@]} -ne ${#target_list[@]} ] || [ ${#configs[@]} -ne ${#cluster_list[@]} ]; then
    _refuse "--pretrain_configs, --targets and --clusters must be as many: '$pretrain_configs', '$targets', '$clusters'"
fi
asr_config=${asr_config:-$(config_file asr_conformer.yaml)}
published=${published:-${default_published:+$ROOT/$default_published}}
last=$((${#configs[@]} - 1))
[ -n "$tag" ] || tag=$(folder_name "$(basename "${configs[last]}" .yaml)${pretrain_args:+_$pretrain_args}${seed:+_seed$seed}${pretrained_model:+_$(basename "$pretrained_model")}")
exp=$expdir/$tag
asr_tag=$(folder_name "$(basename "$asr_config" .yaml)${asr_args:+_$asr_args}${seed:+_seed$seed}")
asr_exp=$expdir/${asr_tag}_$tag

scratch=true target_files=()  # whether stage 3 pretrains, on what of stage 2
if [ -n "$pretrained_model" ]; then
    scratch=false
else
    target_files=("$dumpdir"/{train,dev}/targets/"km${cluster_list[0]}.safetensors")
    [ "$model" != progre ] || target_files+=("$dumpdir"/{train,dev}/targets/pitch.safetensors "$dumpdir/train/targets/speakers.json")
fi

stage 2 "feature extraction" "$dumpdir" needs "${data_dirs[@]:0:2}" makes "${target_files[@]}" "$tokens"
stage_2() {
    local name words
    asr make_tokens --type "$token_type" --nbpe "$nbpe" --text "$datadir/train/text" --out "$tokens" # ESPnet has <unk> for others
    $scratch || return 0
    IFS=' ' read -ra words <<<"$mfcc_args"
    make_clusters mfcc "${cluster_list[0]}" "km${cluster_list[0]}" "${words[@]}"
    [ "$model" = progre ] || return 0
    for name in train dev; do
        make_targets "$name" --type pitch
    done
    make_targets train --type speakers --speakers "$speakers" --num_speakers "$num_speakers"
}

make_targets() {
    asr make_targets --data_dir "$datadir/$1" --dump_dir "$dumpdir/$1" "${@:2}" --nj "$nj" --cmd_backend "$cmd_backend"
}

# make_clusters TYPE NUMBER NAME [OPTION...]: learnt on the training set, applied to the validation set.
make_clusters() {
    make_targets train --type "$1" --num_clusters "$2" --name "$3" "${@:4}"
    make_targets dev --type "$1" --centroids "$dumpdir/train/targets/$3.centroids.safetensors" --name "$3" "${@:4}"
}

stage 3 "pretraining" "$exp" \
    needs "${configs[@]}" "${target_files[@]}" ${pretrained_model:+"$pretrained_model"} \
    makes "$exp/config.yaml" "$exp/model.safetensors"
stage_3() {
    if ! $scratch; then
        asr convert --to ms --pretrain_config "${configs[last]}" --checkpoint "$pretrained_model" --out "$exp"
        return
    fi
    local i name=km${cluster_list[0]} out before
    for ((i = 0; i <= last; i++)); do
        if [ "$i" -gt 0 ]; then
            name=$(basename "$before")_layer${target_list[i]}_km${cluster_list[i]}
            if $dry_run || $force || [ ! -s "$dumpdir/dev/targets/$name.safetensors" ]; then
                make_clusters layer "${cluster_list[i]}" "$name" --exp_dir "$before" --layer "${target_list[i]}"
            fi
        fi
        out=$exp
        [ "$i" -eq "$last" ] || out=${exp}_iteration$((i + 1))
        pretrain "${configs[i]}" "$name" "${cluster_list[i]}" "$out" "$pretrain_args"
        before=$out
    done
}

# pretrain CONFIG TARGETS CLUSTERS EXP ARGS
pretrain() {
    launch pretrain "$4" --pretrain_config "$1" --name "$2" --pretrain_args "model_conf.num_classes=$(($3 + 4))${5:+ $5}" \
        --train_dir "$datadir/train" --train_targets "$dumpdir/train/targets" --valid_dir "$datadir/dev" --valid_targets "$dumpdir/dev/targets" \
        --device "$device" --force "$force" ${seed:+--seed "$seed"}
}

stage 4 "conversion" "$exp" needs "$exp/model.safetensors" "$datadir/dev/wav.scp" makes "$exp/pt" "$exp/compare"
stage_4() {
    asr convert --exp_dir "$exp"
    asr compare_layers --exp_dir "$exp" --wav_scp "$datadir/dev/wav.scp" --num_utts 2
}

# The systems that are fine-tuned: the pretrained one and, for comparison, the same network with random weights and log-mel features
systems=("$asr_exp")
baselines=("${asr_exp}_random" "$expdir/${asr_tag}_logmel")
! $ablation || systems+=("${baselines[@]}")

package=$([ "$model" = progre ] && echo progre || echo s3prl).pt
stage 5 "fine-tuning" "$asr_exp" needs "$asr_config" "$tokens" "$exp/pt/$package" makes "${systems[@]/%//inference}"
stage_5() {
    finetune "$asr_exp" "${model}_local" "$exp/pt/$package"
    $ablation || return 0
    random_upstream "${exp}_random"
    finetune "${baselines[0]}" "${model}_local" "${exp}_random/pt/$package"
    finetune "${baselines[1]}"
}

# finetune EXP [UPSTREAM CHECKPOINT]
finetune() {
    local dump options=(${2:+--upstream "$2" --upstream_model "$3"})
    dump=$dumpdir/$(basename "$1")
    asr dump_speech --data_dirs "${data_dirs[*]:0:2}" --out "$dump" "${options[@]}" --asr_config "$asr_config" ${asr_args:+--asr_args "$asr_args"} --cache_states "$cache_states" --cache_gb "$cache_gb" --nj "$nj" --cmd_backend "$cmd_backend"
    asr finetune --asr_config "$asr_config" --train_dir "$dump/train" --valid_dir "$dump/dev" --tokens "$tokens" --exp_dir "$1" "${options[@]}" \
        --ngpu "$(gpus)" --force "$force" ${seed:+--seed "$seed"} ${asr_args:+--asr_args "$asr_args"}
}

# random_upstream EXP: the network as pretraining begins with it
random_upstream() {
    asr random_upstream --exp_dir "$exp" --out "$1"
    asr convert --exp_dir "$1"
}

gpus() { [ "$device" = GPU ] && echo 1 || echo 0; }

mapfile -t scores < <(for system in "${systems[@]}"; do score_files "$system"; done)
stage 6 "decoding and scoring" "$asr_exp" \
    needs "${systems[@]/%//inference}" "${data_dirs[@]:2}" ${lm:+"$lm"} ${inference_config:+"$inference_config"} ${published:+"$published"} \
    makes "${scores[@]}" "$asr_exp/RESULTS.md"
stage_6() {
    local system
    for system in "${systems[@]}"; do
        decode_sets "$system" "$datadir"
        score_sets "$system"
    done
    asr report --exp_dir "$asr_exp" --command "$command_line" ${published:+--published "$published"} --baselines "${systems[*]:1}" --siblings true
}

run_stages "$@"
