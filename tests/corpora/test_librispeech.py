"""LibriSpeech: download from a local server, preparation, check of counts, invalid corpora."""

import functools
import hashlib
import shutil
import tarfile
import threading
from argparse import Namespace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from asrlib.corpora import librispeech
from asrlib.corpora.kaldi_table import read_table
from asrlib.corpora.prepare import write
from asrlib.utils.errors import UserError


def prepare_sets(corpus, train=(), valid=(), test=(), check_counts="auto", fix=False):
    options = Namespace(train_sets=train, valid_sets=valid, test_sets=test, check_counts=check_counts, audio=True, fix=fix)
    return librispeech.prepare_data(corpus, options)


def prepare(corpus, **options):
    return prepare_sets(corpus, valid=["dev-clean"], **options)["dev"]


def set_part(monkeypatch, **values):
    part = {"md5": "", "gigabytes": 1e-5, "utterances": 2703, "speakers": 40, **values}
    monkeypatch.setitem(librispeech.PARTS, "dev-clean", librispeech.Part(**part))


def test_prepare(libri):
    data = prepare(libri).data
    assert data.text == {"1-10-0000": "ONE SMALL STEP", "1-10-0001": "AND ANOTHER", "1-11-0000": "IT'S MINE", "20-5-0000": "LAST ONE"}
    assert data.utt2spk == {"1-10-0000": "1", "1-10-0001": "1", "1-11-0000": "1", "20-5-0000": "20"}
    assert data.wav["20-5-0000"] == str(libri / "dev-clean/20/5/20-5-0000.flac")
    assert data.tables["spk2gender"] == {"1": "f", "20": "m"}


def test_text_becomes_upper_case(libri):
    path = libri / "dev-clean/20/5/20-5.trans.txt"
    path.write_text(path.read_text().lower())
    assert prepare(libri).data.text["20-5-0000"] == "LAST ONE"


def test_sets_are_combined(libri, tmp_path):
    shutil.copytree(libri / "dev-clean/20", libri / "dev-other/30")
    shutil.move(libri / "dev-other/30/5/20-5-0000.flac", libri / "dev-other/30/5/30-5-0000.flac")
    (libri / "dev-other/30/5/20-5.trans.txt").rename(libri / "dev-other/30/5/30-5.trans.txt")
    (libri / "dev-other/30/5/30-5.trans.txt").write_text("30-5-0000 OTHER\n")
    prepared = prepare_sets(libri, ["dev-clean", "dev-other"], [], ["dev-other"])
    assert {name: len(result.data) for name, result in prepared.items()} == {"train": 5, "dev_other": 1}
    write(prepared, tmp_path / "data")
    assert read_table(tmp_path / "data/train/spk2utt").rows["30"] == "30-5-0000"
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["dev_other", "train"]


def edit(path, old, new):
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))


def test_missing_transcript(libri, tmp_path):
    edit(libri / "dev-clean/1/10/1-10.trans.txt", "1-10-0001 AND ANOTHER\n", "")
    with pytest.raises(UserError, match="1 problems, listed above.*--fix true"):
        prepare(libri)
    result = prepare(libri, fix=True)
    assert result.dropped == {"1-10-0001": "1-10-0001.flac: audio without transcript"} and len(result.data) == 3
    write({"dev": result}, tmp_path)
    assert read_table(tmp_path / "dev/bad_utts.txt").rows == result.dropped


def test_missing_audio(libri):
    (libri / "dev-clean/1/10/1-10-0001.flac").unlink()
    problems = [str(p) for table in librispeech.prepare(libri, "dev-clean").values() for p in table.problems]
    assert problems == [f"{libri}/dev-clean/1/10: transcript without audio (1-10-0001): add 1-10-0001.flac, or --fix true drops it"]
    with pytest.raises(UserError):
        prepare(libri)
    assert list(prepare(libri, fix=True).dropped) == ["1-10-0001"]


