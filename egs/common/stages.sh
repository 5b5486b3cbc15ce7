# shellcheck shell=bash disable=SC2034,SC2154  # the options are set before; recipes use start_over
# Runs the stages of a recipe. Sourced after the options are parsed: $stage $stop_stage skip_stages (an array) $force $dry_run.
#
#   stage 2 "feature extraction" dump  needs conf/a.yaml:features data/train/text  makes dump/train/feats.scp
#   stage_2() { run python -m asrlib.bin.extract_features ...; }
#   ...
#   run_stages "$@"
#
# A stage stops with an error if one of its inputs (needs) is missing. It is skipped if its commands, inputs and outputs (makes) are unchanged since
# it was last finished. Inputs are compared by size and modification time, directories by all their files and the audio that their wav.scp names, .yaml
# files by their content, and `FILE.yaml:SECTION` by the content of that section.
#
# --force true starts the selected stages over: until they are finished they run, and commands get --force "$start_over", a name for which they
# remove a former run once. A killed run with --force true, resumed without it, therefore goes on with what it has begun.
# SIGINT, SIGTERM and SIGHUP end the command that runs, which cancels its jobs.
#
# With --num_nodes above 1 (and without Slurm) the recipe is started on each machine with its number in NODE_RANK. The first (0) runs the stages; the
# others run only what stage 3 calls through `run_on_all`, which waits for the first. They take no lock, and check and write nothing.
#
# The output of a stage goes to the terminal and to DIR/log/stage_N.log. DIR/.stages/N.done is written after the stage has succeeded; it holds the
# digest of the inputs and the commands. After a failure the command to resume is printed.

declare -a stage_numbers=() summary_rows=() recipe_arguments=()
declare -A stage_title=() stage_dir=() stage_needs=() stage_makes=()
current_stage='' start_over=false stage_pid='' following=false
shared_stage=3 # that all machines run

# stage N TITLE DIR needs PATH... makes PATH...: declares a stage. The function stage_N holds its commands, each called through `run`.
stage() {
    stage_numbers+=("$1")
    stage_title[$1]=$2 stage_dir[$1]=$3 stage_needs[$1]='' stage_makes[$1]=''
    add_to_stage "$1" "${@:4}"
}

# add_to_stage N needs PATH... makes PATH...: more inputs and outputs of a stage.
add_to_stage() {
    local number=$1 word list=
    shift
    for word; do
        case $word:$list in
            needs:* | makes:*) list=$word ;;
            *:needs) stage_needs[$number]+=$word$'\n' ;;
            *:makes) stage_makes[$number]+=$word$'\n' ;;
        esac
    done
}

# run CMD...: prints a command and runs it; ends the stage if it fails. A SIGTERM that ends the stage ends the command.
run() {
    ! $following || return 0
    run_on_all "$@"
}

# run_on_all CMD...: the same for a command that every machine runs.
run_on_all() {
    local pid='' status=0
    echo "\$$(_quoted "$@")"
    [ "$dry_run" != true ] || return 0
    trap '[ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null' TERM
    (trap - INT && exec "$@") & # in the background, bash would let it ignore Ctrl-C
    pid=$!
    wait "$pid" || status=$?
    while kill -0 "$pid" 2>/dev/null; do # the signal has ended the wait, not the command
        status=0
        wait "$pid" || status=$?
    done
    trap - TERM
    [ "$status" -eq 0 ] || exit "$status"
}

log() { printf '%s %s\n' "$(date '+%F %T')" "$*"; }

run_stages() {
    local number
    recipe_arguments=("$@")
    _check_stage_options
    trap _interrupted INT
    trap '_interrupted TERM' TERM HUP
    if _is_shared && [ "$dry_run" != true ]; then
        if [ "$NODE_RANK" -gt 0 ]; then _follow && return; fi
        _hold_first_lock
    fi
    if [ "$force" = true ]; then
        if [ "$dry_run" = true ]; then start_over=true; else _start_over; fi
    fi
    for number in "${stage_numbers[@]}"; do
        if [ "$number" -lt "$stage" ] || [ "$number" -gt "$stop_stage" ]; then
            continue
        elif [[ " ${skip_stages[*]} " == *" $number "* ]]; then
            log "stage $number: ${stage_title[$number]}: skipped (--skip_stages)"
            _add_summary_row "$number" skipped 0
        elif [ "$dry_run" = true ]; then
            _print_stage_plan "$number"
        else
            _run_stage "$number"
            ! _is_shared || : >"${stage_dir[$number]}/.stages/$number.passed"
        fi
    done
    if [ "$dry_run" = true ]; then
        echo "Dry run: nothing was done."
        return
    fi
    echo
    printf '%-5s  %-22s  %-9s  %7s  %s\n' stage title result seconds outputs "${summary_rows[@]}"
    echo "Successfully finished. [elapsed=${SECONDS}s]"
    exit 0 # bash reads a script while it runs it: do not read further if the file was edited meanwhile
}

