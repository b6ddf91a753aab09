"""The local Hub's wire, by raw requests as curl would send them: status, headers, bodies, refusals."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import time
from urllib.parse import quote

import pytest
from conforming import (
    ALICE,
    BOB,
    READER,
    ask,
    commit,
    created,
    fresh,
    lines,
    refused,
    running,
    text_file,
    upload,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with running(tmp_path_factory.mktemp("hub"), part_size=1000) as hub:
        yield hub


@pytest.fixture
def repo(hub):
    return created(hub)


def head(hub, repo, revision="main"):
    return ask(hub, "GET", f"/api/models/{repo}/revision/{revision}").json["sha"]


# --- commits: one JSON object a line


def test_a_commit_and_its_answer(hub, repo):
    before = head(hub, repo)
    done = commit(hub, repo, text_file("a.txt", "é\n"), header={"parentCommit": before}, headers=NDJSON)
    assert done.status == 200
    assert done.headers["Content-Type"].startswith("application/json")
    oid = done.json["commitOid"]
    url = f"{hub.endpoint}/{repo}/commit/{oid}"
    assert done.json == {"success": True, "hookOutput": "", "commitOid": oid, "commitUrl": url}
    assert head(hub, repo) == oid
    blob = hashlib.sha1(b"blob 3\0\xc3\xa9\n").hexdigest()
    listed = {item["path"]: item for item in ask(hub, "GET", f"/api/models/{repo}/tree/main").json}
    assert listed["a.txt"] == {"type": "file", "oid": blob, "size": 3, "path": "a.txt"}
    proposed = commit(hub, repo, text_file("b.txt", "b"), query="?create_pr=1")
    assert proposed.json["pullRequestUrl"] == f"{hub.endpoint}/{repo}/discussions/1"
    # Without an encoding, content is text.
    plain = commit(hub, repo, ("file", {"path": "c.txt", "content": "aGk="}))
    assert plain.status == 200
    assert ask(hub, "GET", f"/{repo}/resolve/main/c.txt").body == b"aGk="


HEADER = ("header", {"summary": "x"})
BAD_COMMITS = [
    ("", '"summary" is required'),
    ("\n\n", '"summary" is required'),
    ("{", "not JSON"),
    ("[]\n", "{key, value}"),
    ('"text"\n', "{key, value}"),
    ('{"key": "header"}\n', "{key, value}"),
    ('{"key": 1, "value": {}}\n', "{key, value}"),
    ('{"key": "header", "value": []}\n', "{key, value}"),
    ("[" * 100_000, "not JSON"),
    (lines(("header", {})), '"summary" is required'),
    (lines(("header", {"summary": "  "})), '"summary" is required'),
    (lines(("header", {"summary": 3})), '"summary" is required'),
    (lines(("header", {"summary": "x", "description": []})), '"description" must be'),
    (lines(("header", {"summary": "\ud800"})), "not JSON"),
    (lines(text_file("a", "a"), HEADER), "first line"),
    (lines(HEADER, HEADER), "first line"),
    (lines(HEADER) + "garbage\n", "not JSON"),
    (lines(HEADER, ("submodule", {"path": "a"})), "does not know"),
    (lines(HEADER, ("file", {"content": "a"})), "invalid path"),
    (lines(HEADER, ("file", {"path": 3, "content": "a"})), "invalid path"),
    (lines(HEADER, ("file", {"path": ["a"], "content": "a"})), "invalid path"),
    (lines(HEADER, ("file", {"path": "a"})), '"content"'),
    (lines(HEADER, ("file", {"path": "a", "content": 3})), '"content"'),
    (lines(HEADER, ("file", {"path": "a", "content": "a", "encoding": "latin-1"})), '"encoding"'),
    (lines(HEADER, ("file", {"path": "a", "content": "%%%", "encoding": "base64"})), "not base64"),
    (lines(HEADER, ("file", {"path": "a", "content": "aGk", "encoding": "base64"})), "not base64"),
    (lines(HEADER, ("file", {"path": "a", "content": "é", "encoding": "base64"})), "not base64"),
    (lines(HEADER, ("file", {"path": "a/", "content": "a"})), "invalid path"),
    (lines(HEADER, ("file", {"path": "a", "oldPath": "b"})), '"content"'),
    (lines(HEADER, ("lfsFile", {"path": "a", "algo": "sha256", "oid": "0" * 64})), "never uploaded"),
    (lines(HEADER, ("lfsFile", {"path": "a", "algo": "sha1", "oid": "0" * 40})), "sha256"),
    (lines(HEADER, ("lfsFile", {"path": "a", "oid": "../" * 20})), "sha256"),
    (lines(HEADER, ("lfsFile", {"path": "a"})), "sha256"),
    (lines(HEADER, text_file("a", "a"), text_file("a/b", "b")), "is a file"),
    (lines(HEADER, text_file("a/b", "b"), text_file("a", "a")), "is a folder"),
    (lines(("header", {"summary": "x", "parentCommit": 3})), '"parentCommit"'),
    (lines(("header", {"summary": "x", "parentCommit": "main"})), '"parentCommit"'),
    (lines(("header", {"summary": "x", "parentCommit": "ab"})), '"parentCommit"'),
]


def test_commits_that_make_no_sense_are_refused(hub, repo):
    before = head(hub, repo)
    for body, words in BAD_COMMITS:
        refused(ask(hub, "POST", f"/api/models/{repo}/commit/main", body, headers=NDJSON), 400, words)
    assert head(hub, repo) == before


BAD_PATHS = [
    *(
        "..",
        "../x",
        "a/../b",
        "a/..",
        "/etc/passwd",
        "a//b",
        "a/./b",
        "./a",
        "",
        ".git/config",
        ".GIT/config",
    ),
    *(
        "a/.git/hooks/x",
        "a\\..\\b",
        "a\0b",
        "a\nb",
        "a\x7fb",
        "\ud800",
        "x" * 256,
        "é" * 128,
        "/".join(["a"] * 501),
    ),
]
GOOD_PATHS = [
    ".gitignore",
    "a.git",
    "..a",
    "a..",
    "...",
    "é/ü.txt",
    "a b",
    "x" * 255,
    "a:b?c*d",
    "%2e%2e",
    "git/.github/x",
]


def test_paths(hub, repo):
    for path in BAD_PATHS:
        for item in (
            text_file(path, ""),
            ("deletedFile", {"path": path}),
            ("lfsFile", {"path": path, "oid": "0" * 64}),
        ):
            assert commit(hub, repo, item).status == 400, path
        sent = {"files": [{"path": path, "size": 1, "sample": ""}]}
        assert ask(hub, "POST", f"/api/models/{repo}/preupload/main", sent).status == 400, path
    done = commit(hub, repo, *(text_file(path, path) for path in GOOD_PATHS))
    assert done.status == 200, done
    for path in GOOD_PATHS:
        assert ask(hub, "GET", f"/{repo}/resolve/main/{quote(path, safe='')}").body == path.encode(), path


def test_the_parent_guards_the_head(hub, repo):
    first = head(hub, repo)
    assert commit(hub, repo, text_file("a", "a"), header={"parentCommit": first[:5].upper()}).status == 200
    second = head(hub, repo)
    refused(commit(hub, repo, text_file("a", "b"), header={"parentCommit": first}), 412, "since")
    refused(commit(hub, repo, text_file("a", "b"), header={"parentCommit": "0" * 40}), 412)
    assert head(hub, repo) == second
    # An empty commit is one: the client is what avoids it.
    assert commit(hub, repo).json["commitOid"] != second


def test_deleting_what_is_not_there(hub, repo):
    for key in ("deletedFile", "deletedFolder"):
        refused(commit(hub, repo, (key, {"path": "nope"})), 404, "nope", code="EntryNotFound")
    refused(commit(hub, repo, ("deletedFolder", {"path": ".gitattributes"})), 404, code="EntryNotFound")
    refused(commit(hub, repo, text_file("a", ""), revision="nope"), 404, code="RevisionNotFound")
    refused(commit(hub, repo, text_file("a", ""), revision="0" * 40), 404, code="RevisionNotFound")


@pytest.mark.soak
def test_what_is_too_large(hub, repo):
    content = {"path": "a", "content": "a" * 10_000_001, "encoding": "utf-8"}
    refused(commit(hub, repo, ("file", content)), 400, "LFS")
    place = f"/api/models/{repo}/commit/main"
    refused(ask(hub, "POST", place, lines(HEADER) + "a" * 14_000_000), 413)
    refused(ask(hub, "POST", "/api/validate-yaml", "a" * 8_000_001), 413)


# --- large files


def batch(hub, repo, objects, token=ALICE, **more):
    body = {"operation": "upload", "transfers": ["basic", "multipart"], "objects": objects, **more}
    kind = "application/vnd.git-lfs+json"
    headers = {"Accept": kind, "Content-Type": kind}
    return ask(
        hub, "POST", f"/{repo}.git/info/lfs/objects/batch", json.dumps(body), token=token, headers=headers
    )


def test_lfs_by_the_letter(hub, repo):
    data = b"0123456789" * 5
    oid = hashlib.sha256(data).hexdigest()
    answer = batch(hub, repo, [{"oid": oid, "size": 50}])
    assert answer.headers["Content-Type"] == "application/vnd.git-lfs+json"
    offered = answer.json["objects"][0]
    assert (answer.json["transfer"], offered["oid"], offered["size"]) == ("basic", oid, 50)
    put, verify = (offered["actions"][name]["href"] for name in ("upload", "verify"))
    refused(ask(hub, "POST", verify, {"oid": oid, "size": 50}), 404)
    refused(ask(hub, "PUT", put, b"0" * 50, token=None), 400, "sha256")
    refused(ask(hub, "PUT", put, data[:49], token=None), 400)
    refused(ask(hub, "PUT", put, data + b"0", token=None), 400)
    assert ask(hub, "PUT", put, data, token=None).status == 200
    assert ask(hub, "POST", verify, {"oid": oid, "size": 50}).status == 200
    refused(ask(hub, "POST", verify, {"oid": oid, "size": 51}), 404)
    assert "actions" not in batch(hub, repo, [{"oid": oid, "size": 50}]).json["objects"][0]
    refused(commit(hub, repo, ("lfsFile", {"path": "w.bin", "oid": oid, "size": 51})), 400, "50 bytes")
    done = commit(hub, repo, ("lfsFile", {"path": "w.bin", "algo": "sha256", "oid": oid, "size": 50}))
    assert done.status == 200
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 50\n"
    assert ask(hub, "GET", f"/{repo}/raw/main/w.bin").body == pointer.encode()
    entry = ask(hub, "GET", f"/api/models/{repo}/tree/main").json[1]
    git = hashlib.sha1(f"blob {len(pointer)}\0{pointer}".encode()).hexdigest()
    lfs = {"oid": oid, "size": 50, "pointerSize": len(pointer)}
    assert entry == {"type": "file", "oid": git, "size": 50, "path": "w.bin", "lfs": lfs}


def test_large_files_belong_to_a_repo(tmp_path):
    with running(tmp_path, xet=False) as hub:
        mine, theirs = created(hub), created(hub)
        file = ("lfsFile", {"path": "w.bin", **upload(hub, mine, b"large" * 9)})
        assert commit(hub, mine, file).status == 200
        wanted = [{"oid": file[1]["oid"], "size": 45}]
        assert "actions" not in batch(hub, mine, wanted).json["objects"][0]
        # To another repo the same bytes go again, and a commit that only names them is refused.
        refused(commit(hub, theirs, file), 400, "never uploaded")
        assert "actions" in batch(hub, theirs, wanted).json["objects"][0]
        upload(hub, theirs, b"large" * 9)
        assert "actions" not in batch(hub, theirs, wanted).json["objects"][0]
        assert commit(hub, theirs, file).status == 200
        # A repo keeps them under another name.
        moved = fresh()
        assert ask(hub, "POST", "/api/repos/move", {"fromRepo": mine, "toRepo": moved}).status == 200
        assert "actions" not in batch(hub, moved, wanted).json["objects"][0]


def test_signed_addresses_hold_for_one_thing(hub, repo):
    oid = hashlib.sha256(b"x" * 50).hexdigest()
    put = batch(hub, repo, [{"oid": oid, "size": 50}]).json["objects"][0]["actions"]["upload"]["href"]
    until = re.search(r"until=(\d+)", put)[1]
    for wrong in (
        put.replace("size=50", "size=51"),
        put.replace(oid, "0" * 64),
        put.replace(f"until={until}", f"until={int(until) + 1}"),
        put.replace(f"until={until}", f"until={int(time.time()) - 1}"),
        put.replace("/put?", "/part/1?"),
        re.sub("repo=[0-9a-f]+", "repo=" + "0" * 24, put),
        re.sub(r"signature=.", "signature=", put),
        put.split("&signature")[0],
        put.split("?")[0],
        put.replace("size=50", "size=x"),
    ):
        refused(ask(hub, "PUT", wrong, b"x" * 50, token=ALICE), 403)
    assert ask(hub, "PUT", put, b"x" * 50, token=None).status == 200


def test_parts(hub, repo):
    data = bytes(range(250)) * 9
    oid = hashlib.sha256(data).hexdigest()
    action = batch(hub, repo, [{"oid": oid, "size": 2250}]).json["objects"][0]["actions"]["upload"]
    assert action["header"]["chunk_size"] == "1000"
    places = [action["header"][key] for key in sorted(action["header"]) if key.isdigit()]
    assert len(places) == 3
    pieces = [data[:1000], data[1000:2000], data[2000:]]
    refused(ask(hub, "PUT", places[0], pieces[2], token=None), 400, "1000 bytes")
    tags = [
        ask(hub, "PUT", at, piece, token=None).headers["ETag"]
        for at, piece in zip(places, pieces, strict=True)
    ]
    assert tags[0] == f'"{hashlib.md5(pieces[0]).hexdigest()}"'
    parts = [{"partNumber": n, "etag": tag} for n, tag in enumerate(tags, 1)]
    for wrong in (parts[:2], [{**parts[0], "etag": "x"}, *parts[1:]], []):
        refused(ask(hub, "POST", action["href"], {"oid": oid, "parts": wrong}, token=None), 400, "part")
    assert ask(hub, "POST", action["href"], {"oid": oid, "parts": parts}, token=None).status == 200
    assert commit(hub, repo, ("lfsFile", {"path": "w.bin", "oid": oid, "size": 2250})).status == 200
    assert ask(hub, "GET", f"/{repo}/resolve/main/w.bin").body == data


def test_what_lfs_refuses(hub, repo):
    good = {"oid": "0" * 64, "size": 1}
    for objects in ([{"oid": "x", "size": 1}], [{**good, "size": -1}], [{**good, "size": True}], [{}]):
        refused(batch(hub, repo, objects), 422)
    for objects in ([3], {"a": 1}, "x"):
        refused(batch(hub, repo, objects), 400)
    refused(batch(hub, repo, [{**good, "size": 10**12}]), 422)
    refused(batch(hub, repo, [good], hash_algo="sha1"), 409)
    refused(batch(hub, repo, [good], operation="download"), 422)
    refused(batch(hub, repo, [good], transfers=["ssh"]), 422)
    refused(batch(hub, repo, [good], token=None), 401)
    refused(batch(hub, repo, [good], token=READER), 403)
    refused(batch(hub, "alice/nope", [good]), 404, code="RepoNotFound")


# --- who asks


def test_who_may(hub):
    open_, hidden = created(hub), created(hub, private=True)
    for name, token, status, code in (
        (open_, None, 401, None),
        (open_, READER, 403, None),
        (open_, BOB, 403, None),
        (hidden, None, 401, "RepoNotFound"),
        (hidden, READER, 403, None),
        (hidden, BOB, 404, "RepoNotFound"),
        ("alice/nope", None, 401, "RepoNotFound"),
        ("alice/nope", BOB, 404, "RepoNotFound"),
    ):
        api = f"/api/models/{name}"
        for method, path, body in (
            ("POST", f"{api}/commit/main", lines(HEADER, text_file("a", "a"))),
            ("POST", f"{api}/preupload/main", {"files": []}),
            ("POST", f"{api}/branch/dev", {}),
            ("DELETE", f"{api}/branch/dev", None),
            ("POST", f"{api}/tag/main", {"tag": "v1"}),
            ("POST", f"{api}/super-squash/main", {}),
            ("PUT", f"{api}/settings", {"private": True}),
            ("GET", f"{api}/xet-write-token/main", None),
        ):
            answer = ask(hub, method, path, body, token=token)
            assert answer.status == status, (name, token, path, answer)
            # An anonymous commit is refused before anybody looks for its repo.
            assert answer.headers["X-Error-Code"] in ((code, None) if token is None else (code,)), path
            assert answer.error
    for header in ("Bearer hf_wrong", "Basic x", "Bearer ", "é"):
        answer = ask(hub, "GET", "/api/whoami-v2", token=None, headers={"Authorization": header})
        assert answer.status == 401, header
    assert refused(ask(hub, "GET", "/api/whoami-v2", token=None), 401).error


def test_other_names_of_this_machine_are_refused(hub):
    for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.1:1@evil.example", ""):
        refused(ask(hub, "GET", "/api/models", headers={"Host": host}), 403)
    for host in ("localhost", "localhost:1", "127.0.0.1"):
        assert ask(hub, "GET", "/api/models", headers={"Host": host}).status == 200


# --- files


def test_ranges(hub, repo):
    data = bytes(range(256))
    commit(hub, repo, ("file", {"path": "x", "content": "".join(map(chr, range(128))), "encoding": "utf-8"}))
    assert commit(hub, repo, ("lfsFile", {"path": "x.bin", **upload(hub, repo, data)})).status == 200
    path = f"/{repo}/resolve/main/x.bin"
    for wanted, status, body in (
        ("bytes=0-3", 206, data[:4]),
        ("bytes=250-", 206, data[250:]),
        ("bytes=-6", 206, data[250:]),
        ("bytes=0-999", 206, data),
        ("bytes=0-0", 206, data[:1]),
        ("bytes=-999", 206, data),
    ):
        answer = ask(hub, "GET", path, token=None, headers={"Range": wanted})
        assert (answer.status, answer.body) == (status, body), wanted
        first = data.index(body[:1])
        assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(body) - 1}/256"
        assert answer.headers["Content-Length"] == str(len(body))
    for wanted in ("bytes=256-", "bytes=999-1000"):
        answer = ask(hub, "GET", path, headers={"Range": wanted})
        assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */256"), wanted
    many = ask(hub, "GET", path, headers={"Range": "bytes=0-1,10-11"})
    assert many.status == 206
    assert many.headers["Content-Type"].startswith("multipart/byteranges")
    assert b"bytes 0-1/256" in many.body
    etag = ask(hub, "HEAD", path).headers["ETag"]
    whole = ask(hub, "GET", path, headers={"Range": "bytes=0-3", "If-Range": '"other"'})
    assert (whole.status, whole.body) == (200, data)
    assert ask(hub, "GET", path, headers={"Range": "bytes=0-3", "If-Range": etag}).body == data[:4]


def test_heads_and_tags(hub, repo):
    oid = commit(
        hub, repo, text_file("x.txt", "hello"), ("lfsFile", {"path": "x.bin", **upload(hub, repo, b"large")})
    ).json["commitOid"]
    small, large = (ask(hub, "HEAD", f"/{repo}/resolve/main/{name}") for name in ("x.txt", "x.bin"))
    blob, sha256 = hashlib.sha1(b"blob 5\0hello").hexdigest(), hashlib.sha256(b"large").hexdigest()
    for answer in (small, large):
        assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "5")
        assert (answer.headers["X-Repo-Commit"], answer.headers["Accept-Ranges"]) == (oid, "bytes")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert (small.headers["ETag"], small.headers["X-Linked-ETag"]) == (f'"{blob}"', None)
    assert (large.headers["X-Linked-ETag"], large.headers["X-Linked-Size"]) == (f'"{sha256}"', "5")
    same = ask(hub, "GET", f"/{repo}/resolve/main/x.txt", headers={"If-None-Match": f'"{blob}"'})
    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", f'"{blob}"')
    assert (
        ask(hub, "GET", f"/{repo}/resolve/main/x.txt", headers={"If-None-Match": '"other"'}).body == b"hello"
    )
    gone = refused(ask(hub, "GET", f"/{repo}/resolve/main/nope"), 404, code="EntryNotFound")
    assert gone.headers["X-Repo-Commit"] == oid
    refused(ask(hub, "GET", f"/{repo}/resolve/nope/x.txt"), 404, code="RevisionNotFound")
    refused(ask(hub, "GET", "/alice/nope/resolve/main/x.txt"), 404, code="RepoNotFound")
    for climb in (
        "../../../etc/passwd",
        "..%2F..%2Fetc%2Fpasswd",
        "%2e%2e/%2e%2e/token",
        "x.txt/..",
        "x.txt%00",
    ):
        assert ask(hub, "GET", f"/{repo}/resolve/main/{climb}").status in (404, 400), climb


def test_addresses_may_be_written_in_several_ways(hub, repo):
    ask(hub, "POST", f"/api/models/{repo}/branch/feature%2Fa", {})
    commit(hub, repo, text_file("a b/é%.txt", "found"), revision="feature%2Fa")
    commit(hub, repo, text_file("pr", "proposed"), query="?create_pr=true")
    for path in (
        f"/{repo}/resolve/feature%2Fa/a%20b/%C3%A9%25.txt",
        f"/{repo}/resolve/feature%2fa/a%20b%2F%c3%a9%25.txt",
    ):
        assert ask(hub, "GET", path).body == b"found", path
    for revision in ("refs%2Fpr%2F1", "refs/pr/1"):
        assert ask(hub, "GET", f"/{repo}/resolve/{revision}/pr").body == b"proposed"
        assert ask(hub, "GET", f"/api/models/{repo}/tree/{revision}").json[1]["path"] == "pr"


# --- lists and what is not here


def test_lists_come_in_pages(hub, repo):
    assert commit(hub, repo, *(text_file(f"{number}.txt", "") for number in range(7))).status == 200
    for path, total in (
        (f"/api/models/{repo}/tree/main?limit=3", 8),
        (f"/api/models/{repo}/commits/main?limit=1", 2),
    ):
        seen, following = [], path
        while following:
            answer = ask(hub, "GET", following)
            seen += answer.json
            link = answer.headers["Link"]
            following = re.fullmatch(r'<(http.+)>; rel="next"', link)[1] if link else None
        assert len(seen) == total
        assert answer.headers["X-Total-Count"] == str(total)
    second = ask(hub, "GET", f"/api/models/{repo}/commits/main?limit=1&p=1")
    assert [item["title"] for item in second.json] == ["initial commit"]
    for odd in (
        "limit=0",
        "limit=-1",
        "limit=x",
        "cursor=x",
        "cursor=99999",
        "limit=99999999999999999999",
        "p=%00",
    ):
        assert ask(hub, "GET", f"/api/models/{repo}/tree/main?{odd}").status == 200, odd


def test_what_is_not_here_says_so_in_json(hub, repo):
    for method, path, status, code in (
        ("GET", "/api/nothing", 404, None),
        ("GET", f"/api/models/{repo}/nothing", 404, None),
        ("PATCH", f"/api/models/{repo}/tree/main", 404, None),
        ("GET", "/api/datasets/alice/data", 404, "RepoNotFound"),
        ("GET", "/api/spaces/alice/space", 404, "RepoNotFound"),
        ("GET", "/api/models/bert-base-uncased", 404, "RepoNotFound"),
        ("GET", f"/api/models/{repo}/tree/main/nope", 404, "EntryNotFound"),
        ("GET", f"/api/models/{repo}/discussions/9", 404, None),
        ("GET", f"/api/models/{repo}/discussions/x", 404, None),
        ("GET", f"/api/models/{repo}/compare/main..nope", 404, "RevisionNotFound"),
        ("GET", f"/api/models/{repo}/compare/main", 400, None),
        ("POST", f"/{repo}/resolve/main/x", 405, None),
        ("DELETE", f"/{repo}", 405, None),
        ("PUT", "/", 405, None),
    ):
        refused(ask(hub, method, path), status, code=code)


def test_repos_are_named_as_the_hub_names_them(hub):
    for name in ("", "..", "a/b", "x" * 97, "a--b", "a..b", ".a", "-a", "a.git", "é", "a b", None, 3, ["a"]):
        assert ask(hub, "POST", "/api/repos/create", {"name": name, "type": "model"}).status == 400, name
    for more in ({"type": "dataset"}, {"type": "space"}, {"license": "mit"}, {"files": [{"path": "a"}]}):
        refused(ask(hub, "POST", "/api/repos/create", {"name": "x", **more}), 400)
    taken = created(hub)
    again = ask(hub, "POST", "/api/repos/create", {"name": taken.split("/")[1], "type": "model"})
    assert refused(again, 409).json["url"] == f"{hub.endpoint}/{taken}"


def test_settings_that_make_no_sense_are_refused(hub, repo):
    for wrong in ({"gated": "yes"}, {"gated": 1}, {"private": "yes"}, {"visibility": "hidden"}):
        refused(ask(hub, "PUT", f"/api/models/{repo}/settings", wrong), 400)
    assert ask(hub, "PUT", f"/api/models/{repo}/settings", {"discussionsDisabled": True}).json[
        "discussionsDisabled"
    ]
    for answer in (
        ask(hub, "POST", f"/api/models/{repo}/discussions", {"title": "x", "description": "y"}),
        commit(hub, repo, text_file("a", "a"), query="?create_pr=1"),
    ):
        refused(answer, 403, "disabled")


# --- whatever comes, it answers

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    """
    files path size sample paths expand title description pullRequest comment status tag message startingPoint
    name organization type private visibility gated content objects oid parts operation transfers fromRepo
    toRepo summary parentCommit encoding user namespace item
    """.split()
)
BODIES = st.dictionaries(KEYS, JSON, max_size=4) | JSON
TALK = "comment title status merge pin x comment/0/edit comment/0/hide".split()
ENDS = (
    """
    preupload/main paths-info/main branch/b tag/main super-squash/b discussions user-access-request/grant
    user-access-request/handle
