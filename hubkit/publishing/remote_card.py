"""The card that lies on the Hub: whether a push may replace it, or somebody's words would be lost.

A push replaces a card that hubkit wrote and nobody edited since, and one that hubkit pushed: every commit of
hubkit's tells the digest of its card, so that the history knows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import msgspec

from hubkit import record
from hubkit.card import regions
from hubkit.card.boilerplate import is_boilerplate
from hubkit.errors import CardError
from hubkit.hub import Hub, RemoteFile
from hubkit.publishing.contents import CARD_NAME
from hubkit.record import Written


class _Recorded(msgspec.Struct):
    """Of a record, of whatever version, what hubkit wrote last."""

    written: Written | None = None


LARGEST = 1_000_000  # bytes of a card that is looked at
_PUSHED = re.compile(r"\bREADME\.md sha256:([0-9a-f]{64})\b")


def description(card_sha256: str) -> str:
    """What a commit of hubkit's says below its title."""
    return f"Published with hubkit; README.md sha256:{card_sha256}"


def fetch(hub: Hub, repo_id: str, commit: str | None, remote: Mapping[str, RemoteFile]) -> bytes | None:
    """The card at a commit; None where there is none, and for one that is too large to be a card."""
    theirs = remote.get(CARD_NAME)
    if commit is None or theirs is None or theirs.size > LARGEST:
        return None
    return hub.read(repo_id, CARD_NAME, commit)


def refusal(
    hub: Hub, repo_id: str, commit: str | None, remote: Mapping[str, RemoteFile], card: bytes | None
) -> CardError | None:
    """Why the card at a commit may not be replaced, if it may not; `card` is what `fetch` gave."""
    if commit is None or CARD_NAME not in remote:
        return None
    if card is not None and (
        _is_blank(card)
        or (_is_hubkits(card) and not _was_cut(hub, repo_id, commit, remote, card))
        or _was_pushed(hub, repo_id, commit, card)
    ):
        return None
    edited = card is not None and b"<!-- hubkit:card " in card
    why = "was edited there" if edited else "was written or edited there"
    return CardError(
        f"the card of {repo_id} on the Hub {why}, and would be lost",
        "--create-pr proposes this one instead; --force replaces it, and the history keeps it",
    )


def _is_blank(card: bytes) -> bool:
    """Whether nobody wrote anything into this card."""
    text = card.decode("utf-8", "replace")
    return not text.strip() or is_boilerplate(text)


def _is_hubkits(card: bytes) -> bool:
    """Whether hubkit wrote every byte of it."""
    try:
        return regions.is_sealed(card.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _was_cut(hub: Hub, repo_id: str, commit: str, remote: Mapping[str, RemoteFile], card: bytes) -> bool:
    """Whether somebody took regions out of this card since hubkit wrote it, by the record beside it."""
    if record.RECORD_NAME not in remote or remote[record.RECORD_NAME].size > LARGEST:
        return False
    try:
        known = msgspec.json.decode(hub.read(repo_id, record.RECORD_NAME, commit), type=_Recorded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    written = known.written.regions if known.written else []
    return not set(written) <= set(regions.names(card.decode("utf-8")))


def _was_pushed(hub: Hub, repo_id: str, commit: str, card: bytes) -> bool:
    """Whether a commit of hubkit's brought this card."""
    digest = hashlib.sha256(card).hexdigest()
    return any(digest in _PUSHED.findall(message) for message in hub.messages(repo_id, commit).values())
