"""Strangers' HTML, rebuilt from tags that are known to be harmless: nothing else comes out.

Every tag is taken apart and written anew: names and attributes from a list, addresses as the caller allows
them, text escaped. What was opened is closed. A `div` comes out as a `section`, because the pages put no card
into one: no end tag of a card can then close a part of the page around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import escape, unescape

# Tells where a link (or, with True, an image) may lead; None says that it may lead nowhere.
Address = Callable[[str, bool], str | None]

DEPTH_MAX = 60
_TOKEN = re.compile(
    r"(?P<comment><!--.*?(?:-->|\Z)|<[!?][^>]{0,2000}>)"
    r"|<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9:-]{0,40}+)"
    r"(?P<rest>(?:[\s/](?:[^\"'<>]{1,2000}+|\"[^\"]{0,2000}\"|'[^']{0,2000}'){0,60}+)?)>",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(
    r"([a-zA-Z][\w:-]{0,40}+)(?:\s{0,20}=\s{0,20}(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'=<>`]+)))?", re.DOTALL
)
_BARE_LINK = re.compile(r"\bhttps?://[^\s<>\"'`\\^{|}]{1,2000}")
_SAME = {"div": "section", "center": "section", "strike": "s", "tt": "code"}
_PLAIN = (
    "b i em strong u s del ins mark small sub sup kbd code var samp p section br hr blockquote pre q cite"
    " ul ol li dl dt dd table caption thead tbody tfoot tr th td details summary h1 h2 h3 h4 h5 h6 span a img"
)
_TAGS = frozenset(_PLAIN.split())
_VOID = frozenset(("br", "hr", "img"))
# What stands inside these is no text for a reader.
_GONE = frozenset(
    "script style textarea title iframe noscript noembed noframes xmp template svg math object select"
    " audio video canvas head".split()
)
_VERBATIM = frozenset(("a", "code", "pre"))
_NUMBER = re.compile(r"[0-9]{1,4}")
_ALIGN = re.compile(r"left|center|right")
_SLUG = re.compile(r"(?!hk-)[\w-]{1,200}")  # the pages' own ids begin with hk-
_CLASS = re.compile(r"language-[\w+#.-]{1,40}|h[a-z]|left|center|right|wide")
_ATTRIBUTES = {
    "ol": {"start": _NUMBER},
    "img": {"width": _NUMBER, "height": _NUMBER},
    "td": {"colspan": _NUMBER, "rowspan": _NUMBER, "class": _CLASS},
    "th": {"colspan": _NUMBER, "rowspan": _NUMBER, "class": _CLASS},
    "code": {"class": _CLASS},
    "span": {"class": _CLASS},
    "section": {"class": _CLASS},
    "details": {"open": re.compile("(?:open)?")},
    **{f"h{level}": {"id": _SLUG} for level in range(1, 7)},
}


def sanitise(html: str, address: Address) -> str:
    """The HTML that may be shown of somebody's HTML; links and images lead where `address` lets them."""
    writer, at = _Writer(address), 0
    lower = html.lower()
    last_end = {name: lower.rfind(f"</{name}") for name in _GONE}
    while token := _TOKEN.search(html, at):
        writer.text(html[at : token.start()])
        at, name = token.end(), (token["name"] or "").lower()
        if name in _GONE and not token["end"] and last_end[name] >= at:
            at = lower.find(f"</{name}", at)
        elif name and token["end"]:
            writer.close(_SAME.get(name, name))
        elif name:
            writer.open(_SAME.get(name, name), dict(_attributes(token["rest"])))
    writer.text(html[at:])
    return writer.finish()


def _attributes(text: str) -> Iterator[tuple[str, str]]:
    for found in _ATTRIBUTE.finditer(text):
        yield found[1].lower(), unescape(found[2] or found[3] or found[4] or "")


class _Writer:
    """What comes out, and which tags are open."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.out: list[str] = []
        self.stack: list[str] = []

    def finish(self) -> str:
        """All of it, with what is open closed."""
        self.out += [f"</{name}>" for name in reversed(self.stack)]
        return "".join(self.out)

    def text(self, text: str) -> None:
        """Text between tags; an address in it becomes a link, as on the Hub."""
        text, at = unescape(text), 0
        for found in () if _VERBATIM.intersection(self.stack) else _BARE_LINK.finditer(text):
            link = _trimmed(found.group())
            self.out.append(escape(text[at : found.start()], quote=False))
            at = found.start() + len(link)
            self.out.append(f"{self._link(link)}{escape(link, quote=False)}</a>")
        self.out.append(escape(text[at:], quote=False))

    def open(self, name: str, attributes: dict[str, str]) -> None:
        """A tag, if it is one of those that are shown."""
        if name == "img":
            self._image(attributes)
        elif name in _VOID:
            self.out.append(f"<{name}>")
        elif name in _TAGS and len(self.stack) < DEPTH_MAX:
            if name == "a" and "a" in self.stack:  # HTML knows no link inside a link
                return
            self.out.append(self._link(attributes.get("href", "")) if name == "a" else _tag(name, attributes))
            self.stack.append(name)

    def close(self, name: str) -> None:
        """An end tag, if something of that name is open; what stands open inside it closes first."""
        if name in self.stack:
            while (inner := self.stack.pop()) != name:
                self.out.append(f"</{inner}>")
            self.out.append(f"</{name}>")

    def _link(self, target: str) -> str:
        href = self.address(target, False) or "#"
        away = ' rel="noopener nofollow noreferrer"' if href.startswith(("http:", "https:")) else ""
        return f'<a href="{escape(href)}"{away}>'

    def _image(self, attributes: dict[str, str]) -> None:
        """An image of the repo; one from elsewhere is not fetched, only named."""
        source, alt = attributes.get("src", ""), attributes.get("alt", "")
        inside = self.address(source, True)
        if inside is not None:
            shown = {"width": attributes.get("width", ""), "height": attributes.get("height", "")}
            tag = _tag("img", {key: value for key, value in shown.items() if value})[:-1]
            self.out.append(f'{tag} src="{escape(inside)}" alt="{escape(alt)}" loading="lazy">')
            return
        label = escape(f"image: {alt or source[:200]}", quote=False)
        if "a" in self.stack or self.address(source, False) is None:
            self.out.append(f"<span>{label}</span>")
        else:
            self.out.append(f"{self._link(source)}{label}</a>")


def _tag(name: str, attributes: dict[str, str]) -> str:
    if name in ("td", "th") and "class" not in attributes and _ALIGN.fullmatch(attributes.get("align", "")):
        attributes = {**attributes, "class": attributes["align"]}
    elif name == "section" and _ALIGN.fullmatch(attributes.get("align", "")):
        attributes = {"class": attributes["align"]}
    known = _ATTRIBUTES.get(name, {})
    kept = [
        f' {key}="{escape(value)}"'
        for key, value in attributes.items()
        if key in known and known[key].fullmatch(value)
    ]
    return f"<{name}{''.join(kept)}>"


def _trimmed(link: str) -> str:
    """An address in running text without the sentence's own punctuation."""
    link = link.rstrip(".,:;!?*_~")
    while link.endswith(")") and link.count(")") > link.count("("):
        link = link[:-1].rstrip(".,:;!?*_~")
    return link
