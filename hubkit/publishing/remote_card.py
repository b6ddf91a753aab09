"""The card that lies on the Hub: may a push replace it, and what do it and the one here both come from?

A push replaces a card that hubkit wrote and nobody edited since. One that was edited is joined with the one
here (merging.py), on the card that both come from: the record here remembers the digests of what was
published from here, and every commit of hubkit's tells the digest of its card, so that the history has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from hubkit import record
from hubkit.card import regions
from hubkit.card.boilerplate import is_boilerplate
from hubkit.errors import CardError
from hubkit.hub import Hub, RemoteFile
from hubkit.publishing import traces
from hubkit.publishing.contents import CARD_NAME
from hubkit.record import Pushed, Written


class _Recorded(msgspec.Struct):
    """Of a record, of whatever version, what hubkit wrote last, and which cards it published."""

    written: Written | None = None
    pushed: Pushed | None = None


LARGEST = 1_000_000  # bytes of a card that is looked at
WAYS_OUT = "--create-pr proposes this one instead; --force replaces it, and the history keeps it"


def description(card_sha256: str, joined: bool = True) -> str:
    """What a commit of hubkit's says below its title."""
    said = f"{traces.MARK}; README.md sha256:{card_sha256}"
    return said if joined else said + traces.NOT_JOINED


def fetch(hub: Hub, repo_id: str, commit: str | None, remote: Mapping[str, RemoteFile]) -> bytes | None:
    """The card at a commit; None where there is none, and for one that is too large to be a card."""
    theirs = remote.get(CARD_NAME)
    if commit is None or theirs is None or theirs.size > LARGEST:
        return None
    return hub.read(repo_id, CARD_NAME, commit)


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A commit on the Hub that the directory here takes account of, and the digest of its card if told."""

    commit: str
    told: str | None = None


def ancestor(
    hub: Hub, repo_id: str, commit: str, card: bytes | None, pushed: Pushed | None
) -> Ancestor | None:
    """The newest commit of a history that the directory here takes account of; None where none is known.

    `card` is the one at `commit`, and `pushed` what was published from here: the newest of these cards, else
    the commit that it was written onto, else an older card. An older one may lie there because somebody put
    it back, so the history tells; only one that is newer than all that it tells is believed, a proposal of
    ours that was merged. Where nothing is known of what was published from here, it is the commit that hubkit
    made last, unless that directory keeps count.
    """
    if pushed is None:
        return _last_of_hubkit(hub, repo_id, commit)
    rank = {card: 2 * age for age, card in enumerate(pushed.cards)}
    best, found = max(2, 2 * len(rank)), None
    for made, message in traces.standing(hub.messages(repo_id, commit)):
        told = traces.card(message)
        place = min(rank.get(told or "", best), 1 if made == pushed.onto else best)
        if place < best:
            best, found = place, Ancestor(made, told if told in rank else None)
        if not traces.joins(message):
            break  # what is there does not come from what was before
    now = digest(card) if card is not None else ""
    if rank.get(now, best) < best and (found or not rank[now]):
        return Ancestor(commit, now)
    return found


def _last_of_hubkit(hub: Hub, repo_id: str, commit: str) -> Ancestor | None:
    """The commit of hubkit's that told of a card last, unless its directory keeps count."""
    for made, message in traces.standing(hub.messages(repo_id, commit)):
        if told := traces.card(message):
            counts = _recorded(hub, repo_id, made, hub.files(repo_id, made)).pushed
            return None if counts else Ancestor(made, told)
    return None


def base(hub: Hub, repo_id: str, commit: str, card: bytes, pushed: Pushed | None) -> bytes | None:
    """The card that the one on the Hub and the one here both come from; None where that is not known."""
    if pushed and pushed.cards[:1] == [digest(card)]:
        return card
    found = ancestor(hub, repo_id, commit, card, pushed)
    return _card_of(hub, repo_id, found.commit, found.told) if found else None


def refusal(
    hub: Hub, repo_id: str, commit: str | None, remote: Mapping[str, RemoteFile], card: bytes | None
) -> CardError | None:
    """Why the card at a commit may not be replaced as it is, if it may not; `card` is what `fetch` gave."""
    if commit is None or CARD_NAME not in remote:
        return None
    if card is not None and (
        is_blank(card) or (_is_hubkits(card) and not _was_cut(hub, repo_id, commit, remote, card))
    ):
        return None
    if card is not None and _was_published(hub, repo_id, commit, card):
        return CardError(
            f"{repo_id} holds a card that was not published from this directory, and it would be lost",
            f"check --repo-id; if it is right, {WAYS_OUT}",
        )
    edited = card is not None and b"<!-- hubkit:card " in card
    why = "was edited there" if edited else "was written or edited there"
    return CardError(f"the card of {repo_id} on the Hub {why}, and would be lost", WAYS_OUT)


def _was_published(hub: Hub, repo_id: str, commit: str, card: bytes) -> bool:
    """Whether a commit of hubkit's brought this very card."""
    now = digest(card)
    return any(traces.card(message) == now for message in hub.messages(repo_id, commit).values())


def refusal_for_good(
    hub: Hub, repo_id: str, commit: str, remote: Mapping[str, RemoteFile]
) -> CardError | None:
    """Why no card could be put in the place of the one at a commit: it is none that hubkit published."""
    no = refusal(hub, repo_id, commit, remote, fetch(hub, repo_id, commit, remote))
    if no is None or any(traces.is_hubkits(message) for message in hub.messages(repo_id, commit).values()):
        return None
    return no


def is_blank(card: bytes) -> bool:
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
    known = _recorded(hub, repo_id, commit, remote)
    written = known.written.regions if known.written else []
    return not set(written) <= set(regions.names(card.decode("utf-8")))


def _recorded(hub: Hub, repo_id: str, commit: str, remote: Mapping[str, RemoteFile]) -> _Recorded:
    """What the record at a commit says; nothing where there is none that can be read."""
    if record.RECORD_NAME not in remote or remote[record.RECORD_NAME].size > LARGEST:
        return _Recorded()
    try:
        return msgspec.json.decode(hub.read(repo_id, record.RECORD_NAME, commit), type=_Recorded)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Recorded()


def _card_of(hub: Hub, repo_id: str, commit: str, told: str | None = None) -> bytes | None:
    """The card of a commit, if it is the one with this digest."""
    card = fetch(hub, repo_id, commit, hub.files(repo_id, commit))
    return card if card is None or told in (None, digest(card)) else None


def digest(card: bytes) -> str:
    """The digest that hubkit's commits tell of a card."""
    return hashlib.sha256(card).hexdigest()


def is_same(card: bytes, remote: RemoteFile | None) -> bool:
    """Whether the Hub holds this card."""
    blob = hashlib.sha1(b"blob %d\0" % len(card) + card).hexdigest()
    return remote is not None and (remote.sha256 == digest(card) if remote.sha256 else remote.oid == blob)
