"""Where a push goes: pull requests, branches, tags and collections; over real HTTP."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import fake_adapter
import pytest
from conftest import ALICE, BOB
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit import adapter, errors, hub_collections, hub_refs, localhub
from hubkit.cli.main import run
from hubkit.hub import Hub
from hubkit.hub_client import Patience
from hubkit.publishing import download, proposals, remote_card, traces

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

OLD_WAY = "ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"
pytestmark = pytest.mark.filterwarnings(OLD_WAY)
numbers = itertools.count(20_000)
PUSHED = "Add adapter and model card"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def board() -> localhub.Switchboard:
    return localhub.Switchboard()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, board: localhub.Switchboard) -> Iterator[RunningHub]:
    tokens = {ALICE: localhub.Token("alice"), BOB: localhub.Token("bob")}
    with localhub.start(tmp_path_factory.mktemp("there"), tokens=tokens, switchboard=board) as hub:
        yield hub


@pytest.fixture
def new_repo(board: localhub.Switchboard) -> str:
    """The id of a repo that is not there yet, and that no other test has."""
    board.clear()
    return f"alice/destination-{next(numbers)}"


@pytest.fixture
def repo(new_repo: str, served: RunningHub) -> str:
    HfApi(served.endpoint, ALICE).create_repo(new_repo)
    return new_repo


def hubkit(hub: RunningHub, repo: str, *arguments: object, who: str = ALICE) -> int:
    where = ["--endpoint", hub.endpoint, "--token", who, "--repo-id", repo]
    return run(["publish", *map(str, arguments), *where])


def titles(hub: RunningHub, repo: str, revision: str = "main") -> list[str]:
    made = HfApi(hub.endpoint, ALICE).list_repo_commits(repo, revision=revision)
    return [commit.title for commit in made][::-1]


def head(hub: RunningHub, repo: str, revision: str = "main") -> str:
    return str(HfApi(hub.endpoint, ALICE).model_info(repo, revision=revision).sha)


def tags(hub: RunningHub, repo: str) -> dict[str, str]:
    return {tag.name: tag.target_commit for tag in HfApi(hub.endpoint, ALICE).list_repo_refs(repo).tags}


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
    assert traces.brings(said)
    assert not traces.brings(f"{said}; reverts {'a' * 40}")
    assert not traces.is_hubkits("Not Published with hubkit")
    assert not traces.is_hubkits("Published with hubkitten")
    assert traces.reverts(f"x; reverts {'a' * 40}") is None


def test_what_was_taken_back_does_not_stand() -> None:
    said = remote_card.description("0" * 64)
    first, second, undo, redo, other = ("a" * 40, "b" * 40, "c" * 40, "d" * 40, "e" * 40)
    history = {undo: f"{said}; reverts {second}", other: "", second: said, first: said}
    assert [commit for commit, _ in traces.standing(history)] == [undo, first]
    history = {redo: f"{said}; reverts {undo}"} | history
    assert [commit for commit, _ in traces.standing(history)] == [redo, other, second, first]


def test_a_proposal_is_found_while_it_is_open_and_ours(repo: str, served: RunningHub) -> None:
    hub, api = Hub(served.endpoint, ALICE), HfApi(served.endpoint, ALICE)
    assert proposals.find(hub, repo) is None
    propose(served, repo, BOB)
    propose(served, repo, ALICE, commit_description="by hand")
    assert proposals.find(hub, repo) is None
    first = propose(served, repo, ALICE)
    found = proposals.find(hub, repo)
    assert found is not None
    assert (found.num, found.ref, found.conflicts) == (first, f"refs/pr/{first}", ())
    assert found.url == f"{served.endpoint}/{repo}/discussions/{first}"
    assert found.head == api.model_info(repo, revision=found.ref).sha
    api.create_commit(repo, [CommitOperationAdd("b", b"b")], commit_message="b", revision=found.ref)
    again = proposals.find(hub, repo)  # somebody else's commit on top makes it nobody else's
    assert again is not None
    assert again.num == first
    assert again.head != found.head
    newer = propose(served, repo, ALICE)
    assert getattr(proposals.find(hub, repo), "num", None) == newer
    api.change_discussion_status(repo, newer, "closed")
    assert getattr(proposals.find(hub, repo), "num", None) == first
    api.merge_pull_request(repo, first)
    assert proposals.find(hub, repo) is None


def test_a_proposal_that_cannot_be_merged_says_so(repo: str, served: RunningHub) -> None:
    hub, api = Hub(served.endpoint, ALICE), HfApi(served.endpoint, ALICE)
    propose(served, repo, ALICE)
    assert proposals.conflict_note(proposals.find(hub, repo)) == ()
    api.create_commit(repo, [CommitOperationAdd("a.txt", b"a")], commit_message="Another file")
    assert proposals.conflict_note(proposals.find(hub, repo)) == ()
    api.create_commit(repo, [CommitOperationAdd("notes.txt", b"main\n")], commit_message="The same")
    found = proposals.find(hub, repo)
    assert found is not None
    assert found.conflicts == ("notes.txt",)
    (note,) = proposals.conflict_note(found)
    assert "cannot be merged as it is: main has changed notes.txt" in note


# --- pull requests


def test_a_proposal_is_added_to_while_it_is_open(
    adapter_dir: Path, repo: str, served: RunningHub, capsys: Captured
) -> None:
    publish = ["--adapter", adapter_dir, "--create-pr"]
    api = HfApi(served.endpoint, ALICE)
    propose(served, repo, BOB)
    assert hubkit(served, repo, *publish) == 0
    out, err = capsys.readouterr()
    assert out == f"{served.endpoint}/{repo}/discussions/2\n"
    assert f"Opened {served.endpoint}/{repo}/discussions/2 in one commit" in err
    assert hubkit(served, repo, *publish) == 0
    assert "Nothing to propose" in capsys.readouterr().err
    fake_adapter.write(adapter_dir, seed=1600 + next(numbers))
    assert hubkit(served, repo, *publish, "--json") == 0
    out, err = capsys.readouterr()
    assert f"Added to {served.endpoint}/{repo}/discussions/2 in one commit" in err
    assert json.loads(out)["added_to"] is True
    assert titles(served, repo, "refs/pr/2") == ["initial commit", PUSHED, "Update adapter and model card"]
    assert titles(served, repo, "refs/pr/1") == ["initial commit", "Propose"]
    api.change_discussion_status(repo, 2, "closed")
    assert hubkit(served, repo, *publish) == 0
    assert capsys.readouterr().out == f"{served.endpoint}/{repo}/discussions/3\n"
    api.merge_pull_request(repo, 3)
    fake_adapter.write(adapter_dir, seed=1700 + next(numbers))
    assert hubkit(served, repo, *publish) == 0
    assert capsys.readouterr().out == f"{served.endpoint}/{repo}/discussions/4\n"
    assert len(list(api.get_repo_discussions(repo))) == 4


def test_who_may_not_write_adds_to_their_own_proposal(
    adapter_dir: Path, repo: str, served: RunningHub, capsys: Captured
) -> None:
    for seed in (1800, 1900):
        fake_adapter.write(adapter_dir, seed=seed + next(numbers))
        assert hubkit(served, repo, "--adapter", adapter_dir, "--create-pr", who=BOB) == 0
    assert "by Xet" in capsys.readouterr().err
    assert titles(served, repo, "refs/pr/1") == ["initial commit", PUSHED, "Update adapter and model card"]


def test_a_proposal_behind_main(adapter_dir: Path, repo: str, served: RunningHub, capsys: Captured) -> None:
    publish = ["--adapter", adapter_dir, "--create-pr"]
    api = HfApi(served.endpoint, ALICE)
    assert hubkit(served, repo, *publish) == 0
    api.create_commit(repo, [CommitOperationAdd("notes.txt", b"x")], commit_message="Elsewhere")
    fake_adapter.write(adapter_dir, seed=2100 + next(numbers))
    capsys.readouterr()
    assert hubkit(served, repo, *publish) == 0
    assert "cannot be merged" not in capsys.readouterr().err
    config = CommitOperationAdd("adapter_config.json", b"{}")
    api.create_commit(repo, [config], commit_message="The same file")
    fake_adapter.write(adapter_dir, seed=2200 + next(numbers))
    assert hubkit(served, repo, *publish) == 0
    said = "cannot be merged as it is: main has changed adapter_config.json since it was opened"
    assert capsys.readouterr().err.count(said) == 1
    api.change_discussion_status(repo, 1, "closed")
    assert hubkit(served, repo, *publish) == 0
    assert "cannot be merged" not in capsys.readouterr().err
    api.merge_pull_request(repo, 2)


def test_a_proposal_is_made_also_when_nobody_knows_whether_it_merges(
    adapter_dir: Path, repo: str, served: RunningHub, board: localhub.Switchboard, capsys: Captured
) -> None:
    board.order(localhub.Fault("status", "GET", "/discussions/1\\?", status=404, times=9))
    assert hubkit(served, repo, "--adapter", adapter_dir, "--create-pr") == 0
    assert "can be merged as it is, is not known: the Hub does not know" in capsys.readouterr().err


# --- branches and the refs of pull requests


def test_a_branch_is_created_where_it_is_missing(
    adapter_dir: Path, new_repo: str, served: RunningHub, capsys: Captured
) -> None:
    assert hubkit(served, new_repo, "--adapter", adapter_dir, "--revision", "dev/one") == 0
    assert capsys.readouterr().out == f"{served.endpoint}/{new_repo}/tree/dev%2Fone\n"
    assert titles(served, new_repo, "dev/one") == ["initial commit", PUSHED]
    assert titles(served, new_repo) == ["initial commit"]
    assert hubkit(served, new_repo, "--adapter", adapter_dir, "--revision", "refs/heads/dev/one") == 0
    assert "Nothing to change" in capsys.readouterr().err
    assert hubkit(served, new_repo, "--adapter", adapter_dir, "--revision", "refs/heads/main") == 0
    assert titles(served, new_repo) == ["initial commit", PUSHED]
    capsys.readouterr()
    assert hubkit(served, new_repo, "--adapter", adapter_dir, "--revision", "dev/two", "--json") == 0
    out, err = capsys.readouterr()
    assert f"Created the branch dev/two of {new_repo}, which holds all of it" in err
    assert (json.loads(out)["created_branch"], json.loads(out)["nothing_to_do"]) == ("dev/two", False)


def test_a_pull_request_by_its_ref(
    adapter_dir: Path, repo: str, served: RunningHub, capsys: Captured
) -> None:
    number = propose(served, repo, BOB)
    ref = f"refs/pr/{number}"
    assert hubkit(served, repo, "--adapter", adapter_dir, "--revision", ref, who=BOB) == 0
    out, err = capsys.readouterr()
    assert out == f"{served.endpoint}/{repo}/discussions/{number}\n"
    assert "by Xet" in err
    assert titles(served, repo, ref) == ["initial commit", "Propose", PUSHED]
    assert titles(served, repo) == ["initial commit"]
    HfApi(served.endpoint, ALICE).merge_pull_request(repo, number)
    assert hubkit(served, repo, "--adapter", adapter_dir, "--revision", ref) == 2
    assert f"pull request {number} at {repo} is merged. Next: --create-pr" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("v1", "--revision v1 is a tag of alice/"),
        ("COMMIT", " is a commit, and no push goes to one"),
        ("refs/tags/v1", "--revision refs/tags/v1 is a tag"),
        ("refs/pr/99", "there is no pull request 99"),
        ("refs/pr/x", "'refs/pr/x' is no name for a branch"),
        ("a b", "'a b' is no name for a branch"),
        ("", "--revision is empty"),
    ],
)
def test_what_is_no_branch_is_refused(
    revision: str, said: str, adapter_dir: Path, repo: str, served: RunningHub, capsys: Captured
) -> None:
    HfApi(served.endpoint, ALICE).create_tag(repo, tag="v1")
    revision = head(served, repo) if revision == "COMMIT" else revision
    for options in ([], ["--dry-run"]):
        assert hubkit(served, repo, "--adapter", adapter_dir, "--revision", revision, *options) == 2
        err = capsys.readouterr().err
        assert said in err
        assert "Next: " in err
        assert err.count("\n") == 1
    refs = HfApi(served.endpoint, ALICE).list_repo_refs(repo)
    assert [branch.name for branch in refs.branches] == ["main"]
    assert titles(served, repo) == ["initial commit"]


# --- tags


def test_a_tag_is_set_once(
    adapter_dir: Path, new_repo: str, served: RunningHub, board: localhub.Switchboard, capsys: Captured
) -> None:
    publish = ["--adapter", adapter_dir, "--tag", "v1"]
    assert hubkit(served, new_repo, *publish, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["tag"] == "v1"
    assert tags(served, new_repo) == {"v1": said["commit"]} == {"v1": head(served, new_repo)}
    assert hubkit(served, new_repo, *publish) == 0
    said_again = capsys.readouterr().err
    assert "Tag       v1 (at this commit already)" in said_again
    assert "Tag       v1" in said_again
    fake_adapter.write(adapter_dir, seed=1500 + next(numbers))
    board.clear()
    assert hubkit(served, new_repo, *publish) == 2
    err = capsys.readouterr().err
    assert f"the tag v1 of {new_repo} is at commit {said['commit'][:12]}, and this push makes another" in err
    assert f"hf repos tag delete {new_repo} v1" in err
    assert board.count("POST") == board.count("POST", "validate-yaml")  # nothing was sent
    assert hubkit(served, new_repo, *publish, "--dry-run") == 1
    assert "Would be refused: the tag v1" in capsys.readouterr().out
    assert hubkit(served, new_repo, "--adapter", adapter_dir, "--tag", "v2") == 0
    assert tags(served, new_repo) == {"v1": said["commit"], "v2": head(served, new_repo)}


def test_a_bad_tag_is_refused_offline(
    adapter_dir: Path, new_repo: str, served: RunningHub, board: localhub.Switchboard, capsys: Captured
) -> None:
    for tag in ("", "a b", "refs/tags/v1", "x..y", "-v"):
        assert hubkit(served, new_repo, "--adapter", adapter_dir, f"--tag={tag}") == 2
        assert "is no name for a tag" in capsys.readouterr().err
    assert hubkit(served, new_repo, "--adapter", adapter_dir, "--tag", "v1", "--create-pr") == 2
    assert "leave out either --tag or --create-pr" in capsys.readouterr().err
    assert board.log == []


@pytest.mark.parametrize("kind", ["drop", "reset"])
def test_a_lost_answer_to_a_tag(
    kind: str, repo: str, served: RunningHub, board: localhub.Switchboard
) -> None:
    hub = Hub(served.endpoint, ALICE, patience=Patience(attempts=3, sleep=lambda seconds: None))
    board.order(localhub.Fault(kind, "POST", "/tag/"))  # type: ignore[arg-type]
    hub_refs.create_tag(hub, repo, "v1", head(served, repo))
    assert board.pending() == []
    assert tags(served, repo) == {"v1": head(served, repo)}
    with pytest.raises(errors.HubError, match=r"the tag v1 of .* is at commit"):
        hub_refs.create_tag(hub, repo, "v1", "f" * 40)


def test_a_tag_that_fails_after_the_commit_landed(
    adapter_dir: Path, new_repo: str, served: RunningHub, board: localhub.Switchboard, capsys: Captured
) -> None:
    publish = ["--adapter", adapter_dir, "--tag", "v1"]
    board.order(localhub.Fault("status", "POST", "/tag/", status=403))
    assert hubkit(served, new_repo, *publish) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert f"{new_repo} was published: commit {head(served, new_repo)[:12]}, but the tag v1 is missing" in err
    assert "run the same command again" in err
    assert tags(served, new_repo) == {}
    assert hubkit(served, new_repo, *publish) == 0
    assert titles(served, new_repo) == ["initial commit", PUSHED]
    assert tags(served, new_repo) == {"v1": head(served, new_repo)}


# --- collections


def collections_of(hub: RunningHub, owner: str = "alice") -> dict[str, list[str]]:
    api = HfApi(hub.endpoint, ALICE)
    return {
        one.title: [item.item_id for item in api.get_collection(one.slug).items]
        for one in api.list_collections(owner=owner)
    }


def test_a_collection_is_found_or_made_and_filled_once(
    adapter_dir: Path, new_repo: str, served: RunningHub, capsys: Captured
) -> None:
    title = f"Adapters {new_repo}"
    publish = ["--adapter", adapter_dir, "--private"]
    shown = [*publish, "--verify-download", "--dry-run", "--collection", title]
    assert hubkit(served, new_repo, *shown) == 0
    lines = capsys.readouterr().out.split("\n")
    assert f"Into      the collection {title} (would be created, private)" in lines
    assert "Verify    by loading it from the Hub after the push" in lines
    assert hubkit(served, new_repo, *publish, "--collection", title, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert collections_of(served)[title] == [new_repo]
    slug = said["collection"].removeprefix(f"{served.endpoint}/collections/")
    made = HfApi(served.endpoint, ALICE).get_collection(slug)
    assert (made.title, made.private) == (title, True)  # as the repo is
    assert hubkit(served, new_repo, *shown, "--json") == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["collection_fate"] == f"exists: {said['collection']}"
    assert (planned["nothing_to_do"], "title" in planned) == (True, False)
    for name in (title, slug):
        assert hubkit(served, new_repo, *publish, "--collection", name) == 0
        err = capsys.readouterr().err
        assert f"In        {served.endpoint}/collections/{slug}" in err
        assert f"/collections/{slug} (it was there already)" in err
    assert collections_of(served)[title] == [new_repo]
    second = f"{new_repo}-b"
    assert hubkit(served, second, "--adapter", adapter_dir, "--no-private", "--collection", slug) == 0
    assert collections_of(served)[title] == [new_repo, second]
    assert hubkit(served, second, "--adapter", adapter_dir, "--collection", f"{title} open") == 0
    assert not next(
        one.private
        for one in HfApi(served.endpoint, ALICE).list_collections(owner="alice")
        if one.title == f"{title} open"
    )


def test_a_collection_that_cannot_be_had_is_refused_before_the_push(
    adapter_dir: Path, new_repo: str, served: RunningHub, capsys: Captured
) -> None:
    api = HfApi(served.endpoint, BOB)
    theirs = api.create_collection(f"Of bob {new_repo}").slug
    publish = ["--adapter", adapter_dir, "--collection"]
    for slug, said in [
        ("alice/none-64f9a55bb3115b4f513ec026", "there is no collection alice/none-"),
        (theirs, f"the collection {theirs} is of bob"),
        (" ", "--collection is empty"),
    ]:
        assert hubkit(served, new_repo, *publish, slug) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
    assert not api.repo_exists(new_repo)


@pytest.mark.parametrize("kind", ["drop", "reset"])
@pytest.mark.parametrize("path", ["/api/collections$", "/items$"])
def test_a_lost_answer_of_a_collection(
    kind: str, path: str, repo: str, served: RunningHub, board: localhub.Switchboard
) -> None:
    hub = Hub(served.endpoint, ALICE, patience=Patience(attempts=3, sleep=lambda seconds: None))
    title = f"Lost {repo}"
    board.order(localhub.Fault(kind, "POST", path))  # type: ignore[arg-type]
    made = hub_collections.create(hub, title, "alice", private=False)
    assert hub_collections.add(hub, made, repo)
    assert board.pending() == []
    assert collections_of(served)[title] == [repo]
    assert hub_collections.find(hub, title, "alice") == made
    assert not hub_collections.add(hub, made, repo)


def test_two_collections_of_one_title_are_told_apart_by_slug(repo: str, served: RunningHub) -> None:
    hub, api = Hub(served.endpoint, ALICE), HfApi(served.endpoint, ALICE)
    one = api.create_collection(f"Same {repo}").slug
    other = api.create_collection(f"Other {repo}").slug
    api.update_collection_metadata(other, title=f"Same {repo}")
    with pytest.raises(errors.HubError, match="alice has 2 collections titled") as caught:
        hub_collections.find(hub, f"Same {repo}", "alice")
    assert one in caught.value.message
    assert getattr(hub_collections.find(hub, one, ""), "slug", None) == one


def test_tag_and_collection_that_fail_after_the_commit_landed(
    adapter_dir: Path, new_repo: str, served: RunningHub, board: localhub.Switchboard, capsys: Captured
) -> None:
    title = f"Failing {new_repo}"
    publish = ["--adapter", adapter_dir, "--tag", "v1", "--collection", title]
    board.order(localhub.Fault("status", "POST", "/tag/", status=403))
    board.order(localhub.Fault("status", "POST", "/items$", status=403))
    assert hubkit(served, new_repo, *publish) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert f"{new_repo} was published: commit" in err
    assert f"but the tag v1 and its place in the collection {title!r} are missing" in err
    assert hubkit(served, new_repo, *publish) == 0
    assert titles(served, new_repo) == ["initial commit", PUSHED]
    assert tags(served, new_repo) == {"v1": head(served, new_repo)}
    assert collections_of(served)[title] == [new_repo]


# --- what was pushed, loaded from the Hub


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if only the base install were there: importing PEFT takes seconds."""
    monkeypatch.setattr(download, "_has_peft", lambda: False)


