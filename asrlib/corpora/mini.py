"""The mini corpora: synthesised speech in the layouts of real corpora, so that whole recipes run in minutes.

The English one has LibriSpeech's layout and set names. espeak-ng speaks sentences of a grammar; sets share neither sentences nor voices (a
variant of a voice is in one set only). Each speaker has a room, a speaking rate and a pitch; each utterance has small deviations from these, and
noise. The same options and seed give the same bytes, whatever `nj`.
"""

import hashlib
import io
import json
import shutil
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from asrlib.corpora import acoustics, espeak, grammar
from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_directory, atomic_write
from asrlib.utils.log import get_logger
from asrlib.utils.progress import progress

log = get_logger(__name__)

VERSION = 1  # of the synthesis: raise it if the same options give other bytes
MARK = ".synthesised.json"
ROOM = 2**31  # seed of a speaker's room, apart from the indices of the utterances
SILENCE, SECONDS_PER_LETTER = 0.66, 8.95  # fitted: seconds = SILENCE + SECONDS_PER_LETTER * letters / rate, +- 0.2


@dataclass(frozen=True)
class Set:
    """A set of the corpus: first speaker number, noise in dB, share of the sentences (grammar.sentences), voices (language, variants, sex)."""

    first_speaker: int
    snr: tuple[float, float]
    share: range
    voices: tuple[tuple[str, str, str], ...]


SETS = {
    "train-clean-100": Set(
        101,
        (12, 30),
        range(3, 16),
        (
            ("en-us", "m2 m5 Alex Mario Andy rob adam mike2", "M"),
            ("en-us", "f2 f5 Annie grandma steph aunty", "F"),
            ("en", "m4 m6 Mike marcelo sandro klatt3", "M"),
            ("en", "f1 Alicia shelby", "F"),
            ("en-gb-x-rp", "m8 Denis boris quincy", "M"),
            ("en-gb-x-rp", "anika Andrea", "F"),
            ("en-gb-scotland", "Lee john pablo", "M"),
            ("en-029", "gustave travis", "M"),
            ("en-us-nyc", "david norbert Nguyen", "M"),
            ("en-gb-x-gbclan", "kaukovalta Diogo", "M"),
            ("en-gb-x-gbcwmd", "RicishayMax", "M"),
        ),
    ),
    "dev-clean": Set(201, (12, 30), range(2, 3), (("en-us", "m1", "M"), ("en", "linda", "F"), ("en-us", "robert", "M"))),
    "test-clean": Set(
        301, (12, 30), range(1), (("en-us", "m3 Michael", "M"), ("en-us", "f4", "F"), ("en-gb-x-rp", "belinda", "F"), ("en", "max", "M"))
    ),
    "test-other": Set(401, (5, 12), range(1, 2), (("en-us", "m7 michel", "M"), ("en-us", "f3", "F"), ("en-us-nyc", "victor", "M"))),
}


@dataclass(frozen=True)
class Speaker:
    number: int
    sex: str
    voice: str
    rate: float  # words per minute
    pitch: float  # 0-100
    pitch_range: float  # 0-100


@dataclass(frozen=True)
class Utterance:
    id: str
    speaker: Speaker
    text: str
    rate: int
    pitch: int
    snr: float
    seed: int


@dataclass(frozen=True)
class Style:
    """Properties of a corpus's language and layout: range of words per minute, utterance id of (speaker, index), seconds of (text, rate)."""

    rates: tuple[float, float]
    name: Callable[[int, int], str]
    seconds: Callable[[str, float], float]


STYLE = Style(
    (145, 190),
    lambda speaker, index: f"{speaker}-{1000 * speaker + index // 20}-{index % 20:04d}",  # chapters of 20
    lambda text, rate: SILENCE + SECONDS_PER_LETTER * len(text) / rate,
)


def download_data(download_dir: Path, options: Namespace) -> None:
    """What the command download does (asrlib.corpora.registry): `synthesise_librispeech`."""
    synthesise_librispeech(download_dir, options.seed)


