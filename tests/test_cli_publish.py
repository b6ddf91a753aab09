"""`hubkit publish` and `hubkit serve` as a person and as a program see them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import fake_adapter
import pytest
import uvicorn
from conftest import ALICE

from hubkit import localhub, settings
from hubkit.cli import common, push, serve
from hubkit.cli.main import run
from hubkit.publishing.target import SERVE_PORT

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub


@pytest.fixture
def adapter_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(fake_adapter.write(Path("my adapter")))


def test_without_a_token(adapter_dir: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["publish", "--adapter", adapter_dir]) == 0
    out, err = capsys.readouterr()
    assert out == f"http://127.0.0.1:{SERVE_PORT}/local/my-adapter\n"
    first, second, third = err.splitlines()
    assert first.startswith("No Hub token found; publishing to the local Hub in ./local-hub instead.")
    assert second.startswith("Published local/my-adapter in one commit")
    assert third == "See it with: hubkit serve local-hub"
    assert run(["publish", "--adapter", adapter_dir]) == 0
    out, err = capsys.readouterr()
    assert out == f"http://127.0.0.1:{SERVE_PORT}/local/my-adapter\n"
    assert "Nothing to change" in err


@pytest.mark.parametrize("command", ["publish", "run-and-publish"])
def test_the_help_says_when_a_token_is_needed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert 'says so; but a --repo-id of a user other than "local" needs' in said


def test_a_local_hub_of_ones_own_is_quiet(adapter_dir: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["publish", "--adapter", adapter_dir, "--local-hub", "hub", "--repo-id", "x", "-q"]) == 0
    assert capsys.readouterr() == (f"http://127.0.0.1:{SERVE_PORT}/local/x\n", "")


def test_a_private_repo_is_said_to_be_one(adapter_dir: str, capsys: pytest.CaptureFixture[str]) -> None:
    how = "local/x is private; to see it, sign in on its page with the token in hub/token"
    options = ["--adapter", adapter_dir, "--local-hub", "hub", "--repo-id", "x", "--private"]
    assert run(["publish", *options]) == 0
    assert f"Note: {how}\n" in capsys.readouterr().err
    assert Path("hub/token").is_file()
    assert run(["publish", *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"] == [how]


def test_as_json(adapter_dir: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["publish", "--adapter", adapter_dir, "--local-hub", "hub", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["repo_id"] == "local/my-adapter"
    assert said["nothing_to_do"] is False
    assert said["serve"] == "hubkit serve hub"
    assert len(said["commit"]) == 40


def test_a_dry_run_touches_nothing(adapter_dir: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["publish", "--adapter", adapter_dir, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "+# A small adapter" in shown
    assert f"http://127.0.0.1:{SERVE_PORT}/local/my-adapter (" in shown  # not where it is for this moment
    assert os.listdir() == ["my adapter"]
    assert run(["publish", "--adapter", adapter_dir, "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["creates_repo"] is True
    assert planned["endpoint"] == f"http://127.0.0.1:{SERVE_PORT}"


def test_to_a_hub_with_a_token(
    adapter_dir: str, alice_hub: RunningHub, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--endpoint", alice_hub.endpoint, "--token", ALICE, "--hub_model_id", "cli-token"]
    assert run(["publish", "--adapter", adapter_dir, *options]) == 0
    out, err = capsys.readouterr()
    assert out == f"{alice_hub.endpoint}/alice/cli-token\n"
    assert ALICE not in out + err
    unseen = ["--endpoint", f"{alice_hub.endpoint}/", "--repo-id", "alice/unseen", "--dry-run"]
    assert run(["publish", "--adapter", adapter_dir, *unseen]) == 0
    assert "would be created; as seen without a token, to which a private one" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--token", "hf_wrong_token", "--repo-id", "alice/x"], "does not accept this token"),
        (["--token", ALICE], "no repo to publish to was named"),
        (["--token", ALICE, "--repo-id", "a/b/c"], "not a repo id"),
        (["--token", ALICE, "--repo-id", "bob/x"], "may not create bob/x: it is a token of alice"),
    ],
)
def test_what_goes_wrong_is_one_line(
    options: list[str],
    words: str,
    adapter_dir: str,
    alice_hub: RunningHub,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["publish", "--adapter", adapter_dir, "--endpoint", alice_hub.endpoint, *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "Next:" in err
    assert len(err.splitlines()) == 1
    assert "hf_" not in err
    assert os.listdir() == ["my adapter"]


def test_an_id_of_somebody_on_the_hub_without_a_token(
    adapter_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["publish", "--adapter", adapter_dir, "--repo-id", "alice/x"]) == 2
    assert "publishing to alice/x needs a Hub token" in capsys.readouterr().err
    assert run(["publish", "--adapter", adapter_dir, "--repo-id", "alice/x", "--local-hub", "hub"]) == 2
    assert "a local Hub has one user, local" in capsys.readouterr().err
    assert os.listdir() == ["my adapter"]


def test_without_a_token_and_without_the_extra(
    adapter_dir: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert run(["publish", "--adapter", adapter_dir]) == 2
    assert capsys.readouterr().err == (
        "hubkit: no Hub token was found, and the local Hub needs starlette, uvicorn and markdown-it-py."
        " Next: log in with: hf auth login; or, for the local Hub: pip install 'hubkit[local]'\n"
    )
    assert run(["publish", "--adapter", adapter_dir, "--local-hub", "hub"]) == 2
    assert "token" not in capsys.readouterr().err
    assert os.listdir() == ["my adapter"]


def test_a_missing_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["publish", "--adapter", str(tmp_path / "none"), "--local-hub", str(tmp_path / "hub")]) == 2
    assert "there is no directory" in capsys.readouterr().err


def test_the_ports_are_one() -> None:
    assert localhub.DEFAULT_PORT == SERVE_PORT == serve.DEFAULT_PORT


def test_a_port_that_is_taken_leaves_no_directory(
    adapter_dir: str, alice_hub: RunningHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["serve", "nope", "--port", alice_hub.endpoint.rpartition(":")[2]]) == 2
    assert "Address already in use" in capsys.readouterr().err
    assert os.listdir() == ["my adapter"]


def test_a_new_hub_is_said_to_be_one(adapter_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(common, "hint", said.append)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: None)
    new = "There was nothing in nope: a new, empty local Hub was made there."
    for first in (new, None):
        said.clear()
        assert run(["serve", "nope", "--port", "0"]) == 0
        assert (new in said) == (first is not None)
        assert said[-1].startswith("Serving nope; stop with Ctrl-C.")


@pytest.mark.real
def test_serve_until_interrupted(adapter_dir: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    entry = "from hubkit.cli.main import entry; entry()"
    command = [sys.executable, "-c", entry, "serve", "hub", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == f"http://127.0.0.1:{port}\n"
        assert run(["publish", "--adapter", adapter_dir, "--local-hub", "hub"]) == 0  # the one that runs
        assert capsys.readouterr().out == f"http://127.0.0.1:{port}/local/my-adapter\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert "Serving hub" in process.stderr.read()


def test_what_is_published_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["publish", "--local-hub", "hub"]) == 2
    said = "hubkit: Missing option '--adapter'. Next: hubkit publish --help\n"
    assert capsys.readouterr().err == said


def test_a_dry_run_that_would_be_refused_exits_with_1(
    adapter_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["publish", "--adapter", adapter_dir, "--local-hub", "hub"]
    assert run([*where, "--tag", "v1", "-q"]) == 0
    fake_adapter.write(Path(adapter_dir), seed=3)
    assert run([*where, "--tag", "v2", "--dry-run"]) == 0
    capsys.readouterr()
    assert run([*where, "--tag", "v1", "--dry-run", "--json"]) == 1
    planned = json.loads(capsys.readouterr().out)
    assert (planned["tag"], planned["refused"][:10]) == ("v1", "the tag v1")


def test_settings_say_what_comes_after_the_commit() -> None:
    flags = dict.fromkeys(("tag", "collection", "verify_download", "create_pr", "local_hub", "audit"))
    flags |= {"include": (), "allow": (), "delete": ("old/*",)}
    told = settings.Hub(tag="v1", collection="Mine", verify_download=True)
    options = push.push_options(flags, told, quiet=True)
    assert (options.tag, options.collection, options.verify_download) == ("v1", "Mine", True)
    assert options.delete == ("old/*",)
    options = push.push_options({**flags, "tag": "v2", "verify_download": False}, told, quiet=True)
    assert (options.tag, options.verify_download) == ("v2", False)
