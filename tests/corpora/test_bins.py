"""The commands on corpora: their output, and errors as one line with exit code 1."""

import errno
import os
import subprocess
import sys
import tempfile

import kaldiio
import numpy as np
import pytest

from asrlib.bin import combine_data, concat_data, download, filter_leaks, manifest, prepare_data, subset_data, validate_data
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.utils.cli import run
from asrlib.utils.errors import UserError


def ends(main, argv, monkeypatch):
    """Exit code of `main` run as a command."""
    monkeypatch.setattr(sys, "argv", [f"{main.__module__.rpartition('.')[2]}.py", *map(str, argv)])
    with pytest.raises(SystemExit) as end:
        run(main)
    return end.value.code


@pytest.mark.parametrize("command", [combine_data, concat_data, download, filter_leaks, manifest, prepare_data, subset_data, validate_data])
def test_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        command.main(["--help"])
    assert end.value.code == 0 and command.__name__.rpartition(".")[2] in capsys.readouterr().out


def test_help_imports_no_room(root):
    """--help needs no slow imports."""
    code = "import sys; from asrlib.bin.prepare_data import get_parser; get_parser(); sys.exit(any(m in sys.modules for m in ('soundfile', 'numpy')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0


def test_validate_and_fix(kaldi, capsys, monkeypatch):
    assert ends(validate_data.main, [kaldi, "--audio=true"], monkeypatch) == 0
    assert capsys.readouterr().out == f"Successfully validated data-directory {kaldi}\n"
    content = (kaldi / "text").read_text()
    (kaldi / "text").write_text(content.replace("OF A-2", "</s>").replace("\n", "\r\n"))
    assert ends(validate_data.main, [kaldi], monkeypatch) == 1
    out = capsys.readouterr().out
    assert f"{kaldi}/text, line 2: reserved word" in out and out.endswith(f"{kaldi}: 5 problems\n")
    assert ends(validate_data.main, [kaldi, "--fix", "true"], monkeypatch) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [
        f"{kaldi}: kept 4 utterances out of 4",
        f"Successfully validated data-directory {kaldi}",
    ]
    assert ends(validate_data.main, [kaldi / "none"], monkeypatch) == 1
    assert capsys.readouterr().err == f"validate_data: error: {kaldi}/none is not a folder: give a Kaldi data directory (wav.scp, text, utt2spk)\n"


def test_validation_goes_on_after_a_folder_that_is_missing(kaldi, capsys, monkeypatch):
    assert ends(validate_data.main, [kaldi / "none", kaldi, kaldi / "text"], monkeypatch) == 1
    out, err = capsys.readouterr()
    assert out == f"Successfully validated data-directory {kaldi}\n"
    assert f"{kaldi}/none is not a folder" in err and f"{kaldi}/text is not a folder" in err and len(err.splitlines()) == 1


def test_a_folder_named_test_loses_no_utterance(kaldi, capsys, monkeypatch):
    folder = kaldi.rename(kaldi.with_name("test_clean"))
    (folder / "text").write_text((folder / "text").read_text().replace("WORDS OF A-2", ""))
    assert ends(validate_data.main, [folder, "--fix", "true"], monkeypatch) == 1
    assert "--fix would drop 1 utterances (a-2: text line 2: empty transcript)" in capsys.readouterr().err
    assert ends(validate_data.main, [folder, "--fix", "true", "--keep_all", "false"], monkeypatch) == 0


def test_fix_cannot_rename(kaldi, capsys, monkeypatch):
    """Problems that --fix cannot solve remain errors."""
    write_table(kaldi / "utt2spk", dict.fromkeys(("a-1", "a-2", "b-1", "b-2"), "c"))
    assert ends(validate_data.main, [kaldi, "--fix", "true"], monkeypatch) == 1
    assert "does not begin with its speaker id" in capsys.readouterr().out
    assert ends(validate_data.main, [kaldi, "--no-spk-sort", "true"], monkeypatch) == 0


def prepare(*argv):
    prepare_data.main([str(word) for word in argv])


