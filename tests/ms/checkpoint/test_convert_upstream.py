"""Pretrained models of other toolkits: hidden states of transformers' networks after conversion of every form of file, without a configuration."""

import shutil

import mindspore as ms
import numpy as np
import pytest
import torch
import transformers
from mindspore import Tensor

from asrlib.bin import convert
from asrlib.config.families import load_pretrain_config
from asrlib.ms.checkpoint.weights import assign_arrays, require_complete
from asrlib.ms.models import make_network
from asrlib.utils.arrays import read_safetensors, save_arrays
from asrlib.utils.errors import UserError
from tests.convert.foreign import (
    LARGE,
    SMALL,
    fairseq_cfg,
    fairseq_state,
    hubert_heads,
    network,
    save_fairseq,
    save_s3prl,
    save_transformers,
)


@pytest.fixture(autouse=True, scope="module")
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


KINDS = {
    "base": ("hubert", {}, False),
    "large": ("hubert", LARGE, True),
    "large with bias": ("wav2vec2", LARGE | {"conv_bias": True}, True),
}


@pytest.fixture(scope="module", params=KINDS)
def published(request):
    """A network of transformers, and whether its waveforms are normalised."""
    kind, sizes, normalize = KINDS[request.param]
    return network(kind, **SMALL, **sizes), normalize


def converted(source, out, *options):
    """The command; configuration and arrays of the result."""
    convert.main(["--to", "ms", "--checkpoint", str(source), "--out", str(out), *map(str, options)])
    return load_pretrain_config(out / "config.yaml"), read_safetensors(out / "model.safetensors")


def difference(config, arrays, model) -> float:
    """The largest mean |a - b| / mean |b| of the hidden states of our network and transformers'."""
    mine = make_network(config)
    require_complete(assign_arrays(list(mine.get_parameters()), arrays), "converted")
    wav = (0.1 * np.random.default_rng(0).normal(size=9000)).astype(np.float32)
    if config.model_conf.normalize:
        wav = (wav - wav.mean()) / wav.std()
    states = [x.asnumpy() for x in mine.set_train(False)(Tensor(wav[None]), Tensor([9000], ms.int32))]
    with torch.no_grad():
        out = model(torch.tensor(wav[None]), output_hidden_states=True)
    theirs = [x.numpy() for x in (*out.hidden_states[:-1], out.last_hidden_state)]  # the last one normalised
    assert len(states) == len(theirs)
    return max(float(np.abs(a - b).mean() / np.abs(b).mean()) for a, b in zip(states, theirs, strict=True))


def write(form, top, model, normalize):
    """A file or folder of the model in a form."""
    state, cfg = fairseq_state(model), fairseq_cfg(model, normalize, final=12)
    if model.config.model_type == "hubert":
        state |= hubert_heads(model, 9, 12)
    if form.startswith("fairseq"):
        return save_fairseq(top / "a.pt", state, cfg, form.split()[1], older="older" in form)
    if form == "s3prl":
        return save_s3prl(top / "a.pt", state, cfg)
    return save_transformers(top / "folder", model, normalize, "bin" in form, "old names" in form)


FORMS = ("fairseq dict", "fairseq omegaconf", "fairseq namespace older", "s3prl", "transformers", "transformers bin", "transformers bin old names")


