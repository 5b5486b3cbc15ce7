"""Available memory with the limits of control groups."""

from pathlib import Path

import pytest

from asrlib.utils import memory


@pytest.fixture
def files(monkeypatch):
    """files["/path"] = text: the only existing files."""
    texts: dict[str, str] = {"/proc/meminfo": "MemTotal: 20 kB\nMemAvailable:   8000000 kB\n"}

    def read(self, *_, **__):
        if str(self) not in texts:
            raise FileNotFoundError(str(self))
        return texts[str(self)]

    monkeypatch.setattr(Path, "read_text", read)
    return texts


def test_of_the_machine(files):
    assert memory.available_memory() == 8000000 * 1024


def test_limit_of_a_container(files):
    files["/proc/self/cgroup"] = "0::/box/inner\n"
    files["/sys/fs/cgroup/box/inner/memory.max"] = "max\n"
    files["/sys/fs/cgroup/box/memory.max"] = "3000000000\n"
    files["/sys/fs/cgroup/box/memory.current"] = "1000000000\n"
    files["/sys/fs/cgroup/box/memory.stat"] = "anon 5\ninactive_file 400000000\n"
    assert memory.available_memory() == 3e9 - (1e9 - 4e8), "what files hold in memory is given back when it is needed"


def test_limit_of_a_container_under_version_1(files):
    files["/proc/self/cgroup"] = "7:cpu,cpuacct:/\n4:memory:/box\n"
    files["/sys/fs/cgroup/memory/box/memory.limit_in_bytes"] = "2000000000\n"
    files["/sys/fs/cgroup/memory/box/memory.usage_in_bytes"] = "500000000\n"
    files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "9223372036854771712\n"
    assert memory.available_memory() == 1.5e9


def test_peak_and_release():
    assert memory.peak_memory() > 1e7
    memory.release_memory()
