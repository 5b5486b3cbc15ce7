"""Joint CTC/attention decoding of a fine-tuned model: asrlib, a batch at a time, against ESPnet's asr_inference, an utterance at a time.

With --exp_dir and --data_dir, a model and a Kaldi directory of a recipe. Without them, the conformer of conf/asr_conformer.yaml on log-mel features
with random weights and sharpened outputs, on noise, with as many tokens as AISHELL-1 has per second. Both cases have one thread and must give the
same texts; `search` and `espnet_search` time the beam search alone, on outputs of the encoder that are computed before.
"""

import argparse
import logging
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

from common import ONE_THREAD, Bar, Case, chosen, measure, parser, report

from asrlib.utils.cli import run
from asrlib.utils.errors import UserError

RATE = 16000
TOKENS, SECONDS, PER_FRAME = 4233, (2.0, 4.0, 6.0, 8.0), 0.13  # AISHELL-1: 4,233 tokens; 14.4 characters in 4.5 s, of 25 frames each
ROOT = Path(__file__).resolve().parents[2]


def random_experiment(folder: Path) -> None:
    """Writes folder/inference with the published conformer and random weights."""
    import torch
    import yaml
    from espnet2.tasks.asr import ASRTask

    from asrlib.pt.espnet_config import LOGMEL, read_asr_config

    values = read_asr_config(ROOT / "conf/asr_conformer.yaml", ()) | LOGMEL | {"normalize": None}
    values["encoder_conf"] |= {"input_layer": "conv2d"}
    tokens = ["<blank>", "<unk>", *(chr(0x4E00 + i) for i in range(TOKENS - 3)), "<sos/eos>"]
    values |= {"token_list": tokens, "token_type": "char", "specaug": None, "preencoder_conf": {}, "init": None}
    config = {**ASRTask.get_default_config(), **values}
    torch.manual_seed(0)
    model = ASRTask.build_model(argparse.Namespace(**config))
    for layer in (model.ctc.ctc_lo, model.decoder.output_layer):
        layer.weight.data *= 6
    (folder / "inference").mkdir(parents=True)
    (folder / "inference/config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    torch.save(model.state_dict(), folder / "inference/model.pth")


def audios(data_dir: str, utterances: int) -> list:
    """The first utterances of the Kaldi directory, or noise: (samples,) at 16 kHz each."""
    import numpy as np

    from asrlib.corpora.kaldi_dir import KaldiDir

    if data_dir:
        return [utterance.audio(RATE) for _, utterance in zip(range(utterances), KaldiDir.read(Path(data_dir)).utterances(), strict=False)]
    rng = np.random.default_rng(0)
    return [0.1 * rng.normal(size=round(RATE * SECONDS[i % len(SECONDS)])).astype(np.float32) for i in range(utterances)]


def recogniser(exp_dir: str, data_dir: str, beam_size: int, device: str):
    from asrlib.pt.recogniser import JointConfig, Recogniser

    return Recogniser(Path(exp_dir), JointConfig(beam_size=beam_size, maxlenratio=0.0 if data_dir else PER_FRAME), device)


def speech2text(exp_dir: str, data_dir: str, beam_size: int, device: str):
    from espnet2.bin.asr_inference import Speech2Text

    from asrlib.pt.training import register

    logging.getLogger("espnet.nets.beam_search").setLevel(logging.ERROR)
    register()
    files = {"asr_train_config": f"{exp_dir}/inference/config.yaml", "asr_model_file": f"{exp_dir}/inference/model.pth"}
    return Speech2Text(**files, beam_size=beam_size, maxlenratio=0.0 if data_dir else PER_FRAME, lm_weight=0.0, device=device)


def asrlib(exp_dir: str, data_dir: str, utterances: int, beam_size: int, device: str) -> Callable[[], list[str]]:
    from asrlib.pt.decode import BATCH

    model, speech, size = recogniser(exp_dir, data_dir, beam_size, device), audios(data_dir, utterances), BATCH[device]
    return lambda: [found[0].text for i in range(0, len(speech), size) for found in model(speech[i : i + size], "joint")]


def espnet(exp_dir: str, data_dir: str, utterances: int, beam_size: int, device: str) -> Callable[[], list[str]]:
    model, speech = speech2text(exp_dir, data_dir, beam_size, device), audios(data_dir, utterances)
    return lambda: [model(audio)[0][0] for audio in speech]


def search(exp_dir: str, data_dir: str, utterances: int, beam_size: int, device: str) -> Callable[[], list[str]]:
    from asrlib.pt.decode import BATCH

    model, size = recogniser(exp_dir, data_dir, beam_size, device), BATCH[device]
    encoded = [model.encode(audio) for audio in audios(data_dir, utterances)]
    return lambda: [found[0].text for i in range(0, len(encoded), size) for found in model.search(encoded[i : i + size])]


def espnet_search(exp_dir: str, data_dir: str, utterances: int, beam_size: int, device: str) -> Callable[[], list[str]]:
    import torch

    model = speech2text(exp_dir, data_dir, beam_size, device)
    encode = recogniser(exp_dir, data_dir, beam_size, device).encode
    encoded = [encode(audio) for audio in audios(data_dir, utterances)]

    def decode() -> list[str]:
        with torch.no_grad():
            return [model._decode_single_sample(x)[0][0] for x in encoded]

    return decode


def checksum(texts: list[str]) -> float:
    return float(zlib.crc32("\n".join(texts).encode()))


def main(argv=None) -> None:
    functions = {function.__name__: function for function in (espnet, asrlib, espnet_search, search)}
    options = parser(__doc__, tuple(functions), repeats=3)
    options.add_argument("--exp_dir", default="", help="experiment of stage 5")
    options.add_argument("--data_dir", default="", help="Kaldi directory")
    options.add_argument("--utterances", type=int, default=16, help="number of utterances")
    options.add_argument("--beam_size", type=int, default=10, help="beam size")
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="PyTorch's device")
    args = options.parse_args(argv)
    if bool(args.exp_dir) != bool(args.data_dir):
        options.error("give --exp_dir and --data_dir together, or neither")

    with tempfile.TemporaryDirectory() as folder:
        if not args.exp_dir:
            random_experiment(Path(folder))
        settings = (args.exp_dir or folder, args.data_dir, args.utterances, args.beam_size, args.device)
        cases = [Case(name, function, settings, value=checksum, env=ONE_THREAD) for name, function in functions.items()]
        results = measure(chosen(cases, args.cases), args.repeats, args.load)
        seconds = sum(map(len, audios(args.data_dir, args.utterances))) / RATE
    if len({result.value for result in results.values()}) > 1:
        raise UserError("the cases give different texts: see the checksums in the table")
    bars = [Bar(f"{name} as many times as fast as {other}", results[other].over(results[name]), 5.0, at_least=True)
            for name, other in (("asrlib", "espnet"), ("search", "espnet_search")) if {name, other} <= results.keys()]  # fmt: skip
    report(args, results, "checksum", bars, seconds)


if __name__ == "__main__":
    run(main)
