"""The state of a training run: weights, optimizer and progress, in one file that is replaced atomically."""

import dataclasses
import json
import math
from pathlib import Path

from mindspore import nn

from asrlib.ms.checkpoint.weights import assign_arrays, load_arrays, network_arrays, require_complete
from asrlib.utils.arrays import read_metadata, save_arrays
from asrlib.utils.errors import UserError


@dataclasses.dataclass
class TrainState:
    """epoch: epochs done; batch: batches done of the current one; update: updates done; validated: the update of the last
    validation; best: the lowest score so far, best_at: its epoch or update (trainer.valid_unit);
    loss_scale: factor of the loss; finite_updates: since it changed; waiting: metrics of updates that are not in the history yet; data: digests of
    the data."""

    epoch: int = 0
    batch: int = 0
    update: int = 0
    validated: int = -1
    best: float = math.inf
    best_at: int = 0
    loss_scale: float = 1.0
    finite_updates: int = 0
    waiting: list[list[float]] = dataclasses.field(default_factory=list)
    data: str = ""


def state_file(exp_dir: Path) -> Path:
    return exp_dir / "state.safetensors"


def saved_data(exp_dir: Path) -> str:
    """The digests of the data of a saved state; empty if there is none."""
    path = state_file(exp_dir)
    return json.loads(read_metadata(path)["state"]).get("data", "") if path.exists() else ""


def save_state(exp_dir: Path, state: TrainState, network: nn.Cell, optimizer: nn.Cell) -> None:
    """Writes everything that the next update depends on."""
    arrays = {f"network/{name}": array for name, array in network_arrays(network).items()}
    arrays |= {f"optimizer/{p.name}": p.asnumpy() for p in _own_parameters(optimizer, network)}
    save_arrays(state_file(exp_dir), arrays, {"state": json.dumps(dataclasses.asdict(state))})


def load_state(exp_dir: Path, state: TrainState, network: nn.Cell, optimizer: nn.Cell) -> None:
    """Restores the saved state, if there is one. UserError: it is from another model, or from other data than state.data."""
    path = state_file(exp_dir)
    if not path.exists():
        return
    try:
        arrays = load_arrays(path)
    except UserError as error:
        raise UserError(f"{error}: the training cannot be resumed: start over with --force true") from None
    for prefix, parameters in (("network/", list(network.get_parameters())), ("optimizer/", _own_parameters(optimizer, network))):
        mine = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        require_complete(assign_arrays(parameters, mine), path)
    try:
        saved = TrainState(**json.loads(read_metadata(path)["state"]))
    except TypeError:
        raise UserError(f"{path} was written by another version of asrlib: resume with that version, or start over with --force true") from None
    if saved.data != state.data:
        raise UserError(f"{exp_dir} holds a run on other data: choose another --tag or --exp_dir, or start over with --force true")
    vars(state).update(vars(saved))


def _own_parameters(optimizer: nn.Cell, network: nn.Cell) -> list:
    """Moments, counters and the like: the optimizer's parameters that are not the network's."""
    weights = {id(p) for p in network.get_parameters()}
    return [p for p in optimizer.get_parameters() if id(p) not in weights]
