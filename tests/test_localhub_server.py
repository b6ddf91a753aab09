"""The local Hub, by the real client with Xet on and off, and by raw requests for what it never sends."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import uuid
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hubkit.errors import HubError
from hubkit.localhub import Token, start

TOKENS = {
    "hf_alice": Token("alice", "write", ("acme",)),
    "hf_reader": Token("alice", "read"),
    "hf_bob": Token("bob"),
}
CARD = "---\nlicense: mit\nlibrary_name: peft\nbase_model: a/b\nlanguage: no\ntags:\n- lora\n---\n# Hi\n"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with start(tmp_path_factory.mktemp("hub"), tokens=TOKENS) as running:
        yield running


@pytest.fixture(scope="module")
def api(hub):
    return HfApi(endpoint=hub.endpoint, token="hf_alice")


@pytest.fixture
def repo(api, request):
    repo_id = f"alice/{request.node.originalname.replace('_', '-')[:80]}-{uuid.uuid4().hex[:8]}"
    api.create_repo(repo_id)
    return repo_id


def as_user(hub, token):
    return HfApi(endpoint=hub.endpoint, token=token)


def add(api, repo, *files, **options):
    operations = [CommitOperationAdd(path, data) for path, data in files]
    return api.create_commit(repo, operations, commit_message=options.pop("message", "change"), **options)


def ask(hub, method, path, body=None, headers=None, token=None):
    """A raw request; the answer's status, headers and body."""
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=10)
    given = {"Authorization": f"Bearer {token}"} if token else {}
    if isinstance(body, dict | list):
        body = json.dumps(body)
    connection.request(method, path, body, given | (headers or {}))
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, answer.headers, data


def lines(*items):
    return "".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in items)


def download(hub, api, repo, path, tmp_path, **options):
    place = hf_hub_download(
        repo, path, endpoint=hub.endpoint, token=api.token, cache_dir=tmp_path / "cache", **options
    )
    return Path(place).read_bytes()


# --- users and repos


def test_whoami(hub, api):
    me = api.whoami()
    assert me["name"] == "alice"
    assert [org["name"] for org in me["orgs"]] == ["acme"]
    assert me["auth"]["accessToken"]["role"] == "write"
    assert as_user(hub, hub.token).whoami()["name"] == hub.user == "local"
    with pytest.raises(HfHubHTTPError) as caught:
        as_user(hub, "hf_wrong").whoami()
    assert caught.value.response.status_code == 401


def test_the_token_stays_and_is_private(hub, tmp_path):
    with start(tmp_path) as first:
        secret = first.token
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    with start(tmp_path) as again:
        assert again.token == secret


def test_repos_are_created_once(hub, api, repo):
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_repo(repo)
    assert caught.value.response.status_code == 409
    assert api.create_repo(repo, exist_ok=True).repo_id == repo
    assert api.create_repo("acme/shared", exist_ok=True).repo_id == "acme/shared"
    for client, name in ((api, "bob/x"), (as_user(hub, "hf_reader"), "alice/x")):
        with pytest.raises(HfHubHTTPError) as caught:
            client.create_repo(name)
        assert caught.value.response.status_code == 403
    assert ask(hub, "POST", "/api/repos/create", {"name": "x"})[0] == 401
    assert ask(hub, "POST", "/api/repos/create", {"name": "x", "type": "space"}, token="hf_alice")[0] == 400
    for name in ("..", "a/b", "x" * 97, 3, None):
        assert ask(hub, "POST", "/api/repos/create", {"name": name}, token="hf_alice")[0] == 400


