"""Random walks over all that people do to a repo, held to what they wrote: no word is lost, none comes back.

Three directories, the Hub's web editor, pull requests, branches, reverts, force, failed pushes, rewritten
histories, repos made anew. Each word is written once. A push that was not forced may take a word off the Hub
only if it was deleted in its directory, and may bring none back that somebody took off the Hub since. What
the dry run says is what the push does.
"""

from __future__ import annotations

import itertools
import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import fake_adapter
import pytest
from card_cases import CASES
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from soaking import LONG

from hubkit import errors, localhub
from hubkit.cli.main import run
from hubkit.hub import Hub
from hubkit.publishing import Plan, Published, PushOptions, Target, publish_to
from hubkit.publishing import apply as applying
from hubkit.publishing.revert import plan_revert, revert

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore:Use .content=<...>. to upload raw bytes:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Warnings while validating metadata"),
]
WALKS, STEPS = (40, 80) if LONG else (3, 40)
WORD = re.compile(r"\bWord\d+\b")
PARTS = "".join(f"\n## Part {number}\n\nThis is part {number}.\n" for number in range(12))
numbers = itertools.count()
repos = itertools.count()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[localhub.RunningHub]:
    with localhub.start(tmp_path_factory.mktemp("walk") / "hub") as hub:
        yield hub


@dataclass
class Place:
    """A directory, and the words that its author deleted in it."""

    path: Path
    deleted: set[str] = field(default_factory=set)
    found: set[str] = field(default_factory=set)  # when it was downloaded; its record may not know them

    @property
    def card(self) -> Path:
        return self.path / "README.md"

    def text(self) -> str:
        return self.card.read_bytes().decode()

    def write(self, text: str) -> None:
        self.card.write_bytes(text.encode())


