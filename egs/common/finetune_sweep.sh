# shellcheck shell=bash disable=SC2034,SC2154
# Stages of recipes that fine-tune several checkpoints of a pretraining run, or one with several values of a key: pretraining by another recipe,
# fine-tuning in ESPnet with CTC, decoding and scoring, a table and a curve of the error rates. The last line of a run.sh:
#     . ../../common/finetune_sweep.sh "$@"
# run.sh has set $model (wav2vec2), $size (base) and, unless the recipe pretrains itself, $pretraining_recipe, the directory of the one that does, and
# sourced its corpus.sh (see recipe.sh).

option_group "Options of recipes that compare checkpoints"
option pretrained_exp path "" \
    "pretraining experiment with its kept checkpoints; none: that of the pretraining recipe, which is run up to its stage 4"
[ -z "${pretraining_recipe:-}" ] || option aishell2_dir path "" "directory of AISHELL-2, for the pretraining recipe"
option pretrain_config path "" "pretraining configuration, for the pretraining recipe"
option pretrain_args text "" "keys of pretrain_config to override, for the pretraining recipe"
option updates ints "" 'checkpoints to fine-tune, by number of updates: "250000 400000"; none: all that were kept (0: random weights)'
option upstreams text "" 'other upstreams to fine-tune as well, "NAME=UPSTREAM:FILE ..." with files that convert has written, e.g. "english=wav2vec2_local:exp/english/pt/s3prl.pt"'
option sweep text "" 'ESPnet key and the values to try with every checkpoint: "optim_conf.lr=1e-4,2e-4,5e-4"'
option baseline text "" "name of the system to compare the others with; none: the last checkpoint"
option asr_config path "" "ESPnet configuration; none: asr_wav2vec2_ctc.yaml (conf/mini with --mini true)"
option asr_args text "" 'keys of asr_config to override, e.g. "optim_conf.lr=1e-4 max_epoch=30"'
run_option finetune_nj int 0 "parallel fine-tuning jobs, which share cores and cards; 0: one per core, or per --asr_ngpu cards"
option decode_modes 'words:greedy|beam' "greedy beam" "decoding modes, of \"greedy beam\"; the curve shows the error rates of the first"
option published path "" "Markdown table of published results for RESULTS.md; none: the recipe's published.md"

# shellcheck source=egs/common/pretraining.sh
. "$common/pretraining.sh"
# shellcheck source=egs/common/recipe.sh
. "$common/recipe.sh" "$@"

asr_config=${asr_config:-$(config_file "asr_${model:?}_ctc.yaml")}
[ -n "$published" ] || [ ! -e published.md ] || published=published.md
run_pretraining=here pretraining_needs=() # where to pretrain; no: there is an experiment
if [ -n "$pretrained_exp" ]; then
    [ ${#pretrain_dirs[@]} -eq 0 ] || _refuse "--pretrain_dirs and --pretrained_exp are mutually exclusive: that experiment is not trained again"
    run_pretraining=no
elif [ -n "${pretraining_recipe:-}" ]; then # the experiment of the pretraining recipe
    run_pretraining=there pretraining_dir=$ROOT/$pretraining_recipe
    training_set=$pretraining_dir/${mini_prefix}data/train
    pretrain_tag=$(pretraining_name "${pretrain_config:-$(pretraining_config "$model" "${size:?}")}" "$pretrain_args")
    pretrained_exp=$pretraining_dir/${mini_prefix}exp/$pretrain_tag
else
    choose_pretraining_set
    pretrain_config=${pretrain_config:-$(config_file "$(pretraining_config "$model" "${size:?}")")}
    pretrained_exp=$expdir/$(pretraining_name "$pretrain_config" "$pretrain_args")
    pretraining_needs=("$pretrain_config" "$pretrain_data" "$datadir/dev")
fi
asr_exp=$expdir/${tag:-$(experiment_name "$asr_config" "$asr_args")_$(basename "$pretrained_exp")${sweep:+_$(folder_name "$sweep")}}
systems=$asr_exp/systems.tsv audio=$dumpdir/audio
test_names=(dev "${test_names[@]}")

estimate=(--pretrain_configs "${pretrain_config:-$(config_file "$(pretraining_config "$model" "${size:?}")")}"
    ${pretrain_args:+--pretrain_args "$pretrain_args"} --asr_config "$asr_config" ${asr_args:+--asr_args "$asr_args"}
    --systems "${#updates[@]}" --cache_states false)
[ "$run_pretraining" = here ] || estimate+=(--pretrained true) # the pretraining recipe estimates itself

absolute_paths() {
    local paths
    mapfile -t paths < <(realpath -m "$@")
    path_list "${paths[@]}"
}

# pretrain_stages FIRST LAST: runs stages of the pretraining recipe.
pretrain_stages() {
    local corpus=() again=false
    [ "$start_over" = false ] || again=true
    [ "$dry_run" = true ] || ! $again || export ASRLIB_START_OVER=$start_over # once, also if this recipe is resumed
    [ -z "$aishell2_dir" ] || corpus=(--corpus_dir "$(realpath -m "$aishell2_dir")")
    run_on_all "$pretraining_dir/run.sh" --stage "$1" --stop_stage "$2" --tag "$pretrain_tag" --mini "$mini" "${corpus[@]}" \
        --aishell1_dir "$(realpath -m "${corpus_dir:-$download_dir/data_aishell}")" --nj "$nj" --ngpu "$ngpu" \
        --num_nodes "$num_nodes" --device "$device" --shortage "$shortage" --force "$again" --cmd_backend "$cmd_backend" ${slurm_args:+--slurm_args "$slurm_args"} \
        ${seed:+--seed "$seed"} ${memory_gb:+--memory_gb "$memory_gb"} \
        ${pretrain_config:+--pretrain_config "$(realpath -m "$pretrain_config")"} ${pretrain_args:+--pretrain_args "$pretrain_args"} \
        ${pretrain_dirs:+--pretrain_dirs "$(absolute_paths "${pretrain_dirs[@]}")"}
}

stage 2 "feature extraction" "$dumpdir" needs "${data_dirs[@]:0:2}" makes "$tokens" "$audio"/{train,dev}/text
stage_2() {
    asr make_tokens --type "$token_type" --nbpe "$nbpe" --text "$datadir/train/text" --out "$tokens" # ESPnet maps other characters to <unk>
    asr dump_speech --data_dirs "$(path_list "${data_dirs[@]:0:2}")" --out "$audio" --nj "$nj" \
        --cmd_backend "$cmd_backend" ${slurm_args:+--slurm_args "$slurm_args"}
}

pretraining_stages=$asr_exp # whose directory stages 3 and 4 belong to
[ "$run_pretraining" != here ] || pretraining_stages=$pretrained_exp
stage 3 "pretraining" "$pretraining_stages" needs "${pretraining_needs[@]}" makes "$pretrained_exp/model.safetensors"
stage_3() {
    case $run_pretraining in
        here) pretrain_on_waveforms "$pretrain_config" "$pretrained_exp" ;;
        there) pretrain_stages 0 3 ;;
        no) echo "pretrained in $pretrained_exp: nothing to train" ;;
    esac
}

