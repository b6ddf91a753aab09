"""Markdown to HTML for a page that strangers' cards are shown on.

Tables, strikethrough and fenced code; raw HTML shows as text except a handful of harmless tags; HTML comments
vanish; links lead where the card means them to, relative ones into the repo; images come from the repo only.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Callable, MutableMapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from hubkit.localhub.highlight import highlight

_HTML = re.compile(
    r"(?P<comment><!--[\s\S]*?(?:-->|$))"
    r"|(?P<tag></?(?:details|summary|br|sub|sup|kbd)\s*/?>|<details\s+open(?:=\"\")?\s*>)",
    re.IGNORECASE,
)

# Tells where a link of the card leads; None says that it may lead nowhere.
Address = Callable[[str, bool], str | None]


def render_markdown(text: str, address: Address) -> str:
    """The HTML of a card's text."""
    parser = MarkdownIt("commonmark", {"html": True, "linkify": False, "highlight": _code})
    parser.enable(["table", "strikethrough"])
    rules = {"html_block": _html, "html_inline": _html, "table_open": _table, "table_close": _table_end}
    for name, rule in {**rules, "image": _image}.items():
        parser.add_render_rule(name, rule)
    tokens = parser.parse(text)
    _number_headings(tokens)
    for token in tokens:
        if token.type in ("th_open", "td_open") and "style" in token.attrs:
            # The pages allow no inline style: the side that a column hangs on becomes a class.
            token.attrSet("class", str(token.attrs.pop("style")).removeprefix("text-align:"))
        for child in token.children or ():
            _readdress(child, address)
    return str(parser.renderer.render(tokens, parser.options, {}))


def _code(code: str, language: str, _attributes: str) -> str:
    return highlight(code, language)


def _html(
    _self: RendererHTML, tokens: Sequence[Token], index: int, _o: OptionsDict, _e: MutableMapping[str, Any]
) -> str:
    """Raw HTML as text, save for the tags that are let through and the comments that are dropped."""
    content, out, at = tokens[index].content, [], 0
    for found in _HTML.finditer(content):
        out.append(escape(content[at : found.start()]))
        out.append(found["tag"] or "")
        at = found.end()
    out.append(escape(content[at:]))
    return "".join(out)


def _table(
    _self: RendererHTML, _t: Sequence[Token], _i: int, _o: OptionsDict, _e: MutableMapping[str, Any]
) -> str:
    return '<div class="wide"><table>\n'


def _table_end(
    _self: RendererHTML, _t: Sequence[Token], _i: int, _o: OptionsDict, _e: MutableMapping[str, Any]
) -> str:
    return "</table></div>\n"


def _image(
    self: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    """An image of the repo; one from elsewhere is not fetched, only named."""
    token = tokens[index]
    alt = escape(self.renderInlineAsText(token.children or [], options, env))
    source = str(token.attrs.get("src", ""))
    if token.meta.get("foreign"):
        link = f'<a class="foreign" href="{escape(source)}" rel="noopener nofollow noreferrer">'
        return f"{link}image: {alt or source}</a>"
    return f'<img src="{escape(source)}" alt="{alt}" loading="lazy">'


def _number_headings(tokens: list[Token]) -> None:
    """Give each heading an id, as the Hub does, so that a table of contents works."""
    taken: dict[str, int] = {}
    for opening, inline in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            slug = re.sub(r"[^\w\- ]", "", inline.content.lower()).strip().replace(" ", "-") or "section"
            count = taken[slug] = taken.get(slug, -1) + 1
            opening.attrSet("id", f"{slug}-{count}" if count else slug)


def _readdress(token: Token, address: Address) -> None:
    if token.type == "link_open":
        href = address(str(token.attrs.get("href", "")), False)
        token.attrSet("href", href or "#")
        if href and href.startswith(("http:", "https:")):
            token.attrSet("rel", "noopener nofollow noreferrer")
    elif token.type == "image":
        source = str(token.attrs.get("src", ""))
        inside = address(source, True)
        token.meta["foreign"] = inside is None
        token.attrSet("src", inside or (source if urlsplit(source).scheme in ("http", "https") else "#"))


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
