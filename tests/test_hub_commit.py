"""One commit, exactly once: with removals, and to a pull request; and when its answer is lost."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import ALICE, Broken
from huggingface_hub import HfApi

from hubkit import errors
from hubkit.hub import Hub, LocalFile
from hubkit.hub_client import Patience
from hubkit.hub_commit import Commit, make_commit
from hubkit.localhub import Fault

if TYPE_CHECKING:
    from hubkit.localhub.switchboard import Kind

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning")
IMPATIENT = Patience(answer_seconds=2.0, attempts=3, sleep=lambda seconds: None)
numbers = itertools.count()


@pytest.fixture
def hub(broken: Broken) -> Hub:
    return Hub(broken.endpoint, ALICE, patience=IMPATIENT)


@pytest.fixture
def repo(hub: Hub) -> str:
    """A new repo with two small files."""
    name = f"alice/commit-{next(numbers)}"
    hub.create_repo(name, True)
    return name


def local(directory: Path, path: str, content: bytes) -> LocalFile:
    source = directory / path
    source.write_bytes(content)
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return LocalFile(path, source, len(content), hashlib.sha256(content).hexdigest(), blob)


def head(hub: Hub, repo: str, revision: str = "main") -> str:
    found = hub.repo(repo, revision)
    assert found is not None
    assert found.head is not None
    return found.head


def add(hub: Hub, repo: str, directory: Path, path: str, content: bytes) -> Commit:
    file = local(directory, path, content)
    return make_commit(hub, repo, [file], title=f"Add {path}", parent=head(hub, repo))


def titles(hub: Hub, repo: str, revision: str = "main") -> list[str]:
    return [made.title for made in HfApi(hub.endpoint, ALICE).list_repo_commits(repo, revision=revision)]


def test_files_are_removed_in_the_same_commit(hub: Hub, repo: str, tmp_path: Path) -> None:
    add(hub, repo, tmp_path, "a.txt", b"a")
    add(hub, repo, tmp_path, "b.txt", b"b")
    file = local(tmp_path, "a.txt", b"A")
    made = make_commit(hub, repo, [file], title="both", parent=head(hub, repo), removed=["b.txt"])
    assert set(hub.files(repo, made.oid)) == {".gitattributes", "a.txt"}
    assert hub.read(repo, "a.txt", made.oid) == b"A"
    assert titles(hub, repo)[0] == "both"
    gone = make_commit(hub, repo, [], title="gone", parent=made.oid, removed=["a.txt"])
    assert set(hub.files(repo, gone.oid)) == {".gitattributes"}


@pytest.mark.parametrize("fault", ["drop", "reset"])
def test_a_removal_whose_answer_was_lost_is_known_by_what_is_gone(
    fault: Kind, broken: Broken, hub: Hub, repo: str, tmp_path: Path
) -> None:
    parent = add(hub, repo, tmp_path, "a.txt", b"a").oid
    broken.board.order(Fault(fault, "POST", "/commit/"))
    made = make_commit(hub, repo, [], title="gone", parent=parent, removed=["a.txt"])
    assert head(hub, repo) == made.oid
    assert titles(hub, repo).count("gone") == 1


def test_a_commit_that_removed_something_else_is_not_ours(
    broken: Broken, hub: Hub, repo: str, tmp_path: Path
) -> None:
    """The answer is lost before the work, and somebody made a commit of the same title meanwhile."""
    add(hub, repo, tmp_path, "b.txt", b"b")
    parent = add(hub, repo, tmp_path, "a.txt", b"a").oid

    def meddle(_: float) -> None:
        HfApi(hub.endpoint, ALICE).delete_file("b.txt", repo, commit_message="gone")

    other = Hub(broken.endpoint, ALICE, patience=Patience(attempts=3, sleep=meddle))
    broken.board.order(Fault("reset", "POST", "/commit/"))
    with pytest.raises(errors.HeadMoved):
        make_commit(other, repo, [], title="gone", parent=parent, removed=["a.txt"])
    assert "a.txt" in hub.files(repo, head(hub, repo))


@pytest.mark.parametrize("fault", [None, "drop", "reset"], ids=str)
def test_a_commit_is_added_to_a_pull_request(
    fault: Kind | None, broken: Broken, hub: Hub, repo: str, tmp_path: Path
) -> None:
    first, second = local(tmp_path, "a.txt", b"a"), local(tmp_path, "b.txt", b"b")
    opened = make_commit(hub, repo, [first], title="one", parent=head(hub, repo), create_pr=True)
    if fault:
        broken.board.order(Fault(fault, "POST", "/commit/refs"))
    ref = "refs/pr/1"
    made = make_commit(hub, repo, [second], title="two", parent=opened.oid, revision=ref, removed=["a.txt"])
    assert head(hub, repo, ref) == made.oid
    assert set(hub.files(repo, made.oid)) == {".gitattributes", "b.txt"}
    assert titles(hub, repo, ref) == ["two", "one", "initial commit"]
    assert titles(hub, repo) == ["initial commit"]
    with pytest.raises(errors.HeadMoved):
        make_commit(hub, repo, [first], title="late", parent=opened.oid, revision=ref)


def test_a_repo_whose_creation_is_never_answered_is_found(broken: Broken, hub: Hub) -> None:
    broken.board.order(Fault("drop", "POST", "/repos/create", times=99))
    hub.create_repo("alice/found", True)
    assert hub.outcome.created == "alice/found"
    broken.board.clear()
    broken.board.order(Fault("reset", "POST", "/repos/create", times=99))
    with pytest.raises(errors.HubUnreachable, match="broke the connection"):
        hub.create_repo("alice/not-found", True)
