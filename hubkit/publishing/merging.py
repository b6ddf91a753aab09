"""What becomes of a card that was edited on the Hub: its author's edits are joined with the card here.

Nothing that somebody wrote there is lost: what cannot be joined stops the push, with the place, until the
user decides. The joined card is written to the directory before it is pushed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from hubkit.card import facts, regions, text, writing, yaml_spans
from hubkit.card.joined import Clash, join
from hubkit.errors import CardError, HeadMoved
from hubkit.hub import Hub, RemoteFile
from hubkit.publishing import remote_card, replaced
from hubkit.publishing.contents import CARD_NAME
from hubkit.publishing.draft import Draft, Overlay

MOST_TOLD = 40  # characters of a line in a message


@dataclass(frozen=True, slots=True)
class There:
    """A commit of a repo, and the card that it holds where a push would replace it."""

    hub: Hub
    repo_id: str
    commit: str
    files: Mapping[str, RemoteFile]
    card: bytes | None  # None: larger than any card is


@dataclass(frozen=True, slots=True)
class Since:
    """The card that a plan was made on, when it is made again on another commit; None: there was none."""

    card: bytes | None


@dataclass(frozen=True, slots=True)
class Settled:
    """The overlay with the card to push, what it took over from the Hub, and why it may not go there."""

    overlay: Overlay
    taken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: CardError | None = None
    base: bytes | None = None
    accounts: bool = True  # for what is there: nothing of it is missing here, unless it was meant to go

    @property
    def line(self) -> str | None:
        """What was taken over, for a person."""
        if not self.taken:
            return None
        return f"kept {text.plural(len(self.taken), 'edit')} made on the Hub: {', '.join(self.taken)}"


@dataclass(frozen=True, slots=True)
class Here:
    """The card of a push, and what the directory holds for it."""

    overlay: Overlay
    card: bytes
    draft: Draft | None = None
    force: bool = False  # the card there may be replaced
    proposes: bool = False  # nothing is replaced, only proposed
    since: Since | None = field(default=None)


def settle(there: There, here: Here) -> Settled:
    """Join the card here with the one there, if somebody edited that.

    Raises HeadMoved where it was edited since the plan was made, in the same place.
    """
    if there.card == here.card:
        return Settled(here.overlay)
    if here.force and here.since is None:
        return replace(_beside(here), notes=_replacing(there, here))
    if there.card is None and here.since:
        raise _moved(there, [])
    if there.card is None or remote_card.is_blank(there.card):
        return _refused(there, here)
    base = here.since.card if here.since else _base(there, here)
    if base is None:
        if here.since:
            raise _moved(there, [])
        return _refused(there, here)
    if base == there.card:
        return Settled(here.overlay, base=base)
    try:
        return _joined(there, here, base)
    except UnicodeDecodeError:
        no = CardError(f"the card of {there.repo_id} on the Hub is not UTF-8 text", remote_card.WAYS_OUT)
    except CardError as error:
        no = CardError(f"the card of {there.repo_id} on the Hub: {error.message}", remote_card.WAYS_OUT)
    return _beside(here) if here.proposes else Settled(here.overlay, refusal=no)


def _base(there: There, here: Here) -> bytes | None:
    assert there.card is not None
    pushed = here.overlay.record.pushed
    return remote_card.base(there.hub, there.repo_id, there.commit, there.card, pushed)


def _refused(there: There, here: Here) -> Settled:
    """The card here as it is, where the one there may be replaced or stays beside it."""
    if here.force or here.proposes:
        return _beside(here)
    no = remote_card.refusal(there.hub, there.repo_id, there.commit, there.files, there.card)
    return Settled(here.overlay, refusal=no)


def _beside(here: Here) -> Settled:
    """The card here as it is, proposed or put by force: neither is to have seen the one there."""
    return Settled(here.overlay, accounts=False)


def taken_out(there: There, here: Here) -> tuple[str, ...]:
    """A word where there is no card any more at a repo to which the one here was published."""
    pushed = here.overlay.record.pushed
    found = remote_card.ancestor(there.hub, there.repo_id, there.commit, None, pushed) if pushed else None
    if found is None or CARD_NAME not in there.hub.files(there.repo_id, found.commit):
        return ()
    return (f"{CARD_NAME} of {there.repo_id} was deleted on the Hub, and is put there again",)


def _replacing(there: There, here: Here) -> tuple[str, ...]:
    """What a forced push puts its card in the place of, where somebody else wrote there."""
    kept = f"; the history keeps it (commit {there.commit[:12]})"
    base = _base(there, here) if there.card is not None else None
    if base is not None and base == there.card:
        return ()
    if base is None or there.card is None:
        no = remote_card.refusal(there.hub, there.repo_id, there.commit, there.files, there.card)
        return (
            (f"replaces the card of {there.repo_id}, which this directory does not have{kept}",) if no else ()
        )
    with contextlib.suppress(UnicodeDecodeError, CardError):
        was, theirs = base.decode("utf-8"), there.card.decode("utf-8")
        if not replaced.is_another(was, theirs) and (edits := join(was, was, theirs).taken):
            return (f"replaces what was edited on the Hub: {', '.join(edits)}{kept}",)
    return (f"replaces the card that somebody put there instead of the published one{kept}",)


def _joined(there: There, here: Here, base: bytes) -> Settled:
    assert there.card is not None
    ours, theirs = here.card.decode("utf-8"), there.card.decode("utf-8")
    was = base.decode("utf-8")
    if regions.has_own_front_matter(theirs):  # another hubkit's, with nothing of an author's in it
        theirs = regions.split(was).head + regions.split(theirs).body
    if replaced.is_another(was, theirs):
        taken_over = replaced.is_taken_over(was, ours, theirs)
        return Settled(here.overlay, base=base) if taken_over else _rewritten(there, here)
    written = here.overlay.record.written
    made = join(was, ours, theirs, written.metadata if written else {})
    if made.clashes:
        if here.since:
            raise _moved(there, made.clashes)
        if here.proposes:
            return _beside(here)
        return Settled(here.overlay, refusal=_clashing(there, made.clashes), base=base)
    if made.text == ours:
        return Settled(here.overlay, base=base)
    overlay, notes = _over(here, made.text, ours)
    if replaced.takes_out(ours, (overlay.card or here.card).decode("utf-8", "replace")):
        overlay = replace(overlay, loses=True)
    taken = [one for one in made.taken if not _gave_way(one, made.text, overlay)]
    return Settled(overlay, tuple(taken), notes, base=base)


def _rewritten(there: There, here: Here) -> Settled:
    """What becomes of a card there that somebody wrote in the place of the published one."""
    if here.since:
        raise _moved(there, [])
    if here.proposes:
        return _beside(here)
    no = CardError(
        f"somebody put another card in the place of the one of {there.repo_id} that was published,"
        " and it would be lost",
        f"{remote_card.WAYS_OUT}; or write there what the Hub has, and run the command again",
    )
    return Settled(here.overlay, refusal=no)


def _over(here: Here, card: str, ours: str) -> tuple[Overlay, tuple[str, ...]]:
    """The overlay with a joined card, as hubkit writes it from the record where it is hubkit's."""
    overlay, draft = here.overlay, here.draft
    if not regions.is_touched(ours) or regions.has_own_template(ours):
        return overlay.put(CARD_NAME, card.encode(), here.card), ()
    known = draft.prepared.facts if draft else facts.gather(overlay.directory, record=overlay.record)
    merged = writing.prepare(known, overlay.record.written, instead=card).checked()
    told = msgspec.structs.replace(overlay.record, written=merged.written)
    overlay = overlay.put(CARD_NAME, merged.text.encode(errors="surrogateescape"), here.card)
    # Without those on regions: `taken` tells them, and the options that they name are those of `hubkit card`.
    return overlay.remember(told), tuple(note for note in merged.notes if "; --" not in note)


