"""What `hubkit card` shows: the card, what would change in it, and what somebody edited by hand."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from hubkit.card import adopt, regions
from hubkit.card.facts import Facts
from hubkit.card.missing import measuring, missing
from hubkit.card.writing import Outcome, Prepared
from hubkit.cli import common
from hubkit.errors import CardError, CheckFailed

# What may be missing, and the region that says it where the author does not.
_SAID_IN = {
    "intended use": "intended-use",
    "out-of-scope use": "out-of-scope",
    "authors": "authors",
    "contact": "authors",
}


def show(
    made: Prepared,
    figures: Sequence[str],
    *,
    card: bool,
    diff: bool,
    check: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print the card or the diff, or hold the card on disk to it, and write nothing. Raises CheckFailed.

    `figures` are the paths of those that a run would draw or remove.
    """
    if not check:
        refuse_edits(made)
    _say_stale(made.facts, quiet or as_json)
    if as_json:
        data: dict[str, Any] = {
            "path": str(made.path),
            "up_to_date": made.outcome == "unchanged" and not (made.merged.conflicts or figures),
            "edited": [edited.name for edited in made.merged.conflicts],
            "stale": list(made.facts.stale),
            "notes": made.merged.notes,
        }
        data |= {"card": _printable(made.merged.text)} if card else {}
        data |= {"diff": made.diff()} if diff else {}
        click.echo(json.dumps(data, indent=2))
    elif card:
        _write_out(made.merged.text)
    elif diff:
        _write_out(made.diff())
    if check:
        _check(made, figures)
        common.hint(f"{made.path} is up to date.", quiet or as_json)


def _check(made: Prepared, figures: Sequence[str]) -> None:
    again = f"hubkit card --adapter {shlex.quote(str(made.path.parent))}"
    if made.merged.conflicts:
        names = ", ".join(f'"{edited.name}"' for edited in made.merged.conflicts)
        raise CheckFailed(
            f"{made.path}, line {made.merged.conflicts[0].line}: edited inside hubkit's markers: {names}",
            f"{again} --keep (keeps the edit), or --force (takes hubkit's text)",
        )
    if made.outcome != "unchanged":
        what = "is missing" if made.present is None else "is not the card that hubkit would write"
        raise CheckFailed(f"{made.path} {what}", again)
    if figures:
        raise CheckFailed(f"{', '.join(figures)} of {made.path} would be drawn or removed", again)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Errors of the card's text come out with the file that holds it."""
    try:
        yield
    except CardError as error:
        said = error.message
        if said.startswith(path.name):
            said = said.replace(path.name, str(path), 1)
        elif said.startswith("hubkit's markers"):
            said = f"{path}: {said}"
        raise CardError(said, error.hint) from error


def refuse_edits(made: Prepared) -> None:
    """Show what was edited inside of hubkit's regions, and stop. Raises CardError."""
    for edited in made.merged.conflicts:
        click.echo(_printable(edited.diff), err=True)
    with named(made.path):
        made.merged.checked()


def ask(made: Prepared, yes: bool, quiet: bool) -> None:
    """Show what adopting somebody's card would change; on a terminal, ask. Raises CardError."""
    if not made.merged.adopted or made.outcome == "unchanged":
        return
    asks = common.watched() and sys.stdin.isatty() and not yes
    if asks or not quiet:
        click.echo(made.diff(), err=True, nl=False)
    common.hint(
        f"{made.path} was not written by hubkit, or in an older form: its author's text stays, hubkit's parts"
        f" stand between markers, and the old file is kept as {made.path.name}.orig.",
        quiet,
    )
    if asks and not click.confirm("Write it so?", default=True, err=True):
        raise CardError(f"{made.path} stays as it was; nothing was written")


def report(made: Prepared, facts: Facts, outcome: Outcome, as_json: bool, quiet: bool) -> None:
    """Say what was done, what was left out, and what is still missing."""
    said = adopt.said_already(regions.text_of(regions.pieces(regions.split(made.merged.text).body)))
    lacking = [(what, how) for what, how in missing(facts) if _SAID_IN.get(what) not in said]
    if as_json:
        data = {
            "path": str(made.path),
            "outcome": outcome,
            "stale": list(facts.stale),
            "notes": made.merged.notes,
            "missing": [{"what": what, "how": how} for what, how in lacking],
        }
        common.result(data, "", as_json=True)
        return
    common.hint(f"Wrote {made.path}" if outcome == "written" else f"{made.path} is up to date", quiet)
    for note in made.merged.notes:
        common.hint(f"Note: {note}", quiet)
    _say_stale(facts, quiet)
    if lacking:
        width = max(len(what) for what, _ in lacking)
        common.hint("Still missing (options are those of hubkit card):", quiet)
        for what, how in lacking:
            common.hint(f"  {what.ljust(width)}  {how}", quiet)


def _say_stale(facts: Facts, quiet: bool) -> None:
    """Say which numbers of the record are of other weights, and so not on the card."""
    if facts.stale:
        common.hint(
            f"Left out, of other weights or another configuration than these: {', '.join(facts.stale)}."
            f" Next: {measuring(facts)}",
            quiet,
        )


def _write_out(text: str) -> None:
    """Text to stdout with the bytes that it has on disk."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(errors="surrogateescape"))
    sys.stdout.buffer.flush()


def _printable(text: str) -> str:
    return text.encode(errors="surrogateescape").decode(errors="replace")
