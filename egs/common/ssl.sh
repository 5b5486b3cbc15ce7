# shellcheck shell=bash disable=SC2034,SC2154
# Stages of self-supervised recipes: targets, pretraining in MindSpore, conversion, ESPnet fine-tuning with an s3prl upstream, decoding and scoring.
# The last line of a run.sh:
#     . ../../common/ssl.sh "$@"
# run.sh has set $model (progre|hubert) and $size (base|large) and sourced its corpus.sh (see recipe.sh). For a corpus of another size than the
# published ones it or corpus.sh may set the iterations of pretraining without --mini, as arrays:
#     default_configs (names, see config_file), default_iteration_args, default_targets, default_clusters, default_mfcc_args, default_layer_args
# and default_logmel_args (text): log-mel frames of 10 ms need another subsampling to reach the encoder at the rate of an upstream's, and masks of
# SpecAugment that last as long.
#
# Pretraining has several iterations, each with its configuration, targets and number of clusters:
#     --pretrain_configs "hubert_base.yaml hubert_base.yaml progre_large.yaml" --targets "mfcc 6 9" --clusters "100 500 500"
# The first model predicts clusters of MFCC, the second clusters of the first model's hidden state 6, the third clusters of the second model's hidden
# state 9 (Hsu et al. 2021, section 4).

option_group "Options of self-supervised recipes"
option pretrain_configs paths "" "pretraining configuration of each iteration; none: those of the published model, with --mini true one small model"
option targets words "" "features to cluster for each iteration: mfcc, or the number of a hidden state of the previous model"
option mfcc_args words "" 'options of make_targets for MFCC clusters, e.g. "--cmvn true" (the default with --mini true)'
option layer_args words "" 'options of make_targets for clusters of hidden states, e.g. "--portion 0.5"'
option clusters ints "" "number of clusters of each iteration"
option pretrain_args text "" 'keys of the pretraining configurations to override, e.g. "trainer.updates=1000"'
option pretrained_model path "" \
    "pretrained model to use instead of pretraining: of this project, or a file or folder of fairseq, s3prl or transformers"
option upstream 'choice:progre_ms|hubert_ms|hubert_fairseq|wav2vec2_fairseq' "" \
    "type of the pretrained model; none: that of the recipe; _fairseq: a file of another toolkit"
option speakers 'choice:labels|clusters' labels "speaker classes for ProgRE: labels of utt2spk, or clusters if utt2spk has no speakers"
option num_speakers int 100 "number of clusters for --speakers clusters"
option asr_config path "" "ESPnet configuration; none: asr_conformer.yaml (conf/mini with --mini true)"
option asr_args text "" 'keys of asr_config to override, e.g. "optim_conf.lr=1e-3 max_epoch=20"'
run_option cache_states 'choice:auto|true|false' auto \
    "compute the frozen upstream's hidden states once and store them; auto: if they fit into --cache_gb"
run_option cache_gb number 50 "maximum size of the stored hidden states of training and validation set, in GB"
option ablation bool false "also fine-tune with randomly initialised weights and with log-mel features, and compare: --baselines \"random logmel\""
option baselines 'words:random|logmel|iterations|float16' "" \
    "other inputs of the same conformer, to fine-tune as well and compare: random weights, log-mel features, models of the earlier iterations, the \
model with products in float16 (the migration's error)"
option random_args text "" 'keys of asr_config to override for random weights, which learn slowly, after those of --asr_args, e.g. "max_epoch=200"'
option logmel_args text "" 'the same for log-mel features; none: default_logmel_args of the recipe, e.g. "encoder_conf.input_layer=conv2d"'
option decode_modes 'words:greedy|beam|joint|attention|attention_rescoring' "greedy joint" \
    'decoding modes, of "greedy beam joint attention attention_rescoring"'
option published path "" "Markdown table of published results for RESULTS.md; none: that of the corpus"

# shellcheck source=egs/common/pretraining.sh
. "$common/pretraining.sh"
# shellcheck source=egs/common/recipe.sh
. "$common/recipe.sh" "$@"

choose_pretraining_set
upstream=${upstream:-${model:?}_ms}
model=${upstream%_*}
[[ $upstream != *_fairseq ]] || [ -n "$pretrained_model" ] ||
    _refuse "--upstream $upstream needs --pretrained_model FILE (of fairseq, s3prl or transformers)"
