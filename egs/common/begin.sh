# shellcheck shell=bash disable=SC2034
# The first file that a run.sh sources. It sets strict mode, reports every unexpected error with its place, makes the recipe's folder ($recipe) the
# current one (the caller's is $called_from), and defines `option` (parse_options.sh).

set -uo pipefail
shopt -s inherit_errexit # $(...) stops at an error, too
unset CDPATH # with it, cd prints its target and may find another folder of that name

# Stop at an error and report it. Only the shell that has called this reports: what fails in a subshell of it is reported as the command that started
# the subshell.
report_errors() {
    error_level=$BASH_SUBSHELL
    trap '_report_error "$?" "$BASH_COMMAND"' ERR
    set -eE
}

_report_error() {
    [ "$BASH_SUBSHELL" -eq "$error_level" ] || return 0
    printf '%s: error: %s, line %s: exit code %s of: %s\n' "$0" "${BASH_SOURCE[1]}" "${BASH_LINENO[0]}" "$1" "${2%%$'\n'*}" >&2
}

report_errors
called_from=$PWD
script=$(readlink -f "${BASH_SOURCE[1]}") # also where run.sh is called through a link
recipe=${script%/*}
common=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cd "$recipe"
case $0 in */*) called_as=$0 ;; *) called_as=./$0 ;; esac # as it can be pasted into a shell

# shellcheck source=egs/common/parse_options.sh
. "$common/parse_options.sh"