# Waits until the command that runs has ended, which Ctrl-C has reached, too, but not a SIGTERM: it gets one.
_interrupted() {
    trap '' INT TERM HUP
    if [ -n "$stage_pid" ]; then
        [ -z "${1:-}" ] || kill -TERM "$stage_pid" 2>/dev/null || true
        wait "$stage_pid" || true
    fi
    _print_resume_command "interrupted"
    exit 130
}

# Whether several machines run this recipe, each with its own call.
_is_shared() { [ "${num_nodes:-1}" -gt 1 ] && [ "${cmd_backend:-local}" = local ] && [ -n "${NODE_RANK:-}" ]; }

# The first machine holds a lock while it runs, which shows the others that it does.
_hold_first_lock() {
    local file=${stage_dir[$shared_stage]}/.stages/first.lock
    mkdir -p "${file%/*}"
    exec {first_lock}>>"$file"
    flock -n "$first_lock" || { log "another run has locked ${stage_dir[$shared_stage]}: waiting for it to finish" && flock "$first_lock"; }
}

# What the other machines do: their part of the shared stage, unless nothing has to run.
_follow() {
    local number dir=${stage_dir[$shared_stage]} reason=$force log_file status
    current_stage=$shared_stage
    for number in "${stage_numbers[@]}"; do
        if [ "$number" -ge "$stage" ] && [ "$number" -le "$shared_stage" ] && [[ " ${skip_stages[*]} " != *" $number "* ]]; then
            reason+=$(_reason_to_run "$number" "$(_inputs_digest "$number")" "$(_stage_commands "$number")")
        fi
    done
    if [ "$stage" -gt "$shared_stage" ] || [ "$stop_stage" -lt "$shared_stage" ] || [ "$reason" = false ]; then
        log "nothing to do on machine $NODE_RANK: it takes part in stage $shared_stage alone, if that has to run"
        return
    fi
    log_file=$dir/log/stage_$shared_stage.machine$NODE_RANK.log
    mkdir -p "$dir/log"
    log "stage $shared_stage: ${stage_title[$shared_stage]}: with the first machine"
    following=true
    trap - ERR && set +e
    _run_commands "$shared_stage" "$log_file"
    status=$?
    report_errors
    [ "$status" -eq 0 ] || _stage_failed "$log_file" "$(_describe_exit_code "$status")" "$status"
}

# Marks the selected stages as to be started over. ASRLIB_START_OVER: the name, if another recipe calls this one; it counts once.
_start_over() {
    local number marks name=${ASRLIB_START_OVER:-$(date +%s.%N)-$$}
    for number in "${stage_numbers[@]}"; do
        if [ "$number" -lt "$stage" ] || [ "$number" -gt "$stop_stage" ] || [[ " ${skip_stages[*]} " == *" $number "* ]]; then continue; fi
        marks=${stage_dir[$number]}/.stages
        if grep -qsxF "$name" "$marks/$number".{force,forced}; then continue; fi
        { mkdir -p "$marks" && echo "$name" >"$marks/$number.force" && rm -f "$marks/$number.seconds"; } 2>/dev/null ||
            _exit_not_writable "$number"
        rm -f "$marks/$number.done"
    done
    force=false # the marks have it
}

_check_stage_options() {
    local number
    for number in "${skip_stages[@]}"; do
        [ -n "${stage_title[$number]+known}" ] || _exit_with 2 "--skip_stages: no stage '$number'; stages: $(_list_of_stages)"
    done
    [ -n "${stage_title[$stage]+known}" ] || _exit_with 2 "--stage $stage: no such stage; stages: $(_list_of_stages)"
    [ "$stage" -le "$stop_stage" ] || _exit_with 2 "--stage $stage is after --stop_stage $stop_stage: nothing to do"
}

_list_of_stages() {
    local number list=
    for number in "${stage_numbers[@]}"; do list+=", $number ${stage_title[$number]}"; done
    echo "${list#, }"
}

