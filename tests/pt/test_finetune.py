"""A tiny fine-tuning in ESPnet: on cached hidden states, killed and resumed, converted to take audio, decoded."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from espnet2.asr.encoder.conformer_encoder import TooShortUttError

from asrlib.bin import decode, dump_speech, finetune, make_tokens, transcribe
from asrlib.corpora.kaldi_dir import KaldiDir
from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.decode.beam import BeamConfig, Hypothesis
from asrlib.pt import decode as decoding
from asrlib.pt.asr_model import known
from asrlib.pt.device import Device, OutOfMemory
from asrlib.pt.recogniser import JointConfig, Recogniser
from asrlib.pt.training import register
from asrlib.utils.decoding import MODES
from asrlib.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "num_workers=0 batch_bins=40000 max_epoch=3 log_interval=1 keep_nbest_models=2 preencoder_conf.output_size=8 "
    "encoder_conf.output_size=8 encoder_conf.attention_heads=2 encoder_conf.linear_units=8 encoder_conf.num_blocks=1 "
    "decoder_conf.attention_heads=2 decoder_conf.linear_units=8 decoder_conf.num_blocks=1"
)


def command(dumps, exp_dir, *more):
    folders = ["--train_dir", dumps / "train", "--valid_dir", dumps / "dev", "--tokens", dumps / "tokens.txt", "--exp_dir", exp_dir]
    words = ["--asr_config", ROOT / "conf/mini/asr_conformer.yaml", "--asr_args", TINY, *folders, *more]
    return [sys.executable, "-m", "asrlib.bin.finetune", *map(str, words)]


def call(words):
    return subprocess.run(words, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def dumps(tones_dir, progre_package, tmp_path_factory):
    out = tmp_path_factory.mktemp("dumps")
    options = ["--data_dirs", f"{tones_dir / 'train'} {tones_dir / 'dev'}", "--upstream", "progre_local", "--upstream_model", str(progre_package)]
    dump_speech.main([*options, "--out", str(out), "--nj", "1"])
    make_tokens.main(["--text", str(tones_dir / "train/text"), "--out", str(out / "tokens.txt")])
    return out


@pytest.fixture(scope="module")
def experiment(dumps, progre_package, tmp_path_factory):
    """A finished fine-tuning, which was killed in its second epoch and resumed."""
    exp = tmp_path_factory.mktemp("exp") / "asr"
    words = command(dumps, exp, "--upstream", "progre_local", "--upstream_model", progre_package)
    process = subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (exp / "1epoch.pth").exists():
        time.sleep(0.1)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = call(words)
    assert done.returncode == 0, done.stderr[-3000:]
    return exp


def test_what_a_run_leaves(experiment):
    files = ["asr.yaml", "config.yaml", "valid.acc.ave.pth", "inference/model.pth", "inference/config.yaml", "inference/upstream.json"]
    for made in [*files, "images/layer_weights.png", "images/layer_weights.json", "images/acc.png"]:
        assert (experiment / made).exists(), made
    assert any((experiment / "tensorboard").rglob("events*"))
    assert "1epoch results" in (experiment / "train.log").read_text()
    config = yaml.safe_load((experiment / "inference/config.yaml").read_text())
    assert config["frontend"] == "s3prl" and config["frontend_conf"]["frontend_conf"]["upstream"] == "progre_local"


def test_audio_gives_what_the_cached_states_gave(experiment, dumps, tones_dir):
    """The model that takes audio and the model trained on cached states give the same output."""
    import kaldiio
    from espnet2.tasks.asr import ASRTask

    taking_audio = Recogniser(experiment, JointConfig())
    register()
    trained, _ = ASRTask.build_model_from_file(str(experiment / "config.yaml"), str(experiment / "valid.acc.ave.pth"), "cpu")
    states = kaldiio.load_scp(str(dumps / "dev/feats.scp"))
    for utterance in KaldiDir.read(tones_dir / "dev").utterances():
        with torch.no_grad():
            matrix = torch.from_numpy(states[utterance.id].copy())[None]
            encoded, _ = trained.eval().encode(matrix, torch.tensor([matrix.shape[1]]))
            expected = trained.ctc.log_softmax(encoded)[0].numpy()
        np.testing.assert_allclose(taking_audio([utterance.audio(16000)], "greedy")[0], expected, atol=1e-4)


def test_decoding(experiment, tones_dir, tmp_path):
    options = ["--modes", " ".join(MODES), "--out", str(tmp_path), "--nj", "1", "--nbest", "2"]
    decode.main(["--exp_dir", str(experiment), "--data_dirs", str(tones_dir / "dev"), *options])
    for mode in MODES:
        texts = read_table(tmp_path / f"decode_{mode}/dev/text").rows
        assert texts.keys() == KaldiDir.read(tones_dir / "dev").text.keys()
        first, second = (tmp_path / f"decode_{mode}/dev/{n}best_recog" for n in (1, 2))
        assert read_table(first / "text").rows == texts
        if mode == "greedy":
            assert not read_table(second / "text").rows
            continue
        best, scores, others = read_table(first / "score").rows, read_table(second / "score").rows, read_table(second / "text").rows
        assert others and all(texts[utt] != others[utt] and float(best[utt]) >= float(scores[utt]) for utt in others)
        assert json.loads((tmp_path / f"decode_{mode}/dev/rtf.json").read_text())["audio_seconds"] == pytest.approx(3.6, abs=0.01)


def speech2text(experiment, ctc_weight=0.5):
    """ESPnet's own decoding with our frontends."""
    from espnet2.bin.asr_inference import Speech2Text

    register()
    files = {"asr_train_config": str(experiment / "inference/config.yaml"), "asr_model_file": str(experiment / "inference/model.pth")}
    return Speech2Text(**files, beam_size=3, ctc_weight=ctc_weight, lm_weight=0.0)


