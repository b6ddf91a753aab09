"""Trusted Publishers: a CI job's identity is exchanged, and `hubkit publish` needs no stored token."""

import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import fake_adapter
import jwt
import pytest
from fake_issuer import FakeIssuer
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError

from hubkit.localhub import Publisher, Token, start
from hubkit.localhub.oidc import GRANT, ID_TOKEN

CLAIMS = {"repository": "alice/training", "ref": "refs/heads/main"}


@pytest.fixture(scope="module")
def issuer():
    with FakeIssuer() as running:
        yield running


@pytest.fixture(scope="module")
def hub(tmp_path_factory, issuer):
    trusted = [Publisher("alice/x", issuer.address, CLAIMS), Publisher("alice", issuer.address, CLAIMS)]
    tokens = {"hf_alice": Token("alice")}
    with start(tmp_path_factory.mktemp("hub"), tokens=tokens, publishers=trusted) as running:
        client = HfApi(endpoint=running.endpoint, token="hf_alice")
        for name in ("alice/x", "alice/other", "alice/gated"):
            client.create_repo(name)
        client.create_repo("alice/secret", private=True)
        client.update_repo_settings("alice/gated", gated="auto")
        yield running


def exchange(hub, identity, resource="alice/x", **changed):
    asked = {
        "grant_type": GRANT,
        "subject_token_type": ID_TOKEN,
        "subject_token": identity,
        "resource": resource,
    }
    connection = http.client.HTTPConnection(hub.endpoint.removeprefix("http://"), timeout=5)
    connection.request(
        "POST", "/oauth/token", json.dumps({**asked, **changed}), {"Content-Type": "application/json"}
    )
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body


def test_the_token_is_good_for_one_repo_and_an_hour(hub, issuer):
    status, body = exchange(hub, issuer.token(hub.endpoint))
    assert (status, body["token_type"], body["expires_in"]) == (200, "bearer", 3600)
    assert body["access_token"].startswith("hf_jwt_")
    job = HfApi(endpoint=hub.endpoint, token=body["access_token"])
    made = job.create_commit("alice/x", [CommitOperationAdd("w.bin", b"1" * 300)], commit_message="from CI")
    assert job.list_repo_commits("alice/x")[0].authors == ["[OIDC]"]
    assert job.model_info("alice/x").sha == made.oid
    with pytest.raises(HfHubHTTPError) as caught:
        job.create_commit("alice/other", [CommitOperationAdd("w.bin", b"1")], commit_message="no")
    assert caught.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError):
        job.create_repo("alice/new")
    assert not job.repo_exists("alice/secret")


def test_the_token_of_a_user_reads_gated_repos_and_writes_nothing(hub, issuer):
    status, body = exchange(hub, issuer.token(hub.endpoint), "alice")
    assert status == 200
    assert body["access_token"].startswith("hf_oauth_")
    job = HfApi(endpoint=hub.endpoint, token=body["access_token"])
    assert job.auth_check("alice/gated") is None
    assert not job.repo_exists("alice/secret")
    with pytest.raises(HfHubHTTPError):
        job.create_commit("alice/x", [CommitOperationAdd("w.bin", b"1")], commit_message="no")


def test_what_is_not_trusted_is_refused_without_saying_why(hub, issuer):
    good = issuer.token(hub.endpoint)
    head, claims, signature = good.split(".")
    secret = "not the key of the issuer, but as long as one has to be"
    with FakeIssuer() as other:
        foreign = other.token(hub.endpoint)
    cases = {
        "another repo of the Hub": (good, "alice/other"),
        "no such repo": (good, "alice/nope"),
        "another workflow's repository": (
            issuer.token(hub.endpoint, repository="mallory/training"),
            "alice/x",
        ),
        "another branch": (issuer.token(hub.endpoint, ref="refs/heads/main-backup"), "alice/x"),
        "expired": (issuer.token(hub.endpoint, exp=int(time.time()) - 5), "alice/x"),
        "not yet valid": (issuer.token(hub.endpoint, nbf=int(time.time()) + 500), "alice/x"),
        "without an end": (issuer.token(hub.endpoint, exp=None), "alice/x"),
        "another audience": (issuer.token("https://huggingface.co"), "alice/x"),
        "signed by another key": (issuer.token(hub.endpoint, signed_by="second"), "alice/x"),
        "an issuer that is gone or unknown": (foreign, "alice/x"),
        "its claims changed": (f"{head}.{claims[:-4]}AAAA.{signature}", "alice/x"),
        "unsigned": (
            jwt.encode(jwt.decode(good, options={"verify_signature": False}), None, "none"),
            "alice/x",
        ),
        "signed by a word": (
            jwt.encode({"iss": issuer.address, "aud": hub.endpoint}, secret, "HS256"),
            "alice/x",
        ),
        "no token": ("x.y.z", "alice/x"),
        "no publisher of this user": (good, "bob"),
    }
    answers = {name: exchange(hub, *case) for name, case in cases.items()}
    assert {name: status for name, (status, _) in answers.items()} == dict.fromkeys(cases, 400)
    assert {body["error"] for _, body in answers.values()} == {"invalid_grant"}
    assert len({body["error_description"] for _, body in answers.values()}) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"grant_type": "password"},
        {"subject_token_type": "x"},
        {"subject_token": 3},
        {"resource": "../x"},
        {"resource": None},
    ],
)
def test_a_malformed_exchange_is_said_to_be_one(hub, issuer, changed):
    status, body = exchange(hub, issuer.token(hub.endpoint), **changed)
    assert (status, body["error"]) == (400, "invalid_request")


def publish(hub, folder, resource, environment):
    """What a job does: only HF_OIDC_RESOURCE and what GitHub gives it."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "GITHUB", "ACTIONS"))
    }
    clean |= {
        "HF_HOME": str(folder.parent / "home"),
        "HF_ENDPOINT": hub.endpoint,
        "HF_OIDC_RESOURCE": resource,
    }
    command = [sys.executable, "-m", "hubkit", "publish", "--adapter", str(folder), "--repo-id", resource]
    return subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return fake_adapter.write(tmp_path / "adapter")


def test_a_job_publishes_without_a_stored_token(hub, issuer, adapter):
    done = publish(hub, adapter, "alice/x", issuer.environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{hub.endpoint}/alice/x\n"
    client = HfApi(endpoint=hub.endpoint, token="hf_alice")
    assert "adapter_model.safetensors" in client.list_repo_files("alice/x")
    assert client.list_repo_commits("alice/x")[0].authors == ["[OIDC]"]
    assert "hf_jwt_" not in done.stdout + done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("fault", ["another repo", "expired", "audience", "no permission"])
def test_a_job_that_is_not_trusted_is_told_so_in_one_line(hub, issuer, adapter, fault, monkeypatch):
    environment, resource = issuer.environment(), "alice/x"
    if fault == "another repo":
        resource = "alice/other"
    elif fault == "expired":
        monkeypatch.setattr(issuer, "lifetime", -10)
    elif fault == "audience":
        monkeypatch.setattr(issuer, "audience", "https://huggingface.co")
    else:
        del environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
    before = HfApi(endpoint=hub.endpoint, token="hf_alice").model_info(resource).sha
    done = publish(hub, adapter, resource, environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    told = (
        "this job has no identity to show"
        if fault == "no permission"
        else f"no token for {resource}: invalid_"
    )
    assert told in done.stderr
    assert HfApi(endpoint=hub.endpoint, token="hf_alice").model_info(resource).sha == before
