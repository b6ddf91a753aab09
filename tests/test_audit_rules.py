"""Each rule's own examples: the bad one breaks it, the good one does not; and hubkit's cards break none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from card_cases import CASES

from hubkit import record as records
from hubkit.audit import rules, subject
from hubkit.audit.rules import Rule
from hubkit.card import facts
from hubkit.card.render import render
from hubkit.record import Record

RULES = rules.table()
# The adapter that a rule's examples stand beside, where it is not a LoRA adapter with a record.
BESIDE = {
    "HK137": "causal-hira",
    "HK207": "masked-qlora",
    "HK210": "plain",
    "HK315": "plain",
    "HK401": "plain",
    "HK521": "plain",
    "HK613": "causal-measured",
}


# What nobody told of an adapter without a record: licence, language, repo, task, and who owns its base.
UNKNOWABLE = {
    "foreign": {"HK110", "HK115", "HK122", "HK132", "HK311"},
    "foreign-classifier": {"HK110", "HK115"},
}


def plain_lora(directory: Path) -> Path:
    """The usual adapter without its record, as another tool would leave it."""
    made = CASES["causal-lora"](directory)
    (made / "hubkit.json").unlink()
    return made


def adapter_for(code: str) -> Callable[[Path], Path]:
    name = BESIDE.get(code, "causal-lora")
    return plain_lora if name == "plain" else CASES[name]


def base_by_path(directory: Path) -> None:
    config = json.loads((directory / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/data/models/smollm2"
    (directory / "adapter_config.json").write_text(json.dumps(config))


def configured(**changes: object) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        config = json.loads((directory / "adapter_config.json").read_text())
        (directory / "adapter_config.json").write_text(json.dumps(config | changes))

    return spoil


def without_zeros(directory: Path) -> None:
    path = directory / "adapter_model.safetensors"
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    path.write_bytes(whole[:start] + b"\x01" * (len(whole) - start))


def other_weights(directory: Path) -> None:
    path = directory / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def measured(change: Callable[[Record], None]) -> Callable[[Path], None]:
    def spoil(directory: Path) -> None:
        record = records.read(directory)
        change(record)
        records.write(directory, record)

    return spoil


def too_good(record: Record) -> None:
    assert record.measures.perplexity
    record.measures.perplexity.value = 0.83


def edited(record: Record) -> None:
    assert record.measures.perplexity
    record.measures.perplexity.value = 14.06


def on_training_text(record: Record) -> None:
    assert record.measures.perplexity
    assert record.dataset
    record.measures.perplexity.dataset_sha256 = str(record.dataset.train_sha256)


def as_pointer(directory: Path) -> None:
    (directory / "adapter_config.json").write_text("version https://git-lfs.github.com/spec/v1\n")


# What is wrong with the files, where a rule is about them and the example can only tell of it.
SPOILT: dict[str, Callable[[Path], None]] = {
    "HK210": configured(base_model_name_or_path="unsloth/llama-3-8b-bnb-4bit"),
    "HK222": without_zeros,
    "HK401": configured(task_type="SEQ_CLS"),
    "HK521": base_by_path,
    "HK610": other_weights,
    "HK611": measured(too_good),
    "HK613": measured(edited),
    "HK612": measured(on_training_text),
    "HK620": as_pointer,
}


def make_sizes_true(directory: Path) -> None:
    """The records of the cases hold invented sizes: an audit finds that out."""
    record = records.read(directory)
    if record.measures.size:
        size = (directory / "adapter_model.safetensors").stat().st_size
        record.measures.size.adapter_weights_bytes = size
        records.write(directory, record)


def broken(directory: Path, card: str) -> set[str]:
    path = directory / "README.md"
    path.write_text(card)
    return {finding.code for finding in rules.findings(subject.load(path))}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_bad_example_breaks_the_rule_and_the_good_one_does_not(rule: Rule, tmp_path: Path) -> None:
    directory = adapter_for(rule.code)(tmp_path / "adapter")
    assert rule.bad, "no bad example"
    assert rule.good, "no good example"
    assert rule.code not in broken(directory, rule.good)
    if rule.code in SPOILT:
        SPOILT[rule.code](directory)
    assert rule.code in broken(directory, rule.bad)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_explains_itself(rule: Rule) -> None:
    assert rule.explanation
    assert rule.title
    assert rule.code[2] in rules.GROUPS


@pytest.mark.parametrize("name", CASES)
def test_a_card_of_hubkits_breaks_no_rule(name: str, tmp_path: Path) -> None:
    directory = CASES[name](tmp_path / "adapter")
    make_sizes_true(directory)
    (directory / "README.md").write_text(render(facts.gather(directory)))
    found = rules.findings(subject.load(directory / "README.md"))
    known = UNKNOWABLE.get(name, set())
    assert [[f.code, f.line, f.message, f.says] for f in found if f.code not in known] == []
