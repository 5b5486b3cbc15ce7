"""The set to pretrain on, made of several directories: what is left out, what is unified, what is refused."""

import pytest

from asrlib.bin import make_pretraining_set
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.utils.errors import UserError

TEXTS = {
    "train": {"s1-1": "ENTER FIVE", "s1-2": "YES"},
    "dev": {"s2-1": "YES"},
    "test": {"s3-1": "ERASE A B C"},
    "more": {"m1-1": "erase a, b, c", "m1-2": "SOMETHING ELSE", "m2-1": "Yes."},
}
RATES = {"more": 8000}


@pytest.fixture
def corpora(tmp_path, make_audio):
    """corpora: folder -> path of its Kaldi directory."""
    for name, texts in TEXTS.items():
        wav = {utt: str(make_audio(tmp_path / f"wav/{utt}.wav", 0.5 + 0.1 * i, RATES.get(name, 16000))) for i, utt in enumerate(texts)}
        KaldiDir({"wav.scp": wav, "text": texts, "utt2spk": {utt: utt.split("-")[0] for utt in texts}}).write(tmp_path / name)
    return {name: tmp_path / name for name in TEXTS}


def make(corpora, names, *arguments, against=("dev", "test")) -> KaldiDir:
    listed, held = ("\n".join(str(corpora[name]) for name in part) for part in (names, against))
    out = corpora["train"].parent / "pretrain"
    make_pretraining_set.main(["--data_dirs", listed, "--against", held, "--train_dir", str(corpora["train"]), "--out", str(out), *arguments])
    return KaldiDir.read(out)


def rewritten(folder, change) -> None:
    data = KaldiDir.read(folder)
    change(data.tables)
    data.write(folder)


def test_sentences_of_the_evaluation_sets_are_left_out(corpora, tmp_path, caplog):
    """But the training set, which belongs to them, stays whole. 8 kHz is reported, and read at 16 kHz. Transcripts are not kept."""
    data = make(corpora, ["train", "more"])
    assert sorted(data.utt2spk) == ["m1-2", "s1-1", "s1-2"] and data.text is None
    assert (tmp_path / "pretrain/leaks.tsv").read_text().splitlines()[1:] == [
        f"m1-1\terase a, b, c\t{tmp_path}/test\ts3-1",
        f"m2-1\tYes.\t{tmp_path}/dev\ts2-1",
    ]
    hours = (tmp_path / "pretrain/hours.tsv").read_text().splitlines()
    assert [line.split("\t")[1] for line in hours[1:]] == ["2", "3", "1", "3"]
    assert "more: 3 of 3 recordings have 8000 Hz and are resampled to 16000 Hz; they have nothing above 4000 Hz" in caplog.text
    audio = {utterance.id: len(utterance.audio()) for utterance in data.utterances()}
    assert audio == {"s1-1": 8000, "s1-2": 9600, "m1-2": 9600}
    assert "train: " not in "".join(record.getMessage() for record in caplog.records if "Hz" in record.getMessage())


def test_instead_of_the_training_set(corpora):
    assert sorted(make(corpora, ["more"]).utt2spk) == ["m1-2"]
    assert sorted(make(corpora, ["more"], against=()).utt2spk) == ["m1-1", "m1-2", "m2-1"]


def test_a_corpus_of_few_sentences(corpora):
    """Sentences are kept if that is asked for, recordings never."""
    assert sorted(make(corpora, ["more"], "--filter_sentences", "false").utt2spk) == ["m1-1", "m1-2", "m2-1"]
    with pytest.raises(UserError, match="test: every utterance has a transcript or recording"):
        make(corpora, ["more", "test"], "--filter_sentences", "false")


def test_without_transcripts_recordings_are_compared(corpora, caplog):
    """A link to a recording of a test set is that recording, also of an utterance that is a part of it."""
    held = KaldiDir.read(corpora["test"]).wav["s3-1"]
    (corpora["more"] / "link.wav").symlink_to(held)

    def change(tables):
        del tables["text"]
        tables["wav.scp"] = {**tables["wav.scp"], "m1-1": str(corpora["more"] / "link.wav")}

    rewritten(corpora["more"], change)
    assert sorted(make(corpora, ["more"]).utt2spk) == ["m1-2", "m2-1"]
    assert "more has no transcripts: sentences of the evaluation sets cannot be found in it" in caplog.text
    lines = (corpora["more"].parent / "pretrain/leaks.tsv").read_text().splitlines()
    assert lines[1:] == [f"m1-1\t\t{corpora['test']}\ts3-1"]


