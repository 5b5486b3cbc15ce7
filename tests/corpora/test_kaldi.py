"""Kaldi data directories: rules with their messages and repairs; subset, combine, split."""

import random
import subprocess

import kaldiio
import numpy as np
import pytest
import soundfile
from espnet2.fileio.read_text import read_2columns_text
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlib.corpora import kaldi_ops
from asrlib.corpora.kaldi_dir import KaldiDir, parse_segment
from asrlib.corpora.kaldi_fix import accept, fix
from asrlib.corpora.kaldi_table import Table, read_table, split_line, summarise, write_table
from asrlib.corpora.kaldi_validate import Rules, validate
from asrlib.utils.characters import BLANKS
from asrlib.utils.errors import UserError
from asrlib.utils.keyed_lines import KeyedLines


def edit(path, old, new):
    """Replaces bytes in a file, which must contain them."""
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def messages(folder, **rules):
    return [str(problem) for problem in validate(folder, Rules(**rules))]


# file, bytes to replace, their replacement, part of the message, utterances that --fix drops
FAULTS = {
    "unsorted": ("text", b"a-1 WORDS OF A-1\na-2 WORDS OF A-2\n", b"a-2 WORDS OF A-2\na-1 WORDS OF A-1\n", "text, line 2: not sorted by bytes", ""),
    "repeated": ("text", b"a-2 WORDS OF A-2\n", b"a-2 WORDS OF A-2\n" * 2, "text, line 3: duplicate line", ""),
    "duplicate id": ("text", b"a-2 WORDS OF A-2\n", b"a-2 WORDS OF A-2\na-2 OTHER\n", "text, line 3: duplicate id", "a-2"),
    "crlf": ("text", b"A-1\n", b"A-1\r\n", "text, line 1: Windows line end", ""),
    "bom": ("text", b"a-1", b"\xef\xbb\xbfa-1", "text, line 1: byte-order mark", ""),
    "not utf-8": ("text", b"OF A-2", b"CAF\xc9", "text, line 2: not UTF-8 (a-2)", "a-2"),
    "empty line": ("text", b"a-2", b"\na-2", "text, line 2: empty line", ""),
    "no line end": ("text", b"B-2\n", b"B-2", "text, line 4: the last line has no line end", ""),
    "leading space": ("text", b"a-2", b"  a-2", "text, line 2: space before the key", ""),
    "no transcript": ("text", b"a-2 WORDS OF A-2\n", b"a-2\n", "text, line 2: empty transcript (a-2)", "a-2"),
    "missing in text": ("text", b"a-2 WORDS OF A-2\n", b"", "text: missing id of utt2spk (a-2)", "a-2"),
    "missing in wav.scp": ("wav.scp", b"b-2 ", b"b-3 ", "wav.scp: missing id of utt2spk (b-2)", "b-2 b-3"),
    "unknown in text": ("text", b"b-2 WORDS", b"b-3 X\nb-2 WORDS", "text, line 4: id is not in utt2spk (b-3)", "b-3"),
    "reserved word": ("text", b"OF A-2", b"<s> A-2", "text, line 2: reserved word in the transcript (a-2: <s>)", ""),
    "not printable": ("text", b"OF A-2", b"OF\x07A-2", "text, line 2: non-printable character (a-2: U+0007)", "a-2"),
    "ideographic space": ("text", b"OF A-2", "OF\u3000A".encode(), "(a-2: U+3000 IDEOGRAPHIC SPACE): --fix true makes it a plain space", ""),
    "zero-width space": ("text", b"OF A-2", "OF\u200b A".encode(), "(a-2: U+200B ZERO WIDTH SPACE): --fix true removes it", ""),
    "nothing but space": ("text", b"WORDS OF A-2", "\u3000".encode(), "text, line 2: empty transcript", "a-2"),
    "nothing but a reserved word": ("text", b"WORDS OF A-2", b"<s> </s>", "text, line 2: empty transcript", "a-2"),
    "no-break space after the id": ("text", b"a-2 ", "a-2\u00a0".encode(), "beside the id (a-2: U+00A0 NO-BREAK SPACE)", ""),
    "bom in an id": ("text", b"a-2 ", "\ufeffa-2 ".encode(), "beside the id (a-2: U+FEFF ZERO WIDTH NO-BREAK SPACE)", ""),
    "no-break space between ids": ("utt2spk", b"a-2 a", "a-2\u00a0a".encode(), "utt2spk, line 2: other white space", ""),
    "ideographic space after a speaker": ("utt2spk", b"a-2 a", "a-2 a\u3000".encode(), "utt2spk, line 2: other white space", ""),
    "tilde": ("wav.scp", b"a-2 ", b"a-2 ~", "wav.scp, line 2: ~ in wav.scp", "a-2"),
    "pipe": ("wav.scp", b"a-2.wav", b"a-2.wav cat |", "wav.scp, line 2: command instead of a path", "a-2"),
    "two speakers": ("utt2spk", b"a-2 a", b"a-2 a b", "utt2spk, line 2: more than one speaker", "a-2"),
    "gender": ("spk2gender", b"b f", b"b x", "spk2gender, line 2: gender other than m or f", ""),
    "no gender": ("spk2gender", b"b f\n", b"", "spk2gender: missing id of utt2spk (b)", ""),
    "spk2utt": ("spk2utt", b"a-1 a-2", b"a-1", "spk2utt, line 1: other utterances than in utt2spk (speaker a)", ""),
}


