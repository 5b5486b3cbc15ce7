"""Packages of a pretrained model for other toolkits: s3prl's hubert_local and wav2vec2_local, a fairseq-like checkpoint, a transformers folder."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from asrlib.config.base import dump_config
from asrlib.config.pretraining import PretrainConfig
from asrlib.convert.packages import HEADS, fairseq_configs, fairseq_rule, pretraining_name, transformers_config, transformers_name
from asrlib.convert.rules import pytorch_name, reversed_rule
from asrlib.utils.arrays import Arrays, save_arrays
from asrlib.utils.files import atomic_write


def write_packages(config: PretrainConfig, arrays: Arrays, out: Path) -> list[Path]:
    """Writes the packages of a network from its MindSpore arrays; returns the files.

    Networks that other toolkits do not have, ProgRE and those on log-mel frames, have one package of our own, for asrlib.pt.upstreams.
    """
    if config.uses_pitch or config.model_conf.frontend == "logmel":
        return [write_own_package(config, arrays, out)]
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    task_cfg, model_cfg = fairseq_configs(config)
    rename = fairseq_rule(config.model_conf)
    weights = {rename(name): tensor for name, tensor in tensors.items()}
    s3prl = {"task_cfg": task_cfg, "model_cfg": model_cfg, "model_weight": weights}
    if config.objective == "contrastive":
        kinds, exported, rule = ("audio_pretraining", "wav2vec2"), list(arrays), pretraining_name
    else:
        s3prl["dictionaries_symbols"] = [[str(i) for i in range(config.model_conf.num_classes)]]
        kinds, exported, rule = ("hubert_pretraining", "hubert"), [name for name in arrays if not name.startswith(HEADS)], transformers_name
    fairseq = {"model": weights, "cfg": {"task": {"_name": kinds[0], **task_cfg}, "model": {"_name": kinds[1], **model_cfg}}}
    names = reversed_rule(lambda name: rule(name, config.model_conf), exported)
    transformers, path = {theirs: arrays[ours] for theirs, ours in names.items()}, out / "transformers" / "model.safetensors"
    with ThreadPoolExecutor() as pool:  # in parallel, because writing to disk takes most of the time
        jobs = [
            pool.submit(_save, s3prl, out / "s3prl.pt"),
            pool.submit(_save, fairseq, out / "fairseq.pt"),
            pool.submit(save_arrays, path, transformers, {"format": "pt"}),
        ]
        made = [jobs[0].result(), jobs[1].result(), jobs[2].result() or path]
    with atomic_write(out / "transformers" / "config.json") as stream:
        json.dump(transformers_config(config), stream, indent=2)
    with atomic_write(out / "transformers" / "preprocessor_config.json") as stream:
        facts = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1, "sampling_rate": 16000, "padding_value": 0.0}
        facts |= {"do_normalize": config.model_conf.normalize, "return_attention_mask": config.model_conf.extractor_mode == "layer"}
        json.dump(facts, stream, indent=2)
    return made


def write_own_package(config: PretrainConfig, arrays: Arrays, out: Path, products: str = "float32") -> Path:
    """Writes the package that asrlib.pt.upstreams reads, for any network; returns the file. products: see asrlib.pt.products."""
    weights = {pytorch_name(name): torch.from_numpy(array) for name, array in arrays.items()}
    state = {"config": dump_config(config), "products": products, "model_weight": weights}
    return _save(state, out / ("progre.pt" if config.uses_pitch else "s3prl.pt"))


def _save(state: dict, path: Path) -> Path:
    with atomic_write(path, "wb") as stream:
        torch.save(state, stream)
    return path
