"""Record and card as they would be written for a repo: written before a push, only shown by a dry run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from hubkit import record
from hubkit.card import facts, figures, fragments, regions, writing
from hubkit.card.writing import Outcome, Prepared, Wishes
from hubkit.record import Author, Record


@dataclass(frozen=True, slots=True)
class Draft:
    """A record and the card that it makes, with the figures that were drawn for it."""

    record: Record
    prepared: Prepared
    images: Mapping[str, bytes] = field(default_factory=dict)
    unlinked: tuple[str, ...] = ()  # hubkit's figures that the card does not link

    @property
    def files(self) -> Mapping[str, bytes]:
        """The bytes of all, by name."""
        card = self.prepared.merged.text.encode(errors="surrogateescape")
        return {record.RECORD_NAME: record.to_bytes(self.record), regions.CARD_NAME: card, **self.images}

    def write(self, directory: Path) -> Outcome:
        """Write all, the record where it says something new."""
        figures.write(directory, self.images)
        outcome = self.prepared.write()
        if self.record != record.read(directory):
            record.write(directory, self.record)
        figures.remove(directory, self.unlinked)
        return outcome


def draft(
    directory: Path,
    repo_id: str,
    author: Author | None = None,
    template: Path | None = None,
    how: figures.How = "keep",
    force: bool = False,
) -> Draft:
    """The record with this repo and what `author` adds, and the card of that.

    `how` says what becomes of its figures; `force` replaces regions that were edited by hand. Raises
    CardError where the card must not be written.
    """
    known = record.read(directory)
    told = msgspec.structs.replace(known, repo_id=repo_id, author=facts.merge_authors(known.author, author))
    found = facts.gather(directory, record=told)
    if known.written and known.written.no_figures:
        how = "leave out"
    settled = figures.settled(found, how)
    prepared = writing.prepare(settled.facts, known.written, template, Wishes(force=force))
    told = msgspec.structs.replace(
        told,
        written=prepared.checked().written,
        author=found.author,  # what a card/ folder says too: the folder is not published
        author_files=fragments.names(directory),
    )
    return Draft(told, prepared, settled.images, settled.unlinked)


def for_repo(directory: Path, repo_id: str) -> Draft | None:
    """The draft for a repo where the card is hubkit's and was written for another one, or for none."""
    card = regions.on_disk(directory)
    if card is None or not regions.is_touched(card) or regions.has_own_template(card):
        return None
    return draft(directory, repo_id) if record.read(directory).repo_id != repo_id else None