def test_segments_in_some_directories(corpora):
    """The others' utterances are whole recordings; channels are kept. Durations are those of the utterances."""
    recording = KaldiDir.read(corpora["more"]).wav["m1-2"]

    def change(tables):
        tables |= {"wav.scp": {"rec": recording}, "segments": {"m1-1": "rec 0 0.2", "m1-2": "rec 0.2 0.6", "m2-1": "rec 0.5 -1"}}
        tables["reco2file_and_channel"] = {"rec": "rec A"}

    rewritten(corpora["more"], change)
    data = make(corpora, ["train", "more"], against=())
    lengths = {utterance.id: len(utterance.audio()) for utterance in data.utterances()}
    assert lengths == {"s1-1": 8000, "s1-2": 9600, "m1-1": 3200, "m1-2": 6400, "m2-1": 1600}
    assert {utt: round(float(seconds) * 16000) for utt, seconds in data.tables["utt2dur"].items()} == lengths
    assert data.tables["reco2file_and_channel"] == {"rec": "rec A"}


def test_joined_utterances_in_some_directories(corpora):
    def change(tables):
        tables |= {"utt2parts": {"m1-1_2": "m1-1 m1-2", "m2-1": "m2-1"}, "utt2spk": {"m1-1_2": "m1", "m2-1": "m2"}}
        del tables["text"]

    rewritten(corpora["more"], change)
    data = make(corpora, ["train", "more"])
    assert data.parts == {"m1-1_2": "m1-1 m1-2", "m2-1": "m2-1", "s1-1": "s1-1", "s1-2": "s1-2"}
    assert sum(len(utterance.audio()) for utterance in data.utterances()) == sum((8000, 9600, 8000, 9600, 11200))
    rewritten(corpora["train"], lambda tables: tables.update(segments={utt: f"{utt} 0 0.3" for utt in tables["utt2spk"]}))
    with pytest.raises(UserError, match="some have segments and others utt2parts"):
        make(corpora, ["train", "more"])


def test_ids_need_not_begin_with_the_speaker(corpora, caplog):
    """What pretraining reads does not depend on it. Equal speakers are reported."""
    rewritten(corpora["more"], lambda tables: tables.update(utt2spk=dict.fromkeys(tables["utt2spk"], "s1")))
    assert set(make(corpora, ["train", "more"]).utt2spk.values()) == {"s1"}
    assert "1 speakers, among them s1, are in more than one of" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tables: tables["wav.scp"].update({"m1-2": "sox x.wav -t wav - |"}), "m1-2 is a command, and pretraining runs none"),
        (lambda tables: tables["wav.scp"].update({"m1-2": "/nowhere.wav"}), "more is not a valid data directory"),
        (lambda tables: tables["text"].pop("m1-2"), "more is not a valid data directory"),
    ],
)
def test_invalid_directories(corpora, change, message):
    rewritten(corpora["more"], change)
    with pytest.raises(UserError, match=message):
        make(corpora, ["train", "more"])
    assert not (corpora["train"].parent / "pretrain").exists()


def test_faulty_utterances_can_be_left_out(corpora):
    rewritten(corpora["more"], lambda tables: tables["wav.scp"].update({"m1-1": "/nowhere.wav"}))
    assert sorted(make(corpora, ["more"], "--fix", "true").utt2spk) == ["m1-2"]
    assert "m1-1" in (corpora["train"].parent / "pretrain/bad_utts.txt").read_text()


def test_what_cannot_be_combined(corpora, tmp_path, capsys):
    (tmp_path / "again").symlink_to(corpora["more"])
    with pytest.raises(UserError, match="again is given twice"):
        make({**corpora, "again": tmp_path / "again"}, ["more", "again"])
    with pytest.raises(UserError, match="test: every utterance has a transcript or recording of the evaluation sets: leave the directory out"):
        make(corpora, ["train", "test"])
    KaldiDir(KaldiDir.read(corpora["more"]).tables).write(tmp_path / "copy")
    with pytest.raises(UserError, match="utterance m1-2 is in more than one of"):
        make({**corpora, "copy": tmp_path / "copy"}, ["more", "copy"])
    with pytest.raises(SystemExit):
        make_pretraining_set.main(["--data_dirs", "", "--out", str(tmp_path / "x")])
    assert "give one or more Kaldi data directories" in capsys.readouterr().err
