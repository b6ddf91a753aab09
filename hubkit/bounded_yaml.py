"""Is YAML from outside small enough to be read? An alias that stands for many, and many of those, is a bomb.

What is looked at are the parser's events, before anything is built of them: the same text can stand for more
values than memory holds, for a circle, or for brackets nested deeper than a reader's stack.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

MOST = 100_000  # values, with those that aliases stand for
DEEPEST = 100
SHORT = 3_000  # characters
LONGEST_NUMBER = 1_000  # characters
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"[-+]?[0-9][0-9a-fA-F_xob:.]*")
# What PyYAML's own reading of a value trips over, for one: `!!bool x` is a KeyError.
TRIPS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


def check(text: str) -> None:
    """Raise yaml.YAMLError for YAML that is beyond what metadata needs, or broken in another way."""
    if len(text) < SHORT and "*" not in text:
        return  # it stands for itself
    sizes: dict[str, int] = {}  # of what each anchor names, once it has ended
    within: list[tuple[str | None, int]] = []  # what is open: its anchor, and the values before it
    total = 0
    for event in yaml.parse(text, Loader=_LOADER):
        anchor, size = getattr(event, "anchor", None), 0
        if isinstance(event, yaml.CollectionStartEvent):
            within.append((anchor, total))
            size = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = within.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.AliasEvent):
            size = _size_of(event, sizes)
        elif isinstance(event, yaml.ScalarEvent):
            size = 1
            if anchor:
                sizes[anchor] = 1
            if event.implicit[0] and len(event.value) > LONGEST_NUMBER and _NUMBER.fullmatch(event.value):
                raise _refused("it holds a number that is too long", event)
        total += size
        if total > MOST or len(within) > DEEPEST:
            raise _refused("it holds too many values, or too many inside of each other", event)


def _size_of(alias: yaml.AliasEvent, sizes: dict[str, int]) -> int:
    """How many values an alias stands for."""
    named = alias.anchor
    if named not in sizes:
        raise _refused(f"the alias {named!r} names nothing that ended before it", alias)
    return sizes[named]


def _refused(why: str, event: yaml.Event) -> yaml.YAMLError:
    mark: Any = event.start_mark
    return yaml.MarkedYAMLError(problem=why, problem_mark=mark)


class _Strict(_LOADER):  # type: ignore[misc]
    """A safe loader to which a key that comes twice is an error, as it is to the Hub's parser."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} comes twice", problem_mark=key.start_mark
                )
            seen.add(str(key.value))
        return dict(super().construct_mapping(node, deep))


def load(text: str) -> Any:
    """The value of YAML that is small enough and says each thing once. Raises yaml.YAMLError only."""
    try:
        check(text)
        return yaml.load(text, _Strict)
    except TRIPS as error:
        raise yaml.YAMLError(f"it holds a value that cannot be read ({error})") from error
