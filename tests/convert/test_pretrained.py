"""What files of other toolkits say of their networks; other networks are refused by name."""

import argparse

import numpy as np
import pytest
import torch
import transformers

from asrlib.config.base import dump_config
from asrlib.config.families import load_pretrain_config
from asrlib.convert.checkpoint_file import Checkpoint, read_checkpoint
from asrlib.convert.pretrained import beside, configured, describe
from asrlib.pt.models import make_network
from asrlib.utils.errors import UserError
from tests.convert.foreign import LARGE, SMALL, fairseq_cfg, fairseq_state, hubert_heads, network, save_fairseq, save_transformers

TRUNK = {
    "layers": 3, "dim": 32, "ffn_dim": 48, "heads": 4, "conv_channels": 24, "conv_kernels": (10, 3, 3, 3, 3, 2, 2),
    "conv_strides": (5, 2, 2, 2, 2, 2, 2), "conv_pos": 16, "conv_pos_groups": 4,
}  # fmt: skip


def arrays_of(state) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in state.items()}


def described(path):
    """The configuration that follows from a file alone."""
    found = read_checkpoint(path)
    found.rest.update(beside(path))
    model = describe(found, str(path))
    return model, configured(model, None, None, str(path))


def says(config, **facts):
    assert {key: getattr(config.model_conf, key) for key in TRUNK | facts} == TRUNK | facts


@pytest.mark.parametrize("form", ["dict", "omegaconf", "namespace"])
@pytest.mark.parametrize("large", [False, True])
def test_fairseq(tmp_path, form, large):
    model = network(**SMALL, **(LARGE if large else {}))
    path = save_fairseq(tmp_path / "a.pt", fairseq_state(model) | hubert_heads(model, 9, 12), fairseq_cfg(model, large, 12), form)
    found, config = described(path)
    assert found.family == config.model == "hubert" and not found.aside
    mode = "layer" if large else "group"
    says(config, extractor_mode=mode, layer_norm_first=large, normalize=large, conv_bias=False, num_classes=9, final_dim=12)


@pytest.mark.parametrize("normalize", [False, True])
def test_transformers(tmp_path, normalize):
    """do_normalize of the feature extractor decides, as in transformers, whatever the normalisation in the convolutions."""
    folder = save_transformers(tmp_path / "a", network("wav2vec2", **SMALL), normalize)
    for path in (folder, folder / "model.safetensors"):
        _, config = described(path)
        assert config.model == "wav2vec2"
        says(config, extractor_mode="group", layer_norm_first=False, normalize=normalize)


def test_an_older_fine_tuned_wav2vec2(tmp_path):
    """args with the Namespace of the pretraining inside; the waveform is normalised as in fine-tuning."""
    model = network("wav2vec2", **SMALL)
    inner = fairseq_cfg(model, False)["model"]
    state = {f"w2v_encoder.w2v_model.{name}": tensor for name, tensor in fairseq_state(model).items()}
    args = argparse.Namespace(
        arch="wav2vec_ctc", normalize=True, w2v_path="a.pt", w2v_args=argparse.Namespace(arch="wav2vec2", normalize=True, **inner)
    )
    torch.save({"args": args, "model": state | {"w2v_encoder.proj.weight": torch.ones(5, 32)}}, tmp_path / "a.pt")
    found, config = described(tmp_path / "a.pt")
    assert config.model == "wav2vec2" and found.aside == ["w2v_encoder.proj.weight"]
    says(config, normalize=True, layer_norm_first=False)


def test_within_a_whole_system(tmp_path):
    """ESPnet's checkpoint of a model with a trained upstream."""
    state = {f"frontend.upstream.upstream.model.{name}": tensor for name, tensor in fairseq_state(network(**SMALL)).items()}
    torch.save(state | {"encoder.layers.0.fc1.weight": torch.ones(2, 2), "ctc.ctc_lo.weight": torch.ones(2, 2)}, tmp_path / "a.pth")
    found, config = described(tmp_path / "a.pth")
    assert found.aside == ["encoder.layers.0.fc1.weight", "ctc.ctc_lo.weight"] and config.model_conf.layers == 3


def test_torchaudio(tmp_path):
    from torchaudio.models import wav2vec2_model

    convs = [(24, 10, 5), *[(24, 3, 2)] * 4, *[(24, 2, 2)] * 2]
    model = wav2vec2_model("layer_norm", convs, True, 32, 0.0, 16, 4, 3, 4, 0.0, 48, 0.0, 0.0, True, 0.0, 29)
    torch.save(model.state_dict(), tmp_path / "a.pth")
    found, config = described(tmp_path / "a.pth")
    says(config, conv_bias=True, extractor_mode="layer", heads=1)  # heads: as in the published models
    assert found.aside == ["aux.weight", "aux.bias"]
    lacking = {"mask_emb", "final_proj.weight", "final_proj.bias", "label_embs_concat"}
    assert set(found.names.values()) == set(make_network(config).state_dict()) - lacking


