"""What the local Hub is not led to, and what it does not hold: paths, other machines, memory, time."""

import http.client
import http.server
import json
import socket
import sys
import threading
from typing import ClassVar

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit.errors import HubError
from hubkit.hub_rules import REGULAR_FILE_MAX
from hubkit.localhub import Token, start, wire
from hubkit.localhub.auth import default_secret
from hubkit.localhub.call import JSON_MAX

TOKEN = "hf_alice"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("limits") / "hub"


@pytest.fixture(scope="module")
def hub(root):
    with start(root, tokens={TOKEN: Token("alice")}, storage_origin=True) as running:
        client = HfApi(endpoint=running.endpoint, token=TOKEN)
        client.create_repo("alice/x")
        client.create_commit("alice/x", [CommitOperationAdd("w.bin", b"1" * 300)], commit_message="add")
        client.create_repo("alice/secret", private=True)
        (root.parent / "outside").write_text("what lies outside")
        yield running


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def raw(address, text, wait=5.0):
    """What comes back for bytes as they are, until the connection ends."""
    with socket.create_connection(("127.0.0.1", port_of(address)), wait) as connection:
        connection.sendall(text)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


def get(address, target, headers=""):
    line = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n"
    return raw(address, line.encode("latin-1"))


CLIMBING = [
    "/../../outside",
    "/%2e%2e/%2e%2e/outside",
    "/..%2f..%2foutside",
    "/..%5c..%5coutside",
    "/alice/x/resolve/main/../../../../outside",
    "/alice/x/resolve/main/%2e%2e/%2e%2e/%2e%2e/outside",
    "/alice/x/resolve/main/..%2f..%2f..%2f..%2foutside",
    "/alice/x/resolve/..%2f..%2f..%2ftoken/x",
    "/alice/x/resolve/main/%2fetc%2fpasswd",
    "/alice/x/resolve/main//etc/passwd",
    "/alice/x/resolve/main/w.bin%00.txt",
    "/alice/x/resolve/%00/w.bin",
    "/alice/x/resolve/refs%2fheads%2f..%2f..%2frepo.json/w.bin",
    "/alice%2f..%2falice/secret/resolve/main/.gitattributes",
    "/alice/..%2fsecret/resolve/main/.gitattributes",
    "/alice/x/../secret/resolve/main/.gitattributes",
    "/api/models/alice/x/tree/main/..%2f..",
    "/api/models/alice/x/tree/..%2f..%2f/x",
    "/api/models/..%2f..%2ftoken",
    "/api/models/alice/x/commits/..%2f..%2frepo.json",
    "/api/models/alice/x/discussions/..%2f..%2frepo.json",
    "/api/collections/alice/..%2f..%2fmoved",
    "/api/lfs/..%2f..%2ftoken/get?size=1&until=9999999999&signature=0",
    "/static/..%2f..%2fserver.py",
    "/style.css/../../server.py",
    "http://127.0.0.1/../../outside",
]


@pytest.mark.parametrize("target", CLIMBING)
def test_no_address_leads_out(hub, root, target):
    kept = [
        (root / "token").read_bytes().strip(),
        b"what lies outside",
        b"root:",
        b'"private":',
        b"filter=lfs",
    ]
    for address in (hub.endpoint, hub.storage):
        answer = get(address, target)
        status = int(answer.split(None, 2)[1])
        assert status in (400, 401, 403, 404), answer[:300]
        assert not any(secret in answer for secret in kept)
        assert b"Traceback" not in answer


def test_a_link_in_the_store_is_not_followed(tmp_path):
    with start(tmp_path / "hub") as hub:
        client = HfApi(endpoint=hub.endpoint, token=hub.token)
        client.create_repo("local/x")
        client.create_commit("local/x", [CommitOperationAdd("w.bin", b"1" * 300)], commit_message="add")
        for place in (tmp_path / "hub/objects").glob("*/*/*"):
            place.unlink()
            place.symlink_to("/etc/passwd")
        for name in ("w.bin", ".gitattributes"):
            answer = get(hub.endpoint, f"/local/x/resolve/main/{name}")
            assert answer.startswith(b"HTTP/1.1 400")
            assert b"root:" not in answer
    (tmp_path / "hub/repos/linked").symlink_to(tmp_path / "hub/repos/local")
    with start(tmp_path / "hub") as hub:
        assert get(hub.endpoint, "/api/models/linked/x").startswith(b"HTTP/1.1 401")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, 127.0.0.2 is no address of the machine")
