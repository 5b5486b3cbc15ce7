"""Tiny packages of ProgRE, HuBERT and wav2vec 2.0, and a corpus of tones."""

import numpy as np
import pytest
import soundfile
import torch

from asrlib.config.base import dump_config
from asrlib.config.families import load_pretrain_config
from asrlib.corpora.kaldi_table import write_table
from asrlib.pt.models import make_network
from asrlib.pt.models.hubert import BinNorm
from asrlib.pt.models.progre import Progre
from asrlib.pt.packages import write_packages

SMALL = "conv_channels=8 dim=16 ffn_dim=24 heads=2 layers=3 conv_pos=8 conv_pos_groups=2 final_dim=8"
TINY = f"{SMALL} num_classes=4 speaker_layer=1 pitch_channels=8 pitch_hidden=4"


@pytest.fixture(scope="session")
def progre_package(tmp_path_factory):
    """progre.pt as asrlib.bin.convert writes it, with random weights."""
    torch.manual_seed(0)
    config = load_pretrain_config(None, ["model=progre", *(f"model_conf.{word}" for word in TINY.split())])
    model = Progre(config.model_conf)
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    path = tmp_path_factory.mktemp("package") / "progre.pt"
    torch.save({"config": dump_config(config), "model_weight": model.state_dict()}, path)
    return path


TRUNK = f"{SMALL} extractor_mode=layer layer_norm_first=true normalize=true"
HEADS = {"hubert": "num_classes=4", "wav2vec2": "codewords=6 code_dim=8"}


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """packages[kind]: s3prl.pt for KIND_local, with random weights."""
    return {kind: _package(kind, tmp_path_factory.mktemp(kind)) for kind in HEADS}


@pytest.fixture(scope="session")
def hubert_package(packages):
    return packages["hubert"]


@pytest.fixture(scope="session")
def logmel_packages(tmp_path_factory):
    """The same on log-mel frames."""
    return {kind: _package(kind, tmp_path_factory.mktemp(f"{kind}_logmel"), "frontend=logmel") for kind in HEADS}


@pytest.fixture(scope="session")
def logmel_package(logmel_packages):
    return logmel_packages["hubert"]


def _package(kind, out, *more):
    torch.manual_seed(0)
    words = [*f"{TRUNK} {HEADS[kind]}".split(), *more]
    config = load_pretrain_config(None, [f"model={kind}", *(f"model_conf.{word}" for word in words)])
    write_packages(config, mindspore_arrays(make_network(config)), out)
    return out / "s3prl.pt"


def mindspore_arrays(model):
    """The weights of a network under their names in MindSpore, with noise."""
    norms = {name for name, module in model.named_modules() if isinstance(module, (torch.nn.LayerNorm, BinNorm))}
    arrays, words = {}, {"weight": "gamma", "bias": "beta"}
    for name, tensor in model.state_dict().items():
        path, _, last = name.rpartition(".")
        arrays[f"{path}.{words[last]}" if path in norms else name] = (tensor + 0.1 * torch.randn_like(tensor)).numpy()
    return arrays


@pytest.fixture(scope="session")
def tones_dir(tmp_path_factory):
    """Kaldi directories train and dev: words A (low tone) and B (high tone), 8 kHz; in train one recording is cut into two utterances by segments."""
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    for name, count in (("train", 12), ("dev", 3)):
        tables = {"wav.scp": {}, "text": {}, "utt2spk": {}, "segments": {}}
        for i in range(count):
            words = rng.choice(["A", "B"], 3)
            audio = np.concatenate([np.sin(2 * np.pi * {"A": 300, "B": 900}[word] * np.arange(3200) / 8000) for word in words])
            soundfile.write(folder / f"{name}{i:02d}.wav", 0.3 * audio + 0.01 * rng.normal(size=audio.size), 8000)
            recording = f"s{i % 2}-{name}{i:02d}"
            tables["wav.scp"][recording] = str(folder / f"{name}{i:02d}.wav")
            pieces = [(recording, 0, 1.2, words)] if i else [(f"{recording}-0", 0, 0.4, words[:1]), (f"{recording}-1", 0.4, 1.2, words[1:])]
            for utt, start, end, part in pieces:
                tables["text"][utt], tables["utt2spk"][utt] = "".join(part), recording[:2]
                tables["segments"][utt] = f"{recording} {start} {end}"
        for table, rows in tables.items():
            write_table(folder / name / table, rows)
    return folder
