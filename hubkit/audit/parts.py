"""The parts of a card that has been read, each with its line. Lines are counted from 1, as editors do."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hubkit.audit.front import FrontMatter


@dataclass(frozen=True)
class Heading:
    """A heading, its level from 1, without the marks of Markdown."""

    level: int
    text: str
    line: int


@dataclass(frozen=True)
class Fence:
    """A block of code: fenced, indented by four blanks, or HTML's <pre>."""

    language: str  # lower case, "" where none is named
    code: str
    line: int  # of the first line of code
    last: int
    info: str = ""  # the whole of what stands after the fence
    indented: bool = False  # by four blanks, without a fence
    closed: bool = True
    section: tuple[str, ...] = ()


@dataclass(frozen=True)
class Span:
    """A piece of text and the line where it begins."""

    text: str
    line: int


@dataclass(frozen=True)
class Row:
    """A row of a table: its cells as plain text, and as they are written."""

    cells: tuple[str, ...]
    raw: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Table:
    """A table, of Markdown or HTML. `header` may hold empty cells."""

    header: Row
    rows: tuple[Row, ...]
    section: tuple[str, ...]


@dataclass(frozen=True)
class Claim:
    """A fact as a card states it: `| Rank | 8 |`, `- **Rank (r):** 8`, `r = 8`, or a cell under its column.

    `kind` is "row" (label: first cell), "column" (label: the column's head), "item" (a line of its own). In a
    table of more than two columns `column` names the column of a "row", and `row` the first cell of a
    "column": so a rule can tell a table about this adapter from one that compares several.
    """

    label: str  # plain text, without marks and the colon
    value: str  # plain text; the items of a list below it, joined by ", "
    raw: str  # the value as it is written, with `code` and [links](...)
    line: int
    section: tuple[str, ...]
    kind: str
    column: str = ""
    row: str = ""


@dataclass(frozen=True)
class Link:
    """A link or an image; a bare address has no text."""

    text: str
    target: str
    line: int


@dataclass(frozen=True)
class Region:
    """A part between hubkit's markers; `last` is the line of the end marker, None where there is none."""

    name: str
    line: int
    last: int | None
    sha256: str | None
    kept: bool = False


@dataclass(frozen=True)
class Document:
    """A card and everything that can be read from it."""

    text: str  # with LF line ends
    path: str
    lines: tuple[str, ...]
    front: FrontMatter = field(default_factory=FrontMatter)
    headings: tuple[Heading, ...] = ()
    fences: tuple[Fence, ...] = ()
    code_spans: tuple[Span, ...] = ()
    tables: tuple[Table, ...] = ()
    claims: tuple[Claim, ...] = ()
    links: tuple[Link, ...] = ()
    images: tuple[Link, ...] = ()
    prose: tuple[tuple[int, str], ...] = ()  # without front matter, code blocks, comments and HTML tags
    comments: tuple[Span, ...] = ()
    regions: tuple[Region, ...] = ()
    kept: dict[str, Any] = field(
        default_factory=dict, compare=False, repr=False
    )  # what rules worked out once

    @property
    def metadata(self) -> dict[str, object]:
        """The front matter, empty where there is none that can be read."""
        return self.front.data or {}

    def line(self, number: int | None) -> str:
        """The text of a line; empty for a number that is none."""
        return self.lines[number - 1] if number and 0 < number <= len(self.lines) else ""

    def section_at(self, number: int) -> tuple[str, ...]:
        """The headings above a line, the highest first."""
        place = bisect_right(self._sections, number, key=lambda section: section[0])
        return self._sections[place - 1][1] if place else ()

    @cached_property
    def _sections(self) -> list[tuple[int, tuple[str, ...]]]:
        """The line of each heading, and the headings above it with itself."""
        sections: list[tuple[int, tuple[str, ...]]] = []
        above: list[Heading] = []
        for heading in self.headings:
            while above and above[-1].level >= heading.level:
                above.pop()
            above.append(heading)
            sections.append((heading.line, tuple(one.text for one in above)))
        return sections

    def in_region(self, number: int) -> Region | None:
        """hubkit's region that a line lies in."""
        return next((r for r in self.regions if r.line <= number <= (r.last or r.line)), None)