def test_hidden_states_are_those_of_transformers(published, tmp_path):
    """Every form gives the same configuration and weights, so one comparison of hidden states is enough."""
    model, normalize = published
    first = None
    for form in FORMS:
        config, arrays = converted(write(form, tmp_path, model, normalize), tmp_path / form)
        trunk = {name: array for name, array in arrays.items() if not name.startswith(("final_proj", "label_embs", "quantizer", "project_q"))}
        if first is None:
            first = config.model_conf, trunk
            assert difference(config, arrays, model) <= 1e-6
        ours, theirs = vars(config.model_conf), vars(first[0])
        heads = ("final_dim", "num_classes")  # transformers' folders have no heads
        assert {k: v for k, v in ours.items() if k not in heads} == {k: v for k, v in theirs.items() if k not in heads}, form
        assert trunk.keys() == first[1].keys()
        for name, array in trunk.items():
            np.testing.assert_array_equal(array, first[1][name], err_msg=f"{form} {name}")


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision(tmp_path, kind, logged):
    model, dtype = network(**SMALL), getattr(torch, kind)
    state, cfg = fairseq_state(model) | hubert_heads(model, 9, 12), fairseq_cfg(model, False, 12)
    config, arrays = converted(save_fairseq(tmp_path / "a.pt", state, cfg, dtype=dtype), tmp_path / "fairseq")
    model.to(dtype).save_pretrained(tmp_path / "folder")
    assert difference(config, arrays, model.float()) <= 1e-6
    _, again = converted(tmp_path / "folder", tmp_path / "transformers")
    for name in ("encoder.layers.1.fc1.weight", "encoder.pos_conv.weight_g"):
        np.testing.assert_array_equal(again[name], arrays[name])
    assert f"{tmp_path / 'a.pt'}: 70 of 70 arrays are {kind}: widened to float32" in logged
    assert f"{tmp_path / 'folder'}: 67 of 67 arrays are {kind}: widened to float32" in logged


def test_fine_tuned_models(tmp_path, logged):
    """The trunk is taken, the head is named."""
    model = network(**SMALL)
    state, cfg = fairseq_state(model), fairseq_cfg(model, False, 12)
    heads = {"w2v_encoder.proj.weight": torch.randn(32, 32), "w2v_encoder.proj.bias": torch.randn(32)}
    ctc = {"_name": None, "task": cfg["task"], "model": {"_name": "hubert_ctc", "w2v_path": "/a.pt", "apply_mask": True, "w2v_args": cfg}}
    source = save_fairseq(tmp_path / "a.pt", {f"w2v_encoder.w2v_model.{name}": tensor for name, tensor in state.items()} | heads, ctc, "omegaconf")
    config, arrays = converted(source, tmp_path / "fairseq")
    assert config.model == "hubert" and difference(config, arrays, model) <= 1e-6
    assert f"{source}: left aside, because they are not part of the pretrained network: w2v_encoder.proj.weight, w2v_encoder.proj.bias" in logged
    done = next(line for line in logged if line.startswith(f"{tmp_path / 'fairseq/model.safetensors'}: "))
    assert ": 67 tensors, " in done and ", 2 arrays left aside, " in done

    for kind, name in (("hubert", "HubertForCTC"), ("wav2vec2", "Wav2Vec2ForCTC"), ("hubert", "HubertForSequenceClassification")):
        whole = getattr(transformers, name)(network(kind, **SMALL).config)
        whole.save_pretrained(tmp_path / name)
        config, arrays = converted(tmp_path / name, tmp_path / f"{name}_ms")
        assert config.model == kind and difference(config, arrays, getattr(whole, kind).eval()) <= 1e-6
        head = "lm_head.weight, lm_head.bias" if "CTC" in name else "classifier.weight"
        assert any("left aside" in line and head.split(", ")[0] in line for line in logged)
        logged.clear()


def test_pretraining_heads_of_wav2vec2(tmp_path):
    """transformers writes them beside the trunk."""
    model = network("wav2vec2", **SMALL).config
    model.num_codevectors_per_group, model.codevector_dim, model.proj_codevector_dim = 20, 8, 12
    whole = transformers.Wav2Vec2ForPreTraining(model)
    whole.save_pretrained(tmp_path / "folder")
    config, arrays = converted(tmp_path / "folder", tmp_path / "out")
    found = config.model_conf
    assert (config.model, found.codewords, found.codebooks, found.code_dim, found.final_dim) == ("wav2vec2", 20, 2, 8, 12)
    np.testing.assert_array_equal(arrays["quantizer.vars"], whole.quantizer.codevectors.detach().numpy())
    np.testing.assert_array_equal(arrays["final_proj.weight"], whole.project_hid.weight.detach().numpy())


