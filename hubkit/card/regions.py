"""The card on disk: which README.md may be replaced, and which holds somebody's own work.

A card of hubkit's ends with a comment that holds the digest of everything before it. While the digest is
right, nobody has edited the file, and it can be made anew. The comment also tells which template made the
card, where that was not hubkit's own.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Literal

from hubkit import files
from hubkit.card.boilerplate import is_boilerplate as is_boilerplate
from hubkit.errors import CardError

CARD_NAME = "README.md"
_MARKER = re.compile(r"<!-- hubkit:card sha256=([0-9a-f]{64})(?: template=([0-9a-f]{12}))? -->\n*\Z")

Outcome = Literal["written", "unchanged"]


def seal(body: str, template: str | None = None) -> str:
    """The card with its marker; the result ends with one newline.

    `template` is the text of the template that made it, when that is not hubkit's own.
    """
    body = body.rstrip("\n") + "\n\n"
    made_by = f" template={_digest(template)[:12]}" if template is not None else ""
    return f"{body}<!-- hubkit:card sha256={_digest(body)}{made_by} -->\n"


def is_sealed(card: str) -> bool:
    """Whether this is a card of hubkit's that nobody has edited since."""
    card = normal(card)
    found = _MARKER.search(card)
    return found is not None and found[1] == _digest(card[: found.start()])


def has_own_template(card: str) -> bool:
    """Whether a sealed card was made by a template other than hubkit's."""
    found = _MARKER.search(normal(card))
    return found is not None and found[2] is not None


def normal(card: str) -> str:
    """The card with LF line ends: git may have checked it out with CRLF."""
    return card.replace("\r\n", "\n")


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def on_disk(directory: Path) -> str | None:
    """The card that lies in the directory, if there is one. Bytes that are no UTF-8 are kept apart."""
    path = directory / CARD_NAME
    try:
        return path.read_bytes().decode("utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CardError(
            f"cannot read {path}: {error.strerror or error}", "look at what lies there"
        ) from error


def check_replaceable(directory: Path, card: str, force: bool = False) -> Outcome:
    """What writing `card` would do. Raises CardError where it would overwrite somebody's own work."""
    present = on_disk(directory)
    if present == card:
        return "unchanged"
    if present is None or force or not present.strip():
        return "written"
    if not _is_utf8(present):
        raise _refused(directory, "is not UTF-8 text")
    if is_sealed(present) or is_boilerplate(present):
        return "written"
    edited = "<!-- hubkit:card " in present
    raise _refused(directory, "was edited since hubkit wrote it" if edited else "was not written by hubkit")


def _refused(directory: Path, why: str) -> CardError:
    return CardError(
        f"{directory / CARD_NAME} {why}, and would be lost",
        "--force keeps it as README.md.orig and writes the new card",
    )


def write_card(directory: Path, card: str, force: bool = False) -> Outcome:
    """Write the card, atomically. A card that is replaced and was not hubkit's is kept as README.md.orig.

    Raises CardError where the README.md there holds somebody's own work.
    """
    outcome = check_replaceable(directory, card, force)
    if outcome == "unchanged":
        return outcome
    path = directory / CARD_NAME
    if path.is_file() and not _is_ours(on_disk(directory)):
        files.write_atomically(_free_name(directory), path.read_bytes())
    files.write_atomically(path, card.encode())
    return outcome


def _is_ours(card: str | None) -> bool:
    return card is None or not card.strip() or (_is_utf8(card) and is_sealed(card))


def _is_utf8(card: str) -> bool:
    """Whether the file was UTF-8: bytes that were not came through as lone surrogates."""
    return not re.search("[\udc80-\udcff]", card)


def _free_name(directory: Path) -> Path:
    """README.md.orig, or the first such name with a number that is not taken."""
    path = directory / f"{CARD_NAME}.orig"
    number = 1
    while path.exists():
        path = directory / f"{CARD_NAME}.orig.{number}"
        number += 1
    return path
