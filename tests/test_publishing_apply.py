"""A push makes one commit or none, whatever happens around it; over real HTTP, by Xet and by LFS."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import fake_adapter
import pytest
from conftest import ALICE, BOB, READER, Broken
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit import errors, localhub
from hubkit.hub import Hub
from hubkit.hub_client import Patience
from hubkit.localhub import Fault, Switchboard
from hubkit.publishing import Published
from hubkit.publishing.apply import apply
from hubkit.publishing.plan import plan

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub
    from hubkit.localhub.switchboard import Kind

PUSHED = {"README.md", "adapter_config.json", "adapter_model.safetensors", "hubkit.json"}
# huggingface_hub hands files to httpx2 in a way that httpx2 will not take for ever.
OLD_WAY = "ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"
pytestmark = pytest.mark.filterwarnings(OLD_WAY)
numbers = itertools.count(10_000)


@pytest.fixture
def repo() -> str:
    """The id of a repo that no other test has."""
    return f"alice/apply-{next(numbers)}"


@pytest.fixture
def adapter_dir(tmp_path: Path) -> Path:
    """An adapter whose weights no other test has, so that no Hub holds them already."""
    return fake_adapter.write(tmp_path / "adapter", seed=next(numbers))


@pytest.fixture(scope="module")
def lfs_board() -> Switchboard:
    return Switchboard()


@pytest.fixture(scope="module")
def lfs_hub(tmp_path_factory: pytest.TempPathFactory, lfs_board: Switchboard) -> Iterator[RunningHub]:
    """A Hub that offers no Xet."""
    tokens = {ALICE: localhub.Token("alice")}
    place = tmp_path_factory.mktemp("lfs")
    with localhub.start(place, tokens=tokens, xet=False, switchboard=lfs_board) as hub:
        yield hub


@pytest.fixture(params=["xet", "lfs"])
def broken(
    request: pytest.FixtureRequest,
    alice_hub: RunningHub,
    alice_board: Switchboard,
    lfs_hub: RunningHub,
    lfs_board: Switchboard,
) -> Iterator[Broken]:
    """Each of the two Hubs, to be broken."""
    hub, board = (alice_hub, alice_board) if request.param == "xet" else (lfs_hub, lfs_board)
    board.clear()
    yield Broken(hub.endpoint, board)
    board.clear()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Patience:
    """No pauses, neither ours nor those of huggingface_hub."""
    clock = SimpleNamespace(sleep=lambda seconds: None, time=time.time)
    monkeypatch.setattr("huggingface_hub.utils._http.time", clock)
    return Patience(answer_seconds=1.0, attempts=3, sleep=lambda seconds: None)


def push(directory: Path, repo: str, hub: Hub, **options: object) -> Published:
    return apply(plan(directory, repo, hub, **options), hub)  # type: ignore[arg-type]


def titles(endpoint: str, repo: str, revision: str = "main") -> list[str]:
    """The titles of a repo's commits, oldest first, as huggingface_hub alone sees them."""
    api = HfApi(endpoint, ALICE)
    if not api.repo_exists(repo):
        return []
    return [commit.title for commit in api.list_repo_commits(repo, revision=revision)][::-1]


def served(endpoint: str, repo: str, path: str, revision: str = "main") -> bytes:
    api = HfApi(endpoint, ALICE)
    return Path(api.hf_hub_download(repo, path, revision=revision)).read_bytes()


def assert_whole(endpoint: str, repo: str, directory: Path) -> None:
    for path in PUSHED:
        assert served(endpoint, repo, path) == (directory / path).read_bytes(), path


def test_one_commit_with_everything(adapter_dir: Path, repo: str, alice_hub: RunningHub) -> None:
    done = push(adapter_dir, repo, Hub(alice_hub.endpoint, ALICE))
    assert titles(alice_hub.endpoint, repo) == ["initial commit", "Add adapter and model card"]
    assert done.address == f"{alice_hub.endpoint}/{repo}"
    assert (done.storage, done.nothing_to_do, done.notes) == ("xet", False, [])
    assert done.new_bytes == sum((adapter_dir / path).stat().st_size for path in PUSHED)
    info = HfApi(alice_hub.endpoint, ALICE).model_info(repo)
    assert info.private
    assert info.sha == done.commit
    assert {file.rfilename for file in info.siblings or []} == {*PUSHED, ".gitattributes"}
    assert_whole(alice_hub.endpoint, repo, adapter_dir)


