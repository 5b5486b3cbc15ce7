"""Transcribes audio files with a model trained from scratch or fine-tuned with ESPnet.

  transcribe --exp_dir exp/TAG talk.flac recordings/                  one line of text for each file
  transcribe --exp_dir exp/TAG --format srt --out subtitles talk.flac

Formats: text (NAME words...), json (one object per line, words with times), ctm, srt (one file per recording). Long recordings are split into
overlapping windows. Times come from the best CTC path; --mode beam gives no times. The real-time factor is logged at the end.
"""

import json
import sys
import time
from pathlib import Path

from asrlib.utils.cli import Parser, run

SUFFIXES = (".wav", ".flac", ".ogg")


def main(argv=None) -> None:
    parser = Parser(__doc__)
    parser.add_argument("audio", nargs="+", type=Path, help="audio files, or folders that hold wav, flac or ogg files")
    parser.add_argument("--exp_dir", required=True, type=Path, help="experiment of train or of finetune")
    parser.add_argument("--mode", choices=("greedy", "beam"), default="greedy", help="CTC best path or prefix beam search")
    parser.add_argument("--lm", type=Path, help="n-gram language model in ARPA format, for --mode beam")
    parser.add_argument("--format", choices=("text", "json", "ctm", "srt"), default="text", help="output format")
    parser.add_argument("--out", type=Path, help="output file, with srt a folder; default: standard output, with srt the current folder")
    parser.add_argument("--window", type=float, default=30.0, help="length of a window in seconds")
    parser.add_argument("--overlap", type=float, default=4.0, help="overlap of two windows in seconds")
    parser.add_argument("--device", choices=("CPU", "GPU", "Ascend"), default="CPU", help="where the model computes")
    args = parser.parse_args(argv)
    if args.format in ("ctm", "srt") and args.mode == "beam":
        parser.error(f"--format {args.format} needs times, which --mode beam does not give")
    if not 0 <= args.overlap < args.window:
        parser.error("--overlap must be at least 0 and less than --window")

    from asrlib.config.base import load_config
    from asrlib.corpora.audio import read_audio
    from asrlib.decode.beam import BeamConfig
    from asrlib.decode.longform import ctm, srt, stitched, timed_words, windows
    from asrlib.decode.run import decode_all
    from asrlib.utils.files import atomic_write
    from asrlib.utils.log import get_logger
    from asrlib.utils.progress import progress

    model = _model(args.exp_dir, args.device)
    beam = load_config(None, BeamConfig, [f"lm={args.lm}"] if args.lm else [])
    lines, seconds, begin = [], 0.0, time.perf_counter()
    for path in progress(_files(args.audio), desc="transcribing", unit="file"):
        audio = read_audio(path, model.rate)
        spans = windows(len(audio), round(args.window * model.rate), round(args.overlap * model.rate))
        log_probs = stitched(model.log_probs([audio[a:b] for a, b in spans]), spans)
        length = len(audio) / model.rate
        seconds += length
        text = decode_all([log_probs], model.tokens, model.blank, args.mode, beam, 1, model.separator)[0]
        words = timed_words(log_probs, model.tokens, model.blank, model.separator, length) if args.mode == "greedy" else []
        if args.format == "srt":
            with atomic_write((args.out or Path()) / f"{path.stem}.srt") as stream:
                stream.write(srt(words, "" if " " not in text and len(words) > 1 and all(len(w.text) == 1 for w in words) else " "))
        elif args.format == "json":
            facts = {"name": path.stem, "audio": str(path), "seconds": round(length, 3), "text": text}
            timed = [{"word": w.text, "begin": round(w.begin, 3), "end": round(w.end, 3)} for w in words]
            lines.append(json.dumps(facts | {"words": timed}, ensure_ascii=False) + "\n")
        else:
            lines.append(ctm(path.stem, words) if args.format == "ctm" else f"{path.stem} {text}\n")
    if args.format != "srt" and args.out:
        with atomic_write(args.out) as stream:
            stream.writelines(lines)
    elif args.format != "srt":
        sys.stdout.writelines(lines)
    get_logger(__name__).info("%.1f s of audio, real-time factor %.4f", seconds, (time.perf_counter() - begin) / max(seconds, 1e-9))


def _model(exp_dir: Path, device: str):
    """A model with rate, tokens, blank, separator and log_probs(audios)."""
    if (exp_dir / "inference").is_dir():
        from asrlib.pt.decode import CtcTranscriber

        return CtcTranscriber(exp_dir, "cuda" if device == "GPU" else "cpu")
    from asrlib.ms.inference.acoustic import CtcTranscriber

    return CtcTranscriber(exp_dir, device)


def _files(paths: list[Path]) -> list[Path]:
    from asrlib.utils.errors import UserError

    found = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        if not inside:
            raise UserError(f"{path}: no wav, flac or ogg file in it")
        found += inside
    names: dict[str, Path] = {}
    for path in found:
        if names.setdefault(path.stem, path) != path:
            raise UserError(f"{names[path.stem]} and {path} have the same name: rename one, or transcribe them in two calls")
    return found


if __name__ == "__main__":
    run(main)
