# shellcheck shell=bash disable=SC2154
# Recipes trained from scratch with CTC: corpus, features, training in MindSpore, conversion, decoding, scores. The last line of a run.sh sources it:
#     . ../../common/ctc.sh "$@"
# The recipe has set $model and defined its corpus (recipe.sh says how) before.

# Options of every recipe trained with CTC
train_config=  # file with model and training; none: MODEL.yaml in the recipe's conf, else in the top conf (conf/mini with --mini true)
train_args=  # keys of train_config to set, e.g. "trainer.epochs=3 optim.learning_rate=1e-4"
pretrained_model=  # file of a trained checkpoint to start from (.safetensors or .ckpt)
labels=  # file with one label a line; none: from the text of the training set
num_shards=8  # MindRecord shards of the features of the training set, and of the validation set, as much disk again; 0: none, training reads the archives
decode_modes=greedy  # ways to decode, of "greedy beam"
ngram=0  # order of an n-gram language model made of the training text for the beam, which is then decoded, too; 0: none
published=  # file with published results, a Markdown table, for RESULTS.md; none: the recipe's published.md
# End of options

# shellcheck source=egs/common/recipe.sh
. "$(dirname "${BASH_SOURCE[0]}")/recipe.sh" "$@"

train_config=${train_config:-$(config_file "${model:?}.yaml")}
check_modes "greedy beam"
[ -n "$labels" ] || [ -z "${default_labels:-}" ] || labels=$ROOT/$default_labels
[ -n "$published" ] || [ ! -e published.md ] || published=published.md
dump_dirs=("${data_names[@]/#/"$dumpdir/"}")
sharded=()
[ "$num_shards" -eq 0 ] || sharded=("${dump_dirs[@]:0:2}")
[ -n "$tag" ] || tag=$(folder_name "$(basename "$train_config" .yaml)${train_args:+_$train_args}${seed:+_seed$seed}${pretrained_model:+_$(basename "$pretrained_model")}")
exp=$expdir/$tag
given_lm=(${lm:+"$lm"})
if [ "$ngram" -gt 0 ]; then
    [ -z "$lm" ] || _refuse "--ngram makes a language model, --lm names one: choose"
    lm=$exp/$ngram-gram.arpa
    [ -n "${option_given[decode_modes]:-}" ] || decode_modes="greedy beam"
fi

stage 2 "feature extraction" "$dumpdir" \
    needs "${data_dirs[@]}" "$train_config:features" ${labels:+"$labels"} \
    makes "${dump_dirs[@]/%//feats.scp}" "${dump_dirs[@]/%//text}" "${sharded[@]/%//mindrecord/shards.json}" "$tokens"
stage_2() {
    local name feature_args
    feature_args=$(tr ' ' '\n' <<<"$train_args" | sed -n '/^features\./p' | paste -sd ' ')
    for name in "${data_names[@]}"; do
        asr extract_features --train_config "$train_config" --data_dir "$datadir/$name" --dump_dir "$dumpdir/$name" \
            --nj "$nj" --cmd_backend "$cmd_backend" --allow_pipes "${allow_pipes:-false}" ${feature_args:+--train_args "$feature_args"}
    done
    for name in "${sharded[@]}"; do
        asr make_mindrecord --dump_dir "$name" --num_shards "$num_shards" --nj "$nj" --cmd_backend "$cmd_backend"
    done
    asr make_tokens --type "$token_type" --nbpe "$nbpe" --text "$datadir/train/text" --check "$datadir/dev/text" ${labels:+--labels "$labels"} --out "$tokens"
}

stage 3 "training" "$exp" \
    needs "$train_config" "$tokens" "$dumpdir/train/feats.scp" "$dumpdir/dev/feats.scp" ${pretrained_model:+"$pretrained_model"} \
    makes "$exp/config.yaml" "$exp/model.safetensors"
stage_3() {
    launch train "$exp" --train_config "$train_config" --train_dir "$dumpdir/train" --valid_dir "$dumpdir/dev" --tokens "$tokens" \
        --device "$device" --force "$force" \
        ${seed:+--seed "$seed"} ${pretrained_model:+--pretrained_model "$pretrained_model"} ${train_args:+--train_args "$train_args"}
}

stage 4 "conversion" "$exp" needs "$exp/model.safetensors" "${dump_dirs[-1]}/feats.scp" makes "$exp/pt" "$exp/compare" "$exp/mindir"
stage_4() {
    asr convert --exp_dir "$exp"
    asr compare_layers --exp_dir "$exp" --feats_scp "${dump_dirs[-1]}/feats.scp" --num_utts 2
    asr export --exp_dir "$exp"
}

stage 5 "fine-tuning" "$exp"
stage_5() { echo "nothing to fine-tune: $model is trained from scratch"; }

mapfile -t scores < <(score_files "$exp")
stage 6 "decoding and scoring" "$exp" \
    needs "$exp/model.safetensors" "${dump_dirs[@]:2}" "${given_lm[@]}" ${inference_config:+"$inference_config"} ${published:+"$published"} \
    makes "${scores[@]}" "$exp/RESULTS.md"
stage_6() {
    local inference_config=$inference_config
    [ "$ngram" -eq 0 ] || asr make_ngram --text "$datadir/train/text" --valid_text "$datadir/dev/text" --order "$ngram" --out "$lm"
    if [ -n "$lm" ] && [ -z "$inference_config" ] && [[ " $decode_modes " == *" beam "* ]]; then
        inference_config=$exp/beam.yaml # the weights of the language model that are best on dev
        asr tune_beam --exp_dir "$exp" --data_dir "$dumpdir/dev" --lm "$lm" --out "$inference_config" --nj "$inference_nj" --device "$device"
    fi
    decode_sets "$exp" "$dumpdir"
    score_sets "$exp"
    asr report --exp_dir "$exp" --command "$command_line" ${published:+--published "$published"}
}

run_stages "$@"
