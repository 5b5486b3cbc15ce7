# shellcheck shell=bash disable=SC2034,SC2154
# Self-supervised recipes: corpus, targets, pretraining in MindSpore, conversion, ESPnet fine-tuning through an s3prl upstream, decoding, scores. The
# last line of a run.sh:
#     . ../../common/ssl.sh "$@"
# The recipe has set $model (progre|hubert) and $size (base|large), and sourced its corpus (recipe.sh says what that defines).
#
# Pretraining goes in iterations, each with its configuration, its targets and its number of clusters:
#     --pretrain_configs "hubert_base.yaml hubert_base.yaml progre_large.yaml" --targets "mfcc 6 9" --clusters "100 500 500"
# trains on clusters of MFCC, then of that model's hidden state 6, then of the second model's hidden state 9 (Hsu et al. 2021, section 4).

option_group "Options of self-supervised recipes"
option pretrain_configs paths "" "files, one for each iteration; none: those of the published model, with --mini true one small model"
option targets words "" "what each iteration predicts clusters of: mfcc, or the hidden state of the model before"
option mfcc_args words "" 'options of make_targets for the clusters of MFCC, e.g. "--cmvn true" (what --mini true does)'
option clusters ints "" "how many clusters each iteration has"
option pretrain_args text "" 'keys of the pretraining configurations to set, e.g. "trainer.updates=1000"'
option pretrained_model path "" "file of a pretrained model instead of pretraining: ours, or a HuBERT of fairseq, s3prl or transformers"
option upstream 'choice:progre_ms|hubert_ms|hubert_fairseq' "" "which model is pretrained, or taken from --pretrained_model; none: the recipe's"
option speakers 'choice:labels|clusters' labels "where the speakers that ProgRE tells apart come from; clusters where utt2spk says nothing"
option num_speakers int 100 "with --speakers clusters: how many"
option asr_config path "" "file with ESPnet's configuration; none: asr_conformer.yaml (conf/mini with --mini true)"
option asr_args text "" 'keys of asr_config to set, e.g. "optim_conf.lr=1e-3 max_epoch=20"'
option cache_states 'choice:auto|true|false' auto "compute the frozen upstream's hidden states once, where they fit into --cache_gb"
option cache_gb number 50 "GB for the hidden states of the training and validation sets"
option ablation bool false "also fine-tune on the same model with random weights and on log-mel features, and compare"
option decode_modes 'words:greedy|beam|joint' "greedy joint" 'ways to decode, of "greedy beam joint"'
option published path "" "file with published results, a Markdown table, for RESULTS.md; none: the corpus's"

# shellcheck source=egs/common/recipe.sh
. "$common/recipe.sh" "$@"

upstream=${upstream:-${model:?}_ms}
model=${upstream%_*}
[ "$upstream" != hubert_fairseq ] || [ -n "$pretrained_model" ] ||
    _refuse "--upstream hubert_fairseq needs --pretrained_model FILE (of fairseq, s3prl or transformers)"
