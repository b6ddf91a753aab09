"""A card from facts to disk: rendered, merged with the README.md that is there, written, and a copy kept."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from hubkit import files, tasks
from hubkit.card import front_matter, merge, regions, snippets, words, yaml_spans
from hubkit.card.facts import Facts
from hubkit.card.regions import CARD_NAME
from hubkit.card.render import render
from hubkit.card.usage import code_sha256, usage
from hubkit.errors import CardError
from hubkit.record import Written

Outcome = Literal["written", "unchanged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user wants of regions that were edited or taken out; `told` are fields that are said now."""

    keep: Collection[str] = ()
    force: bool = False
    restore: bool = False
    told: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A card that is ready to be written, or shown; `facts` know what the author's front matter says."""

    facts: Facts
    present: str | None
    merged: merge.Merged

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.facts.adapter.directory / CARD_NAME

    @property
    def outcome(self) -> Outcome:
        """What writing would do."""
        return "unchanged" if self.merged.text == self.present else "written"

    def checked(self) -> merge.Merged:
        """The merged card. Raises CardError, with the command to run, where a region was edited by hand."""
        if self.merged.conflicts:
            raise edited(self.facts.adapter.directory, self.merged.conflicts[0].name)
        return self.merged

    def diff(self) -> str:
        """A unified diff from the card on disk to this one."""
        old, new = _printable(self.present or ""), _printable(self.merged.text)
        lines = difflib.unified_diff(
            old.splitlines(keepends=True), new.splitlines(keepends=True), str(self.path), f"{self.path} (new)"
        )
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines)

    def write(self) -> Outcome:
        """Write it, atomically. What holds words that the new card does not is kept as README.md.orig.

        Raises CardError where a region was edited by hand, and where the file changed since it was read.
        """
        self.merged.checked()
        if self.outcome == "unchanged":
            return "unchanged"
        if regions.on_disk(self.facts.adapter.directory) != self.present:
            raise CardError(f"{self.path} changed while this card was made", "run the command again")
        if self.merged.lost and self.present:
            keep_original(self.path)
        files.write_atomically(self.path, self.merged.text.encode(errors="surrogateescape"))
        return "written"


def prepare(
    facts: Facts,
    written: Written | None,
    template: Path | None = None,
    wishes: Wishes | None = None,
    instead: str | None = None,
) -> Prepared:
    """Render the card of these facts and merge it with the one on disk, or with one `instead`.

    Raises CardError.
    """
    wishes = wishes or Wishes()
    present = regions.on_disk(facts.adapter.directory) if instead is None else instead
    author = words.with_front_matter(facts.author, present, written, wishes.told)
    metadata = front_matter.metadata(facts)

    def made(knowing: Facts) -> Prepared:
        merged = merge.merge(
            present,
            render(knowing, template, metadata),
            metadata,
            written,
            keep=wishes.keep,
            force=wishes.force,
            restore=wishes.restore,
            certain=_certain(facts, wishes.told, present),
        )
        if written and written.no_figures:
            merged = replace(merged, written=msgspec.structs.replace(merged.written, no_figures=True))
        return Prepared(knowing, present, merged)

    first = made(replace(facts, author=author))
    knowing = knowing_code(first.facts, first.merged.text)
    return first if knowing is first.facts else made(knowing)


def knowing_code(facts: Facts, card: str) -> Facts:
    """The facts with the digest of the code on a card: a run of other code is not told on it.

    The author may keep code of their own, or have none where hubkit would write some.
    """
    if facts.record.usage is None:
        return facts
    shown = snippets.sha256(snippets.python_blocks(card))
    meant = usage(facts)
    same = meant is not None and shown == code_sha256(meant.blocks)
    return facts if same else replace(facts, shown_code=shown)


def _certain(facts: Facts, told: Collection[str], present: str | None) -> set[str]:
    """The keys of the front matter in which the author's value gives way, besides those of the base."""
    certain = {key for key in words.LICENSE_KEYS if key in told}
    measures = facts.record.measures
    if facts.record.training or measures.on_text or measures.throughput:
        certain.add("pipeline_tag")  # it was trained or measured on that task
    elif tasks.cannot_be(facts.adapter.config.get("task_type"), words.pipeline_tag(present)):
        certain.add("pipeline_tag")
    return certain


def check_first(directory: Path, force: bool = False) -> None:
    """Find what would stop a card from being written to a directory, before there are facts for it.

    Raises CardError for broken markers, front matter that cannot be edited, and a region edited by hand.
    """
    card = regions.on_disk(directory)
    if card is None:
        return
    parts = regions.split(card)
    if not regions.has_own_front_matter(card):
        yaml_spans.read(parts.yaml or "", 1 + parts.opening.count("\n"))
    first_line = 1 + parts.head.count("\n")
    found = regions.pieces(parts.body, first_line)
    regions.check_text(found, first_line)
    by_hand = [piece for piece in found if piece.kind == "region" and not (piece.is_sealed or piece.kept)]
    if by_hand and not force:
        raise edited(directory, by_hand[0].name)


def edited(directory: Path, name: str) -> CardError:
    """What to say of a region that was edited by hand, to somebody who runs another command than `card`."""
    return CardError(
        f'{directory / CARD_NAME}: hubkit\'s region "{name}" was edited by hand',
        f"hubkit card --adapter {shlex.quote(str(directory))} shows the edit and the ways out",
    )


def _printable(text: str) -> str:
    return text.encode(errors="surrogateescape").decode(errors="replace")


def keep_original(path: Path) -> None:
    """Keep a copy of a card whose words the new one does not have."""
    files.write_atomically(original_name(path), path.read_bytes())


def original_name(path: Path) -> Path:
    """README.md.orig, or the first such name with a number that is not taken."""
    free = path.with_name(f"{path.name}.orig")
    number = 1
    while free.exists():
        free = path.with_name(f"{path.name}.orig.{number}")
        number += 1
    return free
