"""A card as an audit reads it: any Markdown, well formed or not, with the line of everything in it."""

from __future__ import annotations

from hubkit.audit import blocks
from hubkit.audit.front import FrontMatter as FrontMatter
from hubkit.audit.parts import Claim as Claim
from hubkit.audit.parts import Document as Document
from hubkit.audit.parts import Fence as Fence
from hubkit.audit.parts import Heading as Heading
from hubkit.audit.parts import Link as Link
from hubkit.audit.parts import Region as Region
from hubkit.audit.parts import Row as Row
from hubkit.audit.parts import Span as Span
from hubkit.audit.parts import Table as Table
from hubkit.errors import HubkitError

LARGEST = 1_000_000  # bytes of a card


def check_size(card: str, size: int) -> None:
    """A card of many megabytes is none, and would be read for minutes. Raises HubkitError."""
    if size > LARGEST:
        raise HubkitError(
            f"{card} has {size:,} bytes, which is too large for a card", "is it the right file?"
        )


def read(text: str, path: str = "README.md") -> Document:
    """Read a card. Never raises: what cannot be understood is prose."""
    return blocks.document(text, path)