def test_a_server_without_xet(
    adapter_dir: Path, repo: str, lfs_hub: RunningHub, capfd: pytest.CaptureFixture[str]
) -> None:
    done = push(adapter_dir, repo, Hub(lfs_hub.endpoint, ALICE))
    assert done.storage == "lfs"
    assert done.notes == ["this server offers no Xet storage: the weights went by LFS"]
    assert len(titles(lfs_hub.endpoint, repo)) == 2
    assert_whole(lfs_hub.endpoint, repo, adapter_dir)
    assert capfd.readouterr().err == ""  # it is said once, by the note


def test_xet_switched_off(adapter_dir: Path, repo: str, alice_hub: RunningHub) -> None:
    code = f"""
import json, msgspec
from pathlib import Path
from hubkit.hub import Hub
from hubkit.publishing.apply import apply
from hubkit.publishing.plan import plan
hub = Hub({alice_hub.endpoint!r}, {ALICE!r})
print(json.dumps(msgspec.to_builtins(apply(plan(Path({str(adapter_dir)!r}), {repo!r}, hub), hub))))
"""
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", OLD_WAY, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    said = json.loads(done.stdout)
    assert said["storage"] == "lfs"
    assert "notes" not in said
    assert done.stderr == ""
    assert len(titles(alice_hub.endpoint, repo)) == 2
    assert_whole(alice_hub.endpoint, repo, adapter_dir)


def test_a_second_push_makes_no_commit(adapter_dir: Path, repo: str, broken: Broken) -> None:
    hub = Hub(broken.endpoint, ALICE)
    first = push(adapter_dir, repo, hub)
    broken.board.clear()
    second = push(adapter_dir, repo, hub)
    assert second.nothing_to_do
    assert second.commit == first.commit
    assert second.new_bytes == 0
    assert {seen.method for seen in broken.board.log} == {"GET"}


def test_a_changed_card_sends_the_card_alone(adapter_dir: Path, repo: str, broken: Broken) -> None:
    hub = Hub(broken.endpoint, ALICE)
    push(adapter_dir, repo, hub)
    (adapter_dir / "README.md").write_text(fake_adapter.CARD + "\nMore.\n")
    broken.board.clear()
    made = plan(adapter_dir, repo, hub)
    assert [file.path for file in made.changes] == ["README.md"]
    assert made.card_diff.splitlines()[-2:] == ["+", "+More."]
    done = apply(made, hub)
    assert done.new_bytes == len(fake_adapter.CARD) + 7
    assert done.storage is None
    assert titles(broken.endpoint, repo)[-1] == "Update model card"
    assert broken.board.count("GET", "xet-write-token") == broken.board.count("POST", "lfs/objects") == 0
    assert broken.board.count("GET", "safetensors") == 0  # verified without a download


def test_the_users_title_and_branch(adapter_dir: Path, repo: str, alice_hub: RunningHub) -> None:
    hub = Hub(alice_hub.endpoint, ALICE)
    push(adapter_dir, repo, hub, revision="dev", commit_message="My title", private=False)
    assert titles(alice_hub.endpoint, repo) == ["initial commit"]
    assert titles(alice_hub.endpoint, repo, "dev") == ["initial commit", "My title"]
    assert push(adapter_dir, repo, hub, revision="dev").nothing_to_do
    repo_on_hub = hub.repo(repo)
    assert repo_on_hub is not None
    assert not repo_on_hub.private


def test_a_pull_request(adapter_dir: Path, repo: str, alice_hub: RunningHub) -> None:
    hub = Hub(alice_hub.endpoint, ALICE)
    hub.create_repo(repo, False)
    done = push(adapter_dir, repo, hub, create_pr=True)
    assert done.pull_request == done.address == f"{alice_hub.endpoint}/{repo}/discussions/1"
    assert titles(alice_hub.endpoint, repo) == ["initial commit"]
    assert titles(alice_hub.endpoint, repo, "refs/pr/1")[-1] == "Add adapter and model card"


