"""What is read back from a score folder."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrlib.score.error_rate import score
from asrlib.score.files import write_score
from asrlib.score.folder import Step, read_alignments, read_confusions, read_utterances
from asrlib.utils.errors import UserError

UNITS = st.lists(st.sampled_from(["A", "BB", "CCCC", "*", "***", "好", "é", "说话", "id:", "(x)", "<NOISE>", "e\u0301"]), max_size=7)


@settings(max_examples=25, deadline=None)
@given(pairs=st.lists(st.tuples(UNITS, UNITS), min_size=1, max_size=4))
def test_alignments_come_back(pairs, tmp_path_factory):
    """Also units that look like the marks of a missing one, wide characters, and sides without units."""
    folder = tmp_path_factory.mktemp("score")
    refs, hyps = ({f"u{i}": " ".join(pair[side]) for i, pair in enumerate(pairs)} for side in (0, 1))
    result = score(refs, hyps, "word")
    write_score(result, folder)
    found = dict(read_alignments(folder))
    assert list(found) == sorted(refs)
    for utt, alignment in result.pairs.alignments():
        expected = [
            Step(op[0], r, h) for op, ref, hyp in alignment.runs() for r, h in zip(ref or [""] * len(hyp), hyp or [""] * len(ref), strict=True)
        ]
        assert found[utt] == expected


def test_optional_words_and_chosen_utterances(tmp_path):
    from asrlib.score.conventions import Conventions

    refs, hyps = {"a": "A (UH) B", "b": "C", "c": "D"}, {"a": "A B", "b": "X", "c": "D"}
    write_score(score(refs, hyps, "word", conventions=Conventions(optional_words=True)), tmp_path)
    assert dict(read_alignments(tmp_path, {"a", "c"})) == {
        "a": [Step("C", "A", "A"), Step("O", "UH", ""), Step("C", "B", "B")],
        "c": [Step("C", "D", "D")],
    }


def test_counts_and_confusions_come_back(tmp_path):
    refs = {"a": "ONE TWO THREE", "b": "FOUR FIVE", "c": "SIX", "d": ""}
    result = score(refs, {"a": "ONE TOO TREE", "b": "FOUR FIVE SIX", "d": ""}, "word", dict.fromkeys("abcd", "说话人"))
    write_score(result, tmp_path)
    found = read_utterances(tmp_path)
    np.testing.assert_array_equal(found.numbers, result.numbers)
    np.testing.assert_array_equal(found.errors, result.errors)
    np.testing.assert_array_equal(found.ref_units, result.ref_units)
    assert (found.ids, found.speakers) == (["a", "b", "c", "d"], ["说话人"] * 4)
    assert sorted(read_confusions(tmp_path, "S", 9)) == [(1, "THREE", "TREE"), (1, "TWO", "TOO")]
    assert len(read_confusions(tmp_path, "S", 1)) == 1
    assert (read_confusions(tmp_path, "D", 9), read_confusions(tmp_path, "I", 9)) == ([(1, "SIX", "")], [(1, "", "SIX")])


READERS = {
    "per_utt.tsv": read_utterances,
    "confusions.tsv": lambda folder: read_confusions(folder, "S", 3),
    "alignments.txt": lambda folder: list(read_alignments(folder)),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", [None, "id: (a)\nx\n"], ids=["missing", "damaged"])
def test_a_missing_or_damaged_file_is_named(tmp_path, name, content):
    if content:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=f"{name}: not .* run stage 6 again"):
        READERS[name](tmp_path)
