"""Kaldi data directories of the user's own, prepared as data/train, data/dev and the test sets."""

import os
from argparse import ArgumentError, Namespace
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from asrlib.corpora.audio_file import is_pipe, place
from asrlib.corpora.kaldi_dir import read_tables
from asrlib.corpora.kaldi_fix import Repair, accept
from asrlib.corpora.kaldi_large import accept_large
from asrlib.corpora.kaldi_ops import split
from asrlib.corpora.kaldi_validate import Rules, resolve
from asrlib.utils.cli import Parser, boolean, paths
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)


def add_options(parser: Parser) -> None:
    group = parser.add_argument_group("Kaldi data directories")
    group.add_argument("--train_dir", type=Path, help="data directory to train on")
    group.add_argument("--valid_dir", type=Path, help="data directory to validate on; without it a part of train_dir is used")
    group.add_argument("--test_dirs", default="", type=paths, help="data directories to test on")
    root = "folder that relative paths in wav.scp start from; default: the current one, or one above the data directory"
    group.add_argument("--audio_root", type=Path, help=root)
    group.add_argument("--allow_pipes", type=boolean, default=False, help='accept (and later run) commands in wav.scp ("sox ... |")')
    group.add_argument("--no_spk_sort", type=boolean, default=False, help="accept utterance ids that do not begin with the speaker id")
    group.add_argument("--valid_portion", type=float, default=0.05, help="without --valid_dir: part of train_dir that is used as dev")
    group.add_argument("--seed", type=int, default=0, help="seed of the choice of that part")


def prepare_data(_: Path | None, options: Namespace) -> dict[str, Repair]:
    """train, dev and every test directory under its own name; without valid_dir, dev is drawn from train.

    Relative paths in wav.scp start from audio_root or, if they do not exist there, from the nearest folder above the data directory in which
    they do. UserError: a fault in a directory, without `fix`; an utterance of a test set that cannot be repaired; two
    directories of one name. ArgumentError: no directory is given.
    """
    if not (options.train_dir or options.valid_dir or options.test_dirs):
        raise ArgumentError(None, "--corpus kaldi needs --train_dir or --test_dirs")
    rules = Rules(spk_sort=not options.no_spk_sort, allow_pipes=options.allow_pipes, audio=options.audio, audio_root=options.audio_root)
    sources = {"train": options.train_dir, "dev": options.valid_dir}
    for path in options.test_dirs:
        name = os.path.basename(os.path.abspath(path))
        if name in sources:
            raise UserError(f"--test_dirs {path}: the name {name!r} is that of another directory: rename it")
        sources[name] = path
    every = {name: replace(rules, keep_all=name not in ("train", "dev")) for name in sources}
    prepared = {name: _accept(path, every[name], options.fix) for name, path in sources.items() if path is not None}
    if options.train_dir is not None and options.valid_dir is None:
        train = prepared["train"]
        rest, part = split(train.data, options.valid_portion, options.seed)
        prepared["train"], prepared["dev"] = replace(train, data=rest), Repair(part, {})
    return prepared


def _accept(path: Path, rules: Rules, fix: bool) -> Repair:
    """accept_folder, in bounded memory if the directory is large and valid."""
    large = None if fix else accept_large(path, rules, lambda values: _audio_root(path, values, rules.audio_root))
    return large or accept_folder(path, rules, fix)


def accept_folder(path: Path, rules: Rules, fix: bool) -> Repair:
    """A directory on disk, checked and with absolute paths (see accept); relative ones start as in prepare_data. UserError: a fault, without fix."""
    tables = read_tables(path)
    values = tables["wav.scp"].rows.values() if "wav.scp" in tables else ()
    return accept(path, tables, replace(rules, audio_root=_audio_root(path, values, rules.audio_root)), fix)


def _audio_root(path: Path, values: Iterable[str], audio_root: Path | None) -> Path | None:
    first = next((value for value in values if value and not is_pipe(value)), None)
    if first is None or os.path.exists(place(resolve(first, audio_root))[0]):
        return audio_root
    for folder in path.absolute().parents:
        if os.path.exists(place(folder / first)[0]):
            log.info(f"{path / 'wav.scp'}: relative paths start from {folder}")
            return folder
    return audio_root