@dataclass
class Walk:
    """One walk: the repo, the directories, the words that were taken off the Hub, and what happened."""

    hub: Hub
    api: HfApi
    repo: str
    root: Path
    dice: random.Random
    places: list[Place]
    gone: set[str] = field(default_factory=set)
    story: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def step(self) -> None:
        deeds = [
            *[self.write_here] * 6, *[self.delete_here] * 3, *[self.write_there] * 3,
            *[self.delete_there] * 2, *[self.push] * 8, self.push_by_force, self.push_and_fail,
            self.push_and_be_overtaken, self.propose, self.merge, self.take_back, self.clone,
            self.rewrite_history, self.make_anew, self.rename, self.to_branch, self.put_old_back,
            self.new_weights, self.other_file, self.crlf, self.no_line_end, self.forget, self.write_card,
            self.delete_card,
        ]  # fmt: skip
        deed = self.dice.choice(deeds)
        self.story.append(deed.__name__)
        self.counts[deed.__name__] = self.counts.get(deed.__name__, 0) + 1
        deed()

    # What can be seen

    def head(self, revision: str = "main") -> str:
        found = self.hub.repo(self.repo, revision)
        assert found is not None
        return str(found.head)

    def there(self, commit: str | None = None) -> str:
        commit = commit or self.head()
        if "README.md" not in self.hub.files(self.repo, commit):
            return ""
        return self.hub.read(self.repo, "README.md", commit).decode()

    def words(self) -> set[str]:
        return set(WORD.findall(self.there()))

    def commits(self) -> list[str]:
        return [one.commit_id for one in self.api.list_repo_commits(self.repo)]

    def any(self) -> Place:
        place = self.dice.choice(self.places)
        self.story.append(f"in {place.path.name}")
        return place

    # What authors do

    def added(self, text: str) -> str:
        """A text with one word more, in some place of its author's."""
        places = [found.end() for found in re.finditer(r"This is part \d+\.\r?\n|Word\d+\.\r?\n", text)]
        if not places:
            return text + f"\nWord{next(numbers)}.\n"
        at, word = self.dice.choice(places), f"Word{next(numbers)}"
        self.story.append(f"+{word}")
        return f"{text[:at]}\n{word}.\n{text[at:]}"

    def removed(self, text: str) -> tuple[str, set[str]]:
        """A text without one of its words."""
        found = WORD.findall(text)
        if not found:
            return text, set()
        word = self.dice.choice(found)
        self.story.append(f"-{word}")
        return re.sub(rf"\r?\n{word}\.\r?\n", "", text, count=1), {word}

    def write_here(self) -> None:
        place = self.any()
        place.write(self.added(place.text()))

    def delete_here(self) -> None:
        place = self.any()
        text, words = self.removed(place.text())
        place.write(text)
        place.deleted |= words - set(WORD.findall(text))

    def put_there(self, text: str) -> None:
        before = self.words()
        if text:
            added = [CommitOperationAdd("README.md", text.encode())]
            self.api.create_commit(self.repo, added, commit_message="Update README.md")
            self.gone |= before - self.words()
            self.gone -= self.words() - before

    def write_there(self) -> None:
        if text := self.there():
            self.put_there(self.added(text))

    def delete_there(self) -> None:
        self.put_there(self.removed(self.there())[0])

    def put_old_back(self) -> None:
        self.put_there(self.there(self.dice.choice(self.commits())))

    def delete_card(self) -> None:
        if self.there():
            self.gone.clear()  # there is nothing left to hold a push to
            gone = [CommitOperationDelete("README.md")]
            self.api.create_commit(self.repo, gone, commit_message="Delete README.md")

    def other_file(self) -> None:
        self.api.create_commit(
            self.repo,
            [CommitOperationAdd("notes.txt", str(next(numbers)).encode())],
            commit_message="Update notes.txt",
        )

    def crlf(self) -> None:
        place = self.any()
        text = place.text().replace("\r\n", "\n")
        place.write(text.replace("\n", "\r\n") if "\r\n" not in place.text() else text)

    def no_line_end(self) -> None:
        place = self.any()
        if "hubkit:card" not in place.text():
            place.write(place.text().rstrip())

    def forget(self) -> None:
        """The record gets lost, of an adapter that it says nothing else of."""
        place = self.any()
        if "hubkit:card" not in place.text():
            (place.path / "hubkit.json").unlink(missing_ok=True)

    def new_weights(self) -> None:
        place = self.any()
        if "hubkit:card" not in place.text():
            (place.path / "adapter_model.safetensors").write_bytes(fake_adapter.weights(next(numbers)))
            (place.path / "hubkit.json").unlink(missing_ok=True)

    def write_card(self) -> None:
        place = self.any()
        if "hubkit:card" in place.text():
            said = ["--description", f"Described {next(numbers)} times."] * self.dice.randint(0, 1)
            assert run(["card", "--adapter", str(place.path), "-q", *said]) in (0, 2)

    def clone(self) -> None:
        """A directory is made anew from the Hub, as after `hf download`, or from another directory."""
        place, other = self.dice.sample(self.places, 2)
        self.story.append(f"{place.path.name}, or of {other.path.name}")
        if not self.there():
            return
        shutil.rmtree(place.path)
        if self.dice.random() < 0.3:
            shutil.copytree(other.path, place.path)
            place.deleted, place.found = set(other.deleted), set(other.found)
            return
        commit = self.head()
        place.path.mkdir()
        for path in self.hub.files(self.repo, commit):
            if path not in (".gitattributes", "notes.txt"):
                (place.path / path).parent.mkdir(parents=True, exist_ok=True)
                (place.path / path).write_bytes(self.hub.read(self.repo, path, commit))
        place.deleted, place.found = set(), set(WORD.findall(place.text()))

    # What is done to the repo

    def rewrite_history(self) -> None:
        self.api.super_squash_history(self.repo)

    def make_anew(self) -> None:
        if self.dice.random() < 0.3:
            self.api.delete_repo(self.repo)
            self.api.create_repo(self.repo)
            self.gone.clear()

    def rename(self) -> None:
        new = f"local/walk-{next(repos)}"
        self.api.move_repo(self.repo, new)
        self.repo = new

    def merge(self) -> None:
        found = self.api.get_repo_discussions(
            self.repo, discussion_type="pull_request", discussion_status="open"
        )
        for pull in list(found)[:1]:
            before = self.words()
            details = self.api.get_discussion_details(self.repo, pull.num)
            if details.conflicting_files:
                self.api.change_discussion_status(self.repo, pull.num, "closed")
                return
            self.api.merge_pull_request(self.repo, pull.num)
            self.gone |= before - self.words()
            self.gone -= self.words() - before

    # Pushes

    def push_to(self, place: Place, **options: object) -> Published | Plan:
        target = Target(hub=Hub(self.hub.endpoint, self.api.token and str(self.api.token)))
        chosen = PushOptions(watched=True, **options)  # type: ignore[arg-type]
        return publish_to(target, place.path, self.repo, chosen, lambda _: None)

    def planned(self, place: Place, **options: object) -> Plan | str:
        """The plan of a dry run, which touches nothing; its refusal, where it is refused."""
        files = {path: path.read_bytes() for path in place.path.rglob("*") if path.is_file()}
        commits = self.commits()
        try:
            plan = self.push_to(place, dry_run=True, **options)
        except errors.HubkitError as error:
            return error.message
        finally:
            assert files == {path: path.read_bytes() for path in place.path.rglob("*") if path.is_file()}
            assert commits == self.commits()
        assert isinstance(plan, Plan)
        return plan.refused or plan

    def push(self, *, force: bool = False) -> None:
        place = self.any()
        plan, commits, words = self.planned(place, force=force), self.commits(), self.words()
        before = self.hub.files(self.repo, commits[0])
        try:
            done = self.push_to(place, force=force)
        except errors.HubkitError as error:
            self.story.append(refusal := f"refused: {error.message}")
            self.counts["refused"] = self.counts.get("refused", 0) + 1
        else:
            refusal = None
        if refusal:
            assert refusal == f"refused: {plan}"
            assert self.commits() == commits
            return
        assert isinstance(plan, Plan), plan
        assert isinstance(done, Published)
        self.counts["landed"] = self.counts.get("landed", 0) + 1
        self.as_planned(plan, done, commits, before)
        assert self.there() == place.text()
        self.holds(place, words, force)

    def as_planned(self, plan: Plan, done: Published, commits: list[str], before: object) -> None:
        """The push did what the dry run said, in one commit or none."""
        now, after = self.commits(), self.hub.files(self.repo, self.head())
        assert done.nothing_to_do == (not plan.changes)
        assert done.commit == now[0]
        assert now[1 - done.nothing_to_do :] == commits
        assert (done.merged, done.removed) == (plan.merged, plan.removed)
        changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}  # type: ignore
        assert changed == {file.path for file in plan.changes}
        assert all(file.local("").equals(after[file.path]) for file in plan.pushed)
        if plan.changes:
            assert self.api.list_repo_commits(self.repo)[0].title == plan.title

    def holds(self, place: Place, before: set[str], force: bool) -> None:
        """No word was lost but those that were deleted here, and none came back."""
        now = self.words()
        if force:
            self.gone -= now
            return
        lost = before - now - place.deleted
        assert not lost, f"{lost} lost"
        back = (now - before) & self.gone - place.found
        assert not back, f"{back} came back"
        self.gone |= before - now

    def push_by_force(self) -> None:
        self.push(force=True)

    def push_and_fail(self) -> None:
        def fail(*_: object, **__: object) -> None:
            raise errors.HubUnreachable("no answer")

        self.instead(fail, force=self.dice.random() < 0.3)

    def push_and_be_overtaken(self) -> None:
        between = (self.write_there, self.delete_there, self.other_file, self.rewrite_history, self.take_back)
        make, deed = applying.make_commit, self.dice.choice((*between, self.push))
        times = iter([True] * self.dice.choice([1, 1, 2, 4]))

        def late(*arguments: object, **options: object) -> object:
            if next(times, False):
                applying.make_commit = make
                deed()
                applying.make_commit = late  # type: ignore[assignment]
            overtaken.append(self.words())
            return make(*arguments, **options)  # type: ignore[arg-type]

        overtaken: list[set[str]] = []
        place = self.instead(late)
        if place and overtaken:
            self.holds(place, overtaken[-1], force=False)

    def instead(self, other: object, force: bool = False) -> Place | None:
        """Push with something else in place of the commit; the directory, where the push came to its end."""
        make, place = applying.make_commit, self.any()
        applying.make_commit = other  # type: ignore[assignment]
        try:
            self.push_to(place, force=force)
        except errors.HubkitError as error:
            self.story.append(f"refused: {error.message}")
            return None
        finally:
            applying.make_commit = make
        return place

    def beside(self, **options: object) -> None:
        """A push that leaves main as it is."""
        commits = self.commits()
        try:
            self.push_to(self.any(), **options)
        except errors.HubkitError as error:
            self.story.append(f"refused: {error.message}")
        assert self.commits() == commits

    def propose(self) -> None:
        self.beside(create_pr=True)

    def to_branch(self) -> None:
        self.beside(revision="side")

    def take_back(self) -> None:
        before, commits = self.words(), self.commits()
        try:
            revert(plan_revert(self.hub, self.repo, "main"), self.hub)
        except errors.HubkitError as error:
            self.story.append(f"refused: {error.message}")
            assert self.commits() == commits
            return
        assert self.commits()[1:] == commits
        self.gone -= self.words() - before


