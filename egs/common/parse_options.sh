# shellcheck shell=bash
# Options of a recipe. run.sh, corpus.sh and the chain declare them in turn; recipe.sh then calls `parse_options "$@"`.
#
#     option_group "Options of LibriSpeech"              a heading in --help
#     option NAME TYPE DEFAULT HELP                      sets the variable NAME to DEFAULT
#     run_option NAME TYPE DEFAULT HELP                  likewise; it only says how stages run, so that another value makes no stage stale
#
# Types: text; bool (true or false); int (a whole number); number; choice:a|b|c; path; and, as arrays, words; words:a|b|c (at least one of these);
# ints; paths. An option whose default is empty may be empty. Paths of the user are relative to where the recipe was called, those of the defaults to
# the recipe's folder.
# On the command line: --name value or --name=value, with - or _ in the name; anything else ends with exit code 2. Values are never evaluated as code.

declare -a option_names=() run_options=()
declare -A option_type=() option_default=() option_help=() option_heading=()
declare -A option_given=() # those on the command line, as they stand there
option_heading_next=

option_group() { option_heading_next=$1; }

option() {
    [[ $# -eq 4 && $1 =~ ^[a-z][a-z0-9_]*$ && -z ${option_type[$1]+known} ]] || _refuse "option $*: expected NAME TYPE DEFAULT HELP, with a new name"
    option_names+=("$1")
    option_type[$1]=$2 option_default[$1]=$3 option_help[$1]=$4 option_heading[$1]=$option_heading_next
    option_heading_next=
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
            *) _refuse "unexpected argument '$1': options are given as --name value, a value with spaces in quotes" ;;
        esac
        name=${1%%=*}
        name=${name#--}
        name=${name//-/_}
        [ -n "${option_type[$name]+known}" ] || _refuse "unknown option '${1%%=*}'; did you mean --$(_nearest "$name")? (--help lists all)"
        if [[ $1 == *=* ]]; then
            value=${1#*=}
        elif [ $# -gt 1 ] && [[ $2 != --[a-z]* ]]; then
            value=$2
            shift
        else
            _refuse "--$name needs a value (one that begins with -- as --$name=VALUE)"
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
        choice:*) _is_one_of "$type" "$value" || _refuse "--$name: '$value' is not one of $(_listed "$type" ', ')" ;;
        words* | ints)
            _split_words words "$value"
            [[ $type != words:* || ${#words[@]} -gt 0 ]] || _refuse "--$name: name at least one of $(_listed "$type" ' ')"
            for word in "${words[@]}"; do
                [[ $type != ints || $word =~ ^[0-9]{1,15}$ ]] || _refuse "--$name: '$word' is not a number"
                [[ $type != words:* ]] || _is_one_of "$type" "$word" || _refuse "--$name: '$word' is not one of $(_listed "$type" ' ')"
            done
            ;;
        path) [[ $value != *$'\n'* ]] || _refuse "--$name: a path must not have a line break in it" ;;
    esac
}

_is_one_of() { [[ $2 != *'|'* && "|${1#*:}|" == *"|$2|"* ]]; }

# The values of a type "choice:a|b" with something else between them.
_listed() {
    local values=${1#*:}
    printf '%s' "${values//|/$2}"
}

# _set_option NAME VALUE [FOLDER]: into the variable NAME, of its type; relative paths of the user count from FOLDER.
_set_option() {
    local _value=$2 _folder=${3:-}
    # Called in the recipe's folder: the same paths as the defaults
    [[ $_folder != "${recipe:-}" && ! $_folder -ef ${recipe:-/nonexistent} ]] || _folder=''
    case ${option_type[$1]} in
        paths) _split_paths "$1" "$_value" "$_folder" ;;
        words* | ints) _split_words "$1" "$_value" ;;
        path)
            [[ -z $_value || -z $_folder || $_value == /* ]] || _value=$_folder/$_value
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

# _split_paths ARRAY TEXT FOLDER: one path a line or, if there is but one line, with spaces between them; the longest words that exist together are
# one path.
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

# path_list PATH...: the reverse, for a command's option: with spaces between them or, if one has a space in it, each on a line.
path_list() {
    local path IFS=' '
    for path; do
        [[ $path != *' '* ]] || { printf '\n%s' "$@" && return; }
    done
    printf '%s' "$*"
}

_exists() { if [[ $1 == /* ]]; then [ -e "$1" ]; else [ -e "$2$1" ]; fi; }

# The comment at the top of the called script, then every option with its default.
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
    ! $lists || printf '\n%s\n' 'Several folders or files are one value, with spaces between them: --test_dirs "a b".' \
        'One that exists may have spaces in its name; line breaks separate them, too.'
}

# The option with the smallest edit distance to $1.
_nearest() {
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