def test_parts_of_a_folder(tmp_path):
    model = network(**SMALL)
    model.save_pretrained(tmp_path / "folder", max_shard_size="20KB")
    assert not (tmp_path / "folder/model.safetensors").exists()
    config, arrays = converted(tmp_path / "folder", tmp_path / "out")
    assert difference(config, arrays, model) <= 1e-6
    next((tmp_path / "folder").glob("model-00002*")).unlink()
    with pytest.raises(UserError, match="model-00002-of-.*safetensors: no such checkpoint"):
        converted(tmp_path / "folder", tmp_path / "other")


def test_our_own_models_need_no_configuration(tmp_path):
    """An experiment's weights, its folder, its packages."""
    model = network(**SMALL, **LARGE)
    config, arrays = converted(write("s3prl", tmp_path, model, True), tmp_path / "exp")
    convert.main(["--exp_dir", str(tmp_path / "exp")])
    for source in ("model.safetensors", "", "pt/model.safetensors", "pt/s3prl.pt", "pt/fairseq.pt", "pt/transformers"):
        again, same = converted(tmp_path / "exp" / source, tmp_path / "again")
        assert again.model_conf.heads == 4 and again.model_conf.normalize and again.model_conf.layer_norm_first
        assert all(np.array_equal(same[name], array) for name, array in arrays.items() if "transformers" not in source)
    assert config.model_conf.num_classes == 9


def test_what_a_file_does_not_say(tmp_path, logged):
    """It comes from a configuration of the same sizes; without one it is as in the published models, which is told."""
    model = network(**SMALL)
    save_arrays(tmp_path / "bare.safetensors", {name: tensor.numpy() for name, tensor in model.state_dict().items()})
    config, _ = converted(tmp_path / "bare.safetensors", tmp_path / "a")
    assert config.model_conf.heads == 1, "32 numbers: heads of 64"
    assert any("bare.safetensors: does not say heads (1), layer_norm_first (false), normalize (false)" in line for line in logged)
    (tmp_path / "a/config.yaml").write_text(
        (tmp_path / "a/config.yaml").read_text().replace("heads: 1", "heads: 4").replace("normalize: false", "normalize: true")
    )
    shutil.move(tmp_path / "a/config.yaml", tmp_path / "default.yaml")
    config, arrays = converted(tmp_path / "bare.safetensors", tmp_path / "b", "--default_config", tmp_path / "default.yaml")
    assert config.model_conf.heads == 4 and config.model_conf.normalize and difference(config, arrays, model) <= 1e-6
    (tmp_path / "default.yaml").write_text((tmp_path / "default.yaml").read_text().replace("layers: 3", "layers: 4"))
    config, _ = converted(tmp_path / "bare.safetensors", tmp_path / "c", "--default_config", tmp_path / "default.yaml")
    assert config.model_conf.heads == 1 and config.model_conf.layers == 3, "the sizes differ: not used"


def test_a_given_configuration_is_checked(tmp_path):
    model = network(**SMALL)
    source = write("fairseq dict", tmp_path, model, False)
    converted(source, tmp_path / "a")
    text = (tmp_path / "a/config.yaml").read_text()
    for key, old, new, by in (
        ("heads", "4", "2", "its cfg"),
        ("normalize", "false", "true", "its cfg"),
        ("layers", "3", "5", "the shapes of the weights"),
        ("num_classes", "9", "7", "the shapes of the weights"),
        ("dim", "32", "64", "the shapes of the weights"),
    ):
        (tmp_path / "other.yaml").write_text(text.replace(f"  {key}: {old}\n", f"  {key}: {new}\n", 1))
        with pytest.raises(UserError, match=f"a.pt: model_conf.{key} is {old} by {by}, {new} in the configuration"):
            converted(source, tmp_path / "b", "--pretrain_config", tmp_path / "other.yaml")
        assert not (tmp_path / "b").exists()
    (tmp_path / "other.yaml").write_text("model: wav2vec2\n")
    for option in ("--pretrain_config", "--default_config"):
        with pytest.raises(UserError, match="a.pt: a hubert, but a wav2vec2 is wanted"):
            converted(source, tmp_path / "b", option, tmp_path / "other.yaml")