def test_only_this_machine_is_answered(hub):
    for address in (hub.endpoint, hub.storage):
        for host in ("127.0.0.2", socket.gethostbyname(socket.gethostname())):
            if host != "127.0.0.1":
                with pytest.raises(OSError, match="refused"):
                    socket.create_connection((host, port_of(address)), 1)


def ask(hub, method, path, body):
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=20)
    connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, data


def test_bodies_and_lines_are_bounded(hub, monkeypatch):
    assert ask(hub, "POST", "/api/repos/create", b'{"name":"' + b"x" * JSON_MAX)[0] == 413
    nested = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
    assert ask(hub, "POST", "/api/repos/create", nested)[0] == 400
    header = json.dumps({"key": "header", "value": {"summary": "x"}}).encode() + b"\n"
    endless = header + b'{"key":"file","value":{"path":"a","content":"' + b"A" * (REGULAR_FILE_MAX * 2)
    assert ask(hub, "POST", "/api/models/alice/x/commit/main", endless)[0] == 413
    monkeypatch.setattr("hubkit.localhub.commits.OPERATIONS_MAX", 3)
    many = header + b'{"key":"deletedFile","value":{"path":"w.bin"}}\n' * 4
    assert ask(hub, "POST", "/api/models/alice/x/commit/main", many)[0] == 413
    assert HfApi(endpoint=hub.endpoint, token=TOKEN).list_repo_files("alice/x") == [".gitattributes", "w.bin"]


def test_a_head_that_is_too_long_is_refused(hub):
    assert raw(hub.endpoint, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000).startswith(
        b"HTTP/1.1 400"
    )


def test_a_slow_client_does_not_hold_a_connection(hub, monkeypatch):
    monkeypatch.setattr(wire, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(wire, "BODY_SECONDS", 0.1)
    half = b"POST /api/repos/create HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n"
    for text in (b"", b"GET / HT", half, half + b"\r\n{"):
        assert raw(hub.endpoint, text) == b""  # it ends, or the test's own time would be over
    kept = http.client.HTTPConnection("127.0.0.1", port_of(hub.endpoint), timeout=3)
    kept.request("GET", "/api/models")
    assert kept.getresponse().read().startswith(b"[")
    kept.sock.sendall(b"GET /api")  # a second request that never ends
    assert kept.sock.recv(65536) == b""
    kept.close()


def test_a_client_that_is_slow_and_goes_on_is_served(hub, monkeypatch):
    monkeypatch.setattr(wire, "BODY_SECONDS", 0.5)
    body = json.dumps({"content": "# x"}).encode()
    head = f"POST /api/validate-yaml HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port_of(hub.endpoint)), 5) as connection:
        connection.sendall(head.encode())
        for byte in body:
            connection.sendall(bytes([byte]))
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_more_connections_than_there_may_be_are_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr("hubkit.localhub.running.CONNECTIONS_MAX", 5)
    with start(tmp_path) as hub:
        held = [socket.create_connection(("127.0.0.1", port_of(hub.endpoint)), 5) for _ in range(6)]
        assert get(hub.endpoint, "/api/models").startswith(b"HTTP/1.1 503")
        for connection in held:
            connection.close()
        while get(hub.endpoint, "/api/models").startswith(b"HTTP/1.1 503"):
            pass
        assert get(hub.endpoint, "/api/models").startswith(b"HTTP/1.1 200")


class Stranger(http.server.BaseHTTPRequestHandler):
    """Somebody who listens at the port that a killed Hub had."""

    seen: ClassVar[list[str | None]] = []

    def do_GET(self):
        self.seen.append(self.headers.get("Authorization"))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_the_address_that_a_dead_hub_left_is_shown_no_token(tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        with start(tmp_path):
            pass
        address = {"endpoint": f"http://127.0.0.1:{server.server_port}", "pid": 1}
        (tmp_path / "address").write_text(json.dumps(address))
        with pytest.raises(HubError, match="cannot listen on"):
            start(tmp_path, port=server.server_port)
        assert Stranger.seen == []
        with start(tmp_path) as hub:
            assert hub.endpoint != address["endpoint"]
        server.shutdown()
        thread.join()
    assert Stranger.seen == []


@pytest.mark.parametrize("left", [b"", b"\n", b"\xff\xfe", b"two words"])
def test_a_token_that_is_none_is_made_anew(tmp_path, left):
    first = default_secret(tmp_path)
    assert default_secret(tmp_path) == first
    (tmp_path / "token").write_bytes(left)
    new = default_secret(tmp_path)
    assert new.startswith("hf_")
    assert new not in (first, left.decode("latin-1"))
    assert (tmp_path / "token").stat().st_mode & 0o077 == 0
