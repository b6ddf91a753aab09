"""A publish is taken back by one commit, and only that publish; over real HTTP."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import fake_adapter
import httpx2
import pytest
from conftest import ALICE
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, HfApi

from hubkit import errors, interrupts, localhub
from hubkit.cli.main import run
from hubkit.hub import Hub
from hubkit.hub_client import Patience
from hubkit.publishing import traces
from hubkit.publishing.revert import plan_revert, revert

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

OLD_WAY = "ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"
pytestmark = pytest.mark.filterwarnings(OLD_WAY)
numbers = itertools.count(80_000)
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def board() -> localhub.Switchboard:
    return localhub.Switchboard()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, board: localhub.Switchboard) -> Iterator[RunningHub]:
    tokens = {ALICE: localhub.Token("alice")}
    with localhub.start(tmp_path_factory.mktemp("revert"), tokens=tokens, switchboard=board) as hub:
        yield hub


@pytest.fixture
def repo(board: localhub.Switchboard) -> str:
    board.clear()
    return f"alice/revert-{next(numbers)}"


@pytest.fixture
def adapter_dir(tmp_path: Path) -> Path:
    return fake_adapter.write(tmp_path / "adapter", seed=2000 + next(numbers))


def hubkit(hub: RunningHub, repo: str, *arguments: object) -> int:
    where = ["--endpoint", hub.endpoint, "--token", ALICE, "--repo-id", repo]
    return run(["publish", *map(str, arguments), *where])


def tree(hub: RunningHub, repo: str, revision: str = "main") -> dict[str, str]:
    """The blob ids of the files, by path, as huggingface_hub alone sees them."""
    info = HfApi(hub.endpoint, ALICE).model_info(repo, revision=revision, files_metadata=True)
    return {file.rfilename: str(file.blob_id) for file in info.siblings or []}


def history(hub: RunningHub, repo: str, revision: str = "main") -> list[tuple[str, str]]:
    """Titles and messages, the newest first."""
    made = HfApi(hub.endpoint, ALICE).list_repo_commits(repo, revision=revision)
    return [(commit.title, commit.message) for commit in made]


def change(hub: RunningHub, repo: str, path: str, content: bytes = b"x\n", **options: object) -> None:
    operation = CommitOperationAdd(path, content)
    HfApi(hub.endpoint, ALICE).create_commit(repo, [operation], commit_message=path, **options)  # type: ignore[arg-type]


def test_back_and_forth(
    adapter_dir: Path, repo: str, served: RunningHub, board: localhub.Switchboard, capsys: Captured
) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    first = tree(served, repo)
    fake_adapter.write(adapter_dir, seed=2500 + next(numbers))
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    second = tree(served, repo)
    assert first != second
    change(served, repo, "notes.txt")  # of somebody else: it stays
    notes = {"notes.txt": tree(served, repo)["notes.txt"]}
    board.clear()
    capsys.readouterr()
    assert hubkit(served, repo, "--revert") == 0
    out, err = capsys.readouterr()
    assert out == f"{served.endpoint}/{repo}\n"
    assert "Took back commit" in err
    assert '"Update adapter and model card" of 20' in err
    assert "restored adapter_model.safetensors, hubkit.json" in err
    assert tree(served, repo) == first | notes
    assert board.count("GET", r"resolve/.*safetensors") == 0  # no weights came down, and none went up
    assert sum(seen.received for seen in board.log if seen.method != "GET") < 3000
    (title, message), *_ = history(served, repo)
    assert title == 'Revert "Update adapter and model card"'
    assert traces.reverts(message)
    assert hubkit(served, repo, "--revert") == 0
    assert tree(served, repo) == second | notes
    assert history(served, repo)[0][0] == 'Reapply "Update adapter and model card"'
    assert hubkit(served, repo, "--revert") == 0
    assert tree(served, repo) == first | notes
    assert len(history(served, repo)) == 7
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0  # without --force
    assert tree(served, repo) == second | notes


def test_a_publish_that_filled_the_repo(
    adapter_dir: Path, repo: str, served: RunningHub, capsys: Captured
) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir, "-q") == 0
    assert hubkit(served, repo, "--revert", "--json") == 0
    out, err = capsys.readouterr()
    said = json.loads(out.partition("\n")[2])
    assert {file["change"] for file in said["files"]} == {"removed"}
    assert said["undone_title"] == "Add adapter and model card"
    assert f"no file is left in the repo, which stays; to delete it: hf repos delete {repo}" in err
    assert set(tree(served, repo)) == {".gitattributes"}
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    assert "README.md" in tree(served, repo)


def test_a_card_of_hubkits_is_known_as_such_afterwards_and_somebodys_is_not(
    adapter_dir: Path, repo: str, served: RunningHub
) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    card = adapter_dir / "README.md"
    card.write_text(card.read_text() + "\nMore.\n")
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    assert hubkit(served, repo, "--revert") == 0
    (_, message), *before = history(served, repo)
    assert traces.card(message) == traces.card(before[1][1])
    theirs = b"---\nlicense: mit\n---\n# Written by hand\n"
    change(served, repo, "README.md", theirs)
    assert hubkit(served, repo, "--adapter", adapter_dir, "--force") == 0
    assert hubkit(served, repo, "--revert") == 0
    assert traces.card(history(served, repo)[0][1]) is None
    api = HfApi(served.endpoint, ALICE)
    assert Path(api.hf_hub_download(repo, "README.md")).read_bytes() == theirs


def test_what_a_revert_put_back_of_others_stays_theirs(
    adapter_dir: Path, repo: str, served: RunningHub
) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    change(served, repo, "adapter_model.bin", b"theirs")
    assert hubkit(served, repo, "--adapter", adapter_dir, "--delete", "*.bin") == 0
    assert "adapter_model.bin" not in tree(served, repo)
    assert hubkit(served, repo, "--revert") == 0
    fake_adapter.write(adapter_dir, seed=2600 + next(numbers))
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    assert "adapter_model.bin" in tree(served, repo)


def test_words_from_the_hub_and_from_here_outlast_a_revert(
    adapter_dir: Path, repo: str, served: RunningHub
) -> None:
    def served_card() -> str:
        head = str(HfApi(served.endpoint, ALICE).model_info(repo).sha)
        path = HfApi(served.endpoint, ALICE).hf_hub_download(repo, "README.md", revision=head)
        return Path(path).read_text()

    card = adapter_dir / "README.md"
    card.write_text(card.read_text() + "\nOne.\n\nTwo.\n\nThree.\n")
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    edited = served_card().replace("Three.", "Three, and web words.")
    change(served, repo, "README.md", edited.encode())
    card.write_text(card.read_text().replace("One.", "One, and local words."))
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    both = served_card()
    assert "web words" in both
    assert "local words" in both
    assert hubkit(served, repo, "--revert") == 0
    assert served_card() == edited
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0  # the revert is no edit of the card
    assert served_card() == card.read_text() == both


def test_later_changes_of_the_same_files_are_not_lost(
    adapter_dir: Path, repo: str, served: RunningHub, capsys: Captured
) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    change(served, repo, "adapter_config.json", b"{}")
    capsys.readouterr()
    before = history(served, repo)
    assert hubkit(served, repo, "--revert", "--dry-run") == 1
    assert "Would be refused" in capsys.readouterr().out
    assert hubkit(served, repo, "--revert") == 2
    assert "later commits changed adapter_config.json, and would be lost" in capsys.readouterr().err
    assert history(served, repo) == before


def test_a_dry_run_makes_no_commit(
    adapter_dir: Path, repo: str, served: RunningHub, capsys: Captured
) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    before = history(served, repo)
    capsys.readouterr()
    assert hubkit(served, repo, "--revert", "--dry-run") == 0
    assert "- README.md" in capsys.readouterr().out
    assert hubkit(served, repo, "--revert", "--dry-run", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["title"] == 'Revert "Add adapter and model card"'
    assert "refused_hint" not in shown
    assert history(served, repo) == before


def test_on_a_branch(adapter_dir: Path, repo: str, served: RunningHub) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    fake_adapter.write(adapter_dir, seed=2700 + next(numbers))
    assert hubkit(served, repo, "--adapter", adapter_dir, "--revision", "dev") == 0
    main = tree(served, repo)
    assert hubkit(served, repo, "--revert", "--revision", "dev", "--commit-message", "Back") == 0
    assert tree(served, repo, "dev") == main == tree(served, repo)
    assert history(served, repo, "dev")[0][0] == "Back"


def test_by_the_record_of_a_directory(adapter_dir: Path, tmp_path: Path, capsys: Captured) -> None:
    hub = ["--local-hub", str(tmp_path / "hub")]
    assert run(["publish", "--adapter", str(adapter_dir), *hub, "-q"]) == 0
    assert run(["publish", "--revert", "--adapter", str(adapter_dir), *hub]) == 0
    assert capsys.readouterr().err.endswith(f"See it with: hubkit serve {tmp_path / 'hub'}\n")


def test_only_a_branch_can_go_back(
    adapter_dir: Path, repo: str, served: RunningHub, capsys: Captured
) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir, "--tag", "v1") == 0
    before = history(served, repo)
    for revision, said in [
        ("v1", "--revision v1 is a tag"),
        ("f" * 40, "is a commit, and no push goes to one"),
        ("none", "has no revision none"),
        ("refs/pr/7", "there is no pull request 7"),
    ]:
        capsys.readouterr()
        assert hubkit(served, repo, "--revert", "--revision", revision) == 2
        assert said in capsys.readouterr().err
    assert history(served, repo) == before


def test_in_a_pull_request(adapter_dir: Path, repo: str, served: RunningHub) -> None:
    HfApi(served.endpoint, ALICE).create_repo(repo)
    for seed in (3000, 3100):
        fake_adapter.write(adapter_dir, seed=seed + next(numbers))
        assert hubkit(served, repo, "--adapter", adapter_dir, "--create-pr") == 0
    assert hubkit(served, repo, "--revert", "--revision", "refs/pr/1") == 0
    assert [title for title, _ in history(served, repo, "refs/pr/1")] == [
        'Revert "Update adapter and model card"',
        "Update adapter and model card",
        "Add adapter and model card",
        "initial commit",
    ]


def no_repo(hub: RunningHub, repo: str) -> None:
    del hub, repo


def no_publish(hub: RunningHub, repo: str) -> None:
    HfApi(hub.endpoint, ALICE).create_repo(repo)


def nothing_changed(hub: RunningHub, repo: str) -> None:
    HfApi(hub.endpoint, ALICE).create_repo(repo)
    header = {"key": "header", "value": {"summary": "None", "description": traces.MARK}}
    url = f"{hub.endpoint}/api/models/{repo}/commit/main"
    answer = httpx2.post(url, content=json.dumps(header), headers={"Authorization": f"Bearer {ALICE}"})
    assert answer.status_code == 200


def changed_since(hub: RunningHub, repo: str) -> None:
    HfApi(hub.endpoint, ALICE).create_repo(repo)
    change(hub, repo, "a", commit_description=traces.MARK)
    change(hub, repo, "a", b"y\n")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (no_repo, "there is no repo alice/"),
        (no_publish, "no commit on main of alice/"),
        (nothing_changed, '"None" changed no file, so there is nothing to restore'),
        (changed_since, "later commits changed a"),
    ],
)
def test_what_cannot_be_taken_back(
    make: object, said: str, repo: str, served: RunningHub, capsys: Captured
) -> None:
    assert callable(make)
    make(served, repo)
    assert hubkit(served, repo, "--revert") == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Next:" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [["--force"], ["--create-pr"], ["--tag", "v1"], ["--collection", "x"], ["--no-private"], ["--no-audit"]],
)
def test_what_makes_no_sense_with_it(
    options: list[str], repo: str, served: RunningHub, board: localhub.Switchboard, capsys: Captured
) -> None:
    assert hubkit(served, repo, "--revert", *options) == 2
    assert "--revert takes back a publish, and does nothing with --" in capsys.readouterr().err
    assert board.log == []


def test_without_a_name(capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["publish", "--revert", "--local-hub", "hub"]) == 2
    assert "no repo was named. Next: give --repo-id user/name, or --adapter DIR" in capsys.readouterr().err
    assert run(["publish", "--revert", "--local-hub", "hub", "--repo-id", "local/x"]) == 2
    assert list(tmp_path.iterdir()) == []  # no local Hub is made to find nothing in


@pytest.fixture
def quick() -> Patience:
    return Patience(answer_seconds=2.0, attempts=3, sleep=lambda seconds: None)


@pytest.mark.parametrize("kind", ["drop", "reset"])
def test_a_lost_answer_makes_no_second_commit(
    kind: str, adapter_dir: Path, repo: str, served: RunningHub, board: localhub.Switchboard, quick: Patience
) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    hub = Hub(served.endpoint, ALICE, patience=quick)
    planned = plan_revert(hub, repo, "main")
    board.order(localhub.Fault(kind, "POST", r"/commit/main"))  # type: ignore[arg-type]
    done = revert(planned, hub)
    assert board.pending() == []
    titles = [title for title, _ in history(served, repo)]
    assert titles == ['Revert "Add adapter and model card"', "Add adapter and model card", "initial commit"]
    assert HfApi(served.endpoint, ALICE).model_info(repo).sha == done.commit


def test_who_does_not_know_whether_it_landed_is_not_told_to_run_it_again(
    adapter_dir: Path, repo: str, served: RunningHub, board: localhub.Switchboard, quick: Patience
) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    hub = Hub(served.endpoint, ALICE, patience=quick)
    planned = plan_revert(hub, repo, "main")
    board.order(
        localhub.Fault("drop", "POST", "/commit/main", times=9),
        localhub.Fault("status", "GET", "/commits/main", status=503, times=9),
    )
    with pytest.raises(errors.HubUnreachable) as caught:
        revert(planned, hub)
    assert "whether the commit landed is not known" in caught.value.message
    assert "a second revert brings the publish back" in str(caught.value.hint)
    board.clear()
    assert len(history(served, repo)) == 3
    planned = plan_revert(hub, repo, "main")
    board.order(localhub.Fault("status", "GET", "/tree/", status=503, times=9))  # it cannot be verified
    with pytest.raises(errors.HubUnreachable) as caught:
        revert(planned, hub)
    assert " landed" in caught.value.message
    assert "a second revert brings the publish back" in str(caught.value.hint)
    board.clear()
    assert len(history(served, repo)) == 4


def test_who_stops_it_at_once_is_not_told_to_run_it_again(
    adapter_dir: Path, repo: str, served: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []

    @contextlib.contextmanager
    def held(in_doubt: str) -> Iterator[None]:
        said.append(in_doubt)
        yield

    monkeypatch.setattr(interrupts, "held", held)
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    assert hubkit(served, repo, "--revert") == 0
    of_publish, of_revert = said
    assert "it makes no second one" in of_publish
    assert "a second revert brings the publish back" in of_revert


FAULTS = {
    "status": {"status": 503},
    "reset": {},
    "drop": {},
    "cut": {"bytes": 10},
    "hang": {},
    "late": {},
}


@pytest.mark.soak
@pytest.mark.parametrize("times", [1, 99])
def test_every_call_of_a_revert_fails_in_every_way(
    times: int, adapter_dir: Path, repo: str, served: RunningHub, board: localhub.Switchboard
) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    fake_adapter.write(adapter_dir, seed=3200 + next(numbers))
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    patience = Patience(answer_seconds=0.5, attempts=3, sleep=lambda seconds: None)
    hub = Hub(served.endpoint, ALICE, patience=patience)
    states = [tree(served, repo)]
    board.clear()
    revert(plan_revert(hub, repo, "main"), hub)
    calls = [(seen.method, seen.path) for seen in board.log]
    assert [method for method, path in calls if "/commit/" in path] == ["POST"]
    states.append(tree(served, repo))  # from here on each revert leads from one of them to the other
    made = len(history(served, repo))
    for number, kind in itertools.product(range(len(calls)), FAULTS):
        board.clear()
        method, path = calls[number]
        where = re.sub("[0-9a-f]{40}", "[0-9a-f]{40}", re.escape(path.partition("?")[0]))
        one = {"number": number} if times == 1 else {"method": method, "path": f"{where}(?:[?]|$)"}
        board.order(localhub.Fault(kind, times=times, **one, **FAULTS[kind]))  # type: ignore[arg-type]
        try:
            done = revert(plan_revert(hub, repo, "main"), hub)
        except errors.HubError:  # which is one line
            assert times > 1, (calls[number], kind)
            happened = 0
        else:
            happened = 1
            assert done.commit == HfApi(served.endpoint, ALICE).model_info(repo).sha
        assert any(seen.fault for seen in board.log), (calls[number], kind)
        board.clear()
        now = len(history(served, repo))
        assert now - made in ((happened,) if times == 1 else (happened, 1)), (calls[number], kind)
        assert tree(served, repo) == states[(now - 1) % 2]
        made = now


def test_somebody_commits_meanwhile(adapter_dir: Path, repo: str, served: RunningHub) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    hub = Hub(served.endpoint, ALICE)
    planned = plan_revert(hub, repo, "main")
    change(served, repo, "notes.txt")
    done = revert(planned, hub)  # another file: planned anew
    assert set(tree(served, repo)) == {".gitattributes", "notes.txt"}
    assert done.undone == planned.undone
    assert hubkit(served, repo, "--revert") == 0
    planned = plan_revert(hub, repo, "main")
    change(served, repo, "README.md", b"---\nlicense: mit\n---\n# Mine\n")
    with pytest.raises(errors.HubError, match=r"later commits changed README\.md"):
        revert(planned, hub)
    assert history(served, repo)[0][0] == "README.md"


def test_another_publish_comes_meanwhile(adapter_dir: Path, repo: str, served: RunningHub) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    hub = Hub(served.endpoint, ALICE)
    planned = plan_revert(hub, repo, "main")
    fake_adapter.write(adapter_dir, seed=2900 + next(numbers))
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    after = tree(served, repo)
    with pytest.raises(errors.HeadMoved, match="got another publish, or revert"):
        revert(planned, hub)
    assert tree(served, repo) == after


def test_two_reverts_at_once_undo_one_publish(adapter_dir: Path, repo: str, served: RunningHub) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    fake_adapter.write(adapter_dir, seed=3300 + next(numbers))
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    hub = Hub(served.endpoint, ALICE)
    planned = plan_revert(hub, repo, "main")
    first = revert(planned, hub)
    after = tree(served, repo)
    assert revert(planned, hub).commit == first.commit  # it is done
    other = plan_revert(hub, repo, "main")
    assert hubkit(served, repo, "--revert", "--commit-message", "By another") == 0
    with pytest.raises(errors.HeadMoved, match="got another publish, or revert"):
        revert(other, hub)
    assert hubkit(served, repo, "--revert") == 0
    assert tree(served, repo) == after
    assert len(history(served, repo)) == 6


def test_files_that_somebody_put_back_meanwhile_are_not_claimed(
    adapter_dir: Path, repo: str, served: RunningHub
) -> None:
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    fake_adapter.write(adapter_dir, seed=3400 + next(numbers))
    assert hubkit(served, repo, "--adapter", adapter_dir) == 0
    hub = Hub(served.endpoint, ALICE)
    planned = plan_revert(hub, repo, "main")
    copies = [CommitOperationCopy(f.path, f.path, src_revision=planned.before) for f in planned.files]
    HfApi(served.endpoint, ALICE).create_commit(repo, copies, commit_message="By hand")
    with pytest.raises(errors.HubError, match="later commits changed"):
        revert(planned, hub)
    assert history(served, repo)[0][0] == "By hand"
