"""What `hubkit card` does for its options --compare, --no-compare, --figures and --no-figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from hubkit import adapter, found
from hubkit.card import comparison, drawing, figures
from hubkit.card.facts import Facts
from hubkit.cli import common
from hubkit.errors import CardError
from hubkit.record import Record, Written


def refuse_both(keep: Sequence[str], force: bool) -> None:
    """Raises CardError where an edit is to be kept and to be replaced."""
    if keep and force:
        raise CardError("--keep and --force contradict each other", "leave out one of them")


def with_found(directory: Path, known: Record) -> Record:
    """The record with the history of a training that lies beside an adapter which hubkit did not train."""
    if known.training or not (directory / found.NAME).is_file():
        return known
    return found.with_history(known, directory, adapter.read(directory).sha256())


def with_comparison(
    directory: Path, told: Record, compared: Sequence[Path], no_compare: bool, quiet: bool
) -> Record:
    """The record with the comparison that the options ask for; without options, as it is."""
    if no_compare and compared:
        raise CardError("--compare and --no-compare contradict each other", "leave out one of them")
    if no_compare:
        return msgspec.structs.replace(told, comparison=None)
    if not compared:
        return told
    told, others = comparison.told(told, compared, adapter.read(directory).sha256())
    left_out(others, quiet)
    return told


def left_out(others: comparison.Read, quiet: bool) -> None:
    """Say which numbers are of other weights, and left out for that."""
    for directory, names in others.left_out.items():
        common.hint(
            f"Left out of {directory}, of other weights or another configuration than these:"
            f" {', '.join(names)}. Next: hubkit measure --adapter {directory}",
            quiet,
        )


def wanting(written: Written | None, with_figures: bool | None) -> Written | None:
    """What hubkit wrote last, with what the user says of figures: it holds until the user says otherwise."""
    if with_figures is None:
        return written
    return msgspec.structs.replace(written or Written(), no_figures=not with_figures)


def how(written: Written | None, shows_only: bool) -> figures.How:
    """What becomes of the figures; what is only shown, or checked, is what would be written."""
    if written and written.no_figures:
        return "leave out"
    return "promise" if shows_only else "draw"


def say_figures(facts: Facts, settled: figures.Settled, written: Written | None, quiet: bool) -> None:
    """Say which figures were drawn, and which could not be."""
    if settled.images:
        common.hint(f"Drew {', '.join(settled.images)}", quiet)
    lacking = [] if written and written.no_figures else figures.lacking(settled.facts)
    if lacking and not drawing.can_draw():
        what = "that are on disk are out of date" if set(facts.figures) else "are left out"
        common.hint(
            f"Figures {what} ({', '.join(one.name for one in lacking)})."
            " Next: pip install 'hubkit[plots]', then the same command",
            quiet,
        )
    elif lacking:
        common.hint(f"Left alone, not drawn by hubkit: {', '.join(one.path for one in lacking)}", quiet)
