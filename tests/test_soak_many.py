"""Four hubkits push to one repo at once, many times each: no author's word is lost, no commit twice."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from card_cases import CASES
from huggingface_hub import HfApi
from soaking import LONG, Process, environment

from hubkit import localhub
from hubkit.cli.main import run
from hubkit.hub import Hub

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore:Use .content=<...>. to upload raw bytes:DeprecationWarning"),
]
PUBLISHERS = 4
PUSHES = 25 if LONG else 6
REPO = "local/many"
# Before which region of hubkit's each publisher writes: each has its own place in the card.
PLACES = ["usage", "limitations", "citation", "license"]
PUBLISHER = """
import json, sys
from pathlib import Path
from hubkit.errors import HubkitError
from hubkit.hub import Hub
from hubkit.publishing import PushOptions, Target, publish_to
directory, endpoint, token, repo, me, pushes = sys.argv[1:]
card = Path(directory) / "README.md"
heading = f"## Publisher {me}\\n\\n"
for push in range(int(pushes)):
    text = card.read_text(encoding="utf-8")
    at = text.index(heading) + len(heading)
    card.write_text(f"{text[:at]}Line {push} of publisher {me}.\\n\\n{text[at:]}", encoding="utf-8")
    target, options, said = Target(hub=Hub(endpoint, token)), PushOptions(watched=True), []
    try:
        done = publish_to(target, Path(directory), repo, options, said.append)
        end = {"commit": done.commit, "new": not done.nothing_to_do}
    except HubkitError as error:
        end = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps({"push": push, **end}), flush=True)
"""


def test_four_publishers_lose_nothing(tmp_path: Path) -> None:
    with localhub.start(tmp_path / "hub") as served:
        hub = Hub(served.endpoint, served.token)
        first = published_once(tmp_path / "first", served)
        before = history(served)
        copies = [tmp_path / f"publisher-{me}" for me in range(PUBLISHERS)]
        for copy in copies:
            shutil.copytree(first, copy)
        ends = push_at_once(tmp_path, copies, served)
        commits = [end["commit"] for told in ends for end in told if end.get("new")]
        refused = [end for told in ends for end in told if "error" in end]
        print(f"{len(commits)} commits, {len(refused)} refused, of {PUBLISHERS * PUSHES} pushes")

        assert len(commits) + len(refused) == PUBLISHERS * PUSHES
        assert len(set(commits)) == len(commits) >= PUSHES
        assert {end["error"] for end in refused} <= {"HeadMoved"}
        assert all("\n" not in end["message"] for end in refused)
        now = history(served)
        assert sorted(now[len(before) :]) == sorted(commits)  # each once, and nobody else's
        assert now[: len(before)] == before
        assert_only_grows(hub, now[len(before) - 1 :])
        card = hub.read(REPO, "README.md", now[-1]).decode()
        for me, told in enumerate(ends):
            landed = max(end["push"] for end in told if "commit" in end)
            assert lines_of(card, me) == [f"Line {push} of publisher {me}." for push in range(landed, -1, -1)]
        assert_at_rest(copies, served, hub)


def published_once(directory: Path, served: localhub.RunningHub) -> Path:
    """A directory with hubkit's card, in which each publisher has a section; published."""
    CASES["causal-lora"](directory)
    assert run(["card", "--adapter", str(directory), "--repo-id", REPO, "-q"]) == 0
    card = directory / "README.md"
    text = card.read_text(encoding="utf-8")
    for me, name in enumerate(PLACES):
        begin = f"<!-- hubkit:begin {name} -->"
        assert text.count(begin) == 1
        text = text.replace(begin, f"## Publisher {me}\n\nOf publisher {me}.\n\n{begin}")
    card.write_text(text, encoding="utf-8")
    where = ["--endpoint", served.endpoint, "--token", served.token]
    assert run(["publish", "--adapter", str(directory), "--repo-id", REPO, "-q", *where]) == 0
    return directory


def push_at_once(
    tmp_path: Path, copies: list[Path], served: localhub.RunningHub
) -> list[list[dict[str, Any]]]:
    """What became of the pushes of each publisher, all of them started together."""
    running = []
    for me, copy in enumerate(copies):
        what = [str(copy), served.endpoint, served.token, REPO, str(me), str(PUSHES)]
        home = environment(tmp_path / "home")
        running.append(Process([sys.executable, "-c", PUBLISHER, *what], home, tmp_path / f"logs-{me}"))
    told = []
    for process in running:
        ended = process.end()
        assert (ended.code, ended.err) == (0, "")
        told.append([json.loads(line) for line in ended.out.splitlines()])
    return told


def history(served: localhub.RunningHub) -> list[str]:
    """The commits of the repo, the oldest first."""
    made = HfApi(served.endpoint, served.token).list_repo_commits(REPO)
    return [one.commit_id for one in made][::-1]


def lines_of(card: str, me: int) -> list[str]:
    return [line for line in card.splitlines() if line.startswith("Line ") and line.endswith(f" {me}.")]


def assert_only_grows(hub: Hub, commits: list[str]) -> None:
    """No commit took out what an earlier one of anybody had brought, and each brought something."""
    known: set[str] = set()
    for number, commit in enumerate(commits):
        card = hub.read(REPO, "README.md", commit).decode()
        lines = [line for me in range(PUBLISHERS) for line in lines_of(card, me)]
        assert len(lines) == len(set(lines)), commit
        assert known <= set(lines), commit
        assert number == 0 or known != set(lines), commit
        known = set(lines)


def assert_at_rest(copies: list[Path], served: localhub.RunningHub, hub: Hub) -> None:
    """One more push each, and all have the same card, which holds every line that anybody wrote."""
    where = ["--endpoint", served.endpoint, "--token", served.token, "--repo-id", REPO, "-q"]
    for copy in [*copies, *copies]:
        assert run(["publish", "--adapter", str(copy), *where]) == 0
    card = hub.read(REPO, "README.md", history(served)[-1])
    for me in range(PUBLISHERS):
        assert len(lines_of(card.decode(), me)) == PUSHES
    for copy in copies:
        assert (copy / "README.md").read_bytes() == card
        assert run(["card", "--adapter", str(copy), "--check", "-q"]) == 0
