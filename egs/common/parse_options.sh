# shellcheck shell=bash disable=SC2154  # begin.sh has set common
# Command-line options of a recipe. run.sh, corpus.sh and the common scripts declare them; recipe.sh then calls `parse_options "$@"`.
#
#     option_group "Options of LibriSpeech"              a heading in --help
#     option NAME TYPE DEFAULT HELP                      sets the variable NAME to DEFAULT
#     run_option NAME TYPE DEFAULT HELP                  the same for options that do not change results: a new value does not rerun stages
#
# Types: text; bool (true or false); int (a whole number); number; choice:a|b|c; path; and as arrays: words; words:a|b|c (at least one of them);
# ints; paths; stage:a|b/c, a number or a name, here 0 for a, 1 for b or c; stages:a|b/c. An option may be empty if its default is empty. Relative
# paths on the command line start at the caller's directory, relative paths in defaults at the recipe's directory.
# Syntax: --name value or --name=value, with - or _ in the name; anything else is an error with exit code 2. Values are never evaluated as code.
# Names and values that other toolkits have are translated or answered (other_options.sh).

# shellcheck source=egs/common/other_options.sh
. "$common/other_options.sh"

declare -a option_names=() run_options=()
declare -A option_type=() option_default=() option_help=() option_heading=()
declare -A option_given=() # values on the command line, unchanged
next_heading=

option_group() { next_heading=$1; }

