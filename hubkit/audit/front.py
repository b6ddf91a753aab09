"""The front matter of any card, with the line of each key. Nothing in it is trusted, and nothing raises."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from hubkit import bounded_yaml

Path = tuple[str | int, ...]
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FENCE = re.compile(r"---[ \t]*")
_KEY = re.compile(r"[A-Za-z_][\w-]*[ \t]*:(?:[ \t]|$)")
LOOKED_AT = 60  # lines in which a misplaced front matter is looked for


@dataclass(frozen=True)
class FrontMatter:
    """The metadata block. `data` is None where there is none or it is no mapping; `error` says why."""

    data: dict[str, Any] | None = None
    error: str | None = None
    error_line: int | None = None
    first: int | None = None  # the lines of the two `---`, 1-based
    last: int | None = None
    at_first_byte: bool = True
    duplicates: tuple[tuple[Path, int], ...] = ()
    lines: dict[Path, int] = field(default_factory=dict)

    def line_of(self, *path: str | int) -> int | None:
        """The line of a key, or of the nearest thing above it that is there."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return self.first


def read(lines: list[str]) -> FrontMatter:
    """Find and read the front matter of a card."""
    place = _place(lines)
    if place is None:
        return FrontMatter()
    first, last = place
    at_start = first == 0 and not lines[0].startswith("\ufeff")
    text = "\n".join(lines[first + 1 : last])
    known: dict[str, Any] = {"first": first + 1, "last": last + 1, "at_first_byte": at_start}
    try:
        bounded_yaml.check(text)
        node = yaml.compose(text, Loader=_LOADER)
        marks, twice = _walk(node, first + 2)
        data = yaml.load(text, Loader=_LOADER) if node is not None else {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = first + 2 + mark.line if mark else first + 1
        return FrontMatter(error=error.problem or "it is not YAML", error_line=min(line, last + 1), **known)
    except (yaml.YAMLError, *bounded_yaml.TRIPS) as error:
        return FrontMatter(error=" ".join(str(error).split())[:200], error_line=first + 1, **known)
    if not isinstance(data, dict):
        return FrontMatter(error="it holds no keys", error_line=first + 1, **known)
    clean = {key if isinstance(key, str) else str(key): value for key, value in data.items()}
    return FrontMatter(data=clean, duplicates=tuple(twice), lines=marks, **known)


def _place(lines: list[str]) -> tuple[int, int] | None:
    """The indices of the two `---` lines; also of a block that stands below the top."""
    for first, line in enumerate(lines[:LOOKED_AT]):
        if not _FENCE.fullmatch(line.lstrip("\ufeff")):
            continue
        if sum(above.lstrip().startswith(("```", "~~~")) for above in lines[:first]) % 2:
            continue  # an example of a front matter, in a code block
        last = next((i for i in range(first + 1, len(lines)) if _FENCE.fullmatch(lines[i])), None)
        if last is None:
            return None
        if first == 0 or _looks_like_metadata(lines[first + 1 : last]):
            return first, last
    return None


def _looks_like_metadata(block: list[str]) -> bool:
    """Whether a block between two rules is metadata and not prose between two horizontal lines."""
    said = [line for line in block if line.strip() and not line.lstrip().startswith("#")]
    known = re.compile(
        r"(?:license|licence|base_model|library_name|tags|language|datasets|pipeline_tag)[ \t]*:"
    )
    return bool(said) and _KEY.match(said[0]) is not None and any(known.match(line) for line in said)


def _walk(node: Any, offset: int) -> tuple[dict[Path, int], list[tuple[Path, int]]]:
    """The line of every key and item below a node, and the keys that stand twice in one mapping."""
    marks: dict[Path, int] = {}
    twice: list[tuple[Path, int]] = []
    waiting: list[tuple[Any, Path]] = [(node, ())]
    seen: set[int] = set()
    while waiting:
        current, path = waiting.pop()
        if id(current) in seen:  # an anchor that names itself
            continue
        seen.add(id(current))
        if isinstance(current, yaml.MappingNode):
            for key, value in current.value:
                below = (*path, str(getattr(key, "value", "")))
                line = offset + key.start_mark.line
                if below in marks:
                    twice.append((below, line))
                marks[below] = line
                waiting.append((value, below))
        elif isinstance(current, yaml.SequenceNode):
            for index, value in enumerate(current.value):
                marks[(*path, index)] = offset + value.start_mark.line
                waiting.append((value, (*path, index)))
    return marks, sorted(twice, key=lambda found: found[1])
