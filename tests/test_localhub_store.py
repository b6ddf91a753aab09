"""The store of the local Hub: whole after a crash, one owner at a time, nothing outside its directory."""

import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from hubkit.errors import HubError
from hubkit.localhub import repo as repo_module
from hubkit.localhub import start
from hubkit.localhub.objects import Damaged, blob_oid, lfs_file
from hubkit.localhub.repo import Exists, NotThere, Refused, Stale, check_path, check_ref_name
from hubkit.localhub.store import Busy, Foreign, Store


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "hub")
    yield opened
    opened.close()


def add(repo, path, data, **options):
    file = repo.objects.add_blob(data)
    return repo.add_commit(
        "main", lambda tree: {**tree, path: file}, title=f"add {path}", author="local", **options
    )


def check_whole(store):
    """Every reference leads to commits, trees and files that are what their names say."""
    count = 0
    for repo in store.repos():
        heads = [*repo.refs("heads").values(), *repo.refs("tags").values(), *repo.refs("pr").values()]
        assert heads
        for head in heads:
            for commit in repo.history(head):
                count += 1
                for file in repo.tree(commit.oid).values():
                    data = repo.objects.path(file).read_bytes()
                    assert len(data) == file.size
                    if file.sha256:
                        assert hashlib.sha256(data).hexdigest() == file.sha256
                    else:
                        assert blob_oid(data) == file.oid
    return count


def test_commits_survive_a_restart(tmp_path):
    first = Store(tmp_path)
    repo = first.create("user/name", private=True, author="user")
    oid = add(repo, "a/b.txt", b"hello\n", message="why")
    first.close()
    again = Store(tmp_path)
    repo = again.repo("user/name")
    assert repo.private
    assert repo.resolve("main") == oid
    assert [commit.title for commit in repo.history(oid)] == ["add a/b.txt", "initial commit"]
    assert repo.commit(oid).message == "why"
    # The id of a blob is git's own.
    assert repo.file(oid, "a/b.txt").oid == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert check_whole(again) == 2
    again.close()


def test_one_owner_at_a_time(store):
    with pytest.raises(Busy):
        Store(store.root)


def test_a_stale_parent_is_refused(store):
    repo = store.create("user/name", private=False, author="user")
    old = repo.resolve("main")
    new = add(repo, "a.txt", b"a", parent=old)
    with pytest.raises(Stale):
        add(repo, "b.txt", b"b", parent=old)
    assert repo.resolve("main") == new


def test_concurrent_commits_make_one_line(store):
    repo = store.create("user/name", private=False, author="user")
    threads = [threading.Thread(target=add, args=(repo, f"{n}.txt", b"%d" % n)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    head = repo.resolve("main")
    assert len(list(repo.history(head))) == 17
    assert {f"{n}.txt" for n in range(16)} <= set(repo.tree(head))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "./a",
        "a/.",
        ".git/config",
        "a/.git/x",
        "a\\b",
        "a\0b",
        "a\nb",
    ],
)
def test_paths_that_leave_the_repo(path):
    with pytest.raises(Refused):
        check_path(path)


@pytest.mark.parametrize(
    "name", ["", "a..b", "/a", "a/", ".a", "-a", "a.lock", "refs/heads/x", "a b", "a~1", "x" * 90, "../../x"]
)
def test_names_that_are_no_references(name):
    with pytest.raises(Refused):
        check_ref_name(name)


@pytest.mark.parametrize(
    "revision", ["nope", "..", ".", "", "refs/pr/", "refs/heads/../../repo.json", "x" * 5000, "\0", "é" * 90]
)
def test_revisions_that_are_not_there(store, revision):
    repo = store.create("user/name", private=False, author="user")
    with pytest.raises(NotThere):
        repo.resolve(revision)


