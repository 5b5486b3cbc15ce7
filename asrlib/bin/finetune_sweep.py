"""Fine-tunes every system of a table with one configuration, some side by side; what is finished is not done again, what was killed goes on.

  finetune_sweep --systems systems.tsv --asr_config conf/asr_wav2vec2_ctc.yaml --train_dir dump/train --valid_dir dump/dev --tokens dump/tokens.txt --nj 2

The table has the columns name, upstream, checkpoint, updates, valid_loss, asr_args, exp_dir (make_systems writes it); asr_args are keys that differ, as in a sweep
of the learning rate. Each fine-tuning is that of `finetune`.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, assignments, boolean, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--systems", required=True, type=Path, help="table of the systems")
    parser.add_argument("--asr_config", required=True, type=Path, help="ESPnet's YAML, the same for all")
    parser.add_argument("--asr_args", default="", type=assignments, help="overrides for all; those of a system win")
    parser.add_argument("--train_dir", required=True, type=Path, help="dump of the training set")
    parser.add_argument("--valid_dir", required=True, type=Path, help="dump of the validation set")
    parser.add_argument("--tokens", required=True, type=Path, help="token list (make_tokens)")
    parser.add_argument("--seed", type=int, help="instead of the configuration's")
    parser.add_argument("--ngpu", type=int, default=0, help="GPUs of each; 0: CPU")
    parser.add_argument("--nj", type=int, default=0, help="fine-tunings at a time, which share the cores; 0: as many as cores, with GPUs one")
    parser.add_argument("--cmd_backend", choices=("local", "slurm"), default="local", help="where they run")
    parser.add_argument("--force", type=boolean, default=False, help="start over instead of going on with what is there")
    args = parser.parse_args(argv)

    from asrlib.config.systems import read_systems

    systems = read_systems(args.systems)

    from asrlib.pt.finetune import Request
    from asrlib.pt.sweep import sweep

    overrides = (*args.asr_args, *([f"seed={args.seed}"] if args.seed is not None else []))
    common = Request(args.asr_config, overrides, args.train_dir, args.valid_dir, args.tokens, args.systems.parent, ngpu=args.ngpu)
    sweep(systems, common, args.systems.with_suffix(".log"), args.nj, args.cmd_backend, args.force)


if __name__ == "__main__":
    run(main)
