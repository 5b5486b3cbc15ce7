"""CONTRIBUTING.md, "Adding a corpus": its three files and its commands make data directories of a corpus that is new to the project."""

import os
import re
import shutil
import subprocess
import tarfile
import wave
from pathlib import Path

import pytest

from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_validate import Rules, validate

ROOT = Path(__file__).resolve().parents[2]
SECTION = re.search(r"^## Adding a corpus\n(.*?)(?=^## )", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M | re.S)[1]
FILES = re.findall(r"^`([\w/.]+)`[^\n]*:\n```\w+\n(.*?)^```\n", SECTION, re.M | re.S)
COMMANDS = re.search(r"^The commands.*?```sh\n(.*?)^```\n", SECTION, re.M | re.S)[1]
MODULE, REGISTRY, RUN = "asrlib/corpora/digits.py", "asrlib/corpora/registry.py", "egs/digits/deepspeech2/run.sh"
SPEAKERS = {"train": ("ann", "bob", "eve"), "dev": ("joe",), "test": ("kim",)}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """digits.tar: two utterances of each speaker, half a second at 16 kHz; always the same bytes, since the section has the checksum."""
    folder = tmp_path_factory.mktemp("mirror")
    for name, speakers in SPEAKERS.items():
        for utt in (f"{speaker}-{number:03d}" for speaker in speakers for number in range(2)):
            path = folder / "digits" / name / f"{utt}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            with wave.open(str(path), "wb") as stream:
                stream.setparams((1, 2, 16000, 8000, "NONE", ""))
                stream.writeframes(b"\x00\x01\x00\xff" * 4000)
            path.with_suffix(".txt").write_text("ONE TWO\n")

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        member.mode = 0o755 if member.isdir() else 0o644
        return member

    with tarfile.open(folder / "digits.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.add(folder / "digits", "digits", filter=plain)
    return folder / "digits.tar"


def contents(project: Path) -> dict[str, bytes]:
    return {str(path.relative_to(project)): path.read_bytes() for top in ("asrlib", "egs") for path in (project / top).rglob("*") if path.is_file()}


@pytest.fixture
def project(tmp_path):
    """A copy of the project with the files of the section."""
    copied = tmp_path / "project"
    left_out = shutil.ignore_patterns("__pycache__", "mini", "downloads", "data", "dump", "exp")
    shutil.copytree(ROOT / "egs", copied / "egs", ignore=left_out)
    shutil.copytree(ROOT / "asrlib", copied / "asrlib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "path.sh", copied)
    for name in ("tools", "conf"):
        (copied / name).symlink_to(ROOT / name)
    before = contents(copied)
    for name, text in FILES:
        path = copied / name
        if path.exists():
            text = path.read_text().replace("CORPORA = {\n", f"CORPORA = {{\n{text}", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    after = contents(copied)
    assert sorted(name for name in after if after[name] != before.get(name)) == [MODULE, REGISTRY, RUN]
    return copied


def run(project: Path, commands: str, code: int = 0) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(["bash", "-ec", commands], cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_the_section_has_three_files():
    assert [name for name, _ in FILES] == [MODULE, REGISTRY, RUN]


def test_stages_0_and_1(project, archive):
    """The corpus is downloaded, verified and prepared; a second run skips both stages."""
    mirror = f" --mirror file://{archive.parent}"
    assert "Successfully finished." in run(project, COMMANDS.rstrip() + mirror)
    data = project / "egs/digits/deepspeech2/data"
    assert sorted(path.name for path in data.iterdir() if not path.name.startswith(".")) == ["dev", "log", "test", "train"]
    for name, speakers in SPEAKERS.items():
        directory = KaldiDir.read(data / name)
        assert sorted(directory.spk2utt) == sorted(speakers) and len(directory) == 2 * len(speakers)
        assert validate(data / name, Rules(audio=True)) == []
        assert set(directory.text.values()) == {"ONE TWO"}
        assert {utterance.seconds() for utterance in directory.utterances()} == {0.5}
    assert run(project, COMMANDS.rstrip() + mirror).count("skipped, nothing has changed") == 2


def test_corpus_in_a_folder(project, archive):
    """--corpus_dir in place of a download."""
    output = run(project, f"{COMMANDS.rstrip()} --corpus_dir '{archive.parent}/digits'")
    assert "nothing to download" in output
    assert len(KaldiDir.read(project / "egs/digits/deepspeech2/data/train")) == 6


def test_corpus_that_cannot_be_downloaded(project):
    """The message has corpus_source and asks for --corpus_dir."""
    path = project / RUN
    path.write_text(path.read_text().replace("corpus=digits", "corpus=digits corpus_source=https://example.org/application"))
    assert "--corpus_dir is needed: the folder digits, which cannot be downloaded (https://example.org/application)" in run(project, COMMANDS, code=2)


def test_example_passes_the_checks(project):
    """As tests/run.sh checks the files of the project."""
    run(project, f"python -m ruff check --config '{ROOT}/pyproject.toml' {MODULE} && shellcheck -x {RUN}")
