"""Averaging of the best epochs of a fine-tuning with ESPnet, also after fewer epochs than requested."""

from pathlib import Path

import torch

from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger

log = get_logger(__name__)


def average_epochs(exp_dir: Path, values: dict) -> Path:
    """The file of the averaged model for the first entry of best_model_criterion.

    ESPnet averages the best keep_nbest_models epochs. If a run has fewer, because of max_epoch or patience, ESPnet silently uses only the best
    one; this function averages all of them and logs a warning. UserError: ESPnet finished no epoch.
    """
    part, name, _ = (values.get("best_model_criterion") or [["valid", "acc", "max"]])[0]
    link, wanted = exp_dir / f"{part}.{name}.ave.pth", values.get("keep_nbest_models", 10)
    wanted = max(wanted) if isinstance(wanted, list) else wanted
    if not link.exists():
        raise UserError(f"ESPnet did not write {link}: see {exp_dir / 'train.log'}")
    epochs = sorted(exp_dir.glob("[0-9]*epoch.pth"), key=lambda path: int(path.name.removesuffix("epoch.pth")))
    if 1 < len(epochs) < wanted:
        log.warning("averaging all %d epochs, because there are fewer than keep_nbest_models=%d", len(epochs), wanted)
        average = exp_dir / f"{part}.{name}.ave_{len(epochs)}best.pth"
        with atomic_write(average, "wb") as stream:
            torch.save(mean_state(epochs), stream)
        link.unlink()
        link.symlink_to(average.name)
    return link


def mean_state(paths: list[Path]) -> dict[str, torch.Tensor]:
    """The mean of the tensors in several files; integer tensors (counters) are those of the last file."""
    total: dict[str, torch.Tensor] = {}
    for path in paths:
        state = torch.load(path, map_location="cpu", weights_only=True)
        total = {name: total[name] + tensor if name in total and tensor.is_floating_point() else tensor for name, tensor in state.items()}
    return {name: tensor / len(paths) if tensor.is_floating_point() else tensor for name, tensor in total.items()}
