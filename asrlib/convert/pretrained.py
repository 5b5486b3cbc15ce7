"""Pretrained models of other toolkits: what a file says of its network, and the configuration of ours that follows from it.

Sources, from the surest: the shapes of the weights; the configuration beside or in the file (fairseq's and s3prl's model and task, transformers'
config.json, ours); the configuration that the user gives, which may not contradict; the sizes of the published models.
"""

import ast
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asrlib.config.base import parse_yaml, read_yaml
from asrlib.config.families import families, pretrain_config_of
from asrlib.config.pretraining import PretrainConfig
from asrlib.convert.checkpoint_file import FOLDER_FILES, Checkpoint, read_json
from asrlib.convert.pretrained_names import common_names
from asrlib.convert.unpickle import plain
from asrlib.utils.errors import UserError
from asrlib.utils.log import get_logger

log = get_logger(__name__)

FAIRSEQ = {  # key of fairseq's model -> ours
    "encoder_layers": "layers", "encoder_embed_dim": "dim", "encoder_ffn_embed_dim": "ffn_dim", "encoder_attention_heads": "heads",
    "layer_norm_first": "layer_norm_first", "conv_bias": "conv_bias", "conv_pos": "conv_pos", "conv_pos_groups": "conv_pos_groups",
    "latent_groups": "codebooks", "latent_vars": "codewords",
}  # fmt: skip
TRANSFORMERS = {  # key of config.json -> ours
    "num_hidden_layers": "layers", "hidden_size": "dim", "intermediate_size": "ffn_dim", "num_attention_heads": "heads",
    "do_stable_layer_norm": "layer_norm_first", "feat_extract_norm": "extractor_mode", "conv_bias": "conv_bias", "conv_kernel": "conv_kernels",
    "conv_stride": "conv_strides", "num_conv_pos_embeddings": "conv_pos", "num_conv_pos_embedding_groups": "conv_pos_groups",
}  # fmt: skip
OTHERS = {  # part of a parameter's name, or the name of a model -> what it is
    "relative_attention_bias": "a WavLM, whose attention has gated relative positions",
    "rel_attn_embed": "a WavLM, whose attention has gated relative positions",
    "wavlm": "a WavLM, whose attention has gated relative positions",
    "pos_conv.0.0.": "a data2vec, which has several positional convolutions",
    "pos_conv_embed.layers.": "a data2vec, which has several positional convolutions",
    "data2vec": "a data2vec, which has several positional convolutions",
    "pos_conv_embed.batch_norm": "a HuBERT with batch normalisation in the positional convolution",
    "conv_module.": "a conformer",
    "feature_aggregator.": "the first wav2vec, which has no transformer",
    "wav2vec2-bert": "a wav2vec 2.0 BERT, which takes filter banks",
    "wav2vec2-conformer": "a conformer",
    "transformer.rel_pos": "a WavLM, whose attention has gated relative positions",
}
TRAINING = (
    "conv_init",
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "dropout_input",
    "dropout_features",
    "layerdrop",
    "feature_grad_mult",
    "logit_temp",
)  # keys of model_conf that do not change the hidden states
Facts = dict[str, tuple[Any, str]]  # key of model_conf -> value, where it is said


@dataclasses.dataclass
class Pretrained:
    """A pretrained model in a file: family ("" if only the trunk is there), facts of its network, names (see common_names), what is left aside."""

    family: str
    facts: Facts
    names: dict[str, str]
    aside: list[str]


def beside(path: Path) -> dict[str, Any]:
    """The configurations that belong to a file or folder: transformers' config.json and preprocessor_config.json, the config.yaml of an experiment.

    UserError: one of them is damaged.
    """
    folder, found = path if path.is_dir() else path.parent, dict[str, Any]()
    if path.is_dir() or path.name in FOLDER_FILES:
        for name in ("config.json", "preprocessor_config.json"):
            found[name] = read_json(folder / name) or None
    if path.is_dir() or path.suffix == ".safetensors":
        for file in (folder / "config.yaml", folder.parent / "config.yaml"):  # the second: of a file in checkpoints/
            if "config.yaml" not in found and file.is_file() and (file.parent == folder or folder.name in ("checkpoints", "pt")):
                values = read_yaml(file)
                if values.get("model") in families(PretrainConfig):
                    found["config.yaml"] = pretrain_config_of(values, str(file))
    return found


