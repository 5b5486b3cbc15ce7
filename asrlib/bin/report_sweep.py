"""Writes the report of a sweep: error rates with intervals of every system against the pretraining updates or an ESPnet key, and a baseline.

Writes RESULTS.md, sweep.tsv (full precision) and sweep.png into --out, from the scores in EXP_DIR/decode_MODE/SET/score_{cer,wer} of each system.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--systems", required=True, type=Path, help="table of the systems (make_systems)")
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--sets", required=True, help='names of the sets, in the order of the columns: "dev test"')
    parser.add_argument("--mode", default="greedy", help="decoding mode: greedy, beam or joint")
    parser.add_argument("--unit", choices=("char", "word"), default="char", help="CER or WER")
    parser.add_argument("--axis", default="updates", help="x axis: updates, or a key in the systems' asr_args (optim_conf.lr)")
    parser.add_argument("--baseline", default="", help="name of the system to compare the others with")
    parser.add_argument("--command", default="", help="command line of the sweep, for the report")
    parser.add_argument("--published", type=Path, help="Markdown file with published results, for a section of its own")
    args = parser.parse_args(argv)

    from asrlib.config.systems import read_systems
    from asrlib.report.sweep import write_sweep

    systems = read_systems(args.systems)
    path = write_sweep(systems, args.out, args.sets.split(), args.mode, args.unit, args.axis, args.baseline, args.command, args.published)
    print(path.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    run(main)