""".split()
    + [f"discussions/1/{action}" for action in TALK]
)
PLACES = [
    *(("POST", "/api/models/{repo}/" + end) for end in ENDS),
    ("PUT", "/api/models/{repo}/settings"),
    ("POST", "/api/repos/create"),
    ("POST", "/api/repos/move"),
    ("DELETE", "/api/repos/delete"),
    ("POST", "/api/validate-yaml"),
    ("POST", "/{repo}.git/info/lfs/objects/batch"),
    ("POST", "/{repo}.git/info/lfs/objects/verify"),
    ("POST", "/api/collections"),
]


@pytest.fixture(scope="module")
def target(hub):
    name = created(hub)
    ask(hub, "POST", f"/api/models/{name}/discussions", {"title": "x", "description": "y"})
    return name


@settings(max_examples=max(20, settings().max_examples // 4))
@given(place=st.sampled_from(PLACES), body=BODIES)
def test_no_body_breaks_it(hub, target, place, body):
    method, path = place
    answer = ask(hub, method, path.format(repo=target), json.dumps(body))
    assert answer.status < 500, (place, body, answer)
    assert answer.status < 400 or answer.error


@settings(max_examples=max(20, settings().max_examples // 4))
@given(
    items=st.lists(
        st.tuples(st.sampled_from(["header", "file", "lfsFile", "deletedFile", "x"]), BODIES), max_size=3
    )
)
@example(items=[("header", {"summary": "x"}), ("file", {"path": "a", "content": "\ud800"})])
def test_no_commit_breaks_it(hub, target, items):
    answer = ask(hub, "POST", f"/api/models/{target}/commit/main", lines(*items))
    assert answer.status < 500, (items, answer)
    assert answer.status < 400 or answer.error


@pytest.mark.soak
@given(path=st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=30))
def test_no_address_breaks_it(hub, target, path):
    for before in ("/", f"/api/models/{target}/", f"/{target}/resolve/main/", f"/api/models/{target}/tree/"):
        answer = ask(hub, "GET", before + path.replace("#", ""))
        assert answer.status < 500, (before, path, answer)


def test_what_is_no_http_is_dropped(hub):
    host, port = hub.endpoint.removeprefix("http://").split(":")
    for data in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"A" * 70_000 + b"\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=5) as raw:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            assert raw.recv(100)[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 403")
    assert ask(hub, "GET", "/api/models").status == 200
    connection = http.client.HTTPConnection(host, int(port), timeout=5)
    connection.request("GET", "/api/models", headers={"X-Long": "a" * 60_000})
    assert connection.getresponse().status in (200, 400, 431)
    connection.close()
