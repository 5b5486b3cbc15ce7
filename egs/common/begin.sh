# shellcheck shell=bash disable=SC2034
# The first file that a run.sh sources. It sets strict mode, reports unexpected errors with file and line, changes to the recipe's directory ($recipe;
# the caller's is $called_from), and defines `option` (parse_options.sh).

[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # called as sh run.sh
set +o posix
set -uo pipefail
shopt -s inherit_errexit # errexit also applies inside $(...)
unset CDPATH # with CDPATH, cd prints its target and may go to another directory of that name

# Stops at errors and reports them. Only the shell that has called this reports: an error in one of its subshells is reported as a failure of the
# command that started the subshell.
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
script=$(readlink -f "${BASH_SOURCE[1]}") # run.sh may be called through a link
recipe=${script%/*}
common=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cd "$recipe"
case $0 in */*) called_as=$0 ;; *) called_as=./$0 ;; esac # in a form that a shell finds

# shellcheck source=egs/common/parse_options.sh
. "$common/parse_options.sh"
