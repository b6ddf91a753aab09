"""Cards that were true once: edited by hand, older than the record, or of other weights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from card_cases import CASES

from hubkit import record as records
from hubkit.audit import rules, subject
from hubkit.audit.findings import Finding
from hubkit.card import facts, regions
from hubkit.card.render import render
from hubkit.cli.main import run

_COMMENT = re.compile(r"^<!-- hubkit:.*-->\n", re.MULTILINE)
_DIGEST = re.compile(r"(<!-- hubkit:end [a-z0-9-]+) sha256=[0-9a-f]{16}")
_CARD = re.compile(r"^<!-- hubkit:card .*-->\n?", re.MULTILINE)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    directory = CASES["causal-lora"](tmp_path / "adapter")
    record = records.read(directory)
    assert record.measures.size
    record.measures.size.adapter_weights_bytes = (directory / "adapter_model.safetensors").stat().st_size
    records.write(directory, record)
    (directory / "README.md").write_text(render(facts.gather(directory)))
    return directory


def found(directory: Path, card: str | None = None) -> list[Finding]:
    path = directory / "README.md"
    if card is not None:
        path.write_text(card)
    return [one for one in rules.findings(subject.load(path)) if one.code.startswith("HK6")]


def line_of(card: str, text: str) -> int:
    return card[: card.index(text)].count("\n") + 1


def test_nothing_is_found_on_a_fresh_card(adapter: Path) -> None:
    assert found(adapter) == []


def test_a_hand_edit_is_found_with_what_the_record_says(adapter: Path) -> None:
    card = (adapter / "README.md").read_text().replace("| Seed ", "| Seed!", 1)
    (one,) = found(adapter, card)
    assert (one.code, one.line) == ("HK603", line_of(card, "| Seed!"))
    assert one.says
    assert one.says.startswith("| Seed!")
    assert one.instead
    assert one.instead.startswith("| Seed ")
    assert "--keep" in str(one.mend)


def test_a_hand_edit_with_its_digest_mended_is_found_too(adapter: Path) -> None:
    card = (adapter / "README.md").read_text().replace("| Seed ", "| Seed!", 1)
    sealed = regions.seal(_CARD.sub("", _DIGEST.sub(r"\1", card)))
    (one,) = found(adapter, sealed)
    assert (one.code, one.line) == ("HK602", line_of(sealed, "| Seed!"))


def test_a_line_that_was_taken_out_is_found(adapter: Path) -> None:
    card = (adapter / "README.md").read_text()
    (line,) = [line for line in card.splitlines(keepends=True) if line.startswith("| Optimizer steps")]
    (one,) = found(adapter, card.replace(line, ""))
    assert one.says == "nothing"
    assert one.instead == line.strip()


def test_an_edit_is_found_where_the_markers_were_taken_out(adapter: Path) -> None:
    card = _COMMENT.sub("", (adapter / "README.md").read_text())
    assert found(adapter, card + "\nAnd a word of the author's.\n") == []
    (one,) = found(adapter, card.replace("Tokens seen ", "Tokens read ", 1))
    assert (one.code, one.line) == ("HK602", line_of(card, "| Tokens seen"))


def test_the_authors_words_outside_of_the_regions_are_theirs(adapter: Path) -> None:
    card = (adapter / "README.md").read_text()
    at = card.index("<!-- hubkit:begin footer")
    assert found(adapter, card[:at] + "## Notes\n\nRead these 3 notes.\n\n" + card[at:]) == []


def test_a_region_that_the_author_keeps_is_theirs(adapter: Path) -> None:
    card = (adapter / "README.md").read_text().replace("| Seed ", "| Seed!", 1)
    name = next(r.name for r in regions.pieces(regions.split(card).body) if "| Seed!" in r.content)
    kept = re.sub(rf"(hubkit:end {name} sha256=\w+)", r"\1 kept", card)
    assert found(adapter, kept) == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("license: apache-2.0", "license: mit", "license: mit"),
        ("- lora\n", "- loha\n", "- loha"),
        ("value: 15.0622", "value: 12.0622", "value: 12.0622"),
        ("split: held out", "split: test", "split: test"),
        ("pipeline_tag: text-generation", "pipeline_tag: fill-mask", "pipeline_tag: fill-mask"),
    ],
)
def test_metadata_unlike_the_record(adapter: Path, old: str, new: str, line: str) -> None:
    card = (adapter / "README.md").read_text()
    assert old in card
    changed = card.replace(old, new, 1)
    assert [(one.code, one.line) for one in found(adapter, changed)] == [("HK605", line_of(changed, line))]


def test_tags_that_the_author_adds_or_takes_out_are_theirs(adapter: Path) -> None:
    card = (adapter / "README.md").read_text()
    assert found(adapter, card.replace("- lora\n", "- lora\n- mine\n", 1)) == []
    assert found(adapter, card.replace("- lora\n", "", 1)) == []


def test_other_weights(adapter: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    codes = {one.code for one in found(adapter)}
    assert {"HK601", "HK610"} <= codes


def test_a_record_that_went_on(adapter: Path) -> None:
    record = records.read(adapter)
    assert record.measures.perplexity
    record.measures.perplexity.value = 14.5
    records.write(adapter, record)
    codes = {one.code for one in found(adapter)}
    assert codes == {"HK602", "HK605"}


def test_a_card_of_another_version_is_not_held_against_this_one(adapter: Path) -> None:
    card = (adapter / "README.md").read_text().replace("Made by hubkit ", "Made by hubkit 0.0.", 1)
    older = regions.seal(_CARD.sub("", _DIGEST.sub(r"\1", card)))
    assert found(adapter, older) == []
    (one,) = found(adapter, older.replace("| Seed ", "| Seed!", 1))
    assert (one.code, one.instead) == ("HK603", None)


def test_a_card_of_a_newer_version_says_that_it_cannot_be_checked(adapter: Path) -> None:
    card = (adapter / "README.md").read_text().replace("Made by hubkit ", "Made by hubkit 99.", 1)
    newer = regions.seal(_CARD.sub("", _DIGEST.sub(r"\1", card)))
    assert [(one.code, one.line) for one in found(adapter, newer)] == [("HK606", line_of(newer, "*Made by"))]


def test_a_card_of_another_template_is_checked_by_its_digests_alone(adapter: Path, tmp_path: Path) -> None:
    template = tmp_path / "mine.md.j2"
    template.write_text("---\n{{ front_matter }}---\n\n# {{ title }}\n\nMy words.\n")
    card = render(facts.gather(adapter), template)
    assert found(adapter, card) == []
    (one,) = found(adapter, card.replace("My words", "Other words"))
    assert one.code == "HK603"


def test_the_width_of_a_table_is_no_finding(adapter: Path) -> None:
    card = (adapter / "README.md").read_text()
    row = next(line for line in card.splitlines() if line.startswith("| Optimizer steps"))
    (one,) = found(adapter, card.replace(row, row.replace("| Optimizer steps", "|   Optimizer stops")))
    assert one.code == "HK603"
    assert found(adapter, card.replace(row, row.replace("| Optimizer", "|   Optimizer"))) == []


ADOPTED = """\
---
license: cc-by-nc-4.0   # mine
language: [en, fr]
pipeline_tag: summarization
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---

# SummaLoRA

It sums up. Trained for 3 days.
"""


def test_a_card_that_hubkit_adopted_holds_nothing_to_find(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "adapter")
    (directory / "hubkit.json").unlink()
    (directory / "README.md").write_text(ADOPTED)
    assert run(["card", "--adapter", str(directory), "--repo-id", "ada/summalora", "-q"]) == 0
    assert "license: cc-by-nc-4.0   # mine" in (directory / "README.md").read_text()
    assert rules.findings(subject.load(directory / "README.md")) == []


def test_line_ends_of_windows_are_no_edit(adapter: Path) -> None:
    path = adapter / "README.md"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert found(adapter) == []


def test_broken_markers(adapter: Path) -> None:
    card = (adapter / "README.md").read_text()
    broken = re.sub(r"<!-- hubkit:end license .*-->\n", "", card)
    assert "HK604" in {one.code for one in found(adapter, broken)}
