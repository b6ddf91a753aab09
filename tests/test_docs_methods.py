"""The pages of the methods: each names all parameters of its method, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from hubkit import methods

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("name", methods.METHODS)
def test_a_page_names_every_parameter(name: str) -> None:
    page = (DOCS / "methods" / f"{name}.md").read_text(encoding="utf-8")
    if name == "sparse-lora":  # LoRA's own are said there
        assert "(lora.md)" in page
        page += (DOCS / "methods" / "lora.md").read_text(encoding="utf-8")
    quoted = set(re.findall(r"`([a-z_0-9]+)`", page))
    fields = {field.encode_name for field in msgspec.structs.fields(methods.get(name).Parameters)}
    assert fields <= quoted
    in_tables = {
        key
        for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
        for key in re.findall(r"`([a-z_]+)`", row)
        if "_" in key
    }
    every = {
        field.encode_name for m in methods.METHODS.values() for field in msgspec.structs.fields(m.Parameters)
    }
    assert in_tables - {"pissa_niter_"} <= every


def test_the_index_links_every_method() -> None:
    index = (DOCS / "methods.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(methods/([a-z-]+)\.md\)", index)) == set(methods.METHODS)
