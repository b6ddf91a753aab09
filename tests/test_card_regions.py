"""Which README.md may be replaced."""

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


def readme(directory: Path) -> Path:
    return directory / "README.md"


def test_a_card_is_written_and_then_unchanged(tmp_path: Path) -> None:
    assert regions.write_card(tmp_path, CARD) == "written"
    before = readme(tmp_path).stat().st_mtime_ns
    assert regions.write_card(tmp_path, CARD) == "unchanged"
    assert readme(tmp_path).stat().st_mtime_ns == before
    assert readme(tmp_path).read_bytes() == CARD.encode()


@pytest.mark.parametrize(
    "present", [CARD, CARD.replace("\n", "\r\n"), BOILERPLATE, BOILERPLATE.replace("\n", "\r\n"), "", " \n"]
)
def test_what_is_nobodys_work_is_replaced(present: str, tmp_path: Path) -> None:
    readme(tmp_path).write_bytes(present.encode())
    assert regions.write_card(tmp_path, regions.seal("# New\n")) == "written"
    assert "# New" in readme(tmp_path).read_text(encoding="utf-8")
    kept = [path.read_bytes() for path in tmp_path.iterdir() if path.name == "README.md.orig"]
    assert kept == ([present.encode()] if "Model ID" in present else [])


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


@pytest.mark.parametrize(
    ("present", "why"),
    [
        (CARD.replace("Text", "Text of mine"), "was edited since"),
        (CARD + "\nMore.\n", "was edited since"),
        ("# Mine\n", "was not written by hubkit"),
        (boilerplate(training_data="My own letters."), "was not written by hubkit"),
    ],
)
def test_somebodys_work_is_refused(present: str, why: str, tmp_path: Path) -> None:
    readme(tmp_path).write_text(present, encoding="utf-8")
    with pytest.raises(CardError, match=why):
        regions.write_card(tmp_path, CARD)
    assert readme(tmp_path).read_text(encoding="utf-8") == present


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    readme(tmp_path).write_bytes("🤗".encode() + b"\xff")
    with pytest.raises(CardError, match="not UTF-8"):
        regions.write_card(tmp_path, CARD)


def test_force_keeps_what_was_there(tmp_path: Path) -> None:
    for number in range(2):
        readme(tmp_path).write_bytes(b"mine \xff %d" % number)
        assert regions.write_card(tmp_path, CARD, force=True) == "written"
    assert (tmp_path / "README.md.orig").read_bytes() == b"mine \xff 0"
    assert (tmp_path / "README.md.orig.1").read_bytes() == b"mine \xff 1"
    assert readme(tmp_path).read_text(encoding="utf-8") == CARD


def test_force_keeps_no_copy_of_hubkits_own(tmp_path: Path) -> None:
    regions.write_card(tmp_path, CARD)
    regions.write_card(tmp_path, regions.seal("# New 🤗\n"), force=True)
    assert not (tmp_path / "README.md.orig").exists()


def test_a_directory_in_the_cards_place(tmp_path: Path) -> None:
    readme(tmp_path).mkdir()
    with pytest.raises(HubkitError, match="cannot read"):
        regions.write_card(tmp_path, CARD)


def test_sealing_is_one_newline_at_the_end() -> None:
    assert regions.seal("x\n\n\n") == regions.seal("x")
    assert regions.seal("x").endswith("-->\n")
    assert regions.is_sealed(regions.seal("x"))


def test_a_seal_tells_of_another_template() -> None:
    mine = regions.seal("# A card\n", "a template")
    assert regions.is_sealed(mine)
    assert regions.has_own_template(mine)
    assert regions.has_own_template(mine.replace("\n", "\r\n"))
    assert "template=" not in CARD
    assert not regions.has_own_template(CARD)
    assert not regions.is_sealed(mine.replace("A card", "My card"))
