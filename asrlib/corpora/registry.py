"""The corpora that prepare_data and download know, and the modules of asrlib.corpora behind them.

A module that prepares a corpus has

    prepare_data(corpus_dir, options) -> dict[str, Repair]

the checked data directories by name: train, dev and the test sets. corpus_dir: --corpus_dir. options: all options of prepare_data, and as
`comparable` the function of asrlib.text.simplify, which this package may not import. UserError: a fault in the corpus, without options.fix.
argparse.ArgumentError: missing or mutually exclusive options. A corpus with options of its own declares them in `add_options(parser)`; prepare_data
accepts them if --corpus names that corpus.

It may have `hours(source) -> float`, the published hours of a source of stage 1 (a path that may not exist yet), or 0.

A module that fetches or synthesises a corpus has

    download_data(download_dir, options)

options: all options of download. Complete files are kept.
"""

from importlib import import_module
from types import ModuleType
from typing import Literal, NamedTuple

Action = Literal["prepare", "download"]


class Corpus(NamedTuple):
    """The names of the modules that prepare and download a corpus ("": there is none), and whether it is prepared from a folder, --corpus_dir."""

    prepare: str = ""
    download: str = ""
    has_folder: bool = True


CORPORA = {
    "librispeech": Corpus("librispeech", "librispeech"),
    "mini_librispeech": Corpus("librispeech", "mini"),
    "librispeech_lm": Corpus("", "librispeech_lm"),
    "aishell1": Corpus("aishell1", "aishell1"),
    "mini_aishell1": Corpus("aishell1", "mini_aishell1"),
    "aishell2": Corpus("aishell2"),
    "mini_aishell2": Corpus("aishell2", "mini_aishell2"),
    "an4": Corpus("an4", "an4"),
    "speechocean762": Corpus("speechocean762", "speechocean762"),
    "kaldi": Corpus("kaldi", has_folder=False),
}


def names(action: Action) -> list[str]:
    """The corpora that can be prepared, or downloaded."""
    return [name for name, corpus in CORPORA.items() if getattr(corpus, action)]


def load(corpus: str, action: Action) -> ModuleType:
    """The module that prepares, or downloads, a corpus of `names(action)`."""
    return import_module(f"asrlib.corpora.{getattr(CORPORA[corpus], action)}")