def test_private_repos_are_invisible_to_others(hub, api, repo, tmp_path):
    add(api, repo, ("README.md", CARD.encode()))
    api.update_repo_settings(repo, private=True)
    assert api.model_info(repo).private is True
    for token in ("hf_bob", False):
        other = as_user(hub, token)
        assert not other.repo_exists(repo)
        assert repo not in [model.id for model in other.list_models()]
        with pytest.raises(RepositoryNotFoundError):
            other.model_info(repo)
        with pytest.raises(RepositoryNotFoundError):
            download(hub, other, repo, "README.md", tmp_path)
    assert repo in [model.id for model in api.list_models()]
    assert as_user(hub, "hf_reader").repo_exists(repo)
    api.update_repo_settings(repo, private=False)
    assert as_user(hub, False).repo_exists(repo)


def test_who_may_write(hub, api, repo):
    for token, status in (("hf_bob", 403), ("hf_reader", 403), (None, 401)):
        body = lines(("header", {"summary": "x"}))
        assert ask(hub, "POST", f"/api/models/{repo}/commit/main", body, token=token)[0] == status
        assert ask(hub, "PUT", f"/api/models/{repo}/settings", {"private": True}, token=token)[0] == status
        assert (
            ask(
                hub,
                "DELETE",
                "/api/repos/delete",
                json.dumps(dict(zip(("organization", "name"), repo.split("/"), strict=True))),
                token=token,
            )[0]
            == status
        )
    assert api.repo_exists(repo)
    api.auth_check(repo, write=True)
    with pytest.raises(HfHubHTTPError):
        as_user(hub, "hf_bob").auth_check(repo, write=True)


def test_delete_and_move(api, repo):
    api.move_repo(repo, "acme/moved")
    assert api.repo_exists("acme/moved")
    assert api.model_info(repo).id == "acme/moved"  # the old id leads there
    api.delete_repo("acme/moved")
    assert not api.repo_exists(repo)
    assert not api.repo_exists("acme/moved")
    api.delete_repo("acme/moved", missing_ok=True)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("acme/moved")


def test_what_is_not_here(hub, api, repo, tmp_path):
    for name in ("alice/nope", "bert-base-uncased"):
        with pytest.raises(RepositoryNotFoundError):
            api.model_info(name)
        with pytest.raises(RepositoryNotFoundError):
            download(hub, api, name, "config.json", tmp_path)
    with pytest.raises(RepositoryNotFoundError):
        api.dataset_info("alice/data")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(repo, revision="nope")
    with pytest.raises(EntryNotFoundError):
        download(hub, api, repo, "nope.txt", tmp_path)
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(repo, "nope"))
    assert not api.file_exists(repo, "nope.txt")
    assert ask(hub, "GET", f"/api/models/{repo}/nope", token="hf_alice")[0] == 404
    assert ask(hub, "PATCH", f"/api/models/{repo}", token="hf_alice")[0] in (404, 405)


# --- commits


def test_bytes_come_back_with_xet(hub, api, repo, tmp_path):
    large = os.urandom(3_000_000)
    (tmp_path / "weights.safetensors").write_bytes(large)
    (tmp_path / "zeros.bin").write_bytes(bytes(200_000))
    made = add(
        api,
        repo,
        ("README.md", CARD.encode()),
        ("adapter_model.safetensors", tmp_path / "weights.safetensors"),
        ("in/memory.bin", large[::-1]),
        ("zeros.bin", tmp_path / "zeros.bin"),
        ("empty.bin", b""),
    )
    assert download(hub, api, repo, "adapter_model.safetensors", tmp_path, revision=made.oid) == large
    assert download(hub, api, repo, "in/memory.bin", tmp_path) == large[::-1]
    assert download(hub, api, repo, "zeros.bin", tmp_path) == bytes(200_000)
    assert download(hub, api, repo, "empty.bin", tmp_path) == b""
    assert download(hub, api, repo, "README.md", tmp_path) == CARD.encode()
    info = api.get_paths_info(repo, ["adapter_model.safetensors", "README.md", "in", "nope"], expand=True)
    by_path = {item.path: item for item in info}
    assert set(by_path) == {"adapter_model.safetensors", "README.md", "in"}
    assert by_path["adapter_model.safetensors"].lfs.size == len(large)
    assert by_path["README.md"].lfs is None
    assert by_path["README.md"].last_commit.oid == made.oid
    # The same bytes again: nothing is sent, and the commit stands.
    again = add(api, repo, ("copy.bin", tmp_path / "weights.safetensors"), ("README.md", CARD.encode()))
    assert download(hub, api, repo, "copy.bin", tmp_path, revision=again.oid) == large


