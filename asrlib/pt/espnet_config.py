"""ESPnet's configuration of a fine-tuning: reading, checking against ESPnet's options and classes, adding data, tokens and frontend."""

import difflib
import inspect
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from espnet2.asr.frontend.s3prl import S3prlFrontend
from espnet2.tasks.abs_task import optim_classes, scheduler_classes
from espnet2.tasks.asr import ASRTask

from asrlib.config.base import override_values, read_yaml
from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.pt.dump import Speech
from asrlib.pt.frontends import TRAINED
from asrlib.text.tags import is_tag
from asrlib.text.tokenizers import BLANK, RESERVED, UNKNOWN, SentencePieceTokenizer, Tokenizer, WordTokenizer
from asrlib.utils.errors import UserError
from asrlib.utils.files import file_name

LOGMEL = {  # frontend without an upstream: 80-bin log-mel every 10 ms; conv2d subsamples it to the frame rate of 20 ms states with conv2d2
    "frontend": "default", "frontend_conf": {"fs": "16k", "n_fft": 512, "win_length": 400, "hop_length": 160},
    "preencoder": None, "preencoder_conf": {}, "normalize": "utterance_mvn", "freeze_param": [],
}  # fmt: skip
OURS = {  # ESPnet's keys that the fine-tuning sets, by what sets them
    "--ngpu (recipes: --asr_ngpu), which starts the processes": (
        "ngpu", "dist_backend", "dist_init_method", "dist_world_size", "dist_rank", "local_rank", "dist_master_addr", "dist_master_port",
        "dist_launcher", "multiprocessing_distributed",
    ),
    "--exp_dir (recipes: --expdir and --tag)": ("output_dir",),
    "--force true, to start over": ("resume",),
    "--train_dir (recipes: --datadir)": ("train_data_path_and_name_and_type", "train_shape_file"),
    "--valid_dir (recipes: --datadir)": ("valid_data_path_and_name_and_type", "valid_shape_file"),
    "--tokens (recipes: --token_type and --nbpe)": ("token_list", "token_type", "bpemodel"),
    "stage 5, which needs it to be true": ("use_preprocessor",),
}  # fmt: skip
EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?e[-+]?\d+", re.IGNORECASE)


def read_asr_config(path: Path, overrides: Sequence[str]) -> dict:
    """An ESPnet YAML with "key=value" overrides. UserError: an invalid key; the message names the file and the nearest valid key."""
    values = read_yaml(path)
    override_values(values, overrides, path)
    values = _with_numbers(values)
    check_keys(values, path)
    return values


def check_not_ours(values: dict, where: str | Path) -> None:
    """UserError: a key that the fine-tuning sets, with the option that changes it."""
    for option, keys in OURS.items():
        if given := [key for key in keys if key in values]:
            raise UserError(f"{where} or --asr_args: {given[0]} is set by {option}: remove {given[0]}")


def _with_numbers(value: Any) -> Any:
    """Converts values such as 1e-3 to numbers: YAML 1.1 reads them as strings, which ESPnet would pass to the optimizer."""
    if isinstance(value, dict):
        return {key: _with_numbers(inner) for key, inner in value.items()}
    return float(value) if isinstance(value, str) and EXPONENT.fullmatch(value) else value


