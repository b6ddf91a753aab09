"""What a push removes on the Hub: hubkit's own that is stale, what was named, and nothing of others."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import fake_adapter
import pytest
from conftest import ALICE, READER
from huggingface_hub import CommitOperationAdd, HfApi
from test_publishing_merge import edit_here, planned, publish, put_there

from hubkit import errors
from hubkit.hub import Hub, RemoteFile
from hubkit.publishing.apply import apply
from hubkit.publishing.plan import plan
from hubkit.publishing.show import show_plan, show_published

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

pytestmark = [
    pytest.mark.filterwarnings("ignore:Warnings while validating metadata"),
    pytest.mark.filterwarnings("ignore:Use .content=<...>. to upload raw bytes:DeprecationWarning"),
]
numbers = itertools.count(70_000)
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def repo() -> str:
    return f"alice/remove-{next(numbers)}"


@pytest.fixture
def hub(alice_hub: RunningHub) -> Hub:
    return Hub(alice_hub.endpoint, ALICE)


@pytest.fixture
def figured(tmp_path: Path) -> Path:
    """An adapter whose card links two figures."""
    directory = fake_adapter.write(
        tmp_path / "a", card=fake_adapter.CARD + "\n![a](figures/a.png)\n\n![b](figures/b.png)\n"
    )
    (directory / "figures").mkdir()
    (directory / "figures/a.png").write_bytes(PNG + b"a")
    (directory / "figures/b.png").write_bytes(PNG + b"b")
    return directory


def paths(hub: Hub, repo: str) -> set[str]:
    found = hub.repo(repo)
    assert found is not None
    assert found.head is not None
    return set(hub.files(repo, found.head))


def test_a_figure_that_the_card_no_longer_links_goes_with_the_commit(
    figured: Path, repo: str, hub: Hub
) -> None:
    publish(hub, figured, repo)
    put_there(hub, repo, "figures/theirs.png", PNG)  # somebody else's, and linked nowhere
    edit_here(figured, "![b](figures/b.png)\n", "")
    made = planned(hub, figured, repo)
    assert [(file.path, file.change) for file in made.files if file.change in ("removed", "changed")] == [
        ("README.md", "changed"),
        ("hubkit.json", "changed"),
        ("figures/b.png", "removed"),
    ]
    assert "  - figures/b.png  9 B  removed" in show_plan(made)
    assert made.remote_only == [".gitattributes", "figures/theirs.png"]
    before = len(HfApi(hub.endpoint, ALICE).list_repo_commits(repo))
    done, _ = publish(hub, figured, repo)
    assert done.removed == ["figures/b.png"]
    assert show_published(done).endswith(" s; removed figures/b.png")
    assert len(HfApi(hub.endpoint, ALICE).list_repo_commits(repo)) == before + 1
    assert {"figures/a.png", "figures/theirs.png"} == {path for path in paths(hub, repo) if "png" in path}
    again, _ = publish(hub, figured, repo)
    assert again.nothing_to_do


def test_a_figure_that_was_drawn_anew_by_somebody_else_stays(figured: Path, repo: str, hub: Hub) -> None:
    publish(hub, figured, repo)
    put_there(hub, repo, "figures/b.png", PNG + b"theirs")
    edit_here(figured, "![b](figures/b.png)\n", "")
    publish(hub, figured, repo)
    assert "figures/b.png" in paths(hub, repo)


def test_weights_of_the_other_format_go_where_hubkit_pushed_them(figured: Path, repo: str, hub: Hub) -> None:
    hub.create_repo(repo, False)
    added = [CommitOperationAdd("adapter_model.bin", b"old"), CommitOperationAdd("x/adapter_model.bin", b"x")]
    HfApi(hub.endpoint, ALICE).create_commit(
        repo, added, commit_message="Old", commit_description="Published with hubkit; and so on"
    )
    publish(hub, figured, repo)
    assert "adapter_model.bin" not in paths(hub, repo)
    assert "x/adapter_model.bin" in paths(hub, repo)
    put_there(hub, repo, "adapter_model.bin", b"theirs")
    again, _ = publish(hub, figured, repo)
    assert again.nothing_to_do
    assert "adapter_model.bin" in paths(hub, repo)


def test_what_is_named_goes_and_what_is_pushed_never(figured: Path, repo: str, hub: Hub) -> None:
    publish(hub, figured, repo)
    for path in ("old/a.txt", "old/b/c.txt", "notes.txt", "kept.txt"):
        put_there(hub, repo, path, b"x")
    made = planned(hub, figured, repo, delete=("old/", "notes.*", "no-such-*", "*.safetensors", ".git*"))
    assert made.removed == ["notes.txt", "old/a.txt", "old/b/c.txt"]
    assert made.title == "Remove files that are no longer needed"
    assert made.notes[-3:] == [
        "--delete no-such-* names no file on the Hub",
        "--delete *.safetensors deletes nothing: adapter_model.safetensors is pushed from this directory",
        "--delete .git* deletes nothing: .gitattributes never goes",
    ]
    pushed = {file.path for file in made.pushed}
    done, _ = publish(hub, figured, repo, delete=("*",))
    assert done.removed == ["kept.txt", "notes.txt", "old/a.txt", "old/b/c.txt"]
    assert paths(hub, repo) == {*pushed, ".gitattributes"}


def test_what_was_to_go_and_was_changed_meanwhile_stays(figured: Path, repo: str, hub: Hub) -> None:
    publish(hub, figured, repo)
    put_there(hub, repo, "notes.txt", b"x")
    made = plan(figured, repo, hub, delete=("notes.txt",))
    put_there(hub, repo, "notes.txt", b"their newer notes")
    with pytest.raises(errors.HeadMoved, match=r"somebody else changed notes\.txt"):
        apply(made, hub)
    assert "notes.txt" in paths(hub, repo)
    made = plan(figured, repo, hub, delete=("notes.txt",))
    HfApi(hub.endpoint, ALICE).delete_file("notes.txt", repo)
    assert apply(made, hub).nothing_to_do  # somebody else did it


@pytest.mark.parametrize("wrong", ["digest", "removed"])
def test_what_the_hub_holds_is_held_against_all_of_the_plan(
    wrong: str, figured: Path, repo: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, figured, repo)
    put_there(hub, repo, "notes.txt", b"x")
    edit_here(figured, "# A small", "# A large")
    made = plan(figured, repo, hub, delete=("notes.txt",))
    files = hub.files

    def lying(repo_id: str, commit: str) -> dict[str, RemoteFile]:
        other = RemoteFile("0" * 40, 1)
        return {**files(repo_id, commit), ("notes.txt" if wrong == "removed" else "figures/a.png"): other}

    monkeypatch.setattr(hub, "files", lying)
    with pytest.raises(errors.HubError, match="holds something else than was sent"):
        apply(made, hub)


@pytest.mark.parametrize("token", [READER, None])
def test_a_plan_needs_no_right_to_write(
    token: str | None, figured: Path, repo: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, figured, repo, private=False)
    edit_here(figured, "# A small", "# A large")
    monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: None)
    made = planned(Hub(hub.endpoint, token), figured, repo)
    assert [file.path for file in made.changes] == ["README.md", "hubkit.json"]
    assert made.refused is None
    assert "+# A large adapter" in made.card_diff
