"""Lists the parameters of the model of a training or pretraining configuration, with their shapes; the last line is the total."""

from asrlib.utils.cli import Parser, assignments, run


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("--train_config", required=True, help="training or pretraining YAML")
    parser.add_argument("--train_args", default="", type=assignments, help='overrides, "key=value key=value"')
    parser.add_argument("--vocab_size", type=int, default=29, help="number of labels, including the blank")
    args = parser.parse_args(argv)

    from asrlib.config.families import load_experiment_config

    config = load_experiment_config(args.train_config, args.train_args)

    from asrlib.ms.models import make_network

    network = make_network(config, args.vocab_size)
    parameters = network.trainable_params()
    width = max(len(p.name) for p in parameters)
    for p in parameters:
        print(f"{p.name:{width}}  {str(tuple(p.shape)):>20}  {p.size:>12,}")
    print(f"size in float32: {4 * sum(p.size for p in parameters) / 2**20:.2f} MiB")
    print(f"total parameters: {sum(p.size for p in parameters)}")


if __name__ == "__main__":
    run(main)
