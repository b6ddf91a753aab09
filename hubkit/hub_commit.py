"""One commit on the Hub, made exactly once.

The large files go first (hub_upload.py). The commit itself is posted on top of the head that it was planned
on (`parent`), so the Hub refuses it when that head is no longer the head. When its answer is lost, the
history says whether it landed: a commit on top of `parent` with our title and our files is ours. If it is not
there it is posted again, which is safe: had the first one landed after all, the second would be refused.
A commit to a pull request is the same, with `refs/pr/N` as the revision.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hubkit import hub_rules, interrupts
from hubkit.errors import HeadMoved, HubUnreachable
from hubkit.hub import Hub, LocalFile, RemoteFile
from hubkit.hub_upload import Destination, Storage, addition, upload

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

    from hubkit.hub_client import AnswerLost

    Operations = Sequence[CommitOperationAdd | CommitOperationCopy | CommitOperationDelete]

IN_DOUBT = "the commit was sent, and may have landed. Next: run the command again; it makes no second one"
SHORT = 5.0  # seconds that somebody who wants to stop waits for an answer
_AGAIN = "run the command again"
_SAFE = "run the command again when the Hub answers: it makes no second commit if the first one landed"
MOST_PULL_REQUESTS = 20  # open ones that are looked at, the newest first


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that was made: where it is, how the large files went, and what to tell the user."""

    oid: str
    url: str
    pull_request: str | None = None
    storage: Storage | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OldFile:
    """A file of an earlier commit of the same repo, to be put back: the Hub has its bytes."""

    path: str
    file: RemoteFile
    commit: str


@dataclass(frozen=True, slots=True)
class _Push:
    """One commit to be made."""

    hub: Hub
    repo_id: str
    files: Sequence[LocalFile]
    title: str
    parent: str
    revision: str
    create_pr: bool
    description: str
    removed: Sequence[str] = ()
    restored: Sequence[OldFile] = ()
    pull_requests: frozenset[str] = field(default_factory=frozenset)  # refs that were there before


def make_commit(
    hub: Hub,
    repo_id: str,
    files: Sequence[LocalFile],
    *,
    title: str,
    parent: str,
    revision: str = hub_rules.DEFAULT_BRANCH,
    create_pr: bool = False,
    description: str = "",
    removed: Sequence[str] = (),
    restored: Sequence[OldFile] = (),
    in_doubt: str = IN_DOUBT,
) -> Commit:
    """Make one commit on top of `parent`, or open one pull request with it.

    `removed` are paths that it deletes, and `restored` files that it puts back; `revision` may be
    `refs/pr/N`, to add to a pull request. Raises HeadMoved when the revision is no longer at `parent`,
    HubUnreachable when no answer came and the commit did not land, and the other HubErrors when the Hub says
    no.
    """
    before = frozenset(_pull_requests(hub, repo_id)) if create_pr else frozenset()
    push = _Push(
        hub, repo_id, files, title, parent, revision, create_pr, description, removed, restored, before
    )
    additions = [addition(file) for file in files]
    storage, notes = upload(Destination(hub, repo_id, revision, create_pr), files, additions)
    made = _known(push, [*additions, *_copies(restored), *_deletions(removed)], in_doubt)
    small = [file.size for file in files if not hub_rules.goes_to_lfs(file.path, file.size)]
    hub.outcome.sent += sum(small)  # they are in the commit itself
    return Commit(made.oid, made.url, made.pull_request, storage, notes)


def open_pull_request(hub: Hub, repo_id: str, files: Sequence[LocalFile]) -> Commit | None:
    """An open pull request that proposes these files already."""
    with hub.calling(repo_id):
        found = hub.api.get_repo_discussions(
            repo_id, discussion_type="pull_request", discussion_status="open"
        )
        newest = list(itertools.islice(found, MOST_PULL_REQUESTS))
    for pull in newest:
        head = hub.repo(repo_id, f"refs/pr/{pull.num}")
        there = hub.files(repo_id, head.head) if head and head.head else {}
        if head and head.head and all(file.equals(there.get(file.path)) for file in files):
            return Commit(head.head, url := f"{hub.endpoint}/{repo_id}/discussions/{pull.num}", url)
    return None


def _copies(restored: Sequence[OldFile]) -> list[CommitOperationCopy]:
    """Large files are copied where they are; of small ones the client fetches the bytes and sends them."""
    from huggingface_hub import CommitOperationCopy

    return [CommitOperationCopy(old.path, old.path, src_revision=old.commit) for old in restored]


def _deletions(paths: Sequence[str]) -> list[CommitOperationDelete]:
    from huggingface_hub import CommitOperationDelete

    return [CommitOperationDelete(path, is_folder=False) for path in paths]


