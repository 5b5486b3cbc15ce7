"""Durations of the utterances of a Kaldi directory, from utt2dur or the headers of the audio files, and a table of hours per set."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.keyed_lines import joined, of_kind, sorted_keys
from asrlib.utils.log import get_logger
from asrlib.utils.pool import mapped
from asrlib.utils.progress import progress

log = get_logger(__name__)


def seconds(data: KaldiDir) -> np.ndarray:
    """Seconds of every utterance, summed over its parts, in the order of the utterances, (utterances,).

    UserError: files cannot be read or wav.scp has commands (each is logged), utt2dur has an invalid number.
    """
    found, bad = known_seconds(data)
    reasons = list(bad.values())
    if len(reasons) > 1:
        for reason in reasons:
            log.error("%s", reason)
        raise UserError(f"{len(bad)} of {len(data)} utterances cannot be read, {reasons[0]}; drop them with validate_data --audio true --fix true")
    if reasons:
        raise UserError(reasons[0])
    return found


def known_seconds(data: KaldiDir) -> tuple[np.ndarray, dict[str, str]]:
    """`seconds` with NaN for utterances whose files cannot be read, and these with the reasons."""
    durations = joined(data.utt2spk, data.tables.get("utt2dur", {}))
    found = np.fromiter((np.nan if value is None else _number(utt, value) for utt, _, (value,) in durations), np.float64, len(data))
    lacking, bad = np.flatnonzero(np.isnan(found)), dict[str, str]()
    if not len(lacking):
        return found, bad
    unknown = (utterance for utterance, missing in zip(data.utterances(), np.isnan(found).tolist(), strict=True) if missing)
    lengths = progress(mapped(_seconds, unknown, len(lacking)), desc="lengths of audio files", total=len(lacking), unit="utt", delay=2)
    keys = sorted_keys(data.utt2spk)
    for number, length in zip(lacking.tolist(), lengths, strict=True):
        if isinstance(length, str):
            bad[keys[number]] = length
        else:
            found[number] = length
    return found, bad


def _seconds(utterance: Utterance) -> float | str:
    """The duration, or why it cannot be read."""
    try:
        return float(utterance.seconds())
    except UserError as error:
        return str(error)


def with_durations(data: KaldiDir) -> KaldiDir:
    """The same directory with utt2dur, so that the headers are not read again."""
    rows = zip(sorted_keys(data.utt2spk), seconds(data).tolist(), strict=True)
    return KaldiDir({**data.tables, "utt2dur": of_kind(data.utt2spk, ((utt, f"{length:.6f}") for utt, length in rows))})


def write_hours(path: Path, sets: Mapping[str, KaldiDir]) -> None:
    """Writes and logs a table: set, utterances, hours."""
    rows = [(name, len(data), sum(seconds(data).tolist()) / 3600) for name, data in sets.items()]
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