def test_prepare_kaldi(kaldi, tmp_path):
    (kaldi / "spk2utt").unlink()
    write_table(kaldi / "wav.scp", {utt: f"wav/{utt}.wav" for utt in ("a-1", "a-2", "b-1", "b-2")})
    options = ["--corpus", "kaldi", "--train_dir", kaldi, "--valid_portion", "0.25", "--audio_root", tmp_path]
    for out, seed in [("one", 1), ("same", 1), ("other", 2)]:
        prepare(*options, "--data_dir", tmp_path / out, "--seed", seed)
    contents = {out: (tmp_path / out / "dev/text").read_text() for out in ("one", "same", "other")}
    assert contents["one"] == contents["same"] != contents["other"]
    train, dev = KaldiDir.read(tmp_path / "one/train"), KaldiDir.read(tmp_path / "one/dev")
    assert len(train) == 3 and len(dev) == 1 and not train.utt2spk.keys() & dev.utt2spk.keys()
    assert all(os.path.isabs(path) and os.path.exists(path) for path in train.wav.values())
    assert (tmp_path / "one/train/spk2utt").exists() and not (kaldi / "spk2utt").exists(), "the user's directory stays as it is"


def test_prepare_kaldi_finds_the_folder_of_relative_paths(kaldi, tmp_path):
    write_table(kaldi / "wav.scp", {utt: f"wav/{utt}.wav" for utt in ("a-1", "a-2", "b-1", "b-2")})
    prepare("--corpus", "kaldi", "--test_dirs", kaldi, "--data_dir", tmp_path / "data")
    assert KaldiDir.read(tmp_path / "data" / kaldi.name).wav["a-1"] == str(tmp_path / "wav/a-1.wav")


def test_prepare_kaldi_with_archives(kaldi, tmp_path):
    """Places relative to a folder above the data directory become absolute and have durations."""
    before = KaldiDir.read(kaldi)
    audio = {utterance.id: utterance.audio() for utterance in before.utterances()}
    pcm = {utt: (16000, np.rint(samples * 32768).astype(np.int16)) for utt, samples in audio.items()}
    kaldiio.save_ark(str(tmp_path / "data_wav.ark"), pcm, scp=str(kaldi / "wav.scp"))
    write_table(kaldi / "wav.scp", {utt: value.removeprefix(f"{tmp_path}/") for utt, value in read_table(kaldi / "wav.scp").rows.items()})
    prepare("--corpus", "kaldi", "--test_dirs", kaldi, "--data_dir", tmp_path / "data", "--audio", "true")
    after = KaldiDir.read(tmp_path / "data/kaldi")
    assert all(value.startswith(f"{tmp_path}/data_wav.ark:") for value in after.wav.values())
    assert set(after.tables["utt2dur"].values()) == {"0.500000"}
    assert all(np.array_equal(utterance.audio(), audio[utterance.id]) for utterance in after.utterances())


def test_folders_in_another_unicode_form(tmp_path, capsys, monkeypatch):
    (tmp_path / "Hie\u0302\u0301u").mkdir()
    assert ends(validate_data.main, [tmp_path / "Hi\u1ebfu"], monkeypatch) == 1
    assert "is not a folder: " in (err := capsys.readouterr().err) and "decomposed (NFD)" in err


def test_prepare_kaldi_refuses_or_sets_aside(kaldi, tmp_path, logged):
    (tmp_path / "wav/b-2.wav").write_bytes(b"")
    out = tmp_path / "data"
    with pytest.raises(UserError, match="not a valid data directory"):
        prepare("--corpus", "kaldi", "--test_dirs", kaldi, "--data_dir", out)
    assert not out.exists()
    assert len(logged) == 1 and "b-2.wav is empty (0 bytes)" in logged[0]
    with pytest.raises(UserError, match="is a test set, of which --fix would drop 1 utterances .b-2: "):
        prepare("--corpus", "kaldi", "--test_dirs", kaldi, "--data_dir", out, "--fix", "true")
    prepare("--corpus", "kaldi", "--valid_dir", kaldi, "--data_dir", out, "--fix", "true")
    assert sorted(KaldiDir.read(out / "dev").utt2spk) == ["a-1", "a-2", "b-1"]
    assert list(read_table(out / "dev/bad_utts.txt").rows) == ["b-2"]
    assert "dev: kept 3 utterances out of 4" in logged[-1]
    (tmp_path / "wav/b-2.wav").write_bytes((tmp_path / "wav/b-1.wav").read_bytes())
    prepare("--corpus", "kaldi", "--valid_dir", kaldi, "--data_dir", out)
    assert not (out / "dev/bad_utts.txt").exists() and len(KaldiDir.read(out / "dev")) == 4


