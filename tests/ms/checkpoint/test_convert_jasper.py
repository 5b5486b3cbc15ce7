"""Jaspers of NVIDIA's code, NeMo, Lightning and the model zoo: the converted model transcribes as the original network does."""

import io
import json
import tarfile

import mindspore as ms
import numpy as np
import pytest
import torch
import yaml

from asrlib.bin import convert
from asrlib.decode.greedy import ctc_greedy, tokens_to_text
from asrlib.features.compute import compute
from asrlib.ms.checkpoint.weights import network_arrays
from asrlib.ms.inference.acoustic import AcousticModel
from asrlib.utils.arrays import read_safetensors, save_arrays
from asrlib.utils.errors import UserError

from . import nvidia

UPPER = ["'", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "<space>", "<blank>"]  # the order of conf/labels_en.txt
FEATURES = f"features.num_mels={nvidia.MELS} features.dither=0 features.symmetric_window=true features.pad_mode=reflect"
SIZES = " ".join(f"model_conf.{word}" for word in nvidia.OURS.split())


@pytest.fixture(autouse=True, scope="module")
def graph_mode():
    ms.set_context(mode=ms.GRAPH_MODE)


@pytest.fixture
def paths(tmp_path):
    (tmp_path / "tokens.txt").write_text("\n".join(UPPER) + "\n")
    (tmp_path / "jasper.yaml").write_text("model: jasper\n")
    (tmp_path / "labels.json").write_text(json.dumps(nvidia.LABELS))
    return tmp_path


def call(paths, checkpoint, *more, tokens=True, extra="", out="exp"):
    """convert --to ms CHECKPOINT; returns the folder of the result."""
    words = ["--to", "ms", "--train_config", paths / "jasper.yaml", "--train_args", f"{FEATURES} {SIZES} {extra}", "--checkpoint", checkpoint]
    words += ["--tokens", paths / "tokens.txt"] if tokens else []
    convert.main([str(word) for word in [*words, "--out", paths / out, *more]])
    return paths / out


def tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def saved(content) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def nemo_file(path, network, settings=None, mode="w"):
    settings = settings or nvidia.nemo_config()
    return tar(path, {"./model_config.yaml": yaml.safe_dump(settings).encode(), "./model_weights.ckpt": saved(network.state_dict())}, mode)


def require_same_texts(exp, network, floor=1e-20, upper=True):
    """The converted model's log-probabilities and texts of a padded batch, and of audio, are those of the network with its own features."""
    rng = np.random.default_rng(1)
    lengths = [97, 60, 83]
    feats = [rng.normal(size=(length, nvidia.MELS)).astype(np.float32) for length in lengths]
    padded = torch.full((3, nvidia.MELS, 97), 9.0)  # padding that must not be seen
    for row, x in enumerate(feats):
        padded[row, :, : len(x)] = torch.from_numpy(x.T)
    audio = (0.1 * rng.normal(size=12_345)).astype(np.float32)
    spectrum = nvidia.features(torch.from_numpy(audio), floor)[None]
    with torch.no_grad():
        theirs, ends = network(padded, torch.tensor(lengths))
        heard, _ = network(spectrum, torch.tensor([spectrum.shape[2]]))
    model = AcousticModel.load(exp)
    mine = model.log_probs([*feats, compute(audio, model.config.features)])
    labels = [*nvidia.LABELS, "<blank>"]
    names = [{" ": "<space>"}.get(label, label.upper() if upper and len(label) == 1 else label) for label in labels]
    order = [names.index(token) for token in model.tokenizer.tokens]
    texts = set()
    for log_probs, expected in zip(mine, [*(x[:end] for x, end in zip(theirs, ends, strict=True)), heard[0]], strict=True):
        np.testing.assert_allclose(log_probs, expected[:, order], atol=5e-4)
        text = " ".join(nvidia.text_of(expected, nvidia.LABELS).split())
        texts.add(text)
        assert tokens_to_text(ctc_greedy(log_probs, model.tokenizer.blank), model.tokenizer.tokens) == (text.upper() if upper else text)
    assert len(texts) == 4 and min(map(len, texts)) > 5, "the texts say something"


