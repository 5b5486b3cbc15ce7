"""Converts manifests of other toolkits to Kaldi data directories and back, and one manifest format to another.

  manifest --from data/train --to libri_train_manifest.csv
  manifest --from librispeech-train-clean-100-wav.json librispeech-train-clean-360-wav.json --to data/train
  manifest --from train.jsonl --to train.csv
  manifest --from train_manifest.json --to data/train             (NeMo: audio_filepath, duration, text, offset)
  manifest --from data/dev --files LibriSpeech_dataset/val --to LibriSpeech_dataset/libri_val_manifest.csv

Formats: kaldi (a data directory), csv (rows wav,txt), jsonl (root_path and samples), json (Jasper's list), nemo (read only).
asrlib/corpora/manifests.py describes them, and where ids and speakers come from; json alone has durations, those of the headers. Entries that cannot
be read are passed over and named; the exit code is then 1. The last line writes a set in the layout of MindSpore's DeepSpeech2, with its audio as wav
files and its transcripts as txt files; its sets are train, val, test_clean and test_other.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run

FORMATS = ["auto", "kaldi", "csv", "jsonl", "json", "nemo"]


def get_parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument("--from", dest="sources", nargs="+", required=True, metavar="PATH", help="manifests or data directories to read and join")
    parser.add_argument("--to", dest="target", type=Path, required=True, metavar="PATH", help="manifest or data directory to write")
    parser.add_argument("--in_format", default="auto", choices=FORMATS, help="format of the sources; auto: detected from the content")
    parser.add_argument("--out_format", default="auto", choices=FORMATS[:-1], help="format of the target; auto: by its extension, without one kaldi")
    parser.add_argument("--root", type=Path, help="base folder of relative paths; default: the manifest's folder (kaldi: the current one)")
    parser.add_argument("--wav_dir", type=Path, help="folder for utterances that are no whole files, which are written there as wav (not for kaldi)")
    parser.add_argument("--files", type=Path, help="folder that gets wav/ID.wav (16 kHz, 16 bits) and txt/ID.txt of each utterance, for the target")
    parser.add_argument("--nj", type=int, default=0, help="parallel jobs of --files; 0: one per core")
    return parser


def main(argv=None) -> int:
    args = get_parser().parse_args(argv)
    from asrlib.corpora.librispeech_wav import write_set
    from asrlib.corpora.manifests import format_of_target, read, write
    from asrlib.corpora.samples import Faults
    from asrlib.utils.log import get_logger

    log, faults = get_logger(__name__), Faults(strict=False)
    samples = read(args.sources, args.in_format, args.root, faults)
    form = format_of_target(args.target) if args.out_format == "auto" else args.out_format
    count = write(write_set(list(samples), args.files, args.nj) if args.files else samples, args.target, form, args.wav_dir, faults)
    print(f"{args.target}: {count} utterances ({form})")
    for fault in faults.errors:
        log.error("passed over: %s", fault)
    if faults.errors:
        log.error("%d entries passed over", len(faults.errors))
    return 1 if faults.errors else 0


if __name__ == "__main__":
    run(main)