def test_the_beginning_of_an_id_means_the_one_commit_that_begins_so(store):
    repo = store.create("user/name", private=False, author="user")
    oid = add(repo, "a", b"1")
    assert repo.expand(oid[:7]) == oid
    assert repo.expand(oid[:6]) == oid[:6]
    other = oid[:9] + ("1" if oid[9] == "0" else "0") * 31
    (repo.folder / "commits" / other).touch()
    assert repo.expand(oid[:12]) == oid
    with pytest.raises(NotThere, match="More than one"):
        repo.expand(oid[:9])
    repo.write_ref(oid[:9], oid)  # a branch of that name comes first
    assert repo.expand(oid[:9]) == oid[:9]


@pytest.mark.parametrize("repo_id", ["name", "../x", "a/../b", "a/b/c", "a/.b", ""])
def test_ids_that_are_none(store, repo_id):
    with pytest.raises(Refused):
        store.create(repo_id, private=False, author="user")


def test_repos_are_unique_move_and_go(store):
    store.create("user/name", private=False, author="user")
    with pytest.raises(Exists):
        store.create("user/name", private=False, author="user")
    store.move("user/name", "user/other")
    assert [repo.id for repo in store.repos()] == ["user/other"]
    assert check_whole(store) == 1
    store.delete("user/other")
    with pytest.raises(NotThere):
        store.repo("user/other")
    assert not (store.root / "repos/user/other").exists()


def test_an_lfs_object_must_be_what_it_claims(store):
    data = b"x" * 3_000_000
    digest = hashlib.sha256(data).hexdigest()
    for part, size in ((data[:-1], None), (data, len(data) + 1)):
        with store.objects.incoming() as new:
            new.write(part)
            with pytest.raises(Damaged):
                store.objects.keep(new, digest, size)
    assert store.objects.lfs_size(digest) is None
    assert list(store.objects.scratch.iterdir()) == []
    with store.objects.incoming() as new:
        new.write(data)
        store.objects.keep(new, digest, len(data))
    assert store.objects.path(lfs_file(digest, len(data))).read_bytes() == data


def test_what_a_dead_process_left_unfinished_goes(tmp_path):
    first = Store(tmp_path)
    first.create("user/name", private=False, author="user")
    (tmp_path / "tmp" / "half").write_bytes(b"half")
    (tmp_path / "repos/user/broken").mkdir()
    (tmp_path / "repos/user/broken/repo.json").write_text('{"private": false}')
    first.close()
    again = Store(tmp_path)
    assert [repo.id for repo in again.repos()] == ["user/name"]
    assert list((tmp_path / "tmp").iterdir()) == []
    again.create("user/broken", private=False, author="user")
    again.close()


SERVER = """
import sys, time
from pathlib import Path
from hubkit.localhub import start
hub = start(Path(sys.argv[1]))
print(hub.endpoint, hub.token, flush=True)
time.sleep(60)
"""


def post(endpoint, token, path, body):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    request = urllib.request.Request(endpoint + path, body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def commit_for_ever(endpoint, token, repo, acknowledged):
    """Commit until the server is gone; remember what it said it had."""
    number = 0
    while True:
        number += 1
        lines = [
            {"key": "header", "value": {"summary": f"commit {number}"}},
            {
                "key": "file",
                "value": {"path": f"{number % 7}.txt", "content": "aGVsbG8h" * 2000, "encoding": "base64"},
            },
            {"key": "file", "value": {"path": "n.txt", "content": f"{number:08d}", "encoding": "utf-8"}},
        ]
        body = "".join(json.dumps(line) + "\n" for line in lines).encode()
        try:
            acknowledged.append(post(endpoint, token, f"/api/models/{repo}/commit/main", body)["commitOid"])
        except (OSError, http.client.HTTPException, ValueError):
            return


@pytest.mark.real
def test_a_server_killed_between_commits_and_in_them_leaves_the_store_whole(tmp_path):
    for pause in (0.0, 0.004, 0.013):
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ},
        )
        assert process.stdout
        endpoint, token = process.stdout.readline().split()
        acknowledged, threads = {}, []
        for name in ("one", "two"):
            repo = f"local/{name}-{pause}"
            post(endpoint, token, "/api/repos/create", json.dumps({"name": repo.split("/")[1]}).encode())
            acknowledged[repo] = []
            arguments = (endpoint, token, repo, acknowledged[repo])
            threads.append(threading.Thread(target=commit_for_ever, args=arguments))
            threads[-1].start()
        deadline = time.monotonic() + 20
        while min(map(len, acknowledged.values())) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for thread in threads:
            thread.join()
        store = Store(tmp_path)
        assert check_whole(store) > 2
        for repo_id, oids in acknowledged.items():
            repo = store.repo(repo_id)
            history = {commit.oid for commit in repo.history(repo.resolve("main"))}
            assert set(oids) <= history  # what was acknowledged is there
            assert len(history) - 1 - len(oids) in (0, 1)  # and at most the one whose answer was lost
        store.close()


