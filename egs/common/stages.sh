# shellcheck shell=bash disable=SC2154  # the options are set before
# What a stage promises, for all recipes. Sourced after the options are parsed: $stage $stop_stage skip_stages (an array) $force $dry_run.
#
#   stage 2 "feature extraction" dump  needs conf/a.yaml:features data/train/text  makes dump/train/feats.scp
#   stage_2() { run python -m asrlib.bin.extract_features ...; }
#   ...
#   run_stages
#
# A stage says what it needs and stops there if that is missing; it is skipped when its commands, its needs and its products are as they were when it
# ended; its mark (WORKDIR/.stages/N.done) is written last, its output goes to the terminal and to WORKDIR/log/stage_N.log; on failure the command to
# resume is printed. Needs count by size and time, a folder by all its files, a .yaml by its content, `FILE.yaml:SECTION` by that section alone.

declare -a stage_numbers=() stage_table=() recipe_arguments=()
declare -A stage_title=() stage_dir=() stage_needs=() stage_makes=()
current_stage=

# stage N TITLE WORKDIR needs PATH... makes PATH...: declares a stage; function stage_N holds its commands, each through `run`.
stage() {
    local number=$1 word list=
    stage_numbers+=("$number")
    stage_title[$number]=$2 stage_dir[$number]=$3 stage_needs[$number]='' stage_makes[$number]=''
    shift 3
    for word; do
        case $word:$list in
            needs:* | makes:*) list=$word ;;
            *:needs) stage_needs[$number]+=$word$'\n' ;;
            *:makes) stage_makes[$number]+=$word$'\n' ;;
        esac
    done
}

# run CMD...: shows a command and runs it; ends the stage if it fails.
run() {
    echo "\$$(_quoted "$@")"
    [ "$dry_run" = true ] || "$@" || exit
}

say() { printf '%s %s\n' "$(date '+%F %T')" "$*"; }

run_stages() {
    local number
    recipe_arguments=("$@")
    _check_range
    trap '_resume_command "interrupted"; exit 130' INT TERM
    for number in "${stage_numbers[@]}"; do
        if [ "$number" -lt "$stage" ] || [ "$number" -gt "$stop_stage" ]; then
            continue
        elif [[ " ${skip_stages[*]} " == *" $number "* ]]; then
            say "stage $number: ${stage_title[$number]}: left out (--skip_stages)"
            _row "$number" "left out" 0
        elif [ "$dry_run" = true ]; then
            _plan_stage "$number"
        else
            _do_stage "$number"
        fi
    done
    if [ "$dry_run" = true ]; then
        echo "Dry run: nothing was done."
        return
    fi
    echo
    printf '%-5s  %-22s  %-9s  %7s  %s\n' stage title result seconds outputs "${stage_table[@]}"
    echo "Successfully finished. [elapsed=${SECONDS}s]"
    exit 0  # bash reads a script while it runs: what was edited meanwhile is not read any further
}

_check_range() {
    local number
    for number in "${skip_stages[@]}"; do
        [ -n "${stage_title[$number]+known}" ] || _stop 2 "--skip_stages: there is no stage '$number'; stages: ${stage_numbers[*]}"
    done
    [ "$stage" -le "$stop_stage" ] || _stop 2 "--stage $stage is after --stop_stage $stop_stage: nothing to do"
    [ -n "${stage_title[$stage]+known}" ] || _stop 2 "--stage $stage: there is no such stage; stages: ${stage_numbers[*]}"
}

_do_stage() {
    local number=$1 begin=$SECONDS dir=${stage_dir[$1]} mark lock log inputs plan reason status
    mark=$dir/.stages/$number.done log=$dir/log/stage_$number.log
    current_stage=$number
    _check_needs "$number"
    { mkdir -p "$dir/.stages" "$dir/log" && : >>"$mark.lock"; } 2>/dev/null ||
        _stop 1 "stage $number: cannot write to $dir: free it, or choose another folder"
    exec {lock}>>"$mark.lock"
    flock -n "$lock" || { say "stage $number: another run is at work on it in $dir: waiting for its end" && flock "$lock"; }
    inputs=$(_inputs "$number") plan=$(_plan "$number")
    reason=$(_why "$number" "$inputs" "$plan")
    if [ -z "$reason" ]; then
        say "stage $number: ${stage_title[$number]}: skipped, nothing has changed since $(date -r "$mark" '+%F %T') (--force true runs it again)"
        _row "$number" skipped 0
    else
        say "stage $number: ${stage_title[$number]}: $reason"
        rm -f "$mark"
        trap - ERR && set +e # a failure below is told with the way to resume
        (report_errors && "stage_$number") </dev/null 2>&1 | tee -i "$log"
        status=${PIPESTATUS[0]}
        report_errors
        [ "$status" -eq 0 ] || _fail "$number" "$log" "$(_cause "$status")"
        _check_makes "$number" "$log"
        printf '%s\n' "$inputs" "$plan" >"$mark.tmp" && mv "$mark.tmp" "$mark"
        _row "$number" "done" $((SECONDS - begin))
    fi
    exec {lock}>&-
}

_plan_stage() {
    local number=$1 path reason
    reason=$(_why "$number" "$(_inputs "$number")" "$(_plan "$number")")
    printf 'stage %s: %s: %s\n' "$number" "${stage_title[$number]}" "${reason:-would be skipped, nothing has changed}"
    while IFS= read -r path; do [ -z "$path" ] || echo "  needs $path"; done <<<"${stage_needs[$number]}"
    "stage_$number" | sed 's/^/  /'
    while IFS= read -r path; do [ -z "$path" ] || echo "  makes $path"; done <<<"${stage_makes[$number]}"
}

