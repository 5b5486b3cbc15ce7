"""The averaged model of a fine-tuning in ESPnet, also where it has had fewer epochs than are averaged."""

from pathlib import Path

import torch

from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write
from asrlib.utils.log import get_logger

log = get_logger(__name__)


def average_epochs(exp_dir: Path, values: dict) -> Path:
    """The file of the averaged model, of the first of best_model_criterion.

    ESPnet averages the best keep_nbest_models epochs; where a run has had fewer, because of max_epoch or patience, it silently takes the best one alone.
    Here all are averaged then, and the log says so. UserError: no epoch was finished.
    """
    part, name, _ = (values.get("best_model_criterion") or [["valid", "acc", "max"]])[0]
    link, wanted = exp_dir / f"{part}.{name}.ave.pth", values.get("keep_nbest_models", 10)
    wanted = max(wanted) if isinstance(wanted, list) else wanted
    if not link.exists():
        raise UserError(f"{link} was not made: see {exp_dir / 'train.log'}")
    epochs = sorted(exp_dir.glob("[0-9]*epoch.pth"), key=lambda path: int(path.name.removesuffix("epoch.pth")))
    if 1 < len(epochs) < wanted:
        log.warning("%d epochs of the %d that keep_nbest_models asks for: all are averaged", len(epochs), wanted)
        average = exp_dir / f"{part}.{name}.ave_{len(epochs)}best.pth"
        with atomic_write(average, "wb") as stream:
            torch.save(mean_state(epochs), stream)
        link.unlink()
        link.symlink_to(average.name)
    return link


def mean_state(paths: list[Path]) -> dict[str, torch.Tensor]:
    """The mean of the tensors in some files; of whole numbers (counters) the last one's."""
    total: dict[str, torch.Tensor] = {}
    for path in paths:
        state = torch.load(path, map_location="cpu", weights_only=True)
        total = {name: total[name] + tensor if name in total and tensor.is_floating_point() else tensor for name, tensor in state.items()}
    return {name: tensor / len(paths) if tensor.is_floating_point() else tensor for name, tensor in total.items()}
