"""The page as one HTML file: sections in templates, style and scripts inline, nothing from elsewhere."""

import base64
import datetime
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from asrlib.page import errors, model, results
from asrlib.page.curves import Row, charts, training_rows, validations
from asrlib.page.experiment import ASR_LOG, Experiment, Scored, open_experiments, upstream_of
from asrlib.page.parts import Chart, Table
from asrlib.page.utterances import Budget, Worst, add_sounds, others_of, worst_of
from asrlib.utils.files import atomic_write

HAN, KANA_OR_HANGUL = re.compile("[\u3400-\u9fff]"), re.compile("[\u3040-\u30ff\uac00-\ud7af]")
SCRIPTS = ("charts.js", "tables.js", "sounds.js")
KINDS = {"ctc": "Trained from scratch with CTC in MindSpore", "pretraining": "Pretrained in MindSpore", "finetuning": "Fine-tuned in ESPnet"}
TEMPLATES = Environment(
    loader=PackageLoader("asrlib.page", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


@dataclass(frozen=True)
class SetView:
    """What the page shows of the errors of a set. silence: why its recordings are left out."""

    scored: Scored
    confusions: Table
    words: Table
    length: tuple[Chart, Table] | None
    speakers: Table | None
    worst: Sequence[Worst]
    silence: str

    @property
    def noun(self) -> str:
        return "word" if self.scored.unit == "word" else "character"

    @property
    def flawless(self) -> bool:
        return not self.scored.utterances.errors.any()


def write_page(exp_dirs: Sequence[Path], out: Path | None = None, worst: int = 20, megabytes: float = 10.0, title: str = "") -> tuple[Path, Budget]:
    """Writes the page of the first experiment, compared with the others; its path and what its recordings take.

    out: None: page.html in the folder of the first. worst: utterances of each set with their sound; megabytes: of sound and spectrograms at most.
    UserError: no experiment, or a file of one that is damaged.
    """
    experiments = open_experiments(exp_dirs)
    budget = Budget.of(megabytes)
    out = out or exp_dirs[0] / "page.html"
    text = page(experiments, worst, budget, title)
    with atomic_write(out, "wb") as stream:
        stream.write(text.encode("utf-8", errors="replace"))  # names of folders need not be UTF-8
    return out, budget


def page(experiments: Sequence[Experiment], most: int, budget: Budget, title: str = "") -> str:
    """The HTML."""
    first = experiments[0]
    script = "\n".join(_source(name) for name in SCRIPTS)
    sets = [_set_view(number, scored, experiments, most, budget) for number, scored in enumerate(first.main)]
    values = _results(experiments) | _training(experiments) | _model(first) | _repeat(experiments)
    lacking = {key.removeprefix("no_"): values.pop(key) for key in [key for key in values if key.startswith("no_")]}
    headings = [("results-section", "Results"), ("training", "Training"), *([("errors", "Errors")] if sets else []), ("model", "Model"),
                ("repeat", "How to repeat it")]  # fmt: skip
    return TEMPLATES.get_template("page.html").render(
        **values,
        lacking=lacking,
        title=title or first.name,
        summary=_summary(experiments),
        sections=headings,
        sets=sets,
        budget=budget,
        ops=errors.OPS,
        date=datetime.date.today().isoformat(),
        folders=", ".join(one.name for one in experiments),
        style=Markup(_source("page.css")),
        script=Markup(script),
        policy=policy(script),
    )  # fmt: skip


def policy(script: str) -> str:
    """A content security policy: this script alone, and nothing from the network."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; media-src data:; base-uri 'none'"


def words(text: str) -> Markup:
    """A text of the experiment: escaped, its direction kept apart from the page's, Mandarin marked as such for fonts and speech."""
    if text.isascii():
        return escape(text)
    language = Markup(' lang="zh"') if HAN.search(text) and not KANA_OR_HANGUL.search(text) else ""
    return Markup("<bdi{}>{}</bdi>").format(language, text)


TEMPLATES.filters["words"] = words


def _source(name: str) -> str:
    loader = TEMPLATES.loader
    assert loader is not None
    return loader.get_source(TEMPLATES, name)[0]


def _summary(experiments: Sequence[Experiment]) -> str:
    first, *others = experiments
    compared = f"; compared with {', '.join(other.name for other in others)}" if others else ""
    return f"{KINDS[first.kind]}{compared}."


def _results(experiments: Sequence[Experiment]) -> dict[str, Any]:
    first = experiments[0]
    headline = [
        {
            "rate": f"{scored.facts['error_rate']:.1f} %",
            "measure": scored.measure,
            "set": scored.set,
            "decoding": scored.decoding,
            "interval": "{:.1f} to {:.1f}".format(*scored.facts["ci95"]) if scored.facts["ci95"] else "",
        }
        for scored in first.main
        if scored.facts["error_rate"] is not None
    ]
    lacking = "No set is scored yet: stage 6 (decoding and scoring) does it."
    if first.kind == "pretraining":
        lacking = "A pretrained model is not decoded: its results are those of the fine-tunings."
    table = results.results_table(experiments)
    return {
        "headline": headline,
        "results": table,
        "comparisons": results.comparisons(experiments),
        "speed": results.speed_table(experiments),
        "no_results": "" if table else lacking,
    }


def _training(experiments: Sequence[Experiment]) -> dict[str, Any]:
    """The curves of the experiments and, of a fine-tuning, of the pretraining before it."""
    first = experiments[0]
    runs = [_run([(one.label, training_rows(one)) for one in experiments if one.kind == first.kind], "", "training")]
    if upstream := upstream_of(first):
        runs.append(_run([(upstream.name, training_rows(upstream))], f"Pretraining: {upstream.name}", "pretraining"))
    place = f"stage 5 (fine-tuning) writes {ASR_LOG}" if first.kind == "finetuning" else "stage 3 (training) writes history.jsonl"
    return {"runs": [run for run in runs if run["charts"]], "no_curves": "" if runs[0]["charts"] else f"No curves yet: {place}."}


def _run(runs: Sequence[tuple[str, list[Row]]], heading: str, prefix: str) -> dict[str, Any]:
    begun = [(name, rows) for name, rows in runs if rows]
    tables = [
        validations(rows, f"{prefix}-values{number}", f"Values of every validation{f', {name}' if len(begun) > 1 else ''}")
        for number, (name, rows) in enumerate(begun)
    ]
    return {"heading": heading, "charts": charts(begun, prefix), "tables": [table for table in tables if table]}


def _set_view(number: int, scored: Scored, experiments: Sequence[Experiment], most: int, budget: Budget) -> SetView:
    name, first = f"set{number}", experiments[0]
    worst, counted = worst_of(scored, others_of(scored, experiments), most)
    silence = add_sounds(worst, scored.reference(first.folder), first.folder, budget) if worst else ""
    confusions, length = errors.confusions_table(scored, f"{name}-confusions"), errors.by_length(scored, f"{name}-lengths")
    table, speakers = counted.table(f"{name}-words", scored.unit), errors.by_speaker(scored, f"{name}-speakers")
    return SetView(scored, confusions, table, length, speakers, worst, silence)


def _model(first: Experiment) -> dict[str, Any]:
    upstream = upstream_of(first)
    compared = upstream or first
    layers, weights, table = model.layer_comparison(compared), model.layer_weights(first), model.configuration(first)
    stage = "stage 5 (fine-tuning)" if first.kind == "finetuning" else "stage 3 (training)"
    lacking = "No comparison of the layers yet: stage 4 (conversion) makes compare/result.json."
    if first.kind == "finetuning" and upstream is None:
        lacking = "The pretraining experiment, whose layers stage 4 compares, is not here." if model.sums_hidden_states(first) else ""
    return {
        "layers": layers,
        "layers_of": compared.name if upstream else "",
        "weights": weights,
        "configuration": table,
        "no_layers": "" if layers else lacking,
        "no_weights": "" if weights or not model.sums_hidden_states(first) else f"No weights of the hidden states: stage 5 makes {model.WEIGHTS}.",
        "no_configuration": "" if table else f"No configuration yet: {stage} writes {first.config.name}.",
    }


def _repeat(experiments: Sequence[Experiment]) -> dict[str, Any]:
    origins = [(one.name, facts) for one in experiments if (facts := model.origin(one))]
    lacking = "Command, commit and seed are not known yet: stage 6 (decoding and scoring) writes results.json."
    return {"origins": origins, "no_origin": "" if origins else lacking}
