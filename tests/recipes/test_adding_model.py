"""CONTRIBUTING.md's "Adding a CTC model", followed to the letter: its five files, and a recipe runs from features to results."""

import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[2]
STEP = re.compile(r"^\d\. `([^`]+)`.*?^   ```\w+\n(.*?)^   ```$", re.MULTILINE | re.DOTALL)
RATE = 16000


def files() -> dict[str, str]:
    """Path -> content of the files that the walk-through names."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text[text.index("## Adding a CTC model") :].split("\n## ", 1)[0]
    return {path: textwrap.dedent(content) for path, content in STEP.findall(section)}


@pytest.fixture
def project(tmp_path) -> Path:
    """A copy of the project without what recipes made, and with these files."""
    made = shutil.ignore_patterns("mini", "downloads", "data", "dump", "exp")
    shutil.copytree(ROOT / "egs", tmp_path / "project/egs", ignore=made)
    for name in ("asrlib", "conf"):
        shutil.copytree(ROOT / name, tmp_path / "project" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "path.sh", tmp_path / "project")
    (tmp_path / "project/tools").symlink_to(ROOT / "tools")
    for path, content in files().items():
        target = tmp_path / "project" / path
        assert not target.exists(), path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    (tmp_path / "project/egs/custom/toy/run.sh").chmod(0o755)
    return tmp_path / "project"


@pytest.fixture
def corpus(tmp_path) -> Path:
    """train and test: half a second of a tone for each word."""
    rng, top = np.random.default_rng(1), tmp_path / "corpus"
    for name, count in (("train", 12), ("test", 2)):
        tables: dict[str, list[str]] = {"wav.scp": [], "text": [], "utt2spk": []}
        (top / name).mkdir(parents=True)
        for i in range(count):
            words = rng.choice(["LOW", "HIGH"], rng.integers(1, 4))
            tone = np.concatenate([np.sin(2 * np.pi * (300 if word == "LOW" else 900) * np.arange(RATE // 2) / RATE) for word in words])
            utt, wav = f"s{i % 3}-{name}{i}", top / name / f"{i}.wav"
            soundfile.write(wav, 0.3 * tone + 0.01 * rng.normal(size=tone.size), RATE)
            for table, value in zip(tables.values(), (wav, " ".join(words), utt[:2]), strict=True):
                table.append(f"{utt} {value}\n")
        for table, lines in tables.items():
            (top / name / table).write_text("".join(sorted(lines)))
    return top


def test_a_new_ctc_model_is_five_files():
    modules = [f"asrlib/{room}/models/toy.py" for room in ("config", "ms", "pt")]
    assert list(files()) == [*modules, "conf/toy.yaml", "egs/custom/toy/run.sh"]


@pytest.mark.recipe
def test_a_new_ctc_model_runs_through_all_stages(project, corpus):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    data = ["--train_dir", str(corpus / "train"), "--test_dirs", str(corpus / "test"), "--valid_portion", "0.2"]
    call = [project / "egs/custom/toy/run.sh", *data, "--train_args", "batch.buckets=1 trainer.recompute=true"]
    done = subprocess.run(call, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (exp,) = (project / "egs/custom/toy/exp").glob("toy*")
    assert "decode_greedy/test" in (exp / "RESULTS.md").read_text() and (exp / "mindir/model.mindir").stat().st_size
    rows = [line.split() for line in (exp / "compare/table.txt").read_text().splitlines()]
    assert len(rows) == 2 and all(float(row[1]) < 5e-6 for row in rows)
