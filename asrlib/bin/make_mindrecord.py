"""Writes the features of a dump directory as MindRecord shards to DUMP_DIR/mindrecord; training then reads these instead of the archives.

The shards hold the same values and take the same disk space again. Existing shards of the same features are kept.
"""

from pathlib import Path

from asrlib.utils.backend import add_backend, backend
from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--dump_dir", required=True, type=Path, help="directory that extract_features wrote")
    parser.add_argument("--num_shards", type=int, default=8, choices=range(1, 1001), metavar="1..1000", help="number of shards")
    parser.add_argument("--nj", type=int, default=0, help="parallel jobs; 0: as many as cores")
    add_backend(parser)
    args = parser.parse_args(argv)

    from asrlib.ms.data.mindrecord import write_shards
    from asrlib.utils.log import get_logger

    made = write_shards(args.dump_dir, args.num_shards, args.nj, backend(args))
    get_logger(__name__).info("%s: %s", args.dump_dir / "mindrecord", "written and compared with the archives" if made else "already up to date")


if __name__ == "__main__":
    run(main)
