"""Fine-tuning with ESPnet's trainer, with our frontends and a progress bar; the result is a model that takes audio."""

import json
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import yaml

from asrlib.corpora.fetch import digest
from asrlib.pt.average import average_epochs
from asrlib.pt.device import Device, choose
from asrlib.pt.dump import Speech, read_speech
from asrlib.pt.espnet_config import (
    check_not_ours,
    inference_frontend,
    read_asr_config,
    s3prl_frontend,
    with_data,
    with_frontend,
    with_input_size,
    with_tokens,
    write_text_shapes,
)
from asrlib.pt.frontends import TRAINED
from asrlib.pt.memory_plan import plan_parts, with_parts
from asrlib.pt.portable import write_description
from asrlib.pt.recogniser import INFERENCE
from asrlib.pt.s3prl_upstream import UpstreamSource, cacheable, describe_upstream
from asrlib.pt.training import register, train
from asrlib.report.layers import plot_layer_weights
from asrlib.text.tokenizers import load_tokenizer
from asrlib.utils.errors import UserError
from asrlib.utils.files import BUSY, LOCK, atomic_write, held
from asrlib.utils.former import StartOver, remove, set_aside
from asrlib.utils.log import get_logger

log = get_logger(__name__)

CONFIG = "asr.yaml"  # the resolved configuration, as given to ESPnet
PARTS = "parts"  # in data.json: in how many parts batches are divided to fit into memory
DATA = "data.json"  # digests of the training and validation dumps
RUN = (INFERENCE, "*.pth", "images", "tensorboard", "config.yaml", "train*.log", CONFIG, DATA)  # the files of a run, its data last
REMEDY = "give another --exp_dir, or --force true to start over"


@dataclass(frozen=True)
class Request:
    """A requested fine-tuning.

    train, valid: dumps of asrlib.pt.dump; overrides: "key=value" strings; upstream: s3prl's name, "" for log-mel.
    """

    asr_config: Path
    overrides: tuple[str, ...]
    train: Path
    valid: Path
    tokens: Path
    exp_dir: Path
    upstream: str = ""
    upstream_model: str = ""
    device: str = "auto"  # auto|cpu|cuda|npu
    ngpu: int = 1  # processes, each on a card of its own or on a share of the CPU's cores; 0: one on the CPU
    memory_gb: float | None = None  # limit of training; None: what is free

    def options(self) -> list[str]:
        """The request as options of asrlib.bin.finetune."""
        names = {"train": "train_dir", "valid": "valid_dir", "overrides": "asr_args", "device": "asr_device"}
        values = {field.name: getattr(self, field.name) for field in fields(self)} | {"overrides": " ".join(self.overrides)}
        return [part for name, value in values.items() if value is not None for part in (f"--{names.get(name, name)}", str(value))]


def finetune(request: Request, start_over: StartOver = StartOver()) -> Path:  # noqa: B008  (frozen)
    """Trains in exp_dir, resumes after the last epoch, or does nothing if finished; returns the folder of the model (EXP_DIR/inference).

    A run on other data, or with an upstream that has changed, is set aside. UserError: an invalid configuration, a missing device, or exp_dir holds
    a run with another configuration.
    """
    register()
    resolved = _resolve(request)
    with held(request.exp_dir / LOCK, BUSY.format(request.exp_dir)):
        return _finetune(request, *resolved, start_over)


def _finetune(request: Request, values: dict, data: dict[str, str], speech: Speech, source: UpstreamSource | None, start_over: StartOver) -> Path:
    exp_dir = request.exp_dir
    if start_over.due(exp_dir):
        remove(exp_dir, RUN)
        start_over.done(exp_dir)
    if _on_other_data(exp_dir, data):
        set_aside(exp_dir, RUN, "the data or the upstream have changed since the last run")
    if _check_run(exp_dir, values):
        log.info("%s is finished: skipping the training", exp_dir)
        return exp_dir / INFERENCE
    device, processes = _device(request, values), max(1, request.ngpu)
    write_text_shapes(values, load_tokenizer(request.tokens))
    parts = _parts_before(exp_dir) or 0  # a resumed run keeps its batches, unless less memory is asked for
    if device.kind == "cpu" and (not parts or request.memory_gb is not None):
        parts = max(parts, plan_parts(values, speech, source, request.memory_gb, processes))
    parts = max(1, parts)
    values = with_parts(values, parts)
    with atomic_write(exp_dir / DATA) as stream:
        json.dump(data | {PARTS: parts}, stream)
    with atomic_write(exp_dir / CONFIG) as stream:
        yaml.safe_dump(values, stream, sort_keys=False, allow_unicode=True, width=120)
    train(exp_dir / CONFIG, values, device, processes)
    return _finish(exp_dir, values, speech, source)


def _device(request: Request, values: dict) -> Device:
    """The device of a request. UserError: a card is missing, or mixed precision is asked for on the CPU."""
    if request.ngpu == 0 and request.device not in ("auto", "cpu"):
        raise UserError(f"--ngpu 0 is the CPU, and --asr_device is {request.device}: give one of them")
    device = choose("cpu" if request.ngpu == 0 else request.device, request.ngpu)
    if device.kind == "cpu" and values.get("use_amp"):
        raise UserError("use_amp=true: mixed precision needs a card, and this fine-tuning is on the CPU: remove it, or give --asr_device cuda or npu")
    if values.get("use_amp"):
        half = device.kind == "cuda" and torch.cuda.is_bf16_supported()  # ESPnet's own choice
        log.info("use_amp: %s", "bfloat16" if half else "float16 with a scaled loss")
    return device


