"""A card that hubkit's own audit finds false is not pushed; what it only warns of is a note."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import fake_adapter
import pytest
from card_cases import CASES
from conftest import ALICE

from hubkit import errors
from hubkit.cli.main import run
from hubkit.hub import Hub
from hubkit.publishing.apply import apply
from hubkit.publishing.draft import for_repo
from hubkit.publishing.plan import plan

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub


@pytest.fixture
def hub(alice_hub: RunningHub) -> Hub:
    return Hub(alice_hub.endpoint, ALICE)


@pytest.fixture
def lying(tmp_path: Path) -> Path:
    return fake_adapter.write(
        tmp_path / "adapter", card=fake_adapter.CARD + "\n## LoRA configuration\n\n- **Rank (r):** 3\n"
    )


def test_a_false_card_is_refused_in_one_line(lying: Path, hub: Hub) -> None:
    made = plan(lying, "alice/audit-false", hub)
    line = (lying / "README.md").read_text().split("\n").index("- **Rank (r):** 3") + 1
    assert made.refused is not None
    assert made.refused.startswith(f"{lying / 'README.md'}:{line}: HK202 ")
    assert made.refused.endswith("; the audit finds 1 error")
    assert made.refused_hint == f"hubkit audit {lying} shows all; --no-audit publishes anyway"
    with pytest.raises(errors.CardError, match="HK202"):
        apply(made, hub)
    assert hub.repo("alice/audit-false") is None


def test_a_warning_is_a_note(tmp_path: Path, hub: Hub) -> None:
    card = fake_adapter.CARD.replace("language: en\n", "")
    directory = fake_adapter.write(tmp_path / "a", card=card)
    made = plan(directory, "alice/audit-warned", hub)
    assert made.refused is None
    assert made.notes == [f"the audit finds 1 warning: hubkit audit {directory}"]
    assert plan(directory, "alice/audit-warned", hub, audit=False).notes == []


def test_the_flag_publishes_it_anyway(
    lying: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = ["publish", "--adapter", str(lying), "--local-hub", str(tmp_path / "hub"), "-q"]
    assert run(to) == 2
    said = capsys.readouterr().err
    assert "HK202" in said
    assert "--no-audit" in said
    assert run([*to, "--dry-run"]) == 1
    assert "Would be refused: " in capsys.readouterr().out
    assert run([*to, "--no-audit"]) == 0


def test_a_draft_is_audited_as_it_would_be_written(tmp_path: Path, hub: Hub) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    assert run(["card", "--adapter", str(directory), "-q"]) == 0
    draft = for_repo(directory, "alice/another")
    assert draft is not None
    made = plan(directory, "alice/another", hub, draft=draft)
    assert (made.refused, made.notes) == (None, [])

    readme = directory / "README.md"
    readme.write_text(readme.read_text() + "\n## LoRA configuration\n\n- **Rank (r):** 3\n")
    made = plan(directory, "alice/another", hub, draft=for_repo(directory, "alice/another"))
    assert made.refused is not None
    assert made.refused.startswith(f"{readme}:")
    assert "HK202" in made.refused


def test_the_id_of_a_local_hub_is_a_repo(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    assert run(["card", "--adapter", str(directory), "--repo-id", "local/a", "-q"]) == 0
    assert run(["audit", str(directory), "-q"]) == 0
