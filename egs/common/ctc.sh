# shellcheck shell=bash disable=SC2154
# Stages of recipes trained from scratch with CTC: features, training in MindSpore, conversion, decoding and scoring. The last line of a run.sh:
#     . ../../common/ctc.sh "$@"
# run.sh has set $model and sourced its corpus.sh (see recipe.sh).

option_group "Options of recipes trained from scratch with CTC"
option train_config path "" \
    "configuration of model and training; none: MODEL.yaml in the recipe's conf, else in the top-level conf (conf/mini with --mini true)"
option train_args text "" 'keys of train_config to override, e.g. "trainer.epochs=3 optim.learning_rate=1e-4"'
option pretrained_model paths "" "trained checkpoint to start from: of this project, NeMo, NVIDIA's Jasper, Lightning or the MindSpore model zoo"
option pretrained_labels path "" "list of the labels of --pretrained_model in its order; none: the one in the file"
option labels path "" "file with one label per line; none: made from the training text"
option num_shards int 8 \
    "MindRecord shards of the training and validation features (they double the disk space); 0: none, training reads the archives"
option decode_modes 'words:greedy|beam' greedy 'decoding modes, of "greedy beam"'
option ngram int 0 "order of an n-gram language model of the training text; adds beam to the default of --decode_modes; 0: none"
option published path "" "Markdown table of published results for RESULTS.md; none: the recipe's published.md"

# shellcheck source=egs/common/recipe.sh
. "$common/recipe.sh" "$@"

train_config=${train_config:-$(config_file "${model:?}.yaml")}
[ -n "$labels" ] || [ -z "${default_labels:-}" ] || labels=$ROOT/$default_labels
[ -n "$published" ] || [ ! -e published.md ] || published=published.md
dump_dirs=("${data_names[@]/#/"$dumpdir/"}")
parts_of_decoding=false
shard_dirs=()
[ "$num_shards" -eq 0 ] || shard_dirs=("${dump_dirs[@]:0:2}")
exp=$expdir/${tag:-$(experiment_name "$train_config" "$train_args" "${pretrained_model[0]:-}")}
converted_model=${pretrained_model:+${exp}_start} # pretrained_model in our format
given_lm=(${lm:+"$lm"})
estimate=(--train_config "$train_config" ${train_args:+--train_args "$train_args"} --num_shards "$num_shards")
if [ "$ngram" -gt 0 ]; then
    [ -z "$lm" ] || _refuse "--ngram and --${librispeech_lm:+librispeech_}lm are mutually exclusive"
    lm=$exp/$ngram-gram.arpa
    [ -n "${option_given[decode_modes]+given}" ] || decode_modes=(greedy beam)
fi

stage 2 "feature extraction" "$dumpdir" \
    needs "${data_dirs[@]}" "$train_config:features" ${labels:+"$labels"} \
    makes "${dump_dirs[@]/%//feats.scp}" "${dump_dirs[@]/%//text}" "${shard_dirs[@]/%//mindrecord/shards.json}" "$tokens"
stage_2() {
    local name feature_args
    feature_args=$(tr ' ' '\n' <<<"$train_args" | sed -n '/^features\./p' | paste -sd ' ')
    for name in "${data_names[@]}"; do
        asr extract_features --train_config "$train_config" --data_dir "$datadir/$name" --dump_dir "$dumpdir/$name" \
            --nj "$nj" --cmd_backend "$cmd_backend" ${slurm_args:+--slurm_args "$slurm_args"} --allow_pipes "${allow_pipes:-false}" \
            ${feature_args:+--train_args "$feature_args"}
    done
    for name in "${shard_dirs[@]}"; do
        asr make_mindrecord --dump_dir "$name" --num_shards "$num_shards" --nj "$nj" \
            --cmd_backend "$cmd_backend" ${slurm_args:+--slurm_args "$slurm_args"}
    done
    asr make_tokens --type "$token_type" --nbpe "$nbpe" --text "$datadir/train/text" --check "$datadir/dev/text" \
        ${labels:+--labels "$labels"} --out "$tokens"
}

stage 3 "training" "$exp" \
    needs "$train_config" "$tokens" "$dumpdir/train/feats.scp" "$dumpdir/dev/feats.scp" "${pretrained_model[@]}" \
    ${pretrained_labels:+"$pretrained_labels"} \
    makes "$exp/config.yaml" "$exp/model.safetensors"
stage_3() {
    [ -z "$converted_model" ] ||
        compute training "$exp" convert --to ms --train_config "$train_config" ${train_args:+--train_args "$train_args"} --tokens "$tokens" \
            --checkpoint "$(path_list "${pretrained_model[@]}")" ${pretrained_labels:+--labels "$pretrained_labels"} --out "$converted_model"
    launch train "$exp" --train_config "$train_config" --train_dir "$dumpdir/train" --valid_dir "$dumpdir/dev" --tokens "$tokens" \
        --device "$device" --force "$start_over" \
        ${seed:+--seed "$seed"} ${converted_model:+--pretrained_model "$converted_model/model.safetensors"} ${train_args:+--train_args "$train_args"}
}

stage 4 "conversion" "$exp" needs "$exp/model.safetensors" "${dump_dirs[-1]}/feats.scp" \
    makes "$exp/pt" "$exp/compare" "$exp/mindir" "$exp/onnx"
stage_4() {
    compute training "$exp" convert --exp_dir "$exp"
    compute training "$exp" compare_layers --exp_dir "$exp" --feats_scp "${dump_dirs[-1]}/feats.scp" --num_utts 2
    compute training "$exp" export --exp_dir "$exp"
    compute training "$exp" export --exp_dir "$exp" --format onnx
}

stage 5 "fine-tuning" "$exp"
stage_5() { echo "nothing to fine-tune: $model is trained from scratch"; }

mapfile -t result_files < <(score_files "$exp")
stage 6 "decoding and scoring" "$exp" \
    needs "$exp/model.safetensors" "${dump_dirs[@]:2}" "${given_lm[@]}" ${inference_config:+"$inference_config"} ${published:+"$published"} \
    makes "${result_files[@]}" "$exp/RESULTS.md"
stage_6() {
    local inference_config=$inference_config
    [ "$ngram" -eq 0 ] ||
        compute training "$exp" make_ngram --text "$datadir/train/text" --valid_text "$datadir/dev/text" --order "$ngram" --out "$lm"
    if [ -n "$lm" ] && [ -z "$inference_config" ] && [[ " ${decode_modes[*]} " == *" beam "* ]]; then
        inference_config=$exp/beam.yaml # language model weights tuned on dev
        compute training "$exp" tune_beam --exp_dir "$exp" --data_dir "$dumpdir/dev" --lm "$lm" --out "$inference_config" \
            --nj "$inference_nj" --device "$device"
    fi
    decode_sets "$exp" "$dumpdir"
    score_sets "$exp"
    asr report --exp_dir "$exp" --command "$command_line" ${published:+--published "$published"}
    write_page "$exp"
}

run_stages "$@"
