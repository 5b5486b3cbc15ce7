"""What a recipe has made on disk and can make again, with the stage that does. Models, results, tables and logs are never among it."""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from asrlib.utils.errors import UserError
from asrlib.utils.files import LOCK
from asrlib.utils.former import FOLDER
from asrlib.utils.space import size_of

OLD = 24 * 3600  # seconds after which a temporary file is one of a killed run
KINDS = {
    "leftovers": "temporary files of killed runs, a day old or more",
    "states": "hidden states for fine-tunings that are finished (stage 5)",
    "shards": "features as MindRecord (stage 2, which also extracts the features again)",
    "features": "archives of features (stage 2)",
    "archives": "downloaded archives that are unpacked (stage 0)",
    "checkpoints": "checkpoints and saved states of finished trainings: without them they cannot go on (stages 3 and 5, the training itself)",
    "former": "former runs on other data or upstreams, which nothing makes again",
}
DEFAULT = ("leftovers", "states", "shards", "features", "archives")


@dataclass(frozen=True)
class Removable:
    """Files and folders of a kind that go together; folder: that they are in."""

    kind: str
    folder: Path
    paths: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(map(size_of, self.paths))

    def remove(self) -> None:
        for path in self.paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def find(dump_dir: Path, exp_dir: Path, download_dir: Path) -> list[Removable]:
    """What can be removed, in the order of KINDS; nothing of a training that is not finished."""
    found = [*_leftovers(dump_dir), *_leftovers(exp_dir), *_dumped(dump_dir, exp_dir), *_archives(download_dir)]
    for folder in _folders(exp_dir):
        found += [*_trained(folder), *_tuned(folder), *_row("former", folder, [folder / FOLDER])]
    order = list(KINDS)
    return sorted((row for row in found if row.paths), key=lambda row: (order.index(row.kind), row.folder))


def refuse_if_running(folders: Iterable[Path]) -> None:
    """UserError: a stage of the recipe or a training works in one of the folders."""
    for folder in folders:
        for lock in (*folder.glob(".stages/*.lock"), *folder.glob("*/.stages/*.lock"), *folder.glob(f"*/{LOCK}")):
            with open(lock) as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    raise UserError(f"{lock} is held: a stage or a training is running: wait for it, or end it") from None


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir() and not path.is_symlink())


def _row(kind: str, folder: Path, paths: Iterable[Path]) -> Iterator[Removable]:
    if there := tuple(path for path in paths if path.exists()):
        yield Removable(kind, folder, there)


def _leftovers(folder: Path) -> Iterator[Removable]:
    names = (".*.tmp", ".*.old", ".*.held", ".mindrecord.*")
    for place in (folder, *_folders(folder), *(below for above in _folders(folder) for below in _folders(above))):
        paths = {path for name in names for path in place.glob(name) if time.time() - path.lstat().st_mtime > OLD}
        yield from _row("leftovers", place, sorted(paths))


def _dumped(dump_dir: Path, exp_dir: Path) -> Iterator[Removable]:
    for folder in _folders(dump_dir):
        if (folder / "feats.sha256").exists():  # written by extract_features
            yield from _row("features", folder, [*sorted(folder.glob("feats.*.ark")), folder / "feats.scp"])
            yield from _row("shards", folder, [folder / "mindrecord"] if (folder / "mindrecord" / "shards.json").exists() else [])
        for part in _folders(folder) if (exp_dir / folder.name / "inference").exists() else ():
            if _kind(part / "speech.json") == "states":
                yield from _row("states", part, [part / "parts", part / "feats.scp"])


def _kind(path: Path) -> str:
    return json.loads(path.read_text()).get("kind", "") if path.is_file() else ""


def _archives(download_dir: Path) -> Iterator[Removable]:
    """Archives whose content a mark calls complete: .NAME.complete beside it or in a folder, or .complete in the folder of that name."""
    marks = [path.name[1:].removesuffix(".complete") for pattern in (".*.complete", "*/.*.complete") for path in download_dir.glob(pattern)]
    marks += [path.parent.name for path in download_dir.glob("*/.complete")]
    archives = sorted(path for suffix in ("tar.gz", "tgz", "tar") for path in download_dir.glob(f"*.{suffix}"))
    yield from _row("archives", download_dir, [path for path in archives if path.name.startswith(tuple(marks))])


def _trained(exp_dir: Path) -> Iterator[Removable]:
    """Of a training in MindSpore; checkpoints that trainer.keep_updates names stay."""
    model, state, index = exp_dir / "model.safetensors", exp_dir / "state.safetensors", exp_dir / "checkpoints" / "index.json"
    if not model.exists() or (state.exists() and state.stat().st_mtime > model.stat().st_mtime):
        return
    rows = json.loads(index.read_text()) if index.exists() else []
    pinned = {f"{row['name']}.safetensors" for row in rows if row.get("pinned")}
    weights = [path for path in sorted((exp_dir / "checkpoints").glob("*.safetensors")) if path.name not in pinned]
    yield from _row("checkpoints", exp_dir, [state, *weights])


def _tuned(exp_dir: Path) -> Iterator[Removable]:
    """Of a fine-tuning in ESPnet; what a link names stays, because it is the model."""
    if (exp_dir / "inference").exists():
        linked = {os.path.realpath(path) for path in exp_dir.rglob("*") if path.is_symlink()}
        epochs = [path for path in sorted(exp_dir.glob("[0-9]*epoch.pth")) if str(path.resolve()) not in linked and not path.is_symlink()]
        yield from _row("checkpoints", exp_dir, [exp_dir / "checkpoint.pth", *epochs])