@pytest.mark.usefixtures("light")
def test_what_was_pushed_is_loaded_and_looked_at(
    adapter_dir: Path, new_repo: str, served: RunningHub, board: localhub.Switchboard, capsys: Captured
) -> None:
    publish = ["--adapter", adapter_dir, "--verify-download"]
    assert hubkit(served, new_repo, *publish) == 0
    said = capsys.readouterr().err
    assert "Verified  4 files (" in said
    assert "weights' header (1 tensor), configuration and record read" in said
    for name in ("README.md", "adapter_config.json", "adapter_model.safetensors", "hubkit.json"):
        assert board.count("GET", f"resolve/.*{name}") >= 1
    before = board.count("GET", "resolve/.*safetensors")
    assert hubkit(served, new_repo, *publish, "--json") == 0  # the cache is empty each time
    assert board.count("GET", "resolve/.*safetensors") > before
    assert json.loads(capsys.readouterr().out)["verified"].startswith("4 files")


def test_other_bytes_than_were_sent_are_found(repo: str, served: RunningHub) -> None:
    hub, api = Hub(served.endpoint, ALICE), HfApi(served.endpoint, ALICE)
    made = api.create_commit(repo, [CommitOperationAdd("a.txt", b"a")], commit_message="a")
    with pytest.raises(errors.CheckFailed, match=r"something else than was sent: a\.txt"):
        download.verify(hub, repo, made.oid, {"a.txt": "0" * 64})
    with pytest.raises(errors.CheckFailed, match="what the Hub hands out cannot be used"):
        download.verify(hub, repo, made.oid, {"a.txt": hashlib.sha256(b"a").hexdigest()})


