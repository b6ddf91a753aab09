"""What the record remembers of a push: which card went there. By that the next one tells who changed what.

It is written before the push, and goes along with it. Where the directory cannot be written to, the push does
without.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from hubkit import record
from hubkit.errors import CardError
from hubkit.hub import RemoteFile
from hubkit.publishing import remote_card
from hubkit.publishing.draft import Overlay
from hubkit.publishing.merging import Settled

MOST_REMEMBERED = 4  # cards that were published from a directory


def remember(settled: Settled, onto: str | None, there: RemoteFile | None, ours: bytes) -> Settled:
    """With a record that tells which card is published, where another one is there.

    `onto` is the commit that the directory takes account of.

    In a directory that cannot be written to, the record stays as it is, with a note; where more than that
    would have to be written, the push is refused.
    """
    before = settled.overlay
    over = _remembering(settled, onto, there, ours)
    if not over.changes or over.can_be_written:
        return replace(settled, overlay=over)
    if before.changes and not settled.refusal:
        names = ", ".join(before.changes)
        refusal = CardError(
            f"{over.directory} cannot be written to, and {names} must be written anew before the push",
            "copy the directory to where you may write, and publish the copy",
        )
        return replace(settled, refusal=refusal)
    note = (
        f"{over.directory} cannot be written to, so {record.RECORD_NAME} does not remember what is published"
    )
    return replace(settled, notes=(*settled.notes, note))


def _remembering(settled: Settled, onto: str | None, there: RemoteFile | None, ours: bytes) -> Overlay:
    over = settled.overlay
    card = over.card or ours
    if remote_card.is_same(card, there) and not settled.taken:
        return over
    known = over.record.pushed.cards if over.record.pushed else []
    cards = list(dict.fromkeys([remote_card.digest(card), *known]))[:MOST_REMEMBERED]
    pushed = record.Pushed(cards=cards, onto=onto)
    if pushed == over.record.pushed:
        return over
    return over.remember(msgspec.structs.replace(over.record, pushed=pushed))
