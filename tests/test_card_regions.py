"""The parts of a card: front matter, regions with their digests, and what is the author's."""

from __future__ import annotations

import re
from pathlib import Path

import huggingface_hub
import jinja2
import pytest

from hubkit.card import regions
from hubkit.card.boilerplate import is_boilerplate
from hubkit.errors import CardError, HubkitError

CARD = regions.seal("# A card\n\nText 🤗.\n")
TEMPLATE = Path(huggingface_hub.__file__).parent / "templates" / "modelcard_template.md"
FRONT = """\
base_model: x/y
library_name: peft
pipeline_tag: text-generation
tags:
- base_model:adapter:x/y
- lora"""


def boilerplate(front: str = FRONT, **filled: str) -> str:
    """The card as PEFT writes it from the Hub client's own template."""
    source = re.sub(r"\A---\n(?:#.*\n)*", "---\n", TEMPLATE.read_text(encoding="utf-8"))
    card = jinja2.Template(source, keep_trailing_newline=True).render(card_data=front, **filled)
    return card.rstrip("\n") + "\n### Framework versions\n\n- PEFT 0.21.2"


BOILERPLATE = boilerplate()
BITS = "The following `bitsandbytes` quantization config was used during training:\n- load_in_4bit: True"


def test_pefts_card_is_known_by_its_template() -> None:
    assert BOILERPLATE.count("[More Information Needed]") == 39
    assert is_boilerplate(BOILERPLATE)
    assert is_boilerplate(BOILERPLATE.replace("### Framework", f"{BITS}\n### Framework"))
    fields = re.findall(r"{{ (\w+) \| default", TEMPLATE.read_text(encoding="utf-8"))
    assert len(fields) > 40
    for field in fields:
        assert not is_boilerplate(boilerplate(**{field: "A word of mine."})), field
    for line in ("license: mit", "language: en", "datasets:\n- a/b", "model-index: []"):
        assert not is_boilerplate(boilerplate(f"{FRONT}\n{line}")), line
    for more in ("# My own part\n", "One sentence.\n", "- a point\n", "```\ncode\n```\n"):
        assert not is_boilerplate(f"{BOILERPLATE}\n\n{more}"), more


CARD_LINES = """\
---
license: mit
---

<!-- hubkit:begin title -->

# A card

<!-- hubkit:end title -->

<!-- hubkit:begin about -->
Text 🤗.
<!-- hubkit:end about -->
"""


def test_sealing_puts_digests_into_the_markers() -> None:
    card = regions.seal(CARD_LINES)
    parts = regions.split(card)
    found = regions.pieces(parts.body)
    assert [piece.name for piece in found if piece.kind == "region"] == ["title", "about"]
    assert all(piece.is_sealed for piece in found if piece.kind == "region")
    assert "".join(piece.raw for piece in found) == parts.body
    assert parts.head + parts.body == card
    assert card.endswith(f"<!-- hubkit:card front-matter={regions.digest('license: mit' + chr(10))} -->\n")
    assert regions.is_sealed(card)
    assert regions.is_sealed(card.replace("\n", "\r\n"))
    for old, new in (
        ("A card", "My card"),
        ("🤗", "x"),
        ("mit", "bsd"),
        ("<!-- hubkit:begin a", "Mine.\n<!-- hubkit:begin a"),
    ):
        assert not regions.is_sealed(card.replace(old, new, 1)), new
    assert not regions.is_sealed(f"{card}\nMine.\n")
    assert not regions.is_sealed("# Mine\n")


