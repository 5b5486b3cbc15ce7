"""Mappings of text files that stay on disk, against dictionaries."""

import random

import pytest

from asrlib.utils import keyed_lines
from asrlib.utils.errors import UserError
from asrlib.utils.keyed_lines import KeyedLines, joined, sorted_items, sorted_keys


def rows(count, seed=0):
    draw = random.Random(seed)
    keys = draw.sample([f"u{number:04d}{end}" for number in range(3 * count) for end in ("", "-é", "-今")], count)
    return {key: " ".join(draw.choices(["A", "今天", "NO"], k=draw.randrange(4))) for key in keys}


@pytest.fixture
def write(tmp_path):
    def make(wanted, name="text", end="\n"):
        (tmp_path / name).write_bytes("".join(f"{key} {value}{end}" for key, value in wanted.items()).encode())
        return KeyedLines(tmp_path / name)

    return make


@pytest.mark.parametrize("order", ["sorted", "drawn"])
@pytest.mark.parametrize(("block", "end"), [(1 << 20, "\n"), (7, "\n"), (64, "\r\n"), (64, "\r")])
def test_as_a_dictionary(write, monkeypatch, order, block, end):
    monkeypatch.setattr(keyed_lines, "BLOCK", block)
    monkeypatch.setattr(keyed_lines, "NEAR", 4)
    wanted = rows(200)
    wanted = dict(sorted(wanted.items())) if order == "sorted" else wanted
    found = write(wanted, end=end)
    assert (found.order is None) == (order == "sorted")
    assert found == wanted and list(found) == list(wanted) and list(found.items()) == list(wanted.items())
    assert list(found.values()) == list(wanted.values()) and len(found.items()) == len(found) == 200
    assert list(sorted_items(found)) == sorted(wanted.items()) and list(sorted_keys(found)) == sorted(wanted)
    for number, key in enumerate(sorted(wanted)):
        assert found[key] == wanted[key] and sorted_keys(found)[number] == key
        assert key + "0" not in found and found.get(key + "\u3000", "none") == "none"


def test_joined_with_mappings_that_lack_keys(write):
    first, second, third = rows(100), rows(100, seed=1), rows(50, seed=2)
    expected = [(key, first[key], [second.get(key), third.get(key)]) for key in sorted(first)]
    assert list(joined(write(first), write(second, "b"), third)) == expected
    assert list(joined(first, second, write(third, "c"))) == expected
    assert any(value is None for _, _, values in expected for value in values) and any(values[0] for _, _, values in expected)


def test_several_iterators_read_one_file(write):
    found = write(rows(50))
    assert [a + b for a, b in zip(found, found.values(), strict=True)] == [a + b for a, b in found.items()]


def test_an_empty_file(write):
    assert dict(write({})) == {} and "u" not in write({})


def test_the_first_key_that_occurs_again_is_named(tmp_path):
    (tmp_path / "text").write_text("b 1\na 2\nc 3\na 4\nb 5\nc 6\n")
    with pytest.raises(UserError, match="text:4: duplicate utterance 'a', also in line 2"):
        KeyedLines(tmp_path / "text")
