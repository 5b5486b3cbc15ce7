"""ESPnet's configuration: published values, errors, and keys that are filled in."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from espnet2.samplers.build_batch_sampler import build_batch_sampler
from espnet2.tasks.asr import encoder_choices
from espnet2.text.build_tokenizer import build_tokenizer

from asrlib.corpora.kaldi_table import read_table, write_table
from asrlib.pt.dump import Speech
from asrlib.pt.espnet_config import inference_frontend, read_asr_config, with_data, with_frontend, with_input_size, with_tokens, write_text_shapes
from asrlib.pt.frontends import register
from asrlib.pt.s3prl_upstream import cacheable
from asrlib.text.tokenizers import CharTokenizer
from asrlib.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
FULL = ROOT / "conf/asr_conformer.yaml"


def test_the_published_values():
    """The published configuration."""
    conf = read_asr_config(FULL, ())
    assert [conf[key] for key in ("num_workers", "batch_type", "batch_bins", "accum_grad")] == [8, "numel", 8000000, 1]
    assert [conf[key] for key in ("max_epoch", "patience", "num_att_plot", "init", "normalize")] == [50, 20, 0, "none", None]
    assert conf["val_scheduler_criterion"] == ["valid", "acc"]
    assert (conf["best_model_criterion"], conf["keep_nbest_models"]) == ([["valid", "acc", "max"]], 10)
    assert conf["unused_parameters"] is True and conf["freeze_param"] == ["frontend.upstream"]
    assert conf["frontend_conf"]["multilayer_feature"] is True and conf["preencoder_conf"]["output_size"] == 80
    encoder, decoder, specaug = conf["encoder_conf"], conf["decoder_conf"], conf["specaug_conf"]
    sizes = [encoder[key] for key in ("output_size", "attention_heads", "linear_units", "num_blocks", "cnn_module_kernel")]
    types = [encoder[key] for key in ("input_layer", "rel_pos_type", "pos_enc_layer_type", "activation_type")]
    assert "macaron_style" not in encoder, "ESPnet's default is false"
    assert sizes == [256, 4, 2048, 12, 15] and types == ["conv2d2", "latest", "rel_pos", "swish"]
    assert (decoder["attention_heads"], decoder["linear_units"], decoder["num_blocks"], decoder["src_attention_dropout_rate"]) == (4, 2048, 6, 0.0)
    assert (conf["model_conf"]["ctc_weight"], conf["model_conf"]["lsm_weight"], conf["model_conf"]["length_normalized_loss"]) == (0.3, 0.1, False)
    assert (conf["optim"], conf["optim_conf"]["lr"], conf["scheduler_conf"]["warmup_steps"]) == ("adam", 5e-4, 30000)
    assert (specaug["time_warp_window"], specaug["freq_mask_width_range"], specaug["num_freq_mask"]) == (5, [0, 30], 2)
    assert (specaug["time_mask_width_range"], specaug["num_time_mask"]) == ([0, 40], 2)


def test_those_of_recipes_are_read():
    """Every key is ESPnet's. One conformer of AN4 for all inputs: published weights of the losses."""
    register()
    found = {path.relative_to(ROOT).as_posix(): read_asr_config(path, ()) for path in ROOT.glob("egs/**/conf/asr_*.yaml")}
    conformer = found["egs/an4/conf/asr_conformer.yaml"]
    assert "egs/an4/wav2vec2_base/conf/asr_wav2vec2_ctc.yaml" in found and conformer["model_conf"]["ctc_weight"] == 0.3
    assert cacheable(conformer) and not cacheable(found["egs/an4/wav2vec2_base/conf/asr_wav2vec2_ctc.yaml"])


def test_the_small_one_has_the_same_keys():
    full, small = (read_asr_config(path, ()) for path in (FULL, ROOT / "conf/mini/asr_conformer.yaml"))
    assert set(small) - set(full) <= {"log_interval"}
    assert all(set(small[key]) - {"macaron_style"} == set(full[key]) for key in full if isinstance(full[key], dict))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("max_epochs=3", "unknown key max_epochs; did you mean max_epoch"),
        ("encoder_conf.num_block=3", "unknown key encoder_conf.num_block; did you mean encoder_conf.num_blocks"),
        ("encoder=conformr", "encoder: ESPnet has no 'conformr'; did you mean conformer"),
        ("optim_conf.learning_rate=1", "unknown key optim_conf.learning_rate"),
        ("decoder_conf=3", "decoder_conf: expected a section, found 3"),
        ("scheduler_conf.warmup=3", "unknown key scheduler_conf.warmup; did you mean scheduler_conf.warmup_steps"),
    ],
)
def test_faults_name_the_file_and_the_nearest_key(override, message):
    with pytest.raises(UserError, match="asr_conformer.yaml: " + message):
        read_asr_config(FULL, [override])