def test_sound(kaldi):
    assert messages(kaldi, audio=True) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_and_repair(kaldi, fault):
    name, old, new, message, dropped = FAULTS[fault]
    edit(kaldi / name, old, new)
    former = (kaldi / name).read_bytes()
    found = messages(kaldi)
    assert any(message in line for line in found), found
    result = fix(kaldi)
    assert sorted(result.dropped) == dropped.split()
    total = 4 + ("b-3" in dropped)
    assert result.summary == f"kept {total - len(dropped.split())} utterances out of {total}"
    assert messages(kaldi, audio=True) == []
    assert (kaldi / ".backup" / name).read_bytes() == former
    assert (kaldi / "bad_utts.txt").exists() == bool(dropped)
    if dropped:
        assert read_table(kaldi / "bad_utts.txt").rows.keys() == set(dropped.split())


@pytest.mark.parametrize(
    ("words", "mended"),
    [
        *((f"ONE{space}TWO{space} ", "ONE TWO") for space in "\u00a0\u1680\u2000\u2003\u2009\u200a\u202f\u205f\u3000\u2028\u0085\u2800\t"),
        *((f"ON{char}E TWO{char}", "ONE TWO") for char in "\u200b\ufeff\u00ad\u2060\u200e\u202c"),
        ("<s> ONE TWO </s>", "ONE TWO"),
        ("ONE <space> TWO <blank>", "ONE TWO"),
        ("می\u200cخواهم क्\u200dष", "می\u200cخواهم क्\u200dष"),
    ],
)
def test_fix_mends_the_transcript_and_keeps_the_utterance(kaldi, words, mended):
    edit(kaldi / "text", b"WORDS OF A-2", words.encode())
    (kaldi / "text").write_bytes((kaldi / "text").read_bytes().replace(b"\n", b"\r\n"))
    assert fix(kaldi, Rules(keep_all=True)).dropped == {}
    assert read_table(kaldi / "text").rows["a-2"] == mended
    assert messages(kaldi) == []


def test_non_print_leaves_the_characters(kaldi):
    edit(kaldi / "text", b"WORDS OF A-2", "ONE\u3000TWO".encode())
    assert messages(kaldi, printable=False) == []
    fix(kaldi, Rules(printable=False))
    assert read_table(kaldi / "text").rows["a-2"] == "ONE\u3000TWO"


@pytest.mark.parametrize("fault", ["no transcript", "not printable", "nothing but space", "missing in wav.scp", "unknown in text", "duplicate id"])
def test_a_test_set_loses_no_utterance(kaldi, fault):
    name, old, new, _, dropped = FAULTS[fault]
    edit(kaldi / name, old, new)
    before = {path.name: path.read_bytes() for path in kaldi.iterdir() if path.is_file()}
    with pytest.raises(UserError, match=rf"is a test set, of which --fix would drop \d utterances \({dropped.split()[0]}: .*correct them by hand"):
        fix(kaldi, Rules(keep_all=True))
    assert {path.name: path.read_bytes() for path in kaldi.iterdir() if path.is_file()} == before