_run_stage() {
    local number=$1 begin=$SECONDS dir=${stage_dir[$1]} done_file lock log_file digest commands reason status
    done_file=$dir/.stages/$number.done log_file=$dir/log/stage_$number.log
    current_stage=$number
    _check_needs "$number"
    { mkdir -p "$dir/.stages" "$dir/log" && : >>"$done_file.lock"; } 2>/dev/null ||
        _exit_not_writable "$number"
    exec {lock}>>"$done_file.lock"
    flock -n "$lock" || { log "stage $number: another run has locked $dir: waiting for it to finish" && flock "$lock"; }
    digest=$(_inputs_digest "$number") commands=$(_stage_commands "$number")
    reason=$(_reason_to_run "$number" "$digest" "$commands")
    if [ -z "$reason" ]; then
        log "stage $number: ${stage_title[$number]}: skipped, nothing has changed since $(date -r "$done_file" '+%F %T') (--force true runs it again)"
        _add_summary_row "$number" skipped 0
    else
        log "stage $number: ${stage_title[$number]}: $reason"
        [ ! -e "$done_file" ] || rm -f "$done_file" "${done_file%.done}.seconds"
        start_over=false
        [ ! -s "${done_file%.done}.force" ] || start_over=$(<"${done_file%.done}.force")
        trap - ERR && set +e # a failure of the next command is reported by _stage_failed
        _run_commands "$number" "$log_file"
        status=$?
        report_errors
        echo $((SECONDS - begin)) >>"${done_file%.done}.seconds" # for results.json: a resumed stage adds to it
        [ "$status" -eq 0 ] || _stage_failed "$log_file" "$(_describe_exit_code "$status")" "$status"
        _check_makes "$number" "$log_file"
        printf '%s\n' "$digest" "$commands" >"$done_file.tmp" && mv "$done_file.tmp" "$done_file"
        [ ! -e "${done_file%.done}.force" ] || mv "${done_file%.done}.force" "${done_file%.done}.forced"
        _add_summary_row "$number" "done" $((SECONDS - begin))
    fi
    exec {lock}>&-
}

# _run_commands N LOG_FILE: runs the commands of a stage, with their output on the terminal and in the file; the exit code is theirs. They run in the
# background, because bash would handle a signal only after them.
_run_commands() {
    local out tee_pid status
    exec {out}> >(exec tee -i "$2")
    tee_pid=$!
    (report_errors && "stage_$1") </dev/null >&"$out" 2>&1 &
    stage_pid=$!
    exec {out}>&-
    wait "$stage_pid"
    status=$?
    stage_pid=''
    wait "$tee_pid"
    return "$status"
}

_print_stage_plan() {
    local number=$1 path reason
    reason=$(_reason_to_run "$number" "$(_inputs_digest "$number")" "$(_stage_commands "$number")")
    printf 'stage %s: %s: %s\n' "$number" "${stage_title[$number]}" "${reason:-would be skipped, nothing has changed}"
    while IFS= read -r path; do [ -z "$path" ] || echo "  needs $path"; done <<<"${stage_needs[$number]}"
    "stage_$number" | sed 's/^/  /'
    while IFS= read -r path; do [ -z "$path" ] || echo "  makes $path"; done <<<"${stage_makes[$number]}"
}

# _reason_to_run N DIGEST COMMANDS: why a stage must run; empty if nothing has changed since it was finished.
_reason_to_run() {
    local number=$1 digest=$2 commands=$3 done_file=${stage_dir[$1]}/.stages/$1.done path
    [ "$force" != true ] || { echo "runs (--force true)" && return; }
    [ ! -s "${done_file%.done}.force" ] || { echo "runs (--force true)" && return; }
    [ -s "$done_file" ] || { echo "runs" && return; }
    [ "$(tail -n +2 "$done_file")" = "$commands" ] || { echo "runs again, its options have changed" && return; }
    [ "$(head -n 1 "$done_file")" = "$digest" ] || { echo "runs again, its inputs have changed" && return; }
    while IFS= read -r path; do
        [ -z "$path" ] || [ -e "$path" ] || { echo "runs again, $path is missing" && return; }
    done <<<"${stage_makes[$number]}"
}

# The commands of a stage, with every run_option at its default. Called in a subshell.
_stage_commands() {
    local name
    for name in "${run_options[@]}"; do _set_option "$name" "${option_default[$name]}"; done
    dry_run=true command_line='' start_over=false "stage_$1"
}

# A digest of the inputs of a stage, on one line.
_inputs_digest() {
    local path
    while IFS= read -r path; do
        case $path in
            '') ;;
            *.yaml:*) awk -v section="${path##*:}:" '/^[^ #]/ { on = ($1 == section) } on' <"${path%:*}" ;;
            *.yaml) cat "$path" ;;
            *)
                find -L "$path" -type f -printf '%p %s %T@\n' | sort
                _audio_files "$path/wav.scp" | sort -u | xargs -r -d '\n' stat -L -c '%n %s %.Y' --
                ;;
        esac || true # with --dry_run true inputs may be missing
    done <<<"${stage_needs[$1]}" 2>/dev/null | sha256sum
}