def describe(found: Checkpoint, where: str) -> Pretrained:
    """What the file says of its model. UserError: it is another network (named), or shapes and configuration of the file disagree."""
    if isinstance(found.rest.get("config"), str):  # in a package of ours
        found.rest["config.yaml"] = pretrain_config_of(parse_yaml(found.rest["config"], where), where)
    _refuse_others(found, where)
    said = _said(found.rest, where)
    names, aside = common_names(found.arrays, where)
    try:
        facts = _sizes({names[name]: array.shape for name, array in found.arrays.items() if name in names})
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise UserError(f"{where}: not a HuBERT, wav2vec 2.0 or ProgRE: no usable {error}") from None
    for key, (value, source) in said.items():
        if key == "family" or key in ("codebooks", "codewords") and not any(name.startswith("quantizer.") for name in names.values()):
            continue
        if key in facts and facts[key][0] != value:
            raise UserError(f"{where}: {key} is {_text(value)} in {source} and {_text(facts[key][0])} in {facts[key][1]}: the file is inconsistent")
        facts.setdefault(key, (value, source))
    family = said["family"][0] if "family" in said else ""
    for begin, kind in (("pitch_encoder.", "progre"), ("quantizer.", "wav2vec2"), ("label_embs_concat", "hubert")):
        if not family and any(name.startswith(begin) for name in names.values()):
            family = kind
    if "quantizer_size" in facts:
        size, source = facts.pop("quantizer_size")
        facts["codewords"] = (size // facts.get("codebooks", (2,))[0], source)
        facts.setdefault("codebooks", (2, "the published model"))
    return Pretrained(family, facts, names, aside)


def configured(model: Pretrained, given: PretrainConfig | None, default: PretrainConfig | None, where: str) -> PretrainConfig:
    """The configuration of the model.

    given: that of the user, which must agree with the file. default: gives what the file does not say, if its sizes are those of the file; without
    one it is taken from the published models, with a warning. UserError: the file contradicts the given configuration, or is of another family.
    """
    base = given or default
    if base is not None and model.family not in ("", base.model):
        raise UserError(
            f"{where}: a {model.family}, but a {base.model} is wanted: give its configuration (in a recipe: --upstream {model.family}_...)"
        )
    family = base.model if base is not None else model.family or "hubert"
    known = families(PretrainConfig)[family]().model_conf.__dataclass_fields__
    facts = {key: fact for key, fact in model.facts.items() if key in known}
    if base is not None and "num_speakers" in facts:  # depends on the corpus, not on the configuration
        base.model_conf.num_speakers = facts.pop("num_speakers")[0]  # type: ignore[attr-defined]
    differing = [key for key, (value, _) in facts.items() if base is not None and key not in TRAINING and getattr(base.model_conf, key) != value]
    if base is not None and not differing:
        return base
    if given is not None:
        key = differing[0]
        (value, source), own = facts[key], getattr(given.model_conf, key)
        raise UserError(f"{where}: model_conf.{key} is {_text(value)} by {source}, {_text(own)} in the configuration")
    values = {key: value for key, (value, _) in facts.items()}
    assumed = {key: value for key, value in _published(family, values).items() if key not in values}
    if assumed:
        listed = ", ".join(f"{key} ({_text(value)})" for key, value in assumed.items())
        log.warning("%s: does not say %s: taken as in the published models; give a configuration if they differ", where, listed)
    return pretrain_config_of({"model": family, "model_conf": values | assumed}, where)


def _published(family: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What the published models have: heads of 64 numbers; pre-norm and normalised waveforms with layer normalisation in the convolutions."""
    large = values.get("extractor_mode") == "layer"
    speakers = {"speaker_layer": 3} if family == "progre" else {}
    return {"heads": max(1, values["dim"] // 64), "layer_norm_first": large, "normalize": large} | speakers


def _sizes(shapes: Mapping[str, tuple[int, ...]]) -> Facts:
    """The facts that the shapes of the weights say. shapes: by common names."""
    sizes: dict[str, Any] = {}
    convs = [shapes[f"feature_extractor.conv_layers.{i}.conv.weight"] for i in range(_count(shapes, "feature_extractor.conv_layers."))]
    if len({shape[0] for shape in convs}) > 1:
        raise KeyError("convolutions, whose numbers of channels differ")
    logmel = convs[0][1] > 1  # waveforms have one channel
    sizes["frontend"] = "logmel" if logmel else "waveform"
    if logmel:
        sizes["num_mels"] = convs[0][1]
    sizes["conv_channels"], sizes["conv_kernels"] = convs[0][0], tuple(shape[-1] for shape in convs)
    sizes["conv_bias"] = "feature_extractor.conv_layers.0.conv.bias" in shapes
    norm = f"feature_extractor.conv_layers.{0 if logmel else 1}.norm.weight"  # of waveforms, all kinds normalise after the first
    sizes["extractor_mode"] = "layer" if norm in shapes else "group"
    sizes["layers"], sizes["dim"] = _count(shapes, "encoder.layers."), shapes["encoder.layer_norm.weight"][0]
    for name, axis, key in (
        ("encoder.layers.0.fc1.weight", 0, "ffn_dim"), ("encoder.pos_conv.weight_v", -1, "conv_pos"),
        ("final_proj.weight", 0, "final_dim"), ("label_embs_concat", 0, "num_classes"), ("quantizer.vars", 1, "quantizer_size"),
        ("project_q.weight", -1, "code_dim"), ("spk_linear.weight", 0, "num_speakers"), ("pitch_encoder.convs.0.bias", 0, "pitch_channels"),
        ("pitch_encoder.gru.weight_hh_l0", -1, "pitch_hidden"), ("speaker.linear1.weight", 0, "speaker_bottleneck"),
    ):  # fmt: skip
        if name in shapes:
            sizes[key] = shapes[name][axis]
    if "encoder.pos_conv.weight_v" in shapes:
        sizes["conv_pos_groups"] = sizes["dim"] // shapes["encoder.pos_conv.weight_v"][1]
    return {key: (value, "the shapes of the weights") for key, value in sizes.items()}


def _count(shapes: Mapping[str, tuple[int, ...]], begin: str) -> int:
    return len({name.removeprefix(begin).partition(".")[0] for name in shapes if name.startswith(begin)})


def _said(rest: Mapping[str, Any], where: str) -> Facts:
    """The facts in the configurations in and beside a file, and its "family"."""
    if isinstance(rest.get("config.json"), dict):
        return _transformers_facts(rest)
    if isinstance(rest.get("config.yaml"), PretrainConfig):
        ours = rest["config.yaml"]
        return {key: (value, "its configuration") for key, value in {"family": ours.model, **vars(ours.model_conf)}.items()}
    model, task = plain(rest.get("model_cfg")), plain(rest.get("task_cfg"))  # s3prl
    if not isinstance(model, dict):
        both = plain(rest.get("cfg")) or plain(rest.get("args"))
        if not isinstance(both, dict):
            return {}
        model, task = (both["model"], both.get("task")) if isinstance(both.get("model"), dict) else (both, both)
    return _fairseq_facts(model, task if isinstance(task, dict) else {}, where)


def _fairseq_facts(model: Mapping[str, Any], task: Mapping[str, Any], where: str) -> Facts:
    """Of fairseq's model and task, or of both in one; a fine-tuned model has those of its pretraining in w2v_args."""
    inner = model.get("w2v_args")
    if isinstance(inner, dict):
        normalize = {"normalize": (task["normalize"], "its cfg")} if isinstance(task.get("normalize"), bool) else {}
        pretraining = inner["model"] if isinstance(inner.get("model"), dict) else inner
        return _fairseq_facts(pretraining, inner.get("task") or inner, where) | normalize
    found: dict[str, Any] = {ours: model[key] for key, ours in FAIRSEQ.items() if isinstance(model.get(key), bool | int | float)}
    if model.get("extractor_mode") in ("default", "layer_norm"):
        found["extractor_mode"] = "group" if model["extractor_mode"] == "default" else "layer"
    if isinstance(model.get("conv_feature_layers"), str):
        layers = _convolutions(model["conv_feature_layers"], where)
        found["conv_kernels"], found["conv_strides"] = tuple(layer[1] for layer in layers), tuple(layer[2] for layer in layers)
    if isinstance(task.get("normalize"), bool):
        found["normalize"] = task["normalize"]
    name = _name_of(model, task)
    for begin, family in (("hubert", "hubert"), ("wav2vec2", "wav2vec2"), ("wav2vec_", "wav2vec2")):
        if name.startswith(begin):
            found["family"] = family
    return {key: (value, "its cfg") for key, value in found.items()}


def _transformers_facts(rest: Mapping[str, Any]) -> Facts:
    """Of config.json and, for the normalisation of the waveform, preprocessor_config.json."""
    config, features = rest["config.json"], rest.get("preprocessor_config.json")
    keys = TRANSFORMERS | {"num_codevector_groups": "codebooks", "num_codevectors_per_group": "codewords"}
    found = {ours: (_frozen(config[key]), "config.json") for key, ours in keys.items() if config.get(key) is not None}
    if config.get("model_type") in ("hubert", "wav2vec2"):
        found["family"] = (config["model_type"], "config.json")
    if isinstance(features, dict) and isinstance(features.get("do_normalize"), bool):
        found["normalize"] = (features["do_normalize"], "preprocessor_config.json")
    return found


def _name_of(model: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    """fairseq's name of a model: hubert, wav2vec2, hubert_ctc, data2vec_audio, ..."""
    return str(model.get("_name") or model.get("arch") or task.get("_name") or "")


def _refuse_others(found: Checkpoint, where: str) -> None:
    """UserError: the file holds another network, which is named."""
    config = found.rest.get("config.json")
    config = config if isinstance(config, dict) else {}
    cfg = plain(found.rest.get("cfg")) or plain(found.rest.get("args")) or {}
    model = cfg.get("model", cfg) if isinstance(cfg, dict) else {}
    names = [*found.arrays, str(config.get("model_type", "")), _name_of(model, {}) if isinstance(model, dict) else ""]
    for part, what in OTHERS.items():
        if any(part in name for name in names):
            raise UserError(f"{where}: {what}: its network is not implemented; HuBERT, wav2vec 2.0 and ProgRE are")
    activations = {config.get("hidden_act", "gelu"), config.get("feat_extract_activation", "gelu")}
    if isinstance(model, dict):
        activations.add(model.get("activation_fn", "gelu"))
    if activations != {"gelu"}:
        raise UserError(f"{where}: its activation is {min(activations - {'gelu'})}, HuBERT's is gelu: this network is not implemented")


def _convolutions(text: str, where: str) -> list[tuple[int, ...]]:
    """fairseq's list of convolutions, "[(512, 10, 5)] + [(512, 3, 2)] * 4": lists, sums and multiples of them. ValueError: anything else."""

    def value(node: ast.AST) -> Any:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return value(node.left) + value(node.right)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and isinstance(node.right, ast.Constant) and node.right.value in range(100):
            return value(node.left) * node.right.value
        return ast.literal_eval(node)

    try:
        layers = value(ast.parse(text.strip(), mode="eval").body)
        return [(int(channels), int(width), int(stride)) for channels, width, stride in layers]
    except (SyntaxError, TypeError, ValueError, RecursionError):
        raise UserError(f"{where}: conv_feature_layers is {text!r}, which is not a list of convolutions") from None


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(list(value)) if isinstance(value, tuple) else str(value)
