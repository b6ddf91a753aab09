"""A push that is interrupted ends with one line that says what is known: was a commit made, or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hubkit import interrupts
from hubkit.errors import Interrupted

if TYPE_CHECKING:
    from hubkit.hub import Hub, Outcome

AGAIN = "run the same command again; it goes on"


@contextmanager
def told(hub: Hub, done: str | None = None, goes_on: str = AGAIN) -> Iterator[None]:
    """Make a Ctrl-C, or a SIGTERM, in this block into Interrupted, which says what the Hub holds of the push.

    `done` is what was reached before it, and `goes_on` the command that goes on from there.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        reached = "; ".join(["interrupted", known(hub.outcome), *([done] if done else [])])
        raise Interrupted(reached, goes_on, interrupts.exit_code(stop)) from None


def known(outcome: Outcome) -> str:
    """What is known of a push that did not come to its end."""
    if outcome.landed:
        return f"{outcome.landed} landed"
    if outcome.in_doubt:
        return "the commit was sent, and whether it landed is not known"
    if outcome.created:
        return f"nothing was published: {outcome.created} was created, and no commit was made"
    return "nothing was published"
