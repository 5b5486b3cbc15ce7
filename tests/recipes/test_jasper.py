"""Recipes of Jasper that start from a published model's file instead of training."""

import kaldiio
import numpy as np
import pytest
import torch

from asrlib.corpora.kaldi_table import read_table
from asrlib.utils.arrays import read_safetensors

from ..ms.checkpoint import nvidia
from ..ms.checkpoint.test_convert_jasper import FEATURES, SIZES, STATES


def texts_of(network, feats_scp):
    """Utterance -> text of the network, in capital letters."""
    texts = {}
    for utt, feats in kaldiio.load_scp(str(feats_scp)).items():
        with torch.no_grad():
            log_probs, _ = network(torch.from_numpy(np.array(feats.T))[None], torch.tensor([len(feats)]))
        texts[utt] = " ".join(nvidia.text_of(log_probs[0], nvidia.LABELS).split()).upper()
    return texts


@pytest.mark.recipe
def test_a_file_of_nvidias_is_decoded_as_its_network_does(recipe, tones, tmp_path, root):
    """Stages 1 to 6 without training: the hypotheses are those of the original network. Without a list of labels stage 3 says what to type."""
    network = nvidia.make_network()
    torch.save(STATES["NVIDIA's"](network), tmp_path / "jasper.pt")
    run = recipe("custom/jasper")
    args = f"{FEATURES} {SIZES} trainer.epochs=0 batch.buckets=1"
    words = ["--train_dir", tones / "train", "--valid_dir", tones / "dev", "--test_dirs", tones / "test", "--train_args", args, "--tag", "nvidia"]
    words += ["--labels", root / "conf/labels_en.txt", "--pretrained_model", tmp_path / "jasper.pt"]
    with pytest.raises(AssertionError, match="jasper.pt: it has no list of its labels.*give one with --labels"):
        run(*map(str, words))
    assert "Successfully finished" in run(*map(str, words), "--pretrained_labels", str(root / "conf/labels_nvidia_en.txt"))
    exp = tmp_path / "exp/nvidia"
    expected = texts_of(network, tmp_path / "dump/test/feats.scp")
    assert read_table(exp / "decode_greedy/test/text").rows == expected and any(len(text) > 5 for text in expected.values())
    start, final = (read_safetensors(folder / "model.safetensors") for folder in (tmp_path / "exp/nvidia_start", exp))
    assert start.keys() == final.keys() and all(np.array_equal(start[name], final[name]) for name in start)
    assert (exp / "RESULTS.md").exists() and run.result("nvidia", "test")["utterances"] == 4


def test_options_of_a_pretrained_model(recipe, tmp_path, tones):
    """Encoder and decoder may be two files, in folders with spaces."""
    run = recipe("custom/jasper")
    files = [tmp_path / "my models" / f"{part}.pt" for part in ("encoder", "decoder")]
    files[0].parent.mkdir()
    for file in files:
        file.touch()
    words = ["--train_dir", tones / "train", "--test_dirs", tones / "test", "--dry_run", "true", "--pretrained_model", f"{files[0]} {files[1]}"]
    output = run(*map(str, words))
    assert f"--checkpoint '\n{files[0]}\n{files[1]}'" in output or f"--checkpoint $'\\n{files[0]}\\n{files[1]}'" in output
