"""The files of a score folder: result.json, result.txt, per_utt.tsv, alignments.txt, confusions.tsv."""

import json
from collections.abc import Iterator
from pathlib import Path

from asrlib.score.alignment import Alignment
from asrlib.score.error_rate import Counts, Score, numbers
from asrlib.score.texts import width
from asrlib.utils.disk_counter import DiskCounter
from asrlib.utils.files import atomic_write


def write_score(score: Score, out: str | Path, **facts: str) -> None:
    """Writes all files of one score into the folder `out`, result.json last; `facts` (ref, hyp, ...) are added to result.json."""
    out = Path(out)
    with atomic_write(out / "per_utt.tsv") as stream:
        stream.writelines(per_utterance(score))
    with DiskCounter() as edits:
        with atomic_write(out / "alignments.txt") as stream:
            for number, (utterance, alignment) in enumerate(score.pairs.alignments()):
                stream.write(("\n" if number else "") + render(utterance, alignment))
                edits.update(alignment.edits())
        with atomic_write(out / "confusions.tsv") as stream:
            stream.writelines(confusions(edits))
    for name, text in (("result.txt", table(score)), ("result.json", json.dumps(score.summary() | facts, indent=2, ensure_ascii=False) + "\n")):
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


def per_utterance(score: Score) -> Iterator[str]:
    """One line per utterance: id, speaker, units, counts and error rate in percent (empty for an empty reference)."""
    yield "utterance\tspeaker\tref_units\tcorrect\tsubstitutions\tdeletions\tinsertions\terror_rate\thypothesis\n"
    missing, speakers = set(score.missing), score.speakers
    for number, utterance in enumerate(score.utts):
        c, s, d, i = score.numbers[number].tolist()
        rate = f"{100.0 * (s + d + i) / (c + s + d):.2f}" if c + s + d else ""
        state = "missing" if utterance in missing else "present"
        speaker = speakers.names[speakers.of_utterance[number]] if speakers else ""
        yield f"{utterance}\t{speaker}\t{c + s + d}\t{c}\t{s}\t{d}\t{i}\t{rate}\t{state}\n"


def confusions(edits: DiskCounter) -> Iterator[str]:
    """Substitutions, deletions and insertions sorted by count, the largest first: count, op, reference unit, hypothesis unit."""
    yield "count\top\tref\thyp\n"
    yield from (f"{count}\t{op}\t{ref}\t{hyp}\n" for (op, ref, hyp), count in edits.most_common())


def render(utterance: str, alignment: Alignment) -> str:
    """REF, HYP and Eval lines in aligned columns; asterisks mark where one side has no unit."""
    refs, hyps, marks = list[str](), list[str](), list[str]()
    for ops, ref, hyp in alignment.runs():
        if ref == hyp:
            refs += ref
            hyps += hyp
            columns = sum(map(len, ref)) if all(map(str.isascii, ref)) else sum(max(width(unit), 1) for unit in ref)
            marks.append(" " * (columns + len(ref) - 1))
            continue
        for op, r, h in zip(ops, ref or [""] * len(hyp), hyp or [""] * len(ref), strict=True):
            columns = max(width(r), width(h), 1)
            refs.append(_pad(r, columns) if ref else "*" * columns)
            hyps.append(_pad(h, columns) if hyp else "*" * columns)
            marks.append((" " if op == "C" else op).ljust(columns))
    scores = " ".join(map(str, numbers(alignment)))
    named = [f"{name} {' '.join(line)}" for name, line in zip(("REF: ", "HYP: ", "Eval:"), (refs, hyps, marks), strict=True)]
    return "\n".join(line.rstrip() for line in (f"id: ({utterance})", f"Scores: (#C #S #D #I) {scores}", *named)) + "\n"


def _pad(unit: str, columns: int) -> str:
    return unit + " " * (columns - width(unit))
