"""What a push refuses, so that nobody's words are lost and nothing goes out that should not."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import fake_adapter
import pytest
from card_cases import CASES
from conftest import ALICE
from huggingface_hub import CommitOperationAdd, HfApi
from test_card_regions import BOILERPLATE

from hubkit import errors, record
from hubkit.card import facts, regions
from hubkit.card.render import default_template, render
from hubkit.cli.main import run
from hubkit.hub import Hub
from hubkit.hub_client import Patience
from hubkit.publishing import Plan, Published, PushOptions, Target, publish_to
from hubkit.publishing import apply as applying
from hubkit.publishing.apply import apply
from hubkit.publishing.plan import plan
from hubkit.publishing.show import show_plan, show_published

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

pytestmark = [
    pytest.mark.filterwarnings("ignore:Warnings while validating metadata"),
    pytest.mark.filterwarnings("ignore:Use .content=<...>. to upload raw bytes:DeprecationWarning"),
]
EDITED = b"---\nlicense: mit\n---\n# Written in the browser\n"
numbers = itertools.count(30_000)
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def repo() -> str:
    return f"alice/guard-{next(numbers)}"


@pytest.fixture
def hub(alice_hub: RunningHub) -> Hub:
    return Hub(alice_hub.endpoint, ALICE)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """An adapter whose card somebody wrote by hand."""
    return fake_adapter.write(tmp_path / "plain")


@pytest.fixture
def carded(tmp_path: Path) -> Path:
    """An adapter with a card of hubkit's that names no repo."""
    directory = CASES["causal-lora"](tmp_path / "adapter")
    known = record.read(directory)
    known.repo_id = None
    record.write(directory, known)
    (directory / "README.md").write_text(render(facts.gather(directory)), encoding="utf-8")
    return directory


def edit_on_hub(hub: Hub, repo: str, content: bytes, path: str = "README.md") -> None:
    added = [CommitOperationAdd(path, content)]
    HfApi(hub.endpoint, ALICE).create_commit(repo, added, commit_message=f"Update {path}")


def card_on_hub(hub: Hub, repo: str) -> bytes:
    found = hub.repo(repo)
    assert found is not None
    assert found.head is not None
    return hub.read(repo, "README.md", found.head)


def publish(hub: Hub, directory: Path, repo: str, **options: object) -> tuple[Published | Plan, list[str]]:
    said: list[str] = []
    chosen = PushOptions(watched=True, **options)  # type: ignore[arg-type]
    return publish_to(Target(hub=hub), directory, repo, chosen, said.append), said


# The card on the Hub


def test_the_same_words_changed_in_two_places_stop_the_push(plain: Path, repo: str, hub: Hub) -> None:
    publish(hub, plain, repo)
    edited = card_on_hub(hub, repo).replace(b"# A small", b"# My small", 1)
    edit_on_hub(hub, repo, edited)
    (plain / "README.md").write_text(fake_adapter.CARD.replace("# A small", "# Our small"))
    before = {path: path.read_bytes() for path in plain.iterdir() if path.is_file()}
    with pytest.raises(errors.CardError, match="was changed on the Hub and here, each in its") as caught:
        publish(hub, plain, repo)
    assert caught.value.message.endswith(
        "lines under 'Our small adapter'"
        " (README.md, line 14: '# Our small adapter' here, '# My small adapter' there)"
    )
    assert caught.value.hint is not None
    assert "--dry-run shows" in caught.value.hint
    assert "--force" in str(caught.value.hint)
    assert "--create-pr" in str(caught.value.hint)
    assert card_on_hub(hub, repo) == edited
    assert {path: path.read_bytes() for path in plain.iterdir() if path.is_file()} == before

    shown, _ = publish(hub, plain, repo, dry_run=True)
    assert isinstance(shown, Plan)
    text = show_plan(shown)
    assert f"Would be refused: the card of {repo} was changed on the Hub and here" in text
    assert "\n-# My " in text

    proposed, _ = publish(hub, plain, repo, create_pr=True)
    assert isinstance(proposed, Published)
    with pytest.raises(errors.CardError, match="was changed on the Hub and here"):
        publish(hub, plain, repo)  # to propose a card is not to have seen the one that is there
    assert card_on_hub(hub, repo) == edited
    publish(hub, plain, repo, force=True)
    assert card_on_hub(hub, repo) == (plain / "README.md").read_bytes()


