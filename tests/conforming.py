"""What the conformance tests share: a local Hub with three users, and raw requests as curl would send them.

The tests that import this hold the local Hub to the real one's wire. Nothing here or there is hubkit's own
client: they take the server from `hubkit.localhub`, and drive it with other people's clients.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from hubkit.localhub import RunningHub, Token, start

ALICE, READER, BOB = "hf_conform_alice", "hf_conform_reader", "hf_conform_bob"
TOKENS = {ALICE: Token("alice", "write", ("acme",)), READER: Token("alice", "read"), BOB: Token("bob")}


@contextmanager
def running(directory: Path, **options: Any) -> Iterator[RunningHub]:
    """A local Hub with alice (who may write for acme too), a read token of hers, and bob."""
    with start(directory, tokens=TOKENS, **options) as hub:
        yield hub


def fresh(owner: str = "alice") -> str:
    """The id of a repo that no other test uses."""
    return f"{owner}/r-{uuid.uuid4().hex[:12]}"


class Answer(NamedTuple):
    """A raw answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of a refusal; it must be JSON, and the header must say the same in one line."""
        assert self.headers["Content-Type"].startswith("application/json"), self
        message = self.json["error"]
        assert isinstance(message, str)
        assert message
        assert "Traceback" not in message
        assert self.headers["X-Error-Message"]
        return message


def ask(
    hub: RunningHub | str,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str | None = ALICE,
    headers: dict[str, str] | None = None,
) -> Answer:
    """One raw request to a Hub or an origin: a dict or a list goes as JSON, bytes and text as they are."""
    origin = hub if isinstance(hub, str) else hub.endpoint
    if path.startswith("http://"):  # a whole address, perhaps of another origin
        origin = "/".join(path.split("/", 3)[:3])
    connection = http.client.HTTPConnection(origin.removeprefix("http://"), timeout=20)
    given = {"Authorization": f"Bearer {token}"} if token else {}
    if isinstance(body, dict | list):
        body, given = json.dumps(body), given | {"Content-Type": "application/json"}
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    try:
        connection.request(method, path.removeprefix(origin), body, given | (headers or {}))
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def lines(*items: tuple[str, Any]) -> str:
    """A commit's body: one JSON object a line."""
    return "".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in items)


def text_file(path: str, content: str) -> tuple[str, Any]:
    """The line of a commit that adds a text file."""
    return "file", {"path": path, "content": content, "encoding": "utf-8"}


def commit(hub: RunningHub, repo: str, *items: tuple[str, Any], **options: Any) -> Answer:
    """A commit by a raw request; `revision` and `query` say where, `header` adds to its first line."""
    place = f"/api/models/{repo}/commit/{options.pop('revision', 'main')}{options.pop('query', '')}"
    first = ("header", {"summary": "change", **options.pop("header", {})})
    return ask(hub, "POST", place, lines(first, *items), **options)


def upload(hub: RunningHub, repo: str, data: bytes) -> dict[str, Any]:
    """Send a large file by the LFS protocol; what the commit's `lfsFile` needs of it."""
    oid = hashlib.sha256(data).hexdigest()
    body = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": oid, "size": len(data)}]}
    offered = ask(hub, "POST", f"/{repo}.git/info/lfs/objects/batch", body).json["objects"][0]
    if "actions" in offered:
        sent = ask(hub, "PUT", offered["actions"]["upload"]["href"], data, token=None)
        assert sent.status == 200, sent
    return {"algo": "sha256", "oid": oid, "size": len(data)}


def created(hub: RunningHub, owner: str = "alice", **more: Any) -> str:
    """A new repo, by a raw request."""
    name = fresh(owner)
    body = {"name": name.split("/")[1], "organization": owner, "type": "model", **more}
    answer = ask(hub, "POST", "/api/repos/create", body, token=BOB if owner == "bob" else ALICE)
    assert (answer.status, answer.json["name"], answer.json["url"]) == (200, name, f"{hub.endpoint}/{name}")
    return name


def refused(answer: Answer, status: int, *words: str, code: str | None = None) -> Answer:
    """A refusal in the Hub's form: the error in JSON, a line of it in a header, the code that clients map."""
    assert answer.status == status, answer
    for word in words:
        assert word in answer.error, answer
    assert answer.headers["X-Error-Code"] == code, answer
    return answer
