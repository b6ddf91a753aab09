"""Large files at another origin: the redirect says what they are, ranges work, and no token goes there."""

import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import fake_adapter
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download, snapshot_download

from hubkit import hub as hub_client
from hubkit.localhub import Switchboard, Token, start
from hubkit.publishing.download import verify

TOKEN = "hf_alice"
WEIGHTS = bytes(range(256)) * 400


@pytest.fixture(scope="module")
def board():
    return Switchboard()


@pytest.fixture(scope="module")
def hub(tmp_path_factory, board):
    folder = tmp_path_factory.mktemp("hub")
    tokens = {TOKEN: Token("alice")}
    with start(folder, tokens=tokens, switchboard=board, storage_origin=True, part_size=40_000) as running:
        api = HfApi(endpoint=running.endpoint, token=TOKEN)
        api.create_repo("alice/x", private=True)
        files = [CommitOperationAdd("w.safetensors", WEIGHTS), CommitOperationAdd("a.txt", b"small")]
        api.create_commit("alice/x", files, commit_message="add")
        yield running


@pytest.fixture(autouse=True)
def fresh(board, hub):
    board.clear()


def ask(address, method="GET", headers=None, body=None):
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=5)
    connection.request(method, f"{parts.path}?{parts.query}", body, headers or {})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, answer.headers, data


def at_storage(board):
    return [seen for seen in board.log if seen.storage]


def location(hub, method="HEAD"):
    address = f"{hub.endpoint}/alice/x/resolve/main/w.safetensors"
    return ask(address, method, {"Authorization": f"Bearer {TOKEN}"})[1]["Location"]


def test_the_redirect_says_what_the_file_is(hub):
    address = f"{hub.endpoint}/alice/x/resolve/main/w.safetensors"
    for method in ("HEAD", "GET"):
        status, headers, _ = ask(address, method, {"Authorization": f"Bearer {TOKEN}"})
        assert status == 302
        assert headers["Location"].startswith(f"{hub.storage}/")
        assert re.fullmatch(r'"[0-9a-f]{64}"', headers["X-Linked-ETag"])
        assert headers["X-Linked-Size"] == str(len(WEIGHTS))
        assert re.fullmatch(r"[0-9a-f]{40}", headers["X-Repo-Commit"])
    assert (
        ask(f"{hub.endpoint}/alice/x/resolve/main/a.txt", "GET", {"Authorization": f"Bearer {TOKEN}"})[0]
        == 200
    )
    assert ask(address)[0] == 401  # and nobody is sent there who may not see the repo


def test_no_client_takes_its_token_there(hub, board, tmp_path):
    place = hf_hub_download(
        "alice/x", "w.safetensors", endpoint=hub.endpoint, token=TOKEN, cache_dir=tmp_path / "one"
    )
    assert Path(place).read_bytes() == WEIGHTS
    folder = snapshot_download("alice/x", endpoint=hub.endpoint, token=TOKEN, cache_dir=tmp_path / "two")
    assert (Path(folder) / "w.safetensors").read_bytes() == WEIGHTS
    client = hub_client.Hub(hub.endpoint, TOKEN)
    commit = client.repo("alice/x").head
    assert client.read("alice/x", "w.safetensors", commit) == WEIGHTS
    assert client.read_range("alice/x", "w.safetensors", commit, 300, 310) == WEIGHTS[300:310]
    assert client.read("alice/x", "a.txt", commit) == b"small"
    there = at_storage(board)
    assert len(there) == 4
    assert [seen.authorized for seen in there] == [False] * 4
    assert [seen.status for seen in there] == [200, 200, 200, 206]
    assert all(seen.authorized for seen in board.log if not seen.storage)


def test_what_was_pushed_is_loaded_without_the_token_going_there(hub, board, tmp_path, monkeypatch):
    monkeypatch.setattr("hubkit.publishing.download._has_peft", lambda: False)  # it would load torch
    folder = fake_adapter.write(tmp_path / "adapter")
    paths = ("README.md", "adapter_config.json", "adapter_model.safetensors", "hubkit.json")
    api = HfApi(endpoint=hub.endpoint, token=TOKEN)
    api.create_repo("alice/adapter", private=True)
    files = [CommitOperationAdd(path, (folder / path).read_bytes()) for path in paths]
    commit = api.create_commit("alice/adapter", files, commit_message="add").oid
    board.clear()
    digests = {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in paths}
    assert "came from the Hub as they were sent" in verify(
        hub_client.Hub(hub.endpoint, TOKEN), "alice/adapter", commit, digests
    )
    assert [(seen.method, seen.authorized) for seen in at_storage(board)] == [("GET", False)]


def test_the_storage_refuses_a_token_and_an_address_that_is_not_signed(hub):
    address = location(hub)
    assert ask(address)[2] == WEIGHTS
    assert ask(address, "GET", {"Authorization": f"Bearer {TOKEN}"})[0] == 400
    assert ask(address.split("?")[0])[0] == 403
    assert ask(address.replace("/get?", "/put?"), "PUT", body=WEIGHTS)[0] == 403
    assert ask(re.sub("signature=....", "signature=0000", address))[0] == 403
    for path in ("/api/whoami-v2", "/alice/x", "/alice/x/resolve/main/a.txt", "/"):
        assert ask(hub.storage + path)[0] == 404  # it is not the Hub
    assert ask(address, headers={"Host": "evil.example"})[0] == 403


def test_ranges_at_the_storage(hub):
    address = location(hub)
    status, headers, body = ask(address, headers={"Range": "bytes=10-19"})
    assert (status, headers["Content-Range"], body) == (206, f"bytes 10-19/{len(WEIGHTS)}", WEIGHTS[10:20])
    assert ask(address, headers={"Range": f"bytes={len(WEIGHTS)}-"})[0] == 416


BY_LFS = """
import sys
from huggingface_hub import CommitOperationAdd, HfApi
api = HfApi(endpoint=sys.argv[1], token=sys.argv[2])
files = [CommitOperationAdd("one.bin", b"1" * 30_000), CommitOperationAdd("many.bin", b"2" * 100_000)]
print(api.create_commit("alice/x", files, commit_message="by LFS").oid)
"""


def test_uploads_by_lfs_go_there_without_a_token(hub, board):
    environment = {**os.environ, "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", BY_LFS, hub.endpoint, TOKEN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    there = at_storage(board)
    assert sorted(seen.received for seen in there) == [20_000, 30_000, 40_000, 40_000]
    assert {(seen.method, seen.status, seen.authorized) for seen in there} == {("PUT", 200, False)}
    status, _, answer = ask(
        f"{hub.endpoint}/api/models/alice/x", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    assert (status, json.loads(answer)["sha"]) == (200, done.stdout.strip())
