"""A push that does not come to its end says in one line what is known: was a commit made, or a repo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hubkit import interrupts
from hubkit.errors import HubError, Interrupted
from hubkit.hub import Outcome

if TYPE_CHECKING:
    from hubkit.hub import Hub

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


@contextmanager
def standing(hub: Hub) -> Iterator[None]:
    """When a push in this block fails, say what of it stands all the same: its commit, or an empty repo."""
    hub.outcome = Outcome()
    try:
        yield
    except HubError as error:
        stands = _standing(hub.outcome)
        if stands is None:
            raise
        raise type(error)(f"{error.message}; {stands}", error.hint) from error


def _standing(outcome: Outcome) -> str | None:
    if outcome.landed:
        return f"{outcome.landed} landed"
    if outcome.created and outcome.in_doubt:
        return f"{outcome.created} was created"
    return f"{outcome.created} was created, and is empty" if outcome.created else None


def known(outcome: Outcome) -> str:
    """What is known of a push that did not come to its end."""
    if outcome.landed:
        return f"{outcome.landed} landed"
    if outcome.in_doubt:
        return outcome.in_doubt
    if outcome.created:
        return f"nothing was published: {outcome.created} was created, and no commit was made"
    return "nothing was published"
