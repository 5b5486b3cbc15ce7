"""What can be made again is listed and, if asked for, removed; models and results stay."""

import fcntl
import json
import os
import time

import pytest

from asrlib.bin import clean_exp
from asrlib.utils.errors import UserError

MADE_AGAIN = {  # kind -> files
    "leftovers": ["dump/.train.x.tmp/a", "exp/ds2/.model.safetensors.x.tmp"],
    "states": ["dump/asr_done/train/parts/0.ark", "dump/asr_done/train/parts/0.json", "dump/asr_done/train/feats.scp"],
    "shards": ["dump/train/mindrecord/shards.json", "dump/train/mindrecord/shard1.mindrecord"],
    "features": ["dump/train/feats.1.ark", "dump/train/feats.scp"],
    "archives": ["downloads/train-clean-100.tar.gz", "downloads/data_aishell.tgz"],
    "checkpoints": ["exp/ds2/state.safetensors", "exp/ds2/checkpoints/epoch1.safetensors", "exp/asr_done/checkpoint.pth", "exp/asr_done/1epoch.pth"],
    "former": ["exp/ds2/former/1/model.safetensors"],
}
KEPT = [
    *("dump/train/text", "dump/train/feats.sha256", "dump/train/targets/km100.safetensors", "dump/tokens.txt", "dump/asr_done/train/text"),
    *("dump/asr_running/train/parts/0.ark", "dump/asr_running/train/feats.scp", "dump/audio/train/parts/0/1.wav", "dump/.fresh.x.tmp"),
    *("exp/ds2/model.safetensors", "exp/ds2/config.yaml", "exp/ds2/checkpoints/update5.safetensors", "exp/ds2/checkpoints/index.json"),
    *("exp/ds2/decode_greedy/test/score_wer/result.json", "exp/ds2/RESULTS.md", "exp/ds2/pt/model.pt", "exp/ds2/history.jsonl"),
    *("exp/begun/state.safetensors", "exp/begun/checkpoints/epoch1.safetensors", "exp/begun/checkpoints/index.json"),
    *("exp/resumed/model.safetensors", "exp/resumed/state.safetensors", "exp/asr_running/1epoch.pth", "exp/asr_running/checkpoint.pth"),
    *("exp/asr_done/inference/model.pth", "exp/asr_done/2epoch.pth", "exp/asr_done/results.json", "downloads/LibriSpeech/.train-clean-100.complete"),
    *("downloads/dev-clean.tar.gz", "downloads/data_aishell/.complete"),
]


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (*KEPT, *(name for names in MADE_AGAIN.values() for name in names)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 1000)
    for name in ("asr_done", "asr_running"):
        (tmp_path / f"dump/{name}/train/speech.json").write_text(json.dumps({"kind": "states"}))
    (tmp_path / "dump/audio/train/speech.json").write_text(json.dumps({"kind": "audio"}))
    (tmp_path / "exp/audio/inference").mkdir(parents=True)
    (tmp_path / "exp/asr_done/valid.acc.ave.pth").symlink_to("2epoch.pth")
    for name in ("ds2", "begun"):
        rows = [{"name": "epoch1", "pinned": False}, {"name": "update5", "pinned": True}]
        (tmp_path / f"exp/{name}/checkpoints/index.json").write_text(json.dumps(rows))
    old = time.time() - 2 * 24 * 3600
    for name in ("dump/.train.x.tmp", "exp/ds2/.model.safetensors.x.tmp", "exp/resumed/model.safetensors", "exp/ds2/state.safetensors"):
        os.utime(tmp_path / name, (old, old))
    return tmp_path


def there(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_list_changes_nothing(recipe, capsys):
    before = there(recipe)
    clean_exp.main([])
    lines = capsys.readouterr().out.splitlines()
    assert there(recipe) == before
    listed = [line.split()[0] for line in lines if " GB  " in line]
    assert list(dict.fromkeys(listed)) == list(MADE_AGAIN)
    total = 1000 * sum(map(len, MADE_AGAIN.values()))
    assert lines[-1].startswith(f"{total / 1e9:.3f} GB can be made again; --delete true")


def test_what_is_removed_without_kinds(recipe, capsys):
    before = there(recipe)
    clean_exp.main(["--delete", "true"])
    gone = before - there(recipe)
    assert gone == {name for kind, names in MADE_AGAIN.items() for name in names if kind not in ("checkpoints", "former")}
    assert capsys.readouterr().out.splitlines()[-1].endswith("GB removed")


@pytest.mark.parametrize("kind", MADE_AGAIN)
def test_each_kind_alone(recipe, kind):
    before = there(recipe)
    clean_exp.main(["--kinds", kind, "--delete", "true"])
    assert before - there(recipe) == set(MADE_AGAIN[kind])


def test_refused_while_a_stage_runs(recipe):
    before = there(recipe)
    for lock in ("dump/.stages/2.done.lock", "exp/ds2/.lock", "exp/ds2/.stages/3.done.lock"):
        (recipe / lock).parent.mkdir(exist_ok=True)
        with open(recipe / lock, "w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            with pytest.raises(UserError, match=f"{lock} is held"):
                clean_exp.main(["--delete", "true"])
        (recipe / lock).unlink()
    assert there(recipe) == before


def test_invalid_kind_and_nothing_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    clean_exp.main(["--delete", "true"])
    assert capsys.readouterr().out == "0.000 GB removed\n"
    with pytest.raises(SystemExit):
        clean_exp.main(["--kinds", "models"])
    assert "no kind 'models': choose from leftovers" in capsys.readouterr().err