def is_finished(request: Request) -> bool:
    """Whether the requested fine-tuning is finished in exp_dir; call `register` first. UserError: as in finetune."""
    values, data, _, _ = _resolve(request)
    return not _on_other_data(request.exp_dir, data) and _check_run(request.exp_dir, values)


def _resolve(request: Request) -> tuple[dict, dict[str, str], Speech, UpstreamSource | None]:
    """The configuration for ESPnet, digests of the data, description of the dumps, the upstream."""
    asr_config, train, upstream, upstream_model = request.asr_config, request.train, request.upstream, request.upstream_model
    speech = read_speech(train)
    if speech.kind == "states" and (speech.upstream, speech.model) != (upstream, upstream_model):
        cached, wanted = f"{speech.upstream} ({speech.model})", f"{upstream} ({upstream_model})"
        raise UserError(f"{train} holds the hidden states of {cached}, not of {wanted}: run dump_speech again")
    source = describe_upstream(upstream, upstream_model) if upstream else None
    values = read_asr_config(asr_config, request.overrides)
    check_not_ours(values, asr_config)
    if speech.kind == "states" and not cacheable(values):
        what = f"{train} holds hidden states, but {asr_config} trains the upstream or uses only its last layer"
        raise UserError(f"{what}: run dump_speech with --cache_states false")
    if source:
        values = with_input_size(values, source.dim, asr_config)
    values = with_frontend(values, speech, upstream, upstream_model)
    values = with_data(values, train, request.valid, speech, request.exp_dir)
    values = with_tokens(values, load_tokenizer(request.tokens), request.tokens.with_suffix(".model"))
    values |= {"output_dir": str(request.exp_dir), "resume": True, "use_preprocessor": True}
    data = {"train": speech.data, "valid": read_speech(request.valid).data}
    if upstream_model and speech.kind == "audio":  # the digest of cached hidden states covers the upstream
        data["upstream"] = digest(Path(upstream_model), "sha256")
    return values, data, speech, source


def _on_other_data(exp_dir: Path, data: dict[str, str]) -> bool:
    """Whether the run in this folder has other data, or an upstream that has changed since, which ESPnet would not notice."""
    path = exp_dir / DATA
    return path.is_file() and {key: value for key, value in json.loads(path.read_text()).items() if key != PARTS} != data


def _check_run(exp_dir: Path, values: dict) -> bool:
    """Whether the run in this folder is finished. UserError: it has another configuration, which ESPnet would not notice."""
    path, parts = exp_dir / CONFIG, _parts_before(exp_dir)
    if not path.is_file():
        return False
    before, values = yaml.safe_load(path.read_text(encoding="utf-8")), with_parts(values, parts or 1)
    changed = [key for key in sorted({*before, *values} - {"ngpu"}) if before.get(key) != values.get(key)]
    if changed:
        key = changed[0]
        shown = f"{key} was {before.get(key)!r}, now {values.get(key)!r}" if key != "token_list" else "other tokens"
        raise UserError(f"{exp_dir} holds a fine-tuning with another configuration ({shown[:200]}): {REMEDY}")
    return (exp_dir / INFERENCE / "config.yaml").is_file()


def _parts_before(exp_dir: Path) -> int | None:
    """In how many parts the run in this folder divides its batches; None: there is no run."""
    path = exp_dir / DATA
    return json.loads(path.read_text()).get(PARTS, 1) if path.is_file() else None


def _finish(exp_dir: Path, values: dict, speech: Speech, source: UpstreamSource | None) -> Path:
    """Writes the averaged model as a model that takes audio, and the plot of the layer weights."""
    best = average_epochs(exp_dir, values)
    config = yaml.safe_load((exp_dir / "config.yaml").read_text(encoding="utf-8"))
    state = torch.load(best, map_location="cpu", weights_only=True)
    if speech.kind == "states":
        config |= s3prl_frontend(read_asr_config(exp_dir / CONFIG, ()), source.name, source.path)
        state |= _upstream_state(config["frontend_conf"])
    elif config["frontend"] == TRAINED:
        config |= inference_frontend(config["frontend_conf"])
        del state["frontend.updates"]
    if "frontend.featurizer.weights" in state and config["frontend_conf"]["multilayer_feature"]:
        weights = torch.softmax(state["frontend.featurizer.weights"].float(), 0).numpy()
        plot_layer_weights(weights, exp_dir / "images" / "layer_weights.png")
        log.info("weights of the layers: %s -> %s", " ".join(f"{w:.3f}" for w in weights), exp_dir / "images" / "layer_weights.png")
    out = exp_dir / INFERENCE
    with atomic_write(out / "model.pth", "wb") as stream:
        torch.save(state, stream)
    if source and source.path:
        write_description(source.path, out)
    with atomic_write(out / "config.yaml") as stream:  # written last: it marks the fine-tuning as finished
        yaml.safe_dump(config, stream, sort_keys=False, allow_unicode=True)
    log.info("model: %s; curves: %s", out / "model.pth", exp_dir / "images")
    return out


def _upstream_state(frontend_conf: dict) -> dict[str, torch.Tensor]:
    """The tensors of the frozen upstream with their names in ESPnet's model."""
    from espnet2.asr.frontend.s3prl import S3prlFrontend

    state = S3prlFrontend(**frontend_conf).state_dict()
    return {f"frontend.{name}": tensor for name, tensor in state.items() if name.startswith("upstream.")}
