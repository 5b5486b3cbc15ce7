"""Packages of a pretrained model: s3prl and transformers give the twin's hidden states, and their files convert back."""

import numpy as np
import pytest
import torch
import transformers

from asrlib.config.families import load_pretrain_config
from asrlib.convert.packages import HEADS, fairseq_configs
from asrlib.convert.pretrained_names import common_names
from asrlib.convert.rules import pytorch_name
from asrlib.pt.models import make_network
from asrlib.pt.packages import write_packages
from asrlib.pt.weights import read_weights
from asrlib.utils.errors import UserError

SMALL = "conv_channels=24 dim=32 ffn_dim=48 heads=4 layers=3 conv_pos=16 conv_pos_groups=4 final_dim=12"
LARGE = "extractor_mode=layer layer_norm_first=true normalize=true"


@pytest.fixture(params=["base", "large", "biased", "wav2vec2"])
def config(request):
    words = f"{SMALL} {LARGE if request.param in ('large', 'biased') else ''} conv_bias={str(request.param == 'biased').lower()}".split()
    kind = ["model=wav2vec2", "model_conf.codewords=20", "model_conf.code_dim=8"] if request.param == "wav2vec2" else ["model_conf.num_classes=9"]
    return load_pretrain_config(None, [*kind, *(f"model_conf.{word}" for word in words)])


@pytest.fixture
def twin(config):
    torch.manual_seed(0)
    model = make_network(config).eval()
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return model


@pytest.fixture
def arrays(twin, config):
    """The twin's weights with MindSpore's names."""
    norms = {name for name, module in twin.named_modules() if isinstance(module, (torch.nn.LayerNorm, torch.nn.GroupNorm))}
    words = {"weight": "gamma", "bias": "beta"}
    found = {}
    for name, tensor in twin.state_dict().items():
        path, _, last = name.rpartition(".")
        found[f"{path}.{words[last]}" if path in norms else name] = tensor.numpy()
    assert {pytorch_name(name) for name in found} == set(twin.state_dict())
    return found


def hidden_states(twin, config, wavs):
    lengths = torch.tensor([len(wav) for wav in wavs])
    if config.model_conf.normalize:
        wavs = [torch.nn.functional.layer_norm(wav, wav.shape) for wav in wavs]
    with torch.no_grad():
        return twin(torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True), lengths)


def test_s3prl_loads_it(twin, config, arrays, tmp_path):
    from s3prl.nn import S3PRLUpstream

    write_packages(config, arrays, tmp_path)
    name = "wav2vec2_local" if config.model == "wav2vec2" else "hubert_local"
    upstream = S3PRLUpstream(name, path_or_url=str(tmp_path / "s3prl.pt")).eval()
    wavs = [torch.randn(9000) * 0.1]
    with torch.no_grad():
        states, _ = upstream(torch.stack(wavs), torch.tensor([9000]))
    for mine, theirs in zip(hidden_states(twin, config, wavs), states, strict=True):
        frames = min(mine.shape[1], theirs.shape[1])
        assert (mine[:, :frames] - theirs[:, :frames]).abs().mean() <= 1e-6 * max(1.0, float(mine.abs().mean()))


def test_transformers_loads_it(twin, config, arrays, tmp_path):
    write_packages(config, arrays, tmp_path)
    kind = transformers.Wav2Vec2ForPreTraining if config.model == "wav2vec2" else transformers.HubertModel
    model, info = kind.from_pretrained(tmp_path / "transformers", output_loading_info=True)
    model = getattr(model, "wav2vec2", model)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    wav = torch.randn(9000) * 0.1
    inputs = torch.nn.functional.layer_norm(wav, wav.shape) if config.model_conf.normalize else wav
    with torch.no_grad():
        theirs = model.eval()(inputs[None]).last_hidden_state
    mine = hidden_states(twin, config, [wav])[-1]
    assert (mine - theirs).abs().mean() <= 1e-6 * max(1.0, float(mine.abs().mean()))


@pytest.mark.parametrize("file", ["s3prl.pt", "fairseq.pt", "transformers/model.safetensors"])
def test_files_of_other_toolkits_come_back(config, arrays, tmp_path, file):
    write_packages(config, arrays, tmp_path)
    found = read_weights(tmp_path / file)
    twins = {pytorch_name(name): name for name in arrays}
    common, aside = common_names(found, file)
    assert not aside
    names = {theirs: twins[twin] for theirs, twin in common.items()}
    assert set(names) == set(found), "every array has a place"
    for theirs, ours in names.items():
        np.testing.assert_array_equal(found[theirs], arrays[ours])
    missing = set(arrays) - set(names.values())
    lost = file.startswith("transformers") and config.model == "hubert"  # HubertModel has no heads
    assert missing == ({name for name in arrays if name.startswith(HEADS)} if lost else set())


def test_a_shape_that_fairseq_does_not_have(config):
    config.model_conf.conv_channels = config.model_conf.dim
    with pytest.raises(UserError, match="conv_channels equals model_conf.dim"):
        fairseq_configs(config)


CONV = "feature_extractor.conv_layers.0"
PUBLISHED = [  # our MindSpore name, names in the published MindSpore checkpoint and PyTorch code
    (f"{CONV}.conv.weight", f"acc_net.{CONV}.conv.conv1d.weight", f"{CONV}.0.weight"),
    (f"{CONV}.norm.gamma", f"acc_net.{CONV}.group_norm.gamma", f"{CONV}.2.weight"),
    ("encoder.pos_conv.weight_g", "acc_net.encoder.pos_conv.pos_conv.0.weight_g", "encoder.pos_conv.0.weight_g"),
    ("encoder.layers.0.fc1.weight", "acc_net.encoder.layers.0.fc1.dense.weight", "encoder.layers.0.fc1.weight"),
    ("pitch_encoder.convs.1.conv.weight", "acc_net.pitch_encoder.conv2.0.weight", "pitch_encoder.conv2.0.weight"),
    ("pitch_encoder.convs.1.bias", "acc_net.pitch_encoder.conv2.0.bias", "pitch_encoder.conv2.0.bias"),
    ("pitch_encoder.convs.1.norm.moving_mean", "acc_net.pitch_encoder.conv2.1.moving_mean", "pitch_encoder.conv2.1.running_mean"),
    ("pitch_encoder.gru.weight_ih_l0", "acc_net.pitch_encoder.lstm.weight_ih_l0", "pitch_encoder.lstm.weight_ih_l0"),
    ("pitch_norm.gamma", "acc_net.sub_norm.gamma", "sub_norm.weight"),
    ("speaker.linear1.weight", "acc_net.encoder.astp.linear1.weight", "encoder.astp.linear1.weight"),
    ("speaker.proj.bias", "acc_net.encoder.astp.out.dense.bias", "encoder.astp.out.bias"),
]


@pytest.mark.parametrize("column", [1, 2])
def test_names_of_the_published_progre(column):
    assert common_names([row[column] for row in PUBLISHED], "a") == ({row[column]: pytorch_name(row[0]) for row in PUBLISHED}, [])