def _gave_way(key: str, joined: str, overlay: Overlay) -> bool:
    """Whether this is a key of the front matter that the adapter contradicts; a note tells that."""
    found = [
        yaml_spans.read(regions.split(regions.normal(card)).yaml or "").entries.get(key)
        for card in (joined, (overlay.card or b"").decode(errors="replace"))
    ]
    was, now = (entry.value if entry else None for entry in found)
    return isinstance(was, str) and was != now


def _clashing(there: There, clashes: list[Clash]) -> CardError:
    return CardError(
        f"the card of {there.repo_id} was changed on the Hub and here, each in its own way: {_told(clashes)}",
        f"{remote_card.WAYS_OUT}; or write there what the Hub has, and run the command again;"
        " --dry-run shows the whole difference",
    )


def _told(clashes: list[Clash]) -> str:
    places = [clash.what + _place(clash) for clash in clashes[:3]]
    more = len(clashes) - len(places)
    return ", ".join(places) + (f" and {text.plural(more, 'place')} more" if more else "")


def _place(clash: Clash) -> str:
    if not clash.line:
        return ""
    both = f": {_short(clash.here)} here, {_short(clash.there)} there" if clash.here or clash.there else ""
    return f" ({CARD_NAME}, line {clash.line}{both})"


def _short(line: str) -> str:
    """A line of somebody's card, fit to be told in one of ours."""
    return repr(line if len(line) <= MOST_TOLD else line[: MOST_TOLD - 3] + "...") if line else "none"


def _moved(there: There, clashes: list[Clash]) -> HeadMoved:
    how = f", and so did you: {_told(clashes)}" if clashes else ""
    return HeadMoved(
        f"somebody else changed {CARD_NAME} of {there.repo_id} since the plan was made{how}",
        f"look at {there.hub.endpoint}/{there.repo_id}/commits/main, then run the command again",
    )