def test_a_directory_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "tmp").mkdir()
    dear = tmp_path / "tmp" / "thesis.txt"
    dear.write_text("all of it")
    with pytest.raises(Foreign, match="no local Hub"):
        Store(tmp_path)
    with pytest.raises(HubError, match="no local Hub"):
        start(tmp_path)
    assert dear.read_text() == "all of it"
    assert [place.name for place in tmp_path.iterdir()] == ["tmp"]


def test_a_repo_that_cannot_be_read_is_not_overwritten(tmp_path):
    first = Store(tmp_path)
    add(first.create("user/name", private=False, author="user"), "weights", b"dear")
    first.create("user/other", private=False, author="user")
    first.close()
    facts = tmp_path / "repos" / "user" / "name" / "repo.json"
    facts.write_text("{")
    again = Store(tmp_path)
    commits = sorted((facts.parent / "commits").iterdir())
    with pytest.raises(Refused, match="move it away"):
        again.create("user/name", private=False, author="user")
    with pytest.raises(Refused, match="move it away"):
        again.move("user/other", "user/name")
    assert sorted((facts.parent / "commits").iterdir()) == commits
    again.close()


def test_no_repo_is_made_through_a_link(tmp_path):
    (tmp_path / "away").mkdir()
    opened = Store(tmp_path / "hub")
    (tmp_path / "hub" / "repos").mkdir()
    (tmp_path / "hub" / "repos" / "user").symlink_to(tmp_path / "away")
    with pytest.raises(Refused, match="move it away"):
        opened.create("user/name", private=False, author="user")
    assert list((tmp_path / "away").iterdir()) == []
    opened.close()


def test_a_repo_that_is_renamed_in_the_middle_of_a_commit_keeps_it(store, monkeypatch):
    repo = store.create("user/name", private=False, author="user")
    mover = threading.Thread(target=store.move, args=("user/name", "user/new"))
    write = repo_module.write_atomically

    def slowly(place, data, scratch):
        if place.parent.name == "heads":
            mover.start()
            mover.join(0.2)
        write(place, data, scratch)

    monkeypatch.setattr(repo_module, "write_atomically", slowly)
    oid = add(repo, "a", b"1")
    mover.join()
    assert store.repo("user/new").resolve("main") == oid
    assert store.repo("user/new").file(oid, "a").size == 1
    assert not (store.root / "repos" / "user" / "name").exists()


def test_who_still_holds_a_deleted_repo_writes_nothing_into_the_next_one(store):
    old = store.create("user/name", private=True, author="user")
    store.delete("user/name")
    new = store.create("user/name", private=True, author="user")
    head = new.resolve("main")
    with pytest.raises(NotThere):
        add(old, "a", b"1")
    old.update(private=False)
    assert new.resolve("main") == head
    assert json.loads((store.root / "repos" / "user" / "name" / "repo.json").read_bytes())["private"]


def test_a_new_store_is_closed_to_other_users_of_the_machine(tmp_path):
    before = os.umask(0)
    try:
        Store(tmp_path / "hub").close()
    finally:
        os.umask(before)
    assert (tmp_path / "hub").stat().st_mode & 0o077 == 0
