"""Mini Mandarin: synthesised speech in AISHELL-1's layout (see asrlib.corpora.mini).

Files: data_aishell/wav/{train,dev,test}/SNNNN/BAC009SNNNNWNNNN.wav and data_aishell/transcript/aishell_transcript_v0.8.txt, whose words are
separated by spaces as in the original. Voices are variants of espeak-ng's `cmn`; sets share neither sentences nor variants.
"""

import hashlib
import json
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path

from asrlib.corpora import grammar
from asrlib.corpora.aishell1 import TRANSCRIPT
from asrlib.corpora.mini import MARK, Set, Style, Utterance, complete, facts_of, plan_set, remove_temporary, write_audio
from asrlib.utils.files import atomic_directory, atomic_write
from asrlib.utils.log import get_logger

log = get_logger(__name__)

VERSION = 1  # of the synthesis: raise it if the same options give other bytes
SILENCE, SECONDS_PER_CHARACTER = 0.65, 44.0  # fitted: seconds = SILENCE + SECONDS_PER_CHARACTER * characters / rate

MALE = "m2 m4 m5 m6 m8 Alex Mario Andy rob adam mike2 Mike marcelo sandro Denis boris quincy Lee john pablo gustave travis david norbert"
FEMALE = "f1 f2 f5 Annie grandma steph aunty Alicia shelby anika Andrea kaukovalta Diogo Nguyen caleb edward"
SETS = {
    "train": Set(1001, (12, 30), range(3, 16), (("cmn", MALE, "M"), ("cmn", FEMALE, "F"))),
    "dev": Set(1201, (12, 30), range(2, 3), (("cmn", "m1 robert", "M"), ("cmn", "linda", "F"))),
    "test": Set(1301, (12, 30), range(2), (("cmn", "m3 Michael max", "M"), ("cmn", "f4 belinda", "F"))),
}
STYLE = Style(
    (135, 185),
    lambda speaker, index: f"BAC009S{speaker}W{index + 1:04d}",
    lambda text, rate: SILENCE + SECONDS_PER_CHARACTER * len(text.replace(" ", "")) / rate,
)
TRAIN_MINUTES, DEV_MINUTES, TEST_MINUTES = 90.0, 4.0, 6.0


def download_data(download_dir: Path, options: Namespace) -> None:
    """What the command download does (asrlib.corpora.registry): `synthesise_aishell1`."""
    synthesise_aishell1(download_dir, options.seed)


def synthesise_aishell1(
    download_dir: str | Path,
    seed: int = 0,
    nj: int = 2,
    train_minutes: float = TRAIN_MINUTES,
    dev_minutes: float = DEV_MINUTES,
    test_minutes: float = TEST_MINUTES,
) -> dict[str, dict]:
    """Writes download_dir/data_aishell atomically, unless it exists with the same options. Returns the facts of each set.

    UserError: espeak-ng cannot be loaded; an existing folder was not synthesised.
    """
    corpus = Path(download_dir) / "data_aishell"
    minutes = {"train": train_minutes, "dev": dev_minutes, "test": test_minutes}
    plans = {name: plan(name, seed, minutes[name]) for name in SETS}
    described = {name: [asdict(utterance) for utterance in utterances] for name, utterances in plans.items()}
    options = hashlib.sha256(json.dumps([VERSION, described]).encode()).hexdigest()
    facts = complete(corpus, options)
    if facts is None:
        facts = _synthesise(corpus, plans, options, seed, nj)
    for name in SETS:
        fact = facts[name]
        counts = f"{fact['utterances']} utterances, {fact['minutes']:.1f} minutes, {len(fact['speakers'])} speakers"
        log.info(f"{name}: {counts}, {fact['characters']} different characters")
    return facts


def plan(name: str, seed: int, minutes: float) -> list[Utterance]:
    """The utterances of a set in the order of their ids; words in texts are separated by spaces."""
    part = SETS[name]
    return plan_set(part, STYLE, grammar.sentences(grammar.MANDARIN, seed, part.share), seed, minutes)


def together(utterance: Utterance) -> Utterance:
    """The utterance with its text without spaces, as it is spoken."""
    return replace(utterance, text=utterance.text.replace(" ", ""))


def _synthesise(corpus: Path, plans: dict[str, list[Utterance]], options: str, seed: int, nj: int) -> dict:
    remove_temporary(corpus)
    facts: dict = {"options": options}
    with atomic_directory(corpus) as temporary:
        lines = []
        for name, utterances in plans.items():
            spoken = [together(utterance) for utterance in utterances]
            seconds = write_audio(temporary / "wav" / name, spoken, _place, seed, nj, desc=f"speaking {name}")
            lines += [f"{utterance.id} {utterance.text}\n" for utterance in utterances]
            facts[name] = facts_of(utterances, seconds) | {"characters": len(set("".join(utterance.text for utterance in spoken)))}
        with atomic_write(temporary / TRANSCRIPT) as stream:
            stream.writelines(sorted(lines))
        with atomic_write(temporary / MARK) as stream:
            json.dump(facts, stream, indent=1, ensure_ascii=False)
    return facts


def _place(folder: Path, utterance: Utterance) -> Path:
    return folder / f"S{utterance.speaker.number}" / f"{utterance.id}.wav"
