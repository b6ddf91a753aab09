"""Looking at a store and tidying it: whatever is damaged is named, and nothing that a commit names goes."""

import hashlib
import os
import shutil
import time

import pytest

from hubkit import localhub
from hubkit.cli.main import run
from hubkit.errors import HubError
from hubkit.localhub import fsck
from hubkit.localhub.objects import lfs_file
from hubkit.localhub.repo import Discussion
from hubkit.localhub.shelves import Collection, Item, new_id
from hubkit.localhub.store import Store

WEIGHTS = b"w" * 1000
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store with something of everything, closed."""
    root = tmp_path_factory.mktemp("hub")
    store = Store(root)
    repo = store.create("user/name", private=False, author="user")
    keep(store, WEIGHTS)
    for number in (1, 2):
        text = repo.objects.add_blob(b"%d" % number)
        tree = {"a.txt": text, "w.bin": lfs_file(DIGEST, len(WEIGHTS))}
        oid = repo.add_commit(
            "main", lambda before, tree=tree: {**before, **tree}, title="add", author="user"
        )
    repo.write_ref("refs/tags/v1", oid)
    repo.write_ref("refs/pr/1", oid)
    repo.save_discussion(Discussion(1, "t", "user", "now", "open", True))
    store.shelves.create(Collection(new_id(), "user", "Shelf", items=[Item(new_id(), repo.facts["key"])]))
    store.create("user/old", private=False, author="user")
    store.move("user/old", "user/new")
    store.close()
    return root


@pytest.fixture
def root(whole, tmp_path):
    """A copy of it, to be hurt."""
    return shutil.copytree(whole, tmp_path / "hub")


def keep(store, data):
    with store.objects.incoming() as new:
        new.write(data)
        store.objects.keep(new, hashlib.sha256(data).hexdigest())


def one(root, pattern):
    return next(place for place in sorted(root.glob(pattern)) if place.is_file())


def test_a_whole_store_is_said_to_be_one(root, capsys):
    assert localhub.check(root) == []
    assert run(["serve", str(root), "--check"]) == 0
    assert capsys.readouterr() == ("", f"All that is stored in {root} is whole.\n")


DAMAGE = {
    "a blob with other bytes": ("objects/blobs/*/*", lambda place: place.write_bytes(b"other")),
    "a large file cut short": ("objects/lfs/*/*", lambda place: place.write_bytes(WEIGHTS[:-1])),
    "a large file gone": ("objects/lfs/*/*", lambda place: place.unlink()),
    "a blob gone": ("objects/blobs/*/*", lambda place: place.unlink()),
    "a tree with other bytes": ("repos/user/name/trees/*", lambda place: place.write_bytes(b"{}")),
    "a tree that is no JSON": ("repos/user/name/trees/*", lambda place: place.write_bytes(b"{")),
    "a tree gone": ("repos/user/name/trees/*", lambda place: place.unlink()),
    "a commit gone": ("repos/user/name/commits/*", lambda place: place.unlink()),
    "a commit with other bytes": ("repos/user/name/commits/*", lambda place: place.write_bytes(b"[]")),
    "a tag that leads nowhere": ("repos/user/name/refs/tags/*", lambda place: place.write_text("0" * 40)),
    "a branch that is gone": ("repos/user/name/refs/heads/main", lambda place: place.unlink()),
    "facts of a repo that are none": ("repos/user/name/repo.json", lambda place: place.write_text("{")),
    "a discussion cut short": ("repos/user/name/discussions/1", lambda place: place.write_text("{")),
    "a collection cut short": ("collections/*", lambda place: place.write_text("{")),
    "old ids that are none": ("moved.json", lambda place: place.write_text("[")),
    "old ids of another kind": ("moved.json", lambda place: place.write_text("[1]")),
    "facts of another kind": ("repos/user/name/repo.json", lambda place: place.write_text("[]")),
    "a fact that lacks": ("repos/user/name/repo.json", lambda place: place.write_text('{"private": true}')),
    "a folder among the tags": (
        "repos/user/name/refs/tags/*",
        lambda place: (place.unlink(), place.mkdir()),
    ),
    "an object that is a link": (
        "objects/lfs/*/*",
        lambda place: (place.unlink(), place.symlink_to("/etc/passwd")),
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(root, damage, capsys):
    pattern, hurt = DAMAGE[damage]
    hurt(one(root, pattern))
    assert localhub.check(root)
    assert run(["serve", str(root), "--gc"]) == 1
    out, err = capsys.readouterr()
    assert out
    assert err == ""


def test_only_what_no_commit_names_goes(root, capsys):
    store = Store(root)
    before = len(fsck._files(store.objects.blobs)), len(fsck._files(store.objects.lfs))
    keep(store, b"never committed")
    keep(store, b"on its way")
    store.objects.add_blob(b"left over from a deleted repo")
    store.close()
    long_ago = time.time() - 10 * fsck.GRACE
    for place in root.glob("objects/*/*/*"):
        if place.read_bytes() != b"on its way":
            os.utime(place, (long_ago, long_ago))
    assert run(["serve", str(root), "--check", "--gc"]) == 0
    assert "Removed 2 files that no commit names, 44 bytes." in capsys.readouterr().err
    store = Store(root)
    assert (len(fsck._files(store.objects.blobs)), len(fsck._files(store.objects.lfs)) - 1) == before
    assert fsck.check(store) == []
    assert fsck.collect(store, grace=-1) == (1, len(b"on its way"))
    assert fsck.check(store) == []
    store.close()


def test_a_history_that_no_reference_leads_to_keeps_its_files(root):
    store = Store(root)
    repo = store.repo("user/name")
    old = repo.resolve("main")
    for ref in ("refs/tags/v1", "refs/pr/1"):
        repo.remove_ref(ref)
    repo.write_ref("main", repo.write_commit({}, None, "squashed", "", "user"))
    assert fsck.collect(store, grace=-1) == (0, 0)
    assert repo.objects.path(repo.file(old, "w.bin")).read_bytes() == WEIGHTS
    store.close()


def test_a_directory_that_is_none_and_one_that_is_served(tmp_path, root, capsys):
    assert run(["serve", str(tmp_path / "nothing"), "--check"]) == 2
    assert capsys.readouterr().err.startswith("hubkit: there is no local Hub in ")
    assert not (tmp_path / "nothing").exists()
    with localhub.start(root), pytest.raises(HubError, match="is served by another process"):
        localhub.check(root)