def test_a_lost_pull_request_is_found(
    adapter_dir: Path, repo: str, broken: Broken, impatient: Patience
) -> None:
    hub = Hub(broken.endpoint, ALICE, patience=impatient)
    hub.create_repo(repo, False)
    broken.board.order(Fault("drop", "POST", "/commit/"))
    done = push(adapter_dir, repo, hub, create_pr=True)
    assert done.pull_request == f"{broken.endpoint}/{repo}/discussions/1"
    assert broken.board.count("POST", "/commit/") == 1


@pytest.mark.parametrize(
    ("token", "repo_id", "words"),
    [
        ("hf_wrong_token", "alice/x", "does not accept this token"),
        (READER, "alice/apply-read-only", "may not write"),
        (BOB, "alice/apply-not-bobs", "may not write"),
    ],
)
def test_tokens_that_may_not(
    token: str, repo_id: str, words: str, adapter_dir: Path, alice_hub: RunningHub
) -> None:
    with pytest.raises(errors.NotAuthorised, match=words) as caught:
        push(adapter_dir, repo_id, Hub(alice_hub.endpoint, token))
    assert token not in str(caught.value)
    assert titles(alice_hub.endpoint, repo_id) == []


def test_a_read_only_token_at_a_repo_that_is_there(
    adapter_dir: Path, repo: str, alice_hub: RunningHub
) -> None:
    Hub(alice_hub.endpoint, ALICE).create_repo(repo, True)
    with pytest.raises(errors.NotAuthorised, match=f"may not write to {repo}"):
        push(adapter_dir, repo, Hub(alice_hub.endpoint, READER))
    assert titles(alice_hub.endpoint, repo) == ["initial commit"]


def test_a_file_that_changed_after_the_plan(adapter_dir: Path, repo: str, alice_hub: RunningHub) -> None:
    hub = Hub(alice_hub.endpoint, ALICE)
    made = plan(adapter_dir, repo, hub)
    (adapter_dir / "README.md").write_text("# other\n")
    with pytest.raises(errors.HubkitError, match="changed after the plan"):
        apply(made, hub)
    assert titles(alice_hub.endpoint, repo) == []


def test_the_hubs_warnings_are_notes(adapter_dir: Path, repo: str, alice_hub: RunningHub) -> None:
    (adapter_dir / "README.md").write_text("# no front matter\n")
    hub = Hub(alice_hub.endpoint, ALICE)
    done = apply(plan(adapter_dir, repo, hub, audit=False), hub)
    assert done.notes == ["the Hub warns about the card: empty or missing yaml metadata in repo card"]