def _known(push: _Push, operations: Operations, in_doubt: str) -> Commit:
    """Make the commit; a Ctrl-C waits until it is known whether it landed, a second one says `in_doubt`."""
    with interrupts.held(in_doubt):
        made = _commit_once(push, operations)
        push.hub.outcome.landed = made.pull_request or f"commit {made.oid[:12]} of {push.repo_id}"
    return made


def _commit_once(push: _Push, operations: Operations) -> Commit:
    """Post the commit until it is known to have landed, or not to have."""
    from hubkit.hub_client import AnswerLost

    lost: AnswerLost | None = None
    for attempt in range(1, push.hub.patience.attempts + 1):
        # Nothing keeps a second request from opening a second pull request, should the first one be late.
        if lost is None or lost.over or not push.create_pr:
            try:
                return _post(push, operations)
            except HeadMoved:
                if lost and (found := _look(push, lost)):
                    return found
                raise
            except AnswerLost as error:
                lost = error
        if not interrupts.came():
            push.hub.patience.rest(attempt)
        if found := _look(push, lost):
            return found
        if interrupts.came():
            break  # whoever wants to stop wants no second try
    assert lost is not None
    push.hub.outcome.in_doubt = "" if lost.over else "the commit was sent and has not landed so far"
    if lost.over:
        raise HubUnreachable(f"{lost.message}; the commit did not land", lost.hint) from lost
    raise HubUnreachable(f"{lost.message}; the commit has not landed so far", _SAFE) from lost


def _post(push: _Push, operations: Operations) -> Commit:
    with push.hub.calling(push.repo_id), warnings.catch_warnings():
        # The Hub's warnings about the card are in the plan already.
        warnings.filterwarnings("ignore", "Warnings while validating metadata")
        made = push.hub.api.create_commit(
            push.repo_id,
            operations,
            commit_message=push.title,
            commit_description=push.description,
            revision=push.revision,
            parent_commit=push.parent,
            create_pr=push.create_pr,
        )
    # Another revert of the same publish is as good as ours; a publish of somebody else's is theirs.
    if _was_left_out(operations) and not (push.restored and _find_landed(push)):
        raise HeadMoved(f"somebody committed to {push.repo_id} since the plan was made", _AGAIN)
    return Commit(made.oid, made.commit_url, made.pr_url)


def _was_left_out(operations: Operations) -> bool:
    """Whether the client made no commit, for the head holds all of it already, and gave that head as ours."""
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy

    def same(one: object) -> bool:
        if isinstance(one, CommitOperationAdd):
            return one._remote_oid is not None and one._remote_oid == one._local_oid
        if isinstance(one, CommitOperationCopy):
            return one._dest_oid is not None and one._dest_oid == one._src_oid
        return False

    return all(same(one) for one in operations)


def _look(push: _Push, lost: AnswerLost) -> Commit | None:
    """Look for our commit; when even that fails, say that nobody knows."""
    if interrupts.came():
        push.hub.patience = replace(push.hub.patience, answer_seconds=SHORT, attempts=1)
    try:
        return _find_landed(push)
    except HubUnreachable as error:
        push.hub.outcome.in_doubt = "the commit was sent, and whether it landed is not known"
        raise HubUnreachable(
            f"{lost.message}; whether the commit landed is not known, for {error.message}", _SAFE
        ) from error


def _find_landed(push: _Push) -> Commit | None:
    """Our commit, if the Hub holds it: a child of our parent, with our title, our files and our removals."""
    repo = f"{push.hub.endpoint}/{push.repo_id}"
    if push.create_pr:
        for ref, head in _pull_requests(push.hub, push.repo_id).items():
            if ref not in push.pull_requests and _holds(push, head):
                number = ref.rpartition("/")[2]
                return Commit(head, f"{repo}/commit/{head}", f"{repo}/discussions/{number}")
        return None
    with push.hub.calling(push.repo_id):
        history = push.hub.api.list_repo_commits(push.repo_id, revision=push.revision)
    for child, parent in itertools.pairwise(history):  # the newest comes first
        if parent.commit_id == push.parent:
            ours = child.title.strip() == push.title.strip() and _holds(push, child.commit_id)
            return Commit(child.commit_id, f"{repo}/commit/{child.commit_id}") if ours else None
    return None


def _holds(push: _Push, commit: str) -> bool:
    there = push.hub.files(push.repo_id, commit)
    added = all(file.equals(there.get(file.path)) for file in push.files)
    restored = all(there.get(old.path) == old.file for old in push.restored)
    return added and restored and not any(path in there for path in push.removed)


def _pull_requests(hub: Hub, repo_id: str) -> dict[str, str]:
    """The heads of the repo's pull requests, by ref."""
    with hub.calling(repo_id):
        refs = hub.api.list_repo_refs(repo_id, include_pull_requests=True)
    return {ref.ref: ref.target_commit for ref in refs.pull_requests or []}