stage 4 "conversion" "$pretraining_stages" needs "$pretrained_exp/model.safetensors" makes "$pretrained_exp/updates"
stage_4() {
    case $run_pretraining in
        here) convert_every_checkpoint "$pretrained_exp" ;;
        there) pretrain_stages 4 4 ;;
        no) compute training "$pretrained_exp" convert --exp_dir "$pretrained_exp" --updates true ;;
    esac
}

stage 5 "fine-tuning" "$asr_exp" needs "$asr_config" "$tokens" "$audio/train" "$audio/dev" "$pretrained_exp/updates" makes "$systems"
stage_5() {
    asr make_systems --exp_dir "$pretrained_exp" --upstream "${model}_local" --asr_exp "$asr_exp" --out "$systems" \
        ${updates:+--updates "${updates[*]}"} ${upstreams:+--others "$upstreams"} ${sweep:+--axis "$sweep"}
    asr finetune_sweep --systems "$systems" --asr_config "$asr_config" --train_dir "$audio/train" --valid_dir "$audio/dev" --tokens "$tokens" \
        --nj "$finetune_nj" --cmd_backend "$cmd_backend" ${slurm_args:+--slurm_args "$slurm_args"} \
        --asr_device "$asr_device" --ngpu "${asr_ngpu:-$ngpu}" --force "$start_over" \
        ${memory_gb:+--memory_gb "$memory_gb"} ${seed:+--seed "$seed"} ${asr_args:+--asr_args "$asr_args"}
}

stage 6 "decoding and scoring" "$asr_exp" \
    needs "$systems" "${data_dirs[@]:1}" ${lm:+"$lm"} ${inference_config:+"$inference_config"} ${published:+"$published"} \
    makes "$asr_exp/RESULTS.md" "$asr_exp/sweep.png"
stage_6() {
    local system folders=() reference=$baseline first=
    if [ -e "$systems" ]; then
        mapfile -t folders < <(tail -n +2 "$systems" | cut -f 7)
        reference=${baseline:-$(awk -F'\t' '$4 != "-" && NR > 1 { name = $1 } END { print name }' "$systems")}
        first=$(awk -F'\t' -v name="$reference" '$1 == name { print $7 }' "$systems") # the page compares the others with it
    fi
    for system in "${folders[@]}"; do
        decode_sets "$system" "$datadir"
        score_sets "$system"
        asr report --exp_dir "$system" --command "$command_line"
    done
    asr report_sweep --systems "$systems" --out "$asr_exp" --sets "${test_names[*]}" --mode "${decode_modes[0]}" --axis "${sweep_key:-updates}" \
        --command "$command_line" ${reference:+--baseline "$reference"} ${published:+--published "$published"}
    [ ${#folders[@]} -eq 0 ] || write_page ${first:+"$first"} "${folders[@]}" --out "$asr_exp/page.html" --title "$(basename "$asr_exp")"
}

sweep_key=${sweep%%=*}
run_stages "$@"
