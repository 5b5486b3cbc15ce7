"""Transcription of files by a model that hears the level of the sound: names, formats, and files that cannot be read."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

import asrlib
from asrlib.api.model import Model
from asrlib.api.result import Result
from asrlib.api.transcribe import find_audio, formatted
from asrlib.bin import transcribe as command
from asrlib.config.base import build
from asrlib.decode.beam import BeamConfig
from asrlib.decode.longform import Word
from asrlib.utils.errors import UserError

TOKENS = ["A", "B", "<space>", "<blank>"]
RATE, HOP = 16000, 1600
LEVELS = {"A": 0.1, "B": 0.3, "<space>": 0.5, "<blank>": 0.7}


class Levels:
    """The token of each 0.1 s is that of its level; clips shorter than that have no frames."""

    rate, tokens, blank, separator = RATE, TOKENS, 3, ""

    def log_probs(self, audios):
        frames = [np.abs(audio[: len(audio) // HOP * HOP]).reshape(-1, HOP).mean(1) for audio in audios]
        return [-50 * np.abs(x[:, None] - np.array([LEVELS[token] for token in TOKENS])).astype(np.float32) for x in frames]


@pytest.fixture(autouse=True)
def model(monkeypatch):
    asked = []
    monkeypatch.setattr(asrlib, "load", lambda path, **options: asked.append((path, options)) or loaded(**options))
    return asked


def loaded(mode=None, search=None, **_):
    return Model(Levels(), "mindspore", mode or "greedy", build(BeamConfig, search or {}, "options"))


def sound(text):
    """Samples that are transcribed as the text."""
    tokens = [token for letter in text for token in ("<space>" if letter == " " else letter, "<blank>")]
    return np.repeat([LEVELS[token] for token in tokens], HOP) if text else np.full(100, 0.1)


def say(path, text, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound(text), RATE, **options)
    return path


def run(tmp_path, *words):
    """(exit code, content of the output file)."""
    code = command.main(["--model", "exp", "--out", str(tmp_path / "out"), *map(str, words)])
    return code, (tmp_path / "out").read_text(encoding="utf-8") if (tmp_path / "out").is_file() else ""


def test_text_and_folders(tmp_path):
    say(tmp_path / "in/b.flac", "B A")
    say(tmp_path / "in/deep/a.WAV", "AB")
    say(tmp_path / "in/._a.wav", "A")
    (tmp_path / "in/notes.txt").write_text("none")
    assert run(tmp_path, tmp_path / "in") == (0, "b B A\na AB\n")


@pytest.mark.parametrize("form", ["text", "ctm"])
def test_lines_can_be_parsed_whatever_the_names(tmp_path, form):
    names = ["my talk", "安 宁", 'l\'été "1"', "tab\there", "new\nline", ";;comment", "-rf", "\u3000wide", "a\u2028b"]
    names.append(unicodedata.normalize("NFD", "Hiếu"))
    for name in names:
        say(tmp_path / "in" / f"{name}.wav", "AB A")
    code, content = run(tmp_path, "--format", form, tmp_path / "in")
    lines = content.split("\n")[:-1]
    assert code == 0 and content.splitlines() == lines and not any(line.startswith(";;") for line in lines)
    if form == "text":
        assert [line.split(" ")[1:] for line in lines] == [["AB", "A"]] * len(names)
    else:
        fields = [line.split() for line in lines]
        assert all(len(row) == 6 and row[1] == "1" and float(row[2]) >= 0 and float(row[3]) > 0 and float(row[5]) == 1 for row in fields)
        assert [row[4] for row in fields] == ["AB", "A"] * len(names)
    assert len({line.split()[0] for line in lines}) == len(names)


def test_equal_names_get_their_folders(tmp_path):
    for folder, text in (("a", "A"), ("b b", "B")):
        say(tmp_path / folder / "x.wav", text)
    assert run(tmp_path, tmp_path / "a", tmp_path / "b b/x.wav", tmp_path / "a/x.wav") == (0, "a_x A\nb_b_x B\n")


def test_subtitles_have_names_of_their_own(tmp_path):
    for folder in ("a", "b"):
        say(tmp_path / folder / "x.wav", "AB A")
    command.main(["--model", "exp", "--format", "srt", "--out", str(tmp_path / "subtitles"), str(tmp_path / "a"), str(tmp_path / "b")])
    assert sorted(path.name for path in (tmp_path / "subtitles").iterdir()) == ["a_x.srt", "b_x.srt"]


def test_bad_files_are_passed_over_by_name(tmp_path, logged):
    good = say(tmp_path / "good.wav", "A")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "folder").mkdir()
    soundfile.write(tmp_path / "call.wav", np.stack([sound("A"), sound("B")], 1), RATE)
    bad = [tmp_path / "none.wav", tmp_path / "empty.wav", tmp_path / "folder", tmp_path / "call.wav"]
    assert run(tmp_path, *bad, good) == (1, "good A\n")
    faults = [line for line in logged if line.startswith("passed over: ")]
    assert len(faults) == 4 and all(any(str(path) in line for line in faults) for path in bad)
    assert logged[-1] == "1 files transcribed, 4 passed over"


def test_one_channel(tmp_path):
    soundfile.write(tmp_path / "call.wav", np.stack([sound("A"), sound("B")], 1), RATE)
    assert run(tmp_path, "--channel", "2", tmp_path / "call.wav") == (0, "call B\n")
    assert run(tmp_path, "--channel", "2", "--format", "ctm", tmp_path / "call.wav") == (0, "call 2 0.00 0.10 B 1.00\n")
    assert run(tmp_path, "--channel", "3", tmp_path / "call.wav") == (1, "")
    with pytest.raises(SystemExit):
        run(tmp_path, "--channel", "0", tmp_path / "call.wav")


@pytest.mark.parametrize("form", ["text", "json", "ctm", "srt", "vtt"])
def test_clips_that_are_too_short_have_an_empty_text(tmp_path, form):
    path = say(tmp_path / "a.wav", "")
    if form in command.SUBTITLES:
        assert command.main(["--model", "exp", "--format", form, "--out", str(tmp_path), str(path)]) == 0
        assert (tmp_path / f"a.{form}").read_text() == {"srt": "", "vtt": "WEBVTT\n"}[form]
        return
    code, content = run(tmp_path, "--format", form, path)
    assert code == 0 and (json.loads(content)["text"] == "" if form == "json" else content == {"text": "a\n", "ctm": ""}[form])
    assert run(tmp_path, "--mode", "beam", path) == (0, "a\n")


def test_a_last_window_that_is_too_short(tmp_path):
    """Windows of 0.5 s without overlap over 1 s and a few samples."""
    soundfile.write(tmp_path / "a.wav", np.concatenate([sound("AB AB"), np.full(20, 0.1)]), RATE)
    assert run(tmp_path, "--window", "0.5", "--overlap", "0", tmp_path / "a.wav") == (0, "a AB AB\n")


def test_json_names_the_file(tmp_path):
    path = say(tmp_path / "my talk.wav", "AB")
    row = json.loads(run(tmp_path, "--format", "json", path)[1])
    assert (row["name"], row["audio"], row["text"], row["seconds"]) == ("my_talk", str(path), "AB", 0.4)


def test_names_that_are_no_utf8(tmp_path):
    path = tmp_path / "caf\udce9.wav"
    soundfile.write(tmp_path / "x.wav", sound("A"), RATE)
    (tmp_path / "x.wav").rename(path)
    assert run(tmp_path, path) == (0, "caf\ufffd A\n")
    assert json.loads(run(tmp_path, "--format", "json", path)[1])["name"] == "caf\ufffd"


def test_files_of_folders(tmp_path):
    say(tmp_path / "a/x.wav", "A")
    (tmp_path / "a/y.wav").mkdir()
    files, faults = find_audio([tmp_path / "a", tmp_path / "a/x.wav"])
    assert files == {tmp_path / "a/x.wav": "x"} and faults == []


def test_options_reach_the_model(tmp_path, model):
    path = say(tmp_path / "a.wav", "AB")
    words = ["--framework", "onnx", "--lm", "words.arpa", "--inference_args", "beam_size=5", "--hotwords", "AB,A B", "--hotword_weight", "2"]
    assert run(tmp_path, "--mode", "beam", *words, "--device", "Ascend", path) == (0, "a AB\n")
    search = {"beam_size": 5, "hotwords": ("AB", "A B"), "hotword_weight": 2.0}
    expected = {"mode": "beam", "lm": Path("words.arpa"), "search": search, "framework": "onnx", "device": "npu"}
    assert model == [(Path("exp"), expected)]


def test_hypotheses_and_confidences_in_json(tmp_path):
    row = json.loads(run(tmp_path, "--format", "json", "--mode", "beam", "--nbest", "3", say(tmp_path / "a.wav", "AB A"))[1])
    assert [(word["word"], word["begin"], word["end"], word["confidence"]) for word in row["words"]] == [
        ("AB", 0, 0.3, 0.999),
        ("A", 0.6, 0.7, 0.999),
    ]
    scores = [hypothesis["score"] for hypothesis in row["nbest"]]
    assert row["nbest"][0] == {"text": "AB A", "score": scores[0]} and len(scores) == 3 and scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("words", [["--nbest", "2"], ["--nbest", "0"], ["--window", "2", "--overlap", "2"]])
def test_options_that_do_not_fit(tmp_path, words):
    with pytest.raises(SystemExit):
        run(tmp_path, *words, "a.wav")


def test_hotwords_need_a_search(tmp_path):
    with pytest.raises(UserError, match="mode 'greedy' takes no hot words: choose beam"):
        run(tmp_path, "--hotwords", "AB", say(tmp_path / "a.wav", "AB"))
    with pytest.raises(UserError, match="hot word 'ab': the tokens have no 'a'"):
        run(tmp_path, "--mode", "beam", "--hotwords", "ab", tmp_path / "a.wav")


def test_subtitles_of_mandarin_have_no_spaces():
    words = tuple(Word(char, i, i + 1.0) for i, char in enumerate("天气A"))
    for form in command.SUBTITLES:
        assert "天气A" in formatted(Result("天气A", 3.0, words, ()), Path("a"), "a", form)
        assert "A B" in formatted(Result("A B", 2.0, (Word("A", 0, 1), Word("B", 1, 2)), ()), Path("a"), "a", form)
