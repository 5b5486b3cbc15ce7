"""AISHELL-1: nested archives, preparation, checks of the number of utterances, misplaced files."""

import io
import tarfile

import pytest
import soundfile

from asrlib.bin import prepare_data
from asrlib.corpora import aishell1, fetch
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.utils.errors import UserError

SPEAKERS = {"train": "S0002", "dev": "S0724", "test": "S0764"}


@pytest.fixture
def corpus(tmp_path, make_audio):
    """data_aishell with two utterances per set and one recording without transcript."""
    folder = tmp_path / "data_aishell"
    lines = []
    for name, speaker in SPEAKERS.items():
        for number in (122, 123, 124):
            utt = f"BAC009{speaker}W{number:04d}"
            make_audio(folder / "wav" / name / speaker / f"{utt}.wav")
            if number != 124:
                lines.append(f"{utt} 打开 {name == 'dev' and '空调' or '电灯'}\n")
    (folder / "transcript").mkdir()
    (folder / aishell1.TRANSCRIPT).write_text("".join(lines), encoding="utf-8")
    return folder


def test_directories(corpus, tmp_path, logged):
    prepare_data.main(["--corpus", "aishell1", "--corpus_dir", str(corpus), "--data_dir", str(tmp_path / "data")])
    for name, speaker in SPEAKERS.items():
        data = KaldiDir.read(tmp_path / "data" / name)
        assert list(data.utt2spk) == [f"BAC009{speaker}W0122", f"BAC009{speaker}W0123"]
        assert set(data.utt2spk.values()) == {f"BAC009{speaker}"}, "utterance ids begin with their speaker's"
        assert data.text[f"BAC009{speaker}W0122"] == ("打开空调" if name == "dev" else "打开电灯"), "no spaces"
    assert sum("skipped 1 recordings without a transcript" in line for line in logged) == 3


def test_counts(corpus, monkeypatch):
    """Counts are checked for a complete set of speakers and for our own download, but not for a sample."""
    assert len(aishell1.prepare(corpus, "test")["text"].rows) == 2
    with pytest.raises(UserError, match="has 2 utterances with a transcript, AISHELL-1 has 7176"):
        aishell1.prepare(corpus, "test", "true")
    monkeypatch.setitem(aishell1.SPEAKERS, "test", 1)
    with pytest.raises(UserError, match="AISHELL-1 has 7176"):
        aishell1.prepare(corpus, "test")
    assert aishell1.prepare(corpus, "test", "false")
    monkeypatch.setitem(aishell1.UTTERANCES, "test", 2)
    (corpus / ".complete").touch()
    assert aishell1.prepare(corpus, "test")
    assert (aishell1.UTTERANCES["train"], aishell1.UTTERANCES["dev"]) == (120098, 14326)


def test_what_does_not_belong(corpus):
    wav = corpus / "wav/test"
    (wav / "S0764/BAC009S0764W0122.wav").rename(wav / "S0764/BAC009S0002W0122.wav")
    problems = aishell1.prepare(corpus, "test")["wav.scp"].problems
    assert len(problems) == 1 and "BAC009S0764WNNNN.wav" in str(problems[0])
    with pytest.raises(UserError, match="no set 'eval'"):
        aishell1.prepare(corpus, "eval")
    with pytest.raises(UserError, match="wav/dev is missing"):
        aishell1.prepare(corpus / "nowhere", "dev")
    (corpus / aishell1.TRANSCRIPT).unlink()
    with pytest.raises(UserError, match="aishell_transcript_v0.8.txt is missing"):
        aishell1.prepare(corpus, "dev")


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def archive(corpus, tmp_path, monkeypatch):
    """The corpus as published, an archive with an archive per speaker, on a local server."""
    speakers = {}
    for name, speaker in SPEAKERS.items():
        files = {f"{name}/{speaker}/{path.name}": path.read_bytes() for path in (corpus / "wav" / name / speaker).iterdir()}
        speakers[f"data_aishell/wav/{speaker}.tar.gz"] = packed(files)
    content = speakers | {f"data_aishell/{aishell1.TRANSCRIPT}": (corpus / aishell1.TRANSCRIPT).read_bytes()}

    def serve(extra: dict[str, bytes] | None = None):
        def download(url, path, md5=None, **_):
            assert url == "https://mirror/33/data_aishell.tgz" and md5 == aishell1.MD5
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed(content | (extra or {})))
            return path

        monkeypatch.setattr(fetch, "download", download)
        monkeypatch.setattr(fetch, "check_disk", lambda *arguments: None)

    return serve


def test_download_unpacks_both_levels(archive, corpus, tmp_path):
    archive()
    found = aishell1.download(tmp_path / "downloads", "https://mirror/33/", remove_archive=True)
    assert sorted(path.relative_to(found) for path in found.rglob("*.wav")) == sorted(path.relative_to(corpus) for path in corpus.rglob("*.wav"))
    assert not list(found.rglob("*.tar.gz")) and (found / ".complete").exists() and not (tmp_path / "downloads/data_aishell.tgz").exists()
    assert soundfile.info(str(next(found.rglob("*.wav")))).frames == 8000
    aishell1.download(tmp_path / "downloads", "https://nowhere")


def test_unpacking_that_was_killed_goes_on(archive, tmp_path, monkeypatch):
    archive()
    unpack, done = fetch.unpack, []

    def dying(path, folder):
        if path.name == "S0724.tar.gz" and not done:
            done.append(path)
            raise KeyboardInterrupt
        unpack(path, folder)

    monkeypatch.setattr(fetch, "unpack", dying)
    with pytest.raises(KeyboardInterrupt):
        aishell1.download(tmp_path / "downloads", "https://mirror/33/")
    assert not (tmp_path / "downloads/data_aishell/.complete").exists()
    found = aishell1.download(tmp_path / "downloads", "https://mirror/33/")
    assert len(list(found.rglob("*.wav"))) == 9 and not list(found.rglob(".unpacking"))


def test_inner_archive_that_would_write_elsewhere(archive, tmp_path):
    archive({"data_aishell/wav/S0999.tar.gz": packed({"../../evil.wav": b"x"})})
    with pytest.raises(UserError, match="path out of the folder"):
        aishell1.download(tmp_path / "downloads", "https://mirror/33/")
    assert not list(tmp_path.rglob("evil.wav")) and not (tmp_path / "downloads/data_aishell/.complete").exists()


def test_real_recordings(shared, tmp_path):
    folder = shared / "speech/aishell1/data_aishell"
    prepare_data.main(["--corpus", "aishell1", "--corpus_dir", str(folder), "--data_dir", str(tmp_path / "data")])
    assert [len(KaldiDir.read(tmp_path / "data" / name)) for name in ("train", "dev", "test")] == [200, 25, 25]
    assert KaldiDir.read(tmp_path / "data/train").text["BAC009S0150W0001"] == "设定二十九度"