# _audio_files WAV_SCP: the files that it names, if it exists; places in archives without their offset.
_audio_files() {
    [ ! -e "$1" ] || sed -e '/|[[:space:]]*$/d' -e 's/^[^[:space:]]*[[:space:]]*//' -e 's/\(\.ark\):[0-9]*$/\1/' -e 's/[[:space:]]*$//' "$1"
}

_check_needs() {
    local number=$1 path producer
    while IFS= read -r path; do
        [[ $path != *.yaml:* ]] || path=${path%:*}
        [ -n "$path" ] && [ ! -e "$path" ] || continue
        producer=$(_producer "$path")
        if [ -n "$producer" ]; then
            _exit_with 1 "stage $number (${stage_title[$number]}) needs $path," \
                "which stage $producer (${stage_title[$producer]}) makes: run --stage $producer first"
        fi
        _exit_with 1 "stage $number (${stage_title[$number]}) needs $path, which is missing"
    done <<<"${stage_needs[$number]}"
}

# The stage that makes a path or a directory above it; empty if none does.
_producer() {
    local number path
    for number in "${stage_numbers[@]}"; do
        while IFS= read -r path; do
            [ -n "$path" ] && [[ $1/ == "$path"/* ]] && echo "$number" && return
        done <<<"${stage_makes[$number]}"
    done
    return 0
}

# _check_makes N LOG_FILE
_check_makes() {
    local path
    while IFS= read -r path; do
        if [ -n "$path" ] && { [ ! -e "$path" ] || [ -f "$path" ] && [ ! -s "$path" ]; }; then
            _stage_failed "$2" "its output $path is missing or empty"
        fi
    done <<<"${stage_makes[$1]}"
}

_describe_exit_code() {
    case $1 in
        137) echo "killed by signal 9 (SIGKILL), probably out of memory" ;;
        129 | 1[3-9]?) echo "killed by signal $(($1 - 128))" ;;
        *) echo "exit code $1" ;;
    esac
}

# _add_summary_row N RESULT SECONDS
_add_summary_row() {
    local outputs
    outputs=$(printf '%s' "${stage_makes[$1]}" | tr '\n' ' ')
    [ ${#outputs} -le 90 ] || outputs="${stage_dir[$1]}/ ($(printf '%s' "${stage_makes[$1]}" | wc -l) files and directories)"
    summary_rows+=("$1" "${stage_title[$1]}" "$2" "$3" "$outputs")
}

# _stage_failed LOG_FILE CAUSE [EXIT_CODE]: the end of the log, the cause, the command to resume. Training that was killed for memory resumes with
# less of it.
_stage_failed() {
    local smaller=
    [ "${3:-}" != 137 ] || [[ $current_stage != [35] ]] || smaller=$(_smaller_memory_gb) || smaller=
    {
        printf '\nThe last lines of %s:\n' "$1"
        tail -n 10 "$1" | sed 's/^/| /'
    } >&2
    _print_resume_command "$2" "$smaller"
    exit 1
}

# Two thirds of the memory in GB that training was limited to (--memory_gb), or else of the available memory, as training computes it.
_smaller_memory_gb() {
    python -c '
import sys
from asrlib.utils.memory import GB, available_memory

limit = float(sys.argv[1]) if sys.argv[1] else available_memory() / GB
print(max(1, int(limit * 2 / 3)))' "${memory_gb:-}"
}

# _print_resume_command CAUSE [MEMORY_GB]: the command of the user with the failed stage as --stage, without --force, which would start over, and with
# --memory_gb if one is given.
_print_resume_command() {
    local arguments=() word previous='' replaced='stage|force'
    [ -z "${2:-}" ] || replaced+='|memory[-_]gb'
    for word in "${recipe_arguments[@]}"; do
        [[ $word =~ ^--($replaced)(=|$) || $previous =~ ^--($replaced)$ ]] || arguments+=("$word")
        previous=$word
    done
    echo "$0: stage $current_stage (${stage_title[$current_stage]}) failed: $1"
    echo "To resume:$(_quoted "$called_as" "${arguments[@]}") --stage $current_stage${2:+ --memory_gb $2}"
} >&2

# The words quoted for a shell, each with a space before it.
_quoted() {
    local word
    for word; do
        [[ $word =~ ^[A-Za-z0-9_.,:=@%+/-]+$ ]] || word=${word@Q}
        printf ' %s' "$word"
    done
}

_exit_not_writable() {
    _exit_with 1 "stage $1: cannot write to ${stage_dir[$1]}: check its permissions or choose another directory"
}

# _exit_with EXIT_CODE MESSAGE...
_exit_with() {
    printf '%s: %s\n' "$0" "${*:2}" >&2
    exit "$1"
}
