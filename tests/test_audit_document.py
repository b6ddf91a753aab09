"""Any card, read with the line of everything in it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from card_cases import CASES
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.audit import document, rules, subject
from hubkit.audit.document import Claim, read
from hubkit.errors import HubkitError

PIECES = [
    "---", "--- ", "license: mit", "license: [", "tags:", "- lora", "a: &x [*x]", "no: no", "# Title",
    "Title", "===", "```python", "```", "~~~", "````md", "   ```bash", "    indented", "\tindented",
    "> ```", "<pre>", "</pre>", "", "<!-- a", "-->", "<!-- hubkit:begin size -->", "| a | b |",
    "| - | - |", "|---|", "| Rank | 8 |", "<!-- hubkit:end size sha256=0123456789abcdef -->",
    "- **Rank (r):** 8", "- Target:", "  - `q`", "[a](b)", "[]()", '![a](b "t")', "<a href=x>",
    "<table><tr><td>Rank<td>8</table>", "`` ` ``", "**", "`", "\\|", "\ufeff", "\x00", "N/A",
    "[[[[((((", "r=8, alpha: 16", "<details>", "https://example.org/a_(b)", "model-index:", "- name: x",
    "  results: .nan",
]  # fmt: skip
cards = st.text() | st.lists(st.sampled_from(PIECES) | st.text(max_size=9)).map("\n".join)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return CASES["causal-lora"](tmp_path_factory.mktemp("audit") / "adapter")


@given(cards)
def test_reading_never_raises_and_every_line_is_one_of_the_card(text: str) -> None:
    document = read(text)
    count = len(document.lines)
    for part in (
        *document.headings, *document.code_spans, *document.claims, *document.links, *document.images,
        *document.comments, *document.regions,
    ):  # fmt: skip
        assert 1 <= part.line <= count
    for fence in document.fences:
        assert 1 <= fence.line <= count + 1
        assert fence.last <= count
    assert all(1 <= line <= count for line, _ in document.prose)
    front = document.front
    assert all(front.first < line <= count for line in front.lines.values() if front.first)


@given(cards)
@settings(deadline=None)
def test_no_rule_stumbles_over_a_card(adapter: Path, text: str) -> None:
    (adapter / "README.md").write_bytes(text.encode())
    for finding in rules.findings(subject.load(adapter / "README.md")):
        assert finding.line is None or 1 <= finding.line <= max(1, text.count("\n") + text.count("\r") + 1)


@pytest.mark.parametrize(
    "piece", ["[", "(", "`", "*", "|", "<", "- ", "> ", "#", "<!--", "![](", "a@", "{{ ", "**x"]
)
def test_a_hostile_line_is_read_in_linear_time(adapter: Path, piece: str) -> None:
    (adapter / "README.md").write_text(piece * 20_000 + "\n" + (piece + "\n") * 2_000)
    started = time.monotonic()
    rules.findings(subject.load(adapter / "README.md"))
    assert time.monotonic() - started < 5


def claims(text: str) -> list[tuple[str, str, int]]:
    return [(claim.label, claim.value, claim.line) for claim in read(text).claims]


@pytest.mark.parametrize(
    "line",
    [
        "- **Rank (r):** 8", "- **Rank (r)**: 8", "* Rank (r): 8", "**Rank (r):** `8`", "Rank (r): 8",
        "1. Rank (r) = 8", "- __Rank (r):__ 8", "> - Rank (r): 8", "| **Rank (r)** | `8` |\n| --- | --- |",
        "- `Rank (r)`: 8", "Rank (r)：8", "<table><tr><td>Rank (r)</td><td>8</td></tr></table>",
    ],
)  # fmt: skip
def test_a_fact_is_read_however_it_is_written(line: str) -> None:
    document = read(line)
    header = [(row.cells[0], row.cells[1]) for table in document.tables for row in (table.header,)]
    assert ("Rank (r)", "8") in [(c.label, c.value) for c in document.claims] + header


def test_a_label_above_a_list_has_its_items() -> None:
    assert claims("- Target modules:\n  - `q_proj`\n  - v_proj\n- Rank: 8\n") == [
        ("Target modules", "q_proj, v_proj", 1),
        ("Rank", "8", 4),
    ]
    assert claims("Target modules:\n\n- q\n- v\n\nMore.") == [("Target modules", "q, v", 1)]


def test_a_wide_table_tells_rows_from_columns() -> None:
    found = read("# A\n\n| Model | Rank |  |\n|---|---|---|\n| ours | 8 | x |\n").claims
    assert Claim("ours", "8", "8", 5, ("A",), "row", column="Rank") in found
    assert Claim("Rank", "8", "8", 5, ("A",), "column", row="ours") in found


def test_front_matter_has_lines() -> None:
    front = read(
        "---\nlicense: mit\nmodel-index:\n- name: a\n  results:\n  - metrics:\n    - value: 1\n---\n"
    ).front
    assert front.line_of("license") == 2
    assert front.line_of("model-index", 0, "results", 0, "metrics", 0, "value") == 7
    assert front.line_of("model-index", 0, "no such key") == 4
    assert front.at_first_byte


@pytest.mark.parametrize("above", ["\n", "\ufeff", "# Title\n\n"])
def test_front_matter_below_the_top_is_found(above: str) -> None:
    front = read(f"{above}---\nlicense: mit\n---\n").front
    assert front.data == {"license": "mit"}
    assert not front.at_first_byte


def test_two_rules_around_prose_are_no_front_matter() -> None:
    assert read("# Title\n\n---\nNote: this.\n\n---\n").front.first is None
    assert read("# How\n\n```md\n---\nlicense: mit\n---\n```\n").front.first is None


def test_broken_front_matter_tells_its_line() -> None:
    front = read("---\nlicense: mit\ntags: [a\nb: c\n---\n").front
    assert front.data is None
    assert front.error
    assert front.error_line in (3, 4, 5)


def test_a_key_that_stands_twice() -> None:
    assert read("---\na: 1\nb: {c: 1, c: 2}\na: 2\n---\n").front.duplicates == ((("b", "c"), 3), (("a",), 4))


@pytest.mark.parametrize(
    ("text", "language", "code", "line"),
    [
        ("```python\nx\n```", "python", "x", 2),
        ("``` Python title='a'\nx\n```", "python", "x", 2),
        ("```{.python .numberLines}\nx\n```", "python", "x", 2),
        ("~~~\n```\n~~~", "", "```", 2),
        ("- a\n\n  ```py\n  x\n    y\n  ```", "py", "x\n  y", 4),
        ("> ```sh\n> x\n> ```", "sh", "x", 2),
        ("```python\nx", "python", "x", 2),
        ("a\n\n    x\n\n    y\n\nb", "", "x\n\ny", 3),
        ("<pre><code>x</code></pre>", "", "x", 1),
        ("````md\n```python\nx\n```\n````", "md", "```python\nx\n```", 2),
    ],
)
def test_code(text: str, language: str, code: str, line: int) -> None:
    (fence,) = read(text).fences
    assert (fence.language, fence.code, fence.line) == (language, code, line)


def test_what_stands_in_code_and_comments_is_no_prose_and_no_heading() -> None:
    document = read("```sh\n# no heading\nRank: 8\n```\n<!-- # neither\nRank: 9 -->\n- Rank: 10\n")
    assert document.headings == ()
    assert [claim.value for claim in document.claims] == ["10"]
    assert document.prose == ((7, "- Rank: 10"),)


def test_links_and_images() -> None:
    document = read(
        '[a `b`](c "t") ![d](e.png) [![f](g.svg)](h) <https://i> https://j/k_(l). `[o](p)`\n'
        "<img src='m' alt='n'>\n[q]: r\n[s](t_(u)) [](v)\n"
    )
    assert [(one.text, one.target) for one in document.images] == [("d", "e.png"), ("f", "g.svg"), ("n", "m")]
    targets = [one.target for one in document.links]
    assert {"c", "h", "https://i", "r", "t_(u)", "v"} <= set(targets)
    assert "p" not in targets


def test_crlf_counts_the_same_lines() -> None:
    text = "---\nlicense: mit\n---\n# T\n\n- Rank: 8\n\n```python\nx\n```\n"
    ours, theirs = read(text), read(text.replace("\n", "\r\n"))
    assert ours == theirs


def test_sections_and_regions() -> None:
    document = read(
        "# A\n## B\n### C\n## D\nx\n\nE\n===\n<!-- hubkit:begin size -->\ny\n"
        "<!-- hubkit:end size sha256=0123456789abcdef kept -->\n"
    )
    assert document.section_at(3) == ("A", "B", "C")
    assert document.section_at(5) == ("A", "D")
    assert document.section_at(9) == ("E",)
    region = document.in_region(10)
    assert region
    assert (region.name, region.line, region.last, region.kept) == ("size", 9, 11, True)
    assert document.in_region(8) is None


def test_a_file_of_megabytes_is_no_card(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"x" * (document.LARGEST + 1))
    with pytest.raises(HubkitError, match="too large for a card"):
        subject.load(tmp_path / "README.md")


@pytest.mark.real
@pytest.mark.parametrize("line", ["- rank: 8\n", "<a ", "![a](", "[a](b)", "1 ", "| a | b |\n"])
def test_a_long_card_of_one_thing_is_read_in_time_that_grows_with_it(line: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n\n" + line * (100_000 // len(line)))
    began = time.process_time()
    rules.findings(subject.load(tmp_path / "README.md"))
    assert time.process_time() - began < 8  # a rule that looks at all for each takes minutes
