"""Arrays on disk against those in memory."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from asrlib.utils.array_file import ArrayFile, open_arrays
from asrlib.utils.arrays import read_safetensors, save_arrays
from asrlib.utils.errors import UserError
from asrlib.utils.keyed_lines import joined


def arrays(count=100):
    rng = np.random.default_rng(0)
    return {f'u{number:03d}"今\\-é': rng.integers(500, size=rng.integers(30)).astype(np.uint16) for number in rng.permutation(count)}


@pytest.mark.parametrize("save", [save_arrays, lambda path, made: save_file(made, path)])
def test_as_a_dictionary(tmp_path, save):
    made, path = arrays(), tmp_path / "km.safetensors"
    save(path, made)
    found, whole = open_arrays(path), read_safetensors(path)
    assert isinstance(found, ArrayFile) and list(found) == sorted(made) and len(found) == 100
    for name in made:
        assert found[name].dtype == np.uint16
        np.testing.assert_array_equal(found[name], whole[name])
    assert "u" not in found and found.get("v") is None
    keys = dict.fromkeys([*list(made)[::2], "none"], "")
    assert [(key, None if one is None else one.tolist()) for key, _, (one,) in joined(keys, found)] == [
        (key, made[key].tolist() if key in made else None) for key in sorted(keys)
    ]


def test_other_files_are_read_into_memory(tmp_path):
    """Shapes, several types, and metadata."""
    made = {"a": np.ones((2, 3), np.float32), "b": np.arange(3, dtype=np.float32)}
    save_arrays(tmp_path / "one", made)
    np.testing.assert_array_equal(open_arrays(tmp_path / "one")["a"], made["a"])
    save_arrays(tmp_path / "mixed", {"a": np.ones(3, np.uint8), "b": np.ones(2, np.float32), "c": np.ones(2, np.uint8)})
    assert isinstance(open_arrays(tmp_path / "mixed"), dict)
    save_arrays(tmp_path / "facts", made, {"key": "value"})
    assert isinstance(open_arrays(tmp_path / "facts"), dict)


def test_damaged_files(tmp_path):
    path = tmp_path / "km.safetensors"
    with pytest.raises(UserError, match="no such"):
        open_arrays(path)
    save_arrays(path, arrays())
    content = path.read_bytes()
    for damaged in (content[:-1], content[:100], content[:5], b""):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            open_arrays(path)