def synthesise_librispeech(
    download_dir: str | Path,
    seed: int = 0,
    nj: int = 2,
    train_minutes: float = 80,
    dev_minutes: float = 4,
    test_minutes: float = 6,
    other_minutes: float = 4,
) -> dict[str, dict]:
    """Writes download_dir/LibriSpeech/{train-clean-100,dev-clean,test-clean,test-other}/SPEAKER/CHAPTER/*.flac and SPEAKERS.TXT.

    The minutes are met within a few percent. Sets are written atomically; a complete set with the same options is kept, one with other options
    is replaced. nj: synthesiser processes, each with a thread. Returns utterances, minutes, words and vocabulary of each set.
    UserError: espeak-ng cannot be loaded; an existing set was not synthesised.
    """
    corpus = Path(download_dir) / "LibriSpeech"
    minutes = dict(zip(SETS, (train_minutes, dev_minutes, test_minutes, other_minutes), strict=True))
    facts = {}
    for name in SETS:
        utterances = plan(name, seed, minutes[name])
        options = hashlib.sha256(json.dumps([VERSION, [asdict(utterance) for utterance in utterances]]).encode()).hexdigest()
        facts[name] = complete(corpus / name, options) or _synthesise(corpus / name, utterances, options, seed, nj)
        fact = facts[name]
        words = f"{fact['words']} words, vocabulary {fact['vocabulary']}"
        log.info(f"{name}: {fact['utterances']} utterances, {fact['minutes']:.1f} minutes, {len(fact['speakers'])} speakers, {words}")
    _write_speakers(corpus / "SPEAKERS.TXT", facts)
    return facts


def plan(name: str, seed: int, minutes: float) -> list[Utterance]:
    """The utterances of a set in the order of their ids: speaker, text and voice settings."""
    part = SETS[name]
    return plan_set(part, STYLE, grammar.sentences(grammar.ENGLISH, seed, part.share), seed, minutes)


def plan_set(part: Set, style: Style, texts: Iterator[str], seed: int, minutes: float) -> list[Utterance]:
    """The utterances of all speakers of a set, with equal minutes per speaker."""
    speakers = list(_speakers(part, style, seed))
    seconds = minutes * 60 / len(speakers)
    return [utterance for speaker in speakers for utterance in _plan_speaker(speaker, style, texts, part.snr, seed, seconds)]


def _speakers(part: Set, style: Style, seed: int) -> Iterator[Speaker]:
    voices = [(f"{language}+{variant}", sex) for language, variants, sex in part.voices for variant in variants.split()]
    for number, (voice, sex) in enumerate(voices, part.first_speaker):
        rng = np.random.default_rng([seed, number])
        yield Speaker(number, sex, voice, rng.uniform(*style.rates), rng.uniform(38, 62), rng.uniform(35, 65))


def _plan_speaker(speaker: Speaker, style: Style, texts: Iterator[str], snr: tuple[float, float], seed: int, seconds: float) -> Iterator[Utterance]:
    index = 0
    while seconds > 0:
        rng = np.random.default_rng([seed, speaker.number, index])
        text = next(texts)
        rate, pitch = speaker.rate * rng.uniform(0.9, 1.1), speaker.pitch + rng.uniform(-6, 6)
        utt = style.name(speaker.number, index)
        yield Utterance(utt, speaker, text, round(rate), round(pitch), round(rng.uniform(*snr), 2), int(rng.integers(1, 2**31)))
        seconds -= style.seconds(text, rate)
        index += 1


def complete(folder: Path, options: str) -> dict | None:
    """The facts of a set that was synthesised with the same options, else None. UserError: the set was not synthesised."""
    mark = folder / MARK
    if folder.exists() and not mark.exists():
        raise UserError(f"{folder} exists and was not synthesised: remove it, or give another --download_dir")
    facts = json.loads(mark.read_text()) if mark.exists() else {}
    return facts if facts.get("options") == options else None


def _synthesise(folder: Path, utterances: list[Utterance], options: str, seed: int, nj: int) -> dict:
    remove_temporary(folder)
    with atomic_directory(folder) as temporary:
        seconds = write_audio(temporary, utterances, _place, seed, nj, desc=f"speaking {folder.name}")
        _write_texts(temporary, utterances)
        facts = {"options": options} | facts_of(utterances, seconds)
        with atomic_write(temporary / MARK) as stream:
            json.dump(facts, stream, indent=1)
    return facts


