"""Every package imports only what its row of the tables in CONTRIBUTING.md allows."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROW = re.compile(r"^\| `asrlib/(\w+)` \| [^|]* \|(.*)\|$", re.MULTILINE)
PACKAGES = dict(ROW.findall((ROOT / "CONTRIBUTING.md").read_text()))
MS_ROW = re.compile(r"^\| `asrlib/ms/(\w+)` \| [^|]* \|(.*)\|$", re.MULTILINE)
MS_PACKAGES = dict(MS_ROW.findall((ROOT / "CONTRIBUTING.md").read_text()))
EVERYWHERE = {"numpy", "asrlib.utils", "asrlib.config"}


def allowed(cell: str) -> set[str]:
    """The packages in a cell of the table, without remarks in brackets."""
    names = re.sub(r"\([^)]*\)", "", cell).replace("`", "").split(",")
    return {f"asrlib.{name.strip()}" if name.strip() in PACKAGES else name.strip().replace("-", "_") for name in names} - {""}


def imports(path: Path, depth: int = 2):
    """(line, package) of all imports of a file; packages of asrlib as asrlib.NAME, with depth 3 as asrlib.NAME.NAME."""
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


def test_every_package_has_its_row():
    assert {path.name for path in (ROOT / "asrlib").iterdir() if path.is_dir() and path.name != "__pycache__"} == set(PACKAGES)


@pytest.mark.parametrize("package", sorted(set(PACKAGES) - {"bin"}))
def test_imports_of_a_package(package):
    permitted = allowed(PACKAGES[package]) | EVERYWHERE | {f"asrlib.{package}"} | set(sys.stdlib_module_names)
    forbidden = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sorted((ROOT / "asrlib" / package).rglob("*.py"))
        for line, name in imports(path)
        if name not in permitted
    ]
    assert not forbidden, f"not allowed by CONTRIBUTING.md: {forbidden}"


def test_packages_of_ms_have_their_rows():
    assert {path.name for path in (ROOT / "asrlib/ms").iterdir() if path.is_dir() and path.name != "__pycache__"} == set(MS_PACKAGES)


@pytest.mark.parametrize("package", sorted(MS_PACKAGES))
def test_imports_of_a_package_of_ms(package):
    permitted = {f"asrlib.ms.{name.strip(' `')}" for name in MS_PACKAGES[package].split(",")} | {f"asrlib.ms.{package}"}
    forbidden = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sorted((ROOT / "asrlib/ms" / package).rglob("*.py"))
        for line, name in imports(path, 3)
        if name.startswith("asrlib.ms.") and name not in permitted
    ]
    assert not forbidden, f"not allowed by CONTRIBUTING.md: {forbidden}"


def test_nothing_imports_bin():
    files = [path for path in (ROOT / "asrlib").rglob("*.py") if path.parent.name != "bin"]
    assert not [str(path) for path in files if "asrlib.bin" in {name for _, name in imports(path)}]


def test_commands_answer_help_without_heavy_packages():
    """`--help` is fast: commands import only the standard library and asrlib.utils at the top."""
    for path in sorted((ROOT / "asrlib/bin").glob("*.py")):
        tops = [node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))]
        for node in tops:
            name = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            assert name.split(".")[0] in sys.stdlib_module_names or name.startswith("asrlib.utils"), f"{path.name}: {name} at the top"
