"""Speech recipes from MindSpore to ESPnet: `asrlib NAME --help` shows the options of a command."""

import ast
import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from asrlib.utils.cli import run

BIN = Path(__file__).parent / "bin"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that the first word names with the other words as its options; exit code 2 for a name that there is not.

    The list of commands is read from their files, so that nothing is imported for it.
    """
    name, *options = (sys.argv[1:] if argv is None else argv) or ["--help"]
    commands = {path.stem: path for path in sorted(BIN.glob("*.py")) if path.stem != "__init__"}
    if name in ("--help", "-h"):
        print(overview(commands))
        return 0
    command = name.replace("-", "_")
    if command not in commands:
        near = difflib.get_close_matches(command, commands, n=1)
        hint = f"did you mean {near[0]}?" if near else "asrlib --help lists the commands"
        print(f"asrlib: error: unknown command {name!r}; {hint}", file=sys.stderr)
        return 2
    sys.argv = [f"asrlib {command}", *options]
    run(importlib.import_module(f"asrlib.bin.{command}").main)
    return 0


def overview(commands: dict[str, Path]) -> str:
    """Every command with the first line of its docstring."""
    width = max(map(len, commands))
    lines = [f"  {name:{width}}  {summary(path)}" for name, path in commands.items()]
    return "\n".join(["usage: asrlib NAME [options]", "", (__doc__ or "").strip(), "", *lines])


def summary(path: Path) -> str:
    """The first line of a file's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
