"""Whatever is sent to the local Hub, it answers, and never with a fault of its own."""

import http.client
import json
from urllib.parse import quote

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubkit.localhub import Token, start
from hubkit.localhub.server import API, BROWSER, STREAMS

TOKEN = "hf_alice"
ROUTES = [(method, address) for method, address, _ in [*API, *STREAMS, *BROWSER]]
FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with start(tmp_path_factory.mktemp("fuzz"), tokens={TOKEN: Token("alice")}) as running:
        client = HfApi(endpoint=running.endpoint, token=TOKEN)
        client.create_repo("alice/x")
        client.create_commit("alice/x", [CommitOperationAdd("w.bin", b"1" * 300)], commit_message="add")
        client.create_collection("Shelf")
        yield running


def ask(hub, method, target, body, kind="application/json"):
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=20)
    connection.putrequest(method, target, skip_accept_encoding=True)
    connection.putheader("Authorization", f"Bearer {TOKEN}")
    connection.putheader("Content-Type", kind)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, data


part = st.one_of(
    st.sampled_from(
        [
            "alice",
            "x",
            "main",
            "w.bin",
            "1",
            "..",
            ".",
            "refs/pr/1",
            "0" * 40,
            "a" * 300,
            "\0",
            "-1",
            "9" * 30,
        ]
    ),
    st.text(max_size=12),
)
value = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("alice/x")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = """
name type organization private visibility gated fromRepo toRepo content tag message startingPoint
title description comment status files path size sample objects oid operation transfers paths expand
summary item id note position namespace action data user resource grant_type subject_token
subject_token_type key value parts owner theme pullRequest encoding algo parentCommit
""".split()
body = st.one_of(
    st.dictionaries(
        st.sampled_from(KEYS), st.one_of(value, st.dictionaries(st.sampled_from(KEYS), value)), max_size=6
    ),
    value,
)


@FEW
@given(data=st.data())
def test_no_request_is_too_odd_for_an_answer(hub, data):
    method, address = data.draw(st.sampled_from(ROUTES))
    while "{" in address:
        start_, _, rest = address.partition("{")
        name, _, rest = rest.partition("}")
        known = {"user": "alice", "namespace": "alice", "name": "x"}.get(name)  # or nothing would be found
        odd = not known or data.draw(st.integers(0, 9)) == 9
        drawn = data.draw(part) if odd else known
        address = start_ + quote(drawn, safe="/" if name.endswith(":path") else "") + rest
    query = data.draw(
        st.dictionaries(
            st.sampled_from(["limit", "cursor", "p", "expand", "blobs", "size"]), part, max_size=2
        )
    )
    target = address + "".join(f"{'&' if n else '?'}{k}={quote(v)}" for n, (k, v) in enumerate(query.items()))
    sent = data.draw(st.one_of(body.map(lambda one: json.dumps(one).encode()), st.binary(max_size=60)))
    status, answer = ask(hub, method, target, sent)
    assert status < 500, (method, target, sent, answer[:300])


@FEW
@given(
    items=st.lists(
        st.tuples(st.sampled_from(["header", "file", "lfsFile", "deletedFile", "deletedFolder", "x"]), body),
        max_size=4,
    )
)
def test_no_commit_is_too_odd_for_an_answer(hub, items):
    lines = "".join(json.dumps({"key": key, "value": one}) + "\n" for key, one in items)
    status, answer = ask(
        hub, "POST", "/api/models/alice/x/commit/main", lines.encode(), "application/x-ndjson"
    )
    assert status < 500, (lines, answer[:300])