@pytest.mark.parametrize("kind", ["carded", "plain"])
def test_a_card_that_somebody_wrote_is_not_lost_at_the_first_push(
    kind: str, repo: str, hub: Hub, request: pytest.FixtureRequest
) -> None:
    hub.create_repo(repo, False)
    edit_on_hub(hub, repo, EDITED)
    with pytest.raises(errors.CardError, match="was written or edited there"):
        publish(hub, request.getfixturevalue(kind), repo)
    assert card_on_hub(hub, repo) == EDITED
    with pytest.raises(errors.CardError, match="was written or edited there"):
        Target(hub=hub).check(repo, PushOptions())  # and before the work, too
    for fine in (PushOptions(force=True), PushOptions(create_pr=True), PushOptions(dry_run=True)):
        Target(hub=hub).check(repo, fine)


@pytest.mark.parametrize("present", [regions.seal("# Old\n"), BOILERPLATE, "\n"])
def test_nobodys_card_is_replaced(present: str, plain: Path, repo: str, hub: Hub) -> None:
    hub.create_repo(repo, False)
    edit_on_hub(hub, repo, present.encode())
    publish(hub, plain, repo)
    assert card_on_hub(hub, repo) == (plain / "README.md").read_bytes()


def test_a_card_written_by_hand_and_pushed_by_hubkit_is_replaced(plain: Path, repo: str, hub: Hub) -> None:
    publish(hub, plain, repo, commit_message="My own title")
    edit_on_hub(hub, repo, b"x", "notes.txt")
    (plain / "README.md").write_text(fake_adapter.CARD + "\nMore.\n")
    publish(hub, plain, repo)
    assert card_on_hub(hub, repo).endswith(b"More.\n")
    edit_on_hub(hub, repo, EDITED)
    (plain / "README.md").write_text(fake_adapter.CARD + "\nAnd more.\n")
    with pytest.raises(errors.CardError, match="changed on the Hub and here"):
        publish(hub, plain, repo)


