"""Checkpoints of NeMo, NVIDIA's code and Lightning: the weights that are evaluated, and the configuration in the file."""

import gzip
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from asrlib.config.base import read_yaml
from asrlib.convert.checkpoint_file import kind_of, read_checkpoint, weights_in
from asrlib.convert.torch_file import read_torch
from asrlib.convert.unpickle import plain
from asrlib.utils.arrays import Arrays
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)

WEIGHTS, CONFIG = "model_weights.ckpt", "model_config.yaml"  # of a .nemo archive
LARGEST_CONFIG = 10_000_000  # bytes
AVERAGE = "ema_state_dict"  # of NVIDIA's code
SETTINGS = ("hyper_parameters", "cfg", "config", "model_config")  # where a torch.save file may hold the toolkit's configuration


def read_model(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and configuration (empty if there is none) in a .nemo, torch.save or safetensors file, whatever its name.

    UserError: see asrlib.convert.checkpoint_file; an archive that is not NeMo's.
    """
    if kind_of(path) == "tar":
        return _read_archive(path)
    arrays, rest = read_checkpoint(path)
    if isinstance(rest.get(AVERAGE), dict):
        log.info("%s: %s is taken, the moving average of the weights, which is what is evaluated", path, AVERAGE)
        arrays = weights_in(rest[AVERAGE], str(path)).arrays
    settings = {key: plain(value) for key, value in rest.items() if key in ("labels", "vocabulary")}
    for key in SETTINGS:
        found = plain(rest.get(key))
        settings |= found if isinstance(found, Mapping) else {}
    return arrays, settings


def _read_archive(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """A .nemo archive. Only its two files are unpacked, into a temporary folder and under names of our own.

    UserError: one of them is missing, occurs twice, or is a link; a configuration larger than any.
    """
    with tempfile.TemporaryDirectory() as folder:
        targets = {name: Path(folder, name) for name in (WEIGHTS, CONFIG)}
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    target = targets.get(str(PurePosixPath(member.name)))
                    if target is None:
                        continue
                    if not member.isfile() or target.exists() or (target.name == CONFIG and member.size > LARGEST_CONFIG):
                        raise UserError(f"{path}: refused: {member.name} in the archive is a link, occurs twice or is too large")
                    with archive.extractfile(member) as source, target.open("wb") as copy:  # type: ignore[union-attr]
                        shutil.copyfileobj(source, copy)
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise UserError(f"{path}: not a .nemo archive, or damaged ({error}): download or copy it again") from None
        for name, target in targets.items():
            if not target.exists():
                raise UserError(f"{path}: not a model of NeMo: no {name} in the archive")
        try:
            return weights_in(read_torch(targets[WEIGHTS]), str(targets[WEIGHTS])).arrays, read_yaml(targets[CONFIG])
        except UserError as error:
            raise UserError(f"{path}: {str(error).replace(f'{folder}/', '')}") from None
