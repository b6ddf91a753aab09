"""Where a push goes: pull requests, branches, tags and collections; over real HTTP."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import fake_adapter
import pytest
from conftest import ALICE, BOB
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit.hub import Hub
from hubkit.publishing import proposals, remote_card, traces

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

OLD_WAY = "ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"
pytestmark = pytest.mark.filterwarnings(OLD_WAY)
numbers = itertools.count()


@pytest.fixture
def repo(alice_hub: RunningHub) -> str:
    """A repo that no other test has."""
    made = f"alice/destination-{next(numbers)}"
    HfApi(alice_hub.endpoint, ALICE).create_repo(made)
    return made


@pytest.fixture
def adapter_dir(tmp_path: Path) -> Path:
    return fake_adapter.write(tmp_path / "adapter", seed=1000 + next(numbers))


def propose(hub: RunningHub, repo: str, who: str, path: str = "notes.txt", **options: object) -> int:
    """The number of a pull request that changes one file."""
    described = {"commit_description": remote_card.description("0" * 64), **options}
    made = HfApi(hub.endpoint, who).create_commit(
        repo,
        [CommitOperationAdd(path, b"proposed\n")],
        commit_message="Propose",
        create_pr=True,
        **described,  # type: ignore[arg-type]
    )
    assert made.pr_num
    return made.pr_num


def test_the_marks_of_hubkits_commits() -> None:
    said = remote_card.description("0" * 64)
    assert traces.is_hubkits(said)
    assert traces.reverts(said) is None
    assert traces.reverts(f"{said}; reverts {'a' * 40}") == "a" * 40
    assert not traces.is_hubkits("Not Published with hubkit")
    assert not traces.is_hubkits("Published with hubkitten")
    assert traces.reverts(f"x; reverts {'a' * 40}") is None


def test_a_proposal_is_found_while_it_is_open_and_ours(repo: str, alice_hub: RunningHub) -> None:
    hub, api = Hub(alice_hub.endpoint, ALICE), HfApi(alice_hub.endpoint, ALICE)
    assert proposals.find(hub, repo) is None
    propose(alice_hub, repo, BOB)
    propose(alice_hub, repo, ALICE, commit_description="by hand")
    assert proposals.find(hub, repo) is None
    first = propose(alice_hub, repo, ALICE)
    found = proposals.find(hub, repo)
    assert found is not None
    assert (found.num, found.ref, found.conflicts) == (first, f"refs/pr/{first}", ())
    assert found.url == f"{alice_hub.endpoint}/{repo}/discussions/{first}"
    assert found.head == api.model_info(repo, revision=found.ref).sha
    api.create_commit(repo, [CommitOperationAdd("b", b"b")], commit_message="b", revision=found.ref)
    again = proposals.find(hub, repo)  # somebody else's commit on top makes it nobody else's
    assert again is not None
    assert again.num == first
    assert again.head != found.head
    newer = propose(alice_hub, repo, ALICE)
    assert getattr(proposals.find(hub, repo), "num", None) == newer
    api.change_discussion_status(repo, newer, "closed")
    assert getattr(proposals.find(hub, repo), "num", None) == first
    api.merge_pull_request(repo, first)
    assert proposals.find(hub, repo) is None


def test_a_proposal_that_cannot_be_merged_says_so(repo: str, alice_hub: RunningHub) -> None:
    hub, api = Hub(alice_hub.endpoint, ALICE), HfApi(alice_hub.endpoint, ALICE)
    propose(alice_hub, repo, ALICE)
    assert proposals.conflict_note(proposals.find(hub, repo)) == ()
    api.create_commit(repo, [CommitOperationAdd("a.txt", b"a")], commit_message="Another file")
    assert proposals.conflict_note(proposals.find(hub, repo)) == ()
    api.create_commit(repo, [CommitOperationAdd("notes.txt", b"main\n")], commit_message="The same")
    found = proposals.find(hub, repo)
    assert found is not None
    assert found.conflicts == ("notes.txt",)
    (note,) = proposals.conflict_note(found)
    assert "cannot be merged as it is: main has changed notes.txt" in note
