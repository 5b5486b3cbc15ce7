"""How long commands take before they begin: wall and CPU time of fresh processes, with warm caches, as a user waits for them.

Cases: python, an empty program; help, `asrlib --help`; transcribe_help; recogniser and finetune, the imports of decoding and fine-tuning in ESPnet;
espnet, what decoding in ESPnet itself imports; with --exp_dir and --wav also transcribe, the text of one file.
"""

import os
import statistics
import sys
import time
from pathlib import Path

from common import Bar, report_bars

from asrlib.report.provenance import processor
from asrlib.utils.cli import Parser, boolean, run
from asrlib.utils.errors import UserError

PROGRAMS = {
    "python": ["-c", ""],
    "help": ["-m", "asrlib", "--help"],
    "transcribe_help": ["-m", "asrlib.bin.transcribe", "--help"],
    "recogniser": ["-c", "import asrlib.pt.recogniser"],
    "finetune": ["-c", "import asrlib.pt.finetune"],
    "espnet": ["-c", "import espnet2.bin.asr_inference"],
}


def seconds(arguments: list[str]) -> tuple[float, float]:
    """Wall and CPU time of a Python process. UserError: it fails."""
    begin = time.perf_counter()
    pid = os.posix_spawn(
        sys.executable, [sys.executable, *arguments], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    )
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise UserError(f"python {' '.join(arguments)} failed: see its message above")
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime


def main(argv=None) -> int | None:
    parser = Parser(__doc__)
    parser.add_argument("--cases", default=",".join(PROGRAMS), help="cases to time")
    parser.add_argument("--repeats", type=int, default=5, help="number of rounds")
    parser.add_argument("--exp_dir", type=Path, help="experiment of a model, for the case transcribe")
    parser.add_argument("--wav", type=Path, help="audio file for it")
    parser.add_argument("--strict", type=boolean, default=False, help="end with exit code 1 if a target is missed")
    args = parser.parse_args(argv)
    if (args.exp_dir is None) != (args.wav is None):
        parser.error("give --exp_dir and --wav together, or neither")
    programs = {name: PROGRAMS[name] for name in args.cases.split(",") if name in PROGRAMS}
    if unknown := set(args.cases.split(",")) - set(programs):
        raise UserError(f"--cases: no case {min(unknown)!r}; cases: {', '.join(PROGRAMS)}")
    if args.exp_dir:
        programs["transcribe"] = ["-m", "asrlib.bin.transcribe", "--exp_dir", str(args.exp_dir), str(args.wav)]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for name, program in programs.items():
        seconds(program)  # fills the caches
        print(f"{name}: warm", file=sys.stderr)
    for _ in range(args.repeats):
        for name, program in programs.items():
            found[name].append(seconds(program))
    medians = {name: [statistics.median(column) for column in zip(*times, strict=True)] for name, times in found.items()}
    print(f"{processor()}\n{'case':16}{'wall s':>9}{'CPU s':>9}")
    for name, (wall, cpu) in medians.items():
        print(f"{name:16}{wall:9.2f}{cpu:9.2f}")
    limits = {"help": 0.5, "transcribe_help": 0.5, "transcribe": 5.0}
    report_bars([Bar(f"seconds of {name}", medians[name][0], limit) for name, limit in limits.items() if name in medians], args.strict)
    return None


if __name__ == "__main__":
    run(main)
