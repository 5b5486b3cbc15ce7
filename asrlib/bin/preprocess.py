"""Writes the features of a set as binary files, one utterance each, for inference with an exported model (MindIR) on another machine.

  preprocess --exp_dir exp/TAG --data_dir dump/test_clean --out preprocess_Result
  infer --mindir exp/TAG/mindir/model.mindir --inputs preprocess_Result --out result_Files
  postprocess --exp_dir exp/TAG --inputs preprocess_Result --results result_Files --ref data/test_clean/text --out exp/TAG/decode_mindir/test_clean

asrlib/ms/inference/binaries.py describes the files.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment of train")
    parser.add_argument("--data_dir", required=True, type=Path, help="dump directory with features")
    parser.add_argument("--out", type=Path, default=Path("preprocess_Result"), help="output folder")
    parser.add_argument("--frames", type=int, default=0, help="pad every utterance to so many frames, for a graph of fixed shape; 0: no padding")
    args = parser.parse_args(argv)

    from asrlib.config.families import load_train_config
    from asrlib.ms.inference.binaries import write_inputs

    count = write_inputs(args.data_dir, args.out, load_train_config(args.exp_dir / "config.yaml").features.dim, args.frames)
    print(f"{args.out}: {count} utterances")


if __name__ == "__main__":
    run(main)
