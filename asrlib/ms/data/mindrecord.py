"""Cached features as MindRecord shards: written in parallel, verified against the archives, and read in the order of an epoch.

DUMP_DIR/mindrecord holds shard1.mindrecord, shard2.mindrecord, ..., MindSpore's index of each (.db) and, written last, shards.json: a digest of the
source archives and, for each shard, the number of utterances, the sizes and a digest of the content. The shards together have the order of
feats.scp. A row has utt (string), frames (int32), crc32 (int64, of the values) and feats (float32, (frames, dim)).
"""

import contextlib
import hashlib
import json
import shutil
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import mindspore.dataset as msdata
import numpy as np
from mindspore.mindrecord import FileWriter, MindRecordException

from asrlib.corpora.kaldi_table import read_table
from asrlib.features.ark import read_matrix
from asrlib.features.extract import features_digest
from asrlib.utils.backend import LOCAL, Backend
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_directory, atomic_write
from asrlib.utils.keyed_lines import KeyedLines
from asrlib.utils.log import get_logger
from asrlib.utils.parallel import cores, run_jobs, split_evenly
from asrlib.utils.progress import each, progress

log = get_logger(__name__)

Row = tuple[str, str, int]  # utterance, location in an archive, frames

AGAIN = "run stage 2 again with --force true"
SMALLEST_PAGE, LARGEST_PAGE = 1 << 20, 1 << 28  # bytes of a page: a row must fit into one, and MindRecord has no larger ones
HEADER, HEADER_OF_A_PAGE = 1 << 16, 1 << 10  # bytes of a file's header, which describes its pages


def write_shards(dump_dir: Path, num_shards: int, nj: int = 0, backend: Backend = LOCAL) -> bool:
    """Makes dump_dir/mindrecord from the features in dump_dir; False: it is up to date.

    nj: processes, 0: one per core. The folder appears once all shards have been verified against the archives.
    UserError: no features, a full disk, an utterance that fits no page.
    """
    scp, numbers = dump_dir / "feats.scp", dump_dir / "utt2num_frames"
    if not scp.exists() or not numbers.exists():
        raise UserError(f"{scp} or {numbers.name} beside it is missing: run stage 2")
    locations, frames = read_table(scp).rows, read_table(numbers).rows
    if not locations or locations.keys() - frames.keys():
        raise UserError(f"{scp} is empty, or has utterances that are missing in {numbers.name}: {AGAIN}")
    rows = [(utt, location, int(frames[utt])) for utt, location in locations.items()]
    dim = read_matrix(rows[0][1], f"utterance {rows[0][0]}").shape[1]
    parts, features = split_evenly(rows, num_shards), features_digest(dump_dir)
    former = _read_index(dump_dir)
    if former and former["features"] == features and len(former["shards"]) == len(parts) and not _lost(dump_dir, former):
        return False
    for left in dump_dir.glob(".mindrecord.*"):  # of a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    _check_disk(dump_dir, sum(count for *_, count in rows) * dim * 4 / 1e9)
    with atomic_directory(dump_dir / "mindrecord") as folder:
        layout = _layout(parts, dim)
        tasks = [(folder / f"shard{i}.mindrecord", part, dim, layout) for i, part in enumerate(parts, 1)]
        jobs = [(group,) for group in split_evenly(tasks, nj)]
        results = run_jobs(write_part, jobs, dump_dir / "log" / "mindrecord", nj=nj, backend=backend, desc=f"shards of {dump_dir.name}")
        with atomic_write(folder / "shards.json") as stream:
            json.dump({"features": features, "dim": dim, "shards": [shard for result in results for shard in result]}, stream, indent=1)
    return True


def write_part(tasks: Sequence[tuple[Path, Sequence[Row], int, tuple[int, int]]]) -> list[dict]:
    """The job of one process: several shards, one after the other."""
    return [_write_shard(*task) for task in tasks]