WITHOUT_XET = """
    import os, sys
    from pathlib import Path
    from huggingface_hub import CommitOperationAdd as Add, HfApi, hf_hub_download
    from huggingface_hub.constants import HF_HUB_DISABLE_XET

    assert HF_HUB_DISABLE_XET
    endpoint, token, repo, folder = sys.argv[1:]
    api = HfApi(endpoint=endpoint, token=token)
    sizes = {"one.bin": 1000, "exact.bin": 200_000, "many.bin": 250_001}
    data = {name: os.urandom(size) for name, size in sizes.items()}
    data["file.bin"] = os.urandom(300_000)
    (Path(folder) / "file").write_bytes(data["file.bin"])
    files = [Add(name, data[name]) for name in sizes] + [Add("file.bin", Path(folder) / "file")]
    api.create_commit(repo, files, commit_message="by LFS")
    for name, expected in data.items():
        place = hf_hub_download(repo, name, endpoint=endpoint, token=token, cache_dir=folder + "/cache")
        assert Path(place).read_bytes() == expected, name
    print("equal")
"""


def test_bytes_come_back_by_lfs_in_one_part_and_in_many(tmp_path):
    with start(tmp_path / "hub", part_size=100_000) as hub:
        HfApi(endpoint=hub.endpoint, token=hub.token).create_repo("local/lfs")
        environment = {**os.environ, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        command = [sys.executable, "-c", textwrap.dedent(WITHOUT_XET)]
        arguments = [hub.endpoint, hub.token, "local/lfs", str(tmp_path)]
        done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True)
        assert done.stdout == "equal\n", done.stderr
    assert not list((tmp_path / "hub/tmp").iterdir())


def test_a_hub_without_xet_says_so(tmp_path):
    with start(tmp_path / "hub", xet=False) as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.token)
        api.create_repo("local/x")
        with pytest.raises(ConnectionError):
            add(api, "local/x", ("a.bin", b"0" * 100))


def test_lfs_takes_only_what_was_announced(hub, repo):
    def batch(oid, size, token="hf_alice"):
        body = {
            "operation": "upload",
            "transfers": ["basic", "multipart"],
            "objects": [{"oid": oid, "size": size}],
        }
        return ask(hub, "POST", f"/{repo}.git/info/lfs/objects/batch", body, token=token)

    def send(address, data):
        return ask(hub, "PUT", address.removeprefix(hub.endpoint), data)[0]

    oid = "a" * 64
    assert batch(oid, 5, token=None)[0] == 401
    assert batch(oid, 5, token="hf_reader")[0] == 403
    for bad in ("../../etc/passwd", "A" * 64, 7):
        assert batch(bad, 5)[0] == 422
    assert batch(oid, -1)[0] == 422
    action = json.loads(batch(oid, 5)[2])["objects"][0]["actions"]["upload"]["href"]
    assert send(action, b"hello") == 400  # another digest
    assert send(action, b"hello!") == 400  # more bytes
    assert send(action.replace("size=5", "size=6"), b"hello!") == 403  # another size than the one signed
    assert send(action.split("?")[0], b"hello") == 403
    assert (
        ask(hub, "POST", f"/{repo}.git/info/lfs/objects/verify", {"oid": oid, "size": 5}, token="hf_alice")[0]
        == 404
    )
    missing = lines(
        ("header", {"summary": "x"}), ("lfsFile", {"path": "a.bin", "algo": "sha256", "oid": oid, "size": 5})
    )
    status, _, answer = ask(hub, "POST", f"/api/models/{repo}/commit/main", missing, token="hf_alice")
    assert status == 400
    assert b"never uploaded" in answer