def remove_temporary(folder: Path) -> None:
    """Removes temporary folders that an interrupted run left beside `folder`."""
    for temporary in folder.parent.glob(f".{folder.name}.*.tmp"):
        shutil.rmtree(temporary)


def facts_of(utterances: list[Utterance], seconds: dict[str, float]) -> dict:
    """Utterances, minutes, words, vocabulary, and sex, voice and minutes of each speaker."""
    words = [word for utterance in utterances for word in utterance.text.split()]
    speakers: dict[str, dict] = {}
    for utterance in utterances:
        speaker = utterance.speaker
        entry = speakers.setdefault(str(speaker.number), {"sex": speaker.sex, "voice": speaker.voice, "minutes": 0.0})
        entry["minutes"] += seconds[utterance.id] / 60
    minutes = sum(seconds.values()) / 60
    return {"utterances": len(utterances), "minutes": minutes, "words": len(words), "vocabulary": len(set(words)), "speakers": speakers}


def write_audio(
    folder: Path, utterances: list[Utterance], place: Callable[[Path, Utterance], Path], seed: int, nj: int, desc: str
) -> dict[str, float]:
    """Writes the files place(folder, utterance), flac or wav; returns utterance id -> seconds. Each thread has its own synthesiser."""
    rooms = {u.speaker.number: acoustics.room_response(np.random.default_rng([seed, u.speaker.number, ROOM])) for u in utterances}
    own, synthesisers = threading.local(), ExitStack()

    def make(utterance: Utterance) -> tuple[str, float]:
        if not hasattr(own, "espeak"):
            own.espeak = synthesisers.enter_context(espeak.Espeak())
        samples = _render(own.espeak, utterance, rooms[utterance.speaker.number])
        path, content = place(folder, utterance), io.BytesIO()  # encoded in memory, so that a full disk raises OSError with its reason
        soundfile.write(content, samples, acoustics.SAMPLE_RATE, subtype="PCM_16", format=path.suffix[1:].upper())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.getvalue())
        return utterance.id, len(samples) / acoustics.SAMPLE_RATE

    with synthesisers, ThreadPoolExecutor(nj) as pool:
        try:
            return dict(progress(pool.map(make, utterances), desc=desc, total=len(utterances), unit="utt"))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _render(synthesiser: espeak.Espeak, utterance: Utterance, room: np.ndarray) -> np.ndarray:
    """A recording of one utterance, int16 at 16 kHz."""
    speaker = utterance.speaker
    spoken = synthesiser.speak(utterance.text.lower(), speaker.voice, utterance.rate, utterance.pitch, round(speaker.pitch_range), utterance.seed)
    speech = soxr.resample(spoken / 32768, espeak.SAMPLE_RATE, acoustics.SAMPLE_RATE)
    loud = np.flatnonzero(np.abs(speech) > 1e-3)
    return acoustics.record(speech[loud[0] : loud[-1] + 1], room, utterance.snr, np.random.default_rng(utterance.seed))


def _write_texts(folder: Path, utterances: list[Utterance]) -> None:
    chapters: dict[Path, list[str]] = {}
    for utterance in utterances:
        chapters.setdefault(_chapter(folder, utterance), []).append(f"{utterance.id} {utterance.text}\n")
    for chapter, lines in chapters.items():
        name = "-".join(chapter.parts[-2:])
        (chapter / f"{name}.trans.txt").write_text("".join(lines), encoding="utf-8")


def _place(folder: Path, utterance: Utterance) -> Path:
    return _chapter(folder, utterance) / f"{utterance.id}.flac"


def _chapter(folder: Path, utterance: Utterance) -> Path:
    return folder.joinpath(*utterance.id.split("-")[:2])


def _write_speakers(path: Path, facts: dict[str, dict]) -> None:
    with atomic_write(path) as stream:
        stream.write("; Synthesised by espeak-ng in the layout of LibriSpeech\n;ID  |SEX| SUBSET           |MINUTES| NAME\n")
        for name, fact in facts.items():
            for number, speaker in fact["speakers"].items():
                stream.write(f"{number:<5} | {speaker['sex']} | {name:<16} | {speaker['minutes']:5.2f} | {speaker['voice']}\n")
