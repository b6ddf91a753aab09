"""The table of what can go wrong names tests that are there."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "faults.md"
NAMED = re.compile(r"`((?:conformance/)?test_\w+\.py)::(\w+)`")


def rows() -> list[list[str]]:
    """The cells of each row of the page's tables, heads apart."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0] not in ("What can go wrong", "---")]


@functools.cache
def functions(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


def test_each_row_names_a_test_that_is_there() -> None:
    found = rows()
    assert len(found) > 40
    for row in found:
        assert len(row) == 3, row
        tests = NAMED.findall(row[2])
        assert tests, f"no test stands behind: {row[0]}"
        for file, name in tests:
            assert name in functions(ROOT / "tests" / file), f"{file} has no {name}"
