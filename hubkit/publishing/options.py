"""What the user said about a push, and which of it cannot stand together: found before any work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hubkit.errors import HubError
from hubkit.publishing import revisions
from hubkit.publishing.contents import Choice


@dataclass(frozen=True, kw_only=True)
class PushOptions:
    """What the user said about a push. `watched`: by a person at a terminal; `progress`: with bars on it.

    `force` replaces a card on the Hub that somebody wrote or edited there; without `audit` a card that is
    found false is pushed too. `tag` and `collection` are for the commit and the repo once they are there;
    `delete` are patterns of files on the Hub that go; `include` of files here that are published too, and
    `allow` are ids of findings that may stay. `insist` says to the user what must be said even where
    everything else is silent, `tell` that the Hub is slow to answer.
    """

    repo_id: str | None = None
    revision: str | None = None
    private: bool | None = None
    create_pr: bool = False
    commit_message: str | None = None
    tag: str | None = None
    collection: str | None = None
    delete: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    token: str | None = None
    endpoint: str | None = None
    local_hub: Path | None = None
    dry_run: bool = False
    verify_download: bool = False
    watched: bool = False
    progress: bool = False
    force: bool = False
    audit: bool = True
    insist: Callable[[str], None] | None = None
    tell: Callable[[str], None] | None = None

    @property
    def choice(self) -> Choice:
        """What the author says of the contents."""
        return Choice(self.include, self.allow)

    def check(self) -> None:
        """Find what no Hub need be asked about. Raises HubError."""
        revisions.check_branch_name(self.revision)
        revisions.check_tag_name(self.tag)
        if self.collection is not None and not self.collection.strip():
            raise HubError("--collection is empty", "give a slug or a title, or leave it out")
        if self.commit_message is not None and not self.commit_message.strip():
            raise HubError("--commit-message is empty", "give a title, or leave it out")
        if self.create_pr and not revisions.is_main(self.revision):
            raise HubError(
                "a pull request is opened against main only", "leave out either --revision or --create-pr"
            )
        if self.create_pr and self.tag:
            raise HubError(
                "what a pull request proposes is tagged when it is merged, not before",
                "leave out either --tag or --create-pr",
            )


def check_revert(options: PushOptions) -> None:
    """The options of a push that mean nothing for taking one back. Raises HubError."""
    said = {
        "--create-pr": options.create_pr,
        "--tag": options.tag,
        "--collection": options.collection,
        "--delete": options.delete,
        "--include": options.include,
        "--allow": options.allow,
        "--no-audit": not options.audit,
        "--verify-download": options.verify_download,
        "--private": options.private is not None,
        "--force": options.force,
    }
    if given := [name for name, value in said.items() if value]:
        raise HubError(
            f"--revert takes back a publish, and does nothing with {' and '.join(given)}",
            f"leave out either --revert or {' and '.join(given)}",
        )
