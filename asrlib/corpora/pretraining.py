"""Data sets for self-supervised pretraining, as for Mandarin wav2vec 2.0 on AISHELL-2: no sentences of the evaluation sets, concatenated
utterances, and a small validation set."""

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
    """prepared: the sets, by name. leaks: the removed utterances, None without a filter. steps: the directory after each step, then the sets."""

    prepared: dict[str, Repair]
    leaks: Sequence[Leak] | None
    steps: dict[str, KaldiDir]

    def write_tables(self, data_dir: Path) -> None:
        """Writes DATA_DIR/leaks.tsv, if there was a filter, and hours.tsv."""
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
    """Removes utterances whose transcript is in `against` (find_leaks; None: no filter), joins every `num` (1: none) and splits off dev.

    Every directory has utt2dur. UserError: as in find_leaks, concat and split.
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
