"""A token shows nowhere: not in what is printed, whatever fails, and not in what is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import fake_adapter
import pytest
from conftest import READER

from hubkit import hub_client, localhub
from hubkit.cli.main import run
from hubkit.localhub import RunningHub
from hubkit.localhub.switchboard import Fault, Switchboard

TOKEN = "hf_sEcReT0kenThatMustNotShow4567890abc"  # as the Hub makes them
ODD = [
    "no-shape-at-all-but-secret", "hf_ünïcode-secret-0", "hf_two\nlines-secret", "hf_spaces in it secret",
    'hf_"quotes\'%0d%0a{}secret',
]  # fmt: skip
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def board() -> Switchboard:
    return Switchboard()


@pytest.fixture(scope="module")
def hub(board: Switchboard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    tokens = {TOKEN: localhub.Token("alice"), READER: localhub.Token("alice", "read")}
    with localhub.start(tmp_path_factory.mktemp("hub"), tokens=tokens, switchboard=board) as running:
        yield running


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an adapter, where tracebacks are asked for and nobody waits before another try."""
    fake_adapter.write(tmp_path / "adapter")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DEBUG", "1")
    monkeypatch.setattr(hub_client.Patience, "rest", lambda *_: None)
    return tmp_path


def give(token: str, way: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The token by one of the ways that there are; the options for it."""
    if way == "HF_TOKEN":
        monkeypatch.setenv("HF_TOKEN", token)
    elif way == "file":
        from huggingface_hub import constants

        path = Path("token-file")
        path.write_text(token)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(path))
    else:
        return ["--token", token] if way == "option" else [f"--token={token}"]
    return []


def printed(arguments: list[str], capsys: Captured) -> tuple[int, str]:
    """The exit code, and all that was printed."""
    code = run(["publish", "--adapter", "adapter", *arguments])
    out, err = capsys.readouterr()
    return code, out + err


def parts(token: str) -> list[str]:
    """What of a token may not show: all of it, and each half."""
    return [token, token[3 : len(token) // 2 + 3], token[len(token) // 2 :]]


WAYS = ["option", "option=", "HF_TOKEN", "file"]


@pytest.mark.parametrize(("way", "as_json"), [(way, at % 2 == 1) for at, way in enumerate(WAYS)])
def test_a_push_that_goes_well(
    way: str, as_json: bool, hub: RunningHub, place: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = give(TOKEN, way, monkeypatch)
    repo = f"alice/well-{WAYS.index(way)}-{as_json}"
    code, said = printed(
        [*given, "--endpoint", hub.endpoint, "--repo-id", repo, *(["--json"] if as_json else [])], capsys
    )
    assert code == 0, said
    assert TOKEN not in said
    written = [path for path in place.rglob("*") if path.is_file() and path.name != "token-file"]
    assert written
    assert [path for path in written if TOKEN.encode() in path.read_bytes()] == []


FAULTS = {
    "no right": Fault("status", "POST", "repos/create", status=403, message=f"no {TOKEN}"),
    "bad request": Fault("status", "POST", "commit/", status=400, message=f"Bearer {TOKEN} is odd"),
    "broken": Fault("status", "GET", "api/models", status=500, message=f"trace: {TOKEN}", times=20),
    "no answer": Fault("reset", "GET", "whoami", times=20),
    "no commit": Fault("reset", "POST", "commit/", times=20),
    "refused by text": Fault("status", "POST", "preupload", status=422, headers={"X-Error-Message": TOKEN}),
}


@pytest.mark.parametrize(("fault", "way"), [(fault, WAYS[at % 4]) for at, fault in enumerate(FAULTS)])
def test_a_hub_that_fails_and_says_the_token_back(
    fault: str,
    way: str,
    hub: RunningHub,
    board: Switchboard,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board.order(FAULTS[fault])
    repo = f"alice/{fault.replace(' ', '-')}-{WAYS.index(way)}"
    given = give(TOKEN, way, monkeypatch)
    code, said = printed([*given, "--endpoint", hub.endpoint, "--repo-id", repo], capsys)
    board.clear()
    assert code in (0, 2)
    for part in parts(TOKEN):
        assert part not in said


NOT_HUBS = ["http://127.0.0.1:9", "http://[", "no address", "ftp://a.b"]
WRONG = [TOKEN + "x", READER, *ODD]


@pytest.mark.parametrize(
    ("endpoint", "token"),
    [*(("the Hub", token) for token in WRONG), *((place, token) for place in NOT_HUBS for token in ODD[::2])],
    ids=range(len(WRONG) + 3 * len(NOT_HUBS)),
)
def test_tokens_that_do_not_work(
    endpoint: str, token: str, hub: RunningHub, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = hub.endpoint if endpoint == "the Hub" else endpoint
    for way in ("option", "HF_TOKEN"):
        given = give(token, way, monkeypatch)
        code, said = printed([*given, "--endpoint", address, "--repo-id", "alice/x"], capsys)
        assert code == 2
        assert "fault of hubkit" not in said
        for part in parts(token):
            assert part.strip() not in said


@pytest.mark.parametrize(
    "arguments",
    [
        [TOKEN],
        ["--tokn", TOKEN],
        [f"--tokn={TOKEN}"],
        ["--repo-id", TOKEN, "--token", "x" * 9, "--endpoint", "http://127.0.0.1:9"],
        ["--endpoint", f"http://u:{TOKEN}@127.0.0.1:9", "--repo-id", "a/b", "--token", "x" * 9],
        ["--adapter", TOKEN],
        ["--local-hub", "adapter/README.md", "--token", TOKEN],
    ],
    ids=range(7),
)
def test_a_token_in_the_wrong_place(arguments: list[str], capsys: Captured) -> None:
    code, said = printed(arguments, capsys)
    assert code == 2
    assert TOKEN not in said


@pytest.mark.parametrize("key", ["token", "hub.token", "hub.allow", TOKEN])
def test_a_token_in_the_settings_is_refused_and_not_shown(key: str, place: Path, capsys: Captured) -> None:
    Path("run.yaml").write_text("base_model: a/b\ntask: causal-lm\n")
    assert run(["run-and-publish", "run.yaml", "--set", f"{key}={TOKEN}"]) == 2
    first, _, last = key.partition(".")
    Path("run.yaml").write_text(
        json.dumps({"base_model": "a/b", "task": "causal-lm", first: {last: TOKEN} if last else TOKEN})
    )
    assert run(["run-and-publish", "run.yaml"]) == 2
    assert TOKEN not in "".join(capsys.readouterr())


def test_a_person_is_told_once_that_an_option_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    from hubkit.cli import common
    from hubkit.cli.push import push_options

    flags = {"token": TOKEN, "include": (), "allow": (), "audit": None, "create_pr": None, "local_hub": None}
    flags["verify_download"] = None
    push_options(flags, None, quiet=False)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(common, "watched", lambda: True)
    push_options(flags, None, quiet=False)
    push_options({**flags, "token": None}, None, quiet=False)
    said = capsys.readouterr().err
    assert said.count("--token shows in the list of processes") == 1
    assert TOKEN not in said


def test_no_token_is_handed_to_what_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hubkit.verify import process

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert TOKEN not in process.environment(tmp_path, "http://127.0.0.1:9").values()
