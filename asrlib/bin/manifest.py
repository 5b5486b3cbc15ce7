"""Converts manifests of other toolkits to Kaldi data directories and back, and one manifest format to another.

  manifest --from data/train --to libri_train_manifest.csv
  manifest --from librispeech-train-clean-100-wav.json librispeech-train-clean-360-wav.json --to data/train
  manifest --from train.jsonl --to train.csv

Formats: kaldi (a data directory), csv (rows wav,txt), jsonl (root_path and samples), json (Jasper's list).
asrlib/corpora/manifests.py describes them, and where ids and speakers come from.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run

FORMATS = ["auto", "kaldi", "csv", "jsonl", "json"]


def get_parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument("--from", dest="sources", nargs="+", required=True, metavar="PATH", help="manifests or data directories to read and join")
    parser.add_argument("--to", dest="target", type=Path, required=True, metavar="PATH", help="manifest or data directory to write")
    parser.add_argument("--in_format", default="auto", choices=FORMATS, help="format of the sources; auto: detected from the content")
    parser.add_argument("--out_format", default="auto", choices=FORMATS, help="format of the target; auto: by its extension, without one kaldi")
    parser.add_argument("--root", type=Path, help="base folder of relative paths; default: the manifest's folder (kaldi: the current one)")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    from asrlib.corpora.manifests import format_of_target, merge, read, write

    samples = merge([read(source, args.in_format, args.root) for source in args.sources], args.sources)
    form = format_of_target(args.target) if args.out_format == "auto" else args.out_format
    write(samples, args.target, form)
    print(f"{args.target}: {len(samples)} utterances ({form})")


if __name__ == "__main__":
    run(main)
