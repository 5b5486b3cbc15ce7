"""Label lists of checkpoints: reading, the blank's place, and their order in another token list."""

import json

import pytest
import yaml

from asrlib.text.labels import beside, labels_for, labels_of, read_label_list, require_token_list, row_order, tokenizer_of, tokens_of_rows
from asrlib.text.tokenizers import CharTokenizer, WordTokenizer
from asrlib.utils.errors import UserError

LABELS = [" ", "a", "b", "'"]
FILES = {
    "labels.txt": "<space>\na\nb\n'\n",
    "labels.json": json.dumps(LABELS),
    "list": "  " + json.dumps(LABELS),
    "config.json": json.dumps({"labels": LABELS}),
    "config.yaml": yaml.safe_dump({"name": "Jasper", "labels": LABELS}),
    "nemo.yml": yaml.safe_dump({"model": {"decoder": {"vocabulary": LABELS}}}),
    "first.yaml": yaml.safe_dump({"labels": {"labels": LABELS}}),
}


@pytest.mark.parametrize("name", FILES)
def test_lists_in_files(tmp_path, name):
    (tmp_path / name).write_text(FILES[name], encoding="utf-8-sig")
    assert tokens_of_rows(read_label_list(tmp_path / name), 5, "list") == ["<space>", "a", "b", "'", "<blank>"]


@pytest.mark.parametrize("text", ["5\n", "true\n", "[\n", "{\na\n"])
def test_labels_that_resemble_json(tmp_path, text):
    (tmp_path / "labels").write_text(text)
    assert read_label_list(tmp_path / "labels") == text.split()