# What is published: two iterations of HuBERT base, the large models on clusters of the second one's layer 9
if [ ${#pretrain_configs[@]} -eq 0 ]; then
    if $mini; then
        names=("$model.yaml") default_targets=(mfcc) default_clusters=(100)
        [ -n "${option_given[mfcc_args]+given}" ] || mfcc_args=(--cmvn true)
    elif [ "${size:?}" = base ]; then
        names=(hubert_base.yaml "${model}_base.yaml") default_targets=(mfcc 6) default_clusters=(100 500)
    else
        names=(hubert_base.yaml hubert_base.yaml "${model}_large.yaml") default_targets=(mfcc 6 9) default_clusters=(100 500 500)
    fi
    for name in "${names[@]}"; do pretrain_configs+=("$(config_file "$name")"); done
    [ ${#targets[@]} -gt 0 ] || targets=("${default_targets[@]}")
    [ ${#clusters[@]} -gt 0 ] || clusters=("${default_clusters[@]}")
fi
if [ -n "$pretrained_model" ]; then
    pretrain_configs=("${pretrain_configs[-1]}")
elif [ ${#pretrain_configs[@]} -ne ${#targets[@]} ] || [ ${#pretrain_configs[@]} -ne ${#clusters[@]} ]; then
    _refuse "--pretrain_configs, --targets and --clusters must be as many: '${pretrain_configs[*]}', '${targets[*]}', '${clusters[*]}'"
fi
last=$((${#pretrain_configs[@]} - 1))
asr_config=${asr_config:-$(config_file asr_conformer.yaml)}
published=${published:-${default_published:+$ROOT/$default_published}}
tag=${tag:-$(experiment_name "${pretrain_configs[last]}" "$pretrain_args" "$pretrained_model")}
exp=$expdir/$tag
asr_tag=$(experiment_name "$asr_config" "$asr_args")
asr_exp=$expdir/${asr_tag}_$tag

scratch=true target_files=()  # whether stage 3 pretrains, on what of stage 2
if [ -n "$pretrained_model" ]; then
    scratch=false
else
    target_files=("$dumpdir"/{train,dev}/targets/"km${clusters[0]}.safetensors")
    [ "$model" != progre ] || target_files+=("$dumpdir"/{train,dev}/targets/pitch.safetensors "$dumpdir/train/targets/speakers.json")
fi

stage 2 "feature extraction" "$dumpdir" needs "${data_dirs[@]:0:2}" makes "${target_files[@]}" "$tokens"
stage_2() {
    local name
    asr make_tokens --type "$token_type" --nbpe "$nbpe" --text "$datadir/train/text" --out "$tokens" # ESPnet has <unk> for others
    $scratch || return 0
    make_clusters mfcc "${clusters[0]}" "km${clusters[0]}" "${mfcc_args[@]}"
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
    needs "${pretrain_configs[@]}" "${target_files[@]}" ${pretrained_model:+"$pretrained_model"} \
    makes "$exp/config.yaml" "$exp/model.safetensors"
stage_3() {
    if ! $scratch; then
        asr convert --to ms --pretrain_config "${pretrain_configs[last]}" --checkpoint "$pretrained_model" --out "$exp"
        return
    fi
    local i name=km${clusters[0]} out before
    for ((i = 0; i <= last; i++)); do
        if [ "$i" -gt 0 ]; then
            name=$(basename "$before")_layer${targets[i]}_km${clusters[i]}
            if $dry_run || $force || [ ! -s "$dumpdir/dev/targets/$name.safetensors" ]; then
                make_clusters layer "${clusters[i]}" "$name" --exp_dir "$before" --layer "${targets[i]}"
            fi
        fi
        out=$exp
        [ "$i" -eq "$last" ] || out=${exp}_iteration$((i + 1))
        pretrain "${pretrain_configs[i]}" "$name" "${clusters[i]}" "$out" "$pretrain_args"
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

package=s3prl.pt
[ "$model" != progre ] || package=progre.pt
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
    asr dump_speech --data_dirs "$(path_list "${data_dirs[@]:0:2}")" --out "$dump" "${options[@]}" \
        --asr_config "$asr_config" ${asr_args:+--asr_args "$asr_args"} --cache_states "$cache_states" --cache_gb "$cache_gb" \
        --nj "$nj" --cmd_backend "$cmd_backend"
    asr finetune --asr_config "$asr_config" --train_dir "$dump/train" --valid_dir "$dump/dev" --tokens "$tokens" --exp_dir "$1" "${options[@]}" \
        --ngpu "$gpus" --force "$force" ${seed:+--seed "$seed"} ${asr_args:+--asr_args "$asr_args"}
}

# random_upstream EXP: the network as pretraining begins with it
random_upstream() {
    asr random_upstream --exp_dir "$exp" --out "$1"
    asr convert --exp_dir "$1"
}

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
    asr report --exp_dir "$asr_exp" --command "$command_line" ${published:+--published "$published"} \
        --baselines "$(path_list "${systems[@]:1}")" --siblings true
}

run_stages "$@"
