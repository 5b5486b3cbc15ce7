"""Runs a command of MindSpore's training in several processes, on one machine or on each of several that share the folder --log_dir.

  launch --processes 8 --log_dir EXP/log/launch -- train --exp_dir EXP ...
  NODE_RANK=1 launch --processes 8 --machines 2 --log_dir EXP/log/launch -- train --exp_dir EXP ...

On several machines, start it on each: NODE_RANK is its number, and the first (0) has its address in MASTER_ADDR and, if only some ports are open, the
port in MASTER_PORT. The output of the first process is shown, that of the others is in LOG_DIR/worker_RANK.log.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--processes", required=True, type=int, help="processes on each machine, one on each device")
    parser.add_argument("--machines", type=int, default=1, help="number of machines")
    parser.add_argument("--log_dir", required=True, type=Path, help="logs of the processes; the machines meet in this folder")
    parser.add_argument("--alive", type=Path, help="file that the run on the first machine locks")
    parser.add_argument("--passed", type=Path, help="file that it touches when it goes on")
    args, name, options = parser.parse_command(argv)

    from asrlib.utils.launch import FirstMachine, Machine, launch

    launch(name, options, args.processes, Machine.here(args.machines), args.log_dir, FirstMachine(args.alive, args.passed))


if __name__ == "__main__":
    run(main)
