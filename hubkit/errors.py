"""The error tree: everything hubkit raises on purpose, one line each, with the next step.

HubkitError                 exit code 2: something is wrong and one line says what
├── SettingsError           a key, a value or a file of settings
├── AdapterError            an adapter directory that cannot be used as it is
├── BaseModelError          a base model that cannot be found, loaded or recognised
├── DataError               a dataset or a text that cannot be read or holds nothing
├── RecordError             a hubkit.json that cannot be read
├── CardError               a card or a template that cannot be rendered or replaced
├── SnippetError            the card's own code fails, or cannot be run
├── MissingExtra            a command that needs packages of an extra that is not installed
├── TrainingError           training that cannot start or go on
├── MeasureError            a measure that has no meaningful value
├── HubError                the Hub said no, or nothing
│   ├── NotAuthorised       no token, or one that may not do this
│   ├── RepoMissing         no such repo, or not visible with this token
│   ├── RevisionMissing     the repo has no such branch, tag or commit
│   ├── HeadMoved           somebody committed since the plan was made
│   ├── NoXet               the server offers no Xet storage; LFS is the way
│   └── HubUnreachable      no answer within the limits, after the retries
├── Interrupted             exit code 130: stopped by the user, and the same command goes on (143: by SIGTERM)
└── CheckFailed             exit code 1: a check found something
"""

from __future__ import annotations

LONGEST = 2_000  # characters of a message


def one_line(text: str) -> str:
    """Any text as one line that a terminal can show: it may hold what lies in a stranger's file."""
    line = " ".join(text[: 2 * LONGEST].split())
    line = line if line.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}\u2026"


class HubkitError(Exception):
    """An error for a person: `message` says what is wrong and where, `hint` what to do next."""

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = one_line(message)
        self.hint = one_line(hint) if hint else None

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class SettingsError(HubkitError):
    """A key, a value or a file of settings is wrong."""


class AdapterError(HubkitError):
    """An adapter directory cannot be used as it is."""


class BaseModelError(HubkitError):
    """A base model cannot be found, loaded or recognised."""


class DataError(HubkitError):
    """A dataset or a text cannot be read or holds nothing to use."""


class RecordError(HubkitError):
    """A record (hubkit.json) cannot be read."""


class CardError(HubkitError):
    """A card or a template cannot be rendered or replaced."""


class SnippetError(HubkitError):
    """The card's own code fails, or cannot be run."""


class MissingExtra(HubkitError):
    """A command needs packages that the base install leaves out."""


class TrainingError(HubkitError):
    """Training cannot start or go on."""


class MeasureError(HubkitError):
    """A measure has no meaningful value on this input."""


class HubError(HubkitError):
    """The Hub refused a call or gave an answer that makes no sense."""


class NotAuthorised(HubError):
    """No token was found, or it may not do what was asked."""


class RepoMissing(HubError):
    """The repo does not exist, or this token cannot see it."""


class RevisionMissing(HubError):
    """The repo has no such branch, tag or commit."""


class HeadMoved(HubError):
    """Somebody committed to the repo after the plan was made."""


class NoXet(HubError):
    """The server offers no Xet storage, so files must go by LFS."""


class HubUnreachable(HubError):
    """The Hub gave no answer within the time limits, after the retries."""


class Interrupted(HubkitError):
    """The user, or the machine, stopped the command; what was reached stays, and the same command goes on."""

    exit_code = 130

    def __init__(self, message: str, hint: str | None = None, exit_code: int = 130) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code


class CheckFailed(HubkitError):
    """A check ran and found something; the exit code is 1."""

    exit_code = 1
