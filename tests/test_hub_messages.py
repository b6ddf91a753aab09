"""Each way in which the Hub can say no, or something else can answer: one line, with the next step."""

from __future__ import annotations

import functools
import http.server
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_adapter
import httpx2
import pytest
from conftest import ALICE
from huggingface_hub import HfApi, hf_raise_for_status
from huggingface_hub.errors import HfHubHTTPError
from hypothesis import given
from hypothesis import strategies as st

from hubkit import adapter, errors, localhub
from hubkit.hub import Hub
from hubkit.hub_answers import explain
from hubkit.hub_client import Patience
from hubkit.hub_failures import no_answer, retry_after
from hubkit.localhub import Fault, RunningHub, Switchboard, Token
from hubkit.localhub.auth import Scope
from hubkit.publishing.apply import apply
from hubkit.publishing.plan import plan

EXPIRED, NARROW, ONE_REPO, READER, BOB = (
    f"hf_{name}_token" for name in ("expired", "narrow", "one", "read", "bob")
)
REPO = "alice/spoken"
PATIENCE = Patience(answer_seconds=5.0, attempts=2, sleep=lambda seconds: None)


@pytest.fixture(scope="module")
def board() -> Switchboard:
    return Switchboard()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, board: Switchboard) -> Iterator[RunningHub]:
    tokens = {
        ALICE: Token("alice"),
        READER: Token("alice", "read"),
        BOB: Token("bob"),
        EXPIRED: Token("alice", expires=time.time() - 1, name="laptop"),
        NARROW: Token("alice", "fineGrained", scopes=(Scope("alice"),)),
        ONE_REPO: Token("alice", "fineGrained", scopes=(Scope("alice/other", ("repo.write",)),)),
    }
    place = tmp_path_factory.mktemp("hub")
    with localhub.start(place, tokens=tokens, switchboard=board, quota_bytes=5_000) as hub:
        HfApi(hub.endpoint, ALICE).create_repo(REPO)
        yield hub


@pytest.fixture(autouse=True)
def quiet(board: Switchboard) -> None:
    board.clear()


def hub_of(running: RunningHub, token: str = ALICE) -> Hub:
    return Hub(running.endpoint, token, patience=PATIENCE)


def refused(work: Callable[[], object]) -> errors.HubError:
    """The error that comes, which has a next step and no token, neither in its line nor in its traceback."""
    with pytest.raises(errors.HubError) as caught:
        work()
    error = caught.value
    assert error.hint
    assert "\n" not in str(error)
    shown = "".join(traceback.format_exception(error))
    for token in (ALICE, READER, BOB, EXPIRED, NARROW, ONE_REPO):
        assert token not in str(error) + shown
    return error


ANSWERS = [  # status, what the Hub says, kind, words of the line, words of the next step
    (400, "bad name", errors.HubError, "refused it: bad name", "mend what it names"),
    (401, "Invalid credentials in Authorization header", errors.NotAuthorised, "not accept", "hf auth login"),
    (402, "Payment required", errors.HubError, "plan of this account", "settings/billing"),
    (
        403,
        "You need write access",
        errors.NotAuthorised,
        f"may not write to {REPO}: You need",
        "settings/tokens",
    ),
    (
        403,
        "Forbidden: pass `create_pr=1` as a query parameter",
        errors.NotAuthorised,
        "may not",
        "--create-pr",
    ),
    (403, "Private repository storage limit reached", errors.HubError, "no storage left", "billing"),
    (413, "Payload too large", errors.HubError, "too large", "fewer or smaller"),
    (413, "quota exceeded", errors.HubError, "no storage left", "billing"),
    (404, "no such thing", errors.HubError, "does not know", "--endpoint"),
    (409, "busy", errors.HubError, "another change", "again"),
    (412, "A commit has happened since", errors.HeadMoved, "somebody committed", "again"),
    (418, "teapot", errors.HubError, "answered 418", "again"),
    (422, "invalid name", errors.HubError, "invalid", "--repo-id"),
    (429, "slow down", errors.HubError, "too often", "in some minutes"),
    (501, "not here", errors.HubUnreachable, "answered 501", "again"),
    (507, "disk full", errors.HubError, "cannot keep", "free some space"),
]


@pytest.mark.parametrize(("status", "said", "kind", "line", "hint"), ANSWERS, ids=lambda x: str(x)[:24])
def test_each_refusal_has_its_line(
    status: int, said: str, kind: type, line: str, hint: str, running: RunningHub, board: Switchboard
) -> None:
    board.order(Fault("status", "GET", "/tree/", status=status, message=said, times=9))
    error = refused(lambda: hub_of(running).files(REPO, "main"))
    assert type(error) is kind
    assert line in error.message
    assert hint in str(error.hint)