def test_a_failed_look_says_what_stands_and_how_to_take_it_back(
    adapter_dir: Path, new_repo: str, served: RunningHub, board: localhub.Switchboard, capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def wrong(*anything: object) -> str:
        raise errors.CheckFailed("the Hub hands out something else than was sent: x")

    monkeypatch.setattr(download, "verify", wrong)
    assert hubkit(served, new_repo, "--adapter", adapter_dir, "--verify-download", "--tag", "v1") == 1
    err = capsys.readouterr().err.splitlines()[-1]
    assert f"{new_repo} was published: commit {head(served, new_repo)[:12]}, but the Hub hands out" in err
    assert f"Next: hubkit publish --revert --repo-id {new_repo} takes it back" in err
    assert tags(served, new_repo) == {}


@pytest.mark.real
@pytest.mark.filterwarnings("default")
def test_peft_reads_what_was_pushed(
    adapter_dir: Path, new_repo: str, served: RunningHub, capsys: Captured
) -> None:
    assert hubkit(served, new_repo, "--adapter", adapter_dir, "--verify-download") == 0
    said = capsys.readouterr().err
    assert "PEFT read the configuration, and every tensor was loaded" in said
    assert len(said.splitlines()) == 2
    config = adapter_dir / "adapter_config.json"
    config.write_text(config.read_text().replace('"LORA"', '"NO_SUCH_TYPE"'))
    fake_adapter.measure(adapter_dir, adapter.read(adapter_dir).sha256())
    assert hubkit(served, new_repo, "--adapter", adapter_dir, "--verify-download", "--no-audit") == 1
    assert "PEFT does not read adapter_config.json" in capsys.readouterr().err
