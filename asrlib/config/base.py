"""Typed YAML: a dataclass defines the keys of a file and their types; anything else is an error that names file, key and nearest key."""

import dataclasses
import difflib
import hashlib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import yaml

from asrlib.utils.errors import UserError
from asrlib.utils.files import atomic_write


class Dataclass(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


C = TypeVar("C", bound=Dataclass)


def load_config(path: str | Path | None, schema: type[C], overrides: Sequence[str] = ()) -> C:
    """Reads a YAML file into `schema`, a dataclass whose fields may be dataclasses themselves; no file: the schema's defaults.

    overrides: "key=value" strings, nested keys with dots ("optim.learning_rate=1e-3"), values in YAML's notation; they win over the file.
    UserError: not a YAML mapping, a duplicate key, an unknown key (with the nearest valid one), a wrong type, or a value that the dataclass's
    __post_init__ refuses (ValueError).
    """
    values = read_yaml(path) if path else {}
    override_values(values, overrides, path)
    return build(schema, values, str(path or "defaults"))


def override_values(values: dict, overrides: Sequence[str], path: str | Path | None) -> None:
    """Puts "key=value" strings into a mapping read from `path`; creates missing sections. UserError: another form, a value used as a section."""
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise UserError(f"override {override!r}: expected key=value")
        node = values
        *parents, last = key.strip().split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise UserError(f"override {override!r}: {parent!r} holds a value, not a section, in {path}")
        node[last] = _parse_scalar(text, override)


def read_yaml(path: str | Path) -> dict:
    """The mapping of a YAML file; UserError when it is missing or something else."""
    try:
        return parse_yaml(Path(path).read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such configuration file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None


def parse_yaml(text: str, where: str | Path) -> dict:
    """The mapping in a YAML text; UserError when it is something else."""
    try:
        values = yaml.load(text, _Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not valid YAML: {error}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{where}: expected a mapping of keys to values, found {type(values).__name__}")
    return values


class _Loader(yaml.SafeLoader):
    """The safe loader; a duplicate key is an error instead of overriding the first one."""

    def construct_mapping(self, node, deep=False):
        keys = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            name = str(key.value)
            if name in keys:
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: duplicate key {name}")
            keys.add(name)
        return super().construct_mapping(node, deep)


def build(schema: type[C], values: dict, where: str, prefix: str = "") -> C:
    """Makes `schema` from a mapping; `where` names the file and `prefix` the section in messages."""
    hints = typing.get_type_hints(schema)
    known = {field.name: hints[field.name] for field in dataclasses.fields(schema)}
    arguments = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.4)
            raise UserError(
                f"{where}: unknown key {prefix}{key}" + (f"; did you mean {prefix}{near[0]}?" if near else f"; valid: {', '.join(known)}")
            )
        arguments[key] = _convert(value, known[key], where, f"{prefix}{key}")
    try:
        return schema(**arguments)
    except TypeError as error:
        raise UserError(f"{where}: {prefix or 'top level'}: {error}") from None
    except ValueError as error:
        raise UserError(f"{where}: {prefix}{error}") from None


def save_config(config: Any, path: str | Path) -> None:
    """Writes a dataclass as YAML, every key with its value: the resolved configuration."""
    with atomic_write(path) as stream:
        stream.write(dump_config(config))


def dump_config(config: Any) -> str:
    """The resolved configuration as YAML text."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False, allow_unicode=True, width=120)


def config_hash(config: Any) -> str:
    """Ten hexadecimal digits that identify a resolved configuration."""
    return hashlib.sha256(dump_config(config).encode()).hexdigest()[:10]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _parse_scalar(text: str, override: str) -> Any:
    try:
        return yaml.safe_load(text) if text else ""
    except yaml.YAMLError:
        raise UserError(f"override {override!r}: the value is not valid YAML") from None


def _convert(value: Any, hint: Any, where: str, key: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise _wrong(where, key, "a section", value)
        return build(hint, value, where, key + ".")
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(value, next(a for a in arguments if a is not type(None)), where, key)
    if origin is typing.Literal:
        if value not in arguments:
            near = difflib.get_close_matches(str(value), [str(a) for a in arguments], n=1)
            raise UserError(
                f"{where}: {key}: {value!r} is not one of {', '.join(map(str, arguments))}" + (f"; did you mean {near[0]}?" if near else "")
            )
        return value
    if origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            raise _wrong(where, key, "a list", value)
        inner = [a for a in arguments if a is not Ellipsis]
        if origin is tuple and Ellipsis not in arguments and len(value) != len(inner):
            raise _wrong(where, key, f"{len(inner)} values", value)
        hints = inner if origin is tuple and len(inner) == len(value) else inner * len(value)
        return origin(_convert(v, h, where, f"{key}[{i}]") for i, (v, h) in enumerate(zip(value, hints, strict=False)))
    return _scalar(value, hint, where, key)


def _scalar(value: Any, hint: type, where: str, key: str) -> Any:
    if hint is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:  # YAML 1.1 reads 1e-3 as a string
            return float(value)
        except ValueError:
            pass
    elif hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise _wrong(where, key, {int: "an integer", float: "a number", bool: "true or false", str: "a string"}.get(hint, str(hint)), value)


def _wrong(where: str, key: str, expected: str, value: Any) -> UserError:
    return UserError(f"{where}: {key}: expected {expected}, found {value!r}")
