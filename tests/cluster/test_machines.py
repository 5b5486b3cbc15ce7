"""Two machines (network namespaces) train together in a shared folder, each with its own call of the recipe; root only."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import numpy as np
import pytest

from asrlib.utils.arrays import read_safetensors
from tests.cluster.test_recipe import Run
from tests.recipes.conftest import tones  # noqa: F401  (a fixture)

NAMES = ("asrlib-a", "asrlib-b")
SETUP = """
ip netns add asrlib-a; ip netns add asrlib-b
ip link add veth-a netns asrlib-a type veth peer name veth-b netns asrlib-b
ip -n asrlib-a addr add 10.77.0.1/24 dev veth-a; ip -n asrlib-b addr add 10.77.0.2/24 dev veth-b
for n in a b; do ip -n asrlib-$n link set lo up; ip -n asrlib-$n link set veth-$n up; done
"""


@pytest.fixture
def machines() -> Iterator[None]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and ip: apt-get install -y iproute2")
    try:
        subprocess.run(["bash", "-ec", SETUP], check=True)
        yield
    finally:
        for name in NAMES:
            subprocess.run(["ip", "netns", "del", name], check=False)


class Machine(Run):
    """The recipe on machine `rank`."""

    def __init__(self, rank: int, *arguments):
        super().__init__(*arguments)
        self.command = ["ip", "netns", "exec", NAMES[rank], *self.command, "--num_nodes", "2"]
        self.environment |= {"NODE_RANK": str(rank), "MASTER_ADDR": "10.77.0.1"}


@pytest.mark.recipe
def test_two_machines_train_as_one(machines, tones, tmp_path):  # noqa: F811
    """Started in any order, killed and started again: the weights of one machine that accumulates two batches."""
    only = ("--stop_stage", "3")
    alone = Run(tmp_path / "alone", tones, *only)
    place = alone.command.index("--train_args") + 1
    alone.command[place] += " optim.accumulate=2"
    begin = time.monotonic()
    alone.end(0)
    single = time.monotonic() - begin

    first, second = (Machine(rank, tmp_path / "shared", tones, *only) for rank in (0, 1))
    waiting, leading = second.begin(), first.begin()
    met = tmp_path / "shared/exp/tiny/config.yaml"  # the first machine has begun to train
    while not met.exists() and leading.poll() is None:
        time.sleep(0.1)
    os.killpg(waiting.pid, signal.SIGKILL)
    began = time.monotonic()
    output, _ = leading.communicate(timeout=300)
    waiting.communicate()
    noticed = time.monotonic() - began
    assert leading.returncode == 1, output[-4000:]

    begin = time.monotonic()
    leading, waiting = first.begin(), second.begin()
    outputs = [process.communicate(timeout=900)[0] for process in (leading, waiting)]
    assert [leading.returncode, waiting.returncode] == [0, 0], outputs[0][-3000:] + outputs[1][-3000:]
    assert "x 2 devices" in outputs[0] and "nothing to do" not in outputs[1]
    mine, theirs = (read_safetensors(tmp_path / name / "exp/tiny/model.safetensors") for name in ("shared", "alone"))
    assert all(np.allclose(mine[name], theirs[name], rtol=1e-3, atol=1e-4) for name in theirs)
    assert "skipped, nothing has changed" in first.end(0) and "nothing to do on machine 1" in second.end(0)
    difference = max(float(np.abs(mine[name] - theirs[name]).max()) for name in theirs)
    took = time.monotonic() - begin
    print(
        f"alone {single:.0f} s; the loss of a machine noticed in {noticed:.0f} s; resumed on two in {took:.0f} s; weights differ by {difference:.1e}"
    )
