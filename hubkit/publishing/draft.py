"""Record and card as they would be written for a repo: written before a push, only shown by a dry run.

A draft is made from the facts. An overlay is what a push puts over the directory, whatever it comes from: a
draft, a card that was joined with the Hub's, a record that remembers what was published.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from hubkit import files, record
from hubkit.card import facts, figures, fragments, regions, writing
from hubkit.card.writing import Outcome, Prepared, Wishes
from hubkit.errors import HubkitError
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


@dataclass(frozen=True, slots=True)
class Overlay:
    """Files that a push writes to the directory before it, over those that lie there."""

    directory: Path
    record: Record
    files: Mapping[str, bytes] = field(default_factory=dict)
    before: Mapping[str, bytes | None] = field(default_factory=dict)  # what lay there when it was planned
    unlinked: tuple[str, ...] = ()
    loses: bool = False  # words that the card there holds

    @property
    def card(self) -> bytes | None:
        """The card, where it is another than the one that lies there."""
        return self.files.get(regions.CARD_NAME)

    @property
    def changes(self) -> list[str]:
        """The names of the files that are other than what lies there."""
        return [name for name, content in self.files.items() if content != self.before[name]]

    @property
    def original(self) -> Path | None:
        """Where the card that lies there is kept, if the new one lacks words of it."""
        loses = self.loses and regions.CARD_NAME in self.changes and self.before[regions.CARD_NAME]
        return writing.original_name(self.directory / regions.CARD_NAME) if loses else None

    @property
    def can_be_written(self) -> bool:
        """Whether files may be made in the directory: it can be another's, or mounted to be read only."""
        return os.access(self.directory, os.W_OK | os.X_OK)

    def put(self, name: str, content: bytes, over: bytes | None = None) -> Overlay:
        """The same with one file more, or another in its place; `over` is what lay there when it was read."""
        before = self.before if name in self.before else {**self.before, name: over or self._there(name)}
        return replace(self, files={**self.files, name: content}, before=before)

    def remember(self, known: Record) -> Overlay:
        """The same with this record."""
        return replace(self.put(record.RECORD_NAME, record.to_bytes(known)), record=known)

    def write(self) -> None:
        """Write what differs, each file beside its place and then renamed; the record last.

        Raises HubkitError where somebody changed one of them since they were read.
        """
        for name in self.files:
            if self._there(name) != self.before[name]:
                raise HubkitError(f"{self.directory / name} changed meanwhile", "run the command again")
        new = {name: self.files[name] for name in self.changes}
        ours = (regions.CARD_NAME, record.RECORD_NAME)
        figures.write(self.directory, {name: content for name, content in new.items() if name not in ours})
        if self.original:
            writing.keep_original(self.directory / regions.CARD_NAME)
        for name in ours:
            if name in new:
                files.write_atomically(self.directory / name, new[name])
        figures.remove(self.directory, self.unlinked)

    def _there(self, name: str) -> bytes | None:
        path = self.directory / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            why = error.strerror or str(error)
            raise HubkitError(f"cannot read {path}: {why}", "look at what lies there") from error


def overlay(directory: Path, draft: Draft | None = None) -> Overlay:
    """What a draft puts over a directory; without one, nothing."""
    if draft is None:
        return Overlay(directory, record.read(directory))
    made = Overlay(directory, draft.record, unlinked=draft.unlinked, loses=draft.prepared.merged.lost)
    if (present := draft.prepared.present) is not None:
        over = present.encode(errors="surrogateescape")
        made = made.put(regions.CARD_NAME, draft.files[regions.CARD_NAME], over)
    for name, content in draft.files.items():
        made = made.put(name, content)
    return made
