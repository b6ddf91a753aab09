"""Where things stand in a card's front matter, and edits of it that leave every other byte as it is.

A YAML parser only locates: nothing is written back by it. An edit replaces a span of characters; a comment
that stands in a span that goes is kept. What was meant is held against what the edited text reads as.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from hubkit import bounded_yaml
from hubkit.card.front_matter import scalar, to_yaml
from hubkit.errors import CardError

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

_BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")  # as YAML 1.1 has them
_COMMENT = re.compile(r"[\s:,-]*(#.*)", re.DOTALL)
_MARKED = (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)
_NULL = "tag:yaml.org,2002:null"
_STRING = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of the front matter with its value: from the start of its line to the end of its last one."""

    key: str
    node: yaml.Node
    start: int
    end: int
    leaves: list[tuple[int, int]]  # spans of the key and of the values, without comments

    @property
    def value(self) -> Any:
        """The value, scalars as they are written: `no` is "no" and not false."""
        return plain(self.node)

    @property
    def items(self) -> list[yaml.Node]:
        """The value as a list: a scalar is a list of one, and nothing is an empty one."""
        if isinstance(self.node, yaml.SequenceNode):
            return list(self.node.value)
        return [] if self.node.tag == _NULL else [self.node]


@dataclass(slots=True)
class Source:
    """The text of a front matter, its entries, and the edits to be made."""

    text: str
    first_line: int  # of the text, in the card
    entries: dict[str, Entry] = field(default_factory=dict)
    indent: str = ""
    newline: str = "\n"
    marked: list[int] = field(default_factory=list)  # where anchors, aliases and tags stand
    edits: list[tuple[int, int, str]] = field(default_factory=list)

    def line(self, at: int) -> int:
        """The line of the card that a place in the text is in."""
        return self.first_line + sum(1 for found in _BREAK.finditer(self.text, 0, at) if found.end() <= at)

    def line_start(self, at: int) -> int:
        """Where the line of a place begins."""
        start = at
        while start and self.text[start - 1] not in "\n\r\x85\u2028\u2029":
            start -= 1
        return start

    def line_end(self, at: int) -> int:
        """Where the line of a place ends, its line end included."""
        if at and at == self.line_start(at):
            return at  # a block scalar ends at the start of a line
        found = _BREAK.search(self.text, at)
        return found.end() if found else len(self.text)

    def refuse(self, at: int, what: str) -> NoReturn:
        """Stop with one line that says where."""
        raise CardError(
            f"README.md, line {self.line(at)}: {what}", "mend that line by hand; nothing was written"
        )

    def edited(self) -> str:
        """The text with all edits made."""
        kept: list[str] = []
        at = 0
        for start, end, new in sorted(self.edits, key=lambda edit: edit[0]):
            kept += [self.text[at:start], new]
            at = max(at, end)
        return "".join([*kept, self.text[at:]])


def read(text: str, first_line: int = 2) -> Source:
    """Locate the entries. Raises CardError, with the line, for what is no plain mapping in YAML."""
    source = Source(text, first_line)
    source.newline = "\r\n" if "\r\n" in text[: text.find("\n") + 1] else "\n"
    try:
        bounded_yaml.check(text)
        root = yaml.compose(text, Loader=Loader)
        if re.search(r"[&*!]", text):
            tokens = yaml.scan(text, Loader=Loader)
            source.marked = [token.start_mark.index for token in tokens if isinstance(token, _MARKED)]
    except (yaml.YAMLError, UnicodeEncodeError, RecursionError, ValueError) as error:
        raise _unreadable(error, first_line) from error
    if root is None:
        return source
    if not isinstance(root, yaml.MappingNode):
        source.refuse(root.start_mark.index, "the front matter is no mapping of keys to values")
    if root.flow_style:
        source.refuse(root.start_mark.index, "the front matter is written in braces; write a key a line")
    source.indent = " " * root.start_mark.column
    for key, value in root.value:
        _add(source, key, value)
    return source


