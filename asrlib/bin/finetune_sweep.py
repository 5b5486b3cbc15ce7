"""Fine-tunes every system of a table with one configuration, several in parallel; skips finished systems and resumes interrupted ones.

  finetune_sweep --systems systems.tsv --asr_config conf/asr_wav2vec2_ctc.yaml --train_dir dump/train --valid_dir dump/dev --tokens dump/tokens.txt

The table, which make_systems writes, has the columns name, upstream, checkpoint, updates, valid_loss, asr_args, exp_dir; asr_args holds
the ESPnet keys of that system, for example its learning rate. Each system is fine-tuned as by the command finetune.
"""

from pathlib import Path

from asrlib.utils.backend import add_backend, backend
from asrlib.utils.cli import Parser, assignments, run
from asrlib.utils.devices import add_asr_device
from asrlib.utils.former import start_over


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--systems", required=True, type=Path, help="table of the systems")
    parser.add_argument("--asr_config", required=True, type=Path, help="ESPnet's YAML, the same for all")
    parser.add_argument("--asr_args", default="", type=assignments, help="overrides for all systems; those of a system take precedence")
    parser.add_argument("--train_dir", required=True, type=Path, help="dump of the training set")
    parser.add_argument("--valid_dir", required=True, type=Path, help="dump of the validation set")
    parser.add_argument("--tokens", required=True, type=Path, help="token list (make_tokens)")
    parser.add_argument("--seed", type=int, help="seed; default: the configuration's")
    add_asr_device(parser, "where to train")
    parser.add_argument("--ngpu", type=int, default=1, help="processes of each fine-tuning: each takes a card, or a share of the cores; 0: CPU")
    parser.add_argument("--nj", type=int, default=0, help="parallel fine-tunings, which share cores and cards; 0: one per core, or per --ngpu cards")
    parser.add_argument("--memory_gb", type=float, help="memory limit of all parallel fine-tunings together in GB; default: the available memory")
    add_backend(parser, "fine-tunings run")
    parser.add_argument("--force", type=start_over, default="false", help="true: start over instead of resuming")
    args = parser.parse_args(argv)

    from asrlib.config.systems import read_systems

    systems = read_systems(args.systems)

    from asrlib.pt.finetune import Request
    from asrlib.pt.sweep import sweep

    overrides = (*args.asr_args, *([f"seed={args.seed}"] if args.seed is not None else []))
    files = (args.train_dir, args.valid_dir, args.tokens)
    common = Request(args.asr_config, overrides, *files, args.systems.parent, "", "", args.asr_device, args.ngpu, args.memory_gb)
    where = backend(args, "training" if args.asr_device == "cpu" or args.ngpu == 0 else "gpu")
    sweep(systems, common, args.systems.with_suffix(".log"), args.nj, where, args.force)


if __name__ == "__main__":
    run(main)