def check_keys(values: dict, where: str | Path) -> None:
    """UserError: a key that ESPnet's asr_train does not have, or a key in a section that its class does not accept."""
    _known(values, {action.dest for action in ASRTask.get_parser()._actions} - {"help"}, where, "")
    for choices in ASRTask.class_choices_list:
        if section := values.get(f"{choices.name}_conf"):
            name = values.get(choices.name, choices.default)
            if name is None:
                raise UserError(f"{where}: {choices.name}_conf is given without {choices.name}: add it, or remove {choices.name}_conf")
            if name not in choices.classes:
                near = difflib.get_close_matches(str(name), choices.classes, n=1)
                raise UserError(f"{where}: {choices.name}: ESPnet has no {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
            _check_section(section, choices.classes[name], where, f"{choices.name}_conf")
    for kind, classes in (("optim", optim_classes), ("scheduler", scheduler_classes)):
        if values.get(kind) in classes and values.get(f"{kind}_conf"):
            _check_section(values[f"{kind}_conf"], classes[values[kind]], where, f"{kind}_conf")


def _check_section(section: dict, cls: type, where: str | Path, prefix: str) -> None:
    if not isinstance(section, dict):
        raise UserError(f"{where}: {prefix}: expected a section, found {section!r}")
    parameters = inspect.signature(cls.__init__).parameters
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        _known(section, set(parameters) - {"self"}, where, f"{prefix}.")


def _known(values: Iterable[str], valid: set[str], where: str | Path, prefix: str) -> None:
    for key in values:
        if key not in valid:
            near = difflib.get_close_matches(str(key), valid, n=1, cutoff=0.4)
            raise UserError(f"{where}: unknown key {prefix}{key}" + (f"; did you mean {prefix}{near[0]}?" if near else ""))


def with_frontend(values: dict, speech: Speech, upstream: str, upstream_model: str) -> dict:
    """The configuration with the frontend for a dump: cached hidden states, an s3prl upstream on audio, or log-mel features without an upstream.

    UserError: log-mel features without an encoder.
    """
    values = dict(values)
    if speech.kind == "states":
        conf = {"layers": speech.layers, "dim": speech.dim, "downsample_rate": speech.downsample_rate}
        values |= {"frontend": "cached_states", "frontend_conf": conf}
    elif upstream:
        values |= s3prl_frontend(values, upstream, upstream_model)
    elif values.get("encoder_conf", {}).get("num_blocks") == 0:
        raise UserError("a CTC layer alone cannot learn from log-mel features: give --upstream, or a configuration with an encoder")
    else:
        values |= LOGMEL
        values["encoder_conf"] = {**values.get("encoder_conf", {}), "input_layer": "conv2d"}
    return values


def s3prl_frontend(values: dict, upstream: str, upstream_model: str) -> dict:
    """frontend and frontend_conf for ESPnet's s3prl frontend, or for ours if the upstream is trained; other keys of frontend_conf are kept."""
    name = TRAINED if values.get("frontend") == TRAINED else "s3prl"
    conf = values.get("frontend_conf", {}) if values.get("frontend") == name else {}
    inner = {**conf.get("frontend_conf", {}), "upstream": upstream}
    inner |= {"path_or_url": upstream_model} if upstream_model else {}
    conf = {"multilayer_feature": True, **conf, "frontend_conf": inner}
    return {"frontend": name, "frontend_conf": conf | ({"accum_grad": values.get("accum_grad", 1)} if name == TRAINED else {})}


def inference_frontend(conf: dict) -> dict:
    """frontend and frontend_conf of ESPnet's s3prl frontend, without the keys of our frontend that matter only in training."""
    known = inspect.signature(S3prlFrontend.__init__).parameters
    return {"frontend": "s3prl", "frontend_conf": {key: value for key, value in conf.items() if key in known}}


def with_input_size(values: dict, dim: int, where: str | Path) -> dict:
    """Sets the key that must equal the upstream's dimension: preencoder_conf.input_size or, for an encoder without blocks, encoder_conf.output_size.

    UserError: the configuration has another value.
    """
    if values.get("preencoder") == "linear":
        section, key = "preencoder_conf", "input_size"
    elif values.get("encoder_conf", {}).get("num_blocks") == 0:
        section, key = "encoder_conf", "output_size"
    else:
        return values
    conf = values.get(section, {})
    if conf.get(key, dim) != dim:
        raise UserError(f"{where}: {section}.{key} is {conf[key]}, the upstream's hidden states have {dim} values: remove the key")
    return values | {section: {**conf, key: dim}}


def with_data(values: dict, train: Path, valid: Path, speech: Speech, exp_dir: Path) -> dict:
    """The configuration with the files of the training and validation dumps, and with the lengths of transcripts, which write_text_shapes writes.

    ESPnet's recipes count speech and text in the size of a batch (batch_type numel, length, folded).
    UserError: attention is to be plotted, which ESPnet writes to folders named as utterances, and an id would be a path.
    """
    if values.get("num_att_plot", 3) and (ids := [utt for utt in read_table(valid / "text").rows if utt != file_name(utt)]):
        raise UserError(f"utterance {ids[0]}: ESPnet would plot its attention to a folder of this name, which is a path: give num_att_plot=0")
    name, kind = ("feats.scp", "kaldi_ark") if speech.kind == "states" else ("wav.scp", "sound")
    values = dict(values)
    for part, folder in (("train", train), ("valid", valid)):
        values[f"{part}_data_path_and_name_and_type"] = [[str(folder / name), "speech", kind], [str(folder / "text"), "text", "text"]]
        values[f"{part}_shape_file"] = [str(folder / "speech_shape"), str(exp_dir / f"{part}_text_shape")]
    return values


def write_text_shapes(values: dict, tokenizer: Tokenizer) -> None:
    """Writes the second shape file of both sets: utterance, number of tokens, size of the token list, as ESPnet's recipes do."""
    for part in ("train", "valid"):
        texts = read_table(Path(values[f"{part}_data_path_and_name_and_type"][1][0])).rows
        vocabulary = len(values["token_list"])
        shapes = {utt: f"{len(tokenizer.split(text))},{vocabulary}" for utt, text in texts.items()}
        write_table(Path(values[f"{part}_shape_file"][1]), shapes)


def with_tokens(values: dict, tokenizer: Tokenizer, model: Path) -> dict:
    """The configuration with ESPnet's token list: blank first, <sos/eos> last. model: file of a SentencePiece tokenizer."""
    kind = "bpe" if isinstance(tokenizer, SentencePieceTokenizer) else "word" if isinstance(tokenizer, WordTokenizer) else "char"
    own = [token for token in tokenizer.tokens if token not in (BLANK, UNKNOWN)]
    values = values | {"token_type": kind, "token_list": [BLANK, UNKNOWN, *own, "<sos/eos>"]}
    if tags := [token for token in tokenizer.tokens if kind == "char" and is_tag(token) and token not in RESERVED]:
        values["non_linguistic_symbols"] = tags  # each is one token, as for our models
    return values | ({"bpemodel": str(model)} if kind == "bpe" else {})