def test_prepare_kaldi_with_pipes(kaldi, tmp_path):
    write_table(kaldi / "wav.scp", {utt: f"cat {tmp_path}/wav/{utt}.wav |" for utt in ("a-1", "a-2", "b-1", "b-2")})
    with pytest.raises(UserError, match="not a valid"):
        prepare("--corpus", "kaldi", "--test_dirs", kaldi, "--data_dir", tmp_path / "data")
    prepare("--corpus", "kaldi", "--test_dirs", kaldi, "--data_dir", tmp_path / "data", "--allow_pipes", "true")
    data = KaldiDir.read(tmp_path / "data/kaldi")
    assert data.wav["a-1"] == f"cat {tmp_path}/wav/a-1.wav |"
    assert len(next(data.utterances()).audio(allow_pipes=True)) == 8000


def test_prepare_warns_of_training_on_test_data(kaldi, tmp_path, logged):
    prepare("--corpus", "kaldi", "--train_dir", kaldi, "--valid_dir", kaldi, "--data_dir", tmp_path / "data")
    assert logged[0].startswith("train and dev share 4 utterances, among them a-1")
    with pytest.raises(UserError, match="the name 'kaldi' is that of another directory"):
        prepare("--corpus", "kaldi", "--test_dirs", f"{kaldi} {kaldi}", "--data_dir", tmp_path / "data")


@pytest.mark.parametrize("argv", [["--corpus", "kaldi"], ["--corpus", "librispeech"], ["--corpus", "librispeech", "--corpus_dir", "x"]])
def test_prepare_says_which_option_is_missing(argv, capsys):
    with pytest.raises(SystemExit) as end:
        prepare_data.main(argv)
    assert end.value.code == 2 and "--" in capsys.readouterr().err.splitlines()[-1]


def test_prepare_librispeech(libri, tmp_path, capsys, logged):
    sets = ["--valid_sets", "dev-clean", "--test-sets", "dev-clean"]
    prepare("--corpus", "mini_librispeech", "--corpus_dir", libri, *sets, "--data_dir", tmp_path / "data")
    done = "Successfully validated data-directory"
    assert logged[2:] == [f"{done} {tmp_path}/data/{name}: 4 utterances of 2 speakers" for name in ("dev", "dev_clean")]
    validate_data.main([str(tmp_path / "data/dev"), str(tmp_path / "data/dev_clean"), "--audio", "true"])
    assert capsys.readouterr().out.count(done) == 2


def test_subset_and_combine(kaldi, tmp_path, capsys):
    subset_data.main([str(kaldi), str(tmp_path / "a"), "--speakers", "a"])
    subset_data.main([str(kaldi), str(tmp_path / "b"), "--last", "2"])
    assert capsys.readouterr().out.splitlines()[0] == f"{tmp_path}/a: 2 of the 4 utterances of {kaldi}"
    combine_data.main([str(tmp_path / "all"), str(tmp_path / "b"), str(tmp_path / "a")])
    assert {path.name: path.read_bytes() for path in (tmp_path / "all").iterdir()} == {path.name: path.read_bytes() for path in kaldi.iterdir()}


@pytest.mark.parametrize(
    "code, message", [(errno.EROFS, "Read-only file system"), (errno.ENOSPC, "no space left on device"), (errno.EACCES, "Permission")]
)
def test_a_folder_that_cannot_be_written(kaldi, tmp_path, capsys, monkeypatch, code, message):
    def refuse(*args, **kwargs):
        raise OSError(code, os.strerror(code), str(tmp_path / "out"))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    assert ends(subset_data.main, [kaldi, tmp_path / "out", "--first", "1"], monkeypatch) == 1
    err = capsys.readouterr().err
    assert message in err and str(tmp_path / "out") in err and len(err.splitlines()) == 1


def test_fsdd(shared, tmp_path):
    """Real recordings at 8 kHz with paths relative to another folder, and no validation set."""
    speech = shared / "speech"
    options = ["--corpus", "kaldi", "--train_dir", speech / "fsdd/data/train", "--test_dirs", speech / "fsdd/data/test", "--audio_root", speech]
    prepare(*options, "--data_dir", tmp_path / "data")
    sizes = {name: len(KaldiDir.read(tmp_path / "data" / name)) for name in ("train", "dev", "test")}
    assert sizes == {"train": 1710, "dev": 90, "test": 200}
    utterance = next(KaldiDir.read(tmp_path / "data/test").utterances())
    assert (utterance.id, utterance.speaker, utterance.text) == ("jackson-0_jackson_0", "jackson", "ZERO")
    assert 0.2 < len(utterance.audio()) / 16000 < 2
