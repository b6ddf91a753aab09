"""The pages of the local Hub: what a card becomes, and what a card may not do to its reader."""

import http.client
import json
import re
import struct
from urllib.parse import urlencode

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit.localhub import start
from hubkit.localhub.card import parse_card
from hubkit.localhub.highlight import highlight
from hubkit.localhub.page_facts import count_text, size_text, value_text

CARD = """---
license: apache-2.0
language: en
pipeline_tag: text-generation
library_name: peft
base_model: user/base
base_model_relation: adapter
datasets: [user/text]
tags: [lora, <b>bold</b>]
model-index:
- name: adapter
  results:
  - task: {type: text-generation}
    dataset: {type: user/text, name: The text, split: test}
    metrics:
    - {type: perplexity, name: Perplexity, value: 27.41834}
---
# The card

<!-- a remark -->

| Measure | Value |
| --- | ---: |
| Perplexity | 27.4 |

![loss](figures/loss.svg) [notes](docs/notes.md)

```python
print("hi")  # a comment
```
"""


def safetensors():
    header = {"lora_A": {"dtype": "F32", "shape": [8, 100], "data_offsets": [0, 3200]}, "__metadata__": {}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(3200)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with start(tmp_path_factory.mktemp("hub"), xet=False) as running:
        api = HfApi(endpoint=running.endpoint, token=running.token)
        api.create_repo("local/adapter")
        api.create_repo("local/secret", private=True)
        config = {"peft_type": "LORA", "r": 8, "target_modules": ["v", "q"], "task_type": "FEATURE"}
        files = {
            "README.md": CARD,
            "adapter_config.json": json.dumps(config),
            "docs/notes.md": "[up](../README.md)",
        }
        added = [CommitOperationAdd(path, text.encode()) for path, text in files.items()]
        api.create_commit(
            "local/adapter", added, commit_message="Add <the> card", commit_description="All of it"
        )
        change = CommitOperationAdd("README.md", CARD.replace("# The card", "# The new card").encode())
        api.create_commit("local/adapter", [change], commit_message="Rename it", create_pr=True)
        store_weights(running)
        yield running


def store_weights(hub):
    """Weights by the API's own road for LFS files; the client of this process would insist on Xet."""
    import hashlib
    import urllib.request

    data = safetensors()
    oid = hashlib.sha256(data).hexdigest()
    headers = {"Authorization": f"Bearer {hub.token}", "Content-Type": "application/json"}

    def send(method, address, body):
        request = urllib.request.Request(address, body, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    batch = {"operation": "upload", "objects": [{"oid": oid, "size": len(data)}]}
    answer = send(
        "POST", f"{hub.endpoint}/local/adapter.git/info/lfs/objects/batch", json.dumps(batch).encode()
    )
    send("PUT", json.loads(answer)["objects"][0]["actions"]["upload"]["href"], data)
    file = {"path": "adapter_model.safetensors", "algo": "sha256", "oid": oid, "size": len(data)}
    lines = [{"key": "header", "value": {"summary": "Add the weights"}}, {"key": "lfsFile", "value": file}]
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    send("POST", f"{hub.endpoint}/api/models/local/adapter/commit/main", body)


def get(hub, path, *, method="GET", body=None, cookie=None):
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=10)
    connection.request(method, path, body, {"Cookie": cookie} if cookie else {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def test_the_card(hub):
    status, headers, page = get(hub, "/local/adapter")
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    for text in ("text-generation", "apache-2.0", "peft", "user/text", "lora", "Adapter of user/base"):
        assert text in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert '<h1 id="the-card">The card</h1>' in page
    assert "a remark" not in page
    assert "license: apache" not in page  # the front matter shows as chips, not as text
    assert '<td class="right">27.4</td>' in page
    assert 'src="/local/adapter/resolve/main/figures/loss.svg"' in page
    assert 'href="/local/adapter/blob/main/docs/notes.md"' in page
    assert ">27.4183</b>" in page
    assert "<b>800</b><span>parameters · F32</span>" in page
    assert "<dd>q, v</dd>" in page
    assert "task_type" in page  # the Hub's page would stumble over this one


def test_no_page_lets_anything_in_from_outside(hub):
    links = [
        "/",
        "/login",
        "/local",
        "/local/adapter",
        "/local/adapter/tree/main",
        "/local/adapter/commits/main",
        "/local/adapter/compare/main...refs%2Fpr%2F1",
        "/local/adapter/compare/main...refs%2Fpr%2F1?view=card",
    ]
    for path in [*links, "/local/adapter/discussions/1", "/nobody/nothing"]:
        _, headers, page = get(hub, path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "script" not in page.lower()
        assert " style=" not in page
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_files_commits_and_pull_requests(hub):
    _, _, page = get(hub, "/local/adapter/tree/main")
    assert "Add &lt;the&gt; card" in page
    assert "Add the weights" in page
    assert 'href="/local/adapter/resolve/main/adapter_model.safetensors?download=true"' in page
    assert ">large file<" in page
    assert "notes.md" in get(hub, "/local/adapter/tree/main/docs")[2]
    assert (
        '<td class="mono">8 × 100</td>' in get(hub, "/local/adapter/blob/main/adapter_model.safetensors")[2]
    )
    assert (
        'href="/local/adapter/blob/main/README.md"' in get(hub, "/local/adapter/blob/main/docs/notes.md")[2]
    )
    assert "license: apache-2.0" in get(hub, "/local/adapter/blob/main/README.md")[2]
    _, _, page = get(hub, "/local/adapter/commits/main")
    commit = re.search(r'href="(/local/adapter/commit/[0-9a-f]{40})"><b>Add &lt;the', page)[1]
    _, _, page = get(hub, commit)
    assert "All of it" in page
    assert '<span class="a">+---</span>' in page
    oid = commit[-40:]
    for short in (oid[:7], oid[:12].upper()):
        assert get(hub, f"/local/adapter/commit/{short}")[2] == page
        assert (
            f"/local/adapter/resolve/{oid}/README.md" in get(hub, f"/local/adapter/blob/{short}/README.md")[2]
        )
        assert get(hub, f"/local/adapter/compare/{short}...main")[0] == 200
    assert get(hub, f"/local/adapter/commit/{oid[:6]}")[0] == 404
    assert get(hub, f"/api/models/local/adapter/revision/{oid[:12]}")[0] == 404  # as the Hub, whole ids only
    _, _, page = get(hub, "/local/adapter/discussions/1")
    assert '<span class="a">+# The new card</span>' in page
    assert '<span class="d">-# The card</span>' in page
    assert "The new card" in get(hub, "/local/adapter/blob/refs%2Fpr%2F1/README.md")[2]
    assert "The new card" in get(hub, "/local/adapter/blob/refs/pr/1/README.md")[2]


@pytest.mark.parametrize(
    "path",
    [
        "/local/adapter/tree/nope",
        "/local/adapter/tree/main/nope",
        "/local/adapter/blob/main/nope",
        "/local/nope",
        f"/local/adapter/commit/{'0' * 40}",
        "/local/adapter/discussions/9",
        "/local/adapter/discussions/x",
    ],
)
def test_what_is_not_there_is_a_page_too(hub, path):
    status, headers, page = get(hub, path)
    assert status == 404
    assert headers["Content-Type"].startswith("text/html")
    assert not re.search("Traceback|Error 404|Invalid rev|Entry not", page)


def test_a_private_repo_shows_after_signing_in(hub):
    status, _, page = get(hub, "/local/secret")
    assert status == 404
    assert "“Sign in” above, with a token of this Hub: the file “token” of its directory" in page
    assert "local/secret" not in get(hub, "/")[2]
    assert get(hub, "/login", method="POST", body=urlencode({"token": "hf_wrong"}))[0] == 401
    status, headers, _ = get(hub, "/login", method="POST", body=urlencode({"token": hub.token}))
    assert status == 303
    assert "httponly" in headers["Set-Cookie"].lower()
    assert "samesite=strict" in headers["Set-Cookie"].lower()
    cookie = headers["Set-Cookie"].split(";")[0]
    assert get(hub, "/local/secret", cookie=cookie)[0] == 200
    assert "local/secret" in get(hub, "/", cookie=cookie)[2]
    # Browsers share cookies over ports: another Hub on this machine has another name for its own.
    assert cookie.startswith(f"hubkit_token_{hub.endpoint.rpartition(':')[2]}=")
    # The cookie shows pages; it opens no endpoint of the API.
    assert get(hub, "/api/models/local/secret", cookie=cookie)[0] == 401
    assert get(hub, "/api/repos/create", method="POST", body='{"name": "x"}', cookie=cookie)[0] == 401


@pytest.mark.parametrize("number", ["%C2%B2", "%D9%A3", "9" * 5000, "-1", "x"])
def test_what_is_no_number_of_a_discussion(hub, number):
    assert get(hub, f"/local/adapter/discussions/{number}")[0] == 404
    assert get(hub, f"/api/models/local/adapter/discussions/{number}")[0] == 404
    assert get(hub, f"/api/models/local/adapter/discussions?p={number}")[0] == 200
    assert get(hub, f"/api/models?limit={number}&cursor={number}")[0] == 200


def test_uploads_cannot_run_in_the_pages(hub):
    _, headers, _ = get(hub, "/local/adapter/resolve/main/docs/notes.md")
    assert headers["Content-Type"].startswith("text/plain")
    assert "sandbox" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_highlighting_keeps_the_text():
    code = 'def f(x):\n    return "<b>" + str(1e-5)  # why & how\n'
    for language in ("python", "bash", "json", "yaml", "bibtex", "cobol"):
        plain = re.sub(r"<[^>]+>", "", highlight(code, language))
        assert (
            plain.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
            == code
        )
    assert '<span class="hk">def</span>' in highlight(code, "python")


def test_numbers_as_people_read_them():
    assert [size_text(n) for n in (0, 999, 1779464, 98362432)] == [
        "0 bytes",
        "999 bytes",
        "1.78 MB",
        "98.4 MB",
    ]
    assert [count_text(n) for n in (800, 442368, 109514298)] == ["800", "442k", "110M"]
    assert [value_text(v) for v in (27.41834, 3, 0.00001, "high", 0.5)] == [
        "27.4183",
        "3",
        "1e-05",
        "high",
        "0.5",
    ]


def test_front_matter_as_the_hub_reads_it():
    assert parse_card("---\nlanguage: no\nx: true\n---\nbody").metadata == {"language": "no", "x": True}
    assert parse_card("no front matter").has_metadata is False
    assert "duplicated" in parse_card("---\na: 1\na: 2\n---\n").problems[0]
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{c}: &{c} [{', '.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for text in (bomb, "a: &a [*a]"):
        assert "too many" in parse_card(f"---\n{text}\n---\n").problems[0]
