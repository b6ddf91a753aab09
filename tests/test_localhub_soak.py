"""The local Hub under `kill -9` and under large files, as a process of its own."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hubkit.localhub import fsck
from hubkit.localhub.store import Store

pytestmark = pytest.mark.soak
LONG = os.environ.get("HUBKIT_SOAK") == "long"
KILLS = 30 if LONG else 5
LARGE = 200_000_000
MB = 1_000_000


class Served:
    """`hubkit serve` over a directory, and raw requests to it."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, "-m", "hubkit", "serve", str(root), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout
        self.endpoint = self.process.stdout.readline().strip()
        self.token = (root / "token").read_text().strip()

    def ask(
        self, method: str, address: str, body: Any = None, *, size: int | None = None
    ) -> tuple[int, bytes]:
        """The status and the body of an answer; OSError or HTTPException when the server is gone."""
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(urlsplit(self.endpoint).netloc, timeout=60)
        headers = {} if "signature=" in parts.query else {"Authorization": f"Bearer {self.token}"}
        if size is not None:
            headers["Content-Length"] = str(size)
        if isinstance(body, dict | list):
            body = json.dumps(body)
        try:
            connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def upload(self, repo: str, data: bytes) -> dict[str, Any]:
        """Send a large file by LFS; what a commit says of it."""
        item = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
        wanted = {"operation": "upload", "transfers": ["basic"], "objects": [item]}
        answer = json.loads(self.ask("POST", f"/{repo}.git/info/lfs/objects/batch", wanted)[1])
        for found in answer["objects"]:
            if "actions" in found:
                self.ask("PUT", found["actions"]["upload"]["href"], data)
        return {**item, "algo": "sha256"}

    def commit(self, repo: str, number: int, *, query: str = "") -> str:
        """A commit of a small and a large file."""
        weights = self.upload(repo, number.to_bytes(4, "big") * 20_000)
        lines = [
            {"key": "header", "value": {"summary": f"commit {number}"}},
            {"key": "file", "value": {"path": "n.txt", "content": f"{number}", "encoding": "utf-8"}},
            {"key": "lfsFile", "value": {**weights, "path": "w.bin"}},
        ]
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        status, answer = self.ask("POST", f"/api/models/{repo}/commit/main{query}", body)
        assert status == 200, answer
        return str(json.loads(answer)["commitOid"])

    def kill(self) -> None:
        """As a crash does it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


def until_gone(step: Callable[[int], None], start: int) -> threading.Thread:
    """Do it again and again in a thread, until the server does not answer."""

    def work() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, json.JSONDecodeError):
            for number in range(start, start + 1_000_000):
                step(number)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def workers(server: Served, round_: int, acknowledged: list[str]) -> list[threading.Thread]:
    """Whatever changes a store, all at once."""

    def change(number: int) -> None:
        acknowledged.append(server.commit("local/one", number))

    def propose(number: int) -> None:
        server.commit("local/two", number, query="?create_pr=1")
        server.ask("POST", "/api/models/local/two/tag/main", {"tag": f"v{number}"})
        server.ask("POST", "/api/collections", {"namespace": "local", "title": f"{number}"})

    def rename(number: int) -> None:
        server.ask("POST", "/api/repos/create", {"name": f"new-{number}"})
        server.ask(
            "POST", "/api/repos/move", {"fromRepo": f"local/new-{number}", "toRepo": f"local/old-{number}"}
        )
        server.ask("DELETE", "/api/repos/delete", {"name": f"old-{number}"})

    return [until_gone(step, round_ * 1_000_000) for step in (change, propose, rename)]


def test_a_store_is_whole_after_every_kill(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    root = tmp_path / "hub"
    acknowledged: list[str] = []
    for round_ in range(KILLS):
        server = Served(root)
        for name in ("one", "two"):
            assert server.ask("POST", "/api/repos/create", {"name": name})[0] == (409 if round_ else 200)
        threads = workers(server, round_, acknowledged)
        time.sleep(chance.uniform(0.02, 0.8))
        server.kill()
        for thread in threads:
            thread.join()
        with contextlib.closing(Store(root)) as store:
            assert fsck.check(store) == [], f"seed {seed}, kill {round_}"
            history = [
                made.oid for made in store.repo("local/one").history(store.repo("local/one").resolve("main"))
            ]
            assert set(acknowledged) <= set(history)
            # Beside the first one, and those whose answer was lost, at most one a kill.
            assert len(history) - 1 - len(acknowledged) <= round_ + 1
    server = Served(root)
    assert server.commit("local/one", 0)  # and it goes on
    server.kill()
    print(f"{KILLS} kills, {len(acknowledged)} commits, none lost")


def peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def pieces(size: int) -> Iterator[bytes]:
    """Bytes that are all different, a megabyte at a time."""
    for number in range(size // MB):
        yield number.to_bytes(4, "big") * (MB // 4)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells a process's memory")
@pytest.mark.parametrize("transfer", ["basic", "multipart"])
def test_a_large_file_passes_through_little_memory(tmp_path: Path, transfer: str) -> None:
    server = Served(tmp_path / "hub")
    assert server.ask("POST", "/api/repos/create", {"name": "x"})[0] == 200
    server.commit("local/x", 1)
    before = peak(server.process.pid)
    digest = hashlib.sha256()
    for piece in pieces(LARGE):
        digest.update(piece)
    item = {"oid": digest.hexdigest(), "size": LARGE}
    wanted = {"operation": "upload", "transfers": [transfer], "objects": [item]}
    answer = json.loads(server.ask("POST", "/local/x.git/info/lfs/objects/batch", wanted)[1])
    action = answer["objects"][0]["actions"]["upload"]
    if transfer == "basic":
        assert server.ask("PUT", action["href"], pieces(LARGE), size=LARGE)[0] == 200
    else:
        _in_parts(server, action)
    line = {"key": "lfsFile", "value": {**item, "path": "large.bin", "algo": "sha256"}}
    body = json.dumps({"key": "header", "value": {"summary": "x"}}) + "\n" + json.dumps(line) + "\n"
    assert server.ask("POST", "/api/models/local/x/commit/main", body)[0] == 200
    assert _downloaded(server, "/local/x/resolve/main/large.bin") == digest.hexdigest()
    grown = peak(server.process.pid) - before
    server.kill()
    print(f"{transfer}: {LARGE // MB} MB through {grown / MB:.1f} MB of memory")
    assert grown < 100 * MB


def _in_parts(server: Served, action: dict[str, Any]) -> None:
    size, made, stream = int(action["header"]["chunk_size"]), [], pieces(LARGE)
    addresses = [address for name, address in sorted(action["header"].items()) if name != "chunk_size"]
    for number, address in enumerate(addresses, 1):
        length = min(size, LARGE - size * (number - 1))
        part = b"".join(next(stream) for _ in range(length // MB))
        assert server.ask("PUT", address, part)[0] == 200
        made.append({"partNumber": number, "etag": hashlib.md5(part).hexdigest()})
    assert server.ask("POST", action["href"], {"oid": "", "parts": made})[0] == 200


def _downloaded(server: Served, path: str) -> str:
    connection = http.client.HTTPConnection(urlsplit(server.endpoint).netloc, timeout=60)
    connection.request("GET", path)
    answer, digest = connection.getresponse(), hashlib.sha256()
    while piece := answer.read(MB):
        digest.update(piece)
    connection.close()
    return digest.hexdigest()
