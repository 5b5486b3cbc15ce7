"""Extracts the features of a Kaldi directory: writes archives, feats.scp, utt2num_frames, utt2dur and copies of its tables to --dump_dir.

Utterances that cannot be read are passed over, named, and listed in DUMP_DIR/bad_utts.txt; the exit code is then 1.
"""

from pathlib import Path

from asrlib.utils.backend import add_backend, backend
from asrlib.utils.cli import Parser, assignments, boolean, run


def main(argv=None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--train_config", required=True, help="training YAML; its section `features` is used")
    parser.add_argument("--train_args", default="", type=assignments, help='overrides, "key=value key=value"')
    parser.add_argument("--data_dir", required=True, type=Path, help="Kaldi directory")
    parser.add_argument("--dump_dir", required=True, type=Path, help="folder of the features")
    parser.add_argument("--nj", type=int, default=1, help="parallel jobs")
    add_backend(parser)
    parser.add_argument("--compress", type=boolean, default=False, help="store one byte per value: a quarter of the disk space")
    parser.add_argument("--allow_pipes", type=boolean, default=False, help="run the commands in wav.scp")
    args = parser.parse_args(argv)

    from asrlib.config.families import load_train_config
    from asrlib.corpora.faults import BAD_UTTS, exit_code
    from asrlib.features.extract import extract
    from asrlib.utils.log import get_logger

    config = load_train_config(args.train_config, args.train_args)
    facts = extract(args.data_dir, args.dump_dir, config.features, args.nj, backend(args), args.compress, args.allow_pipes)
    log = get_logger(__name__)
    log.info(
        "%s: %d utterances, %.2f hours, %d frames of %d bins -> %s",
        args.data_dir, facts["utterances"], facts["hours"], facts["frames"], config.features.dim, args.dump_dir,
    )  # fmt: skip
    return exit_code(int(facts["passed_over"]), args.data_dir, args.dump_dir / BAD_UTTS)


if __name__ == "__main__":
    run(main)
