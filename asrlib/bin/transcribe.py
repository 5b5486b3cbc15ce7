"""Transcribes audio files with a model of any kind: an experiment (trained from scratch or fine-tuned), or a file of asrlib pack.

  transcribe --model exp/TAG talk.flac recordings/                  one line of text for each file
  transcribe --model model.zip --format srt --out subtitles talk.flac
  arecord -q -f S16_LE -r 16000 - | transcribe --model exp/TAG --stream -

Formats: text (NAME words...), json (one object per line: words with times and confidences, with --nbest N also N hypotheses), ctm (with confidences),
srt and vtt (one file of subtitles per recording). NAME is the name of the file without its extension, with `_` for spaces and with its folders if
another file has the same name. Long recordings are split into overlapping windows, with --vad true in pauses, of which only speech is transcribed.
Times are those of the most probable CTC path through the text. A recording shorter than a frame has an empty text. Files that cannot be read are
passed over and named; the exit code is then 1. The real-time factor is logged at the end.

--stream - transcribes standard input while it arrives: 16-bit PCM, raw or as WAV. The model must be causal: a DeepSpeech2 that was trained with
model_conf.bidirectional=false features.normalize_causal=true. In format text words are written as soon as they are known, other formats at the end;
Ctrl-C ends the recording. Mode greedy only. The look-ahead of the model, the time of each chunk and the real-time factor are logged.
"""

import sys
import time
from pathlib import Path

from asrlib.utils.cli import Parser, assignments, boolean, run
from asrlib.utils.decoding import MODES, add_hotwords, hotwords
from asrlib.utils.devices import add_asr_device, add_ms_device

SUBTITLES = ("srt", "vtt")


def main(argv=None) -> int:
    args = _arguments(argv)
    if args.stream:
        return _stream(args)

    from asrlib.api.transcribe import find_audio, formatted
    from asrlib.utils.errors import UserError
    from asrlib.utils.files import atomic_write
    from asrlib.utils.log import get_logger
    from asrlib.utils.progress import progress

    log = get_logger(__name__)
    model = _model(args)
    files, faults = find_audio(args.audio)
    lines, done, total, begin = [], 0, 0.0, time.perf_counter()
    for path, name in progress(files.items(), desc="transcribing", unit="file"):
        try:
            result = model.transcribe(path, nbest=args.nbest, channel=args.channel, vad=args.vad)
        except UserError as error:
            faults.append(error)
            continue
        content = formatted(result, path, name, args.format, args.channel or 1, args.nbest)
        done, total = done + 1, total + result.seconds
        if args.format in SUBTITLES:
            with atomic_write((args.out or Path()) / f"{name}.{args.format}") as stream:
                stream.write(content)
        else:
            lines.append(content)
    if args.format not in SUBTITLES and args.out:
        with atomic_write(args.out) as stream:
            stream.writelines(lines)
    elif args.format not in SUBTITLES:
        sys.stdout.writelines(lines)
    log.info("%.1f s of audio, real-time factor %.4f", total, (time.perf_counter() - begin) / max(total, 1e-9))
    for fault in faults:
        log.error("passed over: %s", fault)
    if faults:
        log.error("%d files transcribed, %d passed over", done, len(faults))
    return 1 if faults else 0


