# shellcheck shell=bash disable=SC2034,SC2154  # name, value, added are those of parse_options
# What people type from habit, from other toolkits or misspelt: other_options.tsv says what it is here. Sourced by parse_options.sh.

# _translate TYPED: replaces $name and $value of parse_options by ours; an empty $name: nothing to set. $added: words that lists get in addition.
# Ends with what to type for an option that is not there.
_translate() {
    local here owner words=() i
    if [ -n "${option_type[$name]+known}" ]; then
        _translate_words
    elif _look_up "$name=$value" || _look_up "$name"; then
        [ "$owner" = - ] || owner=" of $owner"
        [[ $here == =* ]] || _refuse "there is no option $1${owner#-}: $here"
        name=${here#=}
        [[ $name == *' '* ]] || return 0
        value=${name#* } name=${name%% *}
        [[ ${option_type[$name]} != *s:* && ${option_type[$name]} != words ]] || { added["$name"]+=" $value" && name=; }
    else
        here=$(_near_option "$name")
        _refuse "unknown option '$1'${here:+; did you mean --$here?} (--help lists all)"
    fi
}

# The words of an option of ours that takes only some.
_translate_words() {
    case ${option_type[$name]} in
        choice:*) words=("$value") ;;
        words:*) _split_words words "$value" ;;
        *) return 0 ;;
    esac
    for i in "${!words[@]}"; do
        _look_up "$name=${words[i]}" || continue
        [[ $here == "=$name "* ]] || _refuse "--$name: no '${words[i]}': $here"
        words[i]=${here#* }
    done
    value=${words[*]}
}

# _look_up OPTION: sets $owner and $here from the first row that applies; fails if there is none.
_look_up() {
    local option condition
    while IFS=$'\t' read -r option owner condition here; do
        [[ " $option " != *" $1 "* ]] || ! _applies "$condition" "$here" || return 0
    done <"$common/other_options.tsv"
    return 1
}

# _applies CONDITION HERE: whether the recipe has all options of a row.
_applies() {
    local text=${2/#=/--}
    [ "$1" = - ] || text="--$1 $text"
    while [[ $text =~ --([a-z][a-z0-9_]*)(.*) ]]; do
        [[ ${BASH_REMATCH[1]} == help || -n ${option_type[${BASH_REMATCH[1]}]+known} ]] || return 1
        text=${BASH_REMATCH[2]}
    done
}

# _near_option NAME: the option that NAME misspells: at most one letter in five is wrong, missing, added or swapped with the next; else nothing.
_near_option() {
    printf '%s\n' "${option_names[@]}" | awk -v given="$1" '
        function least(a, b) { return a < b ? a : b }
        function distance(a, b,    i, j, d) {
            for (i = 0; i <= length(a); i++) d[i, 0] = i
            for (j = 0; j <= length(b); j++) d[0, j] = j
            for (i = 1; i <= length(a); i++)
                for (j = 1; j <= length(b); j++) {
                    d[i, j] = least(least(d[i - 1, j], d[i, j - 1]) + 1, d[i - 1, j - 1] + (substr(a, i, 1) != substr(b, j, 1)))
                    if (i > 1 && j > 1 && substr(a, i, 1) == substr(b, j - 1, 1) && substr(a, i - 1, 1) == substr(b, j, 1))
                        d[i, j] = least(d[i, j], d[i - 2, j - 2] + 1)
                }
            return d[length(a), length(b)]
        }
        { found = distance(given, $0) / (length(given) > length($0) ? length(given) : length($0)) }
        NR == 1 || found < best { best = found; name = $0 }
        END { if (best <= 0.2) print name }'
}
