"""Decodes data sets with a trained model; writes the hypotheses (text) and the real-time factor (rtf.json) to OUT/decode_MODE/SET.

A model trained from scratch reads dump directories with features; a model fine-tuned with ESPnet reads Kaldi directories. Utterances that cannot be
read are passed over, named, and listed in OUT/decode_MODE/SET/bad_utts.txt; the exit code is then 1.
Modes: greedy (CTC best path), beam (CTC prefix beam search, with an n-gram model if --lm is given); of fine-tuned models with an attention decoder
also joint (ESPnet's CTC/attention beam search), attention (the same without CTC) and attention_rescoring (hypotheses of the prefix beam search,
scored by the decoder). --nbest N also writes OUT/decode_MODE/SET/1best_recog to Nbest_recog as ESPnet does: text, token, token_int, score.
"""

from dataclasses import replace
from pathlib import Path

from asrlib.utils.backend import add_backend, backend
from asrlib.utils.cli import Parser, assignments, paths, run
from asrlib.utils.decoding import MODES, add_hotwords, hotwords
from asrlib.utils.devices import add_asr_device, add_ms_device


def main(argv=None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment of train or of finetune")
    parser.add_argument("--data_dirs", required=True, type=paths, help='data sets, "DIR ...": dump directories with features, or Kaldi directories')
    parser.add_argument("--out", required=True, type=Path, help="folder of the hypotheses")
    parser.add_argument("--modes", default="greedy", help=f'one or more of "{" ".join(MODES)}"')
    what = "of the search with attention or, without such a mode, of the prefix beam search"
    parser.add_argument("--inference_config", help=f"YAML with the settings {what}")
    parser.add_argument("--inference_args", default="", type=assignments, help='settings that override --inference_config, "key=value key=value"')
    parser.add_argument("--lm", type=Path, help="n-gram language model in ARPA format, for the beam search")
    parser.add_argument("--nbest", type=int, default=0, help="hypotheses of each utterance to write in ESPnet's layout; 0: the best text alone")
    add_hotwords(parser)
    parser.add_argument("--model", type=Path, help="weights to use instead of the experiment's model.safetensors")
    add_ms_device(parser, "where a model trained from scratch computes (MindSpore)")
    add_asr_device(parser, "where a fine-tuned model computes, one process on each card")
    parser.add_argument("--nj", type=int, default=0, help="number of processes; 0: as many as cores, for the network of a fine-tuned model as cards")
    add_backend(parser, "processes run (fine-tuned models only)")
    args = parser.parse_args(argv)

    from asrlib.config.base import load_config
    from asrlib.decode.beam import BeamConfig
    from asrlib.utils.errors import UserError
    from asrlib.utils.files import named_folder

    modes, data_dirs = args.modes.split(), [named_folder(path) for path in args.data_dirs]
    espnet = (args.exp_dir / "inference").is_dir()
    if wrong := [mode for mode in modes if mode not in MODES]:
        parser.error(f"--modes: '{wrong[0]}' is not one of {' '.join(MODES)}")
    if args.nbest < 0:
        parser.error("--nbest must be at least 0")
    if args.hotwords and not {"beam", "attention_rescoring"} & set(modes):
        parser.error("--hotwords needs mode beam or attention_rescoring")
    if not modes or not data_dirs:
        parser.error("--modes and --data_dirs need at least one value each")
    names = [path.name for path in data_dirs]
    if duplicates := [path for i, path in enumerate(data_dirs) if path.name in names[:i]]:
        raise UserError(f"--data_dirs: duplicate directory name {duplicates[0].name!r} ({duplicates[0]}): rename it, or decode it with another --out")
    attention = [mode for mode in modes if mode not in ("greedy", "beam")]
    if attention and not espnet:
        raise UserError(f"{args.exp_dir}: mode {attention[0]} needs a model fine-tuned with ESPnet: choose greedy or beam")
    lm = [f"lm={args.lm}"] if args.lm and {"beam", "attention_rescoring"} & set(modes) else []
    beam = load_config(None if attention else args.inference_config, BeamConfig, [*([] if attention else args.inference_args), *lm])
    beam = replace(beam, nbest=max(args.nbest, beam.nbest), **hotwords(args))
    if espnet:
        from asrlib.corpora.faults import exit_code
        from asrlib.corpora.kaldi_table import read_table
        from asrlib.pt.decode import decode_dirs
        from asrlib.pt.recogniser import JointConfig
        from asrlib.utils.parallel import cores

        search = load_config(args.inference_config if attention else None, JointConfig, args.inference_args if attention else [])
        where = backend(args, "array" if args.asr_device == "cpu" else "gpu")
        lists = decode_dirs(args.exp_dir, data_dirs, args.out, modes, beam, search, args.nj or cores(), args.asr_device, where, args.nbest)
        return max([0, *(exit_code(len(read_table(path).rows), folder, path) for folder, path in lists.items())])

    from asrlib.ms.inference.acoustic import AcousticModel
    from asrlib.ms.inference.decode import decode_dumps

    model = AcousticModel.load(args.exp_dir, args.model, args.device)
    decode_dumps(model, data_dirs, args.out, modes, beam, args.nj, args.nbest)
    return 0


if __name__ == "__main__":
    run(main)