def test_parent_commit_guards_the_head(api, repo):
    old = api.model_info(repo).sha
    new = add(api, repo, ("a.txt", b"a"), parent_commit=old)
    with pytest.raises(HfHubHTTPError) as caught:
        add(api, repo, ("b.txt", b"b"), parent_commit=old)
    assert caught.value.response.status_code == 412
    # A pull request starts where its author began.
    add(api, repo, ("b.txt", b"b"), parent_commit=old, create_pr=True)
    assert api.list_repo_files(repo, revision="refs/pr/1") == [".gitattributes", "b.txt"]
    assert api.model_info(repo).sha == new.oid


def test_deleting_and_copying(api, repo):
    add(api, repo, ("a/1.txt", b"1"), ("a/2.txt", b"2"), ("b.bin", b"0" * 50))
    operations = [
        CommitOperationCopy("b.bin", "c.bin"),
        CommitOperationDelete("a/", is_folder=True),
        CommitOperationAdd("a", b"now a file"),
    ]
    api.create_commit(repo, operations, commit_message="tidy")
    assert api.list_repo_files(repo) == [".gitattributes", "a", "b.bin", "c.bin"]
    api.delete_file("b.bin", repo)
    with pytest.raises(EntryNotFoundError):
        api.delete_file("b.bin", repo)


def test_a_folder_in_one_commit(hub, api, repo, tmp_path):
    folder = tmp_path / "adapter"
    (folder / "figures").mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(os.urandom(100_000))
    (folder / "README.md").write_text(CARD)
    (folder / "figures/loss.png").write_bytes(b"\x89PNG\r\n\x1a\n\0" + os.urandom(100))
    api.upload_folder(repo_id=repo, folder_path=folder)
    place = Path(
        snapshot_download(repo, endpoint=hub.endpoint, token=api.token, cache_dir=tmp_path / "cache")
    )
    for path in ("adapter_model.safetensors", "README.md", "figures/loss.png"):
        assert (place / path).read_bytes() == (folder / path).read_bytes()
    assert len(api.list_repo_commits(repo)) == 2


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", ".git/config", "a//b", "a/./b", "", "a\\..\\b", "a\u0000b"]
)
def test_paths_that_leave_the_repo_are_refused(hub, api, repo, path):
    for item in (
        ("file", {"path": path, "content": "", "encoding": "base64"}),
        ("deletedFile", {"path": path}),
    ):
        body = lines(("header", {"summary": "x"}), item)
        status, _, answer = ask(hub, "POST", f"/api/models/{repo}/commit/main", body, token="hf_alice")
        assert status == 400
        assert b"Traceback" not in answer
    assert len(api.list_repo_commits(repo)) == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]\n",
        '{"key": "header"}\n',
        lines(("header", {})),
        lines(("header", {"summary": "x"}), ("submodule", {"path": "a"})),
        lines(("header", {"summary": "x"}), ("file", {"path": "a", "content": "%%%", "encoding": "base64"})),
        lines(("header", {"summary": "x"}), ("lfsFile", {"path": "a", "oid": "../" * 20})),
        lines(("header", {"summary": "x", "parentCommit": 3})),
        lines(("header", {"summary": "x"}), ("file", {"path": ".gitattributes/x", "content": ""})),
    ],
)
def test_commits_that_make_no_sense_are_refused(hub, repo, body):
    status, headers, answer = ask(hub, "POST", f"/api/models/{repo}/commit/main", body, token="hf_alice")
    assert status == 400
    assert json.loads(answer)["error"]
    assert headers["X-Error-Message"]