def _add(source: Source, key: yaml.Node, value: yaml.Node) -> None:
    at = key.start_mark.index
    if key.tag == "tag:yaml.org,2002:merge":
        source.refuse(at, "the front matter has a merge key (<<); write its keys out")
    if not isinstance(key, yaml.ScalarNode):
        return
    if key.value in source.entries:
        source.refuse(at, f'the front matter has "{key.value}" twice')
    leaves = [(at, key.end_mark.index), *_leaves(value)]
    end = source.line_end(max(end for _, end in leaves))
    source.entries[key.value] = Entry(key.value, value, source.line_start(at), end, leaves)


def _leaves(node: yaml.Node) -> Iterator[tuple[int, int]]:
    if not isinstance(node, yaml.CollectionNode):
        yield node.start_mark.index, node.end_mark.index
        return
    if node.flow_style:
        yield node.start_mark.index, node.start_mark.index + 1
    for part in node.value:
        for below in part if isinstance(node, yaml.MappingNode) else (part,):
            yield from _leaves(below)
    if node.flow_style:
        yield node.end_mark.index - 1, node.end_mark.index


def _unreadable(error: Exception, first_line: int) -> CardError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = first_line + (mark.line if mark else 0)
    why = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    return CardError(f"README.md, line {line}: the front matter is not YAML: {why}", "mend that line by hand")


