# shellcheck shell=bash disable=SC2154
# Stages of recipes that only pretrain: pretraining in MindSpore and conversion of every kept checkpoint. The last line of a run.sh:
#     . ../../common/pretrain.sh "$@"
# run.sh has set $model (wav2vec2), $size (base) and $finetuning_recipe, the recipe that fine-tunes the checkpoints, and sourced its corpus.sh (see
# recipe.sh).

option_group "Options of recipes that pretrain"
option pretrain_config path "" "pretraining configuration; none: that of the model (conf/mini with --mini true)"
option pretrain_args text "" 'keys of pretrain_config to override, e.g. "trainer.updates=1000"'
option pretrained_model path "" "pretrained model to start from: of this project, fairseq, s3prl or transformers"

# shellcheck source=egs/common/pretraining.sh
. "$common/pretraining.sh"
# shellcheck source=egs/common/recipe.sh
. "$common/recipe.sh" "$@"

choose_pretraining_set
pretrain_config=${pretrain_config:-$(config_file "$(pretraining_config "${model:?}" "${size:?}")")}
exp=$expdir/${tag:-$(pretraining_name "$pretrain_config" "$pretrain_args" "$pretrained_model")}
converted_model=${pretrained_model:+${exp}_start} # pretrained_model in our format
estimate=(--pretrain_configs "$pretrain_config" ${pretrain_args:+--pretrain_args "$pretrain_args"})

stage 2 "feature extraction" "$dumpdir"
stage_2() { echo "nothing to extract: $model takes waveforms and needs no targets"; }

stage 3 "pretraining" "$exp" \
    needs "$pretrain_config" "$pretrain_data" "$datadir/dev" ${pretrained_model:+"$pretrained_model"} \
    makes "$exp/config.yaml" "$exp/model.safetensors"
stage_3() {
    [ -z "$pretrained_model" ] ||
        compute training "$exp" convert --to ms --pretrain_config "$pretrain_config" ${pretrain_args:+--pretrain_args "$pretrain_args"} \
            --checkpoint "$pretrained_model" --out "$converted_model"
    pretrain_on_waveforms "$pretrain_config" "$exp" ${converted_model:+--pretrained_model "$converted_model/model.safetensors"}
}

stage 4 "conversion" "$exp" needs "$exp/model.safetensors" "$datadir/dev/wav.scp" makes "$exp/pt" "$exp/updates" "$exp/compare"
stage_4() { convert_every_checkpoint "$exp"; }

stage 5 "fine-tuning" "$exp"
stage_5() { echo "nothing to fine-tune here: ${finetuning_recipe:?} does, from the checkpoints in $exp/updates"; }

stage 6 "decoding and scoring" "$exp"
stage_6() {
    echo "nothing to decode here: $finetuning_recipe does"
    write_page "$exp"
}

run_stages "$@"
