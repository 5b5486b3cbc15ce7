import pytest

from asrlib.score.texts import read_text, read_texts, read_utt2spk, speakers_beside, split_units, width
from asrlib.utils.errors import UserError


@pytest.fixture
def write(tmp_path):
    def make(content: bytes, name="text"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return make


def test_reads_ids_and_words(write):
    path = write("u2  HELLO   WORLD\nu1\nu3\t你好 世界\n".encode())
    assert read_text(path) == {"u2": "HELLO WORLD", "u1": "", "u3": "你好 世界"}


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_the_words(write):
    assert read_text(write(b"\xef\xbb\xbfu1 A B\r\nu2 C\r\n")) == {"u1": "A B", "u2": "C"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"u1 A\nu2 B\nu1 A\n", r"text:3: duplicate utterance 'u1', also in line 1"),
        (b"u1 A\n\nu2 B\n", r"text:2: empty line"),
        (b"u1 A\nu2 caf\xe9\n", r"text:2: not UTF-8 \(byte 0xe9\)"),
    ],
)
def test_faults_name_the_line(write, content, message):
    with pytest.raises(UserError, match=message):
        read_text(write(content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothere: no such file"):
        read_text(tmp_path / "nothere")


def test_speakers(write, tmp_path):
    assert speakers_beside(tmp_path / "text") is None
    write(b"u1 s1\nu2 s2\n", "utt2spk")
    assert speakers_beside(tmp_path / "text") == {"u1": "s1", "u2": "s2"}
    with pytest.raises(UserError, match="'u2' has '' instead of one speaker id"):
        read_utt2spk(write(b"u1 s1\nu2\n"))


def test_units():
    assert split_units("AB C", "word") == ["AB", "C"]
    assert split_units("AB C", "char") == ["A", "B", "C"]
    assert split_units("今天 天气", "char") == ["今", "天", "天", "气"]
    assert split_units("", "word") == split_units("", "char") == []


def test_width_on_the_screen():
    assert width("AB") == 2
    assert width("你好") == 4
    assert width("e\u0301") == 1  # e and a combining acute accent


def test_files_in_the_format_of_sclite(write):
    trn, other = write(b"HELLO  WORLD (spk-u1)\n(spk-u2)\n", "trn"), write(b"spk-u1 HELLO\nspk-u2\n", "other")
    expected = {"spk-u1": "HELLO WORLD", "spk-u2": ""}
    assert read_texts(trn) == [expected]
    assert read_texts(other, trn) == [{"spk-u1": "HELLO", "spk-u2": ""}, expected]
    assert read_texts(trn, trn) == [expected, expected]


def test_optional_words_at_the_end_of_every_line_are_no_ids(write):
    ref, hyp = write(b"u1 YES (uh-huh)\nu2 NO (mm-hm)\n", "ref"), write(b"u2 NO\nu1 YES\n", "hyp")
    assert read_texts(ref, hyp) == [{"u1": "YES (uh-huh)", "u2": "NO (mm-hm)"}, {"u2": "NO", "u1": "YES"}]
    assert read_texts(write(b"u1 YES (uh)\n", "ref"))[0] == {"u1": "YES (uh)"}


def test_a_tag_is_one_character():
    assert split_units("<NOISE>今天 [noise]", "char") == ["<NOISE>", "今", "天", "[noise]"]
