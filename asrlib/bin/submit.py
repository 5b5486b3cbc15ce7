"""Runs a command as a job on Slurm, shows its output and waits for it; SIGTERM and Ctrl-C cancel the job.

  submit --kind training --slurm_args "mem=16G training.time=3-0" --log_dir EXP/log/slurm/train -- train --exp_dir EXP ...

Resumed after it was killed, it first cancels the job that it has left. On several machines (--machines), the command runs on each.
"""

from pathlib import Path

from asrlib.utils.backend import HELP, KINDS, Backend
from asrlib.utils.cli import Parser, assignments, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--kind", choices=KINDS, default="training", help="kind of the job in --slurm_args")
    parser.add_argument("--machines", type=int, default=1, help="number of machines")
    parser.add_argument("--slurm_args", default="", type=assignments, help=HELP)
    parser.add_argument("--log_dir", required=True, type=Path, help="folder of the job's files and its log")
    args, name, options = parser.parse_command(argv)

    from asrlib.utils.submit import submit

    submit(name, options, args.log_dir, Backend("slurm", tuple(args.slurm_args), args.kind, args.machines))


if __name__ == "__main__":
    run(main)
