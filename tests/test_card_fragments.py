"""The author's texts as files beside the adapter."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec
import pytest
from card_cases import CASES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubkit import record
from hubkit.card import fragments
from hubkit.card.facts import gather
from hubkit.card.render import render
from hubkit.cli.main import run
from hubkit.errors import CardError, HubkitError
from hubkit.publishing.contents import is_published
from hubkit.publishing.draft import draft


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return CASES["causal-lora"](tmp_path / "a")


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / "card" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_every_text_has_a_file_and_a_place_on_the_card(directory: Path) -> None:
    for text in fragments.TEXTS:
        write(directory, fragments.name_of(text).removeprefix("card/"), f"These are words on {text}.\n")
    card = render(gather(directory))
    for text in fragments.TEXTS:
        assert f"These are words on {text}." in card.replace("\\_", "_"), text


def test_a_file_wins_over_the_record_and_is_not_copied_by_making_a_card(directory: Path) -> None:
    write(directory, "intended-use.md", "\n## Mine\n\nFor *me*.\n\n")
    card = render(gather(directory))
    assert "## Intended use\n\n## Mine\n\nFor *me*.\n\n<!-- hubkit:end" in card
    assert "To continue English prose" not in card
    assert run(["card", "--adapter", str(directory), "-q"]) == 0
    assert (
        record.read(directory).author.intended_use
        == "To continue English prose about Python, as a small example of an adapter."
    )
    assert run(["card", "--adapter", str(directory), "--check", "-q"]) == 0


@pytest.mark.parametrize("text", ["", " \n\n", "<!-- What is it for? -->\n"])
def test_an_empty_file_says_nothing(text: str, directory: Path) -> None:
    before = render(gather(directory))
    write(directory, "intended-use.md", text)
    write(directory, ".DS_Store", "x")
    assert render(gather(directory)) == before


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("intended_use.md", "did you mean intended-use.md?"),
        ("risk.md", "did you mean risks.md?"),
        ("zzz", "the names are"),
    ],
)
def test_an_unknown_file_is_an_error_that_names_the_nearest(name: str, hint: str, directory: Path) -> None:
    write(directory, name, "x")
    with pytest.raises(CardError, match="is no text that a card has") as raised:
        gather(directory)
    assert hint in str(raised.value)


def test_what_cannot_be_read_is_an_error(directory: Path) -> None:
    write(directory, "risks.md", "x").write_bytes(b"\xff")
    with pytest.raises(CardError, match="not UTF-8"):
        gather(directory)
    (directory / "card" / "risks.md").unlink()
    (directory / "card" / "risks.md").mkdir()
    with pytest.raises(CardError, match="is no text of"):
        gather(directory)


def test_an_option_that_would_lose_is_refused(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(directory, "risks.md", "Some.")
    assert run(["card", "--adapter", str(directory), "--risks", "Others."]) == 2
    said = capsys.readouterr().err
    assert "--risks and " in said
    assert "both say it" in said
    assert not (directory / "README.md").exists()


def test_what_is_published_says_it_without_the_files(directory: Path) -> None:
    assert not any(is_published(fragments.name_of(text)) for text in fragments.TEXTS)
    write(directory, "risks.md", "Some.")
    drafted = draft(directory, "ada/mine")
    assert drafted.record.author.risks == "Some."
    drafted.write(directory)
    card = (directory / "README.md").read_text()
    (directory / "card" / "risks.md").rename(directory / "kept")
    (directory / "card").rmdir()
    assert (
        render(gather(directory)).partition("hubkit:begin risks")[2]
        == card.partition("hubkit:begin risks")[2]
    )
    (directory / "card").mkdir()  # the author took the text out
    assert "Risks and bias" not in render(gather(directory))
    assert draft(directory, "ada/mine").record.author.risks is None


def test_a_record_that_tells_of_the_card_alone_is_none(directory: Path) -> None:
    (directory / "hubkit.json").unlink()
    told = msgspec.structs.replace(record.Record(), author_files=["risks"])
    assert not gather(directory, record=told).has_record


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(
    name=st.one_of(st.sampled_from(sorted(fragments.NAMES)), st.text("abc-.d", min_size=1, max_size=8)),
    text=st.text(),
)
def test_any_file_is_read_or_one_line_of_error(name: str, text: str, directory: Path) -> None:
    if name in (".", ".."):
        return
    path = write(directory, name, text)
    said = ""
    try:
        assert render(gather(directory))
    except HubkitError as error:
        said = str(error)
    assert "\n" not in said
    path.unlink()


def test_the_docs_name_every_file() -> None:
    docs = (Path(__file__).parent.parent / "docs" / "examples.md").read_text()
    assert set(re.findall(r"`(card/[a-z-]+\.md)`", docs)) == {
        fragments.name_of(text) for text in fragments.TEXTS
    }
    for link in re.findall(r"\]\(\.\./([^)]+)\)", docs):
        assert (Path(__file__).parent.parent / link).is_file(), link


def test_a_comment_for_the_audit_stays_a_comment(directory: Path) -> None:
    write(directory, "risks.md", "<!-- hubkit:ignore HK503 -->\nSome.")
    assert "<!-- hubkit:ignore HK503 -->\nSome." in render(gather(directory))


def test_a_link_that_leads_out_is_not_followed(directory: Path, tmp_path: Path) -> None:
    secret = tmp_path / "id_rsa"
    secret.write_text("a key of the reader's")
    (directory / "card").mkdir()
    (directory / "card" / "risks.md").symlink_to(secret)
    with pytest.raises(CardError, match="leads out of the directory"):
        gather(directory)
    (directory / "card" / "risks.md").unlink()
    (directory / "card").rmdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "risks.md").write_text("a text of the reader's")
    (directory / "card").symlink_to(tmp_path / "texts")
    with pytest.raises(CardError, match="leads out of the directory"):
        gather(directory)


def test_what_is_no_text_of_a_card_is_not_read(directory: Path) -> None:
    path = write(directory, "risks.md", "x" * (fragments.LARGEST + 1))
    with pytest.raises(CardError, match="is no text of at most"):
        gather(directory)
    path.unlink()
    os.mkfifo(path)  # reading it would never end
    with pytest.raises(CardError, match="is no text of at most"):
        gather(directory)


def test_a_byte_order_mark_is_not_text(directory: Path) -> None:
    path = write(directory, "risks.md", "")
    path.write_bytes(b"\xef\xbb\xbfIt may be wrong.\n")
    assert gather(directory).author.risks == "It may be wrong."
