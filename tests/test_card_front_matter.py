"""The front matter: what it says, in which order, and that no text can break its YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from card_cases import CASES, CAUSAL, LORA_CONFIG, lora_tensors, with_digest, write_adapter
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from hubkit.card import front_matter
from hubkit.card.facts import Facts, gather
from hubkit.card.render import render
from hubkit.errors import CardError
from hubkit.record import Author, Dataset, Record

SCALARS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "no", "yes", "on", "y", "null", "~", "1e3", "1.5", "0x1f", "2024-01-01", "a: b", "a #b", "- a",
            "&a", "*a", "a:", ":a", "{{ x }}", "%a", "@a", "'", '"', "a\nb", " a", "a ", "NaN", ".inf", "=",
            "<<", "1:30",
        ]
    ),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda below: st.one_of(
        st.lists(below, min_size=1, max_size=3),
        st.dictionaries(st.text(max_size=8), below, min_size=1, max_size=3),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), TREES, min_size=1, max_size=4))
def test_yaml_reads_back_as_it_was_meant(tree: dict[str, Any]) -> None:
    assert yaml.safe_load(front_matter.to_yaml(tree)) == tree


def facts_with(tmp_path: Path, **changes: Any) -> Facts:
    """Facts of a small adapter whose record is the whole one with some parts changed."""
    directory = tmp_path / "adapter"
    if not directory.exists():
        write_adapter(directory, LORA_CONFIG, lora_tensors("model.layers", 1, ["q_proj"], 8, 2))
    record = msgspec.structs.replace(with_digest(directory, CAUSAL), **changes)
    return gather(directory, record=record)


def test_keys_have_a_fixed_order(tmp_path: Path) -> None:
    assert list(front_matter.metadata(facts_with(tmp_path))) == [
        "base_model",
        "base_model_relation",
        "library_name",
        "pipeline_tag",
        "license",
        "language",
        "metrics",
        "tags",
        "model-index",
    ]


def test_norwegian_stays_norwegian(tmp_path: Path) -> None:
    facts = facts_with(tmp_path, author=Author(language=["no"]))
    card = render(facts)
    assert 'language:\n- "no"\n' in card
    assert ModelCard(card).data.language == ["no"]


def test_a_local_path_is_no_base_model(tmp_path: Path) -> None:
    directory = write_adapter(
        tmp_path / "a",
        {**LORA_CONFIG, "base_model_name_or_path": "/home/ada/models/llama"},
        lora_tensors("model.layers", 1, ["q_proj"], 8, 2),
    )
    facts = gather(directory)
    assert facts.base_id is None
    assert "base_model" not in front_matter.metadata(facts)
    assert "/home/ada" not in render(facts)


def test_the_bases_license_is_not_inherited(tmp_path: Path) -> None:
    facts = facts_with(tmp_path, author=Author())
    assert facts.record.base_model is not None
    assert facts.record.base_model.license == "apache-2.0"
    assert "license" not in front_matter.metadata(facts)


def test_only_hub_datasets_are_listed(tmp_path: Path) -> None:
    assert "datasets" not in front_matter.metadata(facts_with(tmp_path))
    hub = Dataset(name="Salesforce/wikitext", id="Salesforce/wikitext")
    assert front_matter.metadata(facts_with(tmp_path, dataset=hub))["datasets"] == ["Salesforce/wikitext"]


def test_without_a_measure_there_are_no_metrics(tmp_path: Path) -> None:
    directory = write_adapter(tmp_path / "a", LORA_CONFIG, lora_tensors("model.layers", 1, ["q_proj"], 8, 2))
    found = front_matter.metadata(gather(directory, record=Record()))
    assert "metrics" not in found
    assert "model-index" not in found


def test_a_value_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    measures = with_digest(facts_with(tmp_path).adapter.directory, CAUSAL).measures
    assert measures.perplexity is not None
    broken = msgspec.structs.replace(
        measures, perplexity=msgspec.structs.replace(measures.perplexity, value=float("nan"))
    )
    with pytest.raises(CardError, match="finite number"):
        render(facts_with(tmp_path, measures=broken))


@pytest.mark.parametrize(
    ("author", "problem"),
    [
        (Author(license="apache"), "did you mean 'apache-2.0'"),
        (Author(license="other"), "license_name"),
        (Author(language=["english"]), "ISO 639"),
    ],
)
def test_what_the_hub_would_refuse_is_an_error(author: Author, problem: str, tmp_path: Path) -> None:
    with pytest.raises(CardError, match=problem):
        render(facts_with(tmp_path, author=author))


def test_a_license_id_is_written_as_the_hub_does(tmp_path: Path) -> None:
    assert (
        front_matter.metadata(facts_with(tmp_path, author=Author(license="Apache-2.0")))["license"]
        == "apache-2.0"
    )


@given(st.text(max_size=30), st.text(max_size=30), st.lists(st.text(max_size=15), max_size=3))
def test_no_text_of_the_author_breaks_the_front_matter(
    tmp_path_factory: pytest.TempPathFactory, title: str, dataset: str, tags: list[str]
) -> None:
    root = tmp_path_factory.getbasetemp() / "front-matter"
    measured = with_digest(facts_with(root).adapter.directory, CAUSAL).measures
    assert measured.perplexity is not None
    facts = facts_with(
        root,
        author=Author(title=title, summary=title, tags=tags, description=title),
        dataset=Dataset(name=dataset, note=title),
        measures=msgspec.structs.replace(
            measured,
            perplexity=msgspec.structs.replace(measured.perplexity, dataset_name=dataset, split=title),
        ),
    )
    card = render(facts)
    assert render(facts) == card
    assert ModelCard(card).data.to_dict() == front_matter.metadata(facts)


@pytest.mark.parametrize("name", CASES)
def test_tags_name_the_base_and_the_method(name: str, tmp_path: Path) -> None:
    CASES[name](tmp_path / name)
    facts = gather(tmp_path / name)
    tags = front_matter.tags(facts)
    assert tags[0] == f"base_model:adapter:{facts.base_id}"
    assert ("lora" in tags) == (name != "causal-hira")
    assert len(tags) == len(set(tags))
