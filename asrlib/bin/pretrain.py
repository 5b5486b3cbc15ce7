"""Pretrains a self-supervised model in MindSpore, or resumes a killed run.

Writes config.yaml (resolved), history.jsonl, tensorboard/, images/training.png, checkpoints/, state.safetensors and, at the end,
model.safetensors into --exp_dir.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, assignments, boolean, run
from asrlib.utils.devices import add_ms_device
from asrlib.utils.former import start_over


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--pretrain_config", required=True, help="pretraining YAML")
    parser.add_argument("--pretrain_args", default="", type=assignments, help='overrides, "key=value key=value"')
    parser.add_argument("--train_dir", required=True, type=Path, help="Kaldi directory of the training set")
    parser.add_argument("--valid_dir", required=True, type=Path, help="Kaldi directory of the validation set")
    parser.add_argument("--train_targets", type=Path, help="folder of the training targets (DUMP_DIR/targets); not for wav2vec 2.0")
    parser.add_argument("--valid_targets", type=Path, help="folder of the validation targets; not for wav2vec 2.0")
    parser.add_argument("--name", default="clusters", help="name of the clusters")
    parser.add_argument("--exp_dir", required=True, type=Path, help="output folder")
    parser.add_argument("--pretrained_model", type=Path, help="weights to start from (.safetensors)")
    parser.add_argument("--seed", type=int, help="random seed; overrides trainer.seed")
    add_ms_device(parser)
    parser.add_argument("--force", type=start_over, default="false", help="true: delete the run in --exp_dir and start over instead of resuming it")
    parser.add_argument("--memory_gb", type=float, help="GB of memory that training may use; default: what the machine or its container has")
    parser.add_argument(
        "--profile", type=boolean, default=False, help="write MindSpore's trace of ten updates to EXP_DIR/profile, log the dearest operators"
    )
    args = parser.parse_args(argv)

    from asrlib.config.families import load_pretrain_config

    overrides = args.pretrain_args + ([f"trainer.seed={args.seed}"] if args.seed is not None else [])
    config = load_pretrain_config(args.pretrain_config, overrides)
    if config.uses_clusters and not (args.train_targets and args.valid_targets):
        parser.error(f"{config.model} needs --train_targets and --valid_targets (stage 2 makes them)")

    from asrlib.ms.objectives import objective_of
    from asrlib.ms.training.run import train

    targets = (args.train_targets, args.valid_targets) if config.uses_clusters else None
    objective = objective_of(config).from_dirs(config, args.train_dir, args.valid_dir, targets, args.name)
    train(objective, args.exp_dir, args.pretrained_model, args.device, args.force, args.memory_gb, args.profile)


if __name__ == "__main__":
    run(main)
