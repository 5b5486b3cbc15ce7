"""ESPnet's model for recognition from its configuration and weights.

ESPnet's ASRTask imports all classes that it can choose from, which takes longer than decoding an utterance; the classes of the recipes are taken
directly, others through ASRTask.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from espnet2.asr.ctc import CTC
from espnet2.asr.espnet_model import ESPnetASRModel

from asrlib.config.base import read_yaml
from asrlib.pt import upstreams
from asrlib.pt.portable import UPSTREAM, upstream_file
from asrlib.utils.arrays import read_safetensors
from asrlib.utils.errors import UserError
from asrlib.utils.files import file_near

CLASSES = {  # key of the configuration, its value -> class
    "frontend": {"default": "espnet2.asr.frontend.default.DefaultFrontend", "s3prl": "espnet2.asr.frontend.s3prl.S3prlFrontend"},
    "normalize": {"utterance_mvn": "espnet2.layers.utterance_mvn.UtteranceMVN"},
    "preencoder": {"linear": "espnet2.asr.preencoder.linear.LinearProjection"},
    "encoder": {
        "conformer": "espnet2.asr.encoder.conformer_encoder.ConformerEncoder",
        "transformer": "espnet2.asr.encoder.transformer_encoder.TransformerEncoder",
    },
    "decoder": {"transformer": "espnet2.asr.decoder.transformer_decoder.TransformerDecoder"},
}
DEFAULTS = {"frontend": "default", "encoder": "rnn", "model": "espnet"}  # of ASRTask, for keys that are not given
UNUSED = ("postencoder", "input_size", "use_adapter")  # keys whose other values need ASRTask


def load_asr_model(config: Path, weights: Path, device: str = "cpu") -> ESPnetASRModel:
    """The model in evaluation mode. UserError: the weights do not fit the configuration, or its upstream is missing."""
    values, state = read_yaml(config), read_state(weights)
    upstreams.register()
    if (config.parent / UPSTREAM).is_file():
        with upstream_file(config.parent / UPSTREAM, state) as place:
            model = _model(_with_place(values, place))
    else:
        model = _model(_with_upstream(values, config))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(f"{weights} does not fit {config}: {' '.join(str(error).split())[:200]}: finish the fine-tuning (run stage 5)") from None
    if hasattr(model.frontend, "pretrained_params"):
        model.frontend.pretrained_params = None  # s3prl's frontend keeps a copy of the upstream's weights
    return model.to(device).eval()


def read_state(weights: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .pth or .safetensors file."""
    if weights.suffix == ".safetensors":
        return {name: torch.from_numpy(array) for name, array in read_safetensors(weights).items()}
    return torch.load(weights, map_location="cpu", weights_only=True)


def _model(values: dict[str, Any]) -> ESPnetASRModel:
    return _build(values) if known(values) else _build_with_task(values)


def _with_upstream(values: dict[str, Any], config: Path) -> dict[str, Any]:
    """The values with the place of the upstream, whose path is relative to where the fine-tuning ran: the folder of the recipe, above the model's."""
    name = str(((values.get("frontend_conf") or {}).get("frontend_conf") or {}).get("path_or_url") or "")
    if not name or "://" in name:
        return values
    place = file_near(name, config.parent)
    if place is None:
        raise UserError(f"{config}: its upstream {name} is missing: put it back, or correct frontend_conf.frontend_conf.path_or_url there")
    return _with_place(values, str(place))


def _with_place(values: dict[str, Any], place: str) -> dict[str, Any]:
    conf = values["frontend_conf"]
    return {**values, "frontend_conf": {**conf, "frontend_conf": {**conf["frontend_conf"], "path_or_url": place}}}


def known(values: dict[str, Any]) -> bool:
    """Whether the model consists of CLASSES."""
    if any(values.get(key) for key in UNUSED) or values.get("model", DEFAULTS["model"]) != DEFAULTS["model"]:
        return False
    names = {key: values.get(key, DEFAULTS.get(key)) for key in CLASSES}
    return bool(names["frontend"] and names["encoder"]) and all(name is None or name in CLASSES[key] for key, name in names.items())


def _build(values: dict[str, Any]) -> ESPnetASRModel:
    """The model as ASRTask.build_model builds it."""
    tokens = list(values["token_list"])
    frontend = _make(values, "frontend")
    preencoder = _make(values, "preencoder")
    encoder = _make(values, "encoder", input_size=(preencoder or frontend).output_size())
    decoder = _make(values, "decoder", vocab_size=len(tokens), encoder_output_size=encoder.output_size())
    ctc = CTC(odim=len(tokens), encoder_output_size=encoder.output_size(), **(values.get("ctc_conf") or {}))
    return ESPnetASRModel(
        vocab_size=len(tokens), token_list=tokens, frontend=frontend, specaug=None, normalize=_make(values, "normalize"), preencoder=preencoder,
        encoder=encoder, postencoder=None, decoder=decoder, ctc=ctc, joint_network=None, **(values.get("model_conf") or {}),
    )  # fmt: skip


def _make(values: dict[str, Any], key: str, **arguments):
    name = values.get(key, DEFAULTS.get(key))
    if name is None:
        return None
    module, _, cls = CLASSES[key][name].rpartition(".")
    return getattr(import_module(module), cls)(**arguments, **(values.get(f"{key}_conf") or {}))


def _build_with_task(values: dict[str, Any]) -> ESPnetASRModel:
    import argparse

    from espnet2.layers.create_adapter import create_adapter
    from espnet2.tasks.asr import ASRTask

    from asrlib.pt import frontends

    frontends.register()
    arguments = argparse.Namespace(**values)
    model = ASRTask.build_model(arguments)
    if values.get("use_adapter"):
        create_adapter(model, arguments.adapter, arguments.adapter_conf)
    return model