def test_all_problems_are_collected(kaldi):
    for fault in ("crlf", "tilde", "spk2utt", "reserved word"):
        name, old, new, _, _ = FAULTS[fault]
        edit(kaldi / name, old, new)
    found = messages(kaldi)
    assert len(found) == 4 and all(FAULTS[fault][3] in " ".join(found) for fault in ("crlf", "tilde", "spk2utt", "reserved word"))


def test_many_of_a_kind_are_summed_up(kaldi):
    (kaldi / "text").write_bytes((kaldi / "text").read_bytes().replace(b"\n", b"\r\n"))
    lines = summarise(validate(kaldi))
    assert len(lines) == 4 and lines[-1] == "text: Windows line end (CRLF): 1 more, 4 in all"


@pytest.mark.parametrize("name", ["utt2spk", "text", "wav.scp", "spk2utt"])
def test_missing_and_empty_files(kaldi, name):
    (kaldi / name).write_bytes(b"")
    assert any(f"{name}: the file is empty" in line for line in messages(kaldi))
    (kaldi / name).unlink()
    assert any(f"{name}: the file is missing" in line for line in messages(kaldi))
    if name in ("spk2utt", "utt2spk"):  # each can be derived from the other
        fix(kaldi)
        assert messages(kaldi, audio=True) == []
    else:
        with pytest.raises(UserError, match=f"{name}: the file is missing"):
            fix(kaldi)
        assert messages(kaldi, text=name != "text", wav=name != "wav.scp") == []


def test_utf16(kaldi):
    (kaldi / "text").write_text((kaldi / "text").read_text(), encoding="utf-16")
    assert "text, line 1: the file is UTF-16: convert it: iconv" in messages(kaldi)[0]
    with pytest.raises(UserError, match="UTF-16"):
        fix(kaldi)


def test_nothing_left_changes_nothing(kaldi):
    (kaldi / "text").write_text("".join(f"{utt}\n" for utt in ("a-1", "a-2", "b-1", "b-2")))
    before = {path.name: path.read_bytes() for path in kaldi.iterdir()}
    with pytest.raises(UserError, match="has no valid utterance"):
        fix(kaldi)
    assert {path.name: path.read_bytes() for path in kaldi.iterdir()} == before


def test_speaker_order(kaldi):
    edit(kaldi / "utt2spk", b"a-2 a", b"a-2 c")
    edit(kaldi / "spk2utt", b"a a-1 a-2\nb b-1 b-2\n", b"a a-1\nb b-1 b-2\nc a-2\n")
    (kaldi / "spk2gender").unlink()
    assert "utt2spk, line 2: utterance id does not begin with its speaker id (a-2 c)" in messages(kaldi)[0]
    assert messages(kaldi, spk_sort=False) == []
    rows = {"a1-1": "a1", "a10-1": "a", "a2-1": "a2"}  # every id begins with its speaker, but the speakers are not sorted
    for name, values in {"utt2spk": rows, "text": dict.fromkeys(rows, "X"), "wav.scp": dict.fromkeys(rows, "x.wav")}.items():
        write_table(kaldi / name, values)
    write_table(kaldi / "spk2utt", {"a": "a10-1", "a1": "a1-1", "a2": "a2-1"})
    assert ["the speakers are not sorted (a1 comes before a)" in line for line in messages(kaldi)] == [True]


