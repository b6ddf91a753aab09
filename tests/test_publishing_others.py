"""What others wrote to a repo since a directory was published stays; what they took out stays out."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import fake_adapter
import pytest
from card_cases import CASES
from conftest import ALICE
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from hubkit import errors
from hubkit.cli.main import run
from hubkit.hub import Hub
from hubkit.publishing import Plan, Published, PushOptions, Target, publish_to
from hubkit.publishing import apply as applying
from hubkit.publishing.revert import plan_revert, revert

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use .content=<...>. to upload raw bytes:DeprecationWarning"),
]
numbers = itertools.count(50_000)
CARD = fake_adapter.CARD + "\nFirst.\n\n## Here\n\nHere.\n\n## There\n\nThere.\n"


@pytest.fixture
def repo() -> str:
    return f"alice/others-{next(numbers)}"


@pytest.fixture
def hub(alice_hub: RunningHub) -> Hub:
    return Hub(alice_hub.endpoint, ALICE)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return fake_adapter.write(tmp_path / "plain", card=CARD)


def publish(hub: Hub, directory: Path, repo: str, **options: object) -> Published:
    chosen = PushOptions(watched=True, **options)  # type: ignore[arg-type]
    done = publish_to(Target(hub=hub), directory, repo, chosen, lambda _: None)
    assert isinstance(done, Published)
    return done


def refused(hub: Hub, directory: Path, repo: str, match: str) -> None:
    """A push is refused, and the dry run says so in the same words."""
    chosen = PushOptions(watched=True, dry_run=True)
    made = publish_to(Target(hub=hub), directory, repo, chosen, lambda _: None)
    assert isinstance(made, Plan)
    before = head(hub, repo)
    with pytest.raises(errors.CardError, match=match) as caught:
        publish(hub, directory, repo)
    assert made.refused == caught.value.message
    assert head(hub, repo) == before


def head(hub: Hub, repo: str) -> str:
    found = hub.repo(repo)
    assert found is not None
    return str(found.head)


def there(hub: Hub, repo: str, path: str = "README.md") -> str:
    return hub.read(repo, path, head(hub, repo)).decode()


def put(hub: Hub, repo: str, content: str, path: str = "README.md") -> None:
    HfApi(hub.endpoint, ALICE).create_commit(
        repo, [CommitOperationAdd(path, content.encode())], commit_message=f"Update {path}"
    )


def write(directory: Path, *edits: tuple[str, str]) -> None:
    text = (directory / "README.md").read_text()
    for was, now in edits:
        assert text.count(was) == 1, was
        text = text.replace(was, now)
    (directory / "README.md").write_text(text)


def fail(*_: object, **__: object) -> None:
    raise errors.HubUnreachable("no answer")


def test_an_old_card_that_somebody_put_back_is_an_edit(plain: Path, repo: str, hub: Hub) -> None:
    publish(hub, plain, repo)
    write(plain, ("First.\n", "Second.\n"))
    publish(hub, plain, repo)
    put(hub, repo, CARD)
    write(plain, ("Here.\n", "Here, edited.\n"))
    done = publish(hub, plain, repo)
    assert done.merged is not None
    assert there(hub, repo) == CARD.replace("Here.\n", "Here, edited.\n")


def test_what_was_taken_over_and_then_removed_there_does_not_come_back(
    plain: Path, repo: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, plain, repo)
    put(hub, repo, CARD.replace("There.\n", "There.\n\nRemoved again.\n"))
    write(plain, ("Here.\n", "Here, edited.\n"))
    with monkeypatch.context() as patched:
        patched.setattr(applying, "make_commit", fail)
        with pytest.raises(errors.HubUnreachable):
            publish(hub, plain, repo)
    assert "Removed again." in (plain / "README.md").read_text()
    put(hub, repo, CARD)
    publish(hub, plain, repo)
    assert there(hub, repo) == CARD.replace("Here.\n", "Here, edited.\n")


@pytest.mark.parametrize("end", ["failed", "taken back"])
def test_force_holds_for_one_push(
    end: str, plain: Path, repo: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, plain, repo)
    put(hub, repo, CARD.replace("There.\n", "There, edited.\n"))
    write(plain, ("Here.\n", "Here, edited.\n"))
    with monkeypatch.context() as patched:
        if end == "failed":
            patched.setattr(applying, "make_commit", fail)
            with pytest.raises(errors.HubUnreachable):
                publish(hub, plain, repo, force=True)
        else:
            publish(hub, plain, repo, force=True)
            assert "There, edited." not in there(hub, repo)
            revert(plan_revert(hub, repo, "main"), hub)
    publish(hub, plain, repo)
    assert "There, edited." in there(hub, repo)
    assert "Here, edited." in there(hub, repo)


def test_directories_without_a_record_are_told_apart(
    plain: Path, tmp_path: Path, repo: str, hub: Hub
) -> None:
    (plain / "hubkit.json").unlink()
    publish(hub, plain, repo)
    other = fake_adapter.write(tmp_path / "other", card=CARD + "\nOf another.\n")
    (other / "hubkit.json").unlink()
    refused(hub, other, repo, "would be lost")
    assert there(hub, repo) == CARD
    assert publish(hub, plain, repo).nothing_to_do


def test_a_directory_is_known_when_its_record_was_removed_there(
    plain: Path, tmp_path: Path, repo: str, hub: Hub
) -> None:
    publish(hub, plain, repo)
    HfApi(hub.endpoint, ALICE).create_commit(
        repo, [CommitOperationDelete("hubkit.json")], commit_message="Remove hubkit.json"
    )
    other = fake_adapter.write(tmp_path / "other", card=fake_adapter.CARD + "\nOf another.\n")
    refused(hub, other, repo, "would be lost")
    assert there(hub, repo) == CARD


@pytest.mark.parametrize("path", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_file_that_was_changed_there_is_not_taken_back(path: str, plain: Path, repo: str, hub: Hub) -> None:
    publish(hub, plain, repo)
    ours = (plain / path).read_bytes()
    theirs = fake_adapter.weights(7) if path.endswith("safetensors") else ours.replace(b"{", b"{ ", 1)
    HfApi(hub.endpoint, ALICE).create_commit(
        repo, [CommitOperationAdd(path, theirs)], commit_message=f"Update {path}"
    )
    write(plain, ("Here.\n", "Here, edited.\n"))
    refused(hub, plain, repo, f"{path} of {repo} was changed there since")
    proposed = publish(hub, plain, repo, create_pr=True)
    assert any(path in note for note in proposed.notes)
    refused(hub, plain, repo, f"{path} of {repo} was changed there since")
    if path == "adapter_config.json":
        (plain / path).write_bytes(theirs)
        publish(hub, plain, repo)
        assert hub.read(repo, path, head(hub, repo)) == theirs
    else:
        publish(hub, plain, repo, force=True)
        assert hub.read(repo, path, head(hub, repo)) == ours


def test_what_another_directorys_record_says_is_not_taken_back(tmp_path: Path, repo: str, hub: Hub) -> None:
    ours, theirs = CASES["causal-lora"](tmp_path / "ours"), tmp_path / "theirs"
    assert run(["card", "--adapter", str(ours), "--repo-id", repo, "--no-figures", "-q"]) == 0
    publish(hub, ours, repo)
    shutil.copytree(ours, theirs)
    assert run(["card", "--adapter", str(theirs), "--description", "A word of theirs.", "-q"]) == 0
    publish(hub, theirs, repo)
    begin = "<!-- hubkit:begin usage"
    write(ours, (begin, f"A word of ours.\n\n{begin}"))
    refused(hub, ours, repo, f"hubkit.json of {repo} was changed there since")
    assert "A word of theirs." in there(hub, repo)
    (ours / "hubkit.json").write_text(there(hub, repo, "hubkit.json"))  # the way out that is named
    assert run(["card", "--adapter", str(ours), "-q"]) == 0
    publish(hub, ours, repo)
    assert "A word of theirs." in there(hub, repo)
    assert "A word of ours." in there(hub, repo)


def between(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen after the plan was made, and before its commit."""
    make = applying.make_commit

    def late(*arguments: object, **options: object) -> object:
        monkeypatch.setattr(applying, "make_commit", make)
        happens()
        return make(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(applying, "make_commit", late)


def test_the_same_push_of_another_process_is_not_claimed(
    plain: Path, tmp_path: Path, repo: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, plain, repo)
    write(plain, ("Here.\n", "Here, edited.\n"))
    ends: list[Published] = []

    def other() -> None:
        shutil.copytree(plain, tmp_path / "copy")
        ends.append(publish(hub, tmp_path / "copy", repo))

    between(monkeypatch, other)
    done = publish(hub, plain, repo)
    assert [end.nothing_to_do for end in (*ends, done)] == [False, True]
    assert done.commit == ends[0].commit == head(hub, repo)


def test_a_repo_that_was_made_anew_meanwhile_is_said(
    plain: Path, repo: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, plain, repo)
    write(plain, ("Here.\n", "Here, edited.\n"))
    api = HfApi(hub.endpoint, ALICE)
    between(monkeypatch, lambda: (api.delete_repo(repo), api.create_repo(repo)))
    with pytest.raises(errors.HeadMoved, match="was written anew since"):
        publish(hub, plain, repo)
    assert "README.md" not in hub.files(repo, head(hub, repo))
    publish(hub, plain, repo)
    assert "Here, edited." in there(hub, repo)


@pytest.mark.parametrize("how", ["force", "create_pr"])
def test_what_was_put_over_other_words_deletes_none_elsewhere(
    how: str, plain: Path, tmp_path: Path, repo: str, hub: Hub
) -> None:
    publish(hub, plain, repo)
    write(plain, ("There.\n", "There.\n\nA word of ours.\n"))
    publish(hub, plain, repo)
    other = fake_adapter.write(tmp_path / "other", card=CARD + "\nOf another.\n")
    publish(hub, other, repo, **{how: True})
    if how == "force":
        refused(hub, plain, repo, "would be lost")
    else:
        publish(hub, plain, repo, create_pr=True)
        publish(hub, plain, repo)
        assert "A word of ours." in there(hub, repo)
    assert "A word of ours." in (plain / "README.md").read_text()
    assert "Of another." not in (plain / "README.md").read_text()


def test_a_card_that_nobody_could_join_later_is_not_pushed(plain: Path, repo: str, hub: Hub) -> None:
    (plain / "README.md").write_text(CARD + "A line.\n" * 130_000)
    with pytest.raises(errors.CardError, match="too large for a card") as caught:
        publish(hub, plain, repo, audit=False)
    assert caught.value.message.startswith(f"{plain / 'README.md'} has 1,0")


def test_a_figure_that_the_card_links_as_a_url_stays(plain: Path, repo: str, hub: Hub) -> None:
    (plain / "figures").mkdir()
    (plain / "figures" / "my loss.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (plain / "README.md").write_text(CARD + "\n![Loss](figures/my%20loss.png)\n")
    publish(hub, plain, repo)
    (plain / "figures" / "my loss.png").unlink()
    done = publish(hub, plain, repo, audit=False)
    assert done.removed == []
    assert "figures/my loss.png" in hub.files(repo, head(hub, repo))
