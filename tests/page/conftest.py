"""Experiments whose pages are tested, with names and texts that would be markup or script if they were not escaped."""

import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from asrlib.convert.compare import LayerDifference, write_table
from asrlib.corpora.audio import write_wav
from asrlib.page.render import write_page
from asrlib.report.tables import write_results
from asrlib.score.error_rate import score
from asrlib.score.files import write_score
from asrlib.utils.files import working_in

HOSTILE = "</script><script>window.attacked=1</script><img/src=x/onerror=window.attacked=1>"
WORDS = ["ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX"]
TEXTS = {f"anna-{i:02d}": " ".join(WORDS[: 1 + i % 6]) for i in range(10)} | {f"ben-{i:02d}": " ".join(WORDS[i % 3 :]) for i in range(8)}
TEXTS |= {"<b>cy&amp;\"'-00": f"ONE {HOSTILE} TWO", "cy-01": "ONE \u202eTWO"}
MANDARIN = {"zh-1": "今天天气很好", "zh-2": "明天会下雨吗", "zh-3": "你好"}


def speaker_of(utt: str) -> str:
    return "<i>cy</i>" if "cy" in utt else utt.partition("-")[0]


def recognised(texts: dict[str, str], every: int) -> dict[str, str]:
    """Hypotheses with an error in every n-th utterance: a substitution and, in longer ones, a deletion; insertions elsewhere."""
    found = {}
    for number, (utt, text) in enumerate(texts.items()):
        units = text.split() if " " in text else list(text)
        if number % every == 0:
            units = ["NO" if text.isascii() else "不", *units[1:-1]] if len(units) > 3 else [*units, "TOO" if text.isascii() else "了"]
        found[utt] = (" " if " " in text or text.isascii() else "").join(units)
    return found


def make_experiment(recipe: Path, name: str, every: dict[str, int], speaker: bool = True) -> Path:
    """exp/NAME in the recipe's folder with the sets test and mandarin, decoded by each search with an error in every n-th utterance."""
    exp = Path("exp") / name
    with working_in(recipe):
        rows = [{"update": 5 * n, "epoch": n / 4, "loss": 40.0 / n, "learning_rate": 1e-3 * n, "grad_norm": 2.0} for n in range(1, 13)]
        rows += [{"update": 20 * n, "epoch": float(n), "valid_loss": 30.0 / n, "valid_wer": 90.0 / n, "valid_cer": 33.25 / n} for n in (1, 2, 3)]
        exp.mkdir(parents=True)
        (exp / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"update": 99, "lo')
        (exp / "config.yaml").write_text("model: deepspeech2\nmodel_conf: {hidden_size: 77}\ntrainer: {seed: 5}\n")
        write_table([LayerDifference(i, 1e-7 * (i + 1), 1e-8, 1e-6) for i in range(4)], exp / "compare", tolerance=5e-6)
        for set_name, texts in (("test", TEXTS), ("mandarin", MANDARIN)):
            speakers = {utt: speaker_of(utt) for utt in texts} if speaker else None
            for mode, number in every.items():
                out = exp / f"decode_{mode}" / set_name
                for unit in ("word", "char"):
                    result = score(texts, recognised(texts, number), unit, speakers)
                    write_score(result, out / f"score_{unit[0]}er", ref=f"data/{set_name}/text", hyp=f"{out}/text")
                (out / "rtf.json").write_text(json.dumps({"audio_seconds": 12.5, "real_time_factor": 0.0123}))
        write_results(exp, f"egs/x/y/run.sh --tag '{name}' --stage 6 --note '{HOSTILE}'")
    return recipe / exp


def make_data(recipe: Path) -> None:
    """Data directories whose wav.scp has relative paths, as those of a recipe."""
    time = np.arange(4 * 16000) / 16000
    for set_name, texts in (("test", TEXTS), ("mandarin", MANDARIN)):
        folder = recipe / "data" / set_name
        folder.mkdir(parents=True)
        write_wav(recipe / f"wav/{set_name}.wav", 0.3 * np.sin(2 * np.pi * 440 * time), 16000)
        (folder / "text").write_text("".join(f"{utt} {text}\n" for utt, text in sorted(texts.items())), encoding="utf-8")
        (folder / "utt2spk").write_text("".join(f"{utt} {speaker_of(utt)}\n" for utt in sorted(texts)))
        (folder / "wav.scp").write_text("".join(f"{utt} wav/{set_name}.wav\n" for utt in sorted(texts)))


@pytest.fixture(scope="session")
def recipe(tmp_path_factory) -> Path:
    """The folder of a recipe with two experiments, system and other."""
    folder = tmp_path_factory.mktemp("recipe")
    make_data(folder)
    make_experiment(folder, "system", {"greedy": 2, "beam": 3})
    make_experiment(folder, "other", {"greedy": 1, "beam": 2})
    return folder


@pytest.fixture(scope="session")
def page(recipe) -> Path:
    """The page of both."""
    return write_page([recipe / "exp/system", recipe / "exp/other"], recipe / "page.html")[0]


@dataclass
class Html(HTMLParser):
    """tables: id -> rows of texts, the head first; charts: id -> data; tags: (name, attributes) of every element; text: what is shown."""

    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    charts: dict[str, dict] = field(default_factory=dict)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self):
        super().__init__()
        self.open: list[str] = []
        self.table = self.figure = ""

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append((tag, values))
        self.open.append(tag)
        if tag == "table":
            self.table = values["id"]
            self.tables[self.table] = []
        elif tag == "figure":
            self.figure = values["id"]
        elif tag == "tr":
            self.tables[self.table].append([])
        elif tag in ("td", "th"):
            self.tables[self.table][-1].append("")

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if "script" in self.open:
            if self.tags[-1][1].get("type") == "application/json":
                self.charts[self.figure] = json.loads(data)
        elif "style" not in self.open:
            self.text += data
            if {"td", "th"} & set(self.open):
                self.tables[self.table][-1][-1] += data

    def column(self, table: str, name: str) -> list[str]:
        head, *rows = self.tables[table]
        return [row[head.index(name)] for row in rows]


def parsed(path: Path) -> Html:
    html = Html()
    html.feed(path.read_text(encoding="utf-8"))
    html.text = re.sub(r"\s+", " ", html.text)
    return html
