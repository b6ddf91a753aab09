"""A card that was edited on the Hub: its author's words stay, and the card here gets them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import fake_adapter
import pytest
from card_cases import CASES
from conftest import ALICE
from huggingface_hub import CommitOperationAdd, HfApi

from hubkit import errors, record
from hubkit.card import regions
from hubkit.cli.main import run
from hubkit.hub import Hub
from hubkit.publishing import Plan, Published, PushOptions, Target, publish_to, replaced
from hubkit.publishing import apply as applying
from hubkit.publishing.show import show_plan

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

pytestmark = [
    pytest.mark.filterwarnings("ignore:Warnings while validating metadata"),
    pytest.mark.filterwarnings("ignore:Use .content=<...>. to upload raw bytes:DeprecationWarning"),
]
NOTES = "\n## Notes\n\nOne.\n\n## Thanks\n\nTwo.\n"
numbers = itertools.count(40_000)


@pytest.fixture
def repo() -> str:
    return f"alice/merge-{next(numbers)}"


@pytest.fixture
def hub(alice_hub: RunningHub) -> Hub:
    return Hub(alice_hub.endpoint, ALICE)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """An adapter whose card somebody wrote by hand."""
    return fake_adapter.write(tmp_path / "plain", card=fake_adapter.CARD + NOTES)


@pytest.fixture
def carded(tmp_path: Path) -> Path:
    """An adapter with a card of hubkit's."""
    directory = CASES["causal-lora"](tmp_path / "adapter")
    assert run(["card", "--adapter", str(directory), "--no-figures", "-q"]) == 0
    return directory


def publish(hub: Hub, directory: Path, repo: str, **options: object) -> tuple[Published, list[str]]:
    said: list[str] = []
    chosen = PushOptions(watched=True, **options)  # type: ignore[arg-type]
    done = publish_to(Target(hub=hub), directory, repo, chosen, said.append)
    assert isinstance(done, Published)
    return done, said


def planned(hub: Hub, directory: Path, repo: str, **options: object) -> Plan:
    chosen = PushOptions(watched=True, dry_run=True, **options)  # type: ignore[arg-type]
    made = publish_to(Target(hub=hub), directory, repo, chosen, lambda _: None)
    assert isinstance(made, Plan)
    return made


def there(hub: Hub, repo: str, path: str = "README.md") -> str:
    found = hub.repo(repo)
    assert found is not None
    assert found.head is not None
    return hub.read(repo, path, found.head).decode()


def edit_there(hub: Hub, repo: str, *edits: tuple[str, str], path: str = "README.md") -> str:
    """Edit a file in the Hub's web editor, as one does."""
    text = there(hub, repo, path)
    for was, now in edits:
        assert text.count(was) == 1, was
        text = text.replace(was, now)
    put_there(hub, repo, path, text.encode())
    return text


def put_there(hub: Hub, repo: str, path: str, content: bytes) -> None:
    added = [CommitOperationAdd(path, content)]
    HfApi(hub.endpoint, ALICE).create_commit(repo, added, commit_message=f"Update {path}")


def edit_here(directory: Path, was: str, now: str) -> None:
    path = directory / "README.md"
    text = path.read_text(encoding="utf-8")
    assert text.count(was) == 1, was
    path.write_text(text.replace(was, now), encoding="utf-8")


def commits(hub: Hub, repo: str) -> list[str]:
    return [made.title for made in HfApi(hub.endpoint, ALICE).list_repo_commits(repo)][::-1]


def assert_at_rest(hub: Hub, directory: Path, repo: str) -> None:
    """The Hub's card is the one here, and neither `card` nor `publish` finds anything to change."""
    assert there(hub, repo) == (directory / "README.md").read_text(encoding="utf-8")
    assert there(hub, repo, "hubkit.json") == (directory / "hubkit.json").read_text(encoding="utf-8")
    if "hubkit:card" in there(hub, repo):
        assert run(["card", "--adapter", str(directory), "--check", "-q"]) == 0
    before = commits(hub, repo)
    done, said = publish(hub, directory, repo)
    assert (done.nothing_to_do, said) == (True, [])
    assert commits(hub, repo) == before


def test_edits_here_and_there_are_joined(plain: Path, repo: str, hub: Hub) -> None:
    publish(hub, plain, repo)
    edit_there(hub, repo, ("One.", "One, there."), ("- lora\n", "- lora\n- there\n"))
    edit_here(plain, "Two.", "Two, here.")
    shown = show_plan(planned(hub, plain, repo))
    assert "Card      kept 2 edits made on the Hub: tags, lines under 'Notes'" in shown
    assert "One.\n" in (plain / "README.md").read_text()  # a dry run writes nothing
    done, said = publish(hub, plain, repo)
    assert said == [
        f"{done.merged}; also in {plain / 'README.md'} now",
        f"lines of {plain / 'README.md'} went; what it held before is in README.md.orig",
    ]
    assert "One.\n\n## Thanks\n\nTwo, here.\n" in (plain / "README.md.orig").read_text()
    assert "README.md.orig" not in str(hub.files(repo, done.commit))
    assert "One, there." in there(hub, repo)
    assert "Two, here." in there(hub, repo)
    assert "- there\n" in there(hub, repo)
    assert_at_rest(hub, plain, repo)