def test_texts_of_the_joint_search_are_espnets(experiment, tones_dir, monkeypatch):
    """espnet2.bin.asr_inference on one utterance at a time; a clip that is too short among them; and the way of other decoders."""
    recogniser, theirs = Recogniser(experiment, JointConfig(beam_size=3)), speech2text(experiment)
    audios = [utterance.audio(16000) for utterance in KaldiDir.read(tones_dir / "dev").utterances()]
    expected = ["".join(theirs(audio)[0][0].split()) for audio in audios]
    assert best(recogniser([audios[0][:100], *audios], "joint")) == ["", *expected] and any(expected)
    theirs = speech2text(experiment, 0.0)
    attention = ["".join(theirs(audio)[0][0].split()) for audio in audios]
    assert best(recogniser(audios, "attention")) == attention
    monkeypatch.setattr("asrlib.pt.recogniser.supported", lambda decoder: False)
    assert best(recogniser(audios, "joint")) == expected


def best(found):
    return ["".join(hypotheses[0].text.split()) for hypotheses in found]


def test_the_model_is_the_one_of_espnets_task(experiment):
    """Classes, names and values of the parameters, and settings."""
    assert known(yaml.safe_load((experiment / "inference/config.yaml").read_text())), "it is not built by ESPnet's task"
    recogniser, theirs = Recogniser(experiment, JointConfig()), speech2text(experiment).asr_model
    ours, expected = recogniser.model.state_dict(), theirs.state_dict()
    assert ours.keys() == expected.keys() and all(torch.equal(ours[name], expected[name]) for name in ours)
    theirs.specaug = None  # used in training only
    assert [type(module) for module in recogniser.model.modules()] == [type(module) for module in theirs.modules()]
    assert (recogniser.model.ctc_weight, recogniser.model.sos) == (theirs.ctc_weight, theirs.sos)


def test_sets_with_the_same_ids_share_batches(experiment, tones_dir, tmp_path):
    """A batch goes over the border of two sets."""
    shutil.copytree(tones_dir / "dev", tmp_path / "again")
    sets = f"{tones_dir / 'dev'} {tmp_path / 'again'}"
    decode.main(["--exp_dir", str(experiment), "--data_dirs", sets, "--modes", "joint", "--out", str(tmp_path / "out"), "--nj", "1"])
    assert (tmp_path / "out/decode_joint/dev/text").read_text() == (tmp_path / "out/decode_joint/again/text").read_text()


def test_one_process_for_each_card(experiment, tones_dir, tmp_path, monkeypatch):
    """17 utterances are enough for two processes of at least eight."""
    asked = []
    monkeypatch.setattr(decoding, "choose", lambda kind: Device("cuda", ("T4",) * 3))
    answer = (np.zeros((1, 5), np.float32), 1.0, 1.0)
    monkeypatch.setattr(decoding, "_answers", lambda job, utterances, names, *_: asked.append(names) or [answer] * len(utterances))
    folders = f"{tones_dir / 'train'} {tones_dir / 'dev'}"
    for nj in ("16", "1"):
        decode.main(["--exp_dir", str(experiment), "--data_dirs", folders, "--out", str(tmp_path), "--nj", nj])
    assert asked == [["cuda:0", "cuda:1"], ["cuda:0"]]
    assert json.loads((tmp_path / "decode_greedy/dev/rtf.json").read_text())["processes"] == 1


