"""The files of an experiment that the page shows."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from asrlib.config.base import read_yaml
from asrlib.config.families import families
from asrlib.config.pretraining import PretrainConfig
from asrlib.report.tables import read_result
from asrlib.score.folder import Utterances, read_utterances
from asrlib.utils.errors import UserError
from asrlib.utils.files import file_near, named_folder

Kind = Literal["ctc", "pretraining", "finetuning"]
STRONGEST = ("joint", "beam", "greedy")  # searches, the one whose errors are shown first
LONG_NAME = 16  # characters of a beginning that is left out
ASR_CONFIG, ASR_LOG = "asr.yaml", "train.log"  # of a fine-tuning


@dataclass(frozen=True)
class Scored:
    """A scored set: its score folder (EXP/decode_MODE/SET/score_[wc]er) and the facts of its result.json. system: the experiment's label."""

    system: str
    folder: Path
    decoding: str
    set: str
    facts: dict[str, Any]

    @property
    def unit(self) -> str:
        return self.facts["unit"]

    @property
    def measure(self) -> str:
        return "WER" if self.unit == "word" else "CER"

    @cached_property
    def utterances(self) -> Utterances:
        return read_utterances(self.folder)

    def reference(self, exp_dir: Path) -> Path | None:
        """The text file of the references; None if it is not here any more."""
        return file_near(self.facts.get("ref", ""), exp_dir)


@dataclass(frozen=True)
class Experiment:
    """label: the name as it is shown beside others; scores: every scored set; main: those whose errors are shown, one of each set."""

    folder: Path
    label: str
    kind: Kind
    scores: Sequence[Scored]

    @property
    def name(self) -> str:
        return named_folder(self.folder).name

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.folder / (ASR_CONFIG if self.kind == "finetuning" else "config.yaml")

    @cached_property
    def main(self) -> list[Scored]:
        """For each set the strongest search, by words if the language writes them apart, else by characters."""
        found = dict[str, Scored]()
        rank = {mode: number for number, mode in enumerate(STRONGEST)}
        for scored in sorted(self.shown, key=lambda one: (rank.get(one.decoding, len(rank)), one.unit != "word")):
            found.setdefault(scored.set, scored)
        return [found[name] for name in sorted(found)]

    @cached_property
    def shown(self) -> list[Scored]:
        """The scored sets without the word error rates of a language whose sentences are one word."""
        return [scored for scored in self.scores if scored.unit != "word" or (scored.utterances.ref_units > 1).any()]


def open_experiments(folders: Sequence[Path]) -> list[Experiment]:
    """Several, whose labels leave out a long beginning that all names have. UserError: as open_experiment."""
    names = [named_folder(folder).name for folder in folders]
    shared = os.path.commonprefix(names).rpartition("_")[0]
    cut = len(shared) if len(names) > 1 and len(shared) >= LONG_NAME and all(len(name) > len(shared) + 1 for name in names) else 0
    return [open_experiment(folder, f"…{name[cut:]}" if cut else name) for folder, name in zip(folders, names, strict=True)]


def open_experiment(folder: Path, label: str = "") -> Experiment:
    """label: the name to show, by default the folder's. UserError: no such folder, none of an experiment, or a result.json that is none."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such experiment: give the folder of one, exp/TAG")
    label = label or named_folder(folder).name
    scores = [_scored(path, label) for path in folder.glob("decode_*/*/score_[cw]er/result.json")]
    scores.sort(key=lambda one: (one.unit != "word", one.set, one.decoding))
    kind: Kind = "ctc"
    if any((folder / name).exists() for name in (ASR_CONFIG, ASR_LOG, "inference")):
        kind = "finetuning"
    elif (folder / "config.yaml").is_file():
        kind = "pretraining" if read_yaml(folder / "config.yaml").get("model") in families(PretrainConfig) else "ctc"
    elif not scores:
        raise UserError(f"{folder}: not the folder of an experiment: it has no config.yaml, no {ASR_CONFIG} and no scored sets")
    return Experiment(folder, label, kind, scores)


def _scored(path: Path, system: str) -> Scored:
    folder = path.parent.parent
    return Scored(system, path.parent, folder.parent.name.removeprefix("decode_"), folder.name, read_result(path))


def read_facts(path: Path, maker: str) -> dict[str, Any]:
    """The contents of a JSON file. UserError: it is damaged; maker: what writes it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}): run {maker} again") from None


def upstream_of(experiment: Experiment) -> Experiment | None:
    """The pretraining experiment whose converted model a fine-tuning uses; None if it is not here or there is none."""
    path = experiment.folder / "inference" / "config.yaml"
    if experiment.kind != "finetuning" or not path.is_file():
        return None
    inner = (read_yaml(path).get("frontend_conf") or {}).get("frontend_conf") or {}
    model = file_near(str(inner.get("path_or_url") or ""), experiment.folder)
    folder = model.parent.parent if model else None  # EXP/pt/s3prl.pt
    return open_experiment(folder) if folder and (folder / "history.jsonl").is_file() else None
