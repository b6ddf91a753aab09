"""A classifier's card and record: every number that is changed by hand is found, and none that is right."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from card_cases import CASES

from hubkit.audit import consistency, rules, subject
from hubkit.card.facts import gather
from hubkit.card.render import render
from hubkit.record import read


def codes(directory: Path, card: str) -> set[tuple[str, str]]:
    """The errors that an audit finds on a card, without the marks that would tell of any edit."""
    lines = [line for line in card.split("\n") if not line.startswith("<!-- hubkit:")]
    (directory / "README.md").write_text("\n".join(lines))
    found = rules.findings(subject.load(directory / "README.md"))
    return {(one.code, one.says or "") for one in found if one.severity == "error"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    directory = CASES["text-classifier"](tmp_path_factory.mktemp("audited") / "adapter")
    card = render(gather(directory))  # tables without their padding, for lies that are short to write
    return directory, re.sub(r"(?m)^\|.*$", lambda row: re.sub(" {2,}", " ", row[0]), card)


def test_the_true_card_has_no_fault(made: tuple[Path, str]) -> None:
    assert codes(*made) == set()


@pytest.mark.parametrize(
    ("right", "lie", "code"),
    [
        ("**0.8880**, macro", "**0.9180**, macro", "HK408"),  # at a glance
        ("| Accuracy | **0.8880** |", "| Accuracy | **0.8990** |", "HK408"),
        ("| Macro F1 | **0.8887**", "| Macro F1 | **0.8987**", "HK408"),
        ("| Weighted F1 | 0.8878", "| Weighted F1 | 0.8978", "HK408"),
        ("value: 0.888\n", "value: 0.95\n", "HK408"),  # model-index
        ("value: 0.8887", "value: 0.96", "HK408"),
        ("0.8680 to 0.9070", "0.8980 to 0.9270", "HK409"),
        ("| negative | 341 |", "| negative | 941 |", "HK409"),  # the matrix
        ("0.8430 | 0.8542", "0.8430 | 0.9542", "HK409"),  # F1 of a class
        ("the most frequent class | 0.3780", "the most frequent class | 0.2780", "HK408"),
    ],
)  # fmt: skip
def test_a_lie_is_found(made: tuple[Path, str], right: str, lie: str, code: str) -> None:
    directory, card = made
    assert card.count(right) == 1
    assert code in {found for found, _ in codes(directory, card.replace(right, lie))}


def test_a_foreign_card_in_percent_is_right(made: tuple[Path, str]) -> None:
    directory, _ = made
    card = (
        "# A\n\n## Results on the test set\n\n- **Accuracy:** 88.8%\n- **F1:** 0.889\n- **Macro F1:** 88.87\n"
    )
    assert not {found for found, _ in codes(directory, card)} & {"HK404", "HK408", "HK409"}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("accuracy", 0.93, "confusion makes it 0.888"),
        ("macro_f1", 0.93, "macro_f1 is 0.93"),
        ("weighted_f1", 0.93, "weighted_f1"),
        ("majority_accuracy", 0.9, "majority_accuracy"),
        ("documents", 999, "confusion holds 1,000 documents"),
        ("truncated", 1_001, "truncated is 1,001"),
        ("confusion", [[1, 2], [3, 4]], "no square of the 3 classes"),
    ],
)
def test_a_record_that_contradicts_itself_is_found(
    made: tuple[Path, str], field: str, value: object, said: str
) -> None:
    measures = read(made[0]).measures
    assert measures.classification
    assert list(consistency.contradictions(measures)) == []
    edited = msgspec.structs.replace(measures.classification, **{field: value})
    found = list(consistency.contradictions(msgspec.structs.replace(measures, classification=edited)))
    assert any(said in one for one in found), found


def test_numbers_of_other_weights_are_named_and_left_out(tmp_path: Path) -> None:
    directory = CASES["text-classifier"](tmp_path / "adapter")
    config = json.loads((directory / "adapter_config.json").read_text())
    (directory / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 99}))
    facts = gather(directory)
    assert "classification" in facts.stale
    card = render(facts)
    assert "0.8880" not in card
    assert "HK610" in {code for code, _ in codes(directory, card)}
