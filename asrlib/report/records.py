"""Results that the READMEs quote: a row for each scored set of an experiment, kept in egs/results.csv, and the page that is made of them."""

import csv
import json
import shlex
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path

from asrlib.report.tables import markdown, read_result
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

DATA = {"real": "Real speech", "synthesised": "Synthesised speech"}
COLUMNS = ("set", "decoding", "unit", "error rate (%)", "seeds", "95 % intervals", "units", "seconds", "processor", "commit")
BEGIN, END = "<!-- results: written by asrlib results -->", "<!-- end of results -->"


@dataclass(frozen=True, order=True)
class Record:
    """A scored set. rate, low, high: percent, the interval over `over`s; seconds: of stages 3 to 5, 0 if unknown."""

    recipe: str
    data: str
    command: str
    set: str
    decoding: str
    unit: str
    seed: str
    rate: float
    low: float
    high: float
    over: str
    units: int
    seconds: int
    processor: str
    commit: str
    date: str

    @property
    def place(self) -> tuple:
        """What a newer record replaces: the same command, set, decoding, unit, seed and processor."""
        return self.recipe, without_seed(self.command), self.set, self.decoding, self.unit, self.seed, self.processor


def without_seed(command: str) -> str:
    """The command line without --seed N, which the runs of several seeds differ in."""
    return without_options(command, "seed")


def without_options(command: str, *names: str) -> str:
    """The command line without these options and their values, as --NAME VALUE and --NAME=VALUE."""
    found, skip = list[str](), False
    for word in shlex.split(command):
        name, equals, _ = word.removeprefix("--").replace("-", "_").partition("=")
        given = not skip and word.startswith("--") and name in names
        if not skip and not given:
            found.append(word)
        skip = given and not equals
    return shlex.join(found)


def records_of(exp_dir: Path, recipe: str, data: str, shown: str = "") -> list[Record]:
    """The records of an experiment from its own files. shown: command in the place of its own.

    UserError: no results.json (stage 6 writes it), or a file that is none.
    """
    path = exp_dir / "results.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        command, commit, seed, processor, date = (facts[name] for name in ("command", "commit", "seed", "processor", "date"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run stage 6 of the experiment again") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not written by the report command ({type(error).__name__}: {error}): run stage 6 again") from None
    found, seconds = [], int(facts.get("seconds", 0))
    for result in sorted(exp_dir.glob("decode_*/*/score_[cw]er/result.json")):
        facts, folder = read_result(result), result.parent.parent
        low, high = facts["ci95"] or (float("nan"), float("nan"))
        decoding, unit = folder.parent.name.removeprefix("decode_"), facts["unit"]
        rate, units = facts["error_rate"], facts["ref_units"]
        found.append(
            Record(
                recipe,
                data,
                shown or command.strip("`"),
                folder.name,
                decoding,
                unit,
                seed,
                round(rate, 2),
                round(low, 2),
                round(high, 2),
                facts["ci95_over"],
                units,
                seconds,
                processor,
                commit.split()[0],
                date[:10],
            )  # fmt: skip
        )
    return found


def read_records(table: Path) -> list[Record]:
    """The rows of egs/results.csv. UserError: a row or column that does not belong there."""
    if not table.exists():
        return []
    found = []
    with table.open(encoding="utf-8", newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream), 2):
            try:
                found.append(Record(**{field.name: _TYPES[field.type](row[field.name]) for field in fields(Record)}))  # type: ignore[index]
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(f"{table}, line {number}: {type(error).__name__} {error}: expected the columns {', '.join(_NAMES)}") from None
    return found


def add_records(table: Path, new: Iterable[Record]) -> list[Record]:
    """Writes the table with new records in the place of those of the same command, set, decoding, unit, seed and processor; returns all."""
    records = {record.place: record for record in [*read_records(table), *new]}
    merged = sorted(records.values())
    with atomic_write(table) as stream:
        writer = csv.DictWriter(stream, _NAMES, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(record) for record in merged)
    return merged


def results_page(records: Sequence[Record]) -> str:
    """RESULTS.md: real and synthesised speech apart, a section for each recipe."""
    parts = [
        "# Results",
        "Every number was written by `asrlib results` from the files of experiments; egs/results.csv has each seed. The rate is the mean over the "
        "seeds, with its standard deviation; the intervals are bootstrap intervals of each seed over utterances or, where it says so, speakers.",
    ]
    for data, title in DATA.items():
        chosen = [record for record in records if record.data == data]
        parts += [f"## {title}"] if chosen else []
        for recipe, rows in groupby(chosen, key=lambda record: record.recipe):
            parts += [f"### {recipe}", recipe_tables(list(rows))]
    return "\n\n".join(parts) + "\n"


def recipe_tables(records: Sequence[Record]) -> str:
    """A table for each command of a recipe, with the command above it."""
    parts = []
    for command in dict.fromkeys(without_seed(record.command) for record in records):
        rows = [record for record in records if without_seed(record.command) == command]
        parts += [f"`{command}`", markdown(COLUMNS, _rows(rows))]
    return "\n\n".join(parts)


def with_results(readme: str, records: Sequence[Record]) -> str:
    """A README with the recipe's tables between its two marks. UserError: it has no marks."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"there is no place for results: write the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{recipe_tables(records)}\n{END}{after}"


def write_pages(root: Path, records: Sequence[Record]) -> list[Path]:
    """Writes RESULTS.md of a checkout and the tables in the READMEs of the recipes; returns their paths."""
    pages = {root / "RESULTS.md": results_page(records)}
    for recipe in dict.fromkeys(record.recipe for record in records):
        readme = root / "egs" / recipe / "README.md"
        try:
            pages[readme] = with_results(readme.read_text(encoding="utf-8"), [record for record in records if record.recipe == recipe])
        except FileNotFoundError:
            raise UserError(f"{readme} is missing: is {recipe} the name of the recipe?") from None
        except UserError as error:
            raise UserError(f"{readme}: {error}") from None
    for path, text in pages.items():
        with atomic_write(path) as stream:
            stream.write(text)
    return list(pages)


def _rows(records: Sequence[Record]) -> list[list[str]]:
    """Rows with COLUMNS: a set, decoding and unit on one processor, over its seeds."""
    rows = []
    for key in dict.fromkeys((r.set, r.decoding, r.unit, r.processor) for r in records):
        seeds = [r for r in records if (r.set, r.decoding, r.unit, r.processor) == key]
        rates = [r.rate for r in seeds]
        mean = f"{statistics.mean(rates):.2f}" + (f" ± {statistics.stdev(rates):.2f}" if len(rates) > 1 else "")
        intervals = ", ".join(f"{r.low:.1f} to {r.high:.1f}" for r in seeds) + (" (speakers)" if seeds[0].over == "speaker" else "")
        seconds = f"{statistics.mean(r.seconds for r in seeds):.0f}" if all(r.seconds for r in seeds) else "-"
        commits = " ".join(dict.fromkeys(r.commit for r in seeds))
        rows.append([*key[:3], mean, " ".join(r.seed for r in seeds), intervals, str(seeds[0].units), seconds, key[3], commits])
    return rows


_TYPES = {str: str, int: int, float: float}
_NAMES = [field.name for field in fields(Record)]
