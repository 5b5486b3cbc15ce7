"""Layer outputs of the PyTorch twin of an experiment."""

from pathlib import Path

import numpy as np
import torch

from asrlib.config.ctc import TrainConfig
from asrlib.config.families import load_experiment_config
from asrlib.convert.compare import utterances_first
from asrlib.pt.models import make_network
from asrlib.pt.weights import assign, read_weights
from asrlib.text.tokenizers import load_tokenizer


def layer_outputs(exp_dir: Path, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs (B, T', D) of all layers of the model in exp_dir/pt.

    inputs: feats (B, T, F) and lengths (B,), or for a pretrained model wavs (B, S), lengths (B,) and pitch (B, T).
    """
    config, weights = load_experiment_config(exp_dir / "config.yaml"), exp_dir / "pt" / "model.safetensors"
    lengths = torch.from_numpy(inputs["lengths"]).long()
    with torch.no_grad():
        if isinstance(config, TrainConfig):
            model = assign(make_network(config, len(load_tokenizer(exp_dir / "tokens.txt").tokens)), read_weights(weights), weights)
            return utterances_first([x.numpy() for x in model.layer_outputs(torch.from_numpy(inputs["feats"]), lengths)])
        model = assign(make_network(config), read_weights(weights), weights)
        extra = (torch.from_numpy(inputs["pitch"]),) if config.uses_pitch else ()
        states = model(torch.from_numpy(inputs["wavs"]), lengths, *extra)
    for row, length in enumerate(inputs["lengths"].tolist()):
        for state in states:
            state[row, max(0, config.model_conf.frames(length)) :] = 0  # ignore the padding
    return [state.numpy() for state in states]
