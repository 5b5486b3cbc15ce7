"""Input of ESPnet's fine-tuning from a Kaldi directory: audio files or hidden states of a frozen upstream, transcripts, lengths for batches.

OUT/{wav.scp or feats.scp, text, speech_shape, speech.json}; bad_utts.txt lists what cannot be read and is passed over. Lengths are in
samples for both kinds, so that both make the same batches.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from asrlib.config.base import override_values, read_yaml
from asrlib.corpora.audio import check_audio, write_wav
from asrlib.corpora.audio_file import is_pipe
from asrlib.corpora.durations import known_seconds
from asrlib.corpora.faults import BAD_UTTS, pass_over
from asrlib.corpora.fetch import digest
from asrlib.corpora.fingerprint import audio_digest
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.corpora.kaldi_ops import select
from asrlib.corpora.kaldi_table import write_table
from asrlib.features.ark import write_ark
from asrlib.pt.s3prl_upstream import UpstreamSource, cacheable, describe_upstream, load_upstream
from asrlib.utils.backend import LOCAL, Backend
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write, run_folder, settle, settled
from asrlib.utils.log import get_logger
from asrlib.utils.parallel import run_jobs
from asrlib.utils.space import free_space, size_of

log = get_logger(__name__)

RATE = 16000
PART = 512  # utterances of an archive: what a killed run has to do again is at most one of them for each job

Row = tuple[str, str, int]  # utterance, location, samples
Bad = dict[str, str]  # utterance that cannot be read -> reason


@dataclass
class Speech:
    """What a dump holds. layers and dim are 0 for audio."""

    kind: str  # audio|states
    upstream: str = ""
    model: str = ""
    layers: int = 0
    dim: int = 0
    downsample_rate: int = 0
    data: str = ""  # digest of the upstream's weights and of the utterances: another one means that what was made before is stale


@dataclass(frozen=True)
class Limits:
    """Seconds of an utterance that is trained on (ESPnet's recipes: 0.1 to 20); others are set aside."""

    shortest: float = 0.1
    longest: float = 20.0


@dataclass(frozen=True)
class Caching:
    """Whether hidden states are written. states: "true", "false", or "auto": where they take at most `gigabytes`.

    asr_config, asr_args: ESPnet's configuration of the fine-tuning with its overrides, where there is one: an upstream that it trains has no states
    to be written.
    """

    states: str = "auto"
    gigabytes: float = 50.0
    asr_config: Path | None = None
    asr_args: Sequence[str] = ()


def upstream_to_cache(name: str, model: str, data_dirs: Sequence[Path], out: Path, caching: Caching) -> UpstreamSource | None:
    """The upstream (its name in s3prl, "" for none, and its checkpoint) whose hidden states are written of data_dirs to `out`; None: audio is.

    UserError: as describe_upstream; states "true" with a configuration that trains the upstream or takes its last layer alone; the disk is too small.
    """
    if not name or caching.states == "false":
        return None
    if caching.asr_config:
        values = read_yaml(caching.asr_config)
        override_values(values, caching.asr_args, caching.asr_config)
        if not cacheable(values):
            reason = f"{caching.asr_config} trains the upstream or takes its last layer alone"
            if caching.states == "true":
                raise UserError(f"--cache_states true: {reason}: give --cache_states false")
            log.info("%s: audio is written", reason)
            return None
    source = describe_upstream(name, model)
    size = sum(estimate_bytes(folder, source) for folder in data_dirs) / 1e9
    log.info("%s: %d hidden states of %d values every %d samples, %.2f GB", source.name, source.layers, source.dim, source.downsample_rate, size)
    if caching.states == "auto" and size > caching.gigabytes:
        log.info("more than --cache_gb %g: they will be computed anew in every epoch", caching.gigabytes)
        return None
    free = (free_space(out) + size_of(out)) / 1e9
    if size > free:
        remedy = "free some space, or give --cache_states false to compute them anew in every epoch"
        raise UserError(f"{out}: the hidden states will take {size:.1f} GB, {free:.1f} GB are free: {remedy}")
    return source


def estimate_bytes(data_dir: Path, upstream: UpstreamSource) -> int:
    """Bytes that the hidden states of a directory take; files that cannot be read count nothing."""
    lengths, _ = known_seconds(KaldiDir.on_disk(data_dir))
    return round(float(np.nansum(lengths)) * RATE / upstream.downsample_rate) * upstream.layers * upstream.dim * 4


def dump(data_dir: Path, out: Path, upstream: UpstreamSource | None, limits: Limits, nj: int, backend: Backend = LOCAL) -> tuple[int, Bad]:
    """Writes OUT; how many utterances are in it, and which were passed over. upstream: whose hidden states; None: audio.

    What a killed run has written is kept. UserError: no utterance can be read, or all are set aside.
    """
    data, bad = _inside(KaldiDir.read(data_dir), limits, out)
    utterances = list(data.utterances())
    speech = Speech("states", upstream.name, upstream.path, upstream.layers, upstream.dim, upstream.downsample_rate) if upstream else Speech("audio")
    speech.data = _fingerprint(utterances, upstream)
    _claim(out, speech)
    rows, faults = _parts(utterances, out, upstream, nj, backend, f"{speech.kind} of {data_dir.name}")
    if len(rows) + len(faults) != len(utterances):
        raise UserError(f"{out}: {len(rows)} of {len(utterances)} utterances were written: see {out / 'log'}")
    bad |= faults
    pass_over(bad, out / BAD_UTTS)
    if not rows:
        raise UserError(f"{data_dir}: no utterance can be read, {next(iter(bad.values()))}")
    if data.text is not None:
        write_table(out / "text", {utt: data.text[utt] for utt, *_ in rows})
    write_table(out / "speech_shape", {utt: str(samples) for utt, _, samples in rows})
    write_table(out / ("feats.scp" if upstream else "wav.scp"), {utt: location for utt, location, _ in rows})
    return len(rows), bad


def _parts(
    utterances: Sequence[Utterance], out: Path, upstream: UpstreamSource | None, nj: int, backend: Backend, desc: str
) -> tuple[list[Row], Bad]:
    """Writes out/parts/N.ark or N/*.wav of every PART utterances, and N.json with their rows: such a part is not made again."""
    parts = {out / "parts" / str(first // PART): utterances[first : first + PART] for first in range(0, len(utterances), PART)}
    answers: dict[Path, tuple[list[Row], Bad]] = {part: (rows, Bad()) for part in parts if (rows := _done(part)) is not None}
    missing = [part for part in parts if part not in answers]
    with run_folder(out / "parts") as folder:

        def keep(index: int, answer: tuple[list[Row], Bad]) -> None:
            part, (found, bad) = missing[index], answer
            settle(folder / f"{part.name}.ark" if upstream else folder / part.name)
            rows = [(utt, settled(location, folder), samples) for utt, location, samples in found]
            answers[part] = rows, bad
            if not bad:  # audio that cannot be read may be repaired
                with atomic_write(_rows_of(part)) as stream:
                    json.dump(rows, stream)

        jobs = [(parts[part], str(folder / part.name), upstream) for part in missing]
        run_jobs(dump_states if upstream else dump_audio, jobs, out / "log", nj, backend, desc, keep)
    ordered = [answers[part] for part in parts]
    return [row for rows, _ in ordered for row in rows], {utt: reason for _, bad in ordered for utt, reason in bad.items()}


def dump_states(utterances: Sequence[Utterance], part: str, upstream: UpstreamSource) -> tuple[list[Row], Bad]:
    """The job of one archive: hidden states (frames, layers * dim) of each utterance alone, as ESPnet's s3prl frontend would give them."""
    model = load_upstream(upstream)
    samples, bad = dict[str, int](), Bad()

    def states() -> Iterator[tuple[str, np.ndarray]]:
        for utterance in utterances:
            try:
                audio = utterance.audio(RATE)
            except UserError as error:
                bad[utterance.id] = str(error)
                continue
            samples[utterance.id] = len(audio)
            with torch.inference_mode():
                layers, _ = model(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))
            yield utterance.id, torch.cat(layers, -1)[0].numpy()

    return [(utt, location, samples[utt]) for utt, location, _ in write_ark(f"{part}.ark", states())], bad


def dump_audio(utterances: Sequence[Utterance], part: str, _: None = None) -> tuple[list[Row], Bad]:
    """The job for some utterances: 16 kHz mono files of one utterance stay where they are, others are converted to such files, which are numbered."""
    rows, bad = [], Bad()
    for number, utterance in enumerate(utterances):
        try:
            rows.append((utterance.id, *_audio_file(utterance, Path(part) / f"{number}.wav")))
        except UserError as error:
            bad[utterance.id] = str(error)
    return rows, bad


def _audio_file(utterance: Utterance, path: Path) -> tuple[str, int]:
    """The file with the audio of an utterance, its own or the one written to `path`, and its samples."""
    if utterance.is_file() and not utterance.channels:
        try:
            info = check_audio(utterance.wav)
        except UserError as error:
            raise UserError(f"utterance {utterance.id}: {error}") from error
        if (info.rate, info.channels, info.plain) == (RATE, 1, True):
            return utterance.wav, info.frames
    audio = utterance.audio(RATE)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, audio, RATE)
    return str(path), len(audio)


def read_speech(folder: Path) -> Speech:
    """What a dump holds. UserError: not made yet."""
    path = folder / "speech.json"
    if not path.is_file():
        raise UserError(f"{path} is missing: run python -m asrlib.bin.dump_speech (stage 5 does)")
    return Speech(**json.loads(path.read_text()))


def _done(part: Path) -> list[Row] | None:
    path = _rows_of(part)
    return [tuple(row) for row in json.loads(path.read_text())] if path.is_file() else None


def _rows_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _fingerprint(utterances: Sequence[Utterance], upstream: UpstreamSource | None) -> str:
    """A digest of the weights, and of the ids, transcripts and audio of the utterances."""
    found = hashlib.sha256(digest(Path(upstream.path), "sha256").encode() if upstream and upstream.path else b"")
    for utterance in utterances:
        try:
            audio = audio_digest(utterance.wavs, utterance.channels)
        except UserError:  # the job of the utterance tells
            audio = "unreadable"
        found.update(f"{utterance.id} {audio} {utterance.start} {utterance.end} {utterance.text}\n".encode())
    return found.hexdigest()


def _claim(out: Path, speech: Speech) -> None:
    """Keeps the parts of a run with the same upstream on the same data, removes those of another."""
    path = out / "speech.json"
    if not (path.is_file() and json.loads(path.read_text()) == asdict(speech)):
        for old in (*(out / "parts").glob("*.json"), *(out / "parts").glob("*.ark"), out / "feats.scp", out / "wav.scp"):
            old.unlink(missing_ok=True)
    (out / "parts").mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        json.dump(asdict(speech), stream, indent=1)


def _inside(data: KaldiDir, limits: Limits, out: Path) -> tuple[KaldiDir, Bad]:
    """The utterances that can be trained on, and those that cannot be read; the others are listed in OUT/set_aside.tsv."""
    aside, (lengths, bad) = {}, known_seconds(data)
    for utterance, seconds in zip(data.utterances(), lengths.tolist(), strict=True):
        if any(map(is_pipe, utterance.wavs)):
            bad[utterance.id] = f"utterance {utterance.id}: wav.scp has a command: write its audio to a file first (dump_speech runs none)"
        elif utterance.id in bad:
            continue
        elif not limits.shortest <= seconds <= limits.longest:
            aside[utterance.id] = f"{seconds:.3f} seconds, outside {limits.shortest:g} to {limits.longest:g}"
        elif utterance.text is not None and not utterance.text.strip():
            aside[utterance.id] = "empty transcript"
    with atomic_write(out / "set_aside.tsv") as stream:
        stream.writelines(f"{utt}\t{reason}\n" for utt, reason in aside.items())
    if aside:
        first = min(aside)
        log.warning("%d utterances set aside, the first %s (%s): %s", len(aside), first, aside[first], out / "set_aside.tsv")
    kept = [utt for utt in data.utt2spk if utt not in aside and utt not in bad]
    if not kept:
        pass_over(bad, out / BAD_UTTS)
        more = f", or in {out / BAD_UTTS}" if bad else ""
        raise UserError(f"{out}: no utterance left to train on; see {out / 'set_aside.tsv'}{more}")
    return select(data, kept), bad
