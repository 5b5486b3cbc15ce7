"""Trains a model from scratch in MindSpore, or resumes a killed run.

Writes config.yaml (resolved), tokens.txt, history.jsonl, tensorboard/, images/training.png, checkpoints/, state.safetensors and, at the end,
model.safetensors into --exp_dir.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, assignments, boolean, run
from asrlib.utils.devices import add_ms_device
from asrlib.utils.former import start_over


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--train_config", required=True, help="training YAML")
    parser.add_argument("--train_args", default="", type=assignments, help='overrides, "key=value key=value"')
    parser.add_argument("--train_dir", required=True, type=Path, help="dump directory of the training set")
    parser.add_argument("--valid_dir", required=True, type=Path, help="dump directory of the validation set")
    parser.add_argument("--tokens", required=True, type=Path, help="token list")
    parser.add_argument("--exp_dir", required=True, type=Path, help="output folder")
    parser.add_argument("--pretrained_model", type=Path, help="weights to start from, as convert --to ms writes them, with their token list")
    parser.add_argument("--seed", type=int, help="random seed; overrides trainer.seed")
    add_ms_device(parser)
    parser.add_argument("--force", type=start_over, default="false", help="true: delete the run in --exp_dir and start over instead of resuming it")
    parser.add_argument("--memory_gb", type=float, help="GB of memory that training may use; default: what the machine or its container has")
    parser.add_argument(
        "--profile", type=boolean, default=False, help="write MindSpore's trace of ten updates to EXP_DIR/profile, log the dearest operators"
    )
    args = parser.parse_args(argv)

    from asrlib.config.families import load_train_config

    overrides = args.train_args + ([f"trainer.seed={args.seed}"] if args.seed is not None else [])
    config = load_train_config(args.train_config, overrides)

    from asrlib.ms.objectives.ctc import Ctc
    from asrlib.ms.training.run import train
    from asrlib.text.labels import require_token_list

    if args.pretrained_model:
        require_token_list(args.pretrained_model, args.tokens)
    objective = Ctc.from_dirs(config, args.train_dir, args.valid_dir, args.tokens)
    train(objective, args.exp_dir, args.pretrained_model, args.device, args.force, args.memory_gb, args.profile)


if __name__ == "__main__":
    run(main)