def test_running_out_of_memory_names_the_utterance(tones_dir, monkeypatch):
    """A batch is halved until one utterance is alone."""
    tried = []

    def full(audios, mode, decoder):
        tried.append(len(audios))
        if len(audios) > 1 or len(tried) > 2:
            raise OutOfMemory("1.2 s of audio on cuda:0: CUDA out of memory")
        return [[Hypothesis("text", 0.0)]]

    utterances = list(KaldiDir.read(tones_dir / "dev").utterances())[:2]
    monkeypatch.setattr(decoding, "_recogniser", full)
    monkeypatch.setattr(decoding, "_job", decoding.Job(Path("exp"), "joint", JointConfig(), BeamConfig(), "cpu"))
    message = f"^utterance {utterances[1].id}: 1.2 s of audio on cuda:0: CUDA out of memory: cut it .segments., or give a smaller beam_size"
    with pytest.raises(UserError, match=message):
        decoding._batch(utterances)
    assert tried == [2, 1, 1]


def test_memory_of_the_model_and_of_audio(experiment, monkeypatch):
    recogniser = Recogniser(experiment, JointConfig())
    monkeypatch.setattr(recogniser, "log_probs", lambda encoded: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory. Tried")))
    with pytest.raises(OutOfMemory, match="^1.0 s of audio on cpu: CUDA out of memory$"):
        recogniser([np.zeros(16000, np.float32)], "greedy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--modes", "magic"], "--modes: 'magic' is not one of greedy beam joint attention attention_rescoring"),
        (["--hotwords", "A"], "--hotwords needs mode beam or attention_rescoring"),
        (["--nbest", "-1"], "--nbest must be at least 0"),
        (["--modes", ""], "need at least one value"),
        (["--data_dirs", ""], "need at least one value"),
        (["--data_dirs", "a/dev b/dev"], "duplicate directory name 'dev' (b/dev)"),
    ],
)
def test_decoding_of_what_is_not_there(tmp_path, capsys, options, message):
    with pytest.raises((UserError, SystemExit)) as caught:
        decode.main(["--exp_dir", str(tmp_path), "--data_dirs", "dev", "--out", str(tmp_path), *options])
    assert message in str(caught.value) + capsys.readouterr().err


@pytest.mark.parametrize("kind", ["text", "json", "ctm", "srt", "vtt"])
def test_transcribing(experiment, tones_dir, tmp_path, kind):
    out = tmp_path / "out"
    audio = sorted(tones_dir.glob("dev*.wav"))
    transcribe.main(["--exp_dir", str(experiment), "--format", kind, "--out", str(out), "--window", "0.7", "--overlap", "0.2", *map(str, audio)])
    if kind in ("srt", "vtt"):
        assert sorted(path.name for path in out.iterdir()) == [f"dev0{i}.{kind}" for i in range(3)]
    elif kind == "json":
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert [row["name"] for row in rows] == ["dev00", "dev01", "dev02"] and all(row["seconds"] == 1.2 for row in rows)
    else:
        names = [line.split()[0] for line in out.read_text().splitlines()]
        assert set(names) <= {"dev00", "dev01", "dev02"} and (kind == "ctm" or len(names) == 3), "a line for each file, in CTM for each word"


