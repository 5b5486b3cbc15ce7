"""The utterances with the most errors: their alignments in every search, and their sound."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asrlib.corpora.audio_file import is_pipe
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.page.errors import Words
from asrlib.page.experiment import Experiment, Scored
from asrlib.page.sound import RATE, Sound, sound_of
from asrlib.score.folder import Step, read_alignments
from asrlib.utils.errors import UserError
from asrlib.utils.files import working_in


@dataclass
class Budget:
    """How many bytes of sound the page may still take."""

    left: int
    limit: int
    sounds: int = 0

    @classmethod
    def of(cls, megabytes: float) -> "Budget":
        size = round(megabytes * 1e6)
        return cls(size, size)

    @property
    def used(self) -> int:
        return self.limit - self.left


@dataclass
class Worst:
    """lines: (name of the search or system, steps). silence: why there is no sound."""

    id: str
    speaker: str
    errors: int
    units: int
    lines: list[tuple[str, list[Step]]] = field(default_factory=list)
    sound: Sound | None = None
    silence: str = ""

    @property
    def rate(self) -> float | None:
        return 100 * self.errors / self.units if self.units else None


def worst_of(scored: Scored, others: Sequence[tuple[str, Scored]], most: int) -> tuple[list[Worst], Words]:
    """The utterances with the most errors, then the highest rate, with their alignments also in other score folders; counts of all words."""
    found = scored.utterances
    rate = found.errors / np.maximum(found.ref_units, 1)
    order = [place for place in np.lexsort((-rate, -found.errors)).tolist()[:most] if found.errors[place]]
    worst = {
        found.ids[place]: Worst(found.ids[place], found.speakers[place], int(found.errors[place]), int(found.ref_units[place])) for place in order
    }
    words = Words()
    for utt, steps in read_alignments(scored.folder):
        words.add(steps)
        if utt in worst:
            worst[utt].lines.append((scored.decoding, steps))
    for name, other in others if worst else ():
        for utt, steps in read_alignments(other.folder, worst):
            worst[utt].lines.append((name, steps))
    return list(worst.values()), words


def others_of(scored: Scored, experiments: Sequence[Experiment]) -> list[tuple[str, Scored]]:
    """Names and score folders of the same set in other searches of the first experiment, and in the same search of the others."""
    found = list[tuple[str, Scored]]()
    for place, experiment in enumerate(experiments):
        for one in experiment.shown:
            same = (one.set, one.unit) == (scored.set, scored.unit)
            if same and (one.decoding == scored.decoding if place else one.decoding != scored.decoding):
                found.append((one.system if place else one.decoding, one))
    return found


def add_sounds(worst: Sequence[Worst], reference: Path | None, exp_dir: Path, budget: Budget) -> str:
    """Reads the recordings of the utterances from the data directory of the references; a sentence if there are none.

    Relative paths in wav.scp count from the folder of the recipe, which is the one that the references were found from.
    """
    if reference is None or not (reference.parent / "wav.scp").is_file():
        return "The recordings are left out: the data directory of the references is not here (stage 1 makes it)."
    try:
        data = KaldiDir.on_disk(reference.parent)
        channels, recipe = data.channels(), _recipe(reference, exp_dir)
    except UserError as error:
        return f"The recordings are left out: {error}."
    with working_in(recipe) if recipe else nullcontext():
        for one in worst:
            if budget.left <= 0:
                one.silence = f"No sound: the {budget.limit / 1e6:g} MB of the page are used up (--megabytes)."
                continue
            try:
                utterance = data.utterance(one.id, channels)
                if any(map(is_pipe, utterance.wavs)):
                    one.silence = "No sound: wav.scp has a command for it, which is not run."
                    continue
                sound = sound_of(utterance.audio(RATE))
            except UserError as error:
                one.silence = f"No sound: {error}."
                continue
            except KeyError:
                one.silence = f"No sound: {reference.parent} has no such utterance any more."
                continue
            if sound.size > budget.left:
                one.silence = (
                    f"No sound: its {sound.size / 1e6:.1f} MB are more than what is left of the page's {budget.limit / 1e6:g} (--megabytes)."
                )
                continue
            one.sound = sound
            budget.left -= sound.size
            budget.sounds += 1
    return ""


def _recipe(reference: Path, exp_dir: Path) -> Path | None:
    """The folder that experiment and data have in common."""
    above = [folder for folder in exp_dir.resolve().parents if folder in reference.resolve().parents]
    return above[0] if above else None
