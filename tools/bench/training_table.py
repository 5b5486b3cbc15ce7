"""All training steps against PyTorch's in one table for the README, on the machine at hand: seconds, ratios of time and memory, and under load.

training_table.py --load 2 --strict true
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from asrlib.report.provenance import processor
from asrlib.report.tables import markdown
from asrlib.utils.cli import Parser, boolean, run
from asrlib.utils.errors import UserError

FOLDER = Path(__file__).resolve().parent
CONF = FOLDER.parents[1] / "conf"
BOTH = ("--cases", "asrlib,torch")
STEPS = {
    "DeepSpeech2, 4 x 300 frames": ("train_step", *BOTH),
    "DeepSpeech2, 4 x 1,500 frames": ("train_step", *BOTH, "--frames", "1500", "--labels", "200"),
    "mini DeepSpeech2, 8 x 220 frames": (
        "train_step",
        *BOTH,
        "--train_config",
        f"{CONF}/mini/deepspeech2.yaml",
        "--batch_size",
        "8",
        "--frames",
        "220",
    ),
    "Jasper of 1 block and 3 sub-blocks, AdamW, 4 x 300 frames": (
        *("train_step", *BOTH, "--train_config", f"{CONF}/jasper.yaml"),
        *("--train_args", "model_conf.blocks=1", "model_conf.repeat=3", "optim.name=adamw", "trainer.ema=0"),
    ),
    "mini Jasper, 8 x 220 frames": (
        *("train_step", *BOTH, "--train_config", f"{CONF}/mini/jasper.yaml", "--batch_size", "8", "--frames", "220"),
        *("--train_args", "optim.name=adamw", "trainer.ema=0"),
    ),
    "HuBERT base, 5 s": ("pretrain_step", *BOTH),
    "HuBERT base, 2 x 10 s": ("pretrain_step", *BOTH, "--batch_size", "2", "--seconds", "10"),
    "mini HuBERT, 6 x 3.3 s": ("pretrain_step", *BOTH, "--pretrain_config", f"{CONF}/mini/hubert.yaml", "--batch_size", "6", "--seconds", "3.3"),
    "wav2vec 2.0 base, 5 s": ("pretrain_step", *BOTH, "--pretrain_config", f"{CONF}/wav2vec2_base.yaml"),
}
COLUMNS = ("step", "asrlib s", "PyTorch s", "time", "memory", "loss under load", "rounds")


def results(arguments: tuple[str, ...], repeats: int, load: int) -> dict:
    """What a benchmark writes to --out. UserError: it fails."""
    script, *options = arguments
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        command = [sys.executable, str(FOLDER / f"{script}.py"), *options, "--repeats", str(repeats), "--load", str(load), "--out", str(out)]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            raise UserError(f"{' '.join(command[1:])} failed: see its message above")
        return json.loads(out.read_text(encoding="utf-8"))


def rows(names: list[str], repeats: int, load: int) -> Iterator[tuple[list[str], int]]:
    """A row with COLUMNS for each step, and how many of its targets are missed."""
    for name in names:
        facts = results(STEPS[name], repeats, load)
        ours, torch = facts["results"]
        ratios = [f"{bar['ratio']:.2f}{'' if bar['met'] else ' (missed)'}" for bar in facts["bars"]]
        time, memory, loss = [*ratios, "-"][:3]
        yield (
            [name, f"{ours['median']:.3g}", f"{torch['median']:.3g}", time, memory, loss, str(repeats)],
            sum(not bar["met"] for bar in facts["bars"]),
        )


def main(argv=None) -> int | None:
    parser = Parser(__doc__)
    parser.add_argument("--steps", default="", help="part of the names of the steps to measure; default: all")
    parser.add_argument("--repeats", type=int, default=7, help="number of rounds")
    parser.add_argument("--load", type=int, default=0, help="number of busy processes beside a second measurement of every round")
    parser.add_argument("--strict", type=boolean, default=False, help="end with exit code 1 if a target is missed")
    args = parser.parse_args(argv)
    names = [name for name in STEPS if args.steps.lower() in name.lower()]
    if not names:
        raise UserError(f"--steps: no step {args.steps!r}; steps: {'; '.join(STEPS)}")
    print(f"{processor()}, load {os.getloadavg()[0]:.1f} before\n\n{markdown(COLUMNS, [])}", flush=True)
    missed = 0
    for row, count in rows(names, args.repeats, args.load):
        print("|" + "|".join(row) + "|", flush=True)
        missed += count
    if args.strict and missed:
        raise UserError(f"{missed} targets missed")
    return None


if __name__ == "__main__":
    run(main)