option() {
    [[ $# -eq 4 && $1 =~ ^[a-z][a-z0-9_]*$ && -z ${option_type[$1]+known} ]] || _refuse "option $*: expected NAME TYPE DEFAULT HELP, with a new name"
    option_names+=("$1")
    option_type[$1]=$2 option_default[$1]=$3 option_help[$1]=$4 option_heading[$1]=$next_heading
    next_heading=
    _set_option "$1" "$3"
}

run_option() {
    option "$@"
    run_options+=("$1")
}

parse_options() {
    local name value typed words
    local -A added=() # words that lists get besides those given under their names
    while [ $# -gt 0 ]; do
        case $1 in
            --help | -h) _print_help && exit 0 ;;
            --?*) ;;
            *) _refuse "unexpected argument '$1': write options as --name value, and quote values with spaces" ;;
        esac
        typed=${1%%=*} words=1 value=''
        name=${typed#--}
        name=${name//-/_}
        if [[ $1 == *=* ]]; then
            value=${1#*=}
        elif [ $# -gt 1 ] && [[ $2 != --[a-z]* || $2 == *' '* ]]; then
            value=$2 words=2
        fi
        _translate "$typed"
        [[ -z $name || $1 == *=* || $words == 2 ]] || _refuse "--$name needs a value (write --$name=VALUE if it begins with --)"
        [ -z "$name" ] || _give_value "$name" "$value"
        shift "$words"
    done
    for name in "${!added[@]}"; do
        _give_value "$name" "${option_given[$name]:-}${added[$name]}"
    done
}

# _give_value NAME VALUE: sets an option from the command line.
_give_value() {
    local value=$2
    [[ ${option_type[$1]} != stage* ]] || value=$(_stage_numbers "${option_type[$1]}" "$2")
    _check_value "$1" "$value"
    _set_option "$1" "$value" "${called_from:-$PWD}"
    # shellcheck disable=SC2034  # for the recipe
    option_given[$1]=$value
}

# _stage_numbers TYPE WORDS: the words with names of stages as their numbers, and -1, the first stage of other toolkits, as 0.
_stage_numbers() {
    local names words i j
    IFS='|' read -r -a names <<<"${1#*:}"
    _split_words words "$2"
    for i in "${!words[@]}"; do
        for j in "${!names[@]}"; do
            [[ /${names[j]}/ != */"${words[i]//_/-}"/* ]] || words[i]=$j
        done
        [ "${words[i]}" != -1 ] || words[i]=0
    done
    printf '%s' "${words[*]}"
}

_check_value() {
    local name=$1 value=$2 type=${option_type[$1]} word words=()
    [[ -n $value || -n ${option_default[$name]} ]] || return 0
    case $type in
        bool) [[ $value == true || $value == false ]] || _refuse "--$name: '$value' is not true or false" ;;
        text)
            [[ $name != *_args || $value != --* ]] ||
                _refuse "--$name: '$value': write KEY=VALUE, with dots between keys: --$name \"KEY=VALUE KEY.KEY=VALUE\""
            ;;
        int) [[ $value =~ ^[0-9]{1,15}$ ]] || _refuse "--$name: '$value' is not a number" ;;
        number) [[ $value =~ ^([0-9]+\.?|[0-9]*\.[0-9]+)([eE][-+]?[0-9]+)?$ ]] || _refuse "--$name: '$value' is not a number" ;;
        choice:*) _is_one_of "$type" "$value" || _refuse "--$name: '$value' is not one of $(_joined_values "$type" ', ')" ;;
        stage*)
            _split_words words "$value"
            [[ $type == stages:* || ${#words[@]} -eq 1 ]] || _refuse "--$name: give one stage"
            for word in "${words[@]}"; do
                [[ $word =~ ^[0-9]{1,15}$ ]] || _refuse "--$name: '$word' is not a stage: give a number, or one of $(_stage_names "$type")"
            done
            ;;
        words* | ints)
            _split_words words "$value"
            [[ $type != words:* || ${#words[@]} -gt 0 ]] || _refuse "--$name: give at least one of $(_joined_values "$type" ' ')"
            for word in "${words[@]}"; do
                [[ $type != ints || $word =~ ^[0-9]{1,15}$ ]] || _refuse "--$name: '$word' is not a number"
                [[ $type != words:* ]] || _is_one_of "$type" "$word" || _refuse "--$name: '$word' is not one of $(_joined_values "$type" ' ')"
            done
            ;;
        path) [[ $value != *$'\n'* ]] || _refuse "--$name: a path must not contain a line break" ;;
    esac
}

_is_one_of() { [[ $2 != *'|'* && "|${1#*:}|" == *"|$2|"* ]]; }

# _joined_values TYPE SEPARATOR: the values of a type like "choice:a|b".
_joined_values() {
    local values=${1#*:}
    printf '%s' "${values//|/$2}"
}

# _stage_names TYPE: the first name of each stage.
_stage_names() {
    local names
    IFS='|' read -r -a names <<<"${1#*:}"
    names=("${names[@]%%/*}")
    _joined_values "$(IFS='|' && echo "${names[*]}")" ', '
}

# _set_option NAME VALUE [DIR]: assigns a value to the variable NAME, according to its type; relative paths start at DIR.
_set_option() {
    local _value=$2 _dir=${3:-}
    # Called in the recipe's directory: leave paths relative, like those of the defaults
    [[ $_dir != "${recipe:-}" && ! $_dir -ef ${recipe:-/nonexistent} ]] || _dir=''
    case ${option_type[$1]} in
        paths) _split_paths "$1" "$_value" "$_dir" ;;
        words* | ints | stages:*) _split_words "$1" "$_value" ;;
        path)
            [[ -z $_value || -z $_dir || $_value == /* ]] || _value=$_dir/$_value
            printf -v "$1" '%s' "$_value"
            ;;
        int | stage:*) printf -v "$1" '%s' "${_value:+$((10#0$_value))}" ;; # 08 is eight
        *) printf -v "$1" '%s' "$_value" ;;
    esac
}

# _split_words ARRAY TEXT: at spaces and line breaks.
_split_words() {
    # shellcheck disable=SC2229  # the name of the array is in $1
    IFS=$' \t\n' read -r -d '' -a "$1" <<<"$2" || true
}

# _split_paths ARRAY TEXT DIR: splits at line breaks or, if there are none, at spaces, except those of existing paths: the longest one is taken.
_split_paths() {
    local -n _paths=$1
    local _rest _path _prefix=${3:+$3/}
    _paths=()
    while IFS= read -r _rest; do
        while _rest=${_rest#"${_rest%%[! ]*}"} && [ -n "$_rest" ]; do
            _path=$_rest
            while [[ $2 != *$'\n'* && $_path == *' '* ]] && ! _exists "$_path" "$_prefix"; do _path=${_path% *}; done
            _rest=${_rest:${#_path}}
            [[ $_path == /* ]] || _path=$_prefix$_path
            _paths+=("$_path")
        done
    done <<<"$2"
}

# path_list PATH...: joins paths to one value for a command's option: by spaces or, if a path contains a space, by line breaks.
path_list() {
    local path IFS=' '
    for path; do
        [[ $path != *' '* ]] || { printf '\n%s' "$@" && return; }
    done
    printf '%s' "$*"
}

_exists() { if [[ $1 == /* ]]; then [ -e "$1" ]; else [ -e "$2$1" ]; fi; }

# Prints the comment at the top of the called script, then all options with their defaults.
_print_help() {
    local name type note lists=false
    awk 'NR > 1 { if (!/^#/) exit; if (!/shellcheck/) { sub(/^# ?/, ""); print } }' "${script:-${BASH_SOURCE[-1]}}"
    printf '\nUsage: %s [--option value ...]\n' "$0"
    for name in "${option_names[@]}"; do
        type=${option_type[$name]} note=
        [ -z "${option_heading[$name]}" ] || printf '\n%s\n' "${option_heading[$name]}"
        case $type in
            choice:*) note="${type#choice:}: " ;;
            paths) lists=true ;;
        esac
        printf '  --%-18s %s%s [default: %s]\n' "$name" "$note" "${option_help[$name]}" "${option_default[$name]:-none}"
    done
    ! $lists || printf '\n%s\n%s\n' 'Separate several paths by spaces in one value: --test_dirs "a b". Existing paths may contain spaces.' \
        'Line breaks separate paths as well.'
}

_refuse() {
    printf '%s: %s\n' "$0" "$1" >&2
    exit 2
}