def test_a_card_that_breaks_the_rules_is_refused(hub, api, repo):
    with pytest.raises(ValueError, match="did you mean 'mit'"):
        add(api, repo, ("README.md", b"---\nlicense: mitt\n---\n"))
    for text in ("license: mitt", "a: 1\na: 2", "model-index:\n- name: x", "x: &a [*a]", "license: [", "- a"):
        content = {"path": "README.md", "content": f"---\n{text}\n---\n", "encoding": "utf-8"}
        body = lines(("header", {"summary": "x"}), ("file", content))
        status, _, answer = ask(hub, "POST", f"/api/models/{repo}/commit/main", body, token="hf_alice")
        assert status == 400, text
        assert json.loads(answer)["error"]
    assert api.list_repo_files(repo) == [".gitattributes"]


def test_concurrent_commits_all_land(hub, api, repo):
    failures = []

    def one(number):
        content = {"path": f"{number}.txt", "content": str(number), "encoding": "utf-8"}
        body = lines(("header", {"summary": str(number)}), ("file", content))
        status = ask(hub, "POST", f"/api/models/{repo}/commit/main", body, token="hf_alice")[0]
        if status != 200:
            failures.append(status)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(api.list_repo_commits(repo)) == 13
    assert len(api.list_repo_files(repo)) == 13


# --- references, discussions, listings


def test_branches_and_tags(hub, api, repo, tmp_path):
    first = add(api, repo, ("a.txt", b"1")).oid
    api.create_branch(repo, branch="feature/x")
    api.create_tag(repo, tag="v1.0", tag_message="first")
    for make in (
        lambda: api.create_branch(repo, branch="feature/x"),
        lambda: api.create_tag(repo, tag="v1.0"),
    ):
        with pytest.raises(HfHubHTTPError) as caught:
            make()
        assert caught.value.response.status_code == 409
    api.create_tag(repo, tag="v1.0", exist_ok=True)
    add(api, repo, ("a.txt", b"2"), revision="feature/x")
    assert download(hub, api, repo, "a.txt", tmp_path, revision="feature/x") == b"2"
    assert download(hub, api, repo, "a.txt", tmp_path, revision="v1.0") == b"1"
    refs = api.list_repo_refs(repo, include_pull_requests=True)
    assert [ref.name for ref in refs.branches] == ["feature/x", "main"]
    assert [(ref.ref, ref.target_commit) for ref in refs.tags] == [("refs/tags/v1.0", first)]
    api.super_squash_history(repo, branch="feature/x")
    assert len(api.list_repo_commits(repo, revision="feature/x")) == 1
    api.delete_branch(repo, branch="feature/x")
    api.delete_tag(repo, tag="v1.0")
    for missing in (
        lambda: api.delete_tag(repo, tag="v1.0"),
        lambda: api.model_info(repo, revision="feature/x"),
    ):
        with pytest.raises(RevisionNotFoundError):
            missing()
    with pytest.raises(HfHubHTTPError):
        api.delete_branch(repo, branch="main")


def test_pull_requests(hub, api, repo, tmp_path):
    add(api, repo, ("README.md", CARD.encode()))
    bob = as_user(hub, "hf_bob")
    made = add(bob, repo, ("README.md", CARD.encode() + b"more\n"), create_pr=True, message="Say more")
    assert made.pr_num == 1
    assert made.pr_revision == "refs/pr/1"
    assert download(hub, api, repo, "README.md", tmp_path, revision="refs/pr/1").endswith(b"more\n")
    found = api.get_discussion_details(repo, 1)
    assert (found.title, found.author, found.status, found.is_pull_request) == (
        "Say more",
        "bob",
        "open",
        True,
    )
    assert found.target_branch == "refs/heads/main"
    assert "+more" in found.diff
    assert [ref.ref for ref in api.list_repo_refs(repo, include_pull_requests=True).pull_requests] == [
        "refs/pr/1"
    ]
    assert bob.comment_discussion(repo, 1, "please").content == "please"
    assert api.rename_discussion(repo, 1, new_title="Say much more").new_title == "Say much more"
    with pytest.raises(HfHubHTTPError):
        bob.merge_pull_request(repo, 1)
    add(api, repo, ("other.txt", b"x"))
    api.merge_pull_request(repo, 1)
    assert download(hub, api, repo, "README.md", tmp_path).endswith(b"more\n")
    assert api.file_exists(repo, "other.txt")
    assert api.get_discussion_details(repo, 1).status == "merged"
    assert api.create_discussion(repo, title="Why?", description="Because").num == 2
    assert api.change_discussion_status(repo, 2, "closed").new_status == "closed"
    assert [item.num for item in api.get_repo_discussions(repo)] == [2, 1]
    assert [item.num for item in api.get_repo_discussions(repo, discussion_type="pull_request")] == [1]