# Why a stage must run: empty when nothing has changed since its mark was written.
_why() {
    local number=$1 inputs=$2 plan=$3 mark=${stage_dir[$1]}/.stages/$1.done path
    [ "$force" != true ] || { echo "runs (--force true)" && return; }
    [ -s "$mark" ] || { echo "runs" && return; }
    [ "$(tail -n +2 "$mark")" = "$plan" ] || { echo "runs again, its options have changed" && return; }
    [ "$(head -n 1 "$mark")" = "$inputs" ] || { echo "runs again, its inputs have changed" && return; }
    while IFS= read -r path; do
        [ -z "$path" ] || [ -e "$path" ] || { echo "runs again, $path is missing" && return; }
    done <<<"${stage_makes[$number]}"
}

# The commands of a stage, with the defaults of the options that only say how it runs: the part of its fingerprint that holds its options. In a
# subshell.
_plan() {
    local name
    for name in "${run_options[@]}"; do _set_option "$name" "${option_default[$name]}"; done
    dry_run=true command_line='' "stage_$1"
}

# One line that changes with the files a stage needs.
_inputs() {
    local path
    while IFS= read -r path; do
        case $path in
            '') ;;
            *.yaml:*) awk -v section="${path##*:}:" '/^[^ #]/ { on = ($1 == section) } on' <"${path%:*}" ;;
            *.yaml) cat "$path" ;;
            *) find -L "$path" -type f -printf '%p %s %T@\n' | sort ;;
        esac || true # missing: with --dry_run true
    done <<<"${stage_needs[$1]}" 2>/dev/null | sha256sum
}

_check_needs() {
    local number=$1 path maker
    while IFS= read -r path; do
        [[ $path != *.yaml:* ]] || path=${path%:*}
        [ -n "$path" ] && [ ! -e "$path" ] || continue
        maker=$(_maker "$path")
        if [ -n "$maker" ]; then
            _stop 1 "stage $number (${stage_title[$number]}) needs $path, which stage $maker (${stage_title[$maker]}) makes: run --stage $maker first"
        fi
        _stop 1 "stage $number (${stage_title[$number]}) needs $path, which is missing"
    done <<<"${stage_needs[$number]}"
}

# The stage that makes a path, or the folder it is in.
_maker() {
    local number path
    for number in "${stage_numbers[@]}"; do
        while IFS= read -r path; do
            [ -n "$path" ] && [[ $1/ == "$path"/* ]] && echo "$number" && return
        done <<<"${stage_makes[$number]}"
    done
    return 0
}

_check_makes() {
    local path
    while IFS= read -r path; do
        if [ -n "$path" ] && { [ ! -e "$path" ] || [ -f "$path" ] && [ ! -s "$path" ]; }; then
            _fail "$1" "$2" "$path was not made, or is empty"
        fi
    done <<<"${stage_makes[$1]}"
}

# What an exit code says.
_cause() {
    case $1 in
        137) echo "killed (SIGKILL), as the system does when memory runs out" ;;
        129 | 1[3-9]?) echo "killed by signal $(($1 - 128))" ;;
        *) echo "exit code $1" ;;
    esac
}

_row() {
    local outputs
    outputs=$(printf '%s' "${stage_makes[$1]}" | tr '\n' ' ')
    [ ${#outputs} -le 90 ] || outputs="${stage_dir[$1]}/ ($(printf '%s' "${stage_makes[$1]}" | wc -l) files and folders)"
    stage_table+=("$1" "${stage_title[$1]}" "$2" "$3" "$outputs")
}

_fail() {
    {
        printf '\nThe last lines of %s:\n' "$2"
        tail -n 10 "$2" | sed 's/^/| /'
        if [[ $3 == *"memory runs out"* && $current_stage -eq 3 ]]; then
            _resume_command "$3" " --memory_gb $(_less_memory)"
        else
            _resume_command "$3"
        fi
    } >&2
    exit 1
}

# Two thirds of the memory, in GB, that training was told of or that is free: what it may be told next.
_less_memory() {
    awk -v told="${memory_gb:-0}" '$1 == "MemAvailable:" { all = told > 0 ? told : $2 / 1e6; printf "%d", all * 2 / 3 < 1 ? 1 : all * 2 / 3 }' /proc/meminfo
}

# The call of the recipe as it was, but from the stage that failed, and without --force, which would begin it anew.
_resume_command() {
    local arguments=() word before=
    for word in "${recipe_arguments[@]}"; do
        [[ $word =~ ^--(stage|force)(=|$) || $before =~ ^--(stage|force)$ ]] || arguments+=("$word")
        before=$word
    done
    echo "$0: stage $current_stage (${stage_title[$current_stage]}) failed: $1"
    echo "To resume:$(_quoted "$called_as" "${arguments[@]}") --stage $current_stage${2:-}"
} >&2

# The words as they are pasted into a shell, each with a space before it.
_quoted() {
    local word
    for word; do
        [[ $word =~ ^[A-Za-z0-9_.,:=@%+/-]+$ ]] || word=${word@Q}
        printf ' %s' "$word"
    done
}

_stop() {
    printf '%s: %s\n' "$0" "$2" >&2
    exit "$1"
}
