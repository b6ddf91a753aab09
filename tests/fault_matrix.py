"""Publishes to a Hub of their own, one after the other, each with a fault: what the trials of faults share.

A `Bench` is a local Hub with a switchboard. A `Story` is a kind of publish: to a new repo, an update, a pull
request. What a publish left is read from the Hub's store on the disk, not from its answers.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import fake_adapter
from conftest import ALICE
from huggingface_hub import HfApi

from hubkit import localhub
from hubkit.hub import Hub
from hubkit.hub_client import Patience
from hubkit.localhub import Fault, RunningHub, Switchboard
from hubkit.localhub.objects import Objects, blob_oid
from hubkit.localhub.repo import Repo
from hubkit.publishing import Published, PushOptions
from hubkit.publishing.push import publish_to
from hubkit.publishing.target import Target

PUSHED = ("README.md", "adapter_config.json", "adapter_model.safetensors", "hubkit.json")
WEIGHTS = "adapter_model.safetensors"
# Seconds after which a silent server is given up: few where it will be silent, more where it is only busy.
SHORT_SILENCE, LONG_SILENCE = 1.0, 4.0
numbers = itertools.count()


@dataclass(frozen=True)
class Story:
    """A kind of publish: what is there before it, and what is asked for."""

    name: str
    published_before: bool = False
    proposed_before: bool = False
    delete: tuple[str, ...] = ()
    create_pr: bool = False
    tag: str | None = None
    collection: bool = False


STORIES = (
    Story("new"),
    Story("update", published_before=True, delete=("old.txt",)),
    Story("propose", published_before=True, create_pr=True),
    Story("propose again", published_before=True, proposed_before=True, create_pr=True),
    Story("tag and collect", tag="v1", collection=True),
)


@dataclass
class State:
    """What a Hub holds of a repo: digests by path of each commit, oldest first, of main and of each PR."""

    main: list[dict[str, str]] = field(default_factory=list)
    pull_requests: dict[int, list[dict[str, str]]] = field(default_factory=dict)
    other_refs: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    collected: int = 0

    @property
    def exists(self) -> bool:
        return bool(self.main)


@dataclass
class Trial:
    """One publish to one repo, which may be tried again."""

    bench: Bench
    story: Story
    repo: str
    directory: Path
    title: str
    before: State

    def publish(self) -> Published:
        options = PushOptions(
            private=True,
            create_pr=self.story.create_pr,
            tag=self.story.tag,
            collection=self.title if self.story.collection else None,
            delete=self.story.delete,
            audit=False,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            done = publish_to(Target(hub=self.bench.hub), self.directory, self.repo, options, lambda _: None)
        assert isinstance(done, Published)
        return done

    def state(self) -> State:
        return self.bench.state(self.repo, self.title)

    def tree(self) -> dict[str, str]:
        """What the repo is to hold in the end."""
        base = dict(self.before.main[-1]) if self.before.main else {".gitattributes": self.bench.attributes}
        for path in self.story.delete:
            del base[path]
        for path in PUSHED:
            content = (self.directory / path).read_bytes()
            base[path] = hashlib.sha256(content).hexdigest() if path == WEIGHTS else blob_oid(content)
        return base

    def wanted(self) -> State:
        """The state that this publish is to lead to: one commit more, here or there."""
        first = [{".gitattributes": self.bench.attributes}]
        main, pulls = self.before.main or first, dict(self.before.pull_requests)
        if self.story.create_pr:
            pulls[1] = [*pulls.get(1, main), self.tree()]
        else:
            main = [*main, self.tree()]
        refs = {f"tags/{self.story.tag}": main} if self.story.tag else {}
        return State(main, pulls, refs, collected=int(self.story.collection))

    def stages(self) -> list[State]:
        """The states that a publish which broke off may leave, from nothing to all of it."""
        whole = self.wanted()
        created = State(whole.main[:1])
        published = State(whole.main, whole.pull_requests)
        tagged = State(whole.main, whole.pull_requests, whole.other_refs)
        collected = State(whole.main, whole.pull_requests, {}, whole.collected)
        return [self.before, *([] if self.before.exists else [created]), published, tagged, collected, whole]


class Bench:
    """A local Hub with a switchboard, and publishes to it."""

    def __init__(self, place: Path, *, xet: bool) -> None:
        self.place, self.xet = place, xet
        self.board = Switchboard()
        self.pauses: list[float] = []
        self.saved: dict[str, Path] = {}
        self.running: RunningHub = localhub.start(
            place / "hub",
            tokens={ALICE: localhub.Token("alice")},
            xet=xet,
            part_size=1024,  # the weights go in three parts, by LFS
            switchboard=self.board,
        )
        self.hub = Hub(self.running.endpoint, ALICE, patience=self.patience(LONG_SILENCE))
        self.api = HfApi(self.running.endpoint, ALICE)
        self.api.create_repo("alice/first")
        self.attributes = self.state("alice/first", "").main[0][".gitattributes"]

    def patience(self, silence: float) -> Patience:
        """No pauses, but for a list of them."""
        return Patience(answer_seconds=silence, attempts=3, sleep=self.pauses.append)

    def close(self) -> None:
        self.running.close()

    def folder(self, repo: str) -> Path:
        return self.place / "hub" / "repos" / repo

    def state(self, repo: str, title: str) -> State:
        """What the store holds of a repo, and how often the collection of this title holds it."""
        if not (self.folder(repo) / "repo.json").exists():
            return State()
        found = Repo(repo, self.folder(repo), Objects(self.place / "hub"))

        def trees(oid: str) -> list[dict[str, str]]:
            commits = list(found.history(oid))[::-1]
            return [{path: file.digest for path, file in found.tree(made.oid).items()} for made in commits]

        opened = {d.num for d in found.discussions()}
        pulls = {int(name): trees(oid) for name, oid in found.refs("pr").items() if int(name) in opened}
        heads = {f"heads/{name}": trees(oid) for name, oid in found.refs("heads").items() if name != "main"}
        tags = {f"tags/{name}": trees(oid) for name, oid in found.refs("tags").items()}
        return State(trees(found.resolve("main")), pulls, heads | tags, self._collected(repo, title))

    def _collected(self, repo: str, title: str) -> int:
        if not title:
            return 0
        same = [made for made in self.api.list_collections(owner="alice") if made.title == title]
        assert len(same) <= 1, f"{len(same)} collections titled {title}"
        items = self.api.get_collection(same[0].slug).items if same else []
        return sum(item.item_id == repo for item in items)

    def trial(self, story: Story) -> Trial:
        """A publish that is ready to be made, of weights that the Hub does not have."""
        seed = next(numbers)
        directory = fake_adapter.write(self.place / f"adapter-{seed}", seed=seed)
        title = f"Collected {seed}" if story.collection else ""
        repo = self._as_before(story) if story.published_before else f"alice/{story.name.split()[0]}-{seed}"
        before = self.state(repo, title)
        for used in (self.place / "hub" / "xet").glob("*"):  # each upload would be offered the chunks of all
            shutil.rmtree(used, ignore_errors=True)
        self.board.clear()
        self.pauses.clear()
        return Trial(self, story, repo, directory, title, before)

    def _as_before(self, story: Story) -> str:
        """A repo that was published to, put back to where it was when it served another trial."""
        repo = f"alice/before-{story.name.replace(' ', '-')}"
        place, folder = self.place / story.name, self.folder(repo)
        if not place.exists():
            self._publish_before(story, repo)
            for kind in ("refs", "discussions"):
                (folder / kind).mkdir(exist_ok=True)
                shutil.copytree(folder / kind, place / kind)
        for kind in ("refs", "discussions"):
            shutil.rmtree(folder / kind)
            shutil.copytree(place / kind, folder / kind)
        return repo

    def _publish_before(self, story: Story, repo: str) -> None:
        first = fake_adapter.write(self.place / f"first-{story.name}", seed=10_000 + next(numbers))
        Trial(self, Story("first"), repo, first, "", State()).publish()
        self.api.upload_file(path_or_fileobj=b"old", path_in_repo="old.txt", repo_id=repo)
        if story.proposed_before:
            other = fake_adapter.write(self.place / f"other-{story.name}", seed=10_000 + next(numbers))
            Trial(self, Story("first", create_pr=True), repo, other, "", State()).publish()


def call_pattern(method_and_path: tuple[str, str], trial: Trial) -> tuple[str, str]:
    """A request as a pattern that the same request of another trial has too."""
    method, path = method_and_path
    text = path.split("?")[0].replace(trial.repo, "REPO")
    text = re.sub(r"\b[0-9a-f]{64}\b", "SHA", text)
    text = re.sub(r"\b[0-9a-f]{40}\b", "OID", text)
    return method, re.sub(r"collections/alice/[^/]+", "collections/SLUG", text)


def calls(trial: Trial) -> list[tuple[str, str]]:
    """The requests since the switchboard was cleared."""
    return [call_pattern((seen.method, seen.path), trial) for seen in trial.bench.board.log]


def as_regex(path: str, trial: Trial) -> str:
    """What finds the requests of a pattern."""
    text = re.escape(path).replace("REPO", re.escape(trial.repo)).replace("SHA", "[0-9a-f]{64}")
    return "^" + text.replace("OID", "[0-9a-f]{40}").replace("SLUG", "alice/[^/]+") + r"(\?|$)"


MakeFault = Callable[[int], Fault]


def nth(trial: Trial, clean: list[tuple[str, str]], number: int) -> dict[str, object]:
    """Which requests a fault is for: the one of this number in a clean publish, and those that repeat it."""
    method, path = clean[number]
    return {"method": method, "path": as_regex(path, trial), "after": clean[:number].count(clean[number])}
