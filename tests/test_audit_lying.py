"""The lying card: an audit finds each of its faults, where it stands, and nothing that is not one."""

from __future__ import annotations

from pathlib import Path

import lying
from card_cases import CASES

from hubkit.audit import rules, subject


def test_each_fault_is_found_and_nothing_else(tmp_path: Path) -> None:
    directory = CASES["foreign"](tmp_path / "adapter")
    (directory / "README.md").write_text(lying.CARD)
    found = rules.findings(subject.load(directory / "README.md"))
    assert sorted((finding.code, finding.line or 0) for finding in found) == lying.expected()
    assert all(finding.mend for finding in found)


def test_the_card_that_tells_the_truth_in_its_place(tmp_path: Path) -> None:
    """Mending what was named mends it: the faults go one by one."""
    directory = CASES["foreign"](tmp_path / "adapter")
    path = directory / "README.md"
    mended = lying.CARD.replace("`q_lin`, `k_lin`", "`query`, `key`, `value`").replace(
        "- accuracy\n- f1\n", ""
    )
    mended = mended.replace("metrics:\n", "").replace(
        "AutoModelForSequenceClassification", "AutoModelForMaskedLM"
    )
    path.write_text(mended.replace("path/to/adapter", "ada/bert-wikitext-qlora"))
    found = {finding.code for finding in rules.findings(subject.load(path))}
    assert not found & {"HK139", "HK201", "HK301", "HK312"}
    assert found >= {"HK110", "HK315", "HK407"}
