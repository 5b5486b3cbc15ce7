"""Estimates what a recipe needs on disk and in memory, before anything is computed, and stops if there is less.

  estimate --sources "LibriSpeech/train-clean-100 LibriSpeech/dev-clean" --train_config conf/deepspeech2.yaml
  estimate --sources data/train --pretrain_configs conf/hubert_base.yaml --asr_config conf/asr_conformer.yaml --cache_states true

Hours are those of utt2dur, of a sample of the audio files, or the published ones of a corpus that is yet to be downloaded. What is in DUMP_DIR and
EXP_DIR already counts as done. Memory: of a training step on the CPU; batches that do not fit whole are computed in parts.
"""

from argparse import Namespace
from pathlib import Path

from asrlib.utils.cli import Parser, assignments, boolean, paths, run


def get_parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument(
        "--sources", type=paths, default="", help="Kaldi directories or folders with audio files; of a known corpus they may be missing"
    )
    parser.add_argument("--corpus", default="", help="name of the corpus, as for prepare_data")
    parser.add_argument("--dump_dir", type=Path, default=Path("dump"), help="folder of features, targets and hidden states")
    parser.add_argument("--exp_dir", type=Path, default=Path("exp"), help="folder of experiments")
    parser.add_argument("--train_config", type=Path, help="configuration of a training with CTC")
    parser.add_argument("--train_args", default="", type=assignments, help="its overrides")
    parser.add_argument("--num_shards", type=int, default=0, help="MindRecord shards; 0: none")
    parser.add_argument(
        "--pretrain_configs", default="", type=paths, help="configuration of each iteration of a pretraining, the last one's model is fine-tuned"
    )
    parser.add_argument("--pretrain_args", default="", type=assignments, help="their overrides")
    parser.add_argument("--pretrained", type=boolean, default=False, help="the model is there: only its fine-tuning counts")
    parser.add_argument("--asr_config", type=Path, help="ESPnet's configuration of the fine-tuning")
    parser.add_argument("--asr_args", default="", type=assignments, help="its overrides")
    parser.add_argument("--systems", type=int, default=1, help="fine-tunings, each with hidden states of its own; 0 counts as one")
    parser.add_argument("--cache_states", choices=("auto", "true", "false"), default="auto", help="as for dump_speech")
    parser.add_argument("--cache_gb", type=float, default=50.0, help="as for dump_speech")
    parser.add_argument("--device", default="CPU", help="device of the training: memory is estimated of CPUs only")
    parser.add_argument("--memory_gb", type=float, help="memory that the training may use; default: what is available")
    parser.add_argument("--shortage", choices=("stop", "warn"), default="stop", help="what to do if there is less than is needed")
    return parser


def main(argv=None) -> None:
    args = get_parser().parse_args(argv)
    from asrlib.config.needs import shortage
    from asrlib.corpora.hours import corpus_hours
    from asrlib.utils.errors import UserError
    from asrlib.utils.log import get_logger
    from asrlib.utils.memory import GB, available_memory
    from asrlib.utils.space import free_space, nearest, size_of

    found, faults, devices = corpus_hours(args.sources, args.corpus), [], {}
    for hours, origin in found:
        print(f"{hours:8.1f} hours  {origin}")
    if args.sources and not found:
        print("hours unknown: only experiment and memory are estimated")
    dump, exp, memory = needs(args, sum(hours for hours, _ in found))
    for folder, wanted in ((args.dump_dir, dump), (args.exp_dir, exp)):
        for need in wanted:
            print(f"{need.gigabytes:8.1f} GB     {need.what}")
        devices.setdefault(nearest(folder).stat().st_dev, []).append((folder, wanted))
    for parts in devices.values():
        folders, wanted = [folder for folder, _ in parts], [need for _, needed in parts for need in needed]
        faults += shortage(wanted, sum(map(size_of, folders)) / GB, free_space(folders[0]) / GB, " and ".join(map(str, folders)))
    available = args.memory_gb or 0.9 * available_memory() / GB
    for name, least, whole in memory if args.device == "CPU" else ():
        print(f"{whole:8.1f} GB     memory of {name} with whole batches; {least:.1f} GB with single utterances, {available:.1f} GB may be used")
        if least > available:
            what = f"training of {name} needs {least:.1f} GB of memory for its longest utterance alone, {available:.1f} GB may be used"
            faults.append(f"{what}: lower batch.max_seconds, or set trainer.recompute=true")
    if faults and args.shortage == "stop":
        raise UserError("; ".join(faults) + "; --shortage warn goes on anyway")
    for fault in faults:
        get_logger(__name__).warning("%s", fault)


def needs(args: Namespace, hours: float):
    """What the dump folder and the folder of experiments have to hold, and (training, least and most memory in GB) of each training."""
    from asrlib.config.families import load_pretrain_config, load_train_config
    from asrlib.config.needs import checkpoints, features, targets, training_memory
    from asrlib.pt.models import count_parameters

    dump, exp, trained = [], [], []
    if args.train_config:
        config = load_train_config(args.train_config, args.train_args)
        trained, dump = [(args.train_config.stem, config)], features(config, hours, args.num_shards)
    pretrained = [load_pretrain_config(path, args.pretrain_args) for path in args.pretrain_configs]
    if pretrained and not args.pretrained:
        trained, dump = [(path.stem, config) for path, config in zip(args.pretrain_configs, pretrained, strict=True)], targets(pretrained, hours)
    counts = [count_parameters(config) for _, config in trained]
    exp = [checkpoints(config, count) for (_, config), count in zip(trained, counts, strict=True)]
    if pretrained and args.asr_config:
        more = _tuning(args, pretrained[-1], hours)
        dump, exp = dump + more[0], exp + more[1]
    return dump, exp, [(name, *training_memory(config, count)) for (name, config), count in zip(trained, counts, strict=True)]


def _tuning(args: Namespace, config, hours: float):
    """The same for ESPnet's fine-tuning."""
    from asrlib.config.base import override_values, read_yaml
    from asrlib.config.needs import Need, states, tuned
    from asrlib.pt.models import count_parameters
    from asrlib.pt.s3prl_upstream import cacheable

    values, systems = read_yaml(args.asr_config), max(1, args.systems)
    override_values(values, args.asr_args, args.asr_config)
    size, dump = states(config, hours), []
    cached = args.cache_states != "false" and cacheable(values) and (args.cache_states == "true" or size <= args.cache_gb)
    if cached:
        dump = [Need(f"hidden states of {systems} upstreams" if systems > 1 else "hidden states", size * systems, "--cache_states false")]
    elif cacheable(values) and args.cache_states == "auto":
        print(f"{size:8.1f} GB     hidden states exceed --cache_gb {args.cache_gb:g}: they are computed anew in every epoch")
    return dump, [tuned(int(values.get("keep_nbest_models", 10)), 0 if cached else count_parameters(config), systems)]


if __name__ == "__main__":
    run(main)
