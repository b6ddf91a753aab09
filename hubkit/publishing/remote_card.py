"""The card that lies on the Hub: whether a push may replace it, or somebody's words would be lost.

A push replaces a card that hubkit wrote and nobody edited since, and one that hubkit pushed: every commit of
hubkit's tells the digest of its card, so that the history knows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from hubkit.card import regions
from hubkit.card.boilerplate import is_boilerplate
from hubkit.errors import CardError
from hubkit.hub import Hub, RemoteFile
from hubkit.publishing.contents import CARD_NAME

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
    if card is not None and (_is_nobodys(card) or _was_pushed(hub, repo_id, commit, card)):
        return None
    edited = card is not None and b"<!-- hubkit:card " in card
    why = "was edited there" if edited else "was written or edited there"
    return CardError(
        f"the card of {repo_id} on the Hub {why}, and would be lost",
        "--create-pr proposes this one instead; --force replaces it, and the history keeps it",
    )


def _is_nobodys(card: bytes) -> bool:
    try:
        text = card.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not text.strip() or regions.is_sealed(text) or is_boilerplate(text)


def _was_pushed(hub: Hub, repo_id: str, commit: str, card: bytes) -> bool:
    """Whether a commit of hubkit's brought this card."""
    digest = hashlib.sha256(card).hexdigest()
    return any(digest in _PUSHED.findall(message) for message in hub.messages(repo_id, commit))