def test_segments(kaldi, tmp_path):
    segments = {"a-1": "rec1 0 0.2", "a-2": "rec1 0.2 0.4", "b-1": "rec2 0.1 -1", "b-2": "rec2 0 0.5"}
    write_table(kaldi / "segments", segments)
    write_table(kaldi / "wav.scp", {"rec1": str(tmp_path / "wav/a-1.wav"), "rec2": str(tmp_path / "wav/a-2.wav")})
    write_table(kaldi / "reco2dur", {"rec1": "0.5", "rec2": "0.5"})
    assert messages(kaldi, audio=True) == []
    whole = soundfile.read(tmp_path / "wav/a-1.wav", dtype="float32")[0]
    utts = {utt.id: utt.audio() for utt in KaldiDir.read(kaldi).utterances()}
    assert np.array_equal(utts["a-2"], whole[3200:6400]) and len(utts["b-1"]) == 6400
    for value, message in [
        ("rec1 0.2", "invalid segment"),
        ("rec1 0.4 0.2", "invalid segment"),
        ("rec1 0.2 nan", "invalid segment"),
        ("rec9 0 0.2", "recording is not in wav.scp"),
        ("rec1 0 9", "segment ends after its recording"),
    ]:
        write_table(kaldi / "segments", {**segments, "a-2": value})
        assert any(f"segments, line 2: {message}" in line for line in messages(kaldi)), value
    (kaldi / "reco2dur").unlink()
    assert messages(kaldi) == []  # without durations only the audio files show it
    assert ["segment ends after its recording" in line for line in messages(kaldi, audio=True)] == [True]
    (tmp_path / "wav/a-2.wav").unlink()
    result = fix(kaldi, Rules(audio=True))
    assert sorted(result.dropped) == ["a-2", "b-1", "b-2"] and list(result.data.wav) == ["rec1"]
    assert messages(kaldi, audio=True) == []
    with pytest.raises(UserError, match="RECORDING START END"):
        parse_segment("a", "rec one two")


def test_segments_agree_with_kaldiio(kaldi, tmp_path):
    """kaldiio reads the same samples from wav.scp and segments."""
    write_table(kaldi / "wav.scp", {"rec1": str(tmp_path / "wav/a-1.wav"), "rec2": str(tmp_path / "wav/a-2.wav")})
    write_table(kaldi / "segments", {"a-1": "rec1 0 0.25", "a-2": "rec1 0.125 0.375", "b-1": "rec2 0.125 0.5", "b-2": "rec2 0 0.5"})
    theirs = kaldiio.load_scp(str(kaldi / "wav.scp"), segments=str(kaldi / "segments"))
    for utt in KaldiDir.read(kaldi).utterances():
        rate, samples = theirs[utt.id]
        assert rate == 16000 and np.array_equal(utt.audio(), samples.astype(np.float32) / 32768)


def test_numbers(kaldi):
    write_table(kaldi / "utt2dur", {"a-1": "0.5", "a-2": "-1", "b-1": "x", "b-2": "nan"})
    assert len(messages(kaldi)) == 3 and "utt2dur, line 2: not a positive number" in messages(kaldi)[0]


def test_bad_audio_is_named(kaldi, tmp_path):
    wav = tmp_path / "wav"
    (wav / "a-1.wav").write_bytes(b"")
    (wav / "a-2.wav").write_bytes((wav / "a-2.wav").read_bytes()[:-100])
    samples = np.zeros(100, np.float32)
    samples[7] = np.nan
    soundfile.write(wav / "b-1.wav", samples, 16000, subtype="FLOAT")
    found = messages(kaldi, audio=True)
    assert len(found) == 3
    for line, utt, reason in zip(found, ("a-1", "a-2", "b-1"), ("0 bytes", "100 bytes fewer", "NaN"), strict=True):
        assert "wav.scp, line" in line and utt in line and reason in line and "--fix true drops it" in line
    result = fix(kaldi, Rules(audio=True))
    assert sorted(result.dropped) == ["a-1", "a-2", "b-1"]
    assert "NaN" in read_table(kaldi / "bad_utts.txt").rows["b-1"]


def test_relative_paths_count_from_audio_root(kaldi, tmp_path):
    write_table(kaldi / "wav.scp", {utt: f"wav/{utt}.wav" for utt in ("a-1", "a-2", "b-1", "b-2")})
    assert "give --audio_root" in messages(kaldi, audio=True)[0]
    assert messages(kaldi, audio=True, audio_root=tmp_path) == []
    tables = {path.name: read_table(path) for path in kaldi.iterdir()}
    accepted = accept(kaldi, tables, Rules(audio=True, audio_root=tmp_path), repairing=False)
    assert accepted.data.wav["a-1"] == str(tmp_path / "wav/a-1.wav")


