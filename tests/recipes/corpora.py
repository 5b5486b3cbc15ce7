"""Small corpora in the layouts of the real ones: empty ones for dry runs, and synthesised ones of a few dozen utterances of 1 to 16 s."""

import itertools
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from asrlib.corpora import aishell1, librispeech
from asrlib.corpora.kaldi_dir import KaldiDir, Utterance
from asrlib.corpora.mini import synthesise_librispeech
from asrlib.corpora.mini_aishell1 import synthesise_aishell1

RATE = 16000
SECONDS = (1, 2, 3, 5, 8, 11, 14, 16)  # of the utterances, in turn
LIBRISPEECH = {
    **dict.fromkeys(("train-clean-100", "train-clean-360", "train-other-500"), 24),
    **dict.fromkeys(("dev-clean", "dev-other", "test-clean", "test-other"), 4),
}
AISHELL1 = {"train": 48, "dev": 8, "test": 8}
AISHELL2 = 96
KALDI = {"train": 48, "test": 8}
AN4 = {"train": ("an4_clstk", 140), "test": ("an4test_clstk", 8)}  # the first hundred training utterances are for validation


def folders(top: Path) -> dict[str, Path]:
    """Directories of the corpora, by their names in egs/recipes.csv."""
    names = {"librispeech": "LibriSpeech", "aishell1": "data_aishell", "aishell2": "AISHELL-2", "kaldi": "kaldi", "an4": "an4"}
    return {corpus: top / name for corpus, name in names.items()}