def test_edits_there_alone_are_taken_over(plain: Path, repo: str, hub: Hub) -> None:
    publish(hub, plain, repo)
    edited = edit_there(hub, repo, ("One.", "One, there."))
    publish(hub, plain, repo)
    assert there(hub, repo) == edited
    assert_at_rest(hub, plain, repo)
    edit_here(plain, "One, there.", "One, here.")  # what came from there may be edited here
    publish(hub, plain, repo)
    assert "One, here." in there(hub, repo)
    assert_at_rest(hub, plain, repo)


def test_another_card_in_its_place_is_no_edit(carded: Path, repo: str, hub: Hub) -> None:
    publish(hub, carded, repo)
    before = (carded / "README.md").read_text(encoding="utf-8")
    put_there(hub, repo, "README.md", b"---\nlicense: mit\n---\n# Mine\n\nWords.\n")
    made = planned(hub, carded, repo)
    assert str(made.refused).startswith("somebody put another card in the place of the one of")
    assert "--create-pr" in str(made.refused_hint)
    assert "--force" in str(made.refused_hint)
    with pytest.raises(errors.CardError, match="another card"):
        publish(hub, carded, repo)
    assert (carded / "README.md").read_text(encoding="utf-8") == before
    (carded / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n\nWords.\n\nAnd more.\n")
    assert planned(hub, carded, repo).refused is None  # it was taken over
    (carded / "README.md").write_text(before, encoding="utf-8")
    _, said = publish(hub, carded, repo, force=True)
    assert there(hub, repo) == before
    assert said[0].startswith(
        "Note: replaces the card that somebody put there instead of the published one; "
    )
    HfApi(hub.endpoint, ALICE).delete_file("README.md", repo)
    assert (
        f"README.md of {repo} was deleted on the Hub, and is put there again"
        in planned(hub, carded, repo).notes
    )


def test_what_counts_as_another_card() -> None:
    lines = [f"Line {n}.\n\n" for n in range(6)]
    card = "---\nlicense: mit\n---\n" + "".join(lines)
    assert not replaced.is_another(card, "".join(lines[:3]) + "Mine.\n")
    assert replaced.is_another(card, "".join(lines[:2]) + "Mine.\n")
    assert not replaced.is_another("".join(lines[:4]), "Mine.\n")  # so short a card is edited as a whole
    marked = card + regions.region("usage", "Text.\n")
    assert not replaced.is_another(marked, marked.replace("Text.", "Mine."))
    assert replaced.is_another(marked, card)
    assert replaced.is_taken_over(card, "# Mine\n\nWords.\n\nMore.\n", "# Mine\n\nWords.\n")
    assert not replaced.is_taken_over(card, card + "# Mine\n", "# Mine\n\nWords.\n")
    assert not replaced.is_taken_over(card, card, "".join(lines[:2]))  # cut down, and by nobody here


def test_hubkits_card_keeps_what_was_edited_on_the_hub(carded: Path, repo: str, hub: Hub) -> None:
    publish(hub, carded, repo)
    region = "<!-- hubkit:begin usage"
    edit_there(hub, repo, (region, f"Mine, from the browser.\n\n{region}"), ("## Limitations", "## Limits"))
    known = record.read(carded)
    known.author.title = "Another title"
    record.write(carded, known)
    assert run(["card", "--adapter", str(carded), "-q"]) == 0
    done, _ = publish(hub, carded, repo)
    assert 'region "limitations"' in str(done.merged)
    card = there(hub, repo)
    assert "Mine, from the browser.\n\n<!-- hubkit:begin usage" in card
    assert "## Limits\n" in card
    assert "# Another title" in card
    assert " kept -->" in card
    assert_at_rest(hub, carded, repo)


def test_metadata_that_was_changed_on_the_hub_stays(carded: Path, repo: str, hub: Hub) -> None:
    publish(hub, carded, repo)
    first = there(hub, repo)
    assert "\nlicense: " in first
    license_line = next(line for line in first.splitlines() if line.startswith("license: "))
    edit_there(
        hub,
        repo,
        (f"{license_line}\n", "license: mit\n"),
        ("\ntags:\n", "\nthumbnail: x.png\ntags:\n- mine\n"),
    )
    known = record.read(carded)
    known.author.tags = ["from-here"]
    record.write(carded, known)
    assert run(["card", "--adapter", str(carded), "-q"]) == 0
    publish(hub, carded, repo)
    card = there(hub, repo)
    for line in ("license: mit", "thumbnail: x.png", "- mine", "- from-here"):
        assert f"\n{line}\n" in card, line
    assert_at_rest(hub, carded, repo)


def test_metadata_that_was_taken_out_on_the_hub_stays_out(carded: Path, repo: str, hub: Hub) -> None:
    publish(hub, carded, repo)
    (license_line,) = [line for line in there(hub, repo).splitlines() if line.startswith("license: ")]
    edit_there(hub, repo, ("- lora\n", ""))
    edit_there(hub, repo, (f"{license_line}\n", ""))
    known = record.read(carded)
    known.author.tags = ["from-here"]
    record.write(carded, known)
    assert run(["card", "--adapter", str(carded), "-q"]) == 0
    publish(hub, carded, repo)
    head = there(hub, repo).split("---")[1]
    assert "license:" not in head
    assert "- lora\n" not in head
    assert "- from-here\n" in head
    assert_at_rest(hub, carded, repo)


def test_the_joined_card_is_audited(plain: Path, repo: str, hub: Hub) -> None:
    publish(hub, plain, repo)
    edited = edit_there(hub, repo, ("One.\n", "One.\n\n## LoRA configuration\n\n- **Rank (r):** 3\n"))
    edit_here(plain, "Two.", "Two, here.")
    made = planned(hub, plain, repo)
    assert "HK202" in str(made.refused)
    (lie,) = [one for one in made.findings if one.severity == "error"]
    line = edited.split("\n").index("- **Rank (r):** 3") + 1
    assert (lie.code, lie.line) == ("HK202", line)
    with pytest.raises(errors.CardError, match=rf"{repo} was edited on the Hub and is false .* HK202") as no:
        publish(hub, plain, repo)
    assert "--force" in str(no.value.hint)
    assert "Two.\n" in there(hub, repo)
    forced = planned(hub, plain, repo, force=True)
    assert forced.refused is None
    assert forced.notes[0].startswith(
        "replaces what was edited on the Hub: lines under 'LoRA configuration'; "
    )


def test_a_card_from_another_directory_is_not_overwritten(
    plain: Path, tmp_path: Path, repo: str, hub: Hub
) -> None:
    """Two directories of one adapter: what the one published, the other has never seen."""
    other = fake_adapter.write(tmp_path / "other", card=fake_adapter.CARD + NOTES + "\nOf another.\n")
    publish(hub, other, repo)
    with pytest.raises(errors.CardError, match="not published from this directory") as no:
        publish(hub, plain, repo)
    assert str(no.value.hint).startswith("check --repo-id; ")
    assert "Of another." in there(hub, repo)


@pytest.mark.soak
def test_copies_of_a_published_directory_are_joined(plain: Path, tmp_path: Path, repo: str, hub: Hub) -> None:
    publish(hub, plain, repo)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in plain.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    edit_here(plain, "One.", "One, of the first.")
    edit_here(copy, "Two.", "Two, of the copy.")
    publish(hub, plain, repo)
    publish(hub, copy, repo)
    assert "One, of the first." in there(hub, repo)
    assert "Two, of the copy." in there(hub, repo)
    publish(hub, plain, repo)
    assert_at_rest(hub, plain, repo)


def test_a_push_that_failed_does_not_forget_what_came_before(
    plain: Path, repo: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, plain, repo)
    edit_there(hub, repo, ("One.", "One, there."))
    edit_here(plain, "Two.", "Two, here.")

    def fail(*_: object, **__: object) -> None:
        raise errors.HubUnreachable("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(applying, "make_commit", fail)
        with pytest.raises(errors.HubUnreachable):
            publish(hub, plain, repo)
    edit_there(hub, repo, ("# A small", "# A large"))
    publish(hub, plain, repo)
    card = there(hub, repo)
    assert all(words in card for words in ("One, there.", "Two, here.", "# A large"))
    assert_at_rest(hub, plain, repo)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"<!-- hubkit:begin usage -->\n"])
