"""From a corpus to the data directories of a recipe: data/train, data/dev and the test sets, validated before they are written."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from asrlib.corpora import aishell1, aishell2, librispeech
from asrlib.corpora.audio import is_pipe
from asrlib.corpora.kaldi_dir import read_tables
from asrlib.corpora.kaldi_fix import BAD_UTTS, Repair, accept
from asrlib.corpora.kaldi_ops import combine, split
from asrlib.corpora.kaldi_table import Table
from asrlib.corpora.kaldi_validate import Rules, resolve
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)


def prepare_librispeech(
    corpus_dir: Path,
    train_sets: Sequence[str],
    valid_sets: Sequence[str],
    test_sets: Sequence[str],
    *,
    check_counts: str = "auto",
    audio: bool = True,
    fix: bool = False,
) -> dict[str, Repair]:
    """train and dev (each the combination of its sets) and every test set under its name with _ for -. UserError: a fault in a set, without `fix`."""
    groups = {"train": train_sets, "dev": valid_sets, **{name.replace("-", "_"): [name] for name in test_sets}}
    prepared: dict[str, Repair] = {}
    for target, names in groups.items():
        rules = Rules(audio=audio)
        parts = [accept(corpus_dir / name, librispeech.prepare(corpus_dir, name, check_counts), rules, fix) for name in names]
        if parts:
            dropped = {utt: reason for part in parts for utt, reason in part.dropped.items()}
            prepared[target] = Repair(combine([part.data for part in parts], list(names)), dropped)
    return prepared


def prepare_aishell1(corpus_dir: Path, *, check_counts: str = "auto", audio: bool = True, fix: bool = False) -> dict[str, Repair]:
    """train, dev and test. UserError: a fault in a set, without `fix`."""
    rules, wav = Rules(audio=audio), corpus_dir / "wav"
    return {name: accept(wav / name, aishell1.prepare(corpus_dir, name, check_counts), rules, fix) for name in aishell1.UTTERANCES}


def prepare_aishell2(corpus_dir: Path, *, check_counts: str = "auto", audio: bool = True, fix: bool = False) -> Repair:
    """The whole corpus, which has no sets (asrlib.corpora.pretraining makes them). UserError: no corpus; a fault in it, without `fix`."""
    return accept(aishell2.find(corpus_dir), aishell2.prepare(corpus_dir, check_counts), Rules(audio=audio), fix)


def prepare_kaldi(
    train_dir: Path | None,
    valid_dir: Path | None,
    test_dirs: Sequence[Path],
    *,
    rules: Rules,
    valid_portion: float = 0.05,
    seed: int = 0,
    fix: bool = False,
) -> dict[str, Repair]:
    """train, dev and every test directory under its own name; dev is drawn from train where there is no valid_dir.

    Relative paths in wav.scp count from rules.audio_root or, where they do not exist there, from the nearest folder above the data directory
    where they do. UserError: a fault in a directory, without `fix`; two directories of one name.
    """
    sources = {"train": train_dir, "dev": valid_dir}
    for path in test_dirs:
        name = os.path.basename(os.path.abspath(path))
        if name in sources:
            raise UserError(f"--test_dirs {path}: the name {name!r} is taken by another directory: rename it")
        sources[name] = path
    prepared = {name: _accept_kaldi(path, rules, fix) for name, path in sources.items() if path is not None}
    if train_dir is not None and valid_dir is None:
        train = prepared["train"]
        rest, part = split(train.data, valid_portion, seed)
        prepared["train"], prepared["dev"] = replace(train, data=rest), Repair(part, {})
    return prepared


def _accept_kaldi(path: Path, rules: Rules, fix: bool) -> Repair:
    tables = read_tables(path)
    return accept(path, tables, replace(rules, audio_root=_audio_root(path, tables, rules.audio_root)), fix)


def _audio_root(path: Path, tables: Mapping[str, Table], audio_root: Path | None) -> Path | None:
    values = tables["wav.scp"].rows.values() if "wav.scp" in tables else ()
    first = next((value for value in values if value and not is_pipe(value)), None)
    if first is None or Path(resolve(first, audio_root)).exists():
        return audio_root
    for folder in path.absolute().parents:
        if (folder / first).exists():
            log.info(f"{path / 'wav.scp'}: its relative paths count from {folder}")
            return folder
    return audio_root


def write(prepared: dict[str, Repair], data_dir: Path) -> None:
    """Writes the directories and says what is in them, and what is not; warns of utterances of train that are also elsewhere."""
    for name in [name for name in prepared if name != "train" and "train" in prepared]:
        common = prepared["train"].data.utt2spk.keys() & prepared[name].data.utt2spk.keys()
        if common:
            log.warning(f"train and {name} share {len(common)} utterances, among them {min(common)}: results on {name} mean little")
    for name, result in prepared.items():
        result.write(data_dir / name)
        speakers = len(set(result.data.utt2spk.values()))
        log.info(f"Successfully validated data-directory {data_dir / name}: {len(result.data)} utterances of {speakers} speakers")
        if result.dropped:
            log.warning(f"{name}: {result.summary}; the others are listed with their reasons in {data_dir / name / BAD_UTTS}")
