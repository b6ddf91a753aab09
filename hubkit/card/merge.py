"""The card that hubkit would write, merged with the one that is there: a pure function of texts.

A sealed region is replaced where it stands; one that was edited by hand is a conflict, until the user keeps
it or takes the new one; one that the author took out stays out. A card that is not hubkit's is adopted. What
is outside regions and hubkit's own keys of the front matter stays as it is, byte for byte.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hubkit.card import metadata_merge, regions
from hubkit.card.adopt import adopt, from_older, said_already
from hubkit.card.body import EVERY, Body, Edited
from hubkit.card.boilerplate import is_boilerplate, without_empty_keys
from hubkit.card.regions import Parts, Piece
from hubkit.errors import CardError
from hubkit.record import Written


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged card. While there are conflicts it must not be written."""

    text: str
    written: Written  # what of it is hubkit's, for the next merge
    notes: list[str] = field(default_factory=list)
    conflicts: list[Edited] = field(default_factory=list)
    adopted: bool = False  # the card was not hubkit's, or not in regions
    lost: bool = False  # somebody's words or another tool's are not in the new one

    def checked(self) -> Merged:
        """The same; raises CardError where a region was edited by hand."""
        if not self.conflicts:
            return self
        names = ", ".join(f'"{edited.name}"' for edited in self.conflicts)
        were = "regions {} were" if len(self.conflicts) > 1 else "region {} was"
        raise CardError(
            f"README.md, line {self.conflicts[0].line}: hubkit's {were.format(names)} edited by hand",
            "--keep keeps the edit, --force takes hubkit's text; or move your words outside the markers",
        )


def merge(
    on_disk: str | None,
    rendered: str,
    metadata: Mapping[str, Any],
    written: Written | None = None,
    *,
    keep: Collection[str] = (),
    force: bool = False,
    restore: bool = False,
    certain: Collection[str] = (),
) -> Merged:
    """Merge a rendered card into the one on disk.

    `metadata` is what the rendered front matter says; `written` is what hubkit wrote last. `keep` names
    edited regions that stay ("*" is all), `force` replaces edited and kept ones, `restore` brings back what
    was taken out, `certain` names keys of the front matter in which hubkit's value wins. Raises CardError for
    broken markers, and for front matter that cannot be edited.
    """
    names = regions.names(rendered)
    whole = Written(metadata=dict(metadata), regions=names)
    if on_disk == rendered:
        gone = [name for name in written.regions if name not in names] if written else []
        return Merged(rendered, Written(metadata=whole.metadata, regions=names + gone))
    if on_disk is None or not on_disk.strip():
        return Merged(rendered, whole)
    if is_boilerplate(on_disk) or regions.was_sealed_whole(on_disk):
        text = rendered.replace("\n", newline_of(on_disk))
        return Merged(text, whole, adopted=is_boilerplate(on_disk), lost=is_boilerplate(on_disk))
    old, new = regions.split(on_disk), regions.split(rendered)
    ours = [piece for piece in regions.pieces(new.body) if piece.kind != "text"]
    first_line = 1 + old.head.count("\n")
    theirs = regions.pieces(old.body, first_line)
    regions.check_text(theirs, first_line)
    adopted = regions.is_old(theirs) or all(piece.kind == "text" for piece in theirs)
    known = list(written.regions) if written and not adopted else []
    _check_names(keep, theirs)
    body = Body(ours, newline_of(on_disk), keep, force)
    if adopted:
        old = replace(old, yaml=old.yaml and without_empty_keys(old.yaml))
        text, said = _adopted(body, theirs)
        left_out = said
    else:
        body.replace(theirs, first_line)
        gone = [name for name in names if name in known and not body.has(name)]
        said = [name for name in gone if name in said_already(regions.text_of(theirs))]
        left_out = said if restore else gone
        body.insert([name for name in names if not body.has(name) and name not in left_out])
        text = body.text
    head, mine, notes = _front_matter(old, new, theirs, whole, None if adopted else written, certain)
    head += newline_of(on_disk) if head and not head.endswith("\n") else ""
    text = head + ("" if not head or text[:1] in ("\n", "\r") else newline_of(on_disk)) + text
    _check_markers(text, [name for name in names if name not in left_out])
    there = {piece.name for piece in theirs}
    remembered = [name for name in known if name not in names and name not in there]
    notes += _notes([name for name in left_out if name not in said], body.kept)
    kept = Written(metadata=mine.metadata, agreed=mine.agreed, regions=names + remembered)
    return Merged(text, kept, notes, body.conflicts, adopted, adopted or body.lost)


