"""A run of the card's code is told only where that very code stands on the card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import tiny
from card_cases import CASES
from test_verify_snippets import a_run

from hubkit import localhub, pipeline, record
from hubkit.audit import rules, subject
from hubkit.card import snippets
from hubkit.cli.main import run
from hubkit.errors import SnippetError
from hubkit.verify import process, usage

pytestmark = pytest.mark.real  # long together; nothing here needs real weights

SAID = "This code was run on 2026-11-20"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter with a card that shows a run of its code."""
    directory = CASES["causal-lora"](tmp_path / "adapter")
    recorded(directory, a_run(directory))
    assert card(directory) == 0
    assert SAID in text_of(directory)
    return directory


def card(directory: Path, *arguments: str) -> int:
    return run(["card", "--adapter", str(directory), "-q", *arguments])


def text_of(directory: Path) -> str:
    return (directory / "README.md").read_text()


def recorded(directory: Path, ran: record.UsageRun | None) -> None:
    record.write(directory, msgspec.structs.replace(record.read(directory), usage=ran))


def change(directory: Path, old: str, new: str) -> None:
    assert old in text_of(directory)
    (directory / "README.md").write_text(text_of(directory).replace(old, new))


def edit_code(directory: Path) -> None:
    change(directory, "\nmodel = PeftModel", "\n# by hand\nmodel = PeftModel")


def without(directory: Path, name: str) -> None:
    text = text_of(directory)
    start, end = text.index(f"<!-- hubkit:begin {name} -->"), text.index(f"<!-- hubkit:end {name} ")
    (directory / "README.md").write_text(text[:start] + text[text.index("\n", end) + 1 :])


def codes(directory: Path) -> list[str]:
    return [found.code for found in rules.findings(subject.load(directory / "README.md"))]


def test_code_that_the_author_keeps_is_not_said_to_have_run(adapter: Path) -> None:
    before = text_of(adapter)
    edit_code(adapter)
    assert codes(adapter) == ["HK603", "HK607"]
    assert card(adapter, "--keep") == 0
    kept = text_of(adapter)
    assert "# by hand" in kept
    assert SAID not in kept
    assert "Output:" not in kept
    assert "begin output" not in kept
    assert codes(adapter) == []
    assert card(adapter, "--check") == 0

    blocks = snippets.python_blocks(kept)
    recorded(adapter, a_run(adapter, snippet_sha256=snippets.sha256(blocks), output="by hand"))
    assert card(adapter) == 0
    assert "# by hand" in text_of(adapter)
    assert "Output:\n\n```text\nby hand\n```\n\n" + SAID in text_of(adapter)
    assert codes(adapter) == []
    assert card(adapter, "--check") == 0

    assert card(adapter, "--force") == 0
    assert SAID not in text_of(adapter)
    recorded(adapter, a_run(adapter))
    assert card(adapter) == 0
    assert text_of(adapter) == before


@pytest.mark.parametrize("gone", [["usage"], ["usage", "output"]])
def test_an_output_goes_with_the_code_that_printed_it(gone: list[str], adapter: Path) -> None:
    before = text_of(adapter)
    for name in gone:
        without(adapter, name)
    assert card(adapter) == 0
    assert SAID not in text_of(adapter)
    assert "begin usage" not in text_of(adapter)
    assert card(adapter, "--check") == 0
    assert card(adapter, "--restore") == 0
    assert SAID in text_of(adapter)
    assert text_of(adapter).split() == before.split()


def test_an_output_that_the_author_took_out_stays_out(adapter: Path) -> None:
    without(adapter, "output")
    assert card(adapter) == 0
    assert SAID not in text_of(adapter)
    assert "begin usage" in text_of(adapter)


def other_code(directory: Path) -> None:
    recorded(directory, a_run(directory, snippet_sha256="0" * 64))


def other_adapter(directory: Path) -> None:
    recorded(directory, a_run(directory, adapter_sha256="0" * 64))


def no_run(directory: Path) -> None:
    recorded(directory, None)


def in_the_region_of_the_code(directory: Path) -> None:
    """As cards were written before the output was a region of its own."""
    without(directory, "output")
    change(directory, "<!-- hubkit:end usage ", f"{SAID} with Python 3.11.7.\n\n<!-- hubkit:end usage ")
    edit_code(directory)
    assert card(directory, "--keep") == 0


@pytest.mark.parametrize("spoil", [other_code, other_adapter, no_run, in_the_region_of_the_code])
def test_the_audit_finds_an_output_of_other_code(spoil: Callable[[Path], None], adapter: Path) -> None:
    assert codes(adapter) == []
    spoil(adapter)
    assert codes(adapter) == ["HK607"]


def test_a_run_of_a_foreign_card_reports_once_and_says_what_was_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = CASES["causal-lora"](tmp_path / "adapter")
    block = "```python\nmine()\n```\n"
    (directory / "README.md").write_text(f"# Mine\n\nMy words.\n\n{block}\n## More\n\n{block}")
    monkeypatch.setattr(usage, "verify", lambda *_: a_run(directory))
    assert run(["card", "--adapter", str(directory), "--verify-usage"]) == 0
    said = capsys.readouterr().err
    assert "@@" in said
    assert said.count("Still missing") == 1
    assert "a run of its code" not in said
    assert "2 blocks of Python outside hubkit's markers were not run.\n" in said
    assert SAID in text_of(directory)


def test_a_failure_names_the_way_out_of_the_command_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = process.Ended(None, b"", b"boom", 0.1, 1)
    with pytest.raises(SnippetError, match="ended before it was done: boom") as caught:
        usage._check(ended, tmp_path, [], usage.Options(), {})
    assert caught.value.hint == "mend it, then run the command again"
    slow = process.Ended(None, b"", b"", 1.0, None)
    with pytest.raises(SnippetError, match="within 1 second \\("):
        usage._check(slow, tmp_path, [], usage.Options(time_limit=1), {})

    def fail(*_: object) -> None:
        raise caught.value

    monkeypatch.setattr(usage, "verify_and_record", fail)
    monkeypatch.setattr(usage, "has_code", lambda _: True)
    monkeypatch.setattr(usage, "has_run", lambda _: False)
    one = tiny.run("causal-lm", tmp_path, tmp_path)
    with pytest.raises(SnippetError) as raised:
        pipeline.try_code(one, localhub.start, print)
    assert raised.value.hint == f"{caught.value.hint}; --no-verify-usage goes on without it"
