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

from hubkit.cli.main import run
from hubkit.localhub import Publisher, Token, start
from hubkit.localhub.oidc import GRANT, ID_TOKEN
from hubkit.publishing import jobs

CLAIMS = {"repository": "alice/training", "ref": "refs/heads/main"}


@pytest.fixture(scope="module")
def issuer():
    with FakeIssuer() as running:
        yield running


@pytest.fixture(scope="module")
def hub(tmp_path_factory, issuer):
    trusted = [Publisher("alice/x", issuer.address, CLAIMS), Publisher("alice", issuer.address, CLAIMS)]
    tokens = {"hf_alice": Token("alice"), "hf_bob": Token("bob")}
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


WORKFLOW = {
    "GITHUB_REPOSITORY": "alice/training",
    "GITHUB_WORKFLOW_REF": "alice/training/.github/workflows/publish.yml@refs/heads/main",
}


class Job:
    """hubkit as it runs in a job: with the token that the Hub gave for an identity, and whose no user is."""

    def __init__(self, hub, issuer, monkeypatch, **workflow):
        for name in os.environ:
            if name.startswith(("HF_OIDC", "HF_TOKEN", "GITHUB", "CI_")):
                monkeypatch.delenv(name)
        for name, value in {**WORKFLOW, **workflow}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("HF_OIDC_RESOURCE", "alice/x")
        token = exchange(hub, issuer.token(hub.endpoint))[1]["access_token"]
        monkeypatch.setattr("huggingface_hub.utils._headers.get_token", lambda: token)
        self.hub, self.client = hub, HfApi(endpoint=hub.endpoint, token="hf_alice")

    def publish(self, adapter, *options, repo="alice/x"):
        command = ["publish", "--adapter", str(adapter), "--repo-id", repo, "--endpoint", self.hub.endpoint]
        return run([*command, *options])

    def pulls(self):
        found = self.client.get_repo_discussions(
            "alice/x", discussion_type="pull_request", discussion_status="open"
        )
        return {
            pull.num: len(self.client.list_repo_commits("alice/x", revision=pull.git_reference))
            for pull in found
        }


def test_a_job_adds_to_the_pull_request_that_its_workflow_opened(hub, issuer, adapter, monkeypatch, capsys):
    job = Job(hub, issuer, monkeypatch)
    assert job.publish(adapter, "--create-pr") == 0
    [(number, commits)] = job.pulls().items()
    description = job.client.get_discussion_details("alice/x", number).events[0].content
    assert "; by the job " in description
    assert "training" not in description  # where it runs may be nobody's business

    # Somebody else opens one that says the same of itself: it is never touched.
    bob = HfApi(endpoint=hub.endpoint, token="hf_bob")
    made = bob.create_commit(
        "alice/x",
        [CommitOperationAdd("evil.txt", b"x")],
        commit_message="Publish",
        commit_description=description,
        create_pr=True,
    )
    theirs = int(made.pr_url.rpartition("/")[2])
    (adapter / "tokenizer.json").write_text("{}")
    assert job.publish(adapter, "--create-pr") == 0
    assert job.pulls() == {number: commits + 1, theirs: commits}
    assert job.publish(adapter, "--create-pr") == 0  # nothing new
    assert job.pulls() == {number: commits + 1, theirs: commits}

    other = Job(hub, issuer, monkeypatch, GITHUB_REPOSITORY="alice/else")
    assert other.publish(adapter, "--create-pr") == 0
    assert len(other.pulls()) == 3
    again = Job(hub, issuer, monkeypatch, GITHUB_WORKFLOW_REF=WORKFLOW["GITHUB_WORKFLOW_REF"] + "-2")
    (adapter / "tokenizer.json").write_text("{ }")
    assert again.publish(adapter, "--create-pr") == 0  # of another branch, it is the same workflow
    assert again.pulls()[number] == commits + 2
    capsys.readouterr()
    for number in again.pulls():
        again.client.change_discussion_status("alice/x", number, "closed")


def test_a_job_is_told_what_its_token_cannot_do(hub, issuer, adapter, monkeypatch, capsys):
    job = Job(hub, issuer, monkeypatch)
    before = job.client.model_info("alice/x").sha
    for options, repo, told in (
        ([], "x", "Next: give --repo-id alice/x"),
        (["--collection", "Mine"], "alice/x", "Next: leave --collection out, or unset HF_OIDC_RESOURCE"),
        (
            ["--collection", "alice/mine-64f9a55bb3115b4f513ec026"],
            "alice/x",
            "Next: leave --collection out, or unset HF_OIDC_RESOURCE",
        ),
    ):
        assert job.publish(adapter, *options, repo=repo) == 2
        said = capsys.readouterr().err
        assert told in said
        assert (len(said.splitlines()), "log in" in said) == (1, False)
    assert job.client.model_info("alice/x").sha == before  # it is told before anything is pushed


def test_a_job_without_a_known_workflow_takes_no_pull_request_for_its_own():
    assert jobs.mark({"GITHUB_REPOSITORY": "alice/training"}) is None
    assert jobs.mark(WORKFLOW) == jobs.mark(
        WORKFLOW | {"GITHUB_WORKFLOW_REF": WORKFLOW["GITHUB_WORKFLOW_REF"].replace("main", "other")}
    )
    assert jobs.mark(WORKFLOW) != jobs.mark({"CI_PROJECT_PATH": "alice/training", "CI_JOB_NAME": "publish"})
    assert jobs.could_be_ours("[OIDC]")
    assert not jobs.could_be_ours("alice")


def test_the_token_of_a_job_may_also_come_as_any_other(hub, issuer, adapter, monkeypatch, capsys):
    job = Job(hub, issuer, monkeypatch)
    monkeypatch.delenv("HF_OIDC_RESOURCE")
    monkeypatch.setenv("HF_TOKEN", "of a step that exchanged it")
    for _ in range(2):  # the mark is of HF_OIDC_RESOURCE, so nothing is known to be its own
        assert job.publish(adapter, "--create-pr") == 0
    assert len(job.pulls()) == 2
    capsys.readouterr()
    for number in job.pulls():
        job.client.change_discussion_status("alice/x", number, "closed")
