"""Who names a large file by its SHA-256 does not have it: a private or gated file stays where it is."""

import hashlib
import http.client
import json
import shutil

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit.localhub import Token, start
from hubkit.localhub.auth import OIDC_USER, Scope

DATA = b"\0" + b"a private file" * 40
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(scope="module", params=[True, False], ids=["xet", "lfs"])
def served(request, tmp_path_factory):
    root, patch = tmp_path_factory.mktemp("hub"), pytest.MonkeyPatch()
    patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", not request.param)
    tokens = {"hf_alice": Token("alice"), "hf_bob": Token("bob"), "hf_reads": Token("bob", "read")}
    with start(root, tokens=tokens, xet=request.param) as hub:
        alice = HfApi(endpoint=hub.endpoint, token="hf_alice")
        alice.create_repo("alice/secret", private=True)
        alice.create_commit("alice/secret", [CommitOperationAdd("w.bin", DATA)], commit_message="add")
        alice.create_tag("alice/secret", tag="v1")
        HfApi(endpoint=hub.endpoint, token="hf_bob").create_repo("bob/x")
        yield hub, root
    patch.undo()


def post(hub, path, body, token="hf_bob"):
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=10)
    lines = body if isinstance(body, list) else [body]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection.request("POST", path, "\n".join(map(json.dumps, lines)), headers)
    answer = connection.getresponse()
    told = answer.status, answer.read().decode()
    connection.close()
    return told


def commit(hub, repo, *operations, token="hf_bob", revision="main"):
    header = {"key": "header", "value": {"summary": "Change"}}
    return post(hub, f"/api/models/{repo}/commit/{revision}", [header, *operations], token)


def naming(data=DATA):
    oid = hashlib.sha256(data).hexdigest()
    return {"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": oid, "size": len(data)}}


def wanted(oid=SHA256):
    return {"oid": oid, "size": len(DATA)}


def test_a_file_of_another_repo_cannot_be_had_by_its_digest(served):
    hub, _ = served
    status, said = commit(hub, "bob/x", naming())
    assert (status, "never uploaded" in said) == (400, True)
    status, said = post(
        hub, "/bob/x.git/info/lfs/objects/batch", {"operation": "upload", "objects": [wanted()]}
    )
    assert (status, "upload" in json.loads(said)["objects"][0]["actions"]) == (200, True)
    assert not HfApi(endpoint=hub.endpoint, token="hf_bob").file_exists("bob/x", "w.bin")


def test_nobody_learns_of_a_file_that_is_not_theirs(served):
    hub, _ = served
    verify = "/bob/x.git/info/lfs/objects/verify"
    assert post(hub, verify, wanted(), token=None)[0] == 401
    assert post(hub, verify, wanted(), token="hf_reads")[0] == 403
    assert post(hub, verify, wanted()) == post(hub, verify, wanted("0" * 64))
    assert post(hub, "/alice/secret.git/info/lfs/objects/verify", wanted(), token="hf_alice")[0] == 200


def test_who_has_the_bytes_may_send_them_and_the_first_owner_keeps_theirs(served):
    hub, _ = served
    bob = HfApi(endpoint=hub.endpoint, token="hf_bob")
    bob.create_repo("bob/own")
    bob.create_commit("bob/own", [CommitOperationAdd("w.bin", DATA)], commit_message="add")
    assert bob.model_info("bob/own", files_metadata=True).siblings[1].lfs.sha256 == SHA256
    bob.delete_repo("bob/own")
    assert HfApi(endpoint=hub.endpoint, token="hf_alice").file_exists("alice/secret", "w.bin")


def test_a_repo_may_have_again_what_its_history_holds(served):
    hub, root = served
    alice = HfApi(endpoint=hub.endpoint, token="hf_alice")
    alice.create_repo("alice/again")
    data = DATA + b"again"
    alice.create_commit("alice/again", [CommitOperationAdd("w.bin", data)], commit_message="add")
    alice.delete_file("w.bin", "alice/again")
    shutil.rmtree(root / "objects" / "lent")  # a store of an older version has no such marks
    shutil.rmtree(root / "xet", ignore_errors=True)
    assert commit(hub, "alice/again", naming(data), token="hf_alice")[0] == 200
    assert alice.file_exists("alice/again", "w.bin")


def test_no_commit_moves_a_tag(served):
    hub, _ = served
    added = {"key": "file", "value": {"path": "a.txt", "content": "a"}}
    before = HfApi(endpoint=hub.endpoint, token="hf_alice").list_repo_refs("alice/secret").tags
    for revision in ("refs%2Ftags%2Fv1", "v1"):
        assert commit(hub, "alice/secret", added, token="hf_alice", revision=revision)[0] == 404
    assert HfApi(endpoint=hub.endpoint, token="hf_alice").list_repo_refs("alice/secret").tags == before


def test_the_jobs_of_two_repos_are_two_senders():
    jobs = [Token(OIDC_USER, "fineGrained", (), (Scope(f"alice/{name}"),), name="ci") for name in "xy"]
    assert jobs[0].sender != jobs[1].sender
    assert Token("alice").sender == Token("alice", "read", name="other").sender == "alice"