def test_progre(tmp_path, logged):
    """Our package holds its configuration; bare weights do not say after which layer the speaker part is subtracted."""
    sizes = "conv_channels=24 dim=32 ffn_dim=48 heads=4 layers=5 conv_pos=16 conv_pos_groups=4 pitch_channels=10 pitch_hidden=6 speaker_layer=1"
    ours = load_pretrain_config(None, ["model=progre", *(f"model_conf.{word}" for word in f"{sizes} num_speakers=3 num_classes=9".split())])
    state = make_network(ours).state_dict()
    torch.save({"config": dump_config(ours), "model_weight": state}, tmp_path / "progre.pt")
    found, config = described(tmp_path / "progre.pt")
    assert config == ours and not logged and not found.aside
    torch.save({f"acc_net.{name}": tensor for name, tensor in state.items()}, tmp_path / "bare.pt")
    _, config = described(tmp_path / "bare.pt")
    changed = {"heads": 1, "speaker_layer": 3}
    assert {**vars(config.model_conf), **changed} == {**vars(ours.model_conf), **changed} and config.model_conf.speaker_layer == 3
    assert logged == [
        f"{tmp_path}/bare.pt: does not say heads (1), layer_norm_first (false), normalize (false), speaker_layer (3): "
        "taken as in the published models; give a configuration if they differ"
    ]


def test_log_mel_front_end(tmp_path, logged):
    """Our package holds its configuration; bare weights say that they see log-mel frames, and how many bins these have."""
    sizes = "frontend=logmel num_mels=20 conv_channels=24 dim=32 ffn_dim=48 heads=4 layers=3 conv_pos=16 conv_pos_groups=4 extractor_mode=layer"
    more = "layer_norm_first=true normalize=true conv_strides=[2] num_classes=9"
    ours = load_pretrain_config(None, [f"model_conf.{word}" for word in f"{sizes} {more}".split()])
    state = make_network(ours).state_dict()
    torch.save({"config": dump_config(ours), "model_weight": state}, tmp_path / "s3prl.pt")
    _, config = described(tmp_path / "s3prl.pt")
    assert config == ours and not logged
    torch.save(state, tmp_path / "bare.pt")
    found, config = described(tmp_path / "bare.pt")
    model = config.model_conf
    assert (model.frontend, model.num_mels, model.conv_kernels, model.conv_strides, model.extractor_mode) == ("logmel", 20, (5,), (2,), "layer")
    assert not found.aside and model.hop == 320
    with pytest.raises(UserError, match="model_conf.frontend is logmel by the shapes of the weights, waveform in the configuration"):
        configured(found, load_pretrain_config(None), None, "a.pt")


def small(kind, **more):
    return getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**SMALL, **more))


OTHERS = {
    "WavLM": (lambda: small("WavLM"), "a WavLM, whose attention has gated relative positions"),
    "data2vec": (lambda: small("Data2VecAudio", conv_pos_kernel_size=3), "a data2vec, which has several positional convolutions"),
    "conformer": (lambda: small("Wav2Vec2Conformer"), "a conformer"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_networks_are_refused_by_name(tmp_path, kind):
    make, message = OTHERS[kind]
    model = make()
    model.save_pretrained(tmp_path / "folder")
    with pytest.raises(UserError, match=f"folder: {message}"):
        described(tmp_path / "folder")
    torch.save(model.state_dict(), tmp_path / "bare.pt")
    with pytest.raises(UserError, match=f"bare.pt: {message}"):
        described(tmp_path / "bare.pt")


FAIRSEQ_OTHERS = {
    "data2vec": ("encoder.pos_conv.0.0.weight", {"model": {"_name": "data2vec_audio"}}, "a data2vec"),
    "WavLM": ("encoder.layers.0.self_attn.relative_attention_bias.weight", {"encoder_layers": 3}, "a WavLM"),
    "wav2vec": ("feature_aggregator.conv_layers.0.1.weight", {}, "the first wav2vec"),
    "relu": ("mask_emb", {"model": {"_name": "hubert", "activation_fn": "relu"}}, "its activation is relu, HuBERT's is gelu"),
    "convolutions": ("mask_emb", {"model": {"_name": "hubert", "conv_feature_layers": "__import__('os')"}}, "which is not a list of convolutions"),
}


@pytest.mark.parametrize("kind", FAIRSEQ_OTHERS)
def test_other_networks_of_fairseq(kind):
    name, cfg, message = FAIRSEQ_OTHERS[kind]
    arrays = arrays_of(fairseq_state(network(**SMALL))) | {name: np.ones(2, np.float32)}
    with pytest.raises(UserError, match=f"a.pt: .*{message}"):
        describe(Checkpoint(arrays, {"cfg": cfg}), "a.pt")


def test_files_without_the_network():
    with pytest.raises(UserError, match="a.pt: neither HuBERT, wav2vec 2.0 nor ProgRE: no feature_extractor.conv_layers among fc.weight"):
        describe(Checkpoint({"fc.weight": np.ones(2)}, {}), "a.pt")
    arrays = arrays_of(fairseq_state(network(**SMALL)))
    for lost in ("feature_extractor.conv_layers.1.0.weight", "encoder.layer_norm.weight"):
        with pytest.raises(UserError, match="a.pt: not a HuBERT, wav2vec 2.0 or ProgRE: no usable '"):
            describe(Checkpoint({name: array for name, array in arrays.items() if name != lost} | {lost + "_": np.ones(2)}, {}), "a.pt")
    both = {f"{part}.{name}": array for part in ("teacher", "student") for name, array in arrays.items()}
    with pytest.raises(UserError, match="a.pt: holds 2 networks, student. and teacher.: save one"):
        describe(Checkpoint(both, {}), "a.pt")
    cfg = fairseq_cfg(network(**SMALL), False)
    cfg["model"]["encoder_layers"] = 5
    with pytest.raises(UserError, match="a.pt: layers is 5 in its cfg and 3 in the shapes of the weights: the file is inconsistent"):
        describe(Checkpoint(arrays, {"cfg": cfg}), "a.pt")
