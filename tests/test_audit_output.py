"""The forms of a report, the baseline, and what comments silence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from card_cases import CASES
from hypothesis import given
from hypothesis import strategies as st

from hubkit.audit import baseline, output, rules, subject
from hubkit.audit.findings import Finding
from hubkit.audit.report import Report
from hubkit.cli.main import run

CARD = """\
---
license: apache-2.0
language: en
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
base_model_relation: adapter
library_name: peft
pipeline_tag: text-generation
---

# An adapter, 100% mine: a, b

- **Test Perplexity:** N/A

```python
model = PeftModel.from_pretrained(base, "ada/smollm2-pydoc-lora")
```
"""


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    directory = CASES["causal-lora"](tmp_path / "adapter")
    (directory / "hubkit.json").unlink()
    (directory / "README.md").write_text(CARD)
    return directory


def audit(*arguments: object) -> int:
    return run(["audit", *map(str, arguments)])


def test_a_person_reads_place_rule_and_how_to_mend(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(adapter) == 1
    said = capsys.readouterr()
    assert f"{adapter}/README.md:12: warning HK503 There is no value for 'Test Perplexity'." in said.out
    assert "    card says: N/A\n" in said.out
    assert "1 warning in 1 card." in said.err
    assert "Not checked: measured numbers (no hubkit.json beside the card)." in said.err
    assert "\x1b" not in said.out


def test_a_card_without_findings_is_exit_0(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (adapter / "README.md").write_text(CARD.replace("- **Test Perplexity:** N/A\n", ""))
    assert audit(adapter) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "Nothing found in 1 card." in said.err


def test_json(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(adapter, "--json") == 1
    plain = json.loads(capsys.readouterr().out)
    (card,) = plain["cards"]
    (finding,) = card["findings"]
    assert (finding["code"], finding["line"], finding["severity"]) == ("HK503", 12, "warning")
    assert (plain["errors"], plain["warnings"], plain["notes"]) == (0, 1, 0)


def test_sarif_has_what_the_standard_requires(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(adapter, "--format", "sarif") == 1
    log = json.loads(capsys.readouterr().out)
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (one,) = log["runs"]
    driver = one["tool"]["driver"]
    assert driver["name"] == "hubkit"
    assert [rule["id"] for rule in driver["rules"]] == list(rules.table())
    assert all(rule["shortDescription"]["text"] and rule["help"]["markdown"] for rule in driver["rules"])
    assert {r["defaultConfiguration"]["level"] for r in driver["rules"]} <= {
        "error",
        "warning",
        "note",
        "none",
    }
    (result,) = one["results"]
    assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "HK503"
    assert result["level"] == "warning"
    assert result["message"]["text"].startswith("There is no value")
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == (adapter / "README.md").as_uri()
    assert place["region"]["startLine"] == 12
    assert all(isinstance(value, str) for value in result["partialFingerprints"].values())


def test_github_annotations(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(adapter, "--format", "github") == 1
    out = capsys.readouterr().out
    assert out.startswith(f"::warning file={adapter}/README.md,line=12,title=HK503::There is no value")
    assert out.count("\n") == 1


@given(
    st.builds(
        Finding,
        code=st.just("HK101"),
        severity=st.sampled_from(["error", "warning", "note"]),
        message=st.text(),
        path=st.text(min_size=1),
        line=st.none() | st.integers(1, 9),
        says=st.none() | st.text(),
        instead=st.none() | st.text(),
        mend=st.none() | st.text(),
    )
)
def test_no_text_breaks_out_of_a_form(finding: Finding) -> None:
    report = [Report(finding.path, (finding,), (("HK101", finding.path, "0" * 16),))]
    line, end = output.github(report).split("\n")
    assert end == ""
    assert "\r" not in line
    command, _, _ = line.removeprefix("::").partition("::")
    name, _, properties = command.partition(" ")
    assert name in ("error", "warning", "notice")
    assert [part.partition("=")[0] for part in properties.split(",")] == ["file", "line", "title"]
    assert json.loads(output.as_json(report))["cards"][0]["findings"][0]["code"] == "HK101"
    assert json.loads(output.sarif(report))["runs"][0]["results"][0]["ruleId"] == "HK101"
    text = output.text(report)
    assert len(text.split("\n")) == 2 + sum(map(bool, (finding.says, finding.instead, finding.mend)))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


def test_known_findings_are_left_out_wherever_their_line_moves(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = tmp_path / "known.json"
    assert audit(adapter, "--write-baseline", known) == 0
    assert "1 warning in 1 card are known now" in capsys.readouterr().err
    assert "N/A" not in known.read_text()
    assert audit(adapter, "--baseline", known) == 0
    card = CARD.replace("# An adapter", "# An adapter\n\nMore.\n\nMore.")
    (adapter / "README.md").write_text(card)
    assert audit(adapter, "--baseline", known) == 0
    (adapter / "README.md").write_text(card.replace("N/A\n", "N/A\n- **Test Loss:** N/A\n"))
    capsys.readouterr()
    assert audit(adapter, "--baseline", known) == 1
    assert "'Test Loss'" in capsys.readouterr().out


def test_a_known_finding_that_is_gone_is_named(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = tmp_path / "known.json"
    audit(adapter, "--write-baseline", known)
    (adapter / "README.md").write_text(CARD.replace("N/A", "15.06"))
    capsys.readouterr()
    audit(adapter, "--baseline", known, "--select", "HK503")
    assert "note: 1 of the findings in" in capsys.readouterr().err


def test_a_directory_without_an_adapter_is_refused(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    assert audit(adapter, "--adapter", tmp_path / "other") == 2
    assert f"there is no adapter in {tmp_path}/other. Next: " in capsys.readouterr().err


def test_a_baseline_that_is_none_is_refused(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = tmp_path / "known.json"
    for content in ("[]", "{", '{"version": 2, "findings": []}', '{"version": 1, "findings": [{}]}'):
        known.write_text(content)
        assert audit(adapter, "--baseline", known) == 2
        assert "is no baseline of an audit" in capsys.readouterr().err


def test_a_baseline_counts_equal_lines(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    key = ("HK503", "README.md", "0" * 16)
    baseline.write(path, [key, key])
    assert baseline.read(path)[key] == 2


@pytest.mark.parametrize(
    ("card", "left"),
    [
        (CARD.replace("- **Test", "<!-- hubkit:ignore HK503 -->\n- **Test"), set()),
        (CARD.replace("N/A", "N/A <!-- hubkit:ignore HK101, HK503 -->"), set()),
        (CARD + "\n<!-- hubkit:ignore-file HK503 -->\n", set()),
        (CARD + "\n<!-- hubkit:ignore HK503 -->\n", {"HK503"}),
        (CARD.replace("- **Test", "<!-- hubkit:ignore HK502 -->\n- **Test"), {"HK503"}),
        (CARD.replace("language: en", "language: xxxx"), {"HK503", "HK116"}),
        (CARD.replace("language: en", "language: xxxx # hubkit:ignore HK116"), {"HK503"}),
    ],
)
def test_comments_silence_a_rule(adapter: Path, card: str, left: set[str]) -> None:
    (adapter / "README.md").write_text(card)
    found = rules.findings(subject.load(adapter / "README.md"))
    assert {finding.code for finding in found} == left


def test_select_and_ignore(adapter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(adapter, "--select", "HK1,HK6") == 0
    assert audit(adapter, "--ignore", "hk503") == 0
    assert audit(adapter, "--select", "HK50", "--ignore", "HK501") == 1
    capsys.readouterr()
    assert audit(adapter, "--select", "HK999") == 2
    assert "there is no rule 'HK999'" in capsys.readouterr().err


def test_explain_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "--explain", "HK503"]) == 0
    assert capsys.readouterr().out == rules.table()["HK503"].page


def test_a_report_to_a_file(adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(adapter, "--format", "sarif", "-o", tmp_path / "log.sarif") == 1
    assert capsys.readouterr().out == ""
    assert json.loads((tmp_path / "log.sarif").read_text())["version"] == "2.1.0"


def test_many_adapters_below_one_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two", ".hidden", "checkpoint-10"):
        (CASES["foreign"](tmp_path / name) / "README.md").write_text("# None\n")
    assert audit(tmp_path, "--select", "HK502") == 1
    said = capsys.readouterr()
    assert "2 warnings in 2 cards." in said.err
    assert ".hidden" not in said.out


def test_a_card_apart_from_its_adapter(adapter: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text(CARD.replace("SmolLM2-135M-Instruct\n", "SmolLM2-360M\n", 1).replace("N/A", "15.06"))
    assert audit(card, "--select", "HK123") == 0
    assert audit(card, "--adapter", adapter, "--select", "HK123") == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "give a card"),
        (["nowhere/at/all"], "no file and no directory"),
        (["."], "holds no card"),
        (["--explain", "HK000"], "no rule"),
    ],
)
def test_what_cannot_be_audited_is_one_line_and_exit_2(
    arguments: list[str],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert audit(*arguments) == 2
    said = capsys.readouterr().err
    assert why in said
    assert said.count("\n") == 1
