"""Collections of the local Hub, by the real client and by raw requests."""

import http.client
import json

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from hubkit.localhub import Scope, Token, start

TOKENS = {
    "hf_alice": Token("alice", organizations=("acme",)),
    "hf_reader": Token("alice", "read"),
    "hf_bob": Token("bob"),
    "hf_shelf": Token("alice", "fineGrained", scopes=(Scope("alice", ("collection.write",)),)),
    "hf_other": Token("alice", "fineGrained", scopes=(Scope("alice/one", ("repo.write",)),)),
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with start(tmp_path_factory.mktemp("hub"), tokens=TOKENS) as running:
        client = api(running)
        for name in ("one", "two", "three", "four", "five"):
            client.create_repo(f"alice/{name}", private=name == "five")
        yield running


def api(hub, token="hf_alice"):
    return HfApi(endpoint=hub.endpoint, token=token)


def status(call):
    with pytest.raises(HfHubHTTPError) as caught:
        call()
    return caught.value.response.status_code


def ask(hub, method, path, body, token="hf_alice"):
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=5)
    connection.request(method, path, json.dumps(body), {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, json.loads(data)


def test_a_collection_is_made_once_and_its_slug_follows_its_title(hub):
    alice = api(hub)
    made = alice.create_collection("Étude: LoRA & co.", description="All of them")
    assert made.slug.startswith("alice/etude-lora-co-")
    assert len(made.slug.rsplit("-", 1)[1]) == 24
    assert made.url == f"{hub.endpoint}/collections/{made.slug}"
    assert (made.owner["name"], made.private, made.description, made.items) == (
        "alice",
        False,
        "All of them",
        [],
    )
    assert status(lambda: alice.create_collection("Étude: LoRA & co.")) == 409
    assert alice.create_collection("Étude: LoRA & co.", exists_ok=True).slug == made.slug
    changed = alice.update_collection_metadata(made.slug, title="Later", theme="pink", position=3)
    assert changed.slug == f"alice/later-{made.slug[-24:]}"
    assert (changed.theme, changed.position) == ("pink", 3)
    assert alice.get_collection(made.slug).slug == changed.slug  # the old words still lead there
    assert status(lambda: alice.update_collection_metadata(made.slug, theme="red")) == 400
    assert alice.create_collection("Team", namespace="acme").owner["name"] == "acme"
    alice.delete_collection(changed.slug)
    assert status(lambda: alice.get_collection(changed.slug)) == 404
    alice.delete_collection(changed.slug, missing_ok=True)


def test_items_come_move_and_go(hub):
    alice = api(hub)
    slug = alice.create_collection("Items").slug
    for name in ("one", "two", "three"):
        alice.add_collection_item(slug, f"alice/{name}", "model", note=f"the {name}")
    assert status(lambda: alice.add_collection_item(slug, "alice/two", "model")) == 409
    held = alice.add_collection_item(slug, "alice/two", "model", exists_ok=True)
    assert [(item.item_id, item.position, item.note) for item in held.items] == [
        ("alice/one", 0, "the one"),
        ("alice/two", 1, "the two"),
        ("alice/three", 2, "the three"),
    ]
    for missing, kind in (("alice/nope", "model"), ("alice/one", "dataset"), ("2307.09288", "paper")):
        assert status(lambda m=missing, k=kind: alice.add_collection_item(slug, m, k)) == 404
    alice.update_collection_item(slug, held.items[2].item_object_id, note="first", position=0)
    assert [item.item_id for item in alice.get_collection(slug).items] == [
        "alice/three",
        "alice/one",
        "alice/two",
    ]
    assert alice.get_collection(slug).items[0].note == "first"
    alice.delete_collection_item(slug, held.items[0].item_object_id)
    assert status(lambda: alice.delete_collection_item(slug, held.items[0].item_object_id)) == 404
    alice.delete_collection_item(slug, held.items[0].item_object_id, missing_ok=True)
    assert [item.item_id for item in alice.get_collection(slug).items] == ["alice/three", "alice/two"]
    assert status(lambda: alice.add_collection_item(slug, "alice/one", "model", note="x" * 501)) == 400


def test_many_items_change_together_or_not_at_all(hub):
    alice = api(hub)
    slug = alice.create_collection("Batch").slug
    for name in ("one", "two"):
        alice.add_collection_item(slug, f"alice/{name}", "model")
    first, second = (item.item_object_id for item in alice.get_collection(slug).items)
    change = {"action": "update", "_id": first, "data": {"note": "a", "position": 1}}
    unknown = {"action": "update", "_id": "nope", "data": {"note": "b"}}
    assert ask(hub, "POST", f"/api/collections/{slug}/items/batch", [change, unknown])[0] == 404
    assert [item.note for item in alice.get_collection(slug).items] == [None, None]
    assert ask(hub, "POST", f"/api/collections/{slug}/items/batch", [change])[0] == 200
    assert [item.item_object_id for item in alice.get_collection(slug).items] == [second, first]
    for bad in ({}, ["x"], [{"action": "delete", "_id": first}]):
        assert ask(hub, "POST", f"/api/collections/{slug}/items/batch", bad)[0] == 400


def test_a_collection_follows_a_repo_to_its_new_id_and_hides_what_one_may_not_see(hub):
    alice, bob = api(hub), api(hub, "hf_bob")
    alice.create_repo("alice/before")
    slug = alice.create_collection("Moving").slug
    for name in ("before", "five"):
        alice.add_collection_item(slug, f"alice/{name}", "model")
    alice.move_repo("alice/before", "alice/after")
    assert [item.item_id for item in alice.get_collection(slug).items] == ["alice/after", "alice/five"]
    assert [item.item_id for item in bob.get_collection(slug).items] == ["alice/after"]
    assert status(lambda: alice.add_collection_item(slug, "alice/before", "model")) == 409
    alice.delete_repo("alice/after")
    assert [item.item_id for item in alice.get_collection(slug).items] == ["alice/five"]


def test_private_ones_are_invisible_and_only_owners_change_them(hub):
    alice = api(hub)
    slug = alice.create_collection("Secret", private=True).slug
    shown = alice.create_collection("Shown").slug
    for token in ("hf_bob", False):
        other = api(hub, token)
        assert status(lambda other=other: other.get_collection(slug)) == 404
        assert slug not in [one.slug for one in other.list_collections(owner="alice")]
    bob, reader = api(hub, "hf_bob"), api(hub, "hf_reader")
    assert reader.get_collection(slug).private
    assert status(lambda: bob.delete_collection(slug)) == 404
    for client in (bob, reader):
        assert status(lambda c=client: c.add_collection_item(shown, "alice/one", "model")) == 403
        assert status(lambda c=client: c.delete_collection(shown)) == 403
        assert status(lambda c=client: c.create_collection("Mine", namespace="alice")) == 403
    assert status(lambda: api(hub, False).create_collection("Mine", namespace="alice")) == 401
    shelf = api(hub, "hf_shelf")
    shelf.add_collection_item(shown, "alice/one", "model")
    assert status(lambda: shelf.create_repo("alice/new")) == 403


def test_a_token_for_other_things_sees_no_private_collection(hub):
    hidden = api(hub).create_collection("Hidden", private=True)
    assert status(lambda: api(hub, "hf_other").get_collection(hidden.slug)) == 404
    for token, seen in (("hf_other", False), ("hf_shelf", True), ("hf_reader", True)):
        listed = [one.slug for one in api(hub, token).list_collections(owner="alice", limit=50)]
        assert (hidden.slug in listed) == seen
    api(hub).delete_collection(hidden.slug)


def test_lists_are_filtered_cut_short_and_paged(hub):
    alice, bob = api(hub), api(hub, "hf_bob")
    for number in range(3):
        bob.create_collection(f"List {number}")
    slug = alice.create_collection("Full").slug
    for name in ("one", "two", "three", "four", "five"):
        alice.add_collection_item(slug, f"alice/{name}", "model")
    assert [one.title for one in alice.list_collections(owner="bob")] == ["List 2", "List 1", "List 0"]
    assert slug in [one.slug for one in alice.list_collections(item="models/alice/four")]
    assert slug not in [one.slug for one in bob.list_collections(item="models/alice/five")]  # it is private
    (full,) = [one for one in alice.list_collections(owner=["alice"]) if one.slug == slug]
    assert len(full.items) == 4
    assert len(alice.get_collection(slug).items) == 5
    assert [one.title for one in alice.list_collections(owner="bob", limit=2)] == ["List 2", "List 1"]
    first = ask(hub, "GET", "/api/collections?owner=bob&limit=2&cursor=2", {})[1]
    assert [one["title"] for one in first] == ["List 0"]


@pytest.mark.parametrize("slug", ["x", "..%2F..%2Ftoken", "a" * 24, "x-" + "0" * 24, "%00" * 24])
def test_slugs_that_are_none(hub, slug):
    assert ask(hub, "GET", f"/api/collections/alice/{slug}", {})[0] == 404


def test_collections_survive_a_restart(tmp_path):
    with start(tmp_path) as hub:
        client = HfApi(endpoint=hub.endpoint, token=hub.token)
        client.create_repo("local/x")
        slug = client.create_collection("Kept").slug
        client.add_collection_item(slug, "local/x", "model", note="why")
    with start(tmp_path) as hub:
        held = HfApi(endpoint=hub.endpoint, token=hub.token).get_collection(slug)
        assert [(item.item_id, item.note) for item in held.items] == [("local/x", "why")]
