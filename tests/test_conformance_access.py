"""Gates, scoped tokens, collections, other names and other origins, by huggingface_hub as it comes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from conforming import ALICE, BOB, TOKENS, ask, commit, created, fresh, refused, text_file, upload
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from hubkit.localhub import Scope, Switchboard, Token, start

READS = ("repo.content.read",)
WRITES = ("repo.content.read", "repo.write")
FINE = {
    "hf_only_one": Token("alice", "fineGrained", scopes=(Scope("alice/one", WRITES),)),
    "hf_reads": Token("alice", "fineGrained", scopes=(Scope("alice", READS),)),
    "hf_writes": Token("alice", "fineGrained", scopes=(Scope("alice", WRITES),)),
    "hf_talks": Token("bob", "fineGrained", everywhere=("discussion.write",)),
    "hf_collects": Token("alice", "fineGrained", scopes=(Scope("alice", ("collection.write",)),)),
    "hf_expired": replace(TOKENS[ALICE], expires=1.0, name="old"),
}


@pytest.fixture(scope="module")
def board():
    return Switchboard()


@pytest.fixture(scope="module")
def hub(tmp_path_factory, board):
    """A Hub whose large files lie at another origin, and that writes down what it is asked."""
    place = tmp_path_factory.mktemp("hub")
    with start(place, tokens=TOKENS | FINE, storage_origin=True, switchboard=board) as hub:
        yield hub


def by(hub, token):
    return HfApi(endpoint=hub.endpoint, token=token)


def status(call, *args, **options):
    """The status of a refused call of the client."""
    with pytest.raises(HfHubHTTPError) as caught:
        call(*args, **options)
    return caught.value.response.status_code


def add(api, repo, **options):
    operations = [CommitOperationAdd("x.txt", os.urandom(8))]
    return api.create_commit(repo, operations, commit_message="change", **options)


def test_gates(hub, tmp_path):
    alice, bob = by(hub, ALICE), by(hub, BOB)
    repo = created(hub)
    commit(hub, repo, text_file("x.txt", "x"))
    alice.update_repo_settings(repo, gated="manual")

    def download():
        return hf_hub_download(repo, "x.txt", endpoint=hub.endpoint, token=BOB, cache_dir=tmp_path)

    for token, code in ((BOB, 403), (False, 401)):
        with pytest.raises(GatedRepoError) as caught:
            by(hub, token).auth_check(repo)
        assert caught.value.response.status_code == code
    assert bob.model_info(repo).gated == "manual"  # what it is can be seen
    with pytest.raises(GatedRepoError):
        download()
    assert ask(hub, "POST", f"/{repo}/ask-access", {}, token=BOB).status == 200
    refused(ask(hub, "POST", f"/{repo}/ask-access", {}, token=BOB), 400)
    [asked] = alice.list_pending_access_requests(repo)
    assert (asked.username, asked.status) == ("bob", "pending")
    alice.accept_access_request(repo, request_id=asked.request_id)
    assert Path(download()).read_text() == "x"
    assert [one.username for one in alice.list_accepted_access_requests(repo)] == ["bob"]
    assert status(alice.accept_access_request, repo, "bob") == 404
    alice.cancel_access_request(repo, "bob")
    alice.reject_access_request(repo, "bob", rejection_reason="no")
    assert [one.username for one in alice.list_rejected_access_requests(repo)] == ["bob"]
    assert status(alice.accept_access_request, repo, "nobody") == 404
    assert status(bob.list_pending_access_requests(repo).__next__) == 403
    alice.update_repo_settings(repo, gated="auto")
    assert ask(hub, "POST", f"/{repo}/ask-access", {}, token="hf_talks").status == 400  # bob's, and rejected
    alice.update_repo_settings(repo, gated=False)
    refused(ask(hub, "POST", f"/{repo}/ask-access", {}, token=BOB), 400, "not gated")


def test_scoped_tokens(hub):
    alice = by(hub, ALICE)
    for name in ("alice/one", "alice/two"):
        alice.create_repo(name, private=True)
    one, reads, writes, talks = (by(hub, t) for t in ("hf_only_one", "hf_reads", "hf_writes", "hf_talks"))
    assert one.whoami()["auth"]["accessToken"]["role"] == "fineGrained"
    add(one, "alice/one")
    with pytest.raises(RepositoryNotFoundError):
        one.model_info("alice/two")
    assert status(one.create_repo, "alice/three") == 403
    assert reads.model_info("alice/two").private
    assert status(add, reads, "alice/two") == 403
    assert status(add, reads, "alice/two", create_pr=True) == 403
    assert status(reads.create_tag, "alice/two", tag="v1") == 403
    add(writes, "alice/two")
    writes.create_repo("alice/four")
    assert status(writes.create_repo, "acme/five") == 403
    assert status(writes.create_collection, "Mine") == 403
    talks.create_discussion("alice/four", title="Hello")
    assert status(add, talks, "alice/four") == 403
    add(talks, "alice/four", create_pr=True)
    with pytest.raises(HfHubHTTPError, match="expired"):
        by(hub, "hf_expired").model_info("alice/four")


def test_collections(hub):
    alice, bob, collects = by(hub, ALICE), by(hub, BOB), by(hub, "hf_collects")
    first, second = created(hub), created(hub, "bob")
    made = collects.create_collection("Small Adapters", description="All of them")
    assert made.slug.startswith("alice/small-adapters-")
    assert alice.create_collection("Small Adapters", exists_ok=True).slug == made.slug
    assert status(alice.create_collection, "Small Adapters") == 409
    assert status(bob.create_collection, "Theirs", namespace="alice") == 403
    alice.add_collection_item(made.slug, first, "model", note="mine")
    found = alice.add_collection_item(made.slug, second, "model")
    assert [(item.item_id, item.item_type) for item in found.items] == [(first, "model"), (second, "model")]
    assert alice.add_collection_item(made.slug, first, "model", exists_ok=True).slug == made.slug
    assert status(alice.add_collection_item, made.slug, first, "model") == 409
    assert status(alice.add_collection_item, made.slug, fresh(), "model") == 404
    assert status(bob.add_collection_item, made.slug, second, "model") == 403
    one, two = found.items
    alice.update_collection_item(made.slug, two.item_object_id, note="theirs", position=0)
    assert [item.note for item in alice.get_collection(made.slug).items] == ["theirs", "mine"]
    alice.delete_collection_item(made.slug, one.item_object_id)
    assert status(alice.delete_collection_item, made.slug, one.item_object_id) == 404
    # What is private is not there for others, in a collection as elsewhere.
    bob.update_repo_settings(second, private=True)
    assert (len(alice.get_collection(made.slug).items), len(bob.get_collection(made.slug).items)) == (0, 1)
    assert [c.slug for c in bob.list_collections(owner="alice", item=f"models/{second}")] == [made.slug]
    renamed = alice.update_collection_metadata(made.slug, title="Adapters", private=True, theme="green")
    assert renamed.slug == f"alice/adapters-{made.slug[-24:]}"
    assert alice.get_collection(made.slug).title == "Adapters"  # the old address still leads there
    assert status(bob.get_collection, made.slug) == 404
    assert list(bob.list_collections(owner="alice")) == []
    assert status(bob.delete_collection, made.slug) in (403, 404)
    alice.delete_collection(made.slug)
    assert status(alice.delete_collection, made.slug) == 404
    alice.delete_collection(made.slug, missing_ok=True)


def test_renamed_repos(hub, tmp_path):
    alice = by(hub, ALICE)
    old, new = created(hub), fresh("acme")
    alice.move_repo(old, new)
    assert alice.model_info(old).id == new
    add(alice, old)
    assert Path(
        hf_hub_download(old, "x.txt", endpoint=hub.endpoint, token=ALICE, cache_dir=tmp_path)
    ).exists()
    answer = ask(hub, "GET", f"/api/models/{old}?blobs=1")
    assert (answer.status, answer.headers["Location"]) == (307, f"/api/models/{new}?blobs=1")
    alice.update_repo_settings(new, private=True)
    with pytest.raises(RepositoryNotFoundError):  # a redirect would tell of it
        by(hub, BOB).model_info(old)
    assert alice.create_repo(old).repo_id == old  # the name is free again
    assert alice.model_info(old).id == old


def test_no_token_goes_to_another_origin(hub, board, tmp_path):
    repo, data = created(hub, private=True), os.urandom(5000)
    large = upload(hub, repo, data)
    assert commit(hub, repo, ("lfsFile", {"path": "w.bin", **large})).status == 200
    answer = ask(hub, "GET", f"/{repo}/resolve/main/w.bin")
    place = answer.headers["Location"]
    assert answer.status == 302
    assert not place.startswith(hub.endpoint)
    assert answer.headers["X-Linked-Size"] == "5000"
    seen = len(board.log)
    api = by(hub, ALICE)
    assert Path(api.hf_hub_download(repo, "w.bin", cache_dir=tmp_path)).read_bytes() == data
    assert any(one.authorized for one in board.log[seen:])
    # The storage refuses a request that brings a token, so this download shows that none was sent.
    origin = "/".join(place.split("/", 3)[:3])
    there = place.removeprefix(origin)
    assert ask(origin, "GET", there, token=None, headers={"Range": "bytes=-4"}).body == data[-4:]
    refused(ask(origin, "GET", there, token=ALICE), 400, "authenticate")
    refused(ask(origin, "GET", there.replace("size=5000", "size=5001"), token=None), 403)
    assert ask(origin, "GET", f"/api/models/{repo}", token=None).status == 404