def test_a_rate_limit_by_the_hubs_own_header(running: RunningHub, board: Switchboard) -> None:
    pauses: list[float] = []
    hub = Hub(running.endpoint, ALICE, patience=Patience(attempts=2, sleep=pauses.append))
    board.order(Fault("status", "GET", "/tree/", status=429, headers={"RateLimit": '"api";r=0;t=55'}))
    assert hub.files(REPO, "main")
    assert pauses == [55.0]


def test_a_hub_at_another_work_is_waited_for(running: RunningHub, board: Switchboard) -> None:
    """Left alone, huggingface_hub would ask for ever, without a pause."""
    busy = "Cannot create repo: another conflicting operation is in progress"
    board.order(Fault("status", "POST", "/repos/create", status=409, message=busy))
    hub_of(running).create_repo("alice/waited", True)
    board.order(Fault("status", "POST", "/repos/create", status=409, message=busy, times=99))
    assert "at another work" in refused(lambda: hub_of(running).create_repo("alice/never", True)).message
    assert board.count("POST", "/repos/create") == 4


def test_tokens_and_what_they_may_not(running: RunningHub) -> None:
    expired = refused(lambda: hub_of(running, EXPIRED).repo(REPO))
    assert 'has expired: User Access Token "laptop"' in expired.message
    assert "settings/tokens" in str(expired.hint)
    narrow = refused(lambda: hub_of(running, NARROW).check_writable("alice/none"))
    assert "fine-grained, with no right to write to repos of alice" in narrow.message
    one = refused(lambda: hub_of(running, ONE_REPO).check_writable("alice/none"))
    assert "fine-grained" in one.message
    assert "may not write" in refused(lambda: hub_of(running, NARROW).check_writable(REPO)).message
    assert "may only read" in refused(lambda: hub_of(running, READER).check_writable("alice/none")).message


def test_a_gated_repo_and_a_disabled_one(running: RunningHub) -> None:
    api = HfApi(running.endpoint, ALICE)
    for name in ("alice/gate", "alice/off"):
        api.create_repo(name)
        api.upload_file(path_or_fileobj=b"x", path_in_repo="x.txt", repo_id=name)
    api.update_repo_settings("alice/gate", gated="auto")
    assert "is gated" in refused(lambda: hub_of(running, BOB).read("alice/gate", "x.txt", "main")).message
    assert running.disable
    running.disable("alice/off")
    assert "was disabled" in refused(lambda: hub_of(running).read("alice/off", "x.txt", "main")).message


def test_a_renamed_repo_is_followed_and_told(running: RunningHub, tmp_path: Path) -> None:
    api = HfApi(running.endpoint, ALICE)
    api.create_repo("alice/old-name", private=True)
    api.move_repo("alice/old-name", "alice/new-name")
    hub = hub_of(running)
    done = apply(plan(fake_adapter.write(tmp_path / "a", seed=71), "alice/old-name", hub, audit=False), hub)
    assert done.repo_id == "alice/new-name"
    assert any("alice/old-name was renamed to alice/new-name" in note for note in done.notes)


def test_a_full_storage(running: RunningHub, tmp_path: Path) -> None:
    """By Xet the commit is refused, by LFS the announcement of the file."""
    directory = fake_adapter.write(tmp_path / "a", seed=72)
    (directory / "adapter_model.safetensors").write_bytes(fake_adapter.weights(72, rows=300))
    fake_adapter.measure(directory, adapter.read(directory).sha256())
    hub = hub_of(running)
    error = refused(lambda: apply(plan(directory, "alice/full", hub, audit=False), hub))
    assert "no storage left for alice/full" in error.message
    assert "alice/full was created, and is empty" in error.message


def test_files_that_the_storage_refuses_one_by_one() -> None:
    said = "LFS batch API returned errors:\nEncountered error for file with OID 12: `too big"
    error = explain(ValueError(said), REPO)
    assert error is not None
    assert "takes no large files" in error.message
    assert "too big" in error.message


def answer(status: int, **headers: str) -> httpx2.Response:
    request = httpx2.Request("GET", "https://huggingface.co/api/models/alice/x")
    return httpx2.Response(
        status, headers=headers, request=request, json={"error": headers.get("X-Error-Message")}
    )


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('User Access Token "laptop" is expired', errors.NotAuthorised),
        ("Invalid credentials in Authorization header", errors.NotAuthorised),
        ("Repository not found", errors.RepoMissing),
    ],
)
def test_a_bad_token_is_not_a_missing_repo(said: str, kind: type) -> None:
    """huggingface_hub calls each 401 of https: a missing repo, but for one of them."""
    with pytest.raises(HfHubHTTPError) as caught:
        hf_raise_for_status(answer(401, **{"X-Error-Message": said}))
    assert type(explain(caught.value, "alice/x")) is kind


