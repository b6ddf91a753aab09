"""The switchboard of the local Hub: every fault does what it says, by raw sockets and by the real client."""

import http.client
import json
import socket
import threading
import time

import pytest
from huggingface_hub import HfApi

from hubkit.errors import HubError
from hubkit.localhub import Fault, Switchboard, Token, start

TOKEN = "hf_alice"


@pytest.fixture(scope="module")
def board():
    return Switchboard()


@pytest.fixture(scope="module")
def hub(tmp_path_factory, board):
    folder = tmp_path_factory.mktemp("hub")
    with start(folder, tokens={TOKEN: Token("alice")}, switchboard=board) as running:
        HfApi(endpoint=running.endpoint, token=TOKEN).create_repo("alice/x")
        yield running


@pytest.fixture(autouse=True)
def fresh(board, hub):
    board.clear()


def ask(hub, method="GET", path="/api/models/alice/x", body=None, timeout=5.0):
    """The status, the headers and the body of an answer; OSError or HTTPException when it breaks off."""
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=timeout)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def commit(text="hello"):
    items = [
        ("header", {"summary": "x"}),
        ("file", {"path": "a.txt", "content": text, "encoding": "utf-8"}),
    ]
    return "".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in items)


def head(hub):
    return json.loads(ask(hub)[2])["sha"]


COMMIT = ("POST", "/api/models/alice/x/commit/main")


def test_the_log_says_what_went_over_the_wire(hub, board):
    status, _, answer = ask(hub, "GET", "/api/models/alice/x?blobs=1")
    body = commit("x" * 100_000)
    ask(hub, *COMMIT, body)
    ask(hub, "HEAD", "/alice/x/resolve/main/a.txt")
    anonymous = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=5)
    anonymous.request("POST", "/api/models/alice/x/commit/main", body)
    assert anonymous.getresponse().status == 401
    anonymous.close()
    first, second, third, fourth = board.log
    assert (first.number, first.method, first.path) == (0, "GET", "/api/models/alice/x?blobs=1")
    assert (first.status, first.sent, first.received, first.authorized) == (status, len(answer), 0, True)
    assert (second.number, second.status, second.received) == (1, 200, len(body))
    assert (third.method, third.sent) == ("HEAD", 0)
    assert (fourth.status, fourth.authorized) == (401, False)
    assert board.count("POST", "commit") == 2
    assert board.count() == 4


def test_a_status_is_answered_and_no_work_is_done(hub, board):
    before = head(hub)
    board.order(
        Fault("status", "POST", "/commit/", status=429, headers={"Retry-After": "7"}, message='"slow"')
    )
    status, headers, answer = ask(hub, *COMMIT, commit())
    assert (status, headers["Retry-After"], json.loads(answer)) == (429, "7", {"error": '"slow"'})
    assert head(hub) == before
    assert board.log[1].received == len(commit())
    assert ask(hub, *COMMIT, commit())[0] == 200  # it happens once


def test_after_times_and_number_choose_the_request(hub, board):
    board.order(
        Fault("status", path="models", after=1, times=2, status=503), Fault("status", number=4, status=418)
    )
    assert [ask(hub)[0] for _ in range(6)] == [200, 503, 503, 200, 418, 200]
    assert board.pending() == []
    board.order(Fault("reset", "PUT"))
    assert [fault.kind for fault in board.pending()] == ["reset"]


def test_reset_before_the_work_and_drop_after_it(hub, board):
    first = head(hub)
    board.order(Fault("reset", "POST", "/commit/"))
    with pytest.raises(ConnectionResetError):
        ask(hub, *COMMIT, commit("one"))
    assert head(hub) == first
    board.order(Fault("drop", "POST", "/commit/"))
    with pytest.raises(ConnectionResetError):
        ask(hub, *COMMIT, commit("two"))
    assert head(hub) != first
    reset, dropped = (seen for seen in board.log if seen.method == "POST")
    assert (reset.status, reset.done, reset.fault) == (None, None, "reset")
    assert (dropped.status, dropped.done, dropped.fault) == (None, 200, "drop")


def test_an_answer_is_cut(hub, board):
    whole = ask(hub)[2]
    for size in (0, 10, len(whole) - 1):
        board.order(Fault("cut", "GET", bytes=size))
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)) as caught:
            ask(hub)
        if isinstance(caught.value, http.client.IncompleteRead):
            assert caught.value.partial == whole[:size]
        assert board.log[-1].sent == size


def test_hang_never_works_and_late_never_answers(hub, board):
    first = head(hub)
    board.order(Fault("hang", "POST", "/commit/"))
    with pytest.raises(TimeoutError):
        ask(hub, *COMMIT, commit("three"), timeout=0.1)
    assert head(hub) == first
    board.order(Fault("late", "POST", "/commit/"))
    with pytest.raises(TimeoutError):
        ask(hub, *COMMIT, commit("four"), timeout=0.3)
    assert head(hub) != first


def test_delay_works_after_a_while(hub, board):
    board.order(Fault("delay", "GET", seconds=0.2))
    with pytest.raises(TimeoutError):
        ask(hub, timeout=0.05)
    board.order(Fault("delay", "GET", seconds=0.02))
    assert ask(hub)[0] == 200


def test_an_upload_is_cut_while_it_streams(hub, board):
    first = head(hub)
    body = commit("x" * 3_000_000)
    board.order(Fault("cut_upload", "POST", "/commit/", bytes=100_000))
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        ask(hub, *COMMIT, body)
    assert head(hub) == first
    cut = next(seen for seen in board.log if seen.method == "POST")
    assert 100_000 <= cut.received < len(body)
    assert cut.status is None
    assert ask(hub, *COMMIT, body)[0] == 200


def test_what_hangs_does_not_hold_the_server(tmp_path):
    board = Switchboard()
    hub = start(tmp_path, switchboard=board)
    board.order(Fault("hang"), Fault("late"), Fault("delay", seconds=600))
    waiting = []
    for _ in range(3):
        waiting.append(socket.create_connection(("127.0.0.1", int(hub.endpoint.rsplit(":", 1)[1])), 5))
        waiting[-1].sendall(b"GET /api/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while len(board.log) < 3:
        time.sleep(0.005)
    serving = threading.active_count()
    hub.close()
    assert threading.active_count() < serving  # its thread has ended, and was not left behind
    for one in waiting[:2]:
        with pytest.raises(ConnectionResetError):
            one.recv(1)
    for one in waiting:
        one.close()


def test_a_hub_that_runs_already_takes_no_switchboard(hub, tmp_path):
    with start(tmp_path), pytest.raises(HubError, match="served already"):
        start(tmp_path, switchboard=Switchboard())
