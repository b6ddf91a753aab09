"""Markdown to HTML for a page that strangers' cards are shown on.

Tables, strikethrough and fenced code, and of raw HTML what sanitise lets through; links lead where the card
means them to, relative ones into the repo; images come from this Hub only.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import MutableMapping, Sequence
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from hubkit.localhub.highlight import highlight
from hubkit.localhub.sanitise import Address, sanitise

TEXT_MAX = 200_000


def render_markdown(text: str, address: Address, prefix: str = "") -> str:
    """The HTML of a card's text; `prefix` stands before the ids of its headings."""
    parser = MarkdownIt("commonmark", {"html": True, "linkify": False, "highlight": _code})
    # Where a link may lead is decided at the end, for Markdown and for HTML alike.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    parser.enable(["table", "strikethrough"])
    parser.add_render_rule("table_open", _table)
    parser.add_render_rule("table_close", _table_end)
    tokens = parser.parse(text[:TEXT_MAX])
    _number_headings(tokens, prefix)
    for token in tokens:
        if token.type in ("th_open", "td_open") and "style" in token.attrs:
            # The pages allow no inline style: the side that a column hangs on becomes a class.
            token.attrSet("class", str(token.attrs.pop("style")).removeprefix("text-align:"))
    html = sanitise(str(parser.renderer.render(tokens, parser.options, {})), address)
    return html + ("<p><em>The rest is too long to be shown.</em></p>" if len(text) > TEXT_MAX else "")


def _code(code: str, language: str, _attributes: str) -> str:
    return highlight(code, language)


def _table(
    _self: RendererHTML, _t: Sequence[Token], _i: int, _o: OptionsDict, _e: MutableMapping[str, Any]
) -> str:
    return '<section class="wide"><table>\n'


def _table_end(
    _self: RendererHTML, _t: Sequence[Token], _i: int, _o: OptionsDict, _e: MutableMapping[str, Any]
) -> str:
    return "</table></section>\n"


def _number_headings(tokens: list[Token], prefix: str) -> None:
    """Give each heading an id, as the Hub does, so that a table of contents works."""
    taken: dict[str, int] = {}
    for opening, inline in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            slug = re.sub(r"[^\w\- ]", "", inline.content.lower()).strip().replace(" ", "-") or "section"
            count = taken[slug] = taken.get(slug, -1) + 1
            opening.attrSet("id", f"{prefix}{slug[:150]}-{count}" if count else f"{prefix}{slug[:150]}")


def repo_address(repo_id: str, revision: str, folder: str = "") -> Address:
    """Where the links of a card of this repo lead."""

    def address(link: str, is_image: bool) -> str | None:
        try:
            parts = urlsplit(link)
        except ValueError:
            return None
        if parts.scheme or parts.netloc:
            return link if parts.scheme in ("http", "https", "mailto") and not is_image else None
        if not parts.path:
            return link
        if parts.path.startswith("/"):
            return quote(unquote(posixpath.normpath("/" + parts.path.lstrip("/"))))
        path = posixpath.normpath(posixpath.join(folder, unquote(parts.path)))
        if path.startswith(".."):
            return None
        kind = "resolve" if is_image else "blob"
        fragment = f"#{parts.fragment}" if parts.fragment else ""
        return f"/{repo_id}/{kind}/{quote(revision, safe='')}/{quote(path)}{fragment}"

    return address