def test_frontends():
    conf = read_asr_config(FULL, ())
    live = with_frontend(conf, Speech("audio"), "progre_large", "a.pt")
    upstream = {"upstream": "progre_large", "path_or_url": "a.pt"}
    assert (live["frontend"], live["frontend_conf"]) == ("s3prl", {"multilayer_feature": True, "frontend_conf": upstream})
    cached = with_frontend(conf, Speech("states", "progre_large", "a.pt", 27, 1024, 320), "progre_large", "a.pt")
    assert (cached["frontend"], cached["frontend_conf"]) == ("cached_states", {"layers": 27, "dim": 1024, "downsample_rate": 320})
    logmel = with_frontend(conf, Speech("audio"), "", "")
    assert (logmel["frontend"], logmel["preencoder"], logmel["encoder_conf"]["input_layer"]) == ("default", None, "conv2d")
    assert conf == yaml.safe_load(FULL.read_text())  # the original is unchanged


def test_input_size_is_the_upstreams():
    conf = read_asr_config(FULL, ())
    assert with_input_size(conf, 768, FULL)["preencoder_conf"] == {"output_size": 80, "input_size": 768}
    with pytest.raises(UserError, match="input_size is 1024, the upstream's hidden states have 768"):
        with_input_size(read_asr_config(FULL, ["preencoder_conf.input_size=1024"]), 768, FULL)


def test_tokens_as_espnet_wants_them():
    values = with_tokens({}, CharTokenizer(["b", "a", "<space>", "<blank>"]), Path("tokens.model"))
    assert values == {"token_type": "char", "token_list": ["<blank>", "<unk>", "b", "a", "<space>", "<sos/eos>"]}


def test_tags_are_one_token_for_espnet():
    ours = CharTokenizer(["<unk>", "[noise]", "a", "b", "<space>", "<blank>"])
    values = with_tokens({}, ours, Path("tokens.model"))
    assert values["token_list"] == ["<blank>", "<unk>", "[noise]", "a", "b", "<space>", "<sos/eos>"]
    theirs = build_tokenizer("char", non_linguistic_symbols=values["non_linguistic_symbols"])
    text = "ab [noise] <unk>b"
    assert theirs.text2tokens(text) == ours.split(text) == ["a", "b", "<space>", "[noise]", "<space>", "<unk>", "b"]


@pytest.mark.parametrize(("text", "value"), [("1e-3", 0.001), ("2.5E+2", 250.0), ("e3", "e3"), ("0.1", 0.1)])
def test_exponents_are_numbers(text, value):
    """YAML 1.1 reads 1e-3 as a string."""
    assert read_asr_config(FULL, [f"optim_conf.lr={text}"])["optim_conf"]["lr"] == value


CTC = ROOT / "conf/asr_wav2vec2_ctc.yaml"


def test_the_published_values_of_ctc_alone():
    """Mandarin-Wav2Vec2: 20 epochs, average of the last 10; later published: 30 epochs, learning rate 1e-4."""
    register()
    conf, later = read_asr_config(CTC, ()), read_asr_config(ROOT / "conf/asr_wav2vec2_ctc_later.yaml", ())
    assert (conf["best_model_criterion"], conf["keep_nbest_models"]) == ([["train", "total_count", "max"]], 10)
    assert [conf[key] for key in ("max_epoch", "batch_type", "batch_size", "accum_grad", "grad_clip")] == [20, "folded", 32, 2, 5.0]
    assert (conf["optim_conf"]["lr"], conf["scheduler_conf"]["warmup_steps"]) == (2e-4, 25000)
    assert conf["encoder_conf"] == {"num_blocks": 0, "input_layer": None, "normalize_before": True} and conf["model_conf"]["ctc_weight"] == 1.0
    assert {name.rpartition("model.")[2] for name in conf["freeze_param"]} == {
        "mask_emb", "feature_extractor", "post_extract_proj", "quantizer", "project_q", "encoder.pos_conv", "final_proj"}  # fmt: skip
    assert conf["frontend_conf"]["freeze_finetune_updates"] == 5000
    changed = {key for key in {*conf, *later} if conf.get(key) != later.get(key)}
    assert changed == {"max_epoch", "patience", "best_model_criterion", "optim_conf"}
    assert (later["max_epoch"], later["patience"], later["optim_conf"]["lr"]) == (30, 3, 1e-4)
    assert later["best_model_criterion"] == [["valid", "cer_ctc", "min"]]


