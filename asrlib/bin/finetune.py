"""Fine-tunes with ESPnet on hidden states of an s3prl upstream or on log-mel features; resumes an interrupted run after its last complete epoch.

--train_dir and --valid_dir are folders that dump_speech wrote. Writes asr.yaml (the resolved configuration), train.log, images/ (curves,
layer weights), tensorboard/ and inference/ (a model that takes audio) into --exp_dir.
"""

from pathlib import Path

from asrlib.utils.cli import Parser, assignments, run
from asrlib.utils.devices import add_asr_device
from asrlib.utils.former import start_over


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--asr_config", required=True, type=Path, help="ESPnet's YAML; data, tokens, frontend and output folder are filled in")
    parser.add_argument("--asr_args", default="", type=assignments, help='overrides, "key=value key=value"; nested keys have dots (optim_conf.lr)')
    parser.add_argument("--train_dir", required=True, type=Path, help="dump of the training set")
    parser.add_argument("--valid_dir", required=True, type=Path, help="dump of the validation set")
    parser.add_argument("--tokens", required=True, type=Path, help="token list (make_tokens)")
    parser.add_argument("--exp_dir", required=True, type=Path, help="folder of the experiment")
    parser.add_argument("--upstream", default="", help="upstream of s3prl: progre_local, hubert_local, ...; empty: log-mel features")
    parser.add_argument("--upstream_model", default="", help="checkpoint of the upstream")
    parser.add_argument("--seed", type=int, help="seed; default: the configuration's")
    add_asr_device(parser, "where to train")
    parser.add_argument("--ngpu", type=int, default=1, help="processes, which divide every batch: each takes a card, or a share of the cores; 0: CPU")
    parser.add_argument("--force", type=start_over, default="false", help="true: start over instead of resuming")
    parser.add_argument("--memory_gb", type=float, help="memory limit of training on CPUs in GB; default: the available memory")
    args = parser.parse_args(argv)

    from asrlib.pt.finetune import Request, finetune

    overrides = (*args.asr_args, *([f"seed={args.seed}"] if args.seed is not None else []))
    data, upstream = (args.train_dir, args.valid_dir, args.tokens), (args.upstream, args.upstream_model)
    request = Request(args.asr_config, overrides, *data, args.exp_dir, *upstream, args.asr_device, args.ngpu, args.memory_gb)
    finetune(request, args.force)


if __name__ == "__main__":
    run(main)