class Portal(http.server.BaseHTTPRequestHandler):
    """A login page of a network, which answers in the Hub's place."""

    body, kind = b"<html>Please log in</html>", "text/html"

    def _do(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", self.kind)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass

    do_GET = do_POST = do_PUT = _do


@pytest.fixture
def portal() -> Iterator[Callable[[bytes], str]]:
    servers: list[http.server.HTTPServer] = []

    def serve(body: bytes) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("P", (Portal,), {"body": body}))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


CALLS: dict[str, Callable[[Hub], object]] = {
    "whoami": lambda hub: hub.user(),
    "repo": lambda hub: hub.repo(REPO),
    "files": lambda hub: hub.files(REPO, "main"),
    "messages": lambda hub: hub.messages(REPO, "main"),
    "create": lambda hub: hub.create_repo(REPO, True),
    "card": lambda hub: hub.validate_card(REPO, "# x"),
    "write": lambda hub: hub.check_writable("alice/none"),
}


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b"{", b"[]", b"3", b"null", b'{"name": 3}'])
@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_hub(name: str, body: bytes, portal: Callable[[bytes], str]) -> None:
    hub = Hub(portal(body), ALICE, patience=PATIENCE)
    try:
        CALLS[name](hub)
    except errors.HubError as error:
        assert f"what answers at {hub.endpoint} is no Hub" in error.message  # noqa: PT017
        assert "login page" in str(error.hint)  # noqa: PT017


def test_a_server_of_something_else_is_no_hub_and_is_named(tmp_path: Path) -> None:
    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        where = f"http://127.0.0.1:{server.server_port}"
        error = refused(lambda: Hub(where, ALICE, patience=PATIENCE).repo(REPO))
        server.shutdown()
    assert f"what answers at {where} is no Hub" in error.message
    assert "HF_ENDPOINT" in str(error.hint)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server of files that writes no log."""

    def log_message(self, *_: object) -> None:
        pass


def test_without_a_token_it_is_said_that_none_was_found(running: RunningHub) -> None:
    hub = Hub(running.endpoint + "/", patience=PATIENCE)  # a slash more is no other address
    HfApi(running.endpoint, ALICE).create_repo("alice/hidden", private=True)
    assert hub.anonymous
    assert hub.repo("alice/hidden") is None
    assert "to be seen without a token" in refused(lambda: hub.files("alice/hidden", "main")).message
    assert "asks for a token" in refused(lambda: hub.create_repo("alice/new", None)).message


def test_a_commit_that_a_login_page_answers_is_looked_for(portal: Callable[[bytes], str]) -> None:
    from hubkit.hub_commit import make_commit

    hub = Hub(portal(b"<html>Please log in</html>"), ALICE, patience=PATIENCE)
    error = refused(lambda: make_commit(hub, REPO, [], title="x", parent="0" * 40, removed=["a"]))
    assert "no Hub" in error.message


def test_tls_where_there_is_none(running: RunningHub) -> None:
    started = []
    patience = Patience(attempts=3, sleep=started.append)
    hub = Hub(running.endpoint.replace("http:", "https:"), ALICE, patience=patience)
    assert "does not speak TLS" in refused(hub.user).message
    assert started == []  # it would be the same the next time


def test_a_certificate_that_is_not_trusted() -> None:
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")
    cause.verify_message = "self-signed certificate"
    error = httpx2.ConnectError("failed")
    error.__cause__ = cause
    told = no_answer("GET", httpx2.URL("https://hub.example/api"), error)
    assert "certificate of https://hub.example is not trusted: self-signed" in told.message
    assert "SSL_CERT_FILE" in str(told.hint)


def test_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    error = refused(Hub("https://hub.invalid", ALICE, patience=PATIENCE).user)
    assert "the name hub.invalid is not known" in error.message


def test_a_traceback_shows_no_token() -> None:
    """Even of an exception that somebody else wrote the token into."""
    hub = Hub("http://127.0.0.1:9", ALICE, patience=PATIENCE)

    def fail() -> None:
        with hub.calling(REPO):
            try:
                raise OSError(f"could not send Bearer {ALICE}")
            except OSError as error:
                raise ValueError("odd answer") from error

    assert "odd answer" in refused(fail).message


@given(st.text(max_size=40) | st.sampled_from(["Wed, 21 Oct 2026 07:28:00 GMT", "9" * 400, "-1", "1e9"]))
def test_any_retry_after_is_a_pause_or_none(value: str) -> None:
    headers: Any = {"Retry-After": value.encode("utf-8", "replace")}
    pause = retry_after(httpx2.Response(503, headers=headers), now=0.0)
    assert pause is None or pause >= 0.0


def test_a_date_to_come_back_at() -> None:
    response = httpx2.Response(503, headers={"Retry-After": "Thu, 01 Jan 1970 00:01:40 GMT"})
    assert retry_after(response, now=40.0) == 60.0
    assert retry_after(response, now=400.0) == 0.0