def test_reading_is_strict(kaldi):
    edit(kaldi / "text", b"A-1\n", b"A-1\r\n")
    with pytest.raises(UserError, match="text, line 1: Windows line end.*validate_data"):
        KaldiDir.read(kaldi)
    with pytest.raises(UserError, match="not a folder"):
        KaldiDir.read(kaldi / "nowhere")
    (kaldi / "utt2spk").unlink()
    with pytest.raises(UserError, match="utt2spk is missing"):
        KaldiDir.read(kaldi)


def test_write_is_sorted_by_bytes_and_leaves_no_old_tables(kaldi, tmp_path):
    keys = ["b-1", "B-1", "ä-1", "a_1", "a-1", "中-1", "😀-1", "a-10"]
    data = KaldiDir({"utt2spk": {key: key for key in keys}, "wav.scp": dict.fromkeys(keys, "x.wav"), "text": dict.fromkeys(keys, "X")})
    data.write(kaldi)
    assert not (kaldi / "spk2gender").exists()
    content = (kaldi / "utt2spk").read_bytes()
    assert subprocess.run(["sort", "-c"], input=content, env={"LC_ALL": "C"}).returncode == 0
    assert messages(kaldi) == []
    assert KaldiDir.read(kaldi) == data
    assert read_2columns_text(kaldi / "utt2spk") == data.utt2spk, "ESPnet's reader sees the same"


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.text(st.characters(blacklist_categories=("Cs", "Cc", "Cf", "Zs", "Zl", "Zp"), blacklist_characters=BLANKS), min_size=1),
        st.text("AB Ä中'\u3000x").map(str.strip),
    )
)
def test_tables_round_trip(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "text"
    write_table(path, rows)
    assert read_table(path).rows == {key: split_line(f"{key} {value}")[1] for key, value in rows.items()}


def test_subset(kaldi):
    data = KaldiDir.read(kaldi)
    assert sorted(kaldi_ops.subset(data, first=1).utt2spk) == ["a-1"]
    last = kaldi_ops.subset(data, last=2)
    assert sorted(last.utt2spk) == ["b-1", "b-2"] and last.tables["spk2gender"] == {"b": "f"}
    assert sorted(kaldi_ops.subset(data, speakers=["b"], first=1).utt2spk) == ["b-1"]
    drawn = kaldi_ops.subset(data, num=2, seed=3)
    assert sorted(drawn.utt2spk) == sorted(random.Random(3).sample(sorted(data.utt2spk), 2))
    assert drawn == kaldi_ops.subset(data, num=2, seed=3) and drawn != kaldi_ops.subset(data, num=2, seed=0)
    for bad in ({"first": 5}, {"num": 0}, {"speakers": ["c"]}):
        with pytest.raises(UserError):
            kaldi_ops.subset(data, **bad)


def test_split_and_combine(kaldi):
    data = KaldiDir.read(kaldi)
    rest, part = kaldi_ops.split(data, 0.25, seed=1)
    assert len(rest) == 3 and len(part) == 1 and (rest, part) == kaldi_ops.split(data, 0.25, seed=1)
    assert kaldi_ops.combine([rest, part], ["rest", "part"]) == data
    with pytest.raises(UserError, match="in more than one of x, y"):
        kaldi_ops.combine([data, data], ["x", "y"])
    other = KaldiDir({"utt2spk": {"a-1": "a"}, "wav.scp": {"a-1": "other.wav"}, "text": {"a-1": "OTHER"}})
    with pytest.raises(UserError, match="a-1 has another value in another directory"):
        kaldi_ops.combine([data, other], ["x", "y"])
    del other.tables["text"]
    with pytest.raises(UserError, match="text is missing in y"):
        kaldi_ops.combine([data, other], ["x", "y"])
    for portion in (0, 1, 0.9, -1):
        with pytest.raises(UserError, match="cannot split"):
            kaldi_ops.split(data, portion)


def test_tables_without_utterances_are_refused(tmp_path):
    """As a corpus module makes them of a folder without recordings."""
    tables = {name: Table(tmp_path / name) for name in ("wav.scp", "text", "utt2spk")}
    with pytest.raises(UserError, match=f"{tmp_path} has no utterances"):
        accept(tmp_path, tables, Rules(audio=True), repairing=False)


def test_an_utterance_with_bad_audio_is_named(kaldi, tmp_path):
    (tmp_path / "wav/b-1.wav").write_bytes(b"")
    with pytest.raises(UserError, match="utterance b-1: .*0 bytes"):
        [utt.audio() for utt in KaldiDir.read(kaldi).utterances()]


def test_fix_unifies_ids_and_paths_before_it_drops(tmp_path, logged):
    """The same letters in another Unicode form are the same id; a path with a no-break space behind it is the path without."""
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16000)
    composed, decomposed = "s-\u00e9", "s-e\u0301"
    folder = tmp_path / "data"
    for name, rows in (("wav.scp", {composed: f"{tmp_path}/a.wav\u00a0"}), ("text", {decomposed: "WORDS"}), ("utt2spk", {composed: "s"})):
        write_table(folder / name, rows)
    found = "\n".join(messages(folder, audio=True))
    assert "the other file has the same letters in another Unicode form" in found
    assert f"{tmp_path}/a.wav does: the path has white space or an invisible character (U+00A0 NO-BREAK SPACE)" in found
    fix(folder, Rules(audio=True))
    assert read_table(folder / "text").rows == {composed: "WORDS"} and read_table(folder / "wav.scp").rows == {composed: f"{tmp_path}/a.wav"}
    assert messages(folder, audio=True) == []


