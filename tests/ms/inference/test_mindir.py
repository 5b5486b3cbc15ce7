"""The flow around a MindIR: binary inputs, inference, and error rates equal to those of decode."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from asrlib.bin import decode, export, infer, postprocess, preprocess, score
from asrlib.corpora.kaldi_table import read_table
from asrlib.features.ark import read_matrix
from asrlib.ms.inference import mindir
from asrlib.ms.inference.binaries import read_outputs, read_rows
from asrlib.utils.errors import UserError


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """A copy of the experiment with its MindIR."""
    folder = tmp_path_factory.mktemp("exported") / "exp"
    shutil.copytree(trained, folder)
    export.main(["--exp_dir", str(folder)])
    return folder


def flow(exported, dump, out, *options, runtime=("--runtime", "mindspore")):
    """Runs the three commands; the folder of the hypotheses."""
    inputs, results = out / "preprocess_Result", out / "result_Files"
    preprocess.main(["--exp_dir", str(exported), "--data_dir", str(dump / "valid"), "--out", str(inputs), *options])
    infer.main(["--mindir", str(exported / "mindir/model.mindir"), "--inputs", str(inputs), "--out", str(results), *runtime])
    finish(exported, dump, out)
    return out / "decoded"


def finish(exported, dump, out):
    argv = ["--exp_dir", exported, "--inputs", out / "preprocess_Result", "--results", out / "result_Files", "--out", out / "decoded"]
    postprocess.main([*map(str, argv), "--ref", str(dump / "valid/text")])


def counts(path):
    result = json.loads(path.read_text())
    return [result[name] for name in ("utterances", "ref_units", "correct", "substitutions", "deletions", "insertions", "error_rate", "missing")]


@pytest.mark.parametrize("options", [(), ("--frames", "300")], ids=["own lengths", "padded to a fixed length"])
def test_the_error_rates_of_decode(exported, dump, tmp_path, options):
    out = flow(exported, dump, tmp_path, *options)
    decode.main(["--exp_dir", str(exported), "--data_dirs", str(dump / "valid"), "--out", str(tmp_path / "exp")])
    theirs = tmp_path / "exp/decode_greedy/valid"
    assert (out / "text").read_text() == (theirs / "text").read_text()
    for unit in ("word", "char"):
        argv = ["--ref", str(dump / "valid/text"), "--hyp", str(theirs / "text"), "--unit", unit, "--out", str(tmp_path / unit)]
        score.main(argv)
        assert counts(out / f"score_{unit[0]}er/result.json") == counts(tmp_path / unit / "result.json")


def test_files(exported, dump, tmp_path):
    """Features as they are in the archive, batch of one, with their length; the length of the output cuts its padding off."""
    flow(exported, dump, tmp_path, "--frames", "300")
    rows = read_rows(tmp_path / "preprocess_Result")
    locations = read_table(dump / "valid/feats.scp").rows
    assert [row.utt for row in rows] == list(locations)
    for row in rows:
        feats = read_matrix(locations[row.utt], row.utt)
        written = np.fromfile(tmp_path / f"preprocess_Result/00_data/{row.number}.bin", np.float32).reshape(300, feats.shape[1])
        np.testing.assert_array_equal(written[: len(feats)], feats)
        assert not written[len(feats) :].any()
        assert np.fromfile(tmp_path / f"preprocess_Result/01_lengths/{row.number}.bin", np.int32).tolist() == [len(feats)]
    outputs = dict(read_outputs(tmp_path / "preprocess_Result", tmp_path / "result_Files", 5))
    assert {utt: len(x) for utt, x in outputs.items()} == {row.utt: (row.frames - 1) // 2 + 1 for row in rows}


def test_no_word_is_dropped(exported, dump, tmp_path):
    """The published postprocess drops the last word, and "a" and "e" at the end."""
    flow(exported, dump, tmp_path)
    wanted = {"valid-0": "A B", "valid-1": "A", "valid-2": ""}
    labels = {"A": 0, "B": 1, " ": 3}
    for row in read_rows(tmp_path / "preprocess_Result"):
        path = [index for letter in wanted[row.utt] for index in (4, labels[letter])] + [4]
        scores = np.full((1, len(path) + 7, 5), -9, np.float32)
        scores[0, np.arange(len(path)), path] = 0
        scores[0, len(path) :, 2] = 0  # C in the padding
        scores.tofile(tmp_path / f"result_Files/{row.number}_0.bin")
        np.array([len(path)], np.int32).tofile(tmp_path / f"result_Files/{row.number}_1.bin")
    finish(exported, dump, tmp_path)
    assert read_table(tmp_path / "decoded/text").rows == wanted
    assert counts(tmp_path / "decoded/score_wer/result.json")[0] == 3


def test_lost_and_foreign_results(exported, dump, tmp_path):
    flow(exported, dump, tmp_path)
    scores = tmp_path / "result_Files/0000001_0.bin"
    scores.write_bytes(scores.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"0000001_0.bin \(utterance valid-1\): .* do not fit 5 labels"):
        finish(exported, dump, tmp_path)
    scores.unlink()
    with pytest.raises(UserError, match="0000001_0.bin is missing"):
        finish(exported, dump, tmp_path)


def test_wrong_input(exported, dump, tmp_path):
    with pytest.raises(UserError, match="utterance valid-0 has .* frames, more than --frames 3"):
        preprocess.main(["--exp_dir", str(exported), "--data_dir", str(dump / "valid"), "--out", str(tmp_path / "in"), "--frames", "3"])
    assert not (tmp_path / "in").exists()
    with pytest.raises(UserError, match="utterances.tsv is missing: give a folder that preprocess has written"):
        infer.main(["--mindir", str(exported / "mindir/model.mindir"), "--inputs", str(tmp_path), "--out", str(tmp_path / "out")])
    (tmp_path / "bad.mindir").write_bytes(b"no graph")
    with pytest.raises(UserError, match="cannot be read as MindIR"):
        infer.main(["--mindir", str(tmp_path / "bad.mindir"), "--inputs", str(tmp_path)])
    with pytest.raises(UserError, match="none.mindir is missing: run stage 4"):
        infer.main(["--mindir", str(tmp_path / "none.mindir"), "--inputs", str(tmp_path)])


class LiteTensor:
    def __init__(self, shape):
        self.shape, self.array = shape, None

    def set_data_from_numpy(self, array):
        assert list(array.shape) == self.shape
        self.array = array

    def get_data_to_numpy(self):
        return self.array


class LiteModel:
    """The calls that mindspore_lite's documentation (2.x) describes, computed by MindSpore: the package itself is not on PyPI."""

    def build_from_file(self, path, model_type, context):
        assert (model_type, context.target) == ("MINDIR", ["cpu"])
        self.graph, self.inputs = mindir.load_mindir(Path(path)), [LiteTensor([-1, -1, 21]), LiteTensor([-1])]

    def get_inputs(self):
        return self.inputs

    def resize(self, inputs, shapes):
        for tensor, shape in zip(inputs, shapes, strict=True):
            tensor.shape = shape

    def predict(self, inputs):
        outputs = []
        for array in self.graph(*(tensor.array for tensor in inputs)):
            outputs.append(LiteTensor(list(array.shape)))
            outputs[-1].set_data_from_numpy(array)
        return outputs


def test_mindspore_lite(exported, dump, tmp_path, monkeypatch):
    """Chosen where it is installed; here it is a stand-in with the documented interface."""
    lite = ModuleType("mindspore_lite")
    lite.__spec__ = SimpleNamespace()
    lite.Model, lite.Context, lite.ModelType = LiteModel, SimpleNamespace, SimpleNamespace(MINDIR="MINDIR")
    with pytest.raises(UserError, match="mindspore_lite is not installed"):
        infer.main(["--mindir", "x", "--runtime", "lite"])
    monkeypatch.setitem(sys.modules, "mindspore_lite", lite)
    (tmp_path / "lite").mkdir()
    (tmp_path / "ms").mkdir()
    texts = [
        (flow(exported, dump, tmp_path / name, runtime=options) / "text").read_text()
        for name, options in (("lite", ()), ("ms", ("--runtime", "mindspore")))
    ]
    assert texts[0] == texts[1]
