"""Numbers as a reader wants them, and words that cannot break out of a line, a cell or a passage."""

from __future__ import annotations

import html

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hubkit.card import text
from hubkit.card.passage import paragraph, passage

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
NASTY = st.text(
    st.sampled_from([*"|`*_~<>[]()#!&\\\n\r\t-+=:{}%$\"' .1ax", "é", "🤗", "\u2028", "\x00", "\x85"]),
    max_size=40,
)
LINES = st.lists(
    st.sampled_from([
        "```", "```python", "~~~", "  ```", "   ~~~~", "    ```", "\t```", "> ```", "- ```",
        "- item", "  more", "1. one", "> quote", "", "", "text", "<div>", "</div>", "<!-- a",
        "-->", "<script>", "<pre>", "<b>bold", "`code <b>`", "<details>", "</details>", "<?php",
        "<![CDATA[", "# Heading", "===", "---", "[a]: <b", '<a href="', "<x-y", "\\`<i>`", "* * *",
        "<p>", "<br>", "</textarea>", "<svg>", "<!---->", "<!-->", "***", "    code", "</pre>",
        "| a | b |", "| - | - |",
    ])
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"),
    [(35.4187, "35.42"), (8.41934, "8.419"), (1.00312, "1.003"), (1234.5678, "1,234.57"), (10.0, "10.00")],
)
def test_perplexity_has_two_decimals_and_four_digits(value: float, shown: str) -> None:
    assert text.perplexity(value) == shown


@pytest.mark.parametrize(
    ("fraction", "shown"),
    [
        (442_368 / 109_956_666, "0.40%"),
        (0.5, "50.0%"),
        (0.00014, "0.014%"),
        (0, "0.00%"),
        (1, "100.0%"),
        (0.012, "1.20%"),
    ],
)
def test_percent(fraction: float, shown: str) -> None:
    assert text.percent(fraction) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (1_779_464, "1.78 MB (1,779,464 bytes)"),
        (0, "0 bytes"),
        (999, "999 bytes"),
        (75_000, "75.0 kB (75,000 bytes)"),
        (999_999, "1.00 MB (999,999 bytes)"),
        (269_060_552, "269 MB (269,060,552 bytes)"),
        (13_476_000_000, "13.5 GB (13,476,000,000 bytes)"),
    ],
)
def test_sizes_are_decimal_and_exact(size: int, shown: str) -> None:
    assert text.exact_size(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (4.21, "4.2 s"),
        (59.4, "59 s"),
        (173.4, "2 min 53 s"),
        (59.7, "1 min 0 s"),
        (9.97, "10 s"),
        (7_500, "2 h 5 min"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(3e-4, "0.0003"), (1e-5, "1e-05"), (2.0, "2"), (123456, "123,456"), (0.0, "0")]
)
def test_numbers_have_no_tail(value: float, shown: str) -> None:
    assert text.number(value) == shown


def shown(markup: str) -> str:
    """The text that a reader sees in the first block of rendered Markdown."""
    tokens = MARKDOWN.parse(markup)
    return "".join(
        child.content if child.type in ("text", "code_inline", "text_special") else ""
        for token in tokens
        for child in token.children or []
    )


@settings(max_examples=300)
@given(NASTY)
def test_a_phrase_shows_as_it_was_given(given_text: str) -> None:
    assert shown(f"before {text.phrase(given_text)} after") == f"before {text.plain(given_text)} after"
    if text.plain(given_text):
        heading = MARKDOWN.parse(f"# {text.phrase(given_text)}\n\nafter")
        assert [token.type for token in heading[:2]] == ["heading_open", "inline"]
        assert shown(f"# {text.phrase(given_text)}") == text.plain(given_text)
        first = MARKDOWN.parse(text.phrase(given_text))
        assert [token.type for token in first] == ["paragraph_open", "inline", "paragraph_close"]


