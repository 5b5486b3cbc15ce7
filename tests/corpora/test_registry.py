"""The modules in the registry have the functions that the commands call; prepare_data has the options of its corpus."""

import pytest

from asrlib.bin import prepare_data
from asrlib.corpora.registry import CORPORA, load, names


@pytest.mark.parametrize("action", ["prepare", "download"])
def test_modules_offer_what_the_commands_call(action):
    for name in names(action):
        assert callable(getattr(load(name, action), f"{action}_data")), name


def test_every_corpus_can_be_prepared_or_downloaded():
    assert sorted({*names("prepare"), *names("download")}) == sorted(CORPORA)


def test_help_of_a_corpus_lists_its_options(capsys):
    for arguments, listed in (["--corpus", "kaldi"], True), (["--corpus=kaldi"], True), (["--corpus", "aishell1"], False), ([], False):
        with pytest.raises(SystemExit):
            prepare_data.main([*arguments, "--help"])
        assert ("--no_spk_sort" in capsys.readouterr().out) == listed, arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--corpus"], "argument --corpus: expected one argument"),
        (["--corpus", "none"], "invalid choice: 'none'"),
        (["--corpus", "aishell1", "--corpus_dir", "x", "--train_sets", "y"], "unknown option or argument '--train_sets'"),
    ],
)
def test_wrong_options(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        prepare_data.main(arguments)
    assert end.value.code == 2 and message in capsys.readouterr().err


def test_own_default():
    """The default of --valid_portion depends on the corpus."""
    assert prepare_data.get_parser("kaldi").parse_args(["--corpus", "kaldi"]).valid_portion == 0.05
    assert prepare_data.get_parser("mini_aishell2").parse_args(["--corpus", "mini_aishell2"]).valid_portion == 0.01