def plain(node: yaml.Node) -> Any:
    """A node as plain data, scalars as text and null as None."""
    if isinstance(node, yaml.SequenceNode):
        return [plain(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(plain(key)): plain(value) for key, value in node.value}
    return None if node.tag == _NULL else node.value


def constructed(source: Source, entry: Entry) -> Any:
    """The value as YAML 1.1 reads it: numbers, booleans, dates."""
    try:
        return next(iter(yaml.load(source.text[entry.start : entry.end], Loader=Loader).values()))
    except (yaml.YAMLError, *bounded_yaml.TRIPS):
        return entry.value


# --- edits -------------------------------------------------------------------------------------------------


def set_value(source: Source, key: str, value: Any) -> None:
    """Put another value in the place of what the key has: a scalar in its span, else the whole entry."""
    entry = editable(source, key)
    node = entry.node
    block = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
    if isinstance(value, (list, dict)) or not isinstance(node, yaml.ScalarNode) or block:
        new = _written(source, {key: value})
        source.edits.append(
            (entry.start, entry.end, new + _comments(source, entry.start, entry.end, entry.leaves))
        )
        return
    start, end = node.start_mark.index, node.end_mark.index
    source.edits.append((start, end, (" " if start == end else "") + scalar(value)))


def remove(source: Source, key: str) -> None:
    """Take a key out; comments beside it stay."""
    entry = editable(source, key)
    source.edits.append((entry.start, entry.end, _comments(source, entry.start, entry.end, entry.leaves)))


def insert(source: Source, key: str, value: Any, order: list[str]) -> None:
    """Put in a key that is not there, behind the nearest one that stands before it in `order`."""
    before = order[: order.index(key)]
    there = [source.entries[name] for name in before if name in source.entries]
    ends = [entry.end for entry in source.entries.values()]
    at = there[-1].end if there else max(ends, default=len(source.text))
    source.edits.append((at, at, _written(source, {key: value})))


def change_items(source: Source, key: str, gone: list[yaml.Node], new: list[Any]) -> None:
    """Take items out of a list and put others at its end, in the list's own style."""
    entry = editable(source, key)
    node = entry.node
    if not isinstance(node, yaml.SequenceNode):
        kept = [item for item in entry.items if item not in gone]
        if new or not kept:
            _set_list(source, entry, kept, new)
    elif len(gone) == len(node.value) and not new:
        remove(source, key)
    elif node.flow_style:
        _change_flow(source, node, gone, new)
    else:
        change_block(source, node, gone, new)


def change_block(source: Source, node: yaml.SequenceNode, gone: list[yaml.Node], new: list[Any]) -> None:
    """The same for a list with an item a line."""
    dash = node.start_mark.column
    spans: dict[int, tuple[int, int]] = {}
    for item in node.value:
        leaves = list(_leaves(item))
        start = source.line_start(leaves[0][0])
        if source.text[start:].lstrip(" ")[:1] != "-" or source.text[start : start + dash].strip():
            source.refuse(start, "hubkit cannot edit a list that is written so; write an item a line")
        spans[id(item)] = (start, source.line_end(max(end for _, end in leaves)))
    for item in gone:
        start, end = spans[id(item)]
        source.edits.append((start, end, _comments(source, start, end, list(_leaves(item)))))
    end = max(end for _, end in spans.values())
    lines = [" " * dash + line + source.newline for part in new for line in to_yaml([part]).splitlines()]
    if lines:
        source.edits.append((end, end, "".join(lines)))


def _change_flow(source: Source, node: yaml.SequenceNode, gone: list[yaml.Node], new: list[Any]) -> None:
    close = node.end_mark.index - 1
    kept_last = max((n for n, item in enumerate(node.value) if item not in gone), default=-1)
    for n, item in enumerate(node.value):
        start, end = item.start_mark.index, item.end_mark.index
        if n > kept_last >= 0:  # at the end: with the comma before it
            before = node.value[n - 1].end_mark.index
            if "#" not in source.text[before:start]:
                start = before
            elif comma := re.compile(r"[ \t]*,[ \t]*").match(source.text, end):
                end = comma.end()
        elif comma := re.compile(r"\s*,[ \t]*").match(source.text, end):
            end = comma.end()
        if item in gone:
            source.edits.append((start, end, ""))
    if not new:
        return
    words = ", ".join(_flow(item) for item in new)
    kept = [item for item in node.value if item not in gone]
    if not kept:
        source.edits.append((close, close, words))
    else:
        at = kept[-1].end_mark.index
        source.edits.append((at, at, f", {words}"))


def _set_list(source: Source, entry: Entry, kept: list[yaml.Node], new: list[Any]) -> None:
    """A list in the place of a scalar; the scalar, where it stays, is its first item."""
    node = entry.node
    start, end = node.start_mark.index, node.end_mark.index
    if not kept and not new:
        remove(source, entry.key)
        return
    mine = source.text[start:end]
    style = node.style if isinstance(node, yaml.ScalarNode) else None
    if kept and (style in ("|", ">") or (not style and re.search(r"[,\[\]{}]", mine))):
        mine = _flow(plain(kept[0]))
    words = ", ".join([*([mine] if kept else []), *(_flow(item) for item in new)])
    source.edits.append((start, end, (" " if start == end else "") + f"[{words}]"))


def _flow(item: Any) -> str:
    """A scalar as it can stand between brackets."""
    text = scalar(item)
    return (
        f'"{text}"'
        if isinstance(item, str) and not text.startswith('"') and re.search(r"[,:]", text)
        else text
    )


def _written(source: Source, part: dict[str, Any]) -> str:
    return "".join(source.indent + line + source.newline for line in to_yaml(part).splitlines())


def editable(source: Source, key: str) -> Entry:
    """The entry of a key that is to be edited. Raises CardError where other keys may depend on its text."""
    entry = source.entries[key]
    for at in source.marked:
        if entry.start <= at < entry.end:
            source.refuse(at, f'hubkit cannot edit "{key}" with an anchor, an alias or a tag of YAML in it')
    return entry


def _comments(source: Source, start: int, end: int, leaves: list[tuple[int, int]]) -> str:
    """The comments of a span of lines, each on a line of its own."""
    kept: list[str] = []
    at = start
    while at < end:
        found = _BREAK.search(source.text, at)
        stop = min(found.end() if found else end, end)
        touching = [(first, last) for first, last in leaves if first < stop and last > at]
        if not any(last > stop for _, last in touching):
            rest = source.text[max([at, *(last for _, last in touching)]) : stop]
            comment = _COMMENT.match(rest)
            if comment:
                kept.append(source.text[at:stop] if not touching and rest.lstrip()[:1] == "#" else comment[1])
        at = stop
    return "".join(kept)
