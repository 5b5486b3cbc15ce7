"""Features of a Kaldi directory, on all cores or on a cluster: feats.scp and archives beside copies of the directory's tables."""

import shutil
from pathlib import Path

from asrlib.config.features import FeatureConfig
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.corpora.kaldi_table import write_table
from asrlib.features.ark import write_ark
from asrlib.features.compute import compute, prepared
from asrlib.utils.errors import UserError
from asrlib.utils.parallel import run_jobs, split_evenly

Row = tuple[str, str, int, int]  # utterance, location, frames, samples


def extract(
    data_dir: Path, dump_dir: Path, config: FeatureConfig, nj: int = 1, backend: str = "local", compress: bool = False, allow_pipes: bool = False
) -> dict[str, float]:
    """Makes dump_dir from a Kaldi directory; returns utterances, hours and frames.

    Writes feats.scp, utt2num_frames and utt2dur last, when every utterance's features are on disk. UserError names the first bad utterance.
    """
    data = KaldiDir.read(data_dir)
    utterances = list(data.utterances())
    if not utterances:
        raise UserError(f"{data_dir}: no utterances")
    for old in (dump_dir / "feats.scp", *dump_dir.glob("feats.*.ark")):  # its offsets would point into new archives
        old.unlink(missing_ok=True)
    shutil.rmtree(dump_dir / "mindrecord", ignore_errors=True)  # shards of them
    parts = split_evenly(utterances, nj)
    arguments = [(part, config, str(dump_dir / f"feats.{i}.ark"), compress, allow_pipes) for i, part in enumerate(parts, 1)]
    results = run_jobs(extract_part, arguments, dump_dir / "log", nj=nj, backend=backend, desc=f"features of {data_dir.name}")
    rows = [row for result in results for row in result]
    if len(rows) != len(utterances):
        raise UserError(f"{dump_dir}: features of {len(rows)} utterances came out, {len(utterances)} went in: see {dump_dir / 'log'}")
    data.write(dump_dir)
    write_table(dump_dir / "utt2num_frames", {utt: str(frames) for utt, _, frames, _ in rows})
    # six decimals tell one sample from the next: training plans frames from them
    write_table(dump_dir / "utt2dur", {utt: f"{samples / config.sample_rate:.6f}" for utt, _, _, samples in rows})
    write_table(dump_dir / "feats.scp", {utt: location for utt, location, _, _ in rows})
    return {
        "utterances": len(rows),
        "hours": sum(samples for *_, samples in rows) / config.sample_rate / 3600,
        "frames": sum(frames for _, _, frames, _ in rows),
    }


def extract_part(utterances: list[Utterance], config: FeatureConfig, ark: str, compress: bool, allow_pipes: bool) -> list[Row]:
    """The job of one process: one archive."""
    samples: dict[str, int] = {}

    def features():
        for utterance in utterances:
            audio = prepared(utterance.audio(config.sample_rate, allow_pipes), config)
            samples[utterance.id] = audio.size
            yield utterance.id, compute(audio, config, f"utterance {utterance.id}")

    return [(utt, location, frames, samples[utt]) for utt, location, frames in write_ark(ark, features(), compress)]