def test_a_conflicting_pull_request_is_not_merged(api, repo):
    add(api, repo, ("a.txt", b"1"))
    add(api, repo, ("a.txt", b"2"), create_pr=True)
    add(api, repo, ("a.txt", b"3"))
    assert api.get_discussion_details(repo, 1).conflicting_files == ["a.txt"]
    with pytest.raises(HfHubHTTPError) as caught:
        api.merge_pull_request(repo, 1)
    assert caught.value.response.status_code == 409


def test_model_info(api, repo):
    add(api, repo, ("README.md", CARD.encode()), ("adapter_config.json", b'{"task_type": "CAUSAL_LM"}'))
    info = api.model_info(repo, files_metadata=True)
    assert info.author == "alice"
    assert info.card_data.license == "mit"
    assert info.card_data.language == "no"  # the Hub's parser does not make false of it
    assert {"peft", "lora", "no", "license:mit", "base_model:a/b", "base_model:adapter:a/b"} <= set(info.tags)
    assert info.config == {"peft": {"task_type": "CAUSAL_LM"}}
    assert [(s.rfilename, s.size) for s in info.siblings][1] == ("README.md", len(CARD))
    assert api.list_repo_commits(repo)[0].authors == ["alice"]
    assert api.list_repo_commits(repo)[0].commit_id == info.sha


def test_trees(api, repo):
    add(api, repo, ("a/b/c.txt", b"c"), ("a/d.txt", b"d"), ("e.txt", b"e"))
    assert [item.path for item in api.list_repo_tree(repo)] == [".gitattributes", "a", "e.txt"]
    assert [item.path for item in api.list_repo_tree(repo, "a")] == ["a/b", "a/d.txt"]
    every = [item.path for item in api.list_repo_tree(repo, recursive=True, expand=True)]
    assert every == [".gitattributes", "a", "a/b", "a/b/c.txt", "a/d.txt", "e.txt"]


def test_lists_are_filtered_and_come_in_pages(hub, api):
    bob = as_user(hub, "hf_bob")
    for number in range(3):
        bob.create_repo(f"bob/listed-{number}")
        add(bob, f"bob/listed-{number}", ("README.md", CARD.encode()))
    bob.create_repo("bob/other")

    def names(**options):
        return [model.id for model in api.list_models(**options)]

    assert len(names(author="bob")) == 4
    assert names(author="bob", filter=["base_model:a/b", "peft"]) == [f"bob/listed-{n}" for n in range(3)]
    assert names(author="bob", search="OTHER") == ["bob/other"]
    assert names(author="bob", limit=2) == ["bob/listed-0", "bob/listed-1"]
    assert names(author="bob", pipeline_tag="fill-mask") == []
    status, headers, _ = ask(hub, "GET", "/api/models?author=bob&limit=3")
    assert status == 200
    following = re.match(r'<(.+)>; rel="next"', headers["Link"])[1].removeprefix(hub.endpoint)
    assert [model["id"] for model in json.loads(ask(hub, "GET", following)[2])] == ["bob/other"]


# --- downloads


