"""Archives of models: what goes in comes out, and what is not what was packed is refused."""

import hashlib
import json
import stat
import zipfile
from pathlib import Path

import pytest

from asrlib.api.package import read_manifest, unpacked, without_places, write_package
from asrlib.utils.errors import UserError

FILES = {"config.yaml": b"model: toy\n", "pt/model.safetensors": b"x" * 5000}


@pytest.fixture
def archive(tmp_path):
    (tmp_path / "tokens.txt").write_text("A\n")
    write_package(tmp_path / "model.zip", {"kind": "ctc"}, {**FILES, "tokens.txt": tmp_path / "tokens.txt"})
    return tmp_path / "model.zip"


def test_there_and_back(archive, tmp_path):
    with unpacked(archive) as folder:
        found = {name: Path(folder, name).read_bytes() for name in [*FILES, "tokens.txt"]}
    assert found == {**FILES, "tokens.txt": b"A\n"} and read_manifest(archive)["kind"] == "ctc"
    write_package(tmp_path / "again.zip", {"kind": "ctc"}, {**FILES, "tokens.txt": tmp_path / "tokens.txt"})
    assert (tmp_path / "again.zip").read_bytes() == archive.read_bytes()


def forged(path, name="tokens.txt", content=b"A\n", digest=None, mode=0, **facts):
    """An archive with one file, whose manifest says what it is told."""
    files = {name: digest or hashlib.sha256(content).hexdigest()}
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, content)
        archive.writestr("manifest.json", json.dumps({"format": 1, "files": files} | facts))
    return path


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "a\\..\\evil", "C:evil", "a//b", "./a"])
def test_names_that_lead_elsewhere(tmp_path, name):
    with pytest.raises(UserError, match="is no file of a packed model: do not use this archive"):
        unpacked(forged(tmp_path / "m.zip", name))
    assert [path.name for path in tmp_path.iterdir()] == ["m.zip"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": stat.S_IFLNK | 0o777}, "is no file of a packed model"),
        ({"digest": "0" * 64}, "tokens.txt is not what was packed"),
        ({"format": 2}, "packed in format 2, this version reads 1"),
        ({"files": {}}, "'tokens.txt' is no file of a packed model"),
        ({"files": {"tokens.txt": hashlib.sha256(b"A\n").hexdigest(), "config.yaml": ""}}, "config.yaml is missing in it"),
    ],
)
def test_forged(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        unpacked(forged(tmp_path / "m.zip", **options))


def test_damaged(archive, tmp_path):
    content = archive.read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[:-100])
    (tmp_path / "bit.zip").write_bytes(content.replace(b"x" * 100, b"y" + b"x" * 99, 1))
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("a", "b")
    for name in ("cut", "bit", "other"):
        with pytest.raises(UserError, match=f"{name}.zip: (not an archive|.* is not what was packed)"):
            unpacked(tmp_path / f"{name}.zip")


def test_places_of_this_machine_leave_texts():
    text = "`/home/me/asr/egs/run.sh --lm /data/lm/3.arpa --out exp/a/b` https://a.org/b/c 1/2 and ~/x/y.wav (/a/b)"
    assert without_places(text) == "`run.sh --lm 3.arpa --out exp/a/b` https://a.org/b/c 1/2 and y.wav (b)"
