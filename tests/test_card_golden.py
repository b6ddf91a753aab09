"""Whole cards, as files that a person has read: HUBKIT_UPDATE_GOLDEN=1 writes them anew."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yamllint.linter
from card_cases import BERT_CONFIG, CASES
from huggingface_hub import ModelCard
from yamllint.config import YamlLintConfig

from hubkit.card import front_matter, regions
from hubkit.card.facts import Facts, gather
from hubkit.card.render import render
from hubkit.files import write_atomically
from hubkit.hub_rules import front_matter_problems

GOLDEN = Path(__file__).parent / "golden"
PLACEHOLDERS = re.compile(
    r"N/A|\bNone\b|\bnan\b|\bnull\b|(?i:\[More Information Needed\]|path/to|undefined)|TODO"
)


def facts_of(name: str, directory: Path) -> Facts:
    """The facts of a case, by a fixed version of hubkit."""
    import json

    CASES[name](directory)
    config = None
    if name == "foreign":
        config = directory.parent / "bert-config.json"
        config.write_text(json.dumps(BERT_CONFIG))
    return replace(gather(directory, base_config=config), version="0.1.0")


@pytest.mark.parametrize("name", CASES)
def test_the_card_is_the_golden_one(name: str, tmp_path: Path) -> None:
    card = render(facts_of(name, tmp_path / name))
    golden = GOLDEN / f"{name}.md"
    if os.environ.get("HUBKIT_UPDATE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        write_atomically(golden, card.encode())
    assert card == golden.read_text(encoding="utf-8"), f"HUBKIT_UPDATE_GOLDEN=1 pytest {__file__}"


@pytest.mark.parametrize("name", CASES)
def test_the_card_says_nothing_that_is_not_known(name: str, tmp_path: Path) -> None:
    card = render(facts_of(name, tmp_path / name))
    assert not PLACEHOLDERS.search(card)
    assert str(tmp_path) not in card
    assert card.endswith("-->\n")
    assert "\r" not in card
    assert regions.is_sealed(card)
    assert not re.search(r"\n{3,}", card)
    assert not re.search(r"[ \t]+$", card, re.MULTILINE)


@pytest.mark.parametrize("name", CASES)
def test_the_hub_reads_the_metadata_that_was_meant(name: str, tmp_path: Path) -> None:
    facts = facts_of(name, tmp_path / name)
    meant = front_matter.metadata(facts)
    read = ModelCard(render(facts)).data.to_dict()
    assert read == meant
    assert front_matter_problems(meant) == []


@pytest.mark.real
def test_linters_of_others_find_nothing() -> None:
    """Long lines, HTML that folds away, and lists at the column of their key are meant."""
    cards = sorted(GOLDEN.glob("*.md"))
    options = ["--set", "extensions.front-matter.enabled=$!True", "-d", "MD013,MD033", "scan"]
    linter = [sys.executable, "-m", "pymarkdown", *options, *map(str, cards)]
    found = subprocess.run(linter, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    rules = YamlLintConfig(
        "{extends: default, rules: {document-start: disable, line-length: disable,"
        " indentation: {indent-sequences: false}}}"
    )
    for card in cards:
        metadata = regions.split(card.read_text(encoding="utf-8")).yaml
        assert metadata
        assert list(yamllint.linter.run(metadata, rules)) == []


def test_rendering_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    facts = facts_of("causal-lora", tmp_path / "a")
    assert render(facts) == render(facts)
