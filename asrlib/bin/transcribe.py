"""Transcribes audio files with a model trained from scratch or fine-tuned with ESPnet.

  transcribe --exp_dir exp/TAG talk.flac recordings/                  one line of text for each file
  transcribe --exp_dir exp/TAG --format srt --out subtitles talk.flac

Formats: text (NAME words...), json (one object per line, words with times), ctm, srt (one file per recording). NAME is the name of the file without
its extension, with `_` for spaces and with its folders if another file has the same name. Long recordings are split into overlapping windows. Times
come from the best CTC path; --mode beam gives no times. A recording shorter than a frame has an empty text. Files that cannot be read are passed
over and named; the exit code is then 1. The real-time factor is logged at the end.
"""

import sys
import time
from pathlib import Path

from asrlib.utils.cli import Parser, run
from asrlib.utils.devices import add_asr_device, add_ms_device


def main(argv=None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("audio", nargs="+", type=Path, help="audio files, or folders that hold audio files (wav, flac, ogg, mp3, sph, aiff, ...)")
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment of train or of finetune")
    parser.add_argument("--mode", choices=("greedy", "beam"), default="greedy", help="CTC best path or prefix beam search")
    parser.add_argument("--lm", type=Path, help="n-gram language model in ARPA format, for --mode beam")
    parser.add_argument("--format", choices=("text", "json", "ctm", "srt"), default="text", help="output format")
    parser.add_argument("--out", type=Path, help="output file, with srt a folder; default: standard output, with srt the current folder")
    parser.add_argument("--channel", type=int, help="channel to transcribe, from 1; default: recordings whose channels differ are passed over")
    parser.add_argument("--window", type=float, default=30.0, help="length of a window in seconds")
    parser.add_argument("--overlap", type=float, default=4.0, help="overlap of two windows in seconds")
    add_ms_device(parser, "where a model trained from scratch computes (MindSpore)")
    add_asr_device(parser, "where a fine-tuned model computes")
    args = parser.parse_args(argv)
    if args.format in ("ctm", "srt") and args.mode == "beam":
        parser.error(f"--format {args.format} needs times, which --mode beam does not give")
    if not 0 <= args.overlap < args.window:
        parser.error("--overlap must be at least 0 and less than --window")
    if args.channel is not None and args.channel < 1:
        parser.error("--channel must be at least 1")

    from asrlib.config.base import load_config
    from asrlib.decode.beam import BeamConfig
    from asrlib.decode.transcribe import Settings, find_audio, transcribe
    from asrlib.utils.errors import UserError
    from asrlib.utils.files import atomic_write
    from asrlib.utils.log import get_logger
    from asrlib.utils.progress import progress

    log = get_logger(__name__)
    model = _model(args.exp_dir, args.asr_device if (args.exp_dir / "inference").is_dir() else args.device)
    beam = load_config(None, BeamConfig, [f"lm={args.lm}"] if args.lm else [])
    settings = Settings(args.mode, args.format, args.window, args.overlap, args.channel and args.channel - 1, beam)
    files, faults = find_audio(args.audio)
    lines, done, total, begin = [], 0, 0.0, time.perf_counter()
    for path, name in progress(files.items(), desc="transcribing", unit="file"):
        try:
            content, seconds = transcribe(model, path, name, settings)
        except UserError as error:
            faults.append(error)
            continue
        done, total = done + 1, total + seconds
        if args.format == "srt":
            with atomic_write((args.out or Path()) / f"{name}.srt") as stream:
                stream.write(content)
        else:
            lines.append(content)
    if args.format != "srt" and args.out:
        with atomic_write(args.out) as stream:
            stream.writelines(lines)
    elif args.format != "srt":
        sys.stdout.writelines(lines)
    log.info("%.1f s of audio, real-time factor %.4f", total, (time.perf_counter() - begin) / max(total, 1e-9))
    for fault in faults:
        log.error("passed over: %s", fault)
    if faults:
        log.error("%d files transcribed, %d passed over", done, len(faults))
    return 1 if faults else 0


def _model(exp_dir: Path, device: str):
    """An asrlib.decode.transcribe.Transcriber."""
    if (exp_dir / "inference").is_dir():
        from asrlib.pt.recogniser import CtcTranscriber

        return CtcTranscriber(exp_dir, device)
    from asrlib.ms.inference.acoustic import CtcTranscriber

    return CtcTranscriber(exp_dir, device)


if __name__ == "__main__":
    run(main)
