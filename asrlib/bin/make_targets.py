"""Makes targets of self-supervised pretraining for a Kaldi directory, in DUMP_DIR/targets.

  make_targets --type mfcc --name km100 --num_clusters 100 ...                  clusters of MFCC frames (HuBERT's first iteration)
  make_targets --type layer --exp_dir exp/TAG --layer 6 --num_clusters 500 ...  clusters of a model's hidden states (second iteration)
  make_targets --type pitch ...                                                 pitch of every frame (ProgRE)
  make_targets --type speakers --speakers labels|clusters ...                   speaker of every utterance (ProgRE)

Clusters are learnt on --data_dir, or taken from --centroids. A table beside them tells how well they match the characters of the transcripts.
Utterances that cannot be read are passed over, named, and listed in DUMP_DIR/targets/NAME.bad_utts.txt; the exit code is then 1.
"""

from pathlib import Path

from asrlib.utils.backend import add_backend, backend
from asrlib.utils.cli import Parser, boolean, run


def get_parser() -> Parser:
    parser = Parser(__doc__)
    parser.add_argument("--data_dir", required=True, type=Path, help="Kaldi directory")
    parser.add_argument("--dump_dir", required=True, type=Path, help="output folder; the targets are written to DUMP_DIR/targets")
    parser.add_argument("--type", required=True, choices=("mfcc", "layer", "pitch", "speakers"), help="what to make")
    parser.add_argument("--name", default="clusters", help="name of the clusters")
    parser.add_argument("--num_clusters", type=int, default=100, help="clusters to learn")
    parser.add_argument("--centroids", type=Path, help="apply the centroids of this file instead of learning")
    parser.add_argument("--portion", type=float, default=0.1, help="portion of the utterances to learn from")
    parser.add_argument("--max_gb", type=float, default=4.0, help="memory of these frames; more of them are thinned out at random")
    parser.add_argument("--inits", type=int, default=20, help="initialisations of k-means")
    parser.add_argument("--cmvn", type=boolean, default=False, help="with --type mfcc: normalise each utterance to mean 0, deviation 1 (HuBERT: no)")
    parser.add_argument("--exp_dir", type=Path, help="with --type layer: experiment of the model")
    parser.add_argument("--layer", type=int, default=6, help="with --type layer: number of the hidden state; 0: input of the first layer")
    parser.add_argument("--speakers", choices=("labels", "clusters"), default="labels", help="speakers of utt2spk, or clusters of the voices")
    parser.add_argument("--num_speakers", type=int, default=100, help="with --speakers clusters: number of clusters")
    parser.add_argument("--seed", type=int, default=1, help="seed of sampling and clustering")
    parser.add_argument("--nj", type=int, default=0, help="parallel jobs; 0: one per core")
    add_backend(parser)
    return parser


def main(argv=None) -> int:
    parser = get_parser()
    args = parser.parse_args(argv)
    if args.type == "layer" and args.exp_dir is None:
        parser.error("--type layer needs --exp_dir")

    from asrlib.corpora.faults import exit_code
    from asrlib.corpora.kaldi_dir import KaldiDir
    from asrlib.features.clusters import Learning, cluster_targets
    from asrlib.features.targets import Jobs, MfccFrames, bad_listing, make_pitch, make_speakers
    from asrlib.utils.log import get_logger
    from asrlib.utils.parallel import cores

    log = get_logger(__name__)
    targets = args.dump_dir / "targets"
    utterances = list(KaldiDir.read(args.data_dir).utterances())
    jobs = Jobs(args.nj or cores(), backend(args), targets / "log" / args.type)
    if args.type == "pitch":
        path = targets / "pitch.safetensors"
        curves, bad = make_pitch(utterances, path, jobs)
        log.info("%s: pitch of %d utterances -> %s", args.data_dir, len(curves), path)
    elif args.type == "speakers":
        path = targets / "speakers.json"
        classes, bad = make_speakers(utterances, args.speakers, args.num_speakers, args.seed, path, jobs)
        log.info("%s: %d speakers -> %s", args.data_dir, classes, path)
    else:
        if args.type == "mfcc":
            frames = MfccFrames(args.cmvn)
        else:
            from asrlib.ms.inference.upstream import LayerFrames

            frames = LayerFrames(args.exp_dir, args.layer)
        path = targets / f"{args.name}.safetensors"
        how = args.centroids or Learning(args.type, args.num_clusters, args.portion, args.max_gb, args.inits, args.seed)
        labels, quality, bad = cluster_targets(utterances, frames, path, how, jobs)
        log.info("%s: clusters of %d utterances -> %s", args.data_dir, len(labels), path)
        for name, value in quality.items():
            print(f"{name:20} {value:.4g}")
    return exit_code(len(bad), args.data_dir, bad_listing(path))


if __name__ == "__main__":
    run(main)