@pytest.mark.parametrize("content", [b"", b"no audio at all", None])
def test_bad_audio(libri, content):
    path = libri / "dev-clean/1/10/1-10-0001.flac"
    path.write_bytes(path.read_bytes()[:3000] if content is None else content)
    with pytest.raises(UserError):
        prepare(libri)
    result = prepare(libri, fix=True)
    assert list(result.dropped) == ["1-10-0001"] and "invalid audio" in result.dropped["1-10-0001"]


@pytest.mark.parametrize("old, new, dropped", [("\n", "\r\n", []), ("1-10-0000", "\ufeff1-10-0000", []), ("AND ANOTHER", "", ["1-10-0001"])])
def test_faulty_transcript_files(libri, old, new, dropped):
    edit(libri / "dev-clean/1/10/1-10.trans.txt", old, new)
    with pytest.raises(UserError):
        prepare(libri)
    result = prepare(libri, fix=True)
    assert list(result.dropped) == dropped and result.data.text["1-10-0000"] == "ONE SMALL STEP"


def test_duplicates_and_misplaced_files(libri):
    chapter = libri / "dev-clean/1/10"
    (chapter / "again").mkdir()
    shutil.copy(chapter / "1-10.trans.txt", chapter / "again/1-10.trans.txt")
    shutil.copy(chapter / "1-10-0000.flac", libri / "dev-clean/20/5")
    problems = [problem for table in librispeech.prepare(libri, "dev-clean").values() for problem in table.problems]
    assert [problem.what for problem in problems] == ["audio file in the wrong folder", "duplicate transcript", "duplicate transcript"]
    assert problems[0].path == libri / "dev-clean/20/5/1-10-0000.flac"
    with pytest.raises(UserError):
        prepare(libri)
    with pytest.raises(UserError, match="audio file in the wrong folder"):
        prepare(libri, fix=True)


def test_no_such_set_or_corpus(libri, tmp_path):
    with pytest.raises(UserError, match="test-clean is missing"):
        prepare_sets(libri, [], [], ["test-clean"])
    (libri / "test-clean").mkdir()
    with pytest.raises(UserError, match="has no SPEAKER/CHAPTER"):
        prepare_sets(libri, [], [], ["test-clean"])


def test_without_speakers_file(libri):
    (libri / "SPEAKERS.TXT").unlink()
    assert "spk2gender" not in prepare(libri).data.tables


def test_counts(libri, monkeypatch):
    """A sample is accepted; a set that should be complete must be."""
    assert len(prepare(libri).data) == 4
    with pytest.raises(UserError, match="has 4 utterances, LibriSpeech has 2703.*--check_counts false"):
        prepare(libri, check_counts="true")
    set_part(monkeypatch, utterances=7)  # more than half of the set
    with pytest.raises(UserError, match="has 4 utterances, LibriSpeech has 7"):
        prepare(libri)
    assert len(prepare(libri, check_counts="false").data) == 4
    set_part(monkeypatch, utterances=3)  # more than published
    with pytest.raises(UserError, match="has 4 utterances, LibriSpeech has 3"):
        prepare(libri)
    set_part(monkeypatch, utterances=4)
    assert len(prepare(libri, check_counts="true").data) == 4
    set_part(monkeypatch, speakers=2)  # all speakers of SPEAKERS.TXT, so it came from an archive
    with pytest.raises(UserError, match="LibriSpeech has 2703"):
        prepare(libri)
    shutil.rmtree(libri / "dev-clean/20")  # one of them was not unpacked
    with pytest.raises(UserError, match="has 3 utterances"):
        prepare(libri)
    (libri / "SPEAKERS.TXT").unlink()
    assert len(prepare(libri).data) == 3
    (libri / ".dev-clean.complete").touch()  # our own download
    with pytest.raises(UserError, match="LibriSpeech has 2703"):
        prepare(libri)