def test_a_tilde_inside_a_path_is_a_letter(tmp_path):
    """As in short names of Windows; at the beginning it stands for a home that no command expands."""
    folder = tmp_path / "PROGRA~1"
    folder.mkdir()
    soundfile.write(folder / "a.wav", np.zeros(1600), 16000)
    for name, value in (("wav.scp", f"{folder}/a.wav"), ("text", "WORDS"), ("utt2spk", "s"), ("spk2utt", "s-1")):
        write_table(tmp_path / "data" / name, {"s" if name == "spk2utt" else "s-1": value})
    assert messages(tmp_path / "data", audio=True) == []
    write_table(tmp_path / "data" / "wav.scp", {"s-1": "~/a.wav"})
    assert "~ in wav.scp is not expanded" in "\n".join(messages(tmp_path / "data"))


def outcome(read, folder):
    try:
        data = read(folder)
        return {name: dict(rows) for name, rows in data.tables.items()}, list(data.utterances())
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("name", FAULTS)
def test_a_directory_on_disk_is_read_as_one_in_memory(kaldi, name):
    """The same tables, utterances and errors; spk2utt alone is not looked at."""
    file, old, new, *_ = FAULTS[name]
    assert outcome(KaldiDir.on_disk, kaldi) == outcome(KaldiDir.read, kaldi) and len(outcome(KaldiDir.on_disk, kaldi)[1]) == 4
    edit(kaldi / file, old, new)
    assert file == "spk2utt" or outcome(KaldiDir.on_disk, kaldi) == outcome(KaldiDir.read, kaldi)


def test_segments_parts_and_channels_on_disk(kaldi, tmp_path):
    data = KaldiDir.read(kaldi)
    parts = KaldiDir({**data.tables, "utt2parts": {"a-1": "a-1 a-2", "a-2": "a-2", "b-1": "b-2 b-1", "b-2": "b-2"}})
    segments = {"a-1": "a-1 0 0.2", "a-2": "a-1 0.2 0.4", "b-1": "b-1 0.1 -1", "b-2": "b-1 0 0.5 1"}
    channels = {"segments": segments, "reco2file_and_channel": {utt: f"{utt} A" for utt in data.utt2spk}}
    for tables in (parts, KaldiDir({**data.tables, **channels})):
        tables.write(tmp_path / "other")
        on_disk = KaldiDir.on_disk(tmp_path / "other")
        assert isinstance(on_disk.utt2spk, KeyedLines) and list(on_disk.utterances()) == list(tables.utterances())
        assert [on_disk.utterance(utt, on_disk.channels()) for utt in sorted(tables.utt2spk)] == list(tables.utterances())
