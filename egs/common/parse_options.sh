# shellcheck shell=bash
# Command-line options of a recipe. run.sh, corpus.sh and the common scripts declare them; recipe.sh then calls `parse_options "$@"`.
#
#     option_group "Options of LibriSpeech"              a heading in --help
#     option NAME TYPE DEFAULT HELP                      sets the variable NAME to DEFAULT
#     run_option NAME TYPE DEFAULT HELP                  the same for options that do not change results: a new value does not rerun stages
#
# Types: text; bool (true or false); int (a whole number); number; choice:a|b|c; path; and as arrays: words; words:a|b|c (at least one of them);
# ints; paths. An option may be empty if its default is empty. Relative paths on the command line start at the caller's directory, relative paths in
# defaults at the recipe's directory.
# Syntax: --name value or --name=value, with - or _ in the name; anything else is an error with exit code 2. Values are never evaluated as code.

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
    local name value
    while [ $# -gt 0 ]; do
        case $1 in
            --help | -h) _print_help && exit 0 ;;
            --?*) ;;
            *) _refuse "unexpected argument '$1': write options as --name value, and quote values with spaces" ;;
        esac
        name=${1%%=*}
        name=${name#--}
        name=${name//-/_}
        [ -n "${option_type[$name]+known}" ] || _refuse "unknown option '${1%%=*}'; did you mean --$(_closest_option "$name")? (--help lists all)"
        if [[ $1 == *=* ]]; then
            value=${1#*=}
        elif [ $# -gt 1 ] && [[ $2 != --[a-z]* ]]; then
            value=$2
            shift
        else
            _refuse "--$name needs a value (write --$name=VALUE if it begins with --)"
        fi
        shift
        _check_value "$name" "$value"
        _set_option "$name" "$value" "${called_from:-$PWD}"
        # shellcheck disable=SC2034  # for the recipe
        option_given[$name]=$value
    done
}

_check_value() {
    local name=$1 value=$2 type=${option_type[$1]} word words=()
    [[ -n $value || -n ${option_default[$name]} ]] || return 0
    case $type in
        bool) [[ $value == true || $value == false ]] || _refuse "--$name: '$value' is not true or false" ;;
        int) [[ $value =~ ^[0-9]{1,15}$ ]] || _refuse "--$name: '$value' is not a number" ;;
        number) [[ $value =~ ^([0-9]+\.?|[0-9]*\.[0-9]+)([eE][-+]?[0-9]+)?$ ]] || _refuse "--$name: '$value' is not a number" ;;
        choice:*) _is_one_of "$type" "$value" || _refuse "--$name: '$value' is not one of $(_joined_values "$type" ', ')" ;;
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

# _set_option NAME VALUE [DIR]: assigns a value to the variable NAME, according to its type; relative paths start at DIR.
_set_option() {
    local _value=$2 _dir=${3:-}
    # Called in the recipe's directory: leave paths relative, like those of the defaults
    [[ $_dir != "${recipe:-}" && ! $_dir -ef ${recipe:-/nonexistent} ]] || _dir=''
    case ${option_type[$1]} in
        paths) _split_paths "$1" "$_value" "$_dir" ;;
        words* | ints) _split_words "$1" "$_value" ;;
        path)
            [[ -z $_value || -z $_dir || $_value == /* ]] || _value=$_dir/$_value
            printf -v "$1" '%s' "$_value"
            ;;
        int) printf -v "$1" '%s' "${_value:+$((10#0$_value))}" ;; # 08 is eight
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

# The option with the smallest edit distance to $1.
_closest_option() {
    printf '%s\n' "${option_names[@]}" | awk -v given="$1" '
        function distance(a, b,    i, j, cost, row, before, left) {
            for (j = 0; j <= length(b); j++) row[j] = j
            for (i = 1; i <= length(a); i++) {
                before = row[0]; row[0] = i
                for (j = 1; j <= length(b); j++) {
                    cost = before + (substr(a, i, 1) != substr(b, j, 1))
                    left = row[j - 1] + 1
                    before = row[j]
                    if (before + 1 < cost) cost = before + 1
                    row[j] = left < cost ? left : cost
                }
            }
            return row[length(b)]
        }
        { d = distance(given, $0); if (NR == 1 || d < best) { best = d; name = $0 } }
        END { print name }'
}

_refuse() {
    printf '%s: %s\n' "$0" "$1" >&2
    exit 2
}