def require_same_arrays(paths, exp, network):
    """The result is that of the bare network, whose texts are compared in the first test."""
    torch.save(network.state_dict(), paths / "bare.pt")
    expected = read_safetensors(call(paths, paths / "bare.pt", "--labels", paths / "labels.json", out="bare") / "model.safetensors")
    found = read_safetensors(exp / "model.safetensors")
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def first_code(network):
    """The names of NVIDIA's first code: everything twice, and the buffers of the features."""
    names = {"encoder.layers.": "jasper_encoder.encoder.", "decoder.layers.": "jasper_decoder.decoder_layers."}
    state = {}
    for name, tensor in network.state_dict().items():
        new = next(name.replace(old, new) for old, new in names.items() if name.startswith(old))
        state |= {new: tensor, f"acoustic_model.{new}": tensor}
    return state | {"audio_preprocessor.featurizer.fb": torch.zeros(1, 64, 257), "audio_preprocessor.featurizer.window": torch.zeros(320)}


STATES = {
    "NVIDIA's": lambda n: {"state_dict": n.state_dict(), "ema_state_dict": None, "epoch": 3, "optimizer": {"state": {0: {"step": 5}}}},
    "NVIDIA's first": lambda n: {"state_dict": first_code(n), "optimizer": {}, "epoch": 1},
    "distributed": lambda n: {"state_dict": {f"module.{name}": tensor for name, tensor in n.state_dict().items()}},
    "Lightning's": lambda n: {
        "pytorch-lightning_version": "1.9.0",
        "state_dict": {f"model.{name}": tensor for name, tensor in n.state_dict().items()},
        "hyper_parameters": {"lr": 0.1},
    },
    "bare": lambda n: n.state_dict(),
}


def test_a_file_of_nvidias_transcribes_as_its_network_does(paths, logged):
    network = nvidia.make_network()
    torch.save(STATES["NVIDIA's"](network), paths / "jasper.pt")
    require_same_texts(call(paths, paths / "jasper.pt", "--labels", paths / "labels.json"), network)
    assert any("2 of 29 rows of the output layer change their place" in line for line in logged), "the space and the apostrophe"
    assert any("letters change case: a -> A, b -> B, c -> C, ..." in line for line in logged)


def test_the_moving_average_is_taken(paths, logged):
    network, other = nvidia.make_network(), nvidia.make_network(seed=3)
    torch.save({"state_dict": other.state_dict(), "ema_state_dict": network.state_dict()}, paths / "jasper.pt")
    require_same_arrays(paths, call(paths, paths / "jasper.pt", "--labels", paths / "labels.json"), network)
    assert any("ema_state_dict is taken" in line for line in logged)


@pytest.mark.parametrize("kind", STATES)
def test_files_of_torch_with_a_list_of_labels(paths, kind):
    """Recognised by content: the suffix says nothing."""
    network = nvidia.make_network()
    torch.save(STATES[kind](network), paths / "weights.ckpt")
    require_same_arrays(paths, call(paths, paths / "weights.ckpt", "--labels", paths / "labels.json"), network)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_nemos_archive(paths, mode):
    """The labels are in its configuration."""
    network = nvidia.make_network(nemo=True)
    exp = call(paths, nemo_file(paths / "jasper.bin", network, mode=mode))
    require_same_arrays(paths, exp, network)
    assert (exp / "tokens.txt").read_text().split() == UPPER


def test_without_a_token_list_the_labels_are_the_tokens(paths):
    """And a file of NeMo's transcribes as its network does, in small letters."""
    network = nvidia.make_network(nemo=True)
    exp = call(paths, nemo_file(paths / "a.nemo", network), tokens=False, extra=f"features.log_floor={2**-24}")
    assert (exp / "tokens.txt").read_text().splitlines() == ["<space>", *nvidia.LABELS[1:], "<blank>"]
    require_same_texts(exp, network, floor=2**-24, upper=False)


