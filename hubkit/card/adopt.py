"""The first time hubkit meets somebody's card: their text stays, and hubkit's regions are put beside it.

What PEFT, TRL, the Trainer or a template left unsaid goes. The regions stand behind the author's heading
and introduction, the footer at the end. A section that the author has is not written a second time, where it
holds words and no measured facts.
"""

from __future__ import annotations

from hubkit.card import outline
from hubkit.card.boilerplate import without_placeholders
from hubkit.card.regions import Piece

TITLE, FOOTER = "title", "footer"
# Regions of words, and the headings under which authors say the same.
_SAID_UNDER = {
    "intended-use": {"intended use", "intended uses", "intended uses & limitations", "uses", "direct use"},
    "out-of-scope": {"out-of-scope use", "out of scope use", "out of scope", "out-of-scope"},
    "limitations": {
        "limitations", "limitations and bias", "limitations and risks", "known limitations",
        "bias, risks, and limitations", "bias, risks and limitations", "局限性", "局限", "한계", "제한 사항",
        "limitaciones", "limitações", "limites", "einschränkungen",
    },
    "citation": {"citation", "citations", "how to cite", "cite", "bibtex"},
    "license": {
        "license", "licence", "license information", "licensing", "许可证", "许可", "라이선스", "licencia",
        "licença", "lizenz",
    },
    "authors": {
        "authors", "author", "authors and contact", "contact", "model card authors", "model card contact",
    },
}  # fmt: skip


def said_already(body: str) -> set[str]:
    """The names of regions that say what the author's own headings and sections say."""
    heads = [line for line in outline.lines(body) if line.level]
    titles = {line.title.lower().removesuffix("[optional]").strip(" :*_") for line in heads}
    said = {name for name, headings in _SAID_UNDER.items() if headings & titles}
    return said | ({TITLE} if any(line.level == 1 for line in heads) else set())


def from_older(theirs: list[Piece], ours: list[Piece], newline: str) -> str:
    """The body of a card of hubkit's older form, without its marker, the parts that are as now in regions."""
    body = "".join(piece.raw for piece in theirs if piece.kind != "card")
    for piece in ours:
        text = piece.content.strip("\n").replace("\n", newline) if piece.kind == "region" else ""
        at = f"{newline}{body}".find(f"{newline}{text}{newline}") if text else -1
        if at >= 0:
            body = body[:at] + piece.raw.replace("\n", newline) + body[at + len(text) + len(newline) :]
    return body


def adopt(body: str, ours: list[Piece], newline: str) -> tuple[str, set[str]]:
    """The author's text with hubkit's regions in it, and the names of those that were left out.

    `ours` are the regions and the card's marker, in order; their line ends become `newline`.
    """
    body = without_placeholders(body)
    lines = outline.lines(body)
    left_out = said_already(body)
    heading = next((at for at, line in enumerate(lines) if line.level == 1), None)
    inside = outline.inside_html(lines)  # there, hubkit's regions would be folded away or put in a box
    heads = (at for at, line in enumerate(lines) if line.level and at not in inside)
    until = next((at for at in heads if heading is None or at > heading), len(lines))
    introduction = "".join(line.raw for line in lines[:until])
    sections = "".join(line.raw for line in lines[until:])
    regions = [piece for piece in ours if piece.name not in left_out]
    top = [piece for piece in regions if piece.name == TITLE]
    end = [piece for piece in regions if piece.name == FOOTER or piece.kind == "card"]
    middle = [piece for piece in regions if piece not in top and piece not in end]
    text = ""
    for part in (top, introduction, middle, sections, end):
        if isinstance(part, str):
            text = _below(text, part, newline)
        else:
            for piece in part:
                text = _below(text, piece.raw.replace("\n", newline), newline)
    return text, left_out & {piece.name for piece in ours}


def _below(text: str, more: str, newline: str) -> str:
    """The one below the other, with a blank line between them."""
    if not text.strip() or not more.strip():
        return text + more
    text += "" if text.endswith("\n") else newline
    blank_between = text.endswith(("\n\n", "\n\r\n")) or more.startswith(("\n", "\r\n"))
    return text + ("" if blank_between else newline) + more
