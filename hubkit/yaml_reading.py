"""Settings read from YAML, with YAML 1.2's plain scalars: nodes, for their places, and plain values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from hubkit.errors import SettingsError
from hubkit.yaml_source import HINT, SHOWN


def parse(text: str, path: Path) -> tuple[yaml.Node | None, dict[str, Any]]:
    """The node tree (for places) and the plain mapping of a settings text. Raises SettingsError."""
    try:
        tree, plain = _read(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SettingsError(f"{path}:{line}: not YAML: {_problem(error)}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SettingsError(f"{path}:{line}: not YAML: it holds character #x{error.character:04x}") from error
    except RecursionError:
        raise SettingsError(f"{path}:1: not YAML that can be read: it is nested too deeply") from None
    if plain is None:
        plain = {}
    if not isinstance(plain, dict):
        raise SettingsError(
            f"{path}:1: settings are a mapping of keys to values, not a {type(plain).__name__}", HINT
        )
    return tree, plain


def _read(text: str) -> tuple[yaml.Node | None, Any]:
    loader = _Loader(text)
    try:
        tree = loader.get_single_node()
        return tree, None if tree is None else loader.construct_document(tree)
    finally:
        loader.dispose()


def _problem(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part)


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of plain scalars: `no` is a language and 3e-4 a number.

    Keys are text and stand once; numbers are finite and fit into 64 bits.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
                raise _refused(key, "a key is not text; put it into quotes")
            shown = key.value[:SHOWN]
            if key.value in seen:
                raise _refused(key, f"key {shown!r} stands twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError) as error:  # PyYAML's constructors do not check
            kind = node.tag.rpartition(":")[2]
            raise _refused(node, f"{str(node.value)[:SHOWN]!r} is no {kind} that can be read") from error
        is_number = isinstance(value, int | float)
        if is_number and not -(2**63) <= value < 2**63:  # neither is NaN
            raise _refused(node, f"{str(node.value)[:SHOWN]} is no number that fits into 64 bits")
        return value


def _refused(node: yaml.Node, why: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, why, node.start_mark)


def _set_resolvers() -> None:
    replaced = (":bool", ":int", ":float", ":timestamp", ":value")
    _Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if not tag.endswith(replaced)]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for kind, pattern, first in (
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("int", r"[-+]?(?:0|[1-9]\d*)", "-+0123456789"),
        (
            "float",
            r"[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)",
            "-+.0123456789",
        ),
    ):
        _Loader.add_implicit_resolver(
            f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$", re.ASCII), list(first)
        )


_set_resolvers()


class _Dumper(yaml.SafeDumper):
    """Writes what `parse` reads as the same: text that either YAML takes for something else is quoted."""


_Dumper.yaml_implicit_resolvers = {
    first: [
        *_Loader.yaml_implicit_resolvers.get(first, []),
        *yaml.SafeDumper.yaml_implicit_resolvers.get(first, []),
    ]
    for first in {*_Loader.yaml_implicit_resolvers, *yaml.SafeDumper.yaml_implicit_resolvers}
}
_Dumper.ignore_aliases = lambda self, data: True  # type: ignore[method-assign]


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    """Line breaks of all kinds as escapes: PyYAML folds some that it reads as spaces."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if value.isprintable() else '"')


_Dumper.add_representer(str, _text)


def dump(plain: dict[str, Any]) -> str:
    """Settings as YAML, in the order that they have."""
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def override(text: str) -> tuple[str, Any]:
    """Key and value of an `a.b=c` override; the value is YAML."""
    key, equals, value = text.partition("=")
    key = key.strip().replace("-", "_")
    if not equals or not all(key.split(".")):
        raise SettingsError(f"--set {text[:SHOWN]}: this is no key=value", "write it like training.epochs=1")
    try:
        return key, _read(value)[1]
    except yaml.MarkedYAMLError as error:
        raise SettingsError(f"--set {text[:SHOWN]}: the value is not YAML: {_problem(error)}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingsError(f"--set {text[:SHOWN]}: the value is not YAML") from error
