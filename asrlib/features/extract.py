"""Feature extraction for a Kaldi directory, on all cores or on a cluster: archives, feats.scp and copies of the directory's tables."""

import hashlib
import shutil
from pathlib import Path

import numpy as np

from asrlib.config.features import FeatureConfig
from asrlib.corpora.faults import BAD_UTTS, pass_over
from asrlib.corpora.fingerprint import file_digest
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.corpora.kaldi_ops import select
from asrlib.corpora.kaldi_table import read_table, table_on_disk, write_table
from asrlib.features.ark import write_ark
from asrlib.features.compute import compute, prepared
from asrlib.utils.backend import LOCAL, Backend
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write, run_folder, settle, settled
from asrlib.utils.parallel import run_jobs, split_evenly
from asrlib.utils.space import free_space

DIGEST = "feats.sha256"
Row = tuple[str, str, int, int, str]  # utterance, location, frames, samples, digest of the features


def extract(
    data_dir: Path, dump_dir: Path, config: FeatureConfig, nj: int = 1, backend: Backend = LOCAL, compress: bool = False, allow_pipes: bool = False
) -> dict[str, float]:
    """Writes dump_dir from a Kaldi directory; returns the numbers of utterances, hours, frames and utterances passed over.

    Utterances whose audio cannot be read are passed over, logged, and listed with the reason in dump_dir/bad_utts.txt. feats.scp, utt2num_frames and
    utt2dur are written last, when all features are on disk. UserError: no utterance can be read.
    """
    data = KaldiDir.read(data_dir)
    utterances = list(data.utterances())
    if not utterances:
        raise UserError(f"{data_dir} has no utterances: prepare it again")
    for old in (dump_dir / "feats.scp", dump_dir / DIGEST, *dump_dir.glob("feats.*.ark")):  # an old feats.scp would point into the new archives
        old.unlink(missing_ok=True)
    shutil.rmtree(dump_dir / "mindrecord", ignore_errors=True)  # shards of the old features
    _check_disk(data, dump_dir, config, compress)
    parts = split_evenly(utterances, nj)
    with run_folder(dump_dir) as folder:
        arguments = [(part, config, str(folder / f"feats.{i}.ark"), compress, allow_pipes) for i, part in enumerate(parts, 1)]
        results = run_jobs(extract_part, arguments, dump_dir / "log", nj=nj, backend=backend, desc=f"features of {data_dir.name}")
        for ark in sorted(folder.glob("feats.*.ark")):
            settle(ark)
    rows = [(utt, settled(location, folder), *more) for found, _ in results for utt, location, *more in found]
    bad = {utt: reason for _, faults in results for utt, reason in faults.items()}
    if len(rows) + len(bad) != len(utterances):
        raise UserError(f"{dump_dir}: only {len(rows)} of {len(utterances)} utterances have features: see {dump_dir / 'log'}")
    pass_over(bad, dump_dir / BAD_UTTS)
    if not rows:
        raise UserError(f"{data_dir}: no utterance can be read, {next(iter(bad.values()))}")
    select(data, [utt for utt, *_ in rows]).write(dump_dir)
    write_table(dump_dir / "utt2num_frames", {utt: str(frames) for utt, _, frames, *_ in rows})
    # six decimals resolve single samples, which training needs to compute the number of frames
    write_table(dump_dir / "utt2dur", {utt: f"{samples / config.sample_rate:.6f}" for utt, _, _, samples, _ in rows})
    with atomic_write(dump_dir / DIGEST) as stream:
        stream.write(hashlib.sha256("".join(f"{utt} {digest}\n" for utt, *_, digest in sorted(rows)).encode()).hexdigest() + "\n")
    write_table(dump_dir / "feats.scp", {utt: location for utt, location, *_ in rows})
    return {
        "utterances": len(rows),
        "hours": sum(samples for *_, samples, _ in rows) / config.sample_rate / 3600,
        "frames": sum(frames for _, _, frames, *_ in rows),
        "passed_over": len(bad),
    }


def features_digest(dump_dir: Path) -> str:
    """A digest of the utterances of a dump directory in their order and of their features: it changes with these, not with their place."""
    whole, archives, scp = dump_dir / DIGEST, set(), dump_dir / "feats.scp"
    found = hashlib.sha256(whole.read_bytes() if whole.is_file() else b"")
    for utt, location in (table_on_disk(scp) or read_table(scp).rows).items():
        found.update(f"{utt}\n".encode())
        archives.add(location.rpartition(":")[0])
    for archive in sorted(archives):  # they may have been replaced since
        found.update((file_digest(archive) if Path(archive).exists() else "missing").encode())
    return found.hexdigest()


def _check_disk(data: KaldiDir, dump_dir: Path, config: FeatureConfig, compress: bool) -> None:
    """UserError: the features of the utterances whose durations are known will not fit on the disk."""
    seconds = sum(map(float, data.tables.get("utt2dur", {}).values()))
    needed, free = seconds / config.window_stride * config.dim * (1 if compress else 4) / 1e9, free_space(dump_dir) / 1e9
    if needed > free:
        raise UserError(f"{dump_dir}: the features will take {needed:.1f} GB, {free:.1f} GB are free: free some space, or give another folder")


def extract_part(utterances: list[Utterance], config: FeatureConfig, ark: str, compress: bool, allow_pipes: bool) -> tuple[list[Row], dict[str, str]]:
    """Writes one archive: the job of one process. Also returns the utterances that cannot be read, with the reason."""
    samples, digests, bad = dict[str, int](), dict[str, str](), dict[str, str]()

    def features():
        for utterance in utterances:
            try:
                audio = prepared(utterance.audio(config.sample_rate, allow_pipes), config)
                feats = compute(audio, config, f"utterance {utterance.id}")
            except UserError as error:
                bad[utterance.id] = str(error)
                continue
            samples[utterance.id] = audio.size
            digests[utterance.id] = hashlib.sha256(np.ascontiguousarray(feats)).hexdigest()
            yield utterance.id, feats

    return [(utt, location, frames, samples[utt], digests[utt]) for utt, location, frames in write_ark(ark, features(), compress)], bad
