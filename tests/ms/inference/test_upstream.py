"""The commands convert a pretrained model from MindSpore to PyTorch and other toolkits and back; hidden states as frames to cluster."""

import json

import numpy as np
import pytest
import soundfile

from asrlib.bin import compare_layers, convert
from asrlib.config.base import save_config
from asrlib.config.families import load_pretrain_config
from asrlib.corpora.kaldi_table import write_table
from asrlib.ms.checkpoint.weights import network_arrays
from asrlib.ms.inference.upstream import LayerFrames, Upstream
from asrlib.ms.models import make_network
from asrlib.utils.arrays import read_safetensors, save_arrays
from asrlib.utils.errors import UserError
from tests.ms.models.test_hubert import KINDS, SMALL

KINDS = KINDS | {"wav2vec2": ("model=wav2vec2", "model_conf.codewords=20", "model_conf.code_dim=8")}


def configuration(kind, *overrides):
    """The small configuration of a kind; wav2vec 2.0 has no clusters."""
    shape = [word for word in SMALL if kind != "wav2vec2" or "num_classes" not in word]
    return load_pretrain_config(None, [*shape, *KINDS[kind], *overrides])


@pytest.fixture(params=KINDS)
def exp(request, tmp_path):
    """An experiment with a random model."""
    config = configuration(request.param, *(["model_conf.normalize=true"] if request.param == "large" else []))
    folder = tmp_path / "exp"
    save_config(config, folder / "config.yaml")
    save_arrays(folder / "model.safetensors", network_arrays(make_network(config)))
    return folder


@pytest.fixture
def wav_scp(tmp_path):
    rng = np.random.default_rng(0)
    for i, samples in enumerate((9000, 6500)):
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * rng.normal(size=samples), 16000)
    write_table(tmp_path / "wav.scp", {str(i): str(tmp_path / f"{i}.wav") for i in range(2)})
    return tmp_path / "wav.scp"


def test_there_compared_and_back(exp, wav_scp, tmp_path):
    convert.main(["--exp_dir", str(exp)])
    compare_layers.main(["--exp_dir", str(exp), "--wav_scp", str(wav_scp)])
    result = json.loads((exp / "compare/result.json").read_text())
    model = load_pretrain_config(exp / "config.yaml")
    progre = model.model == "progre"
    assert len(result["layers"]) == (6 if progre else 4) and result["worst"] <= 5e-6
    ours = read_safetensors(exp / "model.safetensors")
    packages = ["s3prl.pt", "fairseq.pt", "transformers/model.safetensors"]
    files = ["model.safetensors", *(["progre.pt"] if progre else packages[:1] if model.model_conf.frontend == "logmel" else packages)]
    assert sorted(files) == sorted(str(path.relative_to(exp / "pt")) for path in (exp / "pt").rglob("*") if path.suffix in (".pt", ".safetensors"))
    for file in files:
        out = tmp_path / "back" / file.replace("/", "_")
        convert.main(["--to", "ms", "--pretrain_config", str(exp / "config.yaml"), "--checkpoint", str(exp / "pt" / file), "--out", str(out)])
        back = read_safetensors(out / "model.safetensors")
        assert set(back) == set(ours)
        for name, array in back.items():
            np.testing.assert_array_equal(array, ours[name], err_msg=f"{file} {name}")


def test_base_weights_do_not_go_into_large(exp, tmp_path):
    config = load_pretrain_config(exp / "config.yaml", ["model_conf.dim=64"])
    save_config(config, tmp_path / "other.yaml")
    with pytest.raises(UserError, match="model_conf.dim is 32 by the shapes of the weights, 64 in the configuration"):
        model, out = str(exp / "model.safetensors"), str(tmp_path / "out")
        convert.main(["--to", "ms", "--pretrain_config", str(tmp_path / "other.yaml"), "--checkpoint", model, "--out", out])


