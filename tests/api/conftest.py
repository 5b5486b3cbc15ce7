"""Experiments with random weights of each kind, as the recipes make them."""

from itertools import product

import numpy as np
import pytest
import torch
import yaml

from asrlib.bin import convert, export
from asrlib.config.base import save_config
from asrlib.text.tokenizers import CharTokenizer
from asrlib.utils.arrays import save_arrays
from tests.pt.conftest import progre_package

__all__ = ["progre_package"]
CONFORMER = {
    "output_size": 16, "attention_heads": 2, "linear_units": 16, "num_blocks": 1, "input_layer": "conv2d2", "rel_pos_type": "latest",
    "pos_enc_layer_type": "rel_pos", "selfattention_layer_type": "rel_selfattn", "activation_type": "swish", "cnn_module_kernel": 5,
}  # fmt: skip


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A model trained from scratch: MindSpore's weights, the twin, ONNX, and a model of words in beam.yaml."""
    from asrlib.ms.checkpoint.weights import network_arrays
    from asrlib.ms.models import make_network
    from tests.ms.conftest import tiny_config

    folder = tmp_path_factory.mktemp("recipe") / "exp/tiny"
    config, tokenizer = tiny_config(), CharTokenizer(["A", "B", "C", "<space>", "<blank>"])
    save_config(config, folder / "config.yaml")
    tokenizer.save(folder / "tokens.txt")
    arrays = network_arrays(make_network(config, len(tokenizer.tokens)))
    for name, array in arrays.items():  # so that texts have several letters
        if array.ndim > 1:
            arrays[name] = (5 * array).astype(np.float32)
    save_arrays(folder / "model.safetensors", arrays)
    convert.main(["--exp_dir", str(folder)])
    export.main(["--exp_dir", str(folder), "--format", "onnx"])
    write_lm(folder / "words.arpa")
    (folder / "beam.yaml").write_text("lm: exp/tiny/words.arpa\nalpha: 0.5\nbeta: 0.5\nbeam_size: 20\n")
    (folder / "RESULTS.md").write_text(f"# Results\n- command: `{folder}/run.sh --lm {folder}/words.arpa`\n")
    return folder


@pytest.fixture(scope="session")
def exported(trained):
    """The same with its MindIR."""
    export.main(["--exp_dir", str(trained)])
    return trained


def write_lm(path):
    """A model of the words that A, B and C spell."""
    words = ["".join(letters) for size in (1, 2, 3) for letters in product("ABC", repeat=size)]
    unigrams = ["-99\t<s>\t0", "-2\t<unk>\t0", "-1\t</s>", *(f"-1.5\t{word}\t0" for word in words)]
    lines = ["\\data\\", f"ngram 1={len(unigrams)}", "ngram 2=1", "", "\\1-grams:", *unigrams, "", "\\2-grams:", "-1\t<s> AB", "", "\\end\\"]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def finetuned(tmp_path_factory, progre_package):
    """A model fine-tuned in ESPnet with ProgRE as its upstream, which the configuration names by a path relative to the recipe."""
    from asrlib.pt import asr_model, upstreams
    from asrlib.pt.portable import write_description

    recipe = tmp_path_factory.mktemp("espnet")
    folder = recipe / "exp/asr"
    (recipe / "exp/progre/pt").mkdir(parents=True)
    (recipe / "exp/progre/pt/progre.pt").write_bytes(progre_package.read_bytes())
    values = {
        "token_list": ["<blank>", "<unk>", "A", "B", "<space>", "<sos/eos>"], "token_type": "char", "output_dir": str(folder),
        "train_data_path_and_name_and_type": [[f"{recipe}/dump/wav.scp", "speech", "sound"]],
        "frontend": "s3prl", "preencoder": "linear", "preencoder_conf": {"input_size": 16, "output_size": 8},
        "frontend_conf": {"multilayer_feature": True, "frontend_conf": {"upstream": "progre_local", "path_or_url": "exp/progre/pt/progre.pt"}},
        "encoder": "conformer", "encoder_conf": CONFORMER,
        "decoder": "transformer", "decoder_conf": {"attention_heads": 2, "linear_units": 16, "num_blocks": 1},
        "model_conf": {"ctc_weight": 0.3, "extract_feats_in_collect_stats": False},
    }  # fmt: skip
    (folder / "inference").mkdir(parents=True)
    (folder / "inference/config.yaml").write_text(yaml.safe_dump(values))
    upstreams.register()
    torch.manual_seed(0)
    model = asr_model._build(asr_model._with_place(values, str(recipe / "exp/progre/pt/progre.pt")))
    for name, parameter in model.named_parameters():
        if "upstream" not in name:
            parameter.data += 0.3 * torch.randn_like(parameter)
    torch.save(model.state_dict(), folder / "inference/model.pth")
    write_description(recipe / "exp/progre/pt/progre.pt", folder / "inference")
    return folder


@pytest.fixture(scope="session")
def tones():
    """Tones and noise at 2 kHz."""
    time, rng = np.arange(400) / 2000, np.random.default_rng(0)
    audio = np.concatenate([0.3 * np.sin(2 * np.pi * pitch * time) for pitch in (200, 400, 0, 700, 200, 400, 0, 200)])
    return (audio + 0.01 * rng.normal(size=audio.size)).astype(np.float32), 2000
