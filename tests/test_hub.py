"""The room that talks to the Hub: its reads, its errors and its patience, over real HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import ALICE, BOB, READER, Broken

from hubkit import errors
from hubkit.hub import Hub, find_token
from hubkit.hub_answers import redact
from hubkit.hub_client import Patience, once
from hubkit.localhub import Fault

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub
    from hubkit.localhub.switchboard import Kind

REPO = "alice/reads"
CARD = b"---\nlicense: mit\n---\n# hello\n"


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def patience(pauses: list[float]) -> Patience:
    return Patience(attempts=3, sleep=pauses.append)


@pytest.fixture(scope="module")
def head(alice_hub: RunningHub) -> str:
    """The head of a repo with a card and a weights file."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(alice_hub.endpoint, ALICE)
    api.create_repo(REPO, private=True)
    files = {"README.md": CARD, "model.safetensors": b"\0" * 100}
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    return api.create_commit(REPO, operations, commit_message="first").oid


def test_importing_it_costs_nothing() -> None:
    code = (
        "import sys, hubkit.hub, hubkit.publishing; print({'huggingface_hub', 'httpx2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_reads(alice_hub: RunningHub, head: str) -> None:
    hub = Hub(alice_hub.endpoint, ALICE)
    repo = hub.repo(REPO)
    assert repo is not None
    assert (repo.id, repo.private, repo.head) == (REPO, True, head)
    files = hub.files(REPO, head)
    assert files["README.md"].sha256 is None
    assert files["README.md"].size == len(CARD)
    assert files["model.safetensors"].sha256 is not None
    assert files["model.safetensors"].size == 100
    assert hub.read(REPO, "README.md", head) == CARD
    assert hub.user() == "alice"


def test_what_is_missing_is_none(alice_hub: RunningHub, head: str) -> None:
    hub = Hub(alice_hub.endpoint, ALICE)
    assert hub.repo("alice/none") is None
    repo = hub.repo(REPO, "no-such-branch")
    assert repo is not None
    assert repo.head is None
    assert Hub(alice_hub.endpoint, BOB).repo(REPO) is None  # private, and not bob's


def test_create_repo_twice_is_one_repo(alice_hub: RunningHub) -> None:
    hub = Hub(alice_hub.endpoint, ALICE)
    hub.create_repo("alice/twice", True)
    hub.create_repo("alice/twice", True)
    first = hub.repo("alice/twice")
    assert first is not None
    assert first.private
    hub.create_branch("alice/twice", "dev", str(first.head))
    hub.create_branch("alice/twice", "dev", str(first.head))
    assert hub.repo("alice/twice", "dev") == first


def test_download_goes_through_the_cache(alice_hub: RunningHub, head: str) -> None:
    assert Hub(alice_hub.endpoint, ALICE).download(REPO, "README.md").read_bytes() == CARD


def test_wrong_token(alice_hub: RunningHub) -> None:
    with pytest.raises(errors.NotAuthorised, match="does not accept this token") as caught:
        Hub(alice_hub.endpoint, "hf_wrong_token").user()
    assert "hf auth login" in str(caught.value)
    assert "hf_wrong_token" not in str(caught.value)


def test_read_only_token(alice_hub: RunningHub) -> None:
    with pytest.raises(errors.NotAuthorised, match="may not write to alice/new"):
        Hub(alice_hub.endpoint, READER).create_repo("alice/new", None)


def test_namespace_of_somebody_else(alice_hub: RunningHub) -> None:
    with pytest.raises(errors.NotAuthorised, match="may not write to bob/new"):
        Hub(alice_hub.endpoint, ALICE).create_repo("bob/new", None)


def test_what_may_be_written(alice_hub: RunningHub, head: str) -> None:
    alice, reader, bob = (Hub(alice_hub.endpoint, token) for token in (ALICE, READER, BOB))
    alice.check_writable(REPO)
    alice.check_writable("alice/not-there-yet")
    with pytest.raises(errors.NotAuthorised, match="may not write to alice/reads"):
        reader.check_writable(REPO)
    with pytest.raises(errors.NotAuthorised, match="may not create alice/none: it may only read"):
        reader.check_writable("alice/none")
    with pytest.raises(errors.NotAuthorised, match="may not create alice/reads: it is a token of bob"):
        bob.check_writable(REPO)
    with pytest.raises(errors.NotAuthorised, match="does not accept this token"):
        Hub(alice_hub.endpoint, "hf_wrong_token").check_writable(REPO)


def test_missing_repo_and_file(alice_hub: RunningHub, head: str) -> None:
    hub = Hub(alice_hub.endpoint, ALICE)
    with pytest.raises(errors.RepoMissing, match="alice/none"):
        hub.files("alice/none", "main")
    with pytest.raises(errors.HubError, match="no such file"):
        hub.read(REPO, "none.txt", head)


def test_bad_repo_id(alice_hub: RunningHub) -> None:
    with pytest.raises(errors.HubError, match="not a repo id"):
        Hub(alice_hub.endpoint, ALICE).repo("a/b/c")


def test_a_token_with_a_line_break_is_not_shown(alice_hub: RunningHub) -> None:
    with pytest.raises(errors.NotAuthorised) as caught:
        Hub(alice_hub.endpoint, "hf_secret\nhf_secret").user()
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


CALLS = {
    "whoami": ("GET", "/api/whoami-v2"),
    "repo": ("GET", "/api/models/alice/reads/revision/"),
    "files": ("GET", "/api/models/alice/reads/tree/"),
    "read": ("GET", "/resolve/"),
    "create_repo": ("POST", "/api/repos/create"),
    "create_branch": ("POST", "/branch/"),
}


def call(hub: Hub, name: str, head: str) -> object:
    """One call of each kind."""
    return {
        "whoami": hub.user,
        "repo": lambda: hub.repo(REPO),
        "files": lambda: hub.files(REPO, head),
        "read": lambda: hub.read(REPO, "README.md", head),
        "create_repo": lambda: hub.create_repo(REPO, True),
        "create_branch": lambda: hub.create_branch(REPO, "stumble", head),
    }[name]()


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("fault", ["status", "reset", "drop"])
def test_a_stumble_is_asked_again(
    name: str, fault: Kind, broken: Broken, head: str, patience: Patience, pauses: list[float]
) -> None:
    broken.board.order(Fault(fault, *CALLS[name], status=503))
    call(Hub(broken.endpoint, ALICE, patience=patience), name, head)
    assert broken.board.count(*CALLS[name]) == 2
    assert pauses == [0.5]


@pytest.mark.parametrize(
    "name", [pytest.param("whoami", marks=pytest.mark.soak), "repo"]
)  # the second comes with a time limit of none at all
def test_silence_is_asked_again(name: str, broken: Broken, head: str, pauses: list[float]) -> None:
    patience = Patience(answer_seconds=1.0, attempts=3, sleep=pauses.append)
    broken.board.order(Fault("hang", *CALLS[name]))
    call(Hub(broken.endpoint, ALICE, patience=patience), name, head)
    assert broken.board.count(*CALLS[name]) == 2
    assert pauses == [0.5]


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_it_gives_up_after_its_attempts(
    status: int, broken: Broken, patience: Patience, pauses: list[float]
) -> None:
    broken.board.order(Fault("status", "GET", "whoami", times=9, status=status))
    with pytest.raises(errors.HubUnreachable, match=f"answered {status}"):
        Hub(broken.endpoint, ALICE, patience=patience).user()
    assert broken.board.count("GET", "whoami") == 3
    assert pauses == [0.5, 1.0]


def test_a_silent_server_is_given_up(broken: Broken, pauses: list[float]) -> None:
    told: list[str] = []
    patience = Patience(answer_seconds=0.2, attempts=3, sleep=pauses.append, tell=once(told.append))
    broken.board.order(Fault("hang", "GET", "/api/models", times=9))
    hub = Hub(broken.endpoint, ALICE, patience=patience)
    for _ in range(2):
        with pytest.raises(errors.HubUnreachable, match="no answer within the time limit"):
            hub.repo(REPO)
    assert told == [f"no answer from {broken.endpoint} within 0.2 s; trying again, 2 of 3"]


def test_retry_after_is_kept(broken: Broken, patience: Patience, pauses: list[float]) -> None:
    broken.board.order(Fault("status", "GET", "whoami", status=429, headers={"Retry-After": "7"}))
    assert Hub(broken.endpoint, ALICE, patience=patience).user() == "alice"
    assert pauses == [7.0]


def test_a_long_retry_after_is_told(broken: Broken, patience: Patience, pauses: list[float]) -> None:
    broken.board.order(Fault("status", "GET", "whoami", status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(errors.HubError, match="asked too often") as caught:
        Hub(broken.endpoint, ALICE, patience=patience).user()
    assert "3600 seconds" in str(caught.value)
    assert pauses == []


def test_nobody_listens(pauses: list[float]) -> None:
    patience = Patience(attempts=2, sleep=pauses.append)
    with pytest.raises(errors.HubUnreachable, match="cannot be reached"):
        Hub("http://127.0.0.1:9", ALICE, patience=patience).user()


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (402, errors.HubError, "plan of this account"),
        (409, errors.HubError, "another change"),
        (412, errors.HeadMoved, "somebody committed"),
        (413, errors.HubError, "too large"),
        (418, errors.HubError, "answered 418"),
        (422, errors.HubError, "invalid"),
    ],
)
def test_each_refusal_has_its_line(
    status: int, kind: type[errors.HubError], words: str, broken: Broken, head: str, patience: Patience
) -> None:
    broken.board.order(Fault("status", "GET", "/tree/", status=status))
    with pytest.raises(errors.HubError, match=words) as caught:
        Hub(broken.endpoint, ALICE, patience=patience).files(REPO, head)
    assert type(caught.value) is kind
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_find_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not find_token()
    monkeypatch.setenv("HF_TOKEN", "hf_something")
    assert find_token()
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setenv("HF_OIDC_RESOURCE", "models/a/b")
    assert find_token()  # and the exchange is not made


@pytest.mark.parametrize("text", ["see hf_abcdefgh!", "Authorization: Bearer abc.def", "token my-own-token"])
def test_redact(text: str) -> None:
    clean = redact(text, "my-own-token")
    assert "***" in clean
    assert not any(secret in clean for secret in ("hf_abcdefgh", "abc.def", "my-own-token"))


def test_offline_mode_is_said_but_not_for_this_machine(alice_hub: RunningHub, tmp_path: Path) -> None:
    code = f"""
from hubkit.errors import HubError
from hubkit.hub import Hub
print(Hub({alice_hub.endpoint!r}, {ALICE!r}).user())
try:
    Hub("https://hub.invalid", {ALICE!r}).user()
except HubError as error:
    print(error)
"""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines()[0] == "alice"
    assert "offline mode" in done.stdout.splitlines()[1]