def test_encoder_and_decoder_in_two_files(paths):
    """NeMo before 1.0 saved its modules, each from its own name on."""
    network = nvidia.make_network(nemo=True)
    for module in ("encoder", "decoder"):
        torch.save(getattr(network, module).state_dict(), paths / f"{module}.pt")
    (paths / "labels.yaml").write_text(yaml.safe_dump({"model": "Jasper", "labels": nvidia.LABELS}))
    both = f"{paths / 'encoder.pt'} {paths / 'decoder.pt'}"
    require_same_arrays(paths, call(paths, both, "--labels", paths / "labels.yaml"), network)
    with pytest.raises(UserError, match=r"encoder.pt: .* is also in another file of --checkpoint"):
        call(paths, f"{paths / 'encoder.pt'}\n{paths / 'encoder.pt'}", "--labels", paths / "labels.yaml")


def test_the_model_zoos_checkpoint(paths):
    """MindSpore's names and its two-dimensional convolutions, with the optimizer's states."""
    network, arrays = nvidia.make_network(), {}
    names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    for name, tensor in network.state_dict().items():
        path, _, last = name.rpartition(".")
        if name.startswith("decoder"):
            arrays[f"decoder.layers.{last}"] = tensor.numpy()[:, :, None] if last == "weight" else tensor.numpy()
        elif tensor.ndim == 3:
            arrays[f"{path}.conv1.weight"] = tensor.numpy()[:, :, None]
        elif tensor.ndim:
            arrays[f"{path}.batchnorm.{names[last]}"] = tensor.numpy()
    arrays |= {f"adam_m.{name}": np.zeros_like(array) for name, array in arrays.items()} | {"global_step": np.zeros(1, np.int32)}
    ms.save_checkpoint([{"name": name, "data": ms.Tensor(array)} for name, array in arrays.items()], str(paths / "zoo.ckpt"))
    (paths / "zoo.ckpt").rename(paths / "zoo.pt")
    require_same_arrays(paths, call(paths, paths / "zoo.pt", "--labels", paths / "labels.json"), network)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(paths, dtype, logged):
    network = nvidia.make_network()
    torch.save(network.to(dtype).state_dict(), paths / "half.pt")
    require_same_arrays(paths, call(paths, paths / "half.pt", "--labels", paths / "labels.json"), network.float())
    assert any(f"{str(dtype).removeprefix('torch.')}: widened to float32" in line for line in logged)


def test_labels_are_needed(paths):
    torch.save({"state_dict": nvidia.make_network().state_dict()}, paths / "jasper.pt")  # beside tokens.txt, which is not its own list
    with pytest.raises(UserError, match=r"jasper.pt: it has no list of its labels.*give one with --labels FILE"):
        call(paths, paths / "jasper.pt")
    assert not (paths / "exp").exists()


LISTS = {  # labels of the file -> part of the message
    "one less": (nvidia.LABELS[:-1], "27 labels, but the output layer has 29 rows, one per label and one for the blank"),
    "others": ([*nvidia.LABELS[:-1], "ü"], r"only in the checkpoint's labels: 'ü' \(U\+00FC\); only in the token list: \"'\" \(U\+0027\)"),
    "both cases": ([*nvidia.LABELS[:-2], "A", "'"], r"only in the token list: 'Z' .*two letters that differ in case: 'a' \(U\+0061\), 'A'"),
    "twice": ([*nvidia.LABELS[:-1], "a"], r"duplicate label 'a'"),
    "no blank": (["@", *nvidia.LABELS], "none of the 29 labels is the blank: name it <blank>"),
}


@pytest.mark.parametrize("kind", LISTS)
def test_labels_that_do_not_match_are_named(paths, kind):
    labels, message = LISTS[kind]
    torch.save(nvidia.make_network().state_dict(), paths / "jasper.pt")
    (paths / "labels.json").write_text(json.dumps(labels))
    with pytest.raises(UserError, match=message):
        call(paths, paths / "jasper.pt", "--labels", paths / "labels.json")
    assert not (paths / "exp").exists()


