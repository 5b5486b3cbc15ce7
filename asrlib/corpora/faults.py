"""Utterances that a command on many files passes over: each is logged and listed with the reason, and their number ends the log."""

from collections.abc import Mapping
from pathlib import Path

from asrlib.corpora.kaldi_table import write_table
from asrlib.utils.log import get_logger

log = get_logger(__name__)

BAD_UTTS = "bad_utts.txt"


def list_bad(bad: Mapping[str, str], path: Path) -> None:
    """Writes {utterance: reason} to `path`, which is removed if there are none."""
    if bad:
        write_table(path, {utt: " ".join(reason.split()) for utt, reason in bad.items()})
    else:
        path.unlink(missing_ok=True)


def pass_over(bad: Mapping[str, str], path: Path) -> None:
    """Logs {utterance: reason}, each reason with the utterance and its file, and lists them in `path`."""
    for reason in bad.values():
        log.error("passed over: %s", reason)
    list_bad(bad, path)


def exit_code(bad: int, data_dir: Path, path: Path) -> int:
    """The exit code of a command that has passed over `bad` utterances of data_dir, which are listed in `path`; logs their number."""
    if bad:
        remedy = "repair them, or drop them with validate_data --audio true --fix true"
        log.error("%s: %d utterances passed over, listed in %s: %s", data_dir, bad, path, remedy)
    return 1 if bad else 0
