"""Small corpora and data directories, a new one for every test."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

WORDS = {"1-10-0000": "ONE SMALL STEP", "1-10-0001": "AND ANOTHER", "1-11-0000": "IT'S MINE", "20-5-0000": "LAST ONE"}


def write_audio(path: Path, seconds: float = 0.5, rate: int = 16000, **options) -> Path:
    """Writes noise, which differs between file names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(len(str(path.name)) + sum(path.name.encode())).normal(size=int(seconds * rate))
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.fixture
def make_audio():
    return write_audio


@pytest.fixture
def libri(tmp_path) -> Path:
    """A corpus in LibriSpeech's layout: dev-clean with four utterances of the speakers 1 and 20, and SPEAKERS.TXT."""
    corpus = tmp_path / "LibriSpeech"
    for utt in WORDS:
        speaker, chapter, _ = utt.split("-")
        write_audio(corpus / "dev-clean" / speaker / chapter / f"{utt}.flac")
    for chapter in ("1-10", "1-11", "20-5"):
        lines = [f"{utt} {words}\n" for utt, words in WORDS.items() if utt.startswith(chapter + "-")]
        corpus.joinpath("dev-clean", *chapter.split("-"), f"{chapter}.trans.txt").write_text("".join(lines))
    header = "; comment | M | dev-clean\n;ID  |SEX| SUBSET           |MINUTES| NAME\n"
    (corpus / "SPEAKERS.TXT").write_text(header + "1    | F | dev-clean        | 25.03 | A | B\n20   | M | dev-clean | 8.1 | C\n")
    return corpus


@pytest.fixture
def kaldi(tmp_path) -> Path:
    """A valid data directory of four utterances and two speakers with audio."""
    folder = tmp_path / "kaldi"
    folder.mkdir()
    utts = ["a-1", "a-2", "b-1", "b-2"]
    rows = {
        "wav.scp": [f"{utt} {write_audio(tmp_path / 'wav' / f'{utt}.wav')}" for utt in utts],
        "text": [f"{utt} WORDS OF {utt.upper()}" for utt in utts],
        "utt2spk": [f"{utt} {utt[0]}" for utt in utts],
        "spk2utt": ["a a-1 a-2", "b b-1 b-2"],
        "spk2gender": ["a m", "b f"],
    }
    for name, lines in rows.items():
        (folder / name).write_text("".join(line + "\n" for line in lines))
    return folder