@pytest.mark.parametrize(("overrides", "expected"), [([], ["after_norm.weight", "after_norm.bias"]), (["encoder_conf.normalize_before=false"], [])])
def test_normalisation_before_ctc(overrides, expected):
    """It is all that the encoder holds: the published file and the later README have it, the description of the table has not."""
    register()
    conf = with_input_size(read_asr_config(CTC, overrides), 24, CTC)
    encoder = encoder_choices.get_class(conf["encoder"])(input_size=24, **conf["encoder_conf"])
    assert [name for name, _ in encoder.named_parameters()] == expected
    x = torch.randn(2, 5, 24)
    wanted = torch.nn.functional.layer_norm(x, (24,), eps=1e-12) if expected else x
    torch.testing.assert_close(encoder(x, torch.tensor([5, 3]))[0][0], wanted[0])


@pytest.mark.parametrize("kind", ["numel", "folded"])
def test_batches_count_speech_and_text(tmp_path, kind):
    """With ESPnet's own sampler, which counts the numbers of speech and one-hot text."""
    for part in ("train", "valid"):
        write_table(tmp_path / part / "text", {f"u{i}": "AB" * i for i in range(1, 9)})
        write_table(tmp_path / part / "speech_shape", {f"u{i}": str(100 * i) for i in range(1, 9)})
    conf = with_data({"token_list": ["<blank>", "A", "B", "<sos/eos>"]}, tmp_path / "train", tmp_path / "valid", Speech("audio"), tmp_path / "exp")
    write_text_shapes(conf, CharTokenizer(["A", "B", "<blank>"]))
    files = conf["train_shape_file"]
    assert read_table(Path(files[1])).rows["u3"] == "6,4"
    sampler = build_batch_sampler(
        kind, batch_size=4, batch_bins=4000, shape_files=files, fold_lengths=[300, 8], drop_last=False, padding=True, min_batch_size=1
    )
    batches = [[int(utt[1:]) for utt in batch] for batch in sampler]
    assert sorted(utt for batch in batches for utt in batch) == list(range(1, 9))
    if kind == "numel":
        assert sorted(map(sorted, batches)) == [list(range(1, 8)), [8]], "7 * 7 * (100 + 2 * 4) is the first size beyond 4000"


@pytest.mark.parametrize("utt", ["../up", "/etc/x", "a/b", ".."])
def test_attention_is_not_plotted_to_paths(tmp_path, utt):
    """ESPnet plots the attention of three utterances to folders with their ids, unless told otherwise."""
    write_table(tmp_path / "valid/text", {"a": "AB", utt: "AB"})
    folders = tmp_path / "train", tmp_path / "valid", Speech("audio"), tmp_path / "exp"
    for values in ({}, {"num_att_plot": 1}):
        with pytest.raises(UserError, match=f"utterance {re.escape(utt)}: .*give num_att_plot=0"):
            with_data(values, *folders)
    assert with_data({"num_att_plot": 0}, *folders)["num_att_plot"] == 0


def test_the_small_one_of_ctc_alone_has_the_same_keys():
    register()
    full, small = (read_asr_config(path, ()) for path in (CTC, ROOT / "conf/mini/asr_wav2vec2_ctc.yaml"))
    assert set(small) ^ set(full) == {"log_interval", "batch_size", "fold_length", "batch_bins"}
    assert all(set(small[key]) - {"macaron_style"} == set(full[key]) for key in full if isinstance(full[key], dict))


def test_an_upstream_that_is_trained():
    register()
    conf = with_frontend(read_asr_config(CTC, ()), Speech("audio"), "wav2vec2_local", "a.pt")
    assert conf["frontend"] == "trained_upstream" and conf["frontend_conf"]["accum_grad"] == 2
    upstream = {"upstream": "wav2vec2_local", "path_or_url": "a.pt"}
    assert conf["frontend_conf"]["frontend_conf"] == upstream
    expected = {"frontend": "s3prl", "frontend_conf": {"multilayer_feature": False, "frontend_conf": upstream}}
    assert inference_frontend(conf["frontend_conf"]) == expected
    assert with_input_size(conf, 768, CTC)["encoder_conf"]["output_size"] == 768
    with pytest.raises(UserError, match="encoder_conf.output_size is 256, the upstream's hidden states have 768"):
        with_input_size(read_asr_config(CTC, ["encoder_conf.output_size=256"]), 768, CTC)
    with pytest.raises(UserError, match="cannot learn from log-mel"):
        with_frontend(read_asr_config(CTC, ()), Speech("audio"), "", "")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], True),
        (["freeze_param=[]"], False),
        (["freeze_param=[frontend]"], True),
        (["freeze_param=[frontend.upstream.upstream.model.feature_extractor]"], False),
        (["frontend_conf.multilayer_feature=false"], False),
    ],
)
def test_states_are_cached_of_a_frozen_upstream_alone(overrides, expected):
    assert cacheable(read_asr_config(FULL, overrides)) is expected
