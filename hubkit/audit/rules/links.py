"""Links: those within the repo and within the card must lead somewhere."""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote

from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.subject import Subject

_SCHEME = re.compile(r"[a-zA-Z][\w+.-]*:|//")
_ANCHOR = re.compile(r"<[a-zA-Z]\w*\b[^>]{0,300}?\b(?:id|name)\s*=\s*[\"']?([^\"'\s>]+)")


@rule("HK510", "warning", title="A link to a file that is not there")
def dead(subject: Subject) -> Iterator[Fault]:
    """A relative link leads to a file of the same repo. Pictures and files that were not pushed leave a hole.

    Bad:

        ![Loss](figures/loss.png)

    Good:

        See the [configuration](adapter_config.json).
    """
    folders = {parent for name in subject.files for parent in _parents(name)}
    for one in (*subject.document.links, *subject.document.images):
        path = _relative(one.target)
        if not path or path in subject.files or path in folders:
            continue
        yield found(
            one.line,
            "The card links a file that does not lie beside it.",
            says=one.target,
            mend="add the file, or give its whole address",
        )


def _parents(name: str) -> Iterator[str]:
    while name := posixpath.dirname(name):
        yield name


def _relative(target: str) -> str | None:
    """The path below the card that a target names; None for whatever is no such path."""
    target = html.unescape(target.strip())
    if not target or target.startswith(("#", "/", "?")) or _SCHEME.match(target) or "@" in target:
        return None
    if re.match(r"(?:www\.|[\w-]+\.(?:com|org|io|co|ai|net|dev)(?:/|$))", target):
        return None  # an address without its scheme: a fault of another kind
    path = posixpath.normpath(unquote(re.split(r"[?#]", target)[0]) or ".")
    path = re.sub(r"^(?:\./)?(?:blob|resolve|raw|tree)/main/", "", path)
    return None if path == "." else path


@rule("HK511", "warning", title="A link to itself")
def itself(subject: Subject) -> Iterator[Fault]:
    """A link such as `[repository](.)` leads to the page that the reader is on: an address that somebody
    meant to fill in.

    Bad:

        See the [project repository](.) for more.

    Good:

        See the [project repository](https://github.com/huggingface/peft) for more.
    """
    for one in subject.document.links:
        if one.target.strip() in (".", "./", "./README.md", "README.md"):
            yield found(
                one.line,
                "The link leads to the card itself.",
                says=f"[{one.text}]({one.target})",
                mend="give the address that was meant, or drop the link",
            )


@rule("HK512", "warning", title="A link to a heading that is not there")
def anchor(subject: Subject) -> Iterator[Fault]:
    """A link within the card leads to a heading by its words.

    Bad:

        # My adapter

        See [below](#results).

    Good:

        # My adapter

        See [below](#results).

        ## Results
    """
    document = subject.document
    anchors = {_letters(heading.text) for heading in document.headings}
    anchors |= {_letters(found) for found in _ANCHOR.findall(document.text)}
    for one in document.links:
        target = one.target.strip()
        wanted = _letters(unquote(target[1:])) if target.startswith("#") else ""
        # A heading that stands twice gets a number: #results-1.
        if wanted and wanted not in anchors and re.sub(r"\d+$", "", wanted) not in anchors:
            yield found(
                one.line, "The card has no such heading.", says=target, mend="name a heading that it has"
            )


def _letters(text: str) -> str:
    """Letters and digits alone: programs differ in what they make of all other signs."""
    return "".join(c for c in text.lower() if c.isalnum())