def test_a_card_there_that_cannot_be_read_stops_the_push(
    content: bytes, plain: Path, repo: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(hub, plain, repo)
    edit_there(hub, repo, ("One.", "One, there."))
    edit_here(plain, "Two.", "Two, here.")
    read = hub.read
    now = there(hub, repo).encode()

    def served(*asked: str) -> bytes:
        found = read(*asked)
        return content if found == now else found

    monkeypatch.setattr(hub, "read", served)
    with pytest.raises(errors.CardError, match=f"the card of {repo} on the Hub"):
        publish(hub, plain, repo)


# Somebody commits between the plan and the commit


@pytest.fixture
def meddle(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Let something happen right before the next tries to commit; the list counts the tries."""

    def between(*happens: Callable[[], object]) -> list[int]:
        make, left, tries = applying.make_commit, list(happens), [0]

        def late(*arguments: object, **options: object) -> object:
            tries[0] += 1
            if left:
                left.pop(0)()
            return make(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(applying, "make_commit", late)
        return tries

    return between


def test_what_was_edited_meanwhile_is_joined(
    plain: Path, repo: str, hub: Hub, meddle: Callable[..., list[int]]
) -> None:
    publish(hub, plain, repo)
    edit_here(plain, "Two.", "Two, here.")
    tries = meddle(
        lambda: edit_there(hub, repo, ("One.", "One, there.")),
        lambda: edit_there(hub, repo, ("One, there.", "One, there again.")),
        lambda: put_there(hub, repo, "notes.txt", b"theirs"),
    )
    done, said = publish(hub, plain, repo)
    assert tries == [4]
    assert "One, there again." in there(hub, repo)
    assert "Two, here." in there(hub, repo)
    assert there(hub, repo, "notes.txt") == "theirs"
    assert said[0].startswith(f"somebody else committed to {repo} meanwhile; the plan is now:\nRepo ")
    assert "kept 1 edit made on the Hub: lines under 'Notes'" in said[1]
    assert done.nothing_to_do is False
    assert_at_rest(hub, plain, repo)


def test_the_same_place_edited_meanwhile_stops_the_push(
    plain: Path, repo: str, hub: Hub, meddle: Callable[..., list[int]]
) -> None:
    publish(hub, plain, repo)
    edit_here(plain, "Two.", "Two, here.")
    meddle(lambda: edit_there(hub, repo, ("Two.", "Two, there.")))
    with pytest.raises(errors.HeadMoved, match=r"and so did you: lines under 'Thanks' \(README.md, line "):
        publish(hub, plain, repo)
    assert "Two, there." in there(hub, repo)


@pytest.mark.soak
def test_a_head_that_moves_at_each_try(
    plain: Path, repo: str, hub: Hub, meddle: Callable[..., list[int]]
) -> None:
    publish(hub, plain, repo)
    edit_here(plain, "Two.", "Two, here.")
    edits = [f"One, {n}." for n in range(5)]
    steps = itertools.pairwise(["One.", *edits])
    tries = meddle(*(lambda was=was, now=now: edit_there(hub, repo, (was, now)) for was, now in steps))
    with pytest.raises(errors.HeadMoved, match="it moved at each of 4 tries"):
        publish(hub, plain, repo)
    assert tries == [4]
    assert "One, 3." in there(hub, repo)
    publish(hub, plain, repo)  # the fifth edit comes first, and then nobody else
    assert "One, 4." in there(hub, repo)
    assert "Two, here." in there(hub, repo)


def test_weights_that_were_changed_meanwhile_are_not_overwritten(
    plain: Path, repo: str, hub: Hub, meddle: Callable[..., list[int]]
) -> None:
    publish(hub, plain, repo)
    fake_adapter.write(plain, seed=7, card=(plain / "README.md").read_text())
    theirs = fake_adapter.weights(seed=8)
    meddle(lambda: put_there(hub, repo, "adapter_model.safetensors", theirs))
    with pytest.raises(errors.HeadMoved, match=r"somebody else changed adapter_model\.safetensors"):
        publish(hub, plain, repo)


def test_a_commit_right_after_ours_is_no_error(
    plain: Path, repo: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = applying.make_commit

    def then(*arguments: object, **options: object) -> object:
        made = make(*arguments, **options)  # type: ignore[arg-type]
        put_there(hub, repo, "README.md", b"---\nlicense: mit\n---\n# Theirs\n")
        return made

    monkeypatch.setattr(applying, "make_commit", then)
    done, _ = publish(hub, plain, repo)
    assert hub.read(repo, "README.md", done.commit) == (plain / "README.md").read_bytes()
    assert "# Theirs" in there(hub, repo)


def test_what_the_adapter_contradicts_gives_way_and_is_said(carded: Path, repo: str, hub: Hub) -> None:
    publish(hub, carded, repo)
    (line,) = [line for line in there(hub, repo).splitlines() if line.startswith("base_model: ")]
    edit_there(hub, repo, (f"\n{line}\n", "\nbase_model: org/another\n"), ("- lora\n", "- lora\n- mine\n"))
    done, said = publish(hub, carded, repo)
    assert done.merged == "kept 1 edit made on the Hub: tags"
    assert any(one.startswith("Note: base_model: ") and "in place of org/another" in one for one in said)
    assert f"\n{line}\n" in there(hub, repo)
    assert "\n- mine\n" in there(hub, repo)
    assert_at_rest(hub, carded, repo)
