"""Dumps Kaldi directories for ESPnet's fine-tuning, each to OUT/NAME: audio, or the hidden states of a frozen upstream, computed once.

  dump_speech --data_dirs "data/train data/dev" --out dump/asr
  dump_speech --data_dirs "data/train data/dev" --out dump/asr --upstream progre_local --upstream_model exp/TAG/pt/progre.pt

The first line dumps audio (for log-mel features, or an upstream that is trained). The second one dumps hidden states: with --cache_states auto only
if they take at most --cache_gb and the configuration in --asr_config, if given, does not train the upstream. Utterances that cannot be read are
passed over, named, and listed in OUT/NAME/bad_utts.txt; the exit code is then 1.
"""

from pathlib import Path

from asrlib.utils.backend import add_backend, backend
from asrlib.utils.cli import Parser, assignments, paths, run


def main(argv=None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--data_dirs", required=True, type=paths, help="Kaldi directories")
    parser.add_argument("--out", required=True, type=Path, help="output folder")
    parser.add_argument("--upstream", default="", help="s3prl upstream: progre_local, hubert_local, ...; default: dump audio")
    parser.add_argument("--upstream_model", default="", help="checkpoint of the upstream")
    parser.add_argument("--cache_states", choices=("auto", "true", "false"), default="auto", help="write hidden states instead of audio")
    parser.add_argument("--cache_gb", type=float, default=50.0, help="with --cache_states auto: GB that the hidden states may take")
    parser.add_argument("--asr_config", type=Path, help="ESPnet's fine-tuning YAML: audio is dumped for an upstream that it trains")
    parser.add_argument("--asr_args", default="", type=assignments, help="overrides of --asr_config, as for finetune")
    parser.add_argument("--shortest", type=float, default=0.1, help="seconds; shorter utterances are skipped")
    parser.add_argument("--longest", type=float, default=20.0, help="seconds; longer utterances are skipped")
    parser.add_argument("--nj", type=int, default=0, help="parallel jobs; 0: one per core")
    add_backend(parser)
    args = parser.parse_args(argv)

    from asrlib.corpora.faults import BAD_UTTS, exit_code
    from asrlib.pt.dump import Caching, Limits, dump, upstream_to_cache
    from asrlib.utils.files import named_folder
    from asrlib.utils.log import get_logger
    from asrlib.utils.parallel import cores

    log = get_logger(__name__)
    caching = Caching(args.cache_states, args.cache_gb, args.asr_config, args.asr_args)
    source = upstream_to_cache(args.upstream, args.upstream_model, args.data_dirs, args.out, caching)
    code = 0
    for folder in map(named_folder, args.data_dirs):
        count, bad = dump(folder, args.out / folder.name, source, Limits(args.shortest, args.longest), args.nj or cores(), backend(args))
        log.info("%s: %s of %d utterances -> %s", folder, "hidden states" if source else "audio", count, args.out / folder.name)
        code |= exit_code(len(bad), folder, args.out / folder.name / BAD_UTTS)
    return code


if __name__ == "__main__":
    run(main)
