"""Peak memory of training on batches of several lengths, after each update, in asrlib and in PyTorch, each in its own process.

  memory.py --config conf/deepspeech2.yaml --lengths 1500 1440 1380 --batch_size 4       lengths in frames, for waveforms in seconds
  memory.py --config conf/hubert_base.yaml --lengths 10 9.5 9 --batch_size 2

Every length is used twice: memory that the second round adds is a leak. The compilation time is the time of the first round minus that of the second.
"""

import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pretrain_step
import train_step
from common import Bar, report_bars

from asrlib.config.families import load_experiment_config
from asrlib.config.pretraining import PretrainConfig
from asrlib.utils.cli import Parser, assignments, boolean, run
from asrlib.utils.errors import UserError
from asrlib.utils.memory import GB, peak_memory


def measure(make, shapes, pipe) -> None:
    """Sends peak memory (bytes) and time (seconds) of every update."""
    step = make(shapes[0])
    for shape in shapes:
        begin = time.perf_counter()
        step(shape)
        pipe.send((peak_memory(), time.perf_counter() - begin))
    pipe.close()


def rows(make, shapes) -> list[tuple[float, float]]:
    context = get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=measure, args=(make, shapes, theirs))
    process.start()
    theirs.close()
    found = []
    for shape in shapes:
        try:
            found.append(mine.recv())
        except EOFError:
            raise UserError(f"the process stopped at {shape}: see the message above; without one it was killed, probably for memory") from None
        print(f"  {shape}: peak {found[-1][0] / GB:.2f} GB, {found[-1][1]:.1f} s", flush=True)
    process.join()
    return found


def makers(config):
    """The step of asrlib and that of PyTorch for a configuration, and a function (batch size, length) -> Shape."""
    if isinstance(config, PretrainConfig):
        return partial(pretrain_step.asrlib_step, config), partial(pretrain_step.torch_step, config), pretrain_step.Shape
    labels = 40
    return (
        partial(train_step.asrlib_step, config),
        partial(train_step.torch_step, config, packed=False),
        lambda size, length: train_step.Shape(size, round(length), labels),
    )


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="training or pretraining YAML")
    parser.add_argument("--args", type=assignments, default=[], help='keys of it to override, "key=value key=value"')
    parser.add_argument("--lengths", type=float, nargs="+", required=True, help="lengths in frames, for waveforms in seconds")
    parser.add_argument("--batch_size", type=int, default=2, help="utterances per batch")
    parser.add_argument("--cases", default="asrlib,torch", help="cases to measure")
    parser.add_argument("--strict", type=boolean, default=False, help="end with exit code 1 if a target is missed")
    args = parser.parse_args(argv)
    config = load_experiment_config(args.config, [*args.args, "optim.accumulate=1"])
    ours, theirs, shape_of = makers(config)
    shapes = [shape_of(args.batch_size, length) for length in args.lengths] * 2
    results = {}
    for name, make in (("asrlib", ours), ("torch", theirs)):
        if name in args.cases.split(","):
            print(name)
            results[name] = rows(make, shapes)
    bars, count = [], len(args.lengths)
    if "asrlib" in results:
        peaks, seconds = zip(*results["asrlib"], strict=True)
        print(f"compilation: {sum(seconds[:count]) - sum(seconds[count:]):.0f} s for {count} lengths")
        bars.append(Bar("peak memory after the last update over that after the second one", peaks[-1] / peaks[1], 1.1))
        if "torch" in results:
            bars.append(Bar("asrlib's memory over torch's", peaks[-1] / results["torch"][-1][0], 1.1))
    report_bars(bars, args.strict)


if __name__ == "__main__":
    run(main)
