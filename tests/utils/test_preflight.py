"""Checks of the machine against the lock."""

import sys
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest

from asrlib.bin.preflight import main
from asrlib.utils import preflight
from asrlib.utils.errors import UserError


@pytest.fixture
def lock(tmp_path):
    def write(text: str) -> Path:
        (tmp_path / "requirements.lock").write_text(text)
        return tmp_path / "requirements.lock"

    return write


def test_this_environment_is_fit(capsys):
    main(["--disk_gb", "0.001"])
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["python"] == ".".join(map(str, sys.version_info[:3]))
    assert lines["numpy"] == metadata.version("numpy")
    assert int(lines["cores"]) >= 1


def test_cards_are_named(monkeypatch, capsys, logged):
    monkeypatch.setattr("asrlib.pt.device.find_cards", lambda: {"cuda": (("A100", "A100"), ""), "npu": ((), "torch_npu is not installed")})
    main(["--disk_gb", "0.001", "--asr_device", "npu"])
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["cuda"] == "2 x A100" and lines["npu"] == "none: torch_npu is not installed"
    assert logged == ["--asr_device npu: stages 5 and 6 will need such a card, and this machine has none"]


def test_lock_with_markers_and_comments(lock):
    path = lock("# made by hand\na==1.0 ; python_version < '3'\n\nb==2.0 ; python_version >= '3'  # kept\nc-d==3\n")
    assert list(preflight.read_lock(path)) == [("b", "2.0"), ("c-d", "3")]


def test_missing_and_other_versions(lock):
    facts = preflight.check_packages(lock(f"numpy==1.0\nno-such-package==3.1\ntqdm=={metadata.version('tqdm')}\n"))
    assert [(fact.name, fact.value) for fact in facts] == [("numpy", metadata.version("numpy")), ("no-such-package", "missing")]
    with pytest.raises(UserError) as error:
        preflight.require_fit(facts)
    assert str(error.value) == (
        f"numpy is {metadata.version('numpy')}, requirements.lock has 1.0: run tools/setup.sh; "
        "no-such-package is missing, requirements.lock has 3.1: run tools/setup.sh"
    )


@pytest.mark.parametrize("version", ["2.13.0", "2.13.0+cpu"])
def test_cpu_variant_needs_no_cuda(lock, monkeypatch, version):
    path = lock("torch==2.13.0\ntriton==3\nnvidia-nccl-cu13==2\ncuda-bindings==13\n")
    torch = namedtuple("torch", "version requires")
    found = {"torch": torch(version, ["filelock"])}
    monkeypatch.setattr(preflight, "_distribution", found.get)
    assert [(fact.name, fact.value, fact.fault) for fact in preflight.check_packages(path)] == [("torch", version, "")]
    found["torch"] = torch(version, ["filelock", "nvidia-nccl-cu13==2; platform_system == 'Linux'"])
    assert [fact.name for fact in preflight.check_packages(path) if fact.fault] == ["triton", "nvidia-nccl-cu13", "cuda-bindings"]
    found["torch"] = torch("2.8.0", None)
    assert [fact.fault for fact in preflight.check_packages(path)] == ["torch is 2.8.0, requirements.lock has 2.13.0: run tools/setup.sh"]


@pytest.mark.parametrize(("version", "fit"), [((3, 9, 1), False), ((3, 10, 0), True), ((3, 12, 5), True), ((3, 13, 0), False)])
def test_python(monkeypatch, version, fit):
    monkeypatch.setattr(sys, "version_info", version)
    assert (preflight.check_python().fault == "") == fit


def test_disk_of_a_folder_to_come(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    asked = []
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda folder: asked.append(folder) or usage(5e9))
    assert preflight.check_disk(5, tmp_path / "a" / "b").fault == ""
    assert preflight.check_disk(6, tmp_path / "a").fault == f"5.0 GB free in {tmp_path}, 6 GB needed: free some space, or choose another folder"
    assert asked == [tmp_path, tmp_path]


@pytest.mark.parametrize(("module", "count"), [(["numpy/__init__.py"], ""), (["colorsys.py", "yaml/__init__.py"], " (and 1 more from elsewhere)")])
def test_modules_from_elsewhere(tmp_path, monkeypatch, module, count):
    """The check looks at imports, not metadata: packages on PYTHONPATH have no metadata, or that of another version."""
    for name in module:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("__version__ = '0.1'\n")
    dist_info = tmp_path / "numpy-0.1.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    for name in ("numpy", "yaml", "colorsys"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    fact = preflight.check_imports()
    name = module[0].split("/")[0].removesuffix(".py")
    assert fact.fault == (
        f"{name} is imported from {tmp_path / module[0]}{count}, not from the environment: "
        f"remove that folder from PYTHONPATH, which is {str(tmp_path)!r}"
    )
    assert not [fact for fact in preflight.check_packages() if fact.fault]  # no advice to run setup.sh, which would not help


def test_modules_of_this_environment():
    assert preflight.check_imports().fault == ""
