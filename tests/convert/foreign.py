"""Checkpoints as other toolkits write them, of transformers' networks with random weights; names, shapes and classes are the published ones."""

import argparse
import json
import re
import sys
import types
from collections import OrderedDict
from pathlib import Path

import torch
import transformers
from omegaconf import OmegaConf

SMALL = {
    "conv_dim": [24] * 7, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_hidden_layers": 3,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True}
SYMBOLS = ["<s>", "<pad>", "</s>", "<unk>"]

# transformers' names -> fairseq's (the reverse of what transformers' converters of checkpoints do)
TO_FAIRSEQ = [
    (r"^feature_projection\.layer_norm\.", "layer_norm."),
    (r"^feature_projection\.projection\.", "post_extract_proj."),
    (r"^masked_spec_embed$", "mask_emb"),
    (r"pos_conv_embed\.conv\.parametrizations\.weight\.original0", "pos_conv.0.weight_g"),
    (r"pos_conv_embed\.conv\.parametrizations\.weight\.original1", "pos_conv.0.weight_v"),
    (r"pos_conv_embed\.conv\.bias", "pos_conv.0.bias"),
    (r"(conv_layers\.\d+)\.conv\.", r"\1.0."),
    (r"(layers\.\d+)\.attention\.", r"\1.self_attn."),
    (r"(encoder\.layers\.\d+)\.layer_norm\.", r"\1.self_attn_layer_norm."),
    (r"feed_forward\.intermediate_dense\.", "fc1."),
    (r"feed_forward\.output_dense\.", "fc2."),
]


def network(kind: str = "hubert", **sizes):
    """A HubertModel or Wav2Vec2Model in evaluation mode with weights that differ from their initial ones everywhere."""
    torch.manual_seed(0)
    if kind == "hubert":
        made = transformers.HubertModel(transformers.HubertConfig(**sizes)).eval()
    else:
        made = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**sizes)).eval()
    with torch.no_grad():
        for tensor in made.parameters():
            tensor += 0.1 * torch.randn_like(tensor) * tensor.abs().mean().clamp(min=0.1)
    return made


def fairseq_state(model) -> OrderedDict:
    """The weights with fairseq's names."""
    norm = r"\1.2.1." if model.config.feat_extract_norm == "layer" else r"\1.2."
    state = OrderedDict()
    for name, tensor in model.state_dict().items():
        for pattern, new in [*TO_FAIRSEQ, (r"(conv_layers\.\d+)\.layer_norm\.", norm)]:
            name = re.sub(pattern, new, name)
        state[name] = tensor.clone()
    return state


def hubert_heads(model, classes: int = 504, final: int = 256) -> dict:
    return {
        "final_proj.weight": torch.randn(final, model.config.hidden_size), "final_proj.bias": torch.randn(final),
        "label_embs_concat": torch.randn(classes, final),
    }  # fmt: skip


def fairseq_cfg(model, normalize: bool, final: int = 256) -> dict:
    """task and model as fairseq's configuration has them."""
    c, kind = model.config, model.config.model_type
    convs = f"[({c.conv_dim[0]},10,5)] + [({c.conv_dim[0]},3,2)] * 4 + [({c.conv_dim[0]},2,2)] * 2"
    task = {"_name": {"hubert": "hubert_pretraining", "wav2vec2": "audio_pretraining"}[kind], "data": "/data", "labels": ["km"], "sample_rate": 16000}
    return {
        "_name": None,
        "task": task | {"normalize": normalize, "label_dir": "/checkpoint/labels", "max_sample_size": 250000},
        "model": {
            "_name": kind, "extractor_mode": {"group": "default", "layer": "layer_norm"}[c.feat_extract_norm], "encoder_layers": c.num_hidden_layers,
            "encoder_embed_dim": c.hidden_size, "encoder_ffn_embed_dim": c.intermediate_size, "encoder_attention_heads": c.num_attention_heads,
            "activation_fn": "gelu", "dropout": 0.1, "layer_norm_first": c.do_stable_layer_norm, "conv_feature_layers": convs,
            "conv_bias": c.conv_bias, "logit_temp": 0.1, "final_dim": final, "conv_pos": c.num_conv_pos_embeddings,
            "conv_pos_groups": c.num_conv_pos_embedding_groups, "mask_prob": 0.8, "latent_vars": 320, "latent_groups": 2, "latent_dim": 0,
        },
    }  # fmt: skip


def dictionary():
    """An object of a class named fairseq.data.dictionary.Dictionary."""
    name = "fairseq.data.dictionary"
    for part in ("fairseq", "fairseq.data", name):
        sys.modules.setdefault(part, types.ModuleType(part))
    if not hasattr(sys.modules[name], "Dictionary"):
        sys.modules[name].Dictionary = type("Dictionary", (), {"__module__": name})
    made = sys.modules[name].Dictionary()
    vars(made).update(symbols=[*SYMBOLS, "0", "1"], count=[1] * 6, indices={symbol: i for i, symbol in enumerate([*SYMBOLS, "0", "1"])}, nspecial=4)
    return made


def save_fairseq(path: Path, state: dict, cfg: dict, form: str = "dict", dtype=torch.float32, older: bool = False) -> Path:
    """A file of fairseq. form: of the configuration, "dict", "omegaconf" or "namespace" (one level in args, before hydra)."""
    place = {"cfg": OmegaConf.create(cfg) if form == "omegaconf" else cfg, "args": None}
    if form == "namespace":
        model, task = dict(cfg["model"]), cfg["task"]
        place = {
            "cfg": None,
            "args": argparse.Namespace(**model | {"arch": model.pop("_name"), "task": task["_name"], "normalize": task["normalize"]}),
        }
    weights = OrderedDict((name, tensor.to(dtype)) for name, tensor in state.items())
    content = place | {
        "model": weights, "criterion": None, "optimizer_history": [{"num_updates": 400000, "lr_scheduler_state": {"best": None}}],
        "extra_state": {"train_iterator": {"epoch": 3}, "val_loss": 2.5}, "last_optimizer_state": None,
        "task_state": {"dictionaries": [dictionary()]},
    }  # fmt: skip
    torch.save(content, path, _use_new_zipfile_serialization=not older)
    return path


def save_s3prl(path: Path, state: dict, cfg: dict) -> Path:
    """A file of s3prl's converters."""
    torch.save({"task_cfg": cfg["task"], "model_cfg": cfg["model"], "model_weight": state, "dictionaries_symbols": [[*SYMBOLS, "0"]]}, path)
    return path


def save_transformers(folder: Path, model, normalize: bool, bin_file: bool = False, old_names: bool = False) -> Path:
    """A folder of transformers. old_names: weight_g and weight_v instead of parametrizations."""
    model.save_pretrained(folder)
    if bin_file:
        state = model.state_dict()
        if old_names:
            ends = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
            state = {re.sub(r"parametrizations\.weight\.original[01]$", lambda m: ends[m[0]], name): tensor for name, tensor in state.items()}
        (folder / "model.safetensors").unlink()
        torch.save(state, folder / "pytorch_model.bin")
    facts = {"do_normalize": normalize, "feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000}
    (folder / "preprocessor_config.json").write_text(json.dumps(facts))
    return folder
