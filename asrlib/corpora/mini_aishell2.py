"""Mini Mandarin for pretraining: synthesised speech in AISHELL-2's layout (see asrlib.corpora.mini), with planted leaks.

Files: AISHELL-2/iOS/data/{wav,wav.scp,trans.txt}. The voices are those of mini AISHELL-1's training set, as other speakers in other rooms.
No sentence occurs in mini AISHELL-1's dev or test of the same seed, except for planted leaks, which AISHELL-2/planted_leaks.txt lists as
`utterance utterance-of-AISHELL-1`. Their transcripts are in turn unchanged, with spaces, with punctuation, in traditional characters, and
with all of these.
"""

import hashlib
import json
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from asrlib.corpora import grammar, mini_aishell1
from asrlib.corpora.aishell2 import DATA
from asrlib.corpora.mini import MARK, Set, Style, Utterance, complete, facts_of, plan_set, remove_temporary, write_audio
from asrlib.corpora.mini_aishell1 import DEV_MINUTES, TEST_MINUTES, together
from asrlib.utils.files import atomic_directory, atomic_write
from asrlib.utils.log import get_logger

log = get_logger(__name__)

VERSION = 1  # of the synthesis: raise it if the same options give other bytes
SET = Set(2001, (12, 30), range(4, 16), mini_aishell1.SETS["train"].voices)
STYLE = Style(mini_aishell1.STYLE.rates, lambda speaker, index: f"IC{speaker}W{index + 1:04d}", mini_aishell1.STYLE.seconds)
LEAKS = 2**31 + 1  # seed of the leaks, apart from the numbers of the speakers

# Characters of the grammar with a traditional form that is unambiguous in both directions
SIMPLIFIED = "业两个乐习书买会关写医卧厅厨叶号吗园图场妈学师帮广开户报时机样欢气温灯点热现电码红纸绿苹药见视设话询请调车轻这钱铁错闭闻风飞饭馆鸡"
TRADITIONAL = "業兩個樂習書買會關寫醫臥廳廚葉號嗎園圖場媽學師幫廣開戶報時機樣歡氣溫燈點熱現電碼紅紙綠蘋藥見視設話詢請調車輕這錢鐵錯閉聞風飛飯館雞"
CHARACTERS = str.maketrans(SIMPLIFIED, TRADITIONAL)


@dataclass(frozen=True)
class Written:
    """An utterance, its transcript in trans.txt, and the utterance of AISHELL-1 with the same sentence ("": none)."""

    utterance: Utterance
    text: str
    leak: str = ""


def download_data(download_dir: Path, options: Namespace) -> None:
    """What the command download does (asrlib.corpora.registry): `synthesise_aishell2`."""
    synthesise_aishell2(download_dir, options.seed)


def synthesise_aishell2(
    download_dir: str | Path,
    seed: int = 0,
    nj: int = 2,
    minutes: float = mini_aishell1.TRAIN_MINUTES,
    leaks: int = 40,
    dev_minutes: float = DEV_MINUTES,
    test_minutes: float = TEST_MINUTES,
) -> dict:
    """Writes download_dir/AISHELL-2 atomically, unless it exists with the same options. Returns the facts of the corpus.

    leaks: number of sentences from the mini AISHELL-1 with the same seed, dev_minutes and test_minutes.
    UserError: espeak-ng cannot be loaded; an existing folder was not synthesised.
    """
    corpus = Path(download_dir) / "AISHELL-2"
    written = plan(seed, minutes, leaks, dev_minutes, test_minutes)
    options = hashlib.sha256(json.dumps([VERSION, [asdict(row) for row in written]]).encode()).hexdigest()
    facts = complete(corpus, options) or _synthesise(corpus, written, options, seed, nj)
    counts = f"{facts['utterances']} utterances, {facts['minutes']:.1f} minutes, {len(facts['speakers'])} speakers"
    log.info(f"AISHELL-2: {counts}, {facts['leaks']} of them with a sentence of AISHELL-1's dev or test")
    return facts


def plan(seed: int, minutes: float, leaks: int, dev_minutes: float = DEV_MINUTES, test_minutes: float = TEST_MINUTES) -> list[Written]:
    """The utterances in the order of their ids. ValueError: fewer utterances, or sentences of dev and test, than leaks."""
    evaluation = [*mini_aishell1.plan("dev", seed, dev_minutes), *mini_aishell1.plan("test", seed, test_minutes)]
    texts = _excluding(grammar.sentences(grammar.MANDARIN, seed, SET.share), {together(utterance).text for utterance in evaluation})
    utterances = plan_set(SET, STYLE, texts, seed, minutes)
    rng = np.random.default_rng([seed, LEAKS])
    places = sorted(rng.choice(len(utterances), leaks, replace=False).tolist())
    planted = dict(zip(places, rng.choice(len(evaluation), leaks, replace=False).tolist(), strict=True))
    rows = []
    for index, utterance in enumerate(utterances):
        if index in planted:
            leak = evaluation[planted[index]]
            utterance = replace(utterance, text=leak.text)
            rows.append(Written(utterance, _disguised(leak.text, places.index(index)), leak.id))
        else:
            rows.append(Written(utterance, together(utterance).text))
    return rows


def _excluding(texts: Iterator[str], excluded: set[str]) -> Iterator[str]:
    """Texts that are not in `excluded` without spaces: sentences of disjoint shares may have different words but the same characters."""
    return (text for text in texts if text.replace(" ", "") not in excluded)


def _disguised(text: str, number: int) -> str:
    """One of five ways to write a sentence, by `number`."""
    words = text.split()
    plain, spaced, marked = "".join(words), " ".join(words), f"{words[0]}，{''.join(words[1:])}。"
    return (plain, spaced, marked, plain.translate(CHARACTERS), f"「{words[0]}」　{' '.join(words[1:])}！".translate(CHARACTERS))[number % 5]


def _synthesise(corpus: Path, written: list[Written], options: str, seed: int, nj: int) -> dict:
    remove_temporary(corpus)
    with atomic_directory(corpus) as temporary:
        data = temporary / DATA
        spoken = [together(row.utterance) for row in written]
        seconds = write_audio(data, spoken, _place, seed, nj, desc="speaking AISHELL-2")
        with atomic_write(data / "wav.scp") as stream:
            stream.writelines(f"{utterance.id}\t{_place(Path(), utterance)}\n" for utterance in spoken)
        with atomic_write(data / "trans.txt") as stream:
            stream.writelines(f"{row.utterance.id}\t{row.text}\n" for row in written)
        with atomic_write(temporary / "planted_leaks.txt") as stream:
            stream.writelines(f"{row.utterance.id} {row.leak}\n" for row in written if row.leak)
        facts = {"options": options, "leaks": sum(bool(row.leak) for row in written)} | facts_of(spoken, seconds)
        with atomic_write(temporary / MARK) as stream:
            json.dump(facts, stream, indent=1, ensure_ascii=False)
    return facts


def _place(folder: Path, utterance: Utterance) -> Path:
    return folder / "wav" / f"C{utterance.speaker.number}" / f"{utterance.id}.wav"
