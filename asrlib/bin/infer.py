"""Runs an exported model (MindIR) over the files of preprocess and writes its outputs, as float32 and int32, to result_Files.

With MindSpore Lite where it is installed, else with MindSpore. The network's code and the experiment are not needed.
"""

import importlib.util
from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--mindir", required=True, type=Path, help="exported model, EXP/mindir/model.mindir")
    parser.add_argument("--inputs", type=Path, default=Path("preprocess_Result"), help="folder that preprocess has written")
    parser.add_argument("--out", type=Path, default=Path("result_Files"), help="output folder")
    parser.add_argument("--runtime", choices=("auto", "lite", "mindspore"), default="auto", help="auto: MindSpore Lite if it is installed")
    parser.add_argument("--device", choices=("CPU", "GPU", "Ascend"), default="CPU", help="where the model computes")
    parser.add_argument("--device_id", type=int, default=0, help="number of the device")
    args = parser.parse_args(argv)

    from asrlib.ms.inference.binaries import infer
    from asrlib.utils.errors import UserError

    installed = importlib.util.find_spec("mindspore_lite") is not None
    if args.runtime == "lite" and not installed:
        raise UserError("--runtime lite: mindspore_lite is not installed: install MindSpore Lite, or choose mindspore")
    if args.runtime == "mindspore" or not installed:
        from asrlib.ms.inference.mindir import load_mindir as load
    else:
        from asrlib.ms.inference.lite import load_lite as load

    count = infer(load(args.mindir, args.device, args.device_id), args.inputs, args.out)
    print(f"{args.out}: {count} utterances")


if __name__ == "__main__":
    run(main)
