"""YAML settings with their places: parsed by YAML 1.2's plain scalars, checked, errors with file and line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import msgspec
import yaml

from hubkit.errors import SettingsError

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """Where settings came from: finds the line of a key for an error."""

    path: Path | None
    tree: yaml.Node | None = None
    overrides: dict[str, str] = field(default_factory=dict)

    def error(self, keys: list[str], message: str) -> SettingsError:
        """An error about the value at `keys`, with file and line (or the `--set` it came from)."""
        dotted = ".".join(keys)
        for given in self.overrides:
            if dotted == given or dotted.startswith(given + "."):
                return SettingsError(f"--set {given}: {message}")
        where = str(self.path) if self.path else "settings"
        if self.tree is not None:
            where = f"{where}:{_line(self.tree, keys)}"
        return SettingsError(f"{where}: {message}", "hubkit schema settings lists every key")


def _line(node: yaml.Node, keys: list[str]) -> int:
    """The 1-based line of the deepest of `keys` that the file holds."""
    line = node.start_mark.line
    for key in keys:
        child = None
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if name.value == key:
                    line, child = name.start_mark.line, value
        elif isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
            child = node.value[int(key)]
            line = child.start_mark.line
        if child is None:
            break
        node = child
    return int(line) + 1


def parse(text: str, path: Path) -> tuple[yaml.Node | None, dict[str, Any]]:
    """The node tree (for places) and the plain mapping of a settings text. Raises SettingsError."""
    try:
        tree = yaml.compose(text, Loader=_Loader)
        plain = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SettingsError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not YAML that can be read: {error}") from error
    if plain is None:
        plain = {}
    if not isinstance(plain, dict):
        raise SettingsError(f"{path}: settings are a mapping of keys to values, not a {type(plain).__name__}")
    return tree, plain


class _Loader(yaml.SafeLoader):
    """YAML 1.2's idea of plain scalars: `no` is a language and 3e-4 a number; duplicate keys are errors."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _set_resolvers() -> None:
    resolvers = {
        first: [
            (tag, pattern) for tag, pattern in pairs if not tag.endswith((":bool", ":float", ":timestamp"))
        ]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _Loader.yaml_implicit_resolvers = resolvers
    _Loader.add_implicit_resolver(
        "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
    )
    _Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)$"),
        list("-+.0123456789"),
    )


_set_resolvers()


def override(text: str) -> tuple[str, Any]:
    """Key and value of an `a.b=c` override; the value is YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SettingsError(f"--set {text}: write it as key=value, such as training.epochs=1")
    try:
        return key.strip().replace("-", "_"), yaml.load(value, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"--set {text}: the value is not YAML") from error


def put(plain: dict[str, Any], dotted: str, value: Any) -> None:
    """Set a nested key; a shorthand string (`method: lora`) becomes a mapping when a key is set below it."""
    node = plain
    *parents, last = dotted.split(".")
    for key in parents:
        below = node.get(key)
        if isinstance(below, str):
            below = {"id" if key in ("base_model", "dataset") else "name": below}
        elif not isinstance(below, dict):
            below = {}
        node[key] = below
        node = below
    node[last] = value


_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`")
_PATH = re.compile(r" - at `(?:key in )?\$(.*?)`$")


def section(plain: Any, kind: type[T], source: Source, keys: list[str]) -> T:
    """Check a mapping against a Struct; `keys` is where the mapping stands in the settings.

    Raises SettingsError with file, line and, for an unknown key, the nearest right one.
    """
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _PATH.search(text)
        below = re.findall(r"[^.\[\]]+", found.group(1)) if found else []
        message = _PATH.sub("", text)
        unknown = _UNKNOWN.search(message)
        where = [*keys, *below]
        if unknown:
            raise source.error(
                [*where, unknown.group(1)], _unknown_key(unknown.group(1), kind, below)
            ) from error
        raise source.error(
            where, f"{'.'.join(where) or 'settings'}: {message[:1].lower()}{message[1:]}"
        ) from error


def _unknown_key(key: str, kind: type, below: list[str]) -> str:
    known = _fields(kind, below)
    return f"unknown key {key!r}{nearest(key.replace('-', '_'), known)}"


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the one that was meant, or all that there are."""
    close = difflib.get_close_matches(name, known := list(known), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else f"; known here: {', '.join(sorted(known))}"


def _fields(kind: Any, below: list[str]) -> list[str]:
    """The field names of the Struct that stands at `below` inside `kind`."""
    for key in below:
        kind = next((f.type for f in msgspec.structs.fields(kind) if f.encode_name == key), kind)
        for option in getattr(kind, "__args__", ()):
            if isinstance(option, type) and issubclass(option, msgspec.Struct):
                kind = option
    return [f.encode_name for f in msgspec.structs.fields(kind)]


def named(value: str | dict[str, Any], what: str, source: Source) -> tuple[str, dict[str, Any]]:
    """A `name` and its parameters, from `lora` or `{name: lora, r: 8}`."""
    if isinstance(value, str):
        return value, {}
    rest = dict(value)
    name = rest.pop("name", None)
    if not isinstance(name, str):
        raise source.error([what], f"{what} needs a name, such as {what}: {{name: ...}}")
    return name, rest


def parts_schema(modules: dict[str, ModuleType]) -> dict[str, Any]:
    """The JSON Schema of a task or method: a name alone, or an object with `name` and its parameters."""
    options: list[dict[str, Any]] = [{"enum": sorted(modules)}]
    for name, module in modules.items():
        own = msgspec.json.schema(module.Parameters)["$defs"][module.Parameters.__name__]
        properties = {"name": {"const": name}, **own.get("properties", {})}
        options.append({**own, "title": name, "properties": properties, "required": ["name"]})
    return {"anyOf": options}