@pytest.mark.parametrize("force", [False, True])
def test_an_edit_between_two_tries_is_not_lost(
    force: bool, plain: Path, repo: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, plain, repo)
    (plain / "README.md").write_text(fake_adapter.CARD + "\nMore.\n")
    made = plan(plain, repo, hub, force=force)
    make, edits = applying.make_commit, iter([("notes.txt", b"x"), ("README.md", EDITED)])

    def late(*arguments: object, **options: object) -> object:
        path, content = next(edits)
        edit_on_hub(hub, repo, content, path)
        return make(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(applying, "make_commit", late)
    with pytest.raises(errors.HeadMoved, match=r"changed README\.md"):
        apply(made, hub)
    assert card_on_hub(hub, repo) == EDITED


def test_force_on_the_command_line(plain: Path, repo: str, hub: Hub, capsys: Captured) -> None:
    push = [
        "publish",
        "--adapter",
        str(plain),
        "--endpoint",
        hub.endpoint,
        "--token",
        ALICE,
        "--repo-id",
        repo,
    ]
    assert run(push) == 0
    edit_on_hub(hub, repo, EDITED)
    (plain / "README.md").write_text(ours := fake_adapter.CARD + "\nOurs.\n")
    capsys.readouterr()
    assert run(push) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run([*push, "--dry-run"]) == 1
    assert "Would be refused" in capsys.readouterr().out
    assert run([*push, "--force"]) == 0
    assert card_on_hub(hub, repo) == ours.encode()


# The card here


def test_a_card_older_than_its_record_is_refused(carded: Path, repo: str, hub: Hub) -> None:
    known = record.read(carded)
    known.author.description = "Another description."
    record.write(carded, known)
    with pytest.raises(errors.CardError, match="is not what the record and the adapter say now") as caught:
        plan(carded, repo, hub)
    assert caught.value.hint == f"hubkit card --adapter {carded}"
    assert run(["card", "--adapter", str(carded)]) == 0
    assert plan(carded, repo, hub).changes


def test_a_card_of_another_template_is_believed(carded: Path, repo: str, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text("---\n{{ front_matter }}---\n# Mine\n")
    card = render(facts.gather(carded), tmp_path / "mine.j2")
    assert regions.is_sealed(card)
    assert regions.has_own_template(card)
    assert not regions.has_own_template(render(facts.gather(carded), default_template()))
    (carded / "README.md").write_text(card, encoding="utf-8")
    _, said = publish(hub, carded, repo)
    assert any("was written for" in line for line in said) == (record.read(carded).repo_id is not None)
    assert card_on_hub(hub, repo) == card.encode()


def test_the_card_names_the_repo_it_goes_to(carded: Path, repo: str, hub: Hub) -> None:
    before = {path: path.read_bytes() for path in carded.iterdir() if path.is_file()}
    assert repo not in (carded / "README.md").read_text(encoding="utf-8")
    shown, said = publish(hub, carded, repo, dry_run=True)
    assert isinstance(shown, Plan)
    assert repo in shown.card_diff.partition("\n@@")[2]
    assert (said, shown.notes) == ([], [])
    assert {path: path.read_bytes() for path in carded.iterdir() if path.is_file()} == before
    with pytest.raises(errors.HubkitError, match="changed after the plan"):
        apply(shown, hub)  # the draft is not written

    done, said = publish(hub, carded, repo)
    assert isinstance(done, Published)
    assert said[0] == f"wrote {carded / 'README.md'} anew for {repo}"
    assert f'"{repo}"' in card_on_hub(hub, repo).decode()
    assert record.read(carded).repo_id == repo
    again, said = publish(hub, carded, repo)
    assert isinstance(again, Published)
    assert (again.nothing_to_do, said) == (True, [])


@pytest.mark.parametrize("fault", ["unreachable", "no right", "their card"])
def test_a_push_that_fails_leaves_the_adapter_as_it_was(
    fault: str, carded: Path, repo: str, hub: Hub
) -> None:
    before = {path: path.read_bytes() for path in carded.iterdir() if path.is_file()}
    if fault == "unreachable":
        hub = Hub("http://127.0.0.1:9", ALICE, patience=Patience(attempts=1))
    elif fault == "no right":
        repo = repo.replace("alice/", "bob/")
    else:
        hub.create_repo(repo, False)
        edit_on_hub(hub, repo, EDITED)
    said: list[str] = []
    with pytest.raises(errors.HubkitError):
        publish_to(Target(hub=hub), carded, repo, PushOptions(), said.append)
    assert said == []
    assert {path: path.read_bytes() for path in carded.iterdir() if path.is_file()} == before


def test_an_empty_form_is_refused(plain: Path, repo: str, hub: Hub) -> None:
    (plain / "README.md").write_text(BOILERPLATE)
    with pytest.raises(errors.CardError, match="empty form") as caught:
        plan(plain, repo, hub)
    assert caught.value.hint == f"hubkit card --adapter {plain}"


# What must not go out


def test_private_does_not_go_to_a_public_repo(plain: Path, repo: str, hub: Hub) -> None:
    hub.create_repo(repo, False)
    with pytest.raises(errors.HubError, match="is public, and --private cannot change that"):
        plan(plain, repo, hub, private=True)
    with pytest.raises(errors.HubError, match="is public"):
        Target(hub=hub).check(repo, PushOptions(private=True))
    assert plan(plain, repo, hub).visibility == "public"


def test_private_does_not_go_to_a_repo_that_became_public_meanwhile(plain: Path, repo: str, hub: Hub) -> None:
    made = plan(plain, repo, hub, private=True)
    hub.create_repo(repo, False)
    with pytest.raises(errors.HubError, match="is public"):
        apply(made, hub)
    assert len(HfApi(hub.endpoint, ALICE).list_repo_commits(repo)) == 1


@pytest.mark.parametrize(
    "path", ["/home/alice/models/base", "~/base", "./base", "../base", "..", "C:\\models\\base", "C:/base"]
)
@pytest.mark.parametrize(
    ("file", "key"),
    [("adapter_config.json", "base_model_name_or_path"), ("tokenizer_config.json", "name_or_path")],
)
def test_paths_in_place_of_models(file: str, key: str, path: str, plain: Path, repo: str, hub: Hub) -> None:
    record.write(plain, record.Record(base_model=record.BaseModel(id="org/base")))
    (plain / file).write_text(json.dumps({"peft_type": "LORA", key: path}))
    with pytest.raises(errors.HubkitError, match=f'"{key}" in .*{file} is a path of this machine') as caught:
        plan(plain, repo, hub)
    assert caught.value.hint == f'write the id on the Hub there: "{key}": "org/base"'


@pytest.mark.parametrize("path", ["/home/alice/x", "/Users/alice/x", "C:\\\\Users\\\\alice"])
def test_paths_of_a_home(path: str, plain: Path, repo: str, hub: Hub) -> None:
    (plain / "tokenizer_config.json").write_text(f'{{\n"cache": "{path}"}}')
    with pytest.raises(errors.HubkitError, match=r"paths of this machine: tokenizer_config\.json:2"):
        plan(plain, repo, hub)


def test_what_is_no_path_of_a_home(plain: Path, repo: str, hub: Hub) -> None:
    text = "https://example.com/home/alice/x /home/user/adapter /home/ /Users/you/x and C:\\Users\n"
    (plain / "README.md").write_text(fake_adapter.CARD + text)
    assert plan(plain, repo, hub).changes


# How it is said


def test_the_same_pull_request_is_opened_once(plain: Path, repo: str, hub: Hub) -> None:
    hub.create_repo(repo, False)
    first = apply(plan(plain, repo, hub, create_pr=True), hub)
    again = apply(plan(plain, repo, hub, create_pr=True), hub)
    assert (again.pull_request, again.address, again.commit) == (
        first.pull_request, first.pull_request, first.commit
    )  # fmt: skip
    assert again.nothing_to_do
    assert str(first.pull_request) in show_published(again)
    (plain / "README.md").write_text(fake_adapter.CARD + "\nMore.\n")
    third = apply(plan(plain, repo, hub, create_pr=True), hub)
    assert (third.pull_request, third.nothing_to_do) == (first.pull_request, False)
    assert hub.read(repo, "README.md", third.commit).endswith(b"More.\n")
    assert third.commit != first.commit


def test_the_local_hub_in_place_of_the_hub_is_never_silent(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["publish", "--adapter", "plain", "-q"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert err == "No Hub token found; publishing to the local Hub in ./local-hub instead.\n"
    assert run(["publish", "--adapter", "plain", "-q", "--dry-run"]) == 0
    assert "this plans for the local Hub in ./local-hub instead" in capsys.readouterr().err


@pytest.mark.parametrize("token", ["", " \n"])
def test_an_empty_token_is_an_error(
    token: str, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["publish", "--adapter", "plain", "--token", token]) == 2
    assert "--token is empty" in capsys.readouterr().err
    assert not (tmp_path / "local-hub").exists()


@pytest.mark.parametrize("fault", ["missing", "no card", "a path"])
def test_the_directory_is_read_before_a_hub_is_made(
    fault: str, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if fault == "no card":
        (plain / "README.md").unlink()
    elif fault == "a path":
        (plain / "tokenizer_config.json").write_text('{"name_or_path": "/x"}')
    assert run(["publish", "--adapter", "none" if fault == "missing" else "plain"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_a_file_where_the_local_hub_keeps_its_repos(plain: Path, tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "repos").write_text("in the way")
    code, err = command_line("publish", "--adapter", str(plain), "--local-hub", str(tmp_path / "hub"))
    assert code == 2
    assert "holds other files, and no local Hub" in err
    assert err.count("\n") == 1


FULL = """
import errno, os, sys
from hubkit.cli.main import run
def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
assert run(sys.argv[1:]) == 0
os.fsync = full
open(sys.argv[3] + "/README.md", "a").write("More.\\n")
sys.exit(run(sys.argv[1:]))
"""


def test_a_full_disk_under_the_local_hub_is_one_line(plain: Path, tmp_path: Path) -> None:
    code, err = command_line(
        "publish", "--adapter", str(plain), "--local-hub", str(tmp_path / "hub"), "-q", code=FULL
    )
    assert code == 2
    assert "No space left on device" in err
    assert err.count("\n") == 1


def command_line(
    *arguments: str, code: str = "from hubkit.cli.main import entry; entry()"
) -> tuple[int, str]:
    """The exit code of hubkit in a process of its own, where no handler of pytest's takes the log."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert time.monotonic() - started < 20  # it does not ask again and again
    return done.returncode, done.stderr


def test_a_card_with_an_authors_text_is_pushed_and_one_edited_inside_is_not(
    carded: Path, repo: str, hub: Hub
) -> None:
    path = carded / "README.md"
    text = path.read_text(encoding="utf-8").replace(
        "<!-- hubkit:begin usage", "Mine.\n\n<!-- hubkit:begin usage"
    )
    path.write_text(text, encoding="utf-8")
    publish(hub, carded, repo)
    pushed = card_on_hub(hub, repo).decode()
    assert "Mine.\n\n<!-- hubkit:begin usage" in pushed
    assert repo in pushed
    assert record.read(carded).written is not None
    path.write_text(pushed.replace("## Limitations", "## Limits"), encoding="utf-8")
    for other in (repo, f"{repo}-other"):
        with pytest.raises(errors.CardError, match='region "limitations" was edited by hand') as caught:
            publish(hub, carded, other)
        assert caught.value.hint == f"hubkit card --adapter {carded} shows the edit and the ways out"
    path.write_text(pushed.replace("Mine.", "Mine, and more."), encoding="utf-8")
    publish(hub, carded, repo)
    assert "Mine, and more." in card_on_hub(hub, repo).decode()


def test_a_region_that_was_taken_out_on_the_hub_is_not_brought_back(
    carded: Path, repo: str, hub: Hub
) -> None:
    publish(hub, carded, repo)
    pushed = card_on_hub(hub, repo)
    begin, end = pushed.index(b"<!-- hubkit:begin citation"), pushed.index(b"<!-- hubkit:begin license")
    cut = pushed[:begin] + pushed[end:]
    edit_on_hub(hub, repo, cut)
    known = record.read(carded)
    known.author.title = "New"
    record.write(carded, known)
    assert run(["card", "--adapter", str(carded), "--quiet"]) == 0
    done, _ = publish(hub, carded, repo)
    assert isinstance(done, Published)
    assert 'region "citation" taken out' in str(done.merged)
    now = card_on_hub(hub, repo)
    assert b"# New" in now
    assert b"hubkit:begin citation" not in now
    assert b"hubkit:begin license" in now


@pytest.mark.parametrize("before", ["", "\n", " \r\n", "\ufeff"])
def test_metadata_is_held_to_the_rules_wherever_it_begins(
    before: str, plain: Path, repo: str, hub: Hub
) -> None:
    (plain / "README.md").write_text(f"{before}---\nlicense: nonsense\n---\n# Mine\n", encoding="utf-8")
    with pytest.raises(errors.CardError, match=r"the Hub would refuse .*\"license\""):
        publish(hub, plain, repo)
