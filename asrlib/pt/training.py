"""ESPnet's trainer: its log, progress and errors, in this process or in several, each on a device of its own (DistributedDataParallel)."""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from espnet2.tasks.asr import ASRTask

from asrlib.pt import frontends, upstreams
from asrlib.pt.device import BACKENDS, Device, activate, is_memory_fault
from asrlib.pt.frontends import TRAINED
from asrlib.pt.ranks import Rank, run_ranks
from asrlib.pt.saves import whole_saves
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger
from asrlib.utils.memory import GB, peak_memory
from asrlib.utils.progress import progress

log = get_logger(__name__)


def register() -> None:
    """Registers our upstreams with s3prl and our frontends with ESPnet in this process."""
    upstreams.register()
    frontends.register()


def train(config: Path, values: Mapping[str, Any], device: Device, processes: int) -> None:
    """Runs ESPnet on the YAML file `config`, whose content is `values`; its log is train.log beside it.

    processes: each takes a card, or a share of the CPU's cores, and its share of every batch: ESPnet divides the batches of the configuration, and
    gradients are averaged by utterances, so that the updates are those of one process. Networks with batch normalisation differ: each process
    normalises with its own share. UserError: ESPnet failed or a process was killed; the others are ended.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise UserError(f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, as under torchrun: start one process with --ngpu N, which starts the others")
    options = ["--unused_parameters", "true"] if values.get("frontend") == TRAINED and "unused_parameters" not in values else []
    if processes > 1:
        log.info("%d processes on %s, each with its share of every batch", processes, "the CPU" if device.kind == "cpu" else f"{device.kind} cards")
        run_ranks(_train_rank, processes, config, dict(values), device.kind, options)
    else:
        _train_rank(Rank(), config, values, device.kind, [])


def _train_rank(rank: Rank, config: Path, values: Mapping[str, Any], kind: str, options: Sequence[str]) -> None:
    """What a process of the training does."""
    activate(kind)
    register()
    words = ["--config", str(config), "--ngpu", "0" if kind == "cpu" else "1", *options]
    if rank.size > 1:
        os.environ.setdefault("NCCL_DEBUG", "WARN")  # ESPnet's default is INFO
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all processes are on this machine, whose name may not resolve
        words += ["--multiprocessing_distributed", "false", "--dist_backend", BACKENDS[kind], "--dist_init_method", f"file://{rank.meeting}"]
        words += ["--dist_world_size", str(rank.size), "--dist_rank", str(rank.number), "--local_rank", str(rank.number)]
    _run_espnet(words, config.parent, rank, values)
    if rank.size > 1:  # not after an error: it might wait for the others
        torch.distributed.destroy_process_group()
    if rank.number == 0:
        log.info("peak memory %.1f GB%s", peak_memory() / GB, f" of the first of {rank.size} processes" if rank.size > 1 else "")
        if kind == "cuda":
            log.info("peak memory of the card %.1f GB", torch.cuda.max_memory_allocated() / GB)


def _run_espnet(words: list[str], exp_dir: Path, rank: Rank, values: Mapping[str, Any]) -> None:
    """ESPnet's main, with the log of the first process in train.log and a progress bar, that of process N in train.rankN.log."""
    file = exp_dir / ("train.log" if rank.number == 0 else f"train.rank{rank.number}.log")
    handlers: list[logging.Handler] = [logging.FileHandler(file, encoding="utf-8")]
    handlers[0].setFormatter(logging.Formatter("%(asctime)s (%(module)s:%(lineno)d) %(levelname)s: %(message)s"))
    if rank.number == 0:
        handlers.append(EpochProgress(values.get("max_epoch", 40)))
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    root.handlers, root.level = handlers, logging.INFO if rank.number == 0 else logging.WARNING
    try:
        with whole_saves():
            ASRTask.main(cmd=words)
    except Exception as error:
        root.exception("fine-tuning failed")
        where = f" in process {rank.number}" if rank.size > 1 else ""
        text = f"ESPnet failed{where}: {type(error).__name__}: {' '.join(str(error).split())[:300]}: see {file}"
        raise UserError(text + _remedy(error, values)) from error
    finally:
        for handler in reversed(handlers):
            handler.close()
        root.handlers, root.level = before, level


def _remedy(error: Exception, values: Mapping[str, Any]) -> str:
    """What to set after an error that has a remedy."""
    if is_memory_fault(error):
        key = "batch_bins" if values.get("batch_type", "folded") in ("numel", "length") else "batch_size"
        smaller = f"{key}={max(1, values.get(key, 20) // 2)} accum_grad={2 * values.get('accum_grad', 1)}"
        amp = "" if values.get("use_amp") else ", or use_amp=true on a card"
        return f'; give --asr_args "{smaller}" for the same updates with half of the memory{amp}'
    if "world_size" in str(error):
        return "; give a smaller --ngpu (recipes: --asr_ngpu), or larger batches"
    return ""


class EpochProgress(logging.Handler):
    """Turns ESPnet's log into a progress bar over all batches and a line per epoch."""

    BATCHES = re.compile(r"\[train\] Batch sampler: .*N-batch=(\d+)")
    STEP = re.compile(r"(\d+)epoch:train:\d+-(\d+)batch: (.*)")
    EPOCH = re.compile(r"(\d+)epoch results: \[train\] (.*?), \[valid\] (.*?)(, \[att_plot\].*)?$")
    SHOWN = ("loss", "acc", "cer_ctc", "cer")

    def __init__(self, epochs: int):
        super().__init__(logging.INFO)
        self.epochs, self.batches, self.bar = epochs, 0, None

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if found := self.BATCHES.search(message):
            self.batches = int(found[1])
        elif found := self.STEP.search(message):
            self._to((int(found[1]) - 1) * self.batches + int(found[2]), self._numbers(found[3]))
        elif found := self.EPOCH.search(message):
            self._to(int(found[1]) * self.batches, "")
            log.info("epoch %s: training %s; validation %s", found[1], self._numbers(found[2]), self._numbers(found[3]))
        elif record.levelno >= logging.ERROR:
            log.error("%s", message.splitlines()[0])

    def _to(self, position: int, text: str) -> None:
        if self.bar is None:
            self.bar = progress(desc="fine-tuning", total=self.epochs * self.batches, unit="batch", initial=position)
        self.bar.set_postfix_str(text, refresh=False)
        self.bar.update(position - self.bar.n)

    def _numbers(self, text: str) -> str:
        values = dict(part.split("=", 1) for part in text.split(", ") if "=" in part)
        return " ".join(f"{name} {values[name]}" for name in self.SHOWN if values.get(name, "nan") != "nan")

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        super().close()