@settings(max_examples=300)
@given(st.lists(st.tuples(NASTY, NASTY), min_size=1, max_size=4))
def test_nothing_breaks_out_of_a_cell(pairs: list[tuple[str, str]]) -> None:
    markup = text.table([(text.phrase(a), text.code(b)) for a, b in pairs], "A", "B")
    tokens = MARKDOWN.parse(markup + "\n\n## After")
    assert sum(token.type == "tr_open" for token in tokens) == len(pairs) + 1
    assert sum(token.type == "td_open" for token in tokens) == 2 * len(pairs)
    assert tokens[-2].content == "After"
    cells = [token for token in tokens if token.type == "inline"][2:-1]
    for (phrase, code), (first, second) in zip(pairs, zip(cells[::2], cells[1::2], strict=True), strict=True):
        assert "".join(c.content for c in first.children or []) == text.plain(phrase)
        parts = [c for c in second.children or [] if c.type != "html_inline"]
        assert html.unescape("".join(c.content for c in parts)) == html.unescape(text.plain(code))


def test_a_table_lines_up() -> None:
    assert text.table([("a", "1,000"), ("bcd", "2")], "Name", "Count").splitlines() == [
        "| Name | Count |",
        "| ---- | ----: |",
        "| a    | 1,000 |",
        "| bcd  |     2 |",
    ]


def test_no_rows_no_table() -> None:
    assert text.table([], "A", "B") == ""


@settings(max_examples=400)
@given(LINES)
def test_a_passage_swallows_nothing_behind_it(lines: list[str]) -> None:
    tokens = MARKDOWN.parse(passage("\n".join(lines)) + "\n\n## After\n")
    assert [token.type for token in tokens[-3:]] == ["heading_open", "inline", "heading_close"]
    assert tokens[-2].content == "After"
    assert tokens[-3].level == 0


@settings(max_examples=300)
@example("___")
@given(st.one_of(NASTY, LINES.map("\n".join)))
def test_a_paragraph_is_one_paragraph(given_text: str) -> None:
    tokens = MARKDOWN.parse(paragraph(given_text) + "\n\n## After\n")
    assert [token.type for token in tokens[:-3]] in (
        [],
        ["paragraph_open", "inline", "paragraph_close"],
    )


@pytest.mark.parametrize(
    "kept",
    [
        "Plain *Markdown* with [a link](https://example.org) and `List<int>`.",
        "```python\nx = '<script>'\n```",
        "1. Install it:\n\n   ```bash\n   pip install x\n   ```\n\n2. Run it.",
        "<details>\n<summary>More</summary>\n\nText.\n\n</details>",
        "a < b and c <3, <br> <https://example.org>",
        "| a | b |\n| - | - |\n| 1 | 2 |",
        "<!-- a note to myself -->\n\nText.",
    ],
)
def test_an_ordinary_passage_stays_as_it_is(kept: str) -> None:
    assert passage(kept) == kept


def test_an_open_fence_shows_as_text() -> None:
    assert passage("before\n```python\nx = 1") == "before\n&#96;``python\nx = 1"


@pytest.mark.parametrize(
    ("value", "shown"), [(9.9996, "10.00"), (9.9994, "9.999"), (1.0, "1.000"), (99.996, "100.00")]
)
def test_rounding_a_perplexity_keeps_its_digits(value: float, shown: str) -> None:
    assert text.perplexity(value) == shown


@given(st.floats(min_value=1e-9, max_value=1, exclude_max=True))
def test_a_part_is_neither_all_nor_nothing(fraction: float) -> None:
    shown = text.percent(fraction)
    assert 0 < float(shown.rstrip("%")) < 100 or fraction > 1 - 1e-15
    assert float(shown.rstrip("%")) == pytest.approx(100 * fraction, rel=0.06, abs=0)


def test_shares_close_to_all() -> None:
    assert text.percent(0.99999) == "99.999%"
    assert text.percent(0.9994) == "99.9%"
    assert text.percent(1) == "100.0%"
    assert text.percent(0.09999) == "10.0%"
