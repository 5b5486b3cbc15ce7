"""Typed YAML: valid files, and a one-line error for every invalid one."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from asrlib.config.base import build, config_hash, dump_config, load_config, save_config
from asrlib.utils.errors import UserError


@dataclass
class Inner:
    rate: float = 0.1
    pair: tuple[float, float] = (0.9, 0.999)
    kind: Literal["adam", "sgd"] = "adam"

    def __post_init__(self):
        if self.rate < 0:
            raise ValueError("rate must not be negative")


@dataclass
class Outer:
    name: str = "x"
    count: int = 3
    flag: bool = False
    sizes: list[int] = field(default_factory=lambda: [1, 2])
    limit: int | None = None
    inner: Inner = field(default_factory=Inner)


@pytest.fixture
def yaml(tmp_path):
    """yaml(text): a file with that text."""

    def write(text):
        (tmp_path / "conf.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "conf.yaml"

    return write


def refused(path, overrides=()):
    """The one line of the error that loading gives."""
    with pytest.raises(UserError) as caught:
        load_config(path, Outer, overrides)
    message = str(caught.value)
    assert str(path) in message or "override" in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("text", [None, "", "# nothing\n"])
def test_defaults(yaml, text):
    assert load_config(yaml(text) if text is not None else None, Outer) == Outer()


def test_values(yaml):
    config = load_config(yaml("name: ä\ncount: 4\nflag: true\nsizes: [3]\nlimit: 7\ninner: {rate: 1e-3, pair: [0, 1], kind: sgd}\n"), Outer)
    assert config == Outer("ä", 4, True, [3], 7, Inner(0.001, (0.0, 1.0), "sgd"))
    assert isinstance(config.inner.pair, tuple) and isinstance(config.inner.pair[0], float)


@pytest.mark.parametrize(("text", "value"), [("1e-3", 0.001), ("1.0e-3", 0.001), ("2", 2.0), (".inf", float("inf"))])
def test_numbers_for_a_float(yaml, text, value):
    assert load_config(yaml(f"inner: {{rate: {text}}}"), Outer).inner.rate == value


def test_none_where_it_may_be(yaml):
    assert load_config(yaml("limit: null"), Outer).limit is None


def test_whole_number_written_as_a_float(yaml):
    assert load_config(yaml("count: 5.0"), Outer).count == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuont: 1", "unknown key cuont; did you mean count?"),
        ("inner: {raet: 1}", "unknown key inner.raet; did you mean inner.rate?"),
        ("zzzzzz: 1", "unknown key zzzzzz; valid: name, count, flag, sizes, limit, inner"),
        ("1: 1", "unknown key 1; valid: name, count, flag, sizes, limit, inner"),
        ("count: many", "count: expected an integer, found 'many'"),
        ("count: 1.5", "count: expected an integer, found 1.5"),
        ("count: true", "count: expected an integer, found True"),
        ("count:", "count: expected an integer, found None"),
        ("inner: {rate: high}", "inner.rate: expected a number, found 'high'"),
        ("inner: {rate: true}", "inner.rate: expected a number, found True"),
        ("inner: {rate: [1]}", "inner.rate: expected a number, found [1]"),
        ("flag: 1", "flag: expected true or false, found 1"),
        ("name: 3", "name: expected a string, found 3"),
        ("sizes: 3", "sizes: expected a list, found 3"),
        ("sizes: [1, x]", "sizes[1]: expected an integer, found 'x'"),
        ("inner: {pair: [1]}", "inner.pair: expected 2 values, found [1]"),
        ("inner: 3", "inner: expected a section, found 3"),
        ("inner:", "inner: expected a section, found None"),
        ("inner: {kind: adma}", "inner.kind: 'adma' is not one of adam, sgd; did you mean adam?"),
        ("inner: {kind: [adam]}", "inner.kind: ['adam'] is not one of adam, sgd; did you mean adam?"),
        ("inner: {rate: -1}", "inner.rate must not be negative"),
        ("- 1\n- 2", "expected a mapping of keys to values, found list"),
        ("just words", "expected a mapping of keys to values, found str"),
    ],
)
def test_refused(yaml, text, message):
    assert refused(yaml(text)) == message


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\tx: 1", "? [a]\n: b", "a: !!map x", b"a: \xff\xfe"])
def test_no_yaml(yaml, text):
    assert refused(yaml(text)).startswith("not valid YAML: ")


def test_duplicate_key(yaml):
    """PyYAML would silently take the last one."""
    assert refused(yaml("count: 1\nname: x\ncount: 2\n")) == "not valid YAML: line 3: duplicate key count"
    assert refused(yaml("inner:\n  rate: 1\n  rate: 2\n")) == "not valid YAML: line 3: duplicate key rate"


def test_no_file(tmp_path):
    assert refused(tmp_path / "none.yaml") == "no such configuration file"


def test_python_objects_are_not_made(yaml, tmp_path):
    refused(yaml(f"name: !!python/object/apply:os.system ['touch {tmp_path}/made']"))
    assert not (tmp_path / "made").exists()


def test_overrides_win(yaml):
    path = yaml("count: 1\ninner: {rate: 0.5, kind: sgd}\n")
    config = load_config(path, Outer, ["count=2", "inner.rate=1e-3", "inner.pair=[0.5,0.6]", "name=", "limit=null"])
    assert config == Outer(name="", count=2, inner=Inner(0.001, (0.5, 0.6), "sgd"))
    assert load_config(None, Outer, ["inner.kind=sgd"]).inner.kind == "sgd"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("count", "override 'count': expected key=value"),
        ("=3", "override '=3': expected key=value"),
        ("count.x=3", "override 'count.x=3': 'count' holds a value, not a section"),
        ("count=[3", "override 'count=[3': the value is not valid YAML"),
        ("cuont=3", "unknown key cuont; did you mean count?"),
        ("inner.raet=3", "unknown key inner.raet; did you mean inner.rate?"),
        ("inner.rate=x", "inner.rate: expected a number, found 'x'"),
    ],
)
def test_bad_overrides(yaml, override, message):
    assert refused(yaml("count: 1"), [override]).startswith(message)


def test_saved_is_loaded_again(tmp_path):
    config = Outer("ä: b", 9, True, [], None, Inner(1e-9, (0.1, 0.2), "sgd"))
    save_config(config, tmp_path / "saved.yaml")
    assert load_config(tmp_path / "saved.yaml", Outer) == config
    assert (tmp_path / "saved.yaml").read_text(encoding="utf-8") == dump_config(config)


def test_hash_names_the_values():
    assert config_hash(Outer()) == config_hash(Outer()) != config_hash(Outer(count=4))
    assert len(config_hash(Outer())) == 10 and int(config_hash(Outer()), 16) >= 0


def test_build_names_a_missing_value():
    @dataclass
    class Needs:
        value: int

    with pytest.raises(UserError, match=r"conf: top level: .*missing 1 required positional argument: 'value'"):
        build(Needs, {}, "conf")
