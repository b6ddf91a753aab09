"""Rendering: pure, from the package's template or a user's own, with errors that name the line."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from card_cases import CASES, CAUSAL, with_digest

import hubkit
from hubkit.card import render as rendering
from hubkit.card.facts import Facts, gather
from hubkit.errors import CardError
from hubkit.record import Author


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    CASES["causal-lora"](tmp_path / "adapter")
    return gather(tmp_path / "adapter")


def own(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.md.j2"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_template_beside_the_package_is_found() -> None:
    assert (
        rendering.default_template() == Path(hubkit.__file__).parent.parent / "templates" / "model_card.md.j2"
    )


def test_the_template_in_the_package_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "hubkit"
    (package / "templates").mkdir(parents=True)
    (package / "templates" / "model_card.md.j2").write_text("x")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "model_card.md.j2").write_text("y")
    monkeypatch.setattr(hubkit, "__file__", str(package / "__init__.py"))
    assert rendering.default_template() == package / "templates" / "model_card.md.j2"
    (package / "templates" / "model_card.md.j2").unlink()
    assert rendering.default_template() == tmp_path / "templates" / "model_card.md.j2"
    (tmp_path / "templates" / "model_card.md.j2").unlink()
    with pytest.raises(CardError, match="missing"):
        rendering.default_template()


def test_rendering_uses_no_clock_and_no_network(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("render is pure")

    before = rendering.render(facts)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(time, "time", refuse)
    assert rendering.render(facts) == before


def test_a_users_template(facts: Facts, tmp_path: Path) -> None:
    template = own(
        tmp_path, "---\n{{ front_matter }}---\n# {{ title }}\n{{ perplexity | table(*perplexity_head) }}"
    )
    card = rendering.render(facts, template)
    assert "# SmolLM2-135M-Instruct, LoRA adapter\n" in card
    assert card.endswith("-->\n")
    assert not card.endswith("\n\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n{{ no_such_name }}", r"own\.md\.j2:2: 'no_such_name' is undefined"),
        ("a\nb\n{{ record.training.no_such }}", r"own\.md\.j2:3: .*no_such"),
        ("{% if %}", r"own\.md\.j2:1: "),
        ("\n\n{{ base_left_out }}", r"own\.md\.j2:3: this value is not known"),
        ("\n{{ 1 / 0 }}", r"own\.md\.j2:2: division by zero"),
        ("{{ title.__class__.__mro__ }}", r"own\.md\.j2:1: .*unsafe"),
        ("{{ record.update({}) }}", r"own\.md\.j2:1: .*unsafe"),
        ("{% include '/etc/passwd' %}", r"own\.md\.j2:1: "),
    ],
)
def test_an_error_in_a_template_names_the_line(text: str, message: str, facts: Facts, tmp_path: Path) -> None:
    with pytest.raises(CardError, match=message):
        rendering.render(facts, own(tmp_path, text))


def test_a_template_that_cannot_be_read(facts: Facts, tmp_path: Path) -> None:
    with pytest.raises(CardError, match="cannot read template"):
        rendering.render(facts, tmp_path / "none.md.j2")
    (tmp_path / "bytes.md.j2").write_bytes(b"\xff\xfe")
    with pytest.raises(CardError, match="not UTF-8"):
        rendering.render(facts, tmp_path / "bytes.md.j2")


def test_no_jinja_in_the_authors_text_is_evaluated(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "adapter")
    evil = "{{ 7 * 7 }} {% for x in y %} {# gone #}"
    author = Author(title=evil, summary=evil, description=evil, limitations=evil, tags=[evil], example=evil)
    record = msgspec.structs.replace(with_digest(directory, CAUSAL), author=author)
    card = rendering.render(gather(directory, record=record))
    assert card.count(evil) >= 5
    assert not re.search(r"\b49 ", card)


def test_the_context_holds_nothing_that_touches_files(facts: Facts) -> None:
    def plain(value: object) -> bool:
        if isinstance(value, dict):
            return all(map(plain, [*value, *value.values()]))
        if isinstance(value, (list, tuple)):
            return all(map(plain, value))
        return value is None or isinstance(value, (str, int, float, bool))

    context = rendering.context(facts)
    context.pop("usage")
    assert plain(context)


def test_making_a_card_imports_nothing_heavy(facts: Facts) -> None:
    code = (
        "import sys; from pathlib import Path; from hubkit.card.facts import gather;"
        " from hubkit.card.render import render; render(gather(Path(sys.argv[1])));"
        " heavy = {'torch', 'transformers', 'peft', 'huggingface_hub', 'datasets'};"
        " print(sorted(heavy.intersection(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(facts.adapter.directory)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
