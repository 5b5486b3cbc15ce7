"""Every room imports what its row of the table in CONTRIBUTING.md allows, and nothing else."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROW = re.compile(r"^\| `asrlib/(\w+)` \| [^|]* \|(.*)\|$", re.MULTILINE)
ROOMS = dict(ROW.findall((ROOT / "CONTRIBUTING.md").read_text()))
INNER_ROW = re.compile(r"^\| `asrlib/ms/(\w+)` \| [^|]* \|(.*)\|$", re.MULTILINE)
INNER = dict(INNER_ROW.findall((ROOT / "CONTRIBUTING.md").read_text()))
EVERYWHERE = {"numpy", "asrlib.utils", "asrlib.config"}


def allowed(cell: str) -> set[str]:
    """The packages and rooms in a cell of the table; remarks in brackets are dropped."""
    names = re.sub(r"\([^)]*\)", "", cell).replace("`", "").split(",")
    return {f"asrlib.{name.strip()}" if name.strip() in ROOMS else name.strip().replace("-", "_") for name in names} - {""}


def imports(path: Path, depth: int = 2):
    """(line, package or asrlib.room; with depth 3 asrlib.room.module) of the imports of a file, wherever they stand."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if node.module != "asrlib" else [f"asrlib.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield node.lineno, ".".join(parts[:depth]) if parts[0] == "asrlib" else parts[0]


def test_every_room_has_its_row():
    assert {path.name for path in (ROOT / "asrlib").iterdir() if path.is_dir() and path.name != "__pycache__"} == set(ROOMS)


@pytest.mark.parametrize("room", sorted(set(ROOMS) - {"bin"}))
def test_imports_of_a_room(room):
    permitted = allowed(ROOMS[room]) | EVERYWHERE | {f"asrlib.{room}"} | set(sys.stdlib_module_names)
    strangers = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sorted((ROOT / "asrlib" / room).rglob("*.py"))
        for line, name in imports(path)
        if name not in permitted
    ]
    assert not strangers, f"not allowed by CONTRIBUTING.md: {strangers}"


def test_rooms_of_ms_have_their_rows():
    assert {path.name for path in (ROOT / "asrlib/ms").iterdir() if path.is_dir() and path.name != "__pycache__"} == set(INNER)


@pytest.mark.parametrize("room", sorted(INNER))
def test_imports_of_a_room_of_ms(room):
    permitted = {f"asrlib.ms.{name.strip(' `')}" for name in INNER[room].split(",")} | {f"asrlib.ms.{room}"}
    strangers = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sorted((ROOT / "asrlib/ms" / room).rglob("*.py"))
        for line, name in imports(path, 3)
        if name.startswith("asrlib.ms.") and name not in permitted
    ]
    assert not strangers, f"not allowed by CONTRIBUTING.md: {strangers}"


def test_nothing_imports_bin():
    files = [path for path in (ROOT / "asrlib").rglob("*.py") if path.parent.name != "bin"]
    assert not [str(path) for path in files if "asrlib.bin" in {name for _, name in imports(path)}]


def test_commands_answer_help_without_heavy_packages():
    """`--help` answers at once: nothing but the standard library and asrlib.utils at the top of a command."""
    for path in sorted((ROOT / "asrlib/bin").glob("*.py")):
        tops = [node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        for node in tops:
            name = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            assert name.split(".")[0] in sys.stdlib_module_names or name.startswith("asrlib.utils"), f"{path.name}: {name} at the top"