def make_empty(top: Path) -> dict[str, Path]:
    """Only the files and directories that recipes check before stage 0."""
    places = folders(top)
    for name in LIBRISPEECH:
        (places["librispeech"] / name).mkdir(parents=True)
    for name in ("wav", "transcript"):
        (places["aishell1"] / name).mkdir(parents=True)
    for name in ("etc", "wav"):
        (places["an4"] / name).mkdir(parents=True)
    for path in (
        *(places["aishell2"] / "iOS/data" / name for name in ("wav.scp", "trans.txt")),
        *(places["kaldi"] / name / "wav.scp" for name in KALDI),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return places


def make_spoken(top: Path, work: Path) -> dict[str, Path]:
    """Corpora of sentences from the mini corpora, which are synthesised in `work`."""
    synthesise_librispeech(work, train_minutes=20, dev_minutes=1, test_minutes=1, other_minutes=1)
    synthesise_aishell1(work, train_minutes=25, dev_minutes=1, test_minutes=1)
    options = Namespace(train_sets=["train-clean-100"], valid_sets=[], test_sets=[], check_counts="auto", audio=False, fix=False)
    english = librispeech.prepare_data(work / "LibriSpeech", options)["train"].data
    mandarin = aishell1.prepare_data(work / "data_aishell", options)["train"].data
    places = folders(top)
    _librispeech(places["librispeech"], _pieces(english))
    pieces = _pieces(mandarin)
    _aishell1(places["aishell1"], pieces)
    _aishell2(places["aishell2"], pieces)
    _kaldi(places["kaldi"], _pieces(english))
    _an4(places["an4"], _pieces(english))
    return places


def _pieces(data: KaldiDir) -> Iterator[tuple[np.ndarray, str]]:
    """Endless pairs of audio and text with the durations SECONDS in turn: joined sentences, the last one truncated together with its text."""
    sentences: Iterator[Utterance] = itertools.cycle(data.utterances())
    for seconds in itertools.cycle(SECONDS):
        parts, texts, wanted = [], [], seconds * RATE
        while wanted:
            sentence = next(sentences)
            audio, words = sentence.audio(RATE), sentence.text.split() if " " in sentence.text else list(sentence.text)
            kept = audio[:wanted]
            texts.append((" " if " " in sentence.text else "").join(words[: max(1, len(words) * len(kept) // len(audio))]))
            parts.append(kept)
            wanted -= len(kept)
        yield np.concatenate(parts), " ".join(texts)


def _write(path: Path, audio: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio, RATE, subtype="PCM_16")


def _librispeech(corpus: Path, pieces: Iterator[tuple[np.ndarray, str]]) -> None:
    """SET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac, four utterances of a speaker, and SPEAKERS.TXT."""
    speaker, rows = 100, []
    for name, count in LIBRISPEECH.items():
        for first in range(0, count, 4):
            speaker += 1
            chapter = corpus / name / f"{speaker}" / f"{speaker}000"
            rows.append(f"{speaker} | M | {name} | 1.00 | Somebody\n")
            lines = []
            for index in range(min(4, count - first)):
                audio, text = next(pieces)
                utt = f"{speaker}-{speaker}000-{index:04d}"
                _write(chapter / f"{utt}.flac", audio)
                lines.append(f"{utt} {text}\n")
            (chapter / f"{speaker}-{speaker}000.trans.txt").write_text("".join(lines))
    (corpus / "SPEAKERS.TXT").write_text("".join(rows))


def _aishell1(corpus: Path, pieces: Iterator[tuple[np.ndarray, str]]) -> None:
    """wav/SET/SNNNN/BAC009SNNNNWNNNN.wav and the transcript."""
    lines = []
    for (name, count), speaker in zip(AISHELL1.items(), (2, 724, 764), strict=True):
        for index in range(count):
            audio, text = next(pieces)
            person = f"S{speaker + index // 8:04d}"
            utt = f"BAC009{person}W{121 + index:04d}"
            _write(corpus / "wav" / name / person / f"{utt}.wav", audio)
            lines.append(f"{utt} {text}\n")
    (corpus / "transcript").mkdir()
    (corpus / "transcript/aishell_transcript_v0.8.txt").write_text("".join(lines), encoding="utf-8")


def _aishell2(corpus: Path, pieces: Iterator[tuple[np.ndarray, str]]) -> None:
    """iOS/data/{wav/CNNNN/ICNNNNWNNNN.wav,wav.scp,trans.txt}."""
    data, places, texts = corpus / "iOS/data", [], []
    for index in range(AISHELL2):
        audio, text = next(pieces)
        person = f"C{1 + index // 24:04d}"
        utt = f"I{person}W{1 + index:04d}"
        _write(data / "wav" / person / f"{utt}.wav", audio)
        places.append(f"{utt}\twav/{person}/{utt}.wav\n")
        texts.append(f"{utt}\t{text.replace(' ', '')}\n")
    (data / "wav.scp").write_text("".join(places))
    (data / "trans.txt").write_text("".join(texts), encoding="utf-8")


def _kaldi(corpus: Path, pieces: Iterator[tuple[np.ndarray, str]]) -> None:
    """train and test with wav.scp, text and utt2spk."""
    for name, count in KALDI.items():
        tables = {"wav.scp": [], "text": [], "utt2spk": []}
        for index in range(count):
            audio, text = next(pieces)
            utt, speaker = f"{name}{index // 8}-{index:03d}", f"{name}{index // 8}"
            _write(corpus / "wav" / f"{utt}.wav", audio)
            for table, value in zip(tables.values(), (corpus / "wav" / f"{utt}.wav", text, speaker), strict=True):
                table.append(f"{utt} {value}\n")
        for table, lines in tables.items():
            (corpus / name).mkdir(exist_ok=True)
            (corpus / name / table).write_text("".join(lines))


def _an4(corpus: Path, pieces: Iterator[tuple[np.ndarray, str]]) -> None:
    """etc/an4_SET.{fileids,transcription} and SPHERE files in wav."""
    (corpus / "etc").mkdir(parents=True)
    for name, (folder, count) in AN4.items():
        ids, lines = [], []
        for index in range(count):
            audio, text = next(pieces)
            speaker = f"{name[0]}{index // 20:03d}"
            utt = f"an{index:03d}-{speaker}-b"
            path = corpus / "wav" / folder / speaker / f"{utt}.sph"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, audio, RATE, format="NIST", subtype="PCM_16")
            ids.append(f"{folder}/{speaker}/{utt}\n")
            lines.append(f"<s> {text} </s> ({utt})\n" if name == "train" else f"{text} ({utt})\n")
        (corpus / f"etc/an4_{name}.fileids").write_text("".join(ids))
        (corpus / f"etc/an4_{name}.transcription").write_text("".join(lines))
