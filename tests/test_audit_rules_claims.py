"""Cards as people write them, beside adapters: each fault is found, and nothing that is true is "
"called false."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import audit_cards
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubkit.audit import document, rules, subject
from hubkit.audit.findings import Finding

OURS = frozenset(code for code in rules.table() if code[2] in "234")
TITLE = "# Notes\n\n## LoRA configuration\n\n"


def audit(directory: Path, card: str, name: str) -> list[Finding]:
    made = audit_cards.make(name, directory / "adapter")
    (made / "README.md").write_text(card)
    return rules.findings(subject.load(made / "README.md"), OURS)


@pytest.mark.parametrize("case", audit_cards.BAD)
def test_a_fault_is_found(case: str, tmp_path: Path) -> None:
    code, adapter, text = audit_cards.BAD[case]
    found = audit(tmp_path, TITLE + text + "\n", adapter)
    assert code in {finding.code for finding in found}
    others = {finding.code for finding in found} - {code, "HK311"}
    assert not others, found


@pytest.mark.parametrize("case", audit_cards.GOOD)
def test_what_is_true_is_left_alone(case: str, tmp_path: Path) -> None:
    adapter, text = audit_cards.GOOD[case]
    found = audit(tmp_path, "# Notes\n\n" + text + "\n", adapter)
    allowed = set() if "from_pretrained" in text else {"HK311"}  # a fragment of a card without a snippet
    assert [f for f in found if f.code not in allowed] == []


@pytest.mark.parametrize("case", ["rank", "rank-in-sentence", "path", "syntax", "perplexity-nan"])
def test_a_finding_names_the_line(case: str, tmp_path: Path) -> None:
    code, adapter, text = audit_cards.BAD[case]
    card = TITLE + text + "\n"
    [finding] = [f for f in audit(tmp_path, card, adapter) if f.code == code]
    assert finding.line
    said = card.split("\n")[finding.line - 1]
    assert re.search(r"64|NaN|from_pretrained", said)
    assert finding.mend


@pytest.mark.parametrize(
    "title",
    ["Hira-chan LoRA", "Vera the nurse, a LoRA adapter", "A sparse retrieval LoRA", "Dora oft sings: LoRA"],
)
def test_a_name_is_no_method(title: str, tmp_path: Path) -> None:
    assert {f.code for f in audit(tmp_path, f"# {title}\n", "llama")} == {"HK311"}


def test_without_an_adapter_nothing_is_claimed_of_it(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        TITLE + "- LoRA rank: 64\n- Target modules: `c_attn`\n- Method: HiRA\n"
    )
    found = rules.findings(subject.load(tmp_path / "README.md"), OURS)
    assert {f.code for f in found} <= {"HK311"}


@pytest.mark.parametrize(("says", "is_found"), [("Llama-3.2-1B", False), ("Llama-3.2-3B", True)])
def test_a_path_is_a_base_where_the_metadata_names_it_so(says: str, is_found: bool, tmp_path: Path) -> None:
    front = "---\nbase_model: meta-llama/Llama-3.2-1B\n---\n\n"
    found = audit(tmp_path, f"{front}# Notes\n\n- Base model: meta-llama/{says}\n", "local")
    assert ("HK208" in {one.code for one in found}) is is_found


PIECES = sorted(
    {text for _, _, text in audit_cards.BAD.values()} | {text for _, text in audit_cards.GOOD.values()}
)
WORDS = st.sampled_from(
    ["|", "`", "```python\n", "\n", "# ", "- ", "**", ": ", "r=", "NaN", "8", "%", "(", "LoRA ", "→", "\t"]
)
CARDS = st.lists(st.one_of(st.sampled_from(PIECES), WORDS, st.text(max_size=20)), max_size=12).map("".join)


@pytest.fixture(scope="module")
def adapters() -> dict[str, subject.Subject]:
    with tempfile.TemporaryDirectory() as folder:
        made = {}
        for name in audit_cards.NAMES:
            path = audit_cards.make(name, Path(folder) / name) / "README.md"
            path.write_text("# Notes\n")
            made[name] = subject.load(path)
        yield made


@given(card=CARDS, name=st.sampled_from(audit_cards.NAMES))
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_no_rule_stumbles_over_any_text(card: str, name: str, adapters: dict[str, subject.Subject]) -> None:
    looked_at = adapters[name]
    looked_at.document = document.read(card)
    for finding in rules.findings(looked_at, OURS):
        assert finding.line is None or 1 <= finding.line <= len(looked_at.document.lines)
        assert finding.message.endswith(".")