def test_ranges_and_headers(hub, api, repo):
    data = bytes(range(256)) * 10
    oid = add(api, repo, ("x.bin", data)).oid
    path = f"/{repo}/resolve/main/x.bin"
    status, headers, body = ask(hub, "HEAD", path)
    assert (status, body) == (200, b"")
    assert headers["X-Repo-Commit"] == oid
    assert headers["X-Linked-Size"] == headers["Content-Length"] == "2560"
    assert re.fullmatch(r'"[0-9a-f]{64}"', headers["X-Linked-ETag"])
    status, headers, body = ask(hub, "GET", path, headers={"Range": "bytes=10-19"})
    assert (status, headers["Content-Range"], body) == (206, "bytes 10-19/2560", data[10:20])
    assert ask(hub, "GET", path, headers={"Range": "bytes=2550-"})[2] == data[2550:]
    assert ask(hub, "GET", path, headers={"Range": "bytes=9999-"})[0] == 416
    status, headers, _ = ask(hub, "GET", f"/{repo}/resolve/main/nope")
    assert (status, headers["X-Error-Code"], headers["X-Repo-Commit"]) == (404, "EntryNotFound", oid)
    assert ask(hub, "GET", f"/{repo}/raw/main/x.bin")[2].startswith(b"version https://git-lfs")


def test_other_hosts_and_odd_addresses_are_refused(hub, repo):
    assert ask(hub, "GET", "/", headers={"Host": "evil.example"})[0] == 403
    assert ask(hub, "GET", "/", headers={"Host": "127.0.0.1.evil.example:80"})[0] == 403
    for path in (
        f"/{repo}/resolve/main/../../../token",
        f"/{repo}/resolve/..%2F..%2Ftoken/x",
        "/..%2Ftoken",
        "/%00",
    ):
        status, _, body = ask(hub, "GET", path)
        assert status in (200, 404)
        assert hub.token.encode() not in body
    status, _, body = ask(hub, "POST", "/api/validate-yaml", "not json", token="hf_alice")
    assert status == 400
    assert b"Traceback" not in body


# --- starting and stopping


def test_a_second_start_leads_to_the_first(tmp_path):
    with start(tmp_path) as first:
        second = start(tmp_path)
        assert (second.endpoint, second.token) == (first.endpoint, first.token)
        second.close()
        assert HfApi(endpoint=first.endpoint, token=first.token).whoami()["name"] == "local"
    with start(tmp_path) as third:
        assert third.endpoint != ""


def test_a_taken_port_is_one_line(tmp_path, hub):
    port = int(hub.endpoint.rsplit(":", 1)[1])
    with pytest.raises(HubError, match=f"cannot listen on 127.0.0.1:{port}"):
        start(tmp_path, port=port)


def test_other_tokens_than_those_served_are_refused(tmp_path):
    with start(tmp_path), pytest.raises(HubError, match="served already"):
        start(tmp_path, tokens=TOKENS)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_serving_until_a_signal(tmp_path, stop):
    code = (
        "import sys; from pathlib import Path; from hubkit.localhub import serve\n"
        "serve(Path(sys.argv[1]), 0, on_ready=lambda hub: print(hub.endpoint, hub.token, flush=True))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        endpoint, token = process.stdout.readline().split()
        assert HfApi(endpoint=endpoint, token=token).whoami()["name"] == "local"
        with start(tmp_path) as other:
            assert (other.endpoint, other.owned) == (endpoint, False)
        assert HfApi(endpoint=endpoint, token=token).whoami()["name"] == "local"
        process.send_signal(stop)
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")
    assert not (tmp_path / "address").exists()


def test_importing_the_package_is_cheap():
    heavy = "{'starlette', 'uvicorn', 'markdown_it', 'jinja2', 'yaml', 'huggingface_hub', 'hf_xet'}"
    code = f"import sys, hubkit.localhub; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_its_packages_it_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['starlette'] = None\n"
        "from pathlib import Path; from hubkit.localhub import start\n"
        "from hubkit.errors import MissingExtra\n"
        "try: start(Path(sys.argv[1]))\n"
        "except MissingExtra as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("(pip install 'hubkit[local]')")
