"""The systems of a sweep as a table of tab-separated columns: upstream, update of its pretraining, changes of the fine-tuning, output folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

COLUMNS = ("name", "upstream", "checkpoint", "updates", "valid_loss", "asr_args", "exp_dir")
NONE = "-"


@dataclass(frozen=True)
class System:
    """One row. checkpoint: "" for s3prl's own; updates, valid_loss: of the pretraining, None if unknown; asr_args: overrides of ESPnet's keys."""

    name: str
    upstream: str
    checkpoint: str
    updates: int | None
    valid_loss: float | None
    asr_args: str
    exp_dir: Path

    def position(self, axis: str) -> float | None:
        """Its value on an axis of a plot: "updates", or a key in asr_args ("optim_conf.lr"); None if it has none."""
        if axis == "updates":
            return self.updates
        values = [word.partition("=")[2] for word in self.asr_args.split() if word.startswith(f"{axis}=")]
        try:
            return float(values[-1]) if values else None
        except ValueError:
            raise UserError(f"system {self.name}: {axis} is {values[-1]!r}: expected a number, to draw a curve over it") from None


def read_systems(path: Path) -> list[System]:
    """The rows of a file whose first line names COLUMNS; "-" means empty.

    UserError: missing, other columns, no row, an invalid number, a duplicate name or folder.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file: make it with python -m asrlib.bin.make_systems")
    head, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
    if tuple(head.split("\t")) != COLUMNS:
        raise UserError(f"{path}:1: expected the columns {' '.join(COLUMNS)}, with tabs between them")
    systems: list[System] = []
    for number, line in enumerate(lines, 2):
        system = _system(line, f"{path}:{number}")
        for other in systems:
            if other.name == system.name or other.exp_dir == system.exp_dir:
                what = f"name {system.name}" if other.name == system.name else f"folder {system.exp_dir}"
                raise UserError(f"{path}:{number}: duplicate {what}: give each system its own")
        systems.append(system)
    if not systems:
        raise UserError(f"{path}: no systems")
    return systems


def write_systems(systems: Sequence[System], path: Path) -> None:
    """Writes the table that read_systems reads, and checks it. UserError: see read_systems."""
    with atomic_write(path) as stream:
        stream.write("\t".join(COLUMNS) + "\n")
        for system in systems:
            values = (getattr(system, column) for column in COLUMNS)
            stream.write("\t".join(NONE if value in (None, "") else str(value) for value in values) + "\n")
    read_systems(path)


def _system(line: str, where: str) -> System:
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) != len(COLUMNS):
        raise UserError(f"{where}: {len(fields)} columns, expected {len(COLUMNS)} with tabs between them ({' '.join(COLUMNS)})")
    name, upstream, checkpoint, updates, loss, asr_args, exp_dir = ("" if field == NONE else field for field in fields)
    if not (name and upstream and exp_dir):
        raise UserError(f"{where}: name, upstream and exp_dir must not be empty")
    try:
        return System(name, upstream, checkpoint, int(updates) if updates else None, float(loss) if loss else None, asr_args, Path(exp_dir))
    except ValueError as error:
        raise UserError(f"{where}: {error}: updates must be an integer, valid_loss a number, or - if unknown") from None
