"""RESULTS.md: the scores of an experiment as Markdown tables with ESPnet's columns, and their provenance."""

import json
from collections.abc import Sequence
from pathlib import Path

from asrlib.report.baselines import COLUMNS as BASELINE_COLUMNS
from asrlib.report.baselines import baseline_rows
from asrlib.report.provenance import provenance
from asrlib.score.error_rate import Counts
from asrlib.score.files import percentages
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write

COLUMNS = ("dataset", "Snt", "Wrd", "Corr", "Sub", "Del", "Ins", "Err", "S.Err", "95 % interval of Err")


def write_results(exp_dir: str | Path, command: str = "", baselines: Sequence[Path] = (), published: Path | None = None) -> Path:
    """Collects exp_dir/decode_*/SET/score_{wer,cer}/result.json in exp_dir/RESULTS.md. UserError: there is none.

    baselines: experiments to compare with. published: a Markdown file with published results, for a section of its own.
    """
    exp_dir = Path(exp_dir)
    sections = [results_table(exp_dir, kind) for kind in ("wer", "cer")]
    if not any(sections):
        raise UserError(f"{exp_dir}: no result.json in decode_*/*/score_wer or score_cer: run stage 6 first")
    origin = provenance(exp_dir, command)
    facts = [f"- {name}: {value}" for name, value in origin.items()]
    parts = ["# RESULTS", "## Environment", "\n".join(facts), f"## {exp_dir.name}", *filter(None, [*sections, speed_table(exp_dir)])]
    if baselines:
        parts += ["### Compared with", markdown(BASELINE_COLUMNS, baseline_rows(exp_dir, baselines))]
    if published:
        parts += ["### Published by others, not made here", published.read_text(encoding="utf-8").strip()]
    with atomic_write(exp_dir / "RESULTS.md") as stream:
        stream.write("\n\n".join(parts) + "\n")
    with atomic_write(exp_dir / "results.json") as stream:  # for the table of all results (asrlib.report.records)
        json.dump(origin | {"seconds": stage_seconds(exp_dir)}, stream, indent=1, ensure_ascii=False)
    return exp_dir / "RESULTS.md"


def results_table(exp_dir: Path, kind: str) -> str:
    """The Markdown table of "wer" or "cer", with the missing, empty and extra hypotheses below it; "" if nothing was scored."""
    rows, notes = [], []
    for path in sorted(exp_dir.glob(f"decode_*/*/score_{kind}/result.json")):
        result, dataset = read_result(path), path.parent.parent.relative_to(exp_dir).as_posix()
        interval = "{:.1f} to {:.1f}".format(*result["ci95"]) if result["ci95"] else "-"
        rows.append([dataset, *percentages(counts_of(result)), interval])
        notes += [f"- {dataset}: {result[what]} {what} hypotheses" for what in ("missing", "empty", "extra") if result[what]]
    if not rows:
        return ""
    return f"### {kind.upper()}\n\n" + markdown(COLUMNS, rows) + "".join(f"\n{note}" for note in ["", *notes] if notes)


def speed_table(exp_dir: Path) -> str:
    """Seconds of audio and real-time factor (seconds of work per second of audio) from decode_*/SET/rtf.json; "" if there is none."""
    rows = []
    for path in sorted(exp_dir.glob("decode_*/*/rtf.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        rows.append([path.parent.relative_to(exp_dir).as_posix(), f"{facts['audio_seconds']:.0f}", f"{facts['real_time_factor']:.4f}"])
    return "### Decoding speed\n\n" + markdown(("dataset", "audio (s)", "real-time factor"), rows) if rows else ""


def stage_seconds(exp_dir: Path) -> int:
    """Seconds that the stages of an experiment have taken, those of failed runs included; 0 if they are not known."""
    return sum(int(line) for path in sorted((exp_dir / ".stages").glob("*.seconds")) for line in path.read_text().split())


def read_result(path: Path) -> dict:
    """The contents of a result.json. UserError: not JSON, or without a key that the score command writes."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        counts_of(result), result["ci95"], result["missing"], result["empty"], result["extra"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a result of the score command ({type(error).__name__}: {error}): run it again") from None
    return result


def counts_of(result: dict) -> Counts:
    """The counts in a result.json."""
    names = ("utterances", "ref_units", "correct", "substitutions", "deletions", "insertions", "wrong_utterances")
    return Counts(*(result[name] for name in names))


def markdown(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    """A Markdown table: first column left-aligned, the others right-aligned."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join("|" + "|".join(row) + "|" for row in [columns, rule, *rows])
