"""Whatever an author, a record or a configuration says, the card keeps its form: text is data.

A card with hostile text in every place is held against the same card with harmless text: the front matter
reads as what was meant, and headings, tables, fences and regions are those of the harmless one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from card_cases import CASES, CAUSAL, with_digest
from huggingface_hub import ModelCard
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hubkit.card import fragments, front_matter, regions
from hubkit.card.facts import Facts, gather
from hubkit.card.render import render
from hubkit.hub_rules import front_matter_problems
from hubkit.record import Author, Method, Record

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = [
    "<!-- hubkit:end intended-use -->", "<!-- hubkit:begin x -->", "<!-- hubkit:card front-matter=0 -->",
    "</details>", "<details>", "<summary>", "</summary>", "```", "~~~", "```python", "| a | b |", "| --- |",
    "---", "...", "<!--", "-->", "<script>", "{{ 7 * 7 }}", "{% for x in y %}", "{# x #}", "# Heading",
    "title: x", "- item", "&lt;", "<b>", "[a](b", "![i](x)", "https://example.org", "\\", "'", '"', "%",
    "!!python", "null", "no", "1e3", "&a *a", "? x", ": y", "\t", "\r", "\u2028", "\x00", "\x85", "é", "🤗",
    "___", "***", "1. one", "    code", "=====", "$x$", "@name", "*", "_", "`",
]  # fmt: skip
WORDS = st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=3)), max_size=6)
LINE = WORDS.map(" ".join)
TEXT = WORDS.map("\n".join)
PASSAGES = tuple(name for name in fragments.TEXTS if name != "summary")
LINES = (
    "title",
    "summary",
    "shared_by",
    "repository",
    "paper",
    "demo",
    "cloud_provider",
    "compute_region",
    "example",
)
careful = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=min(settings.default.max_examples, 200),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a card is too slow to shrink by
)
SETTINGS = (
    "lora_dropout", "bias", "init_lora_weights", "rank_pattern", "layers_pattern", "peft_version",
    "target_modules", "modules_to_save", "layers_to_transform", "eva_config", "x | y", "`z`",
)  # fmt: skip
SETTING = st.one_of(LINE, st.lists(LINE, max_size=3), st.dictionaries(LINE, LINE, max_size=2))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return CASES["causal-lora"](tmp_path / "a")


def filled(value: Any, words: Any) -> Any:
    """The same with other words in place of every string, but for ids, digests and fixed words."""
    if isinstance(value, dict):
        return {key: part if key in FIXED else filled(part, words) for key, part in value.items()}
    if isinstance(value, list):
        return [filled(part, words) for part in value]
    return words(value) if isinstance(value, str) else value


FIXED = {
    "id", "repo_id", "revision", "definition", "documents_kept", "source", "task", "license", "language",
    "schema_version", "adapter_sha256", "settings_sha256", "counted_on", "deduplicate", "libraries",
    "adapter_by_dtype", "total_by_dtype", "method", "quantization", "peft_type", "task_type", "license_link",
    "base_model_name_or_path", *PASSAGES,
}  # fmt: skip


def headings(card: str) -> list[str]:
    """hubkit's own headings and tables, in their order; what stands in an author's passage is left out."""
    tokens = MARKDOWN.parse(regions.split(card).body)
    found = []
    for at, token in enumerate(tokens):
        if token.type == "heading_open" and token.level == 0:
            found.append(f"{token.tag} {tokens[at + 1].content if token.tag == 'h2' else ''}")
        elif token.type == "table_open" and token.level == 0:
            end = next(i for i in range(at, len(tokens)) if tokens[i].type == "table_close")
            kinds = [t.type for t in tokens[at:end]]
            found.append(
                f"table {kinds.count('tr_open')} x {kinds.count('th_open')}, {kinds.count('td_open')}"
            )
        elif token.type == "fence":
            found.append(f"fence {token.info}")
        elif token.type == "html_block" and "details" in token.content:
            found.append(re.sub("[^<>/a-z]", "", token.content)[:10])
    return found


def own_regions(card: str) -> list[str]:
    return [piece.name for piece in regions.pieces(regions.split(card).body) if piece.kind == "region"]


def check_metadata(card: str, facts: Facts) -> None:
    meant = front_matter.metadata(facts)
    assert front_matter_problems(meant) == []
    found = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    assert found is not None
    assert yaml.safe_load(found[1]) == meant
    assert ModelCard(card).data.to_dict() == meant


@careful
@given(words=st.lists(LINE.filter(str.strip), min_size=1, max_size=4))
def test_any_words_in_the_record_keep_the_form_of_the_card(words: list[str], directory: Path) -> None:
    """All strings of the record and the author's lines: the same headings, tables, fences and regions."""
    seen: dict[str, int] = {}  # equal strings stay equal, and others apart
    known = msgspec.to_builtins(with_digest(directory, CAUSAL))
    known["author"] |= {name: "Words." for name in LINES if name != "example"}
    made = []
    for some in (["word"], words):

        def use(text: str, some: list[str] = some) -> str:
            at = seen.setdefault(text, len(seen))
            return f"{some[at % len(some)]} x{at}"

        record = msgspec.convert(filled(known, use), Record)
        record = msgspec.structs.replace(record, method=Method(name="lora"))
        facts = gather(directory, record=record)
        made.append(render(facts))
        check_metadata(made[-1], facts)
    assert headings(made[1]) == headings(made[0])
    assert own_regions(made[1]) == own_regions(made[0])
    assert regions.is_sealed(made[1])


