"""Who may do what at the local Hub: scopes of tokens, gated, disabled and renamed repos, quota."""

import http.client
import json
import time

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
)

from hubkit.localhub import Scope, Token, start

ONE_REPO = (Scope("alice/one", ("repo.content.read", "repo.write")),)
TOKENS = {
    "hf_alice": Token("alice", organizations=("acme",)),
    "hf_reader": Token("alice", "read"),
    "hf_bob": Token("bob"),
    "hf_one": Token("alice", "fineGrained", scopes=ONE_REPO, name="only one"),
    "hf_sees": Token(
        "alice", "fineGrained", ("acme",), (Scope("acme"), Scope("alice")), ("discussion.write",)
    ),
    "hf_space": Token("alice", "fineGrained", scopes=(Scope("alice", ("repo.write",)),)),
    "hf_blind": Token("alice", "fineGrained"),
    "hf_none": Token("alice", "fineGrained", scopes=(Scope("bob", ("repo.write",)),)),
    "hf_ungated": Token("bob", "fineGrained", reads_gated=False),
    "hf_late": Token("alice", expires=time.time() - 1, name="old"),
    "hf_soon": Token("alice", expires=time.time() + 1000),
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with start(tmp_path_factory.mktemp("hub"), tokens=TOKENS) as running:
        for name in ("alice/one", "alice/two", "acme/shared"):
            api(running).create_repo(name, private=True)
            add(api(running), name)
        api(running).create_repo("alice/public")
        yield running


def api(hub, token="hf_alice"):
    return HfApi(endpoint=hub.endpoint, token=token)


def add(client, repo, path="a.txt", data=b"a", **options):
    return client.create_commit(repo, [CommitOperationAdd(path, data)], commit_message="add", **options)


def status(call):
    with pytest.raises(HfHubHTTPError) as caught:
        call()
    return caught.value.response.status_code


def ask(hub, method, path, body=None, token="hf_alice"):
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=5)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection.request(method, path, body if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, answer.headers, data


# --- tokens


def test_whoami_says_what_a_fine_grained_token_may_do(hub):
    told = api(hub, "hf_one").whoami()["auth"]["accessToken"]
    assert (told["role"], told["displayName"]) == ("fineGrained", "only one")
    (scope,) = told["fineGrained"]["scoped"]
    assert (scope["entity"]["type"], scope["entity"]["name"]) == ("model", "alice/one")
    assert scope["permissions"] == ["repo.content.read", "repo.write"]
    told = api(hub, "hf_sees").whoami()["auth"]["accessToken"]["fineGrained"]
    assert [one["entity"]["type"] for one in told["scoped"]] == ["org", "user"]
    assert told["global"] == ["discussion.write"]
    assert "fineGrained" not in api(hub).whoami()["auth"]["accessToken"]


def test_a_token_for_one_repo_writes_there_and_sees_no_other(hub):
    one = api(hub, "hf_one")
    add(one, "alice/one", "b.txt")
    one.update_repo_settings("alice/one", private=True)
    for repo in ("alice/two", "acme/shared"):
        assert not one.repo_exists(repo)
        with pytest.raises(RepositoryNotFoundError):
            add(one, repo)
    assert status(lambda: one.create_repo("alice/three")) == 403
    assert [model.id for model in one.list_models(author="alice")] == ["alice/one", "alice/public"]


def test_what_other_scopes_allow(hub):
    sees = api(hub, "hf_sees")
    for repo in ("alice/one", "acme/shared"):
        assert sees.model_info(repo).private
        assert status(lambda repo=repo: add(sees, repo)) == 403
        assert status(lambda repo=repo: sees.auth_check(repo, write=True)) == 403
        assert add(sees, repo, "new.txt", create_pr=True).pr_num  # discussion.write
    pull = add(api(hub), "alice/one", "mine.txt", create_pr=True).pr_revision
    assert status(lambda: add(api(hub, "hf_ungated"), "alice/one", revision=pull)) == 404
    assert status(lambda: add(api(hub, "hf_none"), "alice/public", create_pr=True)) == 403
    pull = add(api(hub), "alice/public", "mine.txt", create_pr=True).pr_revision
    assert status(lambda: add(api(hub, "hf_none"), "alice/public", "more.txt", revision=pull)) == 403
    space = api(hub, "hf_space")
    space.create_repo("alice/made")
    add(space, "alice/made")
    space.move_repo("alice/made", "alice/made-again")
    assert status(lambda: space.move_repo("alice/made-again", "acme/made")) == 403
    space.delete_repo("alice/made-again")
    blind = api(hub, "hf_blind")
    assert blind.whoami()["name"] == "alice"
    assert not blind.repo_exists("alice/one")
    assert status(lambda: blind.create_repo("alice/other")) == 403
    assert status(lambda: add(api(hub, "hf_reader"), "alice/one", create_pr=True)) == 403


def test_an_expired_token_is_told_so(hub):
    code, _, body = ask(hub, "GET", "/api/whoami-v2", token="hf_late")
    assert (code, json.loads(body)["error"]) == (401, 'User Access Token "old" is expired')
    assert ask(hub, "GET", "/api/models/alice/one", token="hf_late")[0] == 401
    assert api(hub, "hf_soon").whoami()["auth"]["expiresAt"]


# --- gated and disabled repos


def test_a_gated_repo_shows_itself_and_keeps_its_files(hub, tmp_path):
    alice, bob = api(hub), api(hub, "hf_bob")
    alice.create_repo("alice/gated")
    add(alice, "alice/gated", "w.bin", b"0" * 100)
    alice.update_repo_settings("alice/gated", gated="manual")

    def download(token, name):
        hf_hub_download("alice/gated", "w.bin", endpoint=hub.endpoint, token=token, cache_dir=tmp_path / name)

    assert bob.model_info("alice/gated").gated == "manual"
    for token, code in (("hf_bob", 403), (False, 401), ("hf_ungated", 403)):
        with pytest.raises(GatedRepoError) as caught:
            download(token, "refused")
        assert caught.value.response.status_code == code
    with pytest.raises(GatedRepoError):
        bob.auth_check("alice/gated")
    pull = add(bob, "alice/gated", "proposed.txt", create_pr=True).pr_num
    for path in (
        "/alice/gated/raw/main/w.bin",
        "/api/resolve-cache/models/alice/gated/main/w.bin",
        "/api/models/alice/gated/compare/main..refs%2Fpr%2F1",
        f"/api/models/alice/gated/discussions/{pull}?diff=1",
        "/alice/gated/blob/main/w.bin",
        "/alice/gated/commit/main",
    ):
        assert ask(hub, "GET", path, token="hf_bob")[0] == 403, path
        assert ask(hub, "GET", path)[0] == 200, path
    assert ask(hub, "GET", "/api/models/alice/gated/xet-read-token/main", token="hf_bob")[0] == 403
    download("hf_alice", "owner")
    alice.grant_access("alice/gated", "bob")
    assert [one.username for one in alice.list_accepted_access_requests("alice/gated")] == ["bob"]
    download("hf_bob", "granted")
    with pytest.raises(GatedRepoError):
        download("hf_ungated", "refused")
    assert status(lambda: bob.grant_access("alice/gated", "carol")) == 403
    alice.reject_access_request("alice/gated", "bob", rejection_reason="no")
    with pytest.raises(GatedRepoError):
        download("hf_bob", "again")


def test_a_disabled_repo_is_closed_to_all(hub):
    api(hub).create_repo("alice/disabled")
    hub.disable("alice/disabled")
    with pytest.raises(DisabledRepoError):
        api(hub).model_info("alice/disabled")
    assert status(lambda: add(api(hub), "alice/disabled")) == 403
    assert "alice/disabled" in [model.id for model in api(hub).list_models(author="alice")]


# --- renamed repos


def test_the_old_id_leads_to_the_new_one(hub, tmp_path):
    alice = api(hub)
    alice.create_repo("alice/old")
    add(alice, "alice/old", "w.bin", b"0" * 100)
    alice.move_repo("alice/old", "acme/middle")
    alice.move_repo("acme/middle", "acme/new")
    code, headers, _ = ask(hub, "GET", "/api/models/alice/old/tree/main?recursive=true")
    assert (code, headers["Location"]) == (307, "/api/models/acme/new/tree/main?recursive=true")
    assert (
        ask(hub, "HEAD", "/acme/middle/resolve/main/w.bin")[1]["Location"] == "/acme/new/resolve/main/w.bin"
    )
    code, headers, _ = ask(hub, "GET", "/alice/old/resolve/refs%2Fpr%2F1/w.bin")
    assert (code, headers["Location"]) == (307, "/acme/new/resolve/refs%2Fpr%2F1/w.bin")
    assert alice.model_info("alice/old").id == "acme/new"
    assert alice.list_repo_files("alice/old") == [".gitattributes", "w.bin"]
    hf_hub_download("alice/old", "w.bin", endpoint=hub.endpoint, token="hf_alice", cache_dir=tmp_path)
    # httpx follows a 307 with the same method and body, so a commit to the old id lands in the repo.
    made = add(alice, "alice/old", "v.bin", b"1" * 100)
    assert alice.model_info("acme/new").sha == made.oid
    alice.create_tag("alice/old", tag="v1")
    assert [ref.name for ref in alice.list_repo_refs("acme/new").tags] == ["v1"]


def test_an_upload_by_lfs_to_the_old_id_is_led_on_too(hub):
    alice = api(hub)
    alice.create_repo("alice/before")
    alice.move_repo("alice/before", "alice/after")
    batch = {"operation": "upload", "objects": [{"oid": "a" * 64, "size": 5}]}
    code, headers, _ = ask(hub, "POST", "/alice/before.git/info/lfs/objects/batch", batch)
    assert (code, headers["Location"]) == (307, "/alice/after.git/info/lfs/objects/batch")
    assert ask(hub, "POST", headers["Location"], batch)[0] == 200


def test_an_old_id_tells_nothing_to_those_who_may_not_see_the_repo(hub):
    alice = api(hub)
    alice.create_repo("alice/secret", private=True)
    alice.move_repo("alice/secret", "alice/hidden")
    for token, code in (("hf_bob", 404), (None, 401)):
        answer = ask(hub, "GET", "/api/models/alice/secret", token=token)
        assert (answer[0], answer[1]["Location"]) == (code, None)


def test_a_new_repo_of_the_old_id_ends_the_redirect(hub, tmp_path):
    with start(tmp_path) as own:
        client = HfApi(endpoint=own.endpoint, token=own.token)
        client.create_repo("local/a")
        client.move_repo("local/a", "local/b")
    with start(tmp_path) as own:  # a restart remembers
        client = HfApi(endpoint=own.endpoint, token=own.token)
        assert client.model_info("local/a").id == "local/b"
        client.create_repo("local/a")
        assert client.model_info("local/a").id == "local/a"
        client.delete_repo("local/a")
        assert not client.repo_exists("local/a")
        client.move_repo("local/b", "local/a")
        client.move_repo("local/a", "local/b")  # back and forth
        assert client.model_info("local/a").id == client.model_info("local/b").id == "local/b"
        client.delete_repo("local/b")
        assert not client.repo_exists("local/a")


# --- organizations and quota


def test_a_repo_of_an_organization_belongs_to_its_members(hub):
    assert api(hub).model_info("acme/shared").author == "acme"
    assert status(lambda: api(hub, "hf_bob").create_repo("acme/other")) == 403
    assert not api(hub, "hf_bob").repo_exists("acme/shared")


def test_a_full_quota_refuses_large_files_and_takes_small_ones(tmp_path):
    with start(tmp_path, quota_bytes=1000) as hub:
        client = HfApi(endpoint=hub.endpoint, token=hub.token)
        for name, private, word in (("private", True, "Private repository"), ("public", False, "public")):
            repo = f"local/{name}"
            client.create_repo(repo, private=private)
            add(client, repo, "a.bin", b"0" * 600)
            add(client, repo, "again.bin", b"0" * 600)  # the same bytes cost nothing
            before = client.model_info(repo).sha
            with pytest.raises(HfHubHTTPError, match=f"{word}.*stor") as caught:
                add(client, repo, "b.bin", b"1" * 500)
            assert caught.value.response.status_code == 400  # by Xet, the commit is refused
            item = {"oid": "b" * 64, "size": 500}
            batch = {"operation": "upload", "objects": [item]}
            code, _, body = ask(hub, "POST", f"/{repo}.git/info/lfs/objects/batch", batch, hub.token)
            assert (code, word in json.loads(body)["error"]) == (403, True)
            assert client.model_info(repo).sha == before
            add(client, repo, "small.txt", b"text")