def walk(seed: int, kind: str, served: localhub.RunningHub, root: Path) -> Walk:
    """One walk to its end."""
    hub, api, repo = Hub(served.endpoint, served.token), HfApi(served.endpoint, served.token), ""
    repo = f"local/walk-{next(repos)}"
    first = root / "0"
    if kind == "plain":
        fake_adapter.write(first, card=fake_adapter.CARD + PARTS)
        for extra in ("training_args.bin", "optimizer.pt"):
            (first / extra).unlink()
        shutil.rmtree(first / "checkpoint-10")
    else:
        CASES["causal-lora"](first)
        assert run(["card", "--adapter", str(first), "--repo-id", repo, "--no-figures", "-q"]) == 0
        card = (first / "README.md").read_text()
        begins = iter(range(12))
        card = re.sub(
            r"<!-- hubkit:begin (?!front)",
            lambda found: f"This is part {next(begins, 99)}.\n\n{found[0]}",
            card,
        )
        (first / "README.md").write_text(card)
    for other in ("1", "2"):
        shutil.copytree(first, root / other)
    walked = Walk(hub, api, repo, root, random.Random(seed), [Place(root / str(n)) for n in range(3)])
    walked.push_to(walked.places[0])
    for _ in range(STEPS):
        try:
            walked.step()
        except BaseException as error:
            error.add_note(f"walk {seed} of a {kind} card: {', '.join(walked.story)}")
            raise
    return walked


@pytest.mark.parametrize("kind", ["plain", "hubkit's"])
@pytest.mark.parametrize("seed", range(WALKS))
def test_no_word_is_lost_on_a_random_walk(
    seed: int, kind: str, served: localhub.RunningHub, tmp_path: Path
) -> None:
    walked = walk(seed, kind, served, tmp_path)
    assert walked.counts["landed"] > 0, walked.counts  # a walk of refusals alone would lose nothing either
