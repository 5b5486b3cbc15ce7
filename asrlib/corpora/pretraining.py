"""A corpus as sets for self-supervised pretraining, as Mandarin wav2vec 2.0 had AISHELL-2: without the evaluation sets' sentences, in long utterances, with
a small part to validate on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from asrlib.corpora.durations import with_durations, write_hours
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_fix import Repair
from asrlib.corpora.kaldi_ops import concat, split
from asrlib.corpora.leaks import Leak, find_leaks, without, write_leaks


@dataclass
class PretrainingSets:
    """prepared: train and dev. leaks: what was left out, None: nothing was looked for. steps: the directory after each step, and the two sets."""

    prepared: dict[str, Repair]
    leaks: Sequence[Leak] | None
    steps: dict[str, KaldiDir]

    def write_tables(self, data_dir: Path) -> None:
        """DATA_DIR/leaks.tsv, where there was a filter, and hours.tsv."""
        if self.leaks is None:
            (data_dir / "leaks.tsv").unlink(missing_ok=True)
        else:
            write_leaks(data_dir / "leaks.tsv", self.leaks)
        write_hours(data_dir / "hours.tsv", self.steps)


def pretraining_sets(
    corpus: Repair,
    against: Mapping[str, Mapping[str, str]] | None,
    normalise: Callable[[str], str],
    num: int = 6,
    valid_portion: float = 0.01,
    seed: int = 0,
) -> PretrainingSets:
    """Leaves out utterances whose transcript is in `against` (find_leaks; None: no filter), joins `num` at a time (1: none), draws dev from the result.

    Each directory has utt2dur. UserError: as find_leaks, concat and split.
    """
    data, leaks = with_durations(corpus.data), None
    steps = {"corpus": data}
    if against is not None:
        leaks = find_leaks(data, against, normalise)
        steps["without leaks"] = data = without(data, leaks)
    if num > 1:
        steps["concatenated"] = data = concat(data, num)
    train, dev = split(data, valid_portion, seed)
    prepared = {"train": replace(corpus, data=train), "dev": Repair(dev, {})}
    return PretrainingSets(prepared, leaks, {**steps, "train": train, "dev": dev})
