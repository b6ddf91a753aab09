"""YAML from outside: what stands for more than metadata needs is refused before anything is built of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from card_cases import CASES
from hypothesis import given
from hypothesis import strategies as st

from hubkit import bounded_yaml
from hubkit.audit import front, rules, subject
from hubkit.cli.main import run

LEVELS = range(1, 12)
BOMBS = {
    "lists": "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in LEVELS),
    "mappings": "a0: &a0 {x: y}\n"
    + "".join(f"a{n}: &a{n} {{{', '.join(f'k{k}: *a{n - 1}' for k in range(9))}}}\n" for n in LEVELS),
    "merges": "a0: &a0 {x: y}\n"
    + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: 1}}\n" for n in LEVELS),
    "circle": "license: &a [*a]\n",
    "circle of two": "license: &a {x: &b {y: *a}}\n",
    "brackets": "license: " + "[" * 50_000 + "\n",
    "braces": "license: " + "{a: " * 20_000 + "\n",
    "number": "license: 0x" + "f" * 5_000 + "\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_named_with_its_line(name: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(yaml.MarkedYAMLError):
        bounded_yaml.check(BOMBS[name])
    found = front.read(["---", *BOMBS[name].split("\n"), "---"])
    assert found.data is None
    assert found.error
    assert found.error_line
    directory = CASES["foreign"](tmp_path / "a")
    card = directory / "README.md"
    card.write_text(f"---\n{BOMBS[name]}---\n\n# A card\n")
    assert "HK103" in {one.code for one in rules.findings(subject.load(card))}
    assert run(["card", "--adapter", str(directory), "-y"]) == 2  # the author's file is not read, and stays
    assert card.read_text().endswith("# A card\n")
    assert time.monotonic() - began < 20


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=9), part, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_any_other_data_is_let_through(data: Any) -> None:
    text = yaml.safe_dump({"a": data, "same": [data, data]}) + "# " + "x" * bounded_yaml.SHORT
    bounded_yaml.check(text)


def test_metadata_that_is_large_but_plain_is_let_through() -> None:
    bounded_yaml.check("tags:\n" + "- a\n" * 50_000)
    bounded_yaml.check("a: &a {b: 1}\nc: {<<: *a}\nd: *a\n")