def test_frames_of_a_layer(exp):
    """Padding to a few lengths has no effect; the number of frames is that of the MFCC clusters."""
    upstream = Upstream.load(exp)
    audio = (0.1 * np.random.default_rng(1).normal(size=9000)).astype(np.float32)
    frames = LayerFrames(exp, 2).load()(audio, "u")
    count = upstream.config.model_conf.frames(9000)
    assert frames.shape == (count, 32)
    wav = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-5) if upstream.config.model_conf.normalize else audio
    curve = None
    if upstream.config.model == "progre":
        from asrlib.features.pitch import pitch

        curve = pitch(audio, upstream.config.model_conf.hop)[None]
    states = upstream.states(wav[None], np.array([9000]), curve)
    pitch_part = 1 if upstream.config.model == "progre" else 0
    np.testing.assert_allclose(frames, states[2 + pitch_part][0], atol=2e-5)
    assert LayerFrames(exp, 2).dim == 32 and LayerFrames(exp, 2).hop == upstream.config.model_conf.hop
    with pytest.raises(UserError, match="--layer 4: .* has the hidden states 0 to 3"):
        LayerFrames(exp, 4).load()
    with pytest.raises(UserError, match="utterance x: 300 samples are shorter"):
        LayerFrames(exp, 2).load()(audio[:300], "utterance x")


@pytest.mark.parametrize("speaker_layer", [-1, 0, 1])
def test_layers_of_a_progre_are_counted_without_its_pitch_and_speaker_parts(speaker_layer):
    """Pitch part, input of the first layer, outputs of the layers, with the speaker part after the output of speaker_layer."""
    names = ["pitch", "input"]
    for layer in range(3):
        names += [f"layer {layer}"] + ["speaker"] * (layer == speaker_layer)
    model = configuration("progre", f"model_conf.speaker_layer={speaker_layer}", "model_conf.layers=3").model_conf
    assert [names[model.state_place(number)] for number in range(4)] == ["input", "layer 0", "layer 1", "layer 2"]


def test_a_progre_with_a_speaker_head_comes_back_whole(tmp_path):
    """The number of speakers comes from the file, not from the given configuration."""
    general = configuration("progre", "model_conf.num_speakers=0")
    trained = configuration("progre", "model_conf.num_speakers=7")
    save_config(general, tmp_path / "general.yaml")
    ours = network_arrays(make_network(trained))
    save_arrays(tmp_path / "trained.safetensors", ours)
    options = ["--to", "ms", "--pretrain_config", str(tmp_path / "general.yaml"), "--checkpoint", str(tmp_path / "trained.safetensors")]
    convert.main([*options, "--out", str(tmp_path / "out")])
    assert set(read_safetensors(tmp_path / "out/model.safetensors")) == set(ours)
    assert load_pretrain_config(tmp_path / "out/config.yaml").model_conf.num_speakers == 7


def test_every_kept_checkpoint_is_converted(tmp_path):
    """Each under its number of updates, which the file contains; including the best and the last one."""
    config = configuration("wav2vec2")
    save_config(config, tmp_path / "config.yaml")
    kept = {"checkpoints/update-000000": 0, "checkpoints/update-000020": 20, "checkpoints/best": 15, "model": 30}
    for name, updates in kept.items():
        config.trainer.seed = updates
        save_arrays(tmp_path / f"{name}.safetensors", network_arrays(make_network(config)), {"updates": str(updates)})
    (tmp_path / "updates/10/pt").mkdir(parents=True)  # left by another pretraining: it must not be compared with these
    convert.main(["--exp_dir", str(tmp_path), "--updates", "true"])
    assert sorted(int(folder.name) for folder in (tmp_path / "updates").iterdir()) == [0, 15, 20, 30]
    for name, updates in kept.items():
        ours, theirs = read_safetensors(tmp_path / f"{name}.safetensors"), read_safetensors(tmp_path / f"updates/{updates}/pt/model.safetensors")
        np.testing.assert_array_equal(ours["quantizer.vars"], theirs["quantizer.vars"])
        assert (tmp_path / f"updates/{updates}/pt/s3prl.pt").exists()
    with pytest.raises(UserError, match="no checkpoint of a pretraining in it: run stage 3"):
        (tmp_path / "empty").mkdir()
        save_config(config, tmp_path / "empty/config.yaml")
        convert.main(["--exp_dir", str(tmp_path / "empty"), "--updates", "true"])