FAULTS = {
    "none.txt": (None, "no such label file"),
    "empty.json": ("[]", "no list of labels in it"),
    "other.json": ('{"epoch": 3}', "no list of labels in it"),
    "other.yaml": ("epoch: 3\n", "no list of labels in it"),
    "yes.json": ("[true, false]", "True in the list of labels is not a string"),
    "lines.txt": ("a\n\nb\n", "line 2: empty line"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faulty_files(tmp_path, name):
    text, message = FAULTS[name]
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=f"{name}.*{message}"):
        read_label_list(tmp_path / name)


def test_where_toolkits_have_their_labels():
    assert labels_of({"cfg": {"labels": LABELS}}) == labels_of({"decoder": {"vocabulary": LABELS}, "labels": ["x"]}) == LABELS
    assert labels_of({"vocabulary": [0, 1]}) == ["0", "1"] and labels_of({"labels": "${model.labels}"}) is labels_of({}) is None


@pytest.mark.parametrize(
    ("labels", "rows", "tokens"),
    [
        (["a", " "], 3, ["a", "<space>", "<blank>"]),  # NVIDIA, NeMo
        (["_", "a", " "], 3, ["<blank>", "a", "<space>"]),  # deepspeech.pytorch
        (["a", " ", "_"], 3, ["a", "<space>", "<blank>"]),  # the model zoo
        (["a", " ", "_"], 4, ["a", "<space>", "_", "<blank>"]),  # a label of its own
        (["a", "<BLANK>", "_"], 3, ["a", "<blank>", "_"]),
    ],
)
def test_the_place_of_the_blank(labels, rows, tokens):
    assert tokens_of_rows(labels, rows, "list") == tokens


@pytest.mark.parametrize(
    ("labels", "rows", "message"),
    [
        (["a", "b"], 4, "2 labels, but the output layer has 4 rows"),
        (["a", "<blank>"], 3, "2 labels, but the output layer has 3 rows"),
        (["a", "b", "c"], 2, "3 labels, but"),
        (["a", "b"], 2, "none of the 2 labels is the blank"),
        (["a", "a"], 3, "duplicate label 'a'"),
        (["<blank>", "<blk>"], 2, "duplicate label '<blank>'"),
        (["a", "b c"], 3, "'b c' is no label"),
        (["a", ""], 3, "'' is no label"),
    ],
)
def test_lists_of_another_model(labels, rows, message):
    with pytest.raises(UserError, match=f"list: {message}"):
        tokens_of_rows(labels, rows, "list")


def test_rows_in_another_order(logged):
    have = ["<space>", "a", "ü", "<unk>", "<blank>"]
    assert row_order(have, ["<blank>", "Ü", "A", "<space>", "<unk>"], "a.pt") == [4, 2, 1, 0, 3]
    assert logged == ["a.pt: letters change case: a -> A, ü -> Ü", "a.pt: 5 of 5 rows of the output layer change their place"]
    assert row_order(have, have, "a.pt") == [0, 1, 2, 3, 4] and len(logged) == 2
    assert row_order(["A", "<blank>"], ["a", "<blank>"], "a.pt") == [0, 1]


@pytest.mark.parametrize(
    ("have", "want", "message"),
    [
        (["a", "<blank>"], ["a", "b", "<blank>"], r"only in the token list: 'b' \(U\+0062\)"),
        (["a", "’", "<blank>"], ["A", "'", "<blank>"], r"only in the checkpoint's labels: '’' \(U\+2019\); only in the token list: \"'\""),
        (["a", "<blank>"], ["<space>", "A", "<blank>"], "only in the token list: '<space>'"),
        (["a", "A", "<blank>"], ["A", "B", "<blank>"], "only in the token list: 'B'"),
        (["ß", "<blank>"], ["SS", "S", "<blank>"], "only in the token list: 'S'"),
        ([*"abcdefg", "<blank>"], ["<blank>"], "'e' .* and 2 more"),
    ],
)
def test_lists_that_do_not_match(have, want, message):
    with pytest.raises(UserError, match=f"a.pt: .*{message}.*: the checkpoint cannot be used with this token list"):
        row_order(have, want, "a.pt")


def test_tokenizers_of_labels():
    assert tokenizer_of(["<blank>", "b", "<space>"]).tokens == ["b", "<space>", "<blank>"]
    assert isinstance(tokenizer_of(["a", "<blank>"]), CharTokenizer) and isinstance(tokenizer_of(["ONE", "TWO", "<blank>"]), WordTokenizer)
    for piece in ("\u2581the", "##ing"):
        with pytest.raises(UserError, match="parts of words .*give --tokens"):
            tokenizer_of([piece, "a", "<blank>"])


def test_which_list_is_taken(tmp_path, logged):
    (tmp_path / "tokens.txt").write_text("a\n<blank>\n")
    (tmp_path / "named.txt").write_text("b\n")
    model = tmp_path / "checkpoints/epoch-001.safetensors"
    assert labels_for(model, None, {}, own=True) == (["a", "<blank>"], str(tmp_path / "tokens.txt")) and beside(tmp_path / "x/m") is None
    assert labels_for(model, None, {"labels": ["c"]}, own=True) == (["c"], str(model))
    assert labels_for(model, tmp_path / "named.txt", {"labels": ["c"]}, own=False)[0] == ["b"]
    assert any("its own list of labels is another one than" in line for line in logged)
    with pytest.raises(UserError, match="it has no list of its labels"):
        labels_for(model, None, {}, own=False)


def test_training_needs_a_checkpoint_of_the_same_tokens(tmp_path):
    model, tokens = tmp_path / "exp/model.safetensors", tmp_path / "tokens.txt"
    tokens.write_text("a\nb\n<blank>\n")
    with pytest.raises(UserError, match="model.safetensors: no such checkpoint"):
        require_token_list(model, tokens)
    model.parent.mkdir()
    model.touch()
    with pytest.raises(UserError, match=r"there is no token list \(tokens.txt\) beside it: convert it first"):
        require_token_list(model, tokens)
    (model.parent / "tokens.txt").write_text("b\na\n<blank>\n")
    with pytest.raises(UserError, match="its token list, .*exp/tokens.txt, is not .*tokens.txt: convert it first"):
        require_token_list(model, tokens)
    (model.parent / "tokens.txt").write_text("a\nb\n<blank>\n")
    require_token_list(model, tokens)