def _layout(parts: Sequence[Sequence[Row]], dim: int) -> tuple[int, int]:
    """Bytes of a header and of a page: MindSpore reads shards together only if all have the same. UserError: an utterance that fits no page."""
    longest, most = max((frames, utt) for part in parts for utt, _, frames in part), max(sum(frames for *_, frames in part) for part in parts)
    largest, total = longest[0] * dim * 4, most * dim * 4
    page = min(LARGEST_PAGE, _power_of_two(max(SMALLEST_PAGE, 8 * largest, total // 4096)))
    if largest >= page - 4096:  # the most that the fields of a page and their padding take
        reason = f"{largest / 1e6:.0f} MB of features exceed a MindRecord page"
        raise UserError(f"utterance {longest[1]}: {reason}: split it into segments, or set --num_shards 0")
    return _power_of_two(HEADER + HEADER_OF_A_PAGE * (2 + 2 * total // page)), page


def _write_shard(path: Path, rows: Sequence[Row], dim: int, layout: tuple[int, int]) -> dict:
    """Writes and verifies a shard; returns its entry of shards.json."""
    digest = hashlib.sha256()
    try:
        writer = FileWriter(str(path))
        writer.set_header_size(layout[0])
        writer.set_page_size(layout[1])
        kinds = {"utt": {"type": "string"}, "frames": {"type": "int32"}, "crc32": {"type": "int64"}}
        writer.add_schema(kinds | {"feats": {"type": "float32", "shape": [-1, dim]}}, "features")
        for utt, location, frames in progress(rows, path.name, unit="utt", delay=2):
            feats = np.ascontiguousarray(read_matrix(location, f"utterance {utt}", dim))
            if len(feats) != frames:
                raise UserError(f"utterance {utt}: {len(feats)} frames, but {frames} in utt2num_frames: {AGAIN}")
            _count(digest, utt, feats)
            writer.write_raw_data([{"utt": utt, "frames": frames, "crc32": zlib.crc32(feats), "feats": feats}])
        writer.commit()
    except (RuntimeError, MindRecordException) as error:
        raise UserError(f"{path}: cannot be written ({_reason(error)}): check the free space of the disk") from None
    if _content(path) != digest.hexdigest():
        raise UserError(f"{path}: differs from what was written: check the disk and run stage 2 again")
    for file in _files(path):
        file.chmod(0o644)  # as every other file
    return {"name": path.name, "utterances": len(rows), "bytes": [file.stat().st_size for file in _files(path)], "content": digest.hexdigest()}


def _content(path: Path) -> str:
    """The digest of a shard's rows; empty if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with _rows([path]) as rows:
            for utt, _, feats in rows:
                _count(digest, str(utt), feats)
    except RuntimeError:
        return ""
    return digest.hexdigest()


@contextlib.contextmanager
def _rows(paths: Sequence[Path], places: Sequence[int] | None = None) -> Iterator[Iterator[tuple[np.ndarray, ...]]]:
    """utt (), crc32 () and feats (frames, dim) of the rows of some shards, all or those with these numbers."""
    sampler = msdata.SequentialSampler() if places is None else msdata.SubsetSampler(places)
    data = msdata.MindDataset([str(path) for path in paths], ["utt", "crc32", "feats"], min(4, cores()), sampler=sampler)
    iterator = data.create_tuple_iterator(num_epochs=1, output_numpy=True)
    try:
        yield iterator
    finally:
        iterator.stop()  # its prefetching threads


def _count(digest, utt: str, feats: np.ndarray) -> None:
    digest.update(f"{utt} {feats.shape}\n".encode())
    digest.update(np.ascontiguousarray(feats))


class Shards:
    """The shards of a dump directory as one sequence of utterances."""

    def __init__(self, dump_dir: Path, index: dict):
        self.folder, self.shards = dump_dir / "mindrecord", index["shards"]
        self.paths = [self.folder / shard["name"] for shard in self.shards]
        self.ends = list(accumulate(shard["utterances"] for shard in self.shards))
        self.utts = KeyedLines(dump_dir / "feats.scp")

    @classmethod
    def find(cls, dump_dir: Path, dim: int) -> "Shards | None":
        """The shards in dump_dir, or None: there are none, or they are older than the features.

        UserError: missing or truncated shards, features of another dimension than the configuration's.
        """
        index = _read_index(dump_dir)
        if index is None:
            return None
        if index["features"] != features_digest(dump_dir):
            log.warning("%s: older than the archives, which are read instead: run stage 2 again", dump_dir / "mindrecord")
            return None
        if lost := _lost(dump_dir, index):
            raise UserError(f"{lost[0]}: shard missing or truncated: {AGAIN}")
        if index["dim"] != dim:
            raise UserError(f"{dump_dir}: features of {index['dim']} bins where the configuration has {dim}: run stage 2 again with it")
        return cls(dump_dir, index)

    def read(self, utts: Sequence[str]) -> Iterator[np.ndarray]:
        """Features (frames, dim) of these utterances in this order, prefetched by MindSpore's threads. UserError: a damaged shard."""
        step = len(self.utts)  # the sampler takes no more rows than there are
        for start in range(0, len(utts), step):
            yield from self._read(utts[start : start + step])

    def _read(self, utts: Sequence[str]) -> Iterator[np.ndarray]:
        places = [self.utts.number(utt) or 0 for utt in utts]  # feats.scp is sorted; every utterance is in it
        done = 0
        try:
            with _rows(self.paths, places) as rows:
                for utt, crc32, feats in rows:
                    if str(utt) != utts[done] or zlib.crc32(feats) != crc32:
                        raise UserError(f"{self.paths[bisect_right(self.ends, places[done])]}: damaged at utterance {utts[done]}: {AGAIN}")
                    yield feats
                    done += 1
        except RuntimeError as error:
            raise self._fault(error) from None
        if done != len(utts):
            raise self._fault(RuntimeError(f"read {done} of {len(utts)} utterances"))

    def _fault(self, error: RuntimeError) -> UserError:
        """Finds the damaged shard, which MindSpore's error does not name."""
        pairs = each(list(zip(self.paths, self.shards, strict=True)), "looking for the damaged shard", unit="shard")
        damaged = [path for path, shard in pairs if _content(path) != shard["content"]]
        return UserError(f"{' '.join(map(str, damaged or [self.folder]))}: cannot be read ({_reason(error)}): {AGAIN}")


def _read_index(dump_dir: Path) -> dict | None:
    path = dump_dir / "mindrecord" / "shards.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    except ValueError:
        raise UserError(f"{path}: damaged: delete {path.parent} and run stage 2 again") from None


def _lost(dump_dir: Path, index: dict) -> list[Path]:
    """The files of the shards that are missing or have another size."""
    sizes = [pair for shard in index["shards"] for pair in zip(_files(dump_dir / "mindrecord" / shard["name"]), shard["bytes"], strict=True)]
    return [file for file, size in sizes if not file.exists() or file.stat().st_size != size]


def _files(path: Path) -> tuple[Path, Path]:
    """A shard and its index."""
    return path, path.with_name(path.name + ".db")


def _check_disk(dump_dir: Path, gigabytes: float) -> None:
    free = shutil.disk_usage(dump_dir).free / 1e9
    if free < 1.1 * gigabytes:
        needed = f"{free:.1f} GB free, the shards need {1.1 * gigabytes:.1f} GB"
        raise UserError(f"{dump_dir}: {needed}: free some space, or set --num_shards 0 to train from the archives")


def _power_of_two(number: int) -> int:
    """The smallest power of two that is at least `number`."""
    return 1 << (number - 1).bit_length()


def _reason(error: Exception) -> str:
    """The line of MindSpore's message that states the error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line.removeprefix("[ERROR] ") for line in lines if line.startswith("[ERROR]")), lines[0] if lines else type(error).__name__)