config_option=--pretrain_config # of convert: checked against the pretrained model
[ ${#pretrain_configs[@]} -gt 0 ] || config_option=--default_config # gives what the pretrained model does not say
iteration_args=() # overrides of each iteration
# Published: two iterations of HuBERT base, of 250,000 and 400,000 updates; the large models are trained on clusters of the second one's layer 9
if [ ${#pretrain_configs[@]} -eq 0 ]; then
    if $mini; then
        names=("$model.yaml") default_targets=(mfcc) default_clusters=(100)
        [ -n "${option_given[mfcc_args]+given}" ] || mfcc_args=(--cmvn true)
    elif [ -n "${default_configs+set}" ] && [ "$model" != wav2vec2 ]; then
        names=("${default_configs[@]}") iteration_args=("${default_iteration_args[@]}")
        [ -n "${option_given[mfcc_args]+given}" ] || mfcc_args=("${default_mfcc_args[@]}")
        [ -n "${option_given[layer_args]+given}" ] || layer_args=("${default_layer_args[@]}")
    elif [ "$model" = wav2vec2 ]; then
        names=(wav2vec2_base.yaml)
    elif [ "${size:?}" = base ]; then
        names=(hubert_base.yaml "${model}_base.yaml") default_targets=(mfcc 6) default_clusters=(100 500) iteration_args=(trainer.updates=250000)
    else
        names=(hubert_base.yaml hubert_base.yaml "${model}_large.yaml") default_targets=(mfcc 6 9) default_clusters=(100 500 500)
        iteration_args=(trainer.updates=250000)
    fi
    for name in "${names[@]}"; do pretrain_configs+=("$(config_file "$name")"); done
    [ ${#targets[@]} -gt 0 ] || targets=("${default_targets[@]}")
    [ ${#clusters[@]} -gt 0 ] || clusters=("${default_clusters[@]}")
fi
if [ -n "$pretrained_model" ]; then
    [ -z "$pretrain_args" ] || [ "$config_option" = --pretrain_config ] ||
        _refuse "--pretrain_args overrides keys of a configuration: with --pretrained_model give it with --pretrain_configs"
    [ ${#pretrain_dirs[@]} -eq 0 ] || _refuse "--pretrain_dirs and --pretrained_model are mutually exclusive: a pretrained model is not trained again"
    pretrain_configs=("${pretrain_configs[-1]}") iteration_args=()
elif [ ${#pretrain_configs[@]} -ne ${#targets[@]} ] || [ ${#pretrain_configs[@]} -ne ${#clusters[@]} ]; then
    _refuse "--pretrain_configs, --targets and --clusters must have the same length: '${pretrain_configs[*]}', '${targets[*]}', '${clusters[*]}'"
fi
last_iteration=$((${#pretrain_configs[@]} - 1))
asr_config=${asr_config:-$(config_file asr_conformer.yaml)}
published=${published:-${default_published:+$ROOT/$default_published}}
named_config=${pretrain_configs[last_iteration]} # but a pretrained model says itself what it is
[ "$config_option" = --pretrain_config ] || [ -z "$pretrained_model" ] || named_config=$model
tag=${tag:-$(pretraining_name "$named_config" "$pretrain_args" "$pretrained_model")}
exp=$expdir/$tag
asr_tag=$(experiment_name "$asr_config" "$asr_args")
asr_exp=$expdir/${asr_tag}_$tag

# model_of CONFIG: the model of a pretraining configuration.
model_of() { awk '$1 == "model:" { name = $2 } END { print name == "" ? "hubert" : name }' "$1"; }

# package_of MODEL: the file of a converted model that its upstream reads.
package_of() { if [ "$1" = progre ]; then echo progre.pt; else echo s3prl.pt; fi; }

run_pretraining=true target_files=() # outputs of stage 2 for pretraining
if [ -n "$pretrained_model" ]; then
    run_pretraining=false
else
    target_files=({"$pretrain_dump","$dumpdir/dev"}/targets/"km${clusters[0]}.safetensors")
    [ "$model" != progre ] || target_files+=({"$pretrain_dump","$dumpdir/dev"}/targets/pitch.safetensors "$pretrain_dump/targets/speakers.json")
fi

stage 2 "feature extraction" "$dumpdir" needs "${data_dirs[@]:0:2}" ${pretrain_dirs:+"$pretrain_data"} makes "${target_files[@]}" "$tokens"
stage_2() {
    local set
    asr make_tokens --type "$token_type" --nbpe "$nbpe" --text "$datadir/train/text" --out "$tokens" # ESPnet maps other characters to <unk>
    $run_pretraining || return 0
    make_clusters mfcc "${clusters[0]}" "km${clusters[0]}" "${mfcc_args[@]}"
    [ "$model" = progre ] || return 0
    for set in "$pretrain_set" dev; do
        make_targets "$set" --type pitch
    done
    make_targets "$pretrain_set" --type speakers --speakers "$speakers" --num_speakers "$num_speakers"
}

make_targets() {
    asr make_targets --data_dir "$datadir/$1" --dump_dir "$dumpdir/$1" "${@:2}" --nj "$nj" \
        --cmd_backend "$cmd_backend" ${slurm_args:+--slurm_args "$slurm_args"}
}

# make_clusters TYPE NUMBER NAME [OPTION...]: k-means of the set to pretrain on, applied to both sets.
make_clusters() {
    make_targets "$pretrain_set" --type "$1" --num_clusters "$2" --name "$3" "${@:4}"
    make_targets dev --type "$1" --centroids "$pretrain_dump/targets/$3.centroids.safetensors" --name "$3" "${@:4}"
}

stage 3 "pretraining" "$exp" \
    needs "${pretrain_configs[@]}" "$pretrain_data" "$datadir/dev" "${target_files[@]}" ${pretrained_model:+"$pretrained_model"} \
    makes "$exp/config.yaml" "$exp/model.safetensors"
stage_3() {
    if ! $run_pretraining; then
        compute training "$exp" convert --to ms "$config_option" "${pretrain_configs[last_iteration]}" \
            ${pretrain_args:+--pretrain_args "$pretrain_args"} --checkpoint "$pretrained_model" --out "$exp"
        return
    fi
    local i name=km${clusters[0]} iteration_exp previous_exp
    for ((i = 0; i <= last_iteration; i++)); do
        if [ "$i" -gt 0 ]; then
            name=$(basename "$previous_exp")_layer${targets[i]}_km${clusters[i]}
            if $dry_run || [ "$start_over" != false ] || ! sha256sum --check --status "$dumpdir/dev/targets/$name.model" 2>/dev/null; then
                make_clusters layer "${clusters[i]}" "$name" --exp_dir "$previous_exp" --layer "${targets[i]}" "${layer_args[@]}"
                # of which model and data they are
                $dry_run || sha256sum "$previous_exp/model.safetensors" {"$pretrain_data","$datadir/dev"}/wav.scp >"$dumpdir/dev/targets/$name.model"
            fi
        fi
        iteration_exp=$exp
        [ "$i" -eq "$last_iteration" ] || iteration_exp=${exp}_iteration$((i + 1))
        pretrain "${pretrain_configs[i]}" "$name" "${clusters[i]}" "$iteration_exp" "${iteration_args[i]:-}" "$pretrain_args"
        previous_exp=$iteration_exp
    done
}

# pretrain CONFIG TARGETS CLUSTERS EXP ARGS MORE_ARGS
pretrain() {
    local args=("model_conf.num_classes=$(($3 + 4))" ${5:+"$5"} ${6:+"$6"})
    launch pretrain "$4" --pretrain_config "$1" --name "$2" --pretrain_args "${args[*]}" \
        --train_dir "$pretrain_data" --train_targets "$pretrain_dump/targets" --valid_dir "$datadir/dev" --valid_targets "$dumpdir/dev/targets" \
        --device "$device" --force "$start_over" ${memory_gb:+--memory_gb "$memory_gb"} ${seed:+--seed "$seed"}
}

stage 4 "conversion" "$exp" needs "$exp/model.safetensors" "$datadir/dev/wav.scp" makes "$exp/pt" "$exp/compare"
stage_4() {
    compute training "$exp" convert --exp_dir "$exp"
    compute training "$exp" compare_layers --exp_dir "$exp" --wav_scp "$datadir/dev/wav.scp" --num_utts 2
}

# The fine-tuned systems: the pretrained model and, with --baselines, other inputs of the same conformer
random_exp=${asr_exp}_random${random_args:+_$(folder_name "$random_args")}
logmel_exp=$expdir/${asr_tag}_logmel${logmel_args:+_$(folder_name "$logmel_args")}
[ -n "${option_given[logmel_args]+given}" ] || logmel_args=${default_logmel_args:-}
systems=("$asr_exp")
if $ablation; then
    [ ${#baselines[@]} -eq 0 ] || _refuse "--ablation and --baselines are mutually exclusive: --ablation true is --baselines \"random logmel\""
    baselines=(random logmel)
fi
for name in "${baselines[@]}"; do
    case $name in
        random) systems+=("$random_exp") ;;
        logmel) systems+=("$logmel_exp") ;;
        float16) systems+=("${asr_exp}_float16") ;;
        iterations) for ((i = 1; i <= last_iteration; i++)); do systems+=("${asr_exp}_iteration$i"); done ;;
    esac
done

estimate=(--pretrain_configs "$(path_list "${pretrain_configs[@]}")" ${pretrain_args:+--pretrain_args "$pretrain_args"}
    ${pretrained_model:+--pretrained true} --asr_config "$asr_config" ${asr_args:+--asr_args "$asr_args"} --systems "${#systems[@]}"
    --cache_states "$cache_states" --cache_gb "$cache_gb")

package=$(package_of "$model")
stage 5 "fine-tuning" "$asr_exp" needs "$asr_config" "$tokens" "${data_dirs[@]:0:2}" "$exp/pt/$package" makes "${systems[@]/%//inference}"
stage_5() {
    local name
    finetune "$asr_exp" "${model}_local" "$exp/pt/$package"
    for name in "${baselines[@]}"; do "finetune_$name"; done
}

finetune_logmel() {
    local asr_args="$asr_args${logmel_args:+${asr_args:+ }$logmel_args}"
    finetune "$logmel_exp"
}

finetune_random() {
    local asr_args="$asr_args${random_args:+${asr_args:+ }$random_args}"
    random_upstream "${exp}_random"
    finetune "$random_exp" "${model}_local" "${exp}_random/pt/$package"
}

finetune_float16() {
    asr float16_upstream --exp_dir "$exp" --out "$exp/pt_float16"
    finetune "${asr_exp}_float16" "${model}_local" "$exp/pt_float16/$package"
}

finetune_iterations() {
    local i name
    for ((i = 1; i <= last_iteration; i++)); do
        name=$(model_of "${pretrain_configs[i - 1]}")
        compute training "${exp}_iteration$i" convert --exp_dir "${exp}_iteration$i"
        finetune "${asr_exp}_iteration$i" "${name}_local" "${exp}_iteration$i/pt/$(package_of "$name")"
    done
}

# finetune EXP [UPSTREAM CHECKPOINT]
finetune() {
    local dump kind=gpu options=(${2:+--upstream "$2" --upstream_model "$3"})
    dump=$dumpdir/$(basename "$1")
    [ "$asr_device" != cpu ] || kind=training
    asr dump_speech --data_dirs "$(path_list "${data_dirs[@]:0:2}")" --out "$dump" "${options[@]}" \
        --asr_config "$asr_config" ${asr_args:+--asr_args "$asr_args"} --cache_states "$cache_states" --cache_gb "$cache_gb" \
        --nj "$nj" --cmd_backend "$cmd_backend" ${slurm_args:+--slurm_args "$slurm_args"}
    compute "$kind" "$1" finetune --asr_config "$asr_config" --train_dir "$dump/train" --valid_dir "$dump/dev" --tokens "$tokens" \
        --exp_dir "$1" "${options[@]}" --asr_device "$asr_device" --ngpu "${asr_ngpu:-$ngpu}" --force "$start_over" \
        ${memory_gb:+--memory_gb "$memory_gb"} ${seed:+--seed "$seed"} ${asr_args:+--asr_args "$asr_args"}
}

# random_upstream EXP: the initial network of pretraining
random_upstream() {
    compute training "$exp" random_upstream --exp_dir "$exp" --out "$1"
    compute training "$1" convert --exp_dir "$1"
}

mapfile -t result_files < <(for system in "${systems[@]}"; do score_files "$system"; done)
stage 6 "decoding and scoring" "$asr_exp" \
    needs "${systems[@]/%//inference}" "${data_dirs[@]:2}" ${lm:+"$lm"} ${inference_config:+"$inference_config"} ${published:+"$published"} \
    makes "${result_files[@]}" "$asr_exp/RESULTS.md"
stage_6() {
    local system
    for system in "${systems[@]}"; do
        decode_sets "$system" "$datadir"
        score_sets "$system"
    done
    asr report --exp_dir "$asr_exp" --command "$command_line" ${published:+--published "$published"} \
        --baselines "$(path_list "${systems[@]:1}")" --siblings true
    write_page "${systems[@]}"
}

run_stages "$@"
