"""What hubkit's commits say of themselves, below their titles: that they are hubkit's.

    Published with hubkit; README.md sha256:<digest of the card>
    Published with hubkit; README.md sha256:<digest of the card>; reverts <commit>
    Published with hubkit; README.md sha256:<digest of the card>; by the job <mark of a workflow>
    Published with hubkit; README.md sha256:<digest of the card>; not joined

The last where a card was put, by force or as a proposal, in place of one that it takes no account of.

So the history tells which card hubkit wrote last, which publish can be undone, which pull request is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

MARK = "Published with hubkit"
OF_JOB = "; by the job "
NOT_JOINED = "; not joined"
_MARKED = re.compile(rf"\A\s*{MARK}(?:;|\s|\Z)")
_CARD = re.compile(r"; README\.md sha256:([0-9a-f]{64})\b")
_JOB = re.compile(rf"{OF_JOB}([0-9a-f]{{16}})\b")
_REVERTS = re.compile(r"; reverts ([0-9a-f]{40})\b")


def is_hubkits(message: str) -> bool:
    """Whether a commit with this below its title is hubkit's."""
    return _MARKED.match(message) is not None


def brings(message: str) -> bool:
    """Whether the files of a commit with this below its title are hubkit's; a revert puts back anybody's."""
    return is_hubkits(message) and reverts(message) is None


def standing(messages: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The commits of a history, the newest first, without those that were taken back.

    After a revert things are as they were before the publish, and so is what its card and others come from.
    """
    undone = None
    for commit, message in messages.items():
        if undone is None:
            yield commit, message
            undone = reverts(message)
        elif commit == undone:
            undone = None


def card(message: str) -> str | None:
    """The digest of the card that this commit of hubkit's vouches for, if it does."""
    found = _CARD.search(message) if is_hubkits(message) else None
    return found[1] if found else None


def joins(message: str) -> bool:
    """Whether the card of this commit comes from the one before it, as far as hubkit tells."""
    return not (is_hubkits(message) and NOT_JOINED in message)


def reverts(message: str) -> str | None:
    """The commit that this one of hubkit's undoes, if it does."""
    found = _REVERTS.search(message) if is_hubkits(message) else None
    return found[1] if found else None


def job(message: str) -> str | None:
    """The mark of the job of CI that opened a pull request with this, if one did."""
    found = _JOB.search(message) if is_hubkits(message) else None
    return found[1] if found else None
