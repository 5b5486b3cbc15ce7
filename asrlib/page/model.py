"""What the page tells of the model: comparison of its layers in both frameworks, weights of hidden states, configuration, how to repeat it."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from asrlib.config.base import read_yaml
from asrlib.config.families import load_experiment_config
from asrlib.page.experiment import Experiment, read_facts
from asrlib.page.parts import Cell, Chart, Column, Series, Table, count, exponent
from asrlib.report.records import without_options
from asrlib.utils.errors import UserError

LONGEST = 300  # characters of a value of the configuration
WEIGHTS = "images/layer_weights.json"
PARTIAL = ("stage", "stop_stage", "skip_stages", "force")  # options that repeat a part only
FACTS = {
    "command": "command that wrote the results",
    "seed": "seed", "commit": "commit", "date": "date of the results", "seconds": "seconds of stages 3 to 5", "processor": "processor",
    "python": "Python", "packages": "packages", "configuration": "configuration",
}  # fmt: skip


def layer_comparison(experiment: Experiment) -> tuple[Chart, Table, float | None] | None:
    """Relative differences of the layers between MindSpore and PyTorch, and the largest that is allowed; None before stage 4."""
    path = experiment.folder / "compare" / "result.json"
    if not path.is_file():
        return None
    facts = read_facts(path, "stage 4")
    layers = facts["layers"]
    columns = [Column("layer", True), Column("relative difference", True, "mean |MindSpore - PyTorch| / mean |MindSpore|"),
               Column("mean difference", True), Column("largest difference", True)]  # fmt: skip
    rows = [[count(row["index"]), *(exponent(row[name]) for name in ("relative", "mean", "maximum"))] for row in layers]
    series = Series("relative difference", [row["index"] for row in layers], [row["relative"] or None for row in layers], "points")
    chart = Chart("layers-chart", "Difference of the layers, MindSpore and PyTorch", "layer", "relative difference", [series], log=True)
    return chart, Table("layers", "Layers in both frameworks", columns, rows), facts.get("tolerance")


def layer_weights(experiment: Experiment) -> tuple[Chart, Table] | None:
    """Weights of the upstream's hidden states in the frontend; None if stage 5 has not written them."""
    path = experiment.folder / WEIGHTS
    if not path.is_file():
        return None
    weights = read_facts(path, "stage 5")["weights"]
    labels = [str(number) for number in range(len(weights))]
    series = Series("weight", list(range(len(weights))), weights)
    chart = Chart("weights-chart", "Weights of the hidden states", "hidden state", "weight", [series], zero=True, labels=labels)
    rows = [[count(number), exponent(weight)] for number, weight in enumerate(weights)]
    return chart, Table("weights", "Weights of the hidden states", [Column("hidden state", True), Column("weight", True)], rows)


def sums_hidden_states(experiment: Experiment) -> bool:
    """Whether a fine-tuning learns weights of the hidden states of an upstream."""
    values = read_yaml(experiment.config) if experiment.kind == "finetuning" and experiment.config.is_file() else {}
    return values.get("frontend") in ("cached_states", "s3prl", "trained_upstream")


def configuration(experiment: Experiment) -> Table | None:
    """Every key of the resolved configuration, beside the default of the model's family where it has one; None before training."""
    if not experiment.config.is_file():
        return None
    values = dict(_flat(read_yaml(experiment.config)))
    known = _defaults(experiment)
    columns = [Column("key"), Column("value"), *([Column("default, where it is another")] if known else [])]
    rows = [
        [Cell(key), Cell(_shown(value)), *([Cell(_shown(known[key]) if known.get(key, value) != value else "")] if known else [])]
        for key, value in values.items()
    ]  # fmt: skip
    return Table("configuration", f"Configuration ({experiment.config.name})", columns, rows, searched=True)


def _defaults(experiment: Experiment) -> dict[str, Any]:
    """The defaults of the family of the model; empty for ESPnet's models, or if the file is of a version with other keys."""
    if experiment.kind == "finetuning":
        return {}
    try:
        schema = type(load_experiment_config(experiment.config))
    except UserError:
        return {}
    return dict(_flat(json.loads(json.dumps(dataclasses.asdict(schema())))))


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(value: Any) -> str:
    if isinstance(value, list) and len(value) > 30:
        return f"{len(value)} values"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict, bool)) or value in (None, "") else str(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


def origin(experiment: Experiment) -> dict[str, Any] | None:
    """Where the results come from: command and facts of results.json; None before stage 6."""
    path = experiment.folder / "results.json"
    if not path.is_file():
        return None
    facts = read_facts(path, "stage 6")
    command, commit = str(facts.get("command", "")).strip("`"), str(facts.get("commit", ""))
    checkout = commit.split()[0] if commit and "unknown" not in commit and "not a git" not in commit else ""
    rows = [(name, str(facts[key]).replace("`", "")) for key, name in FACTS.items() if facts.get(key)]
    try:
        whole = without_options(command, *PARTIAL)
    except ValueError:  # quotes that no shell would take
        whole = command
    return {
        "command": "" if command == "not recorded" else whole,
        "checkout": checkout,
        "changed": "local changes" in commit,
        "seeded": "--seed" in command,
        "seed": facts.get("seed"),
        "facts": rows,
    }