@careful
@given(texts=st.lists(TEXT, min_size=1, max_size=4))
def test_any_markdown_of_the_author_stays_within_its_region(texts: list[str], directory: Path) -> None:
    """Passages may hold any Markdown, and end where they end: what follows them reads as it should."""
    known = with_digest(directory, CAUSAL)
    harmless = Author(license="mit", authors=["Ada"], **dict.fromkeys(PASSAGES, "Words."))
    hostile = Author(license="mit", authors=["Ada"])
    for at, name in enumerate(PASSAGES):
        setattr(hostile, name, f"Words.\n{texts[at % len(texts)]}")
    cards = []
    for author in (harmless, hostile):
        facts = gather(directory, record=msgspec.structs.replace(known, author=author))
        cards.append(render(facts))
        check_metadata(cards[-1], facts)
    assert own_regions(cards[1]) == own_regions(cards[0])
    assert regions.is_sealed(cards[1])
    wanted = [line for line in headings(cards[0]) if line.startswith("h2")]
    assert [line for line in headings(cards[1]) if line in wanted] == wanted


@careful
@given(values=st.dictionaries(st.sampled_from(SETTINGS), SETTING, max_size=4))
def test_any_words_in_the_configuration_keep_the_form_of_the_card(
    values: dict[str, Any], directory: Path
) -> None:
    path = directory / "adapter_config.json"
    before = path.read_text()
    path.write_text(json.dumps({**json.loads(before), **values}))
    try:
        facts = gather(directory, record=Record(author=Author(license="mit")))
        card = render(facts)
    finally:
        path.write_text(before)
    check_metadata(card, facts)
    assert regions.is_sealed(card)
    plain = render(gather(directory, record=Record(author=Author(license="mit"))))
    assert [line for line in headings(card) if line[:2] == "h2"] == [
        line for line in headings(plain) if line[:2] == "h2"
    ]
    tables = [line for line in headings(card) if line.startswith("table")]
    assert all(
        int(t.split(", ")[1]) == (int(t.split()[1]) - 1) * int(t.split()[3].rstrip(",")) for t in tables
    )


@pytest.mark.parametrize("marker", HOSTILE[:3])
@pytest.mark.parametrize(
    "around", ["{}", "```\n{}\n```", "> {}", "- a\n\n  {}", "~~~\n{}\n~~~", "<b>\n{}\n</b>"]
)
def test_a_marker_in_the_authors_text_ends_no_region(marker: str, around: str, directory: Path) -> None:
    known = with_digest(directory, CAUSAL)
    before = own_regions(render(gather(directory)))
    author = msgspec.structs.replace(known.author, intended_use=f"A.\n\n{around.format(marker)}\n\nB.")
    card = render(gather(directory, record=msgspec.structs.replace(known, author=author)))
    assert own_regions(card) == before
    inside = next(p for p in regions.pieces(regions.split(card).body) if p.name == "intended-use")
    assert "B." in inside.content


def test_a_repo_cannot_be_named_to_break_out(directory: Path) -> None:
    config = json.loads((directory / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = 'x"); import os  # <b>'
    (directory / "adapter_config.json").write_text(json.dumps(config))
    facts = gather(directory, record=Record())
    assert facts.base_id is None
    assert "import os" not in render(facts)
