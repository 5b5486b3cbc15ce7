"""The parser and the error handling of all commands."""

import argparse
import errno
import os
import subprocess
import sys

import pytest

from asrlib.utils.cli import Parser, assignments, boolean, run
from asrlib.utils.errors import UserError


@pytest.fixture
def parser():
    parser = Parser("Does a thing.\n\nFor a reason.")
    parser.add_argument("--first_name", default="Ada", help="name of a person")
    parser.add_argument("--fix", type=boolean, default=False, help="repair it")
    return parser


@pytest.mark.parametrize("arguments", [["--first_name", "Eve"], ["--first-name", "Eve"], ["--first-name=Eve"], ["--first_name=Eve"]])
def test_dash_and_underscore(parser, arguments):
    assert parser.parse_args(arguments).first_name == "Eve"


def test_values_keep_their_dashes(parser):
    assert parser.parse_args(["--first-name=--a-b"]).first_name == "--a-b"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frist-name", "x"], "unknown option or argument '--frist_name'; did you mean --first_name?"),
        (["--first", "x"], "unknown option or argument '--first'\n"),
        (["--fs", "x"], "unknown option or argument '--fs'\n"),
        (["stray"], "unknown option or argument 'stray'"),
        (["--fix", "yes"], "'yes' is not true or false"),
        (["--fix"], "expected one argument"),
    ],
)
def test_wrong_options_exit_with_2(parser, capsys, arguments, message):
    with pytest.raises(SystemExit) as exit:
        parser.parse_args(arguments)
    assert exit.value.code == 2
    assert message in capsys.readouterr().err


def test_help_has_the_defaults(parser, capsys):
    with pytest.raises(SystemExit) as exit:
        parser.parse_args(["--help"])
    assert exit.value.code == 0
    text = capsys.readouterr().out
    assert "Does a thing.\n\nFor a reason." in text
    assert "name of a person (default: Ada)" in text


def test_boolean():
    assert [boolean(text) for text in ("true", "True", "false")] == [True, True, False]
    for text in ("1", "yes", ""):
        with pytest.raises(argparse.ArgumentTypeError):
            boolean(text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", []),
        (" a.b=1  c=2 ", ["a.b=1", "c=2"]),
        ("augment.noise_dir=/my noise/at home c=2", ["augment.noise_dir=/my noise/at home", "c=2"]),
        ("a=[1, 2]\nb=x=y", ["a=[1, 2]", "b=x=y"]),
        ("word a=1", ["word", "a=1"]),
    ],
)
def test_assignments(text, values):
    """A path in a value may have spaces in it."""
    assert assignments(text) == values


@pytest.mark.parametrize(
    "variables", [{"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}]
)
def test_another_locale_changes_nothing(tmp_path, variables):
    """Texts and file names are UTF-8."""
    command = tmp_path / "say.py"
    command.write_text(
        "import sys\nfrom asrlib.utils.cli import run\n"
        "def main(argv):\n    print(sys.argv[1:], open('\u4f60').read(), sys.stdout.encoding)\nrun(main)\n",
        encoding="utf-8",
    )
    (tmp_path / "\u4f60").write_text("\u597d", encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONIOENCODING", "PYTHONUTF8")} | variables
    done = subprocess.run([sys.executable, command, "a b", "\u4f60"], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.stdout.decode() == "['a b', '\u4f60'] \u597d utf-8\n", done.stderr.decode()


def ending(main) -> int:
    with pytest.raises(SystemExit) as exit:
        run(main)
    return exit.value.code


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (3, 3)])
def test_exit_code_is_what_main_returns(result, code):
    assert ending(lambda _: result) == code


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("data/text: line 3: no words\nadd some"), 1, "error: data/text: line 3: no words add some"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "dump/a"), 1, "error: no space left on device while writing dump/a"),
        (PermissionError(errno.EACCES, "Permission denied", "dump/a"), 1, "error: Permission denied: dump/a"),
        (OSError(errno.EROFS, "Read-only file system", "dump/a"), 1, "error: Read-only file system: dump/a"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.yaml"), 1, "error: No such file or directory: a.yaml"),
    ],
)
def test_what_a_user_can_cause_is_one_line(capsys, error, code, message):
    def main(_):
        raise error

    assert ending(main) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize("error", [ValueError("ours"), OSError(errno.EIO, "Input/output error")])
def test_our_own_faults_keep_their_traceback(error):
    def main(_):
        raise error

    with pytest.raises(type(error)):
        run(main)


def test_a_reader_that_goes_away_is_no_fault(root):
    command = "import sys; sys.path.insert(0, '.'); from asrlib.utils.cli import run; "
    command += "run(lambda argv: [print('line' * 100) for _ in range(10000)] and None)"
    shell = subprocess.run(["bash", "-c", f'{sys.executable} -c "{command}" | head -n 1'], cwd=root, capture_output=True, text=True, timeout=60)
    assert shell.stdout.count("\n") == 1 and shell.stderr == ""
