"""What strangers wrote into their files, as the local Hub tells it: one repo spoils no list of all."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from hubkit.localhub import card
from hubkit.localhub.auth import Token
from hubkit.localhub.call import Hub
from hubkit.localhub.card import Remembered, parse_card
from hubkit.localhub.server import application
from hubkit.localhub.store import Store

ADDRESSES = (
    "/api/models/user/odd",
    "/user/odd",
    "/api/models?full=true&cardData=true&config=true",
    "/api/models?filter=lora&num_parameters=min:1",
    "/api/models-tags-by-type",
    "/",
)


def weights(header):
    return struct.pack("<Q", len(header)) + header


def shaped(shape, dtype='"F32"'):
    return {"w.safetensors": weights(f'{{"a":{{"dtype":{dtype},"shape":{shape}}}}}'.encode())}


def front(text):
    return {"README.md": f"---\n{text}\n---\n".encode()}


ODD = {
    "a configuration that is too deep": {"adapter_config.json": b"[" * 200_000},
    "objects that are too deep": {"adapter_config.json": b'{"a":' * 200_000},
    "half a character": {"adapter_config.json": b'{"base_model_name_or_path": "\\ud800"}'},
    "half a character of a task": {"adapter_config.json": b'{"peft_type": "LORA", "task_type": "\\ud800"}'},
    "a record that is too deep": {
        "adapter_config.json": b'{"peft_type": "LORA"}',
        "hubkit.json": b"[" * 200_000,
    },
    "a date as a key": front("2024-01-01: x"),
    "no text as keys": front("~: a\n1.5: b\ntrue: c"),
    "no number": front("x: .inf\ny: .nan"),
    "a number without end": front(f"x: 0x{'f' * 20_000}\n0x{'f' * 20_000}: y"),
    "half a character of a card": front('x: "\\ud800"\ntags: ["\\ud800"]'),
    "a set": front("x: !!set {a, b}"),
    "aliases of aliases": front("a: &a [1, 2]\nb: &b [*a, *a]\nc: [*b, *b]"),
    "infinite weights": shaped("[Infinity]"),
    "weights of a large number": shaped("[1e999]"),
    "weights of many numbers": shaped(f"[{','.join(['9' * 4000] * 50)}]"),
    "weights of less than nothing": shaped("[-5]"),
    "half a character of a dtype": shaped("[1]", '"\\ud800"'),
    "a header that is too deep": {"w.safetensors": weights(b"[" * 100_000)},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    opened = Store(tmp_path_factory.mktemp("store"))
    opened.create("user/plain", private=False, author="user")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def client(store):
    hub = Hub(store, {"hf_user": Token("user")}, "http://127.0.0.1", False, 1000, b"key")
    return TestClient(application(hub), base_url="http://127.0.0.1")


def commit(repo, files):
    new = {path: repo.objects.add_blob(data) for path, data in files.items()}
    repo.add_commit("main", lambda tree: new, title="Change", author="user")


@pytest.mark.parametrize("files", ODD.values(), ids=ODD)
def test_one_odd_repo_spoils_no_list(store, client, files):
    repo = store.create("user/odd", private=False, author="user")
    try:
        commit(repo, files)
        for address in ADDRESSES:
            answer = client.get(address)
            assert answer.status_code == 200, address
            if address.startswith("/api"):
                json.loads(answer.content, parse_constant=pytest.fail)  # NaN and Infinity are no JSON
        assert {"user/odd", "user/plain"} == {model["id"] for model in client.get("/api/models").json()}
    finally:
        store.delete("user/odd")


def test_a_damaged_repo_spoils_no_list(store, client):
    repo = store.create("user/odd", private=False, author="user")
    commit(repo, front("license: mit"))
    (repo.folder / "trees" / repo.commit(repo.resolve("main")).tree).unlink()
    assert [model["id"] for model in client.get("/api/models").json()] == ["user/plain"]
    assert client.get("/").status_code == 200
    store.delete("user/odd")


yaml_text = st.text(st.sampled_from("abx01 \n:-[]{}&*!?|>'\"#,.~\\u\ud7ff<"), max_size=80)


@settings(max_examples=300, deadline=None)
@given(yaml_text)
def test_metadata_is_always_json(text):
    told = json.dumps(parse_card(f"---\n{text}\n---\n").metadata, default=str, allow_nan=False)
    assert isinstance(json.loads(told), dict)
    told.encode()  # as an answer is: half characters would not pass


def test_a_commit_is_read_once_for_all_lists(store, client, monkeypatch):
    repo = store.create("user/odd", private=False, author="user")
    commit(repo, front("license: mit"))
    first = client.get("/api/models?full=true").json()
    monkeypatch.setattr(card, "card_of", None)
    assert client.get("/api/models?full=true").json() == first
    repo.update(private=True)  # what is of the repo, and not of the commit, is told as it is now
    assert [model["id"] for model in client.get("/api/models").json()] == ["user/plain"]
    told = client.get("/api/models", headers={"Authorization": "Bearer hf_user"}).json()
    assert [model["private"] for model in told] == [True, False]
    monkeypatch.undo()
    commit(repo, front("license: apache-2.0"))
    new = client.get("/api/models/user/odd", headers={"Authorization": "Bearer hf_user"}).json()
    assert new["cardData"] == {"license": "apache-2.0"}
    store.delete("user/odd")


def test_what_is_remembered_is_bounded():
    held = Remembered(100)
    for number in range(12):
        held.put(number, {"n": number}, 10)
    assert [number for number in range(12) if held.get(number)] == list(range(2, 12))
    held.get(2)  # the one that was asked for last stays
    held.put(12, {"n": 12}, 8)
    assert (held.get(2), held.get(3), held.weight) == ({"n": 2}, None, 98)
    held.put("large", {"n": 0}, 11)  # it would push out many others
    assert (held.get("large"), held.weight) == (None, 98)


def test_front_matter_without_end_is_not_read_to_its_end(monkeypatch):
    get_event = card._Loader.get_event
    monkeypatch.setattr(card, "NODES_MAX", 100)
    assert parse_card("---\nx:\n" + "- a\n" * 60 + "---\n").metadata == {"x": ["a"] * 60}
    read = []
    monkeypatch.setattr(card._Loader, "get_event", lambda self: read.append(1) or get_event(self))
    assert parse_card("---\nx:\n" + "- a\n" * 5000 + "---\n").problems == (card.TOO_MANY,)
    assert len(read) < 200