def test_what_a_template_writes_outside_of_regions_is_a_region_too() -> None:
    card = regions.seal(
        "---\na: 1\n---\n# Mine\n\nText.\n<!-- hubkit:begin x -->\ny\n<!-- hubkit:end x -->\nEnd."
    )
    found = [piece for piece in regions.pieces(regions.split(card).body) if piece.kind == "region"]
    assert [(piece.name, piece.content.strip()) for piece in found] == [
        ("part-1", "# Mine\n\nText."), ("x", "y"), ("part-3", "End."),
    ]  # fmt: skip
    assert regions.is_sealed(card)
    assert regions.seal("x\n\n\n") == regions.seal("x")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("a\n<!-- hubkit:begin x -->\nb\n", 'line 2: the region "x" has no end'),
        ("<!-- hubkit:end x -->\n", 'line 1: the end of "x" has no begin'),
        ("<!-- hubkit:begin x -->\n<!-- hubkit:begin y -->\n<!-- hubkit:end y -->\n", '"x" has no end'),
        ("<!-- hubkit:begin x -->\n<!-- hubkit:end y -->\n", 'line 2: the end of "y" has no begin'),
        ("<!-- hubkit:begin x -->\n<!-- hubkit:end x -->\n" * 2, 'line 3: there is a second region "x"'),
        ("<!-- hubkit:begin x -->\n<!-- hubkit:card a=1 -->\n", '"x" has no end'),
    ],
)
def test_broken_markers_are_one_line(body: str, why: str) -> None:
    with pytest.raises(CardError, match=why) as caught:
        regions.pieces(body)
    assert "\n" not in str(caught.value)


REGION = regions.region("x", "text\n\n```python\n1\n```\n")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (f"````\n{REGION}````\n", []),
        (f"~~~ text\n{REGION}~~~\n{REGION}", ["x"]),
        ("```\n<!-- hubkit:begin y -->\n```\n", []),
        (f"```\nleft open\n\n{REGION}", ["x"]),
        (f"{REGION}\n```\nleft open\n", ["x"]),
        (f"~~~\n{REGION}", ["x"]),
        (REGION.replace("<!--", " <!--"), []),
        (REGION.replace("hubkit:", "hubkit: "), []),
        (f"> {REGION}", None),
        (REGION.replace("\n", "\r\n"), ["x"]),
        (REGION.rstrip("\n"), ["x"]),
    ],
)
def test_markers_in_an_authors_fence_are_text(body: str, names: list[str] | None) -> None:
    if names is None:
        with pytest.raises(CardError, match="has no begin"):
            regions.pieces(body)
        return
    found = regions.pieces(body)
    assert [piece.name for piece in found if piece.kind == "region"] == names
    assert "".join(piece.raw for piece in found) == body


@pytest.mark.parametrize(
    ("card", "yaml", "body"),
    [
        ("---\na: 1\n---\nb", "a: 1\n", "b"),
        ("---\r\na: 1\r\n---\r\nb", "a: 1\r\n", "b"),
        ("\ufeff\n--- \na: 1\n---\t\nb", "a: 1\n", "b"),
        ("---\n---\n", "", ""),
        ("---\na: ---\n ---\n----\n---", "a: ---\n ---\n----\n", ""),
        ("---\nnever closed", None, "---\nnever closed"),
        ("----\na\n---\n", None, "----\na\n---\n"),
        ("# Mine\n---\na\n---\n", None, "# Mine\n---\na\n---\n"),
        ("", None, ""),
    ],
)
def test_front_matter_and_body_are_told_apart(card: str, yaml: str | None, body: str) -> None:
    parts = regions.split(card)
    assert (parts.yaml, parts.body) == (yaml, body)
    assert parts.head + parts.body == card


def test_a_directory_in_the_cards_place(tmp_path: Path) -> None:
    (tmp_path / "README.md").mkdir()
    with pytest.raises(HubkitError, match="cannot read"):
        regions.on_disk(tmp_path)


def test_a_seal_tells_of_another_template() -> None:
    mine = regions.seal("# A card\n", "a template")
    assert regions.is_sealed(mine)
    assert regions.has_own_template(mine)
    assert regions.has_own_template(mine.replace("\n", "\r\n"))
    assert "template=" not in CARD
    assert not regions.has_own_template(CARD)
    assert not regions.is_sealed(mine.replace("A card", "My card"))