CLIPS = (1, 16, 160, 399, 400, 700, 1600)  # samples


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A Kaldi directory of noise that is shorter than a frame (400 samples), than what the encoder needs, or little longer."""
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    utts = [f"s-n{count}" for count in CLIPS]
    for utt, count in zip(utts, CLIPS, strict=True):
        soundfile.write(folder / f"{utt}.wav", 0.1 * rng.normal(size=count), 16000)
    write_table(folder / "wav.scp", {utt: str(folder / f"{utt}.wav") for utt in utts})
    write_table(folder / "utt2spk", dict.fromkeys(utts, "s"))
    return folder


def test_clips_shorter_than_a_frame_have_empty_texts(experiment, clips, tmp_path):
    assert transcribe.main(["--exp_dir", str(experiment), "--out", str(tmp_path / "out"), str(clips)]) == 0
    texts = [line.split() for line in (tmp_path / "out").read_text().splitlines()]
    assert sorted(words[0] for words in texts) == sorted(f"s-n{count}" for count in CLIPS)
    assert all(words == [words[0]] for words in texts if int(words[0].removeprefix("s-n")) < 400)
    decode.main(["--exp_dir", str(experiment), "--data_dirs", str(clips), "--modes", "greedy beam joint", "--out", str(tmp_path), "--nj", "1"])
    for mode in ("greedy", "beam", "joint"):
        rows = read_table(tmp_path / f"decode_{mode}" / clips.name / "text").rows
        assert len(rows) == len(CLIPS) and not any(rows[f"s-n{count}"] for count in CLIPS if count < 400)


def test_what_the_encoder_finds_too_short_has_no_frames(experiment, clips, monkeypatch):
    """ESPnet's subsampling raises TooShortUttError for a few frames."""
    recogniser = Recogniser(experiment, JointConfig())
    audio = 0.1 * np.random.default_rng(0).normal(size=400).astype(np.float32)
    with pytest.raises(TooShortUttError), torch.no_grad():
        recogniser.model.encode(torch.from_numpy(audio)[None], torch.tensor([400]))
    assert recogniser([audio], "greedy")[0].shape == (0, len(recogniser.tokens)) and recogniser([audio], "joint")[0][0].text == ""


def test_another_configuration_in_the_same_folder_is_refused(experiment, dumps, progre_package):
    words = command(dumps, experiment, "--upstream", "progre_local", "--upstream_model", progre_package, "--seed", "7")
    with pytest.raises(UserError, match=r"another configuration \(seed was None, now 7\)"):
        finetune.main(words[3:])


def test_the_dump_of_another_upstream_is_refused(dumps, tmp_path):
    with pytest.raises(UserError, match="holds the hidden states of progre_local"):
        finetune.main(command(dumps, tmp_path)[3:])


def test_a_run_on_other_data_is_set_aside(experiment, dumps, progre_package, tmp_path, monkeypatch, logged):
    """The fine-tuning starts over; that a run on the same data is finished was seen before."""
    shutil.copytree(dumps, tmp_path / "dumps")
    shutil.copytree(experiment, tmp_path / "exp")
    path = tmp_path / "dumps/train/speech.json"
    path.write_text(path.read_text().replace('"data": "', '"data": "0'))
    words = command(tmp_path / "dumps", tmp_path / "exp", "--upstream", "progre_local", "--upstream_model", progre_package)
    began = []
    monkeypatch.setattr("asrlib.pt.finetune.train", lambda config, *_: began.append(sorted(path.name for path in config.parent.iterdir())))
    monkeypatch.setattr("asrlib.pt.finetune._finish", lambda *arguments: None)
    finetune.main(words[3:])
    assert len(began) == 1 and {"asr.yaml", "data.json", "former"} <= set(began[0])
    assert not {"inference", "config.yaml", "train.log", "images"} & set(began[0]), "nothing of the former run is left"
    assert (tmp_path / "exp/former/1/inference/model.pth").is_file() and any("the former run is kept in" in line for line in logged)


def test_the_upstream_in_training(tones_dir, dumps, progre_package, tmp_path):
    """Without cached states ESPnet computes them itself; the frozen upstream does not change."""
    dump_speech.main(["--data_dirs", f"{tones_dir / 'train'} {tones_dir / 'dev'}", "--out", str(tmp_path / "audio"), "--upstream", "progre_local",
                      "--upstream_model", str(progre_package), "--cache_states", "false", "--nj", "1"])  # fmt: skip
    shutil.copy(dumps / "tokens.txt", tmp_path / "audio")
    words = command(tmp_path / "audio", tmp_path / "exp", "--upstream", "progre_local", "--upstream_model", progre_package)
    words[words.index("--asr_args") + 1] += " max_epoch=1 keep_nbest_models=1"
    done = call(words)
    assert done.returncode == 0, done.stderr[-3000:]
    state = torch.load(tmp_path / "exp/inference/model.pth", weights_only=True)
    package = torch.load(progre_package, weights_only=True)["model_weight"]
    assert all(torch.equal(state[f"frontend.upstream.upstream.model.{name}"], tensor) for name, tensor in package.items())
    decode.main(["--exp_dir", str(tmp_path / "exp"), "--data_dirs", str(tones_dir / "dev"), "--out", str(tmp_path / "out"), "--nj", "1"])
    assert len(read_table(tmp_path / "out/decode_greedy/dev/text").rows) == 4


def test_no_model_yet(tmp_path):
    with pytest.raises(UserError, match="run stage 5"):
        Recogniser(tmp_path, JointConfig())
