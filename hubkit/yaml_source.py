"""Settings with their places: checked, errors with file and line. yaml_reading.py reads them from YAML."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import msgspec

from hubkit import yaml_faults
from hubkit.errors import SettingsError

T = TypeVar("T")

# What other trainers call a key, and what it is called here.
ALIASES = {
    "lr": "learning_rate",
    "rank": "r",
    "lora_r": "r",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "num_train_epochs": "epochs",
    "num_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "micro_batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation",
    "lr_scheduler_type": "scheduler",
    "lr_scheduler": "scheduler",
    "sequence_len": "block_size",
    "max_seq_length": "block_size",
    "max_length": "block_size",
    "model": "base_model",
    "datasets": "dataset",
    "hub_model_id": "repo_id",
    "licence": "license",
}
HINT = "hubkit schema settings lists every key"
SHOWN = 60  # characters of a faulty key or value in a message


@dataclass(frozen=True)
class Source:
    """Where settings came from: finds the line of a key for an error."""

    path: Path | None
    tree: Any = None  # yaml.Node; PyYAML itself is imported where text is read
    overrides: dict[str, str] = field(default_factory=dict)

    def error(self, keys: list[str], message: str, hint: str = HINT) -> SettingsError:
        """An error about the value at `keys`, with file and line (or the `--set` it came from)."""
        dotted = ".".join(keys)
        for given in reversed(self.overrides):
            below = given.startswith(dotted + ".") and self._lacks(keys)
            if dotted == given or dotted.startswith(given + ".") or below:
                once = message.removeprefix(f"{given}: ")
                return SettingsError(f"--set {given}: {once}", hint)
        where = str(self.path) if self.path else "settings"
        if self.path:
            where = f"{where}:{_line(self.tree, keys) if self.tree else 1}"
        return SettingsError(f"{where}: {message}", hint)

    def _lacks(self, keys: list[str]) -> bool:
        """Whether the file does not have the first of `keys` at all."""
        names = self.tree.value if self.tree is not None and self.tree.id == "mapping" else []
        return all(name.value != keys[0] for name, _ in names)


def _line(node: Any, keys: list[str]) -> int:
    """The 1-based line of the deepest of `keys` that the file holds."""
    line = node.start_mark.line
    for key in keys:
        child = None
        if node.id == "mapping":
            for name, value in node.value:
                if name.value == key:
                    line, child = name.start_mark.line, value
        elif node.id == "sequence" and key.isdigit() and int(key) < len(node.value):
            child = node.value[int(key)]
            line = child.start_mark.line
        if child is None:
            break
        node = child
    return int(line) + 1


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


_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
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
        below = re.findall(r"[^.\[\]]+|(?<=\[)\.\.\.", found.group(1)) if found else []
        message = _PATH.sub("", text)
        unknown = _UNKNOWN.search(message)
        where = [*keys, *(key for key in below if key != "...")]
        if unknown:
            raise source.error(
                [*where, unknown.group(1)], _unknown_key(unknown.group(1), kind, below)
            ) from error
        told = yaml_faults.told(message, kind, plain, below)
        raise source.error(where, f"{'.'.join(where) or 'settings'}: {told}") from error


def _unknown_key(key: str, kind: type, below: list[str]) -> str:
    known = _fields(kind, below)
    found = f"unknown key {key[:SHOWN]!r}"
    home = [] if below else [part for part in known if key in _fields(kind, [part])]
    if home:
        return f"{found}, did you mean {f'{home[0]}.{key}'!r}?"
    return found + nearest(key[:SHOWN].replace("-", "_"), known)


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the one that was meant, or all that there are."""
    known = list(known)
    if ALIASES.get(name.lower()) in known:
        return f", did you mean {ALIASES[name.lower()]!r}?"
    begun = [full for full in known if len(name) > 2 and full.startswith(name)]
    close = begun or difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]!r}?" if close else f"; known here: {', '.join(sorted(known))}"


def _fields(kind: Any, below: list[str]) -> list[str]:
    """The field names of the Struct that stands at `below` inside `kind`; none where there is no Struct."""
    for key in below:
        own = msgspec.structs.fields(kind) if _is_struct(kind) else ()
        kind = next((f.type for f in own if f.encode_name == key), None)
        kind = next(filter(_is_struct, getattr(kind, "__args__", ())), kind)
    return [f.encode_name for f in msgspec.structs.fields(kind)] if _is_struct(kind) else []


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def named(value: str | dict[str, Any], what: str, source: Source) -> tuple[str, dict[str, Any]]:
    """A `name` and its parameters, from `lora` or `{name: lora, r: 8}`."""
    if isinstance(value, str):
        return value, {}
    rest = dict(value)
    name = rest.pop("name", None)
    if not isinstance(name, str):
        raise source.error([what], f"{what} needs a name, such as {what}: {{name: ...}}")
    return name, rest


def pick(what: str, modules: dict[str, ModuleType], name: str) -> ModuleType:
    """The module of a task or method. Raises SettingsError for an unknown name."""
    if name not in modules:
        raise SettingsError(f"unknown {what} {name!r}{nearest(name, modules)}")
    return modules[name]


def chosen(
    what: str, modules: dict[str, ModuleType], value: str | dict[str, Any], source: Source
) -> tuple[ModuleType, Any]:
    """The module that a part of the settings names, and its checked Parameters. Raises SettingsError."""
    name, rest = named(value, what, source)
    if name not in modules:
        raise source.error([what, "name"], f"unknown {what} {name!r}{nearest(name, modules)}")
    known = _fields(modules[name].Parameters, [])
    for key in rest:
        if key not in known and any(key in _fields(other.Parameters, []) for other in modules.values()):
            listed = ", ".join(sorted(known))
            message = f"unknown key {key!r}: {modules[name].TITLE} has no {key}; known here: {listed}"
            kept = {"name": name} | {one: value for one, value in rest.items() if one in known}
            raise source.error([what, key], message, _replacing(what, kept, source))
    return modules[name], section(rest, modules[name].Parameters, source, [what])


def _replacing(what: str, kept: dict[str, Any], source: Source) -> str:
    """The way out where `--set` changed the name alone, and what the file gives another part stayed."""
    if f"{what}.name" not in source.overrides:
        return HINT
    flow = ", ".join(f"{key}: {v if isinstance(v, str) else json.dumps(v)}" for key, v in kept.items())
    whole = shlex.quote(f"{what}={{{flow}}}")
    return f"replace the whole part, and not its name alone: --set {whole}"


def parts_schema(modules: dict[str, ModuleType]) -> dict[str, Any]:
    """The JSON Schema of a task or method: a name alone, or an object with `name` and its parameters."""
    options: list[dict[str, Any]] = [{"enum": sorted(modules)}]
    for name, module in modules.items():
        own = msgspec.json.schema(module.Parameters)["$defs"][module.Parameters.__name__]
        properties = {"name": {"const": name}, **own.get("properties", {})}
        options.append({**own, "title": name, "properties": properties, "required": ["name"]})
    return {"anyOf": options}