def newline_of(text: str) -> str:
    """The line end of a file: that of its first line."""
    return "\r\n" if "\r\n" in text[: text.find("\n") + 1] else "\n"


def _adopted(body: Body, theirs: list[Piece]) -> tuple[str, list[str]]:
    """The body of a card that hubkit did not write in regions, and the names that its author says already."""
    names = [piece.name for piece in body.ours if piece.kind == "region"]
    pieces = theirs
    if regions.is_old(theirs):
        pieces = regions.pieces(from_older(theirs, body.ours, body.newline))
    if all(piece.kind == "text" for piece in pieces):
        text, left = adopt("".join(piece.raw for piece in pieces), body.ours, body.newline)
        return text, [name for name in names if name in left]
    body.replace(pieces, 1)
    said = said_already(regions.text_of(pieces))
    left_out = [name for name in names if name in said and not body.has(name)]
    body.insert([name for name in names if not body.has(name) and name not in left_out])
    return body.text, left_out


def _check_names(keep: Collection[str], theirs: list[Piece]) -> None:
    names = [piece.name for piece in theirs if piece.kind == "region"]
    for name in keep:
        if name not in (EVERY, *names):
            raise CardError(f'there is no region "{name}" in README.md', f"its regions: {', '.join(names)}")


def _front_matter(
    old: Parts,
    new: Parts,
    theirs: list[Piece],
    whole: Written,
    written: Written | None,
    certain: Collection[str],
) -> tuple[str, Written, list[str]]:
    """All that stands before the body, what of its metadata is hubkit's, and notes."""
    newline = newline_of(old.head)
    if is_untouched(old, theirs):
        if regions.normal(old.yaml or "") == new.yaml:
            return old.head, whole, []
        return old.opening + (new.yaml or "").replace("\n", newline) + old.closing, whole, []
    first_line = 1 + old.opening.count("\n") + (old.yaml is None)
    # without any front matter nobody took keys out of it: it comes back whole
    known = written if written and old.yaml is not None else Written()
    merged = metadata_merge.merge(
        old.yaml or "", whole.metadata, known.metadata, certain, first_line, known.agreed
    )
    mine = Written(metadata=merged.written, agreed=merged.agreed)
    if old.yaml is not None:
        mine = whole if regions.normal(merged.text) == new.yaml else mine
        return old.opening + merged.text + old.closing, mine, merged.notes
    newline = newline_of(old.body)
    between = f"---\n{merged.text}---\n".replace("\n", newline) if merged.text else ""
    return old.opening + between, mine, merged.notes


def is_untouched(parts: Parts, pieces: list[Piece]) -> bool:
    """Whether the front matter is as hubkit alone wrote it."""
    marker = next((piece for piece in pieces if piece.kind == "card"), None)
    return (
        marker is not None
        and parts.yaml is not None
        and regions.told(marker, "front-matter") == regions.digest(parts.yaml)
    )


def _check_markers(card: str, names: list[str]) -> None:
    """The net under the merge: the next one must find each region again."""
    found = {(piece.kind, piece.name) for piece in regions.pieces(regions.split(card).body)}
    if not {("region", name) for name in names} | {("card", "")} <= found:
        raise CardError(
            "README.md has a code fence that is not closed and swallows hubkit's markers", "close the fence"
        )


def _notes(taken_out: list[str], kept: list[str]) -> list[str]:
    notes = []
    if taken_out:
        notes.append(f"taken out by you: {', '.join(taken_out)}; --restore brings it back")
    if kept:
        notes.append(f"kept as you wrote it: {', '.join(kept)}; --force takes hubkit's text")
    return notes
