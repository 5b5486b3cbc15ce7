"""The files of a score folder: result.json, result.txt, per_utt.tsv, alignments.txt, confusions.tsv."""

import json
from collections import Counter
from pathlib import Path

from asrlib.score.alignment import Alignment
from asrlib.score.error_rate import Counts, Score
from asrlib.score.texts import width
from asrlib.utils.files import atomic_write


def write_score(score: Score, out: str | Path, **facts: str) -> None:
    """Writes all files of one score into the folder `out`, result.json last; `facts` (ref, hyp, ...) are added to result.json."""
    out = Path(out)
    for name, text in (
        ("per_utt.tsv", per_utterance(score)),
        ("alignments.txt", "\n".join(render(u, a) for u, a in score.alignments.items())),
        ("confusions.tsv", confusions(score)),
        ("result.txt", table(score)),
        ("result.json", json.dumps(score.summary() | facts, indent=2, ensure_ascii=False) + "\n"),
    ):
        with atomic_write(out / name) as stream:
            stream.write(text)


def table(score: Score) -> str:
    """sclite's table: percentages per speaker and in total, then the interval and the missing, empty and extra hypotheses."""
    head = ["SPKR", "# Snt", "# Wrd" if score.unit == "word" else "# Chr", "Corr", "Sub", "Del", "Ins", "Err", "S.Err"]
    rows = [[speaker, *percentages(counts)] for speaker, counts in score.by_speaker().items()] + [["Sum/Avg", *percentages(score.counts)]]
    widths = [max(width(row[k]) for row in [head, *rows]) for k in range(len(head))]

    def line(row: list[str]) -> str:
        cells = [row[0] + " " * (widths[0] - width(row[0]))] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        return f"| {cells[0]} | {'  '.join(cells[1:3])} | {'  '.join(cells[3:])} |"

    rule = "|" + "-" * (len(line(head)) - len(head[0]) + width(head[0]) - 2) + "|"
    lines = [rule, line(head), rule, *map(line, rows[:-1]), *([rule] if rows[:-1] else []), line(rows[-1]), rule, ""]
    counts = score.counts
    kind = "WER" if score.unit == "word" else "CER"
    if counts.error_rate is None:
        lines.append(f"%{kind} undefined: the reference has no {score.unit} ({counts.insertions} insertions)")
    else:
        ci = f", 95 % interval {score.ci95[0]:.2f} to {score.ci95[1]:.2f} (bootstrap over {score.ci95_over}s)" if score.ci95 else ""
        parts = f"{counts.insertions} ins, {counts.deletions} del, {counts.substitutions} sub"
        lines.append(f"%{kind} {counts.error_rate:.2f} [ {counts.errors} / {counts.ref_units}, {parts} ]{ci}")
    if facts := score.conventions.facts():
        lines.append("scored with " + ", ".join(f"{key}: {' '.join(value) if isinstance(value, list) else value}" for key, value in facts.items()))
    lines.append(f"{len(score.missing)} missing hypotheses (scored as deletions), {len(score.empty)} empty, {len(score.extra)} extra (not scored)")
    lines += [f"missing: {utterance}" for utterance in score.missing] + [f"extra: {utterance}" for utterance in score.extra]
    return "\n".join(lines) + "\n"


def percentages(counts: Counts) -> list[str]:
    """Snt, Wrd, Corr, Sub, Del, Ins, Err, S.Err as sclite prints them; a dash if the reference has no unit."""
    parts = (counts.correct, counts.substitutions, counts.deletions, counts.insertions, counts.errors)
    shown = [f"{100.0 * part / counts.ref_units:.1f}" if counts.ref_units else "-" for part in parts]
    return [str(counts.utterances), str(counts.ref_units), *shown, f"{counts.sentence_error:.1f}"]


def per_utterance(score: Score) -> str:
    """One line per utterance: id, speaker, units, counts and error rate in percent (empty for an empty reference)."""
    lines = ["utterance\tspeaker\tref_units\tcorrect\tsubstitutions\tdeletions\tinsertions\terror_rate\thypothesis"]
    missing = set(score.missing)
    for utterance, alignment in score.alignments.items():
        c = Counts.of([alignment])
        rate = "" if c.error_rate is None else f"{c.error_rate:.2f}"
        state = "missing" if utterance in missing else "present"
        speaker = score.speakers.get(utterance, "")
        lines.append(f"{utterance}\t{speaker}\t{c.ref_units}\t{c.correct}\t{c.substitutions}\t{c.deletions}\t{c.insertions}\t{rate}\t{state}")
    return "\n".join(lines) + "\n"


def confusions(score: Score) -> str:
    """Substitutions, deletions and insertions sorted by count, the largest first: count, op, reference unit, hypothesis unit."""
    found = Counter(step for alignment in score.alignments.values() for step in alignment.steps() if step[0] not in "CO" and step[1] != step[2])
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0][0], item[0][1] or "", item[0][2] or ""))
    return "".join(["count\top\tref\thyp\n"] + [f"{n}\t{op}\t{ref or ''}\t{hyp or ''}\n" for (op, ref, hyp), n in ordered])


def render(utterance: str, alignment: Alignment) -> str:
    """REF, HYP and Eval lines in aligned columns; asterisks mark where one side has no unit."""
    refs, hyps, marks = [], [], []
    for op, ref, hyp in alignment.steps():
        r, h = "" if ref is None else str(ref), "" if hyp is None else str(hyp)
        columns = max(width(r), width(h), 1)
        refs.append("*" * columns if ref is None else _pad(r, columns))
        hyps.append("*" * columns if hyp is None else _pad(h, columns))
        marks.append((" " if op == "C" else op).ljust(columns))
    counts = Counts.of([alignment])
    scores = " ".join(str(n) for n in (counts.correct, counts.substitutions, counts.deletions, counts.insertions))
    named = [f"{name} {' '.join(line)}" for name, line in zip(("REF: ", "HYP: ", "Eval:"), (refs, hyps, marks), strict=True)]
    return "\n".join(line.rstrip() for line in (f"id: ({utterance})", f"Scores: (#C #S #D #I) {scores}", *named)) + "\n"


def _pad(unit: str, columns: int) -> str:
    return unit + " " * (columns - width(unit))