def test_the_blank_may_be_the_first_label(paths):
    """As in deepspeech.pytorch: `_` is the blank of a list with one label per row."""
    network = nvidia.make_network()
    state = network.state_dict()
    for name in ("decoder.layers.0.weight", "decoder.layers.0.bias"):
        state[name] = torch.roll(state[name], 1, 0)
    torch.save(state, paths / "jasper.pt")
    (paths / "first.json").write_text(json.dumps(["_", *nvidia.LABELS]))
    require_same_arrays(paths, call(paths, paths / "jasper.pt", "--labels", paths / "first.json"), network)


def test_a_model_of_this_project_has_its_list_beside_it(paths, tmp_path):
    """Safetensors of an experiment, of either framework, go to another order of the same tokens; a list of its own is not needed."""
    network = nvidia.make_network()
    torch.save(network.state_dict(), paths / "jasper.pt")
    first = call(paths, paths / "jasper.pt", "--labels", paths / "labels.json").rename(paths / "first")
    convert.main(["--exp_dir", str(first)])
    (paths / "tokens.txt").write_text("\n".join([*sorted(UPPER[:-2], reverse=True), *UPPER[-2:]]) + "\n")
    for weights in ("model.safetensors", "pt/model.safetensors"):
        exp = call(paths, first / weights)
        require_same_arrays(paths, exp, network)
        assert not np.array_equal(read_safetensors(exp / "model.safetensors")["decoder.bias"], read_safetensors(first / weights)["decoder.bias"])
    renamed = network_arrays(AcousticModel.load(first).network)
    save_arrays(paths / "stray" / "model.safetensors", renamed)
    with pytest.raises(UserError, match="it has no list of its labels"):
        call(paths, paths / "stray" / "model.safetensors")


RELATIVES = {
    "QuartzNet": ({"encoder.layers.1.conv.0.weight": torch.zeros(5, 1, 3)}, "1.conv.0.weight belongs to separable convolutions, as in QuartzNet"),
    "Citrinet": ({"encoder.layers.1.conv.5.fc.0.weight": torch.zeros(2, 6)}, "belongs to squeeze-and-excitation layers, as in Citrinet"),
    "a deeper one": ({"encoder.layers.1.conv.8.weight": torch.zeros(6, 6, 3)}, "encoder.layers.1.conv.8.weight is in the file and not in the model"),
    "two different ones": ({"ema.encoder.layers.1.conv.0.weight": torch.zeros(6, 5, 3)}, "are both blocks.1.conv.0.weight and differ"),
}


@pytest.mark.parametrize("kind", RELATIVES)
def test_other_networks_are_named(paths, kind):
    more, message = RELATIVES[kind]
    torch.save(nvidia.make_network().state_dict() | more, paths / "jasper.pt")
    with pytest.raises(UserError, match=message):
        call(paths, paths / "jasper.pt", "--labels", paths / "labels.json")


def test_other_settings_than_the_files_are_refused(paths, logged):
    """With the arguments to give; small differences in the features are a warning."""
    network = nvidia.make_network(nemo=True)
    path = nemo_file(paths / "a.nemo", network)
    with pytest.raises(UserError, match=r'features.window_size 0.02 instead of 0.025: give --train_args "features.window_size=0.02 '):
        call(paths, path, extra="features.window_size=0.025")
    call(paths, path, extra="features.symmetric_window=false")
    assert any("features.log_floor=5.96" in line and "features.symmetric_window=true" in line for line in logged)


def test_a_list_of_ones_own_wins_over_the_files(paths, logged):
    network = nvidia.make_network(nemo=True)
    settings = nvidia.nemo_config() | {"labels": LISTS["others"][0]}
    settings["decoder"]["vocabulary"] = LISTS["others"][0]
    with pytest.raises(UserError, match="only in the checkpoint's labels: 'ü'"):
        call(paths, nemo_file(paths / "a.nemo", network, settings))
    require_same_arrays(paths, call(paths, paths / "a.nemo", "--labels", paths / "labels.json"), network)
    assert any("its own list of labels is another one than" in line for line in logged)
