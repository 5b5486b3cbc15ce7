"""Durations of the utterances of a Kaldi directory, from utt2dur or the headers of the audio files, and a table of hours per set."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger
from asrlib.utils.progress import progress

log = get_logger(__name__)


def durations(data: KaldiDir, nj: int = 8) -> dict[str, float]:
    """Seconds of every utterance, summed over its parts. nj: headers read in parallel.

    UserError: files cannot be read or wav.scp has commands (each is logged), utt2dur has an invalid number.
    """
    known = {utt: _number(utt, value) for utt, value in data.tables.get("utt2dur", {}).items() if utt in data.utt2spk}
    if len(known) == len(data):
        return known
    unknown = [utterance for utterance in data.utterances() if utterance.id not in known]
    with ThreadPoolExecutor(nj) as pool:
        try:
            lengths = progress(pool.map(_seconds, unknown), desc="lengths of audio files", total=len(unknown), unit="utt", delay=2)
            found = {utterance.id: seconds for utterance, seconds in zip(unknown, lengths, strict=True)}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    bad = [reason for reason in found.values() if isinstance(reason, str)]
    if len(bad) > 1:
        for reason in bad:
            log.error("%s", reason)
        raise UserError(f"{len(bad)} of {len(data)} utterances cannot be read, {bad[0]}; drop them with validate_data --audio true --fix true")
    if bad:
        raise UserError(bad[0])
    return known | {utt: seconds for utt, seconds in found.items() if isinstance(seconds, float)}


def _seconds(utterance: Utterance) -> float | str:
    """The duration, or why it cannot be read."""
    try:
        return float(utterance.seconds())
    except UserError as error:
        return str(error)


def with_durations(data: KaldiDir, nj: int = 8) -> KaldiDir:
    """The same directory with utt2dur, so that the headers are not read again."""
    return KaldiDir({**data.tables, "utt2dur": {utt: f"{seconds:.6f}" for utt, seconds in durations(data, nj).items()}})


def write_hours(path: Path, sets: Mapping[str, KaldiDir]) -> None:
    """Writes and logs a table: set, utterances, hours."""
    rows = [(name, len(data), sum(durations(data).values()) / 3600) for name, data in sets.items()]
    with atomic_write(path) as stream:
        stream.write("set\tutterances\thours\n")
        stream.writelines(f"{name}\t{utterances}\t{hours:.3f}\n" for name, utterances, hours in rows)
    for name, utterances, hours in rows:
        log.info(f"{name}: {utterances} utterances, {hours:.2f} hours")


def _number(utt: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UserError(f"utt2dur: {utt} has {value!r} instead of seconds: remove the file, or run validate_data --fix true") from None