def test_what_the_hub_holds_is_compared(
    adapter_dir: Path, repo: str, alice_hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(alice_hub.endpoint, ALICE)
    made = plan(adapter_dir, repo, hub)
    monkeypatch.setattr(hub, "read", lambda *_: b"# something else")
    with pytest.raises(errors.HubError, match=r"holds something else than was sent: README\.md"):
        apply(made, hub)


# Somebody else at the same repo


def other_commit(endpoint: str, repo: str, path: str, content: bytes) -> None:
    HfApi(endpoint, ALICE).create_commit(repo, [CommitOperationAdd(path, content)], commit_message="theirs")


def test_a_commit_of_other_files_is_built_upon(adapter_dir: Path, repo: str, alice_hub: RunningHub) -> None:
    hub = Hub(alice_hub.endpoint, ALICE)
    hub.create_repo(repo, True)
    made = plan(adapter_dir, repo, hub)
    other_commit(alice_hub.endpoint, repo, "notes.txt", b"theirs")
    apply(made, hub)
    assert titles(alice_hub.endpoint, repo) == ["initial commit", "theirs", made.title]
    assert served(alice_hub.endpoint, repo, "notes.txt") == b"theirs"


@pytest.mark.parametrize("path", ["README.md", "adapter_config.json"])
def test_a_commit_of_our_files_is_not_overwritten(
    path: str, adapter_dir: Path, repo: str, alice_hub: RunningHub
) -> None:
    hub = Hub(alice_hub.endpoint, ALICE)
    push(adapter_dir, repo, hub)
    (adapter_dir / "README.md").write_text(fake_adapter.CARD + "ours\n")
    made = plan(adapter_dir, repo, hub)
    other_commit(alice_hub.endpoint, repo, path, b"---\nlicense: mit\n---\n")
    with pytest.raises(errors.HeadMoved, match=f"somebody else changed {path}"):
        apply(made, hub)
    assert titles(alice_hub.endpoint, repo)[-1] == "theirs"


def test_a_head_that_never_rests(adapter_dir: Path, repo: str, broken: Broken) -> None:
    broken.board.order(Fault("status", "POST", "/commit/", times=99, status=412))
    with pytest.raises(errors.HeadMoved):
        push(adapter_dir, repo, Hub(broken.endpoint, ALICE))
    assert broken.board.count("POST", "/commit/") == 4


def test_publishers_at_once_lose_nothing(tmp_path: Path, repo: str, alice_hub: RunningHub) -> None:
    """Each of four pushes another card; those that come too late are told, and nobody's is overwritten."""
    start = threading.Barrier(4)

    def card(number: int) -> str:
        return f"{fake_adapter.CARD}\nBy publisher {number}.\n"

    ends: dict[int, Published | errors.HubkitError] = {}

    def publisher(number: int) -> None:
        directory = fake_adapter.write(tmp_path / str(number), seed=100 + number, card=card(number))
        hub = Hub(alice_hub.endpoint, ALICE)
        made = plan(directory, repo, hub)
        start.wait(10)
        try:
            ends[number] = apply(made, hub)
        except errors.HubkitError as error:
            ends[number] = error

    threads = [threading.Thread(target=publisher, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    (winner,) = (number for number, end in ends.items() if isinstance(end, Published))
    assert all(isinstance(end, errors.HeadMoved) for number, end in ends.items() if number != winner)
    assert titles(alice_hub.endpoint, repo) == ["initial commit", "Add adapter and model card"]
    assert served(alice_hub.endpoint, repo, "README.md") == card(winner).encode()


# Faults


@pytest.mark.parametrize("fault", ["drop", pytest.param("late", marks=pytest.mark.soak)])
def test_a_commit_whose_answer_was_lost_is_found(
    fault: Kind, adapter_dir: Path, repo: str, broken: Broken, impatient: Patience
) -> None:
    broken.board.order(Fault(fault, "POST", "/commit/"))
    done = push(adapter_dir, repo, Hub(broken.endpoint, ALICE, patience=impatient))
    assert broken.board.count("POST", "/commit/") == 1
    assert len(titles(broken.endpoint, repo)) == 2
    assert HfApi(broken.endpoint, ALICE).model_info(repo).sha == done.commit


def test_a_commit_to_a_branch_with_a_slash_is_not_repeated_blindly(
    adapter_dir: Path, repo: str, broken: Broken, impatient: Patience
) -> None:
    broken.board.order(Fault("drop", "POST", "/commit/"))
    hub = Hub(broken.endpoint, ALICE, patience=impatient)
    push(adapter_dir, repo, hub, revision="feature/x")
    assert broken.board.count("POST", "/commit/") == 1
    assert titles(broken.endpoint, repo, "feature/x") == ["initial commit", "Add adapter and model card"]


@pytest.mark.parametrize("fault", ["reset", "status", pytest.param("hang", marks=pytest.mark.soak)])
def test_a_commit_that_did_not_land_is_made_again(
    fault: Kind, adapter_dir: Path, repo: str, broken: Broken, impatient: Patience
) -> None:
    broken.board.order(Fault(fault, "POST", "/commit/", status=503))
    push(adapter_dir, repo, Hub(broken.endpoint, ALICE, patience=impatient))
    assert broken.board.count("POST", "/commit/") == 2
    assert len(titles(broken.endpoint, repo)) == 2


def test_a_commit_that_never_lands(adapter_dir: Path, repo: str, broken: Broken, impatient: Patience) -> None:
    broken.board.order(Fault("status", "POST", "/commit/", times=99))
    hub = Hub(broken.endpoint, ALICE, patience=impatient)
    with pytest.raises(errors.HubUnreachable, match="the commit did not land"):
        push(adapter_dir, repo, hub)
    assert titles(broken.endpoint, repo) == ["initial commit"]
    broken.board.clear()
    push(adapter_dir, repo, hub)  # and the next run goes on from there
    assert len(titles(broken.endpoint, repo)) == 2


def test_nobody_knows_whether_it_landed(
    adapter_dir: Path, repo: str, broken: Broken, impatient: Patience
) -> None:
    broken.board.order(Fault("drop", "POST", "/commit/"))
    broken.board.order(Fault("reset", "GET", "/commits/", times=99))
    hub = Hub(broken.endpoint, ALICE, patience=impatient)
    with pytest.raises(errors.HubUnreachable, match="whether the commit landed is not known"):
        push(adapter_dir, repo, hub)
    broken.board.clear()
    assert push(adapter_dir, repo, hub).nothing_to_do
    assert len(titles(broken.endpoint, repo)) == 2


def test_a_lost_commit_that_somebody_built_upon_is_found(
    adapter_dir: Path, repo: str, broken: Broken, impatient: Patience
) -> None:
    hub = Hub(broken.endpoint, ALICE, patience=impatient)
    meddle: Callable[[float], None] = lambda _: other_commit(broken.endpoint, repo, "x.txt", b"x")  # noqa: E731
    object.__setattr__(hub.patience, "sleep", meddle)  # before we look
    broken.board.order(Fault("drop", "POST", "/commit/"))
    made = plan(adapter_dir, repo, hub)
    apply(made, hub)
    assert titles(broken.endpoint, repo) == ["initial commit", made.title, "theirs"]


def test_xet_that_fails_half_way(
    adapter_dir: Path, repo: str, alice_hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is granted, and then the client says ConnectionError."""

    def fail(**_: object) -> None:
        raise ConnectionError("Network error: on purpose")

    monkeypatch.setattr("huggingface_hub._commit_api._upload_xet_files", fail)
    done = push(adapter_dir, repo, Hub(alice_hub.endpoint, ALICE))
    assert done.storage == "lfs"
    assert done.notes == ["Xet storage failed: the weights went by LFS"]
    assert_whole(alice_hub.endpoint, repo, adapter_dir)


@pytest.mark.parametrize("fires", [True, False])
def test_a_session_that_was_ended_for_slowness_is_no_ctrl_c(
    fires: bool, adapter_dir: Path, repo: str, alice_hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """hf_xet says KeyboardInterrupt then, in every thread that uses the session."""

    class Timer(threading.Timer):
        def start(self) -> None:
            if fires:
                self.function()

    def fail(**_: object) -> None:
        raise KeyboardInterrupt("Keyboard interrupt (SIGINT)")

    monkeypatch.setattr("huggingface_hub._commit_api._upload_xet_files", fail)
    monkeypatch.setattr(threading, "Timer", Timer)
    hub = Hub(alice_hub.endpoint, ALICE)
    if not fires:
        with pytest.raises(KeyboardInterrupt):
            push(adapter_dir, repo, hub)
        return
    done = push(adapter_dir, repo, hub)
    assert (done.storage, done.notes) == ("lfs", ["Xet storage was too slow: the weights went by LFS"])


@pytest.mark.soak
def test_xet_that_falls_silent(adapter_dir: Path, repo: str, broken: Broken, impatient: Patience) -> None:
    """The token that the client itself asks for never comes."""
    broken.board.order(Fault("hang", "GET", "xet-write-token", times=99, after=1))
    done = push(adapter_dir, repo, Hub(broken.endpoint, ALICE, patience=impatient))
    assert done.storage == "lfs"
    assert_whole(broken.endpoint, repo, adapter_dir)