def _arguments(argv):
    parser = Parser(__doc__)
    parser.add_argument("audio", nargs="*", type=Path, help="audio files, or folders that hold audio files (wav, flac, ogg, mp3, sph, aiff, ...)")
    parser.add_argument("--model", "--exp_dir", required=True, type=Path, help="experiment of train or of finetune, or a file of asrlib pack")
    what = "framework that computes a model trained from scratch; default: the first that is there and installed"
    parser.add_argument("--framework", choices=("mindspore", "pytorch", "mindir", "onnx"), help=what)
    parser.add_argument("--mode", choices=MODES, help="default: that of a packed model, else greedy; see asrlib decode --help")
    parser.add_argument("--lm", type=Path, help="n-gram language model in ARPA format, for --mode beam; default: the model's own")
    parser.add_argument("--inference_args", default="", type=assignments, help='settings of the search, "key=value key=value"')
    add_hotwords(parser)
    parser.add_argument("--nbest", type=int, default=1, help="hypotheses of the search in --format json")
    parser.add_argument("--format", choices=("text", "json", "ctm", *SUBTITLES), default="text", help="output format")
    parser.add_argument("--out", type=Path, help="output file, of subtitles a folder; default: standard output, of subtitles the current folder")
    parser.add_argument("--channel", type=int, help="channel to transcribe, from 1; default: recordings whose channels differ are passed over")
    parser.add_argument("--vad", type=boolean, default=False, help="cut recordings that are longer than a window where nobody speaks (Silero)")
    parser.add_argument("--window", type=float, default=30.0, help="length of a window in seconds")
    parser.add_argument("--overlap", type=float, default=4.0, help="overlap of two windows in seconds")
    parser.add_argument("--stream", choices=("-",), help="transcribe standard input, 16-bit PCM or WAV, as it arrives")
    parser.add_argument("--stream_rate", type=int, help="rate of raw samples in Hz; default: the model's")
    parser.add_argument("--chunk", type=float, default=0.1, help="seconds of a stream that are computed at once")
    add_ms_device(parser, "where MindSpore computes")
    add_asr_device(parser, "where PyTorch computes")
    args = parser.parse_args(argv)
    if bool(args.audio) == bool(args.stream):
        parser.error("give audio files, or --stream - for standard input")
    if args.stream and (args.mode not in (None, "greedy") or args.hotwords or args.lm):
        parser.error("--stream has mode greedy only, without language model and hot words")
    if args.chunk <= 0 or (args.stream_rate is not None and args.stream_rate < 1):
        parser.error("--chunk and --stream_rate must be above 0")
    if not 0 <= args.overlap < args.window:
        parser.error("--overlap must be at least 0 and less than --window")
    if args.channel is not None and args.channel < 1:
        parser.error("--channel must be at least 1")
    if args.nbest < 1 or (args.nbest > 1 and args.format != "json"):
        parser.error("--nbest must be at least 1, and --format json writes more than one")
    return args


def _stream(args) -> int:
    """Transcribes standard input while it arrives."""
    from asrlib.api.load import load_stream
    from asrlib.api.transcribe import formatted, listen
    from asrlib.corpora.pcm import PcmPipe
    from asrlib.utils.files import atomic_write
    from asrlib.utils.log import get_logger

    model = load_stream(args.model)  # says at once what is wrong with it
    pipe = PcmPipe(sys.stdin.buffer, args.stream_rate or model.rate, args.channel and args.channel - 1)
    if pipe.rate != model.rate:
        model = load_stream(args.model, pipe.rate)
    live = args.format == "text" and not args.out
    result, speed = listen(model, pipe.blocks(args.chunk), sys.stdout if live else None)
    content = "" if live else formatted(result, "-", "stdin", args.format, args.channel or 1)
    if args.out:
        with atomic_write(args.out / f"stdin.{args.format}" if args.format in SUBTITLES else args.out) as stream:
            stream.write(content)
    else:
        sys.stdout.write(content)
    get_logger(__name__).info("%s", speed)
    return 0


def _model(args):
    """An asrlib.api.model.Model with the options' settings."""
    import asrlib
    from asrlib.config.base import override_values

    search: dict = {}
    override_values(search, args.inference_args, "--inference_args")
    device = "npu" if args.device == "Ascend" else args.asr_device
    model = asrlib.load(args.model, mode=args.mode, lm=args.lm, search=search | hotwords(args), framework=args.framework, device=device)
    model.window, model.overlap = args.window, args.overlap
    if model.mode in ("beam", "attention_rescoring"):
        model.beam_decoder()  # says what is wrong with its settings before the first file
    return model


if __name__ == "__main__":
    run(main)