def test_published_counts():
    """The sizes of the corpus in Panayotov et al. 2015 and ESPnet's tables."""
    counts = {name: (part.utterances, part.speakers) for name, part in librispeech.PARTS.items()}
    assert counts == {
        "train-clean-100": (28539, 251),
        "train-clean-360": (104014, 921),
        "train-other-500": (148688, 1166),
        "dev-clean": (2703, 40),
        "dev-other": (2864, 33),
        "test-clean": (2620, 40),
        "test-other": (2939, 33),
    }
    assert sum(part.utterances for name, part in librispeech.PARTS.items() if name.startswith("train")) == 281241
    assert len({part.md5 for part in librispeech.PARTS.values()}) == 7 and all(len(part.md5) == 32 for part in librispeech.PARTS.values())


@pytest.fixture
def mirror(libri, tmp_path, monkeypatch):
    """The corpus as dev-clean.tar.gz on a local server, with its checksum and size as the published ones."""
    site = tmp_path / "site"
    site.mkdir()
    with tarfile.open(site / "dev-clean.tar.gz", "w:gz") as archive:
        archive.add(libri, "LibriSpeech")
    set_part(monkeypatch, md5=hashlib.md5((site / "dev-clean.tar.gz").read_bytes()).hexdigest(), utterances=4, speakers=2)
    requests = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, form, *args):
            requests.append(form % args)

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=site))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", requests, site
    server.shutdown()
    thread.join()
    server.server_close()


def test_download(mirror, libri, tmp_path):
    url, requests, _ = mirror
    out = tmp_path / "downloads"
    corpus = librispeech.download(out, ["dev-clean"], url, remove_archive=True)
    assert corpus == out / "LibriSpeech" and [path.name for path in out.iterdir()] == ["LibriSpeech"]
    here = {str(path.relative_to(corpus)): path.read_bytes() for path in corpus.rglob("*") if path.is_file() and path.name != ".dev-clean.complete"}
    assert here == {str(path.relative_to(libri)): path.read_bytes() for path in libri.rglob("*") if path.is_file()}
    assert len(prepare(corpus).data) == 4
    librispeech.download(out, ["dev-clean"], url)
    assert len(requests) == 1, "a complete set is not fetched again"
    (corpus / ".dev-clean.complete").unlink()
    librispeech.download(out, ["dev-clean"], url)
    assert len(requests) == 1, "nor one that is whole without a mark"
    (corpus / "dev-clean/20/5/20-5-0000.flac").unlink()
    with pytest.raises(UserError, match="has 3 of the set's 4 utterances: move it away"):
        librispeech.download(out, ["dev-clean"], url)
    (corpus / ".dev-clean.complete").touch()
    with pytest.raises(UserError, match="has 3 utterances, LibriSpeech has 4"):
        prepare(corpus)


def test_download_of_a_corrupt_archive(mirror, tmp_path):
    url, requests, site = mirror
    (site / "dev-clean.tar.gz").write_bytes(b"rubbish")
    with pytest.raises(UserError, match="wrong checksum twice"):
        librispeech.download(tmp_path / "downloads", ["dev-clean"], url)
    assert len(requests) == 2 and list((tmp_path / "downloads").iterdir()) == []


def test_download_refuses(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no set 'dev-clear': choose from train-clean-100"):
        librispeech.download(tmp_path, ["dev-clear"])
    set_part(monkeypatch, gigabytes=1e9)
    with pytest.raises(UserError, match="GB are needed"):
        librispeech.download(tmp_path, ["dev-clean"])


def test_real_sample(shared):
    prepared = prepare_sets(shared / "speech/librispeech/LibriSpeech", ["train-clean-100"], ["dev-clean"], ["test-clean", "test-other"])
    assert {name: len(result.data) for name, result in prepared.items()} == {"train": 170, "dev": 4, "test_clean": 7, "test_other": 25}
    assert prepared["dev"].data.text["1272-128104-0001"] == "NOR IS MISTER QUILTER'S MANNER LESS INTERESTING THAN HIS MATTER"
    assert all(not result.dropped for result in prepared.values())
