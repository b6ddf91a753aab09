"""What hubkit lets pass before a push, the Hub takes: its own check is never the laxer of the two."""

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from hubkit.errors import CardError
from hubkit.hub_rules import LICENSES, PIPELINE_TAGS
from hubkit.localhub.card import parse_card
from hubkit.publishing.checks import _check_front_matter

SCALARS = st.sampled_from(
    [
        "mit",
        "MIT",
        "other",
        "en",
        "no",
        "EN",
        "a/b",
        "./a",
        "peft",
        "text-generation",
        "adapter",
        "",
        "1",
        "null",
    ]
)
LINES = st.one_of(
    st.builds(
        "{}: {}".format, st.sampled_from(["license", "language", "tags", "base_model", "own"]), SCALARS
    ),
    st.sampled_from(
        [
            "a: [",
            "? x",
            "- a",
            "...",
            "--- ",
            "\tx: y",
            "x: &a [*a]",
            "# only",
            "<<: {license: mitt}",
            "a: b: c",
        ]
    ),
    st.text(alphabet="ab:-#'\"[]{}&*!|> \t\r", max_size=8),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "type"]), inner),
    max_leaves=5,
)
KEYS = ["license", "license_name", "license_link", "language", "tags", "metrics", "datasets", "widget"]
KEYS += ["pipeline_tag", "base_model", "model-index"]
METADATA = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3)


def passes(card: str) -> bool:
    """Whether hubkit's check before a push lets a card's front matter pass."""
    try:
        _check_front_matter(Path("adapter"), card)
    except CardError:
        return False
    return True


@given(
    text=st.lists(LINES, max_size=4).map("\n".join) | METADATA.map(yaml.safe_dump),
    before=st.sampled_from(["", "", "\ufeff", "\n", " ", "\r\n"]),
    newline=st.sampled_from(["\n", "\r\n"]),
)
@example(text="license: mit\nlicense: apache-2.0", before="", newline="\n")
@example(text="own: {a: 1, a: 2}", before="", newline="\n")
@example(text="own: 1\n'own': 2", before="", newline="\n")
@example(text="? [a, b]\n: c", before="", newline="\n")
@example(text="--- \na: [", before="\ufeff", newline="\n")
def test_what_passes_here_passes_there(text, before, newline):
    card = before + f"---\n{text}\n---\n# Hi\n".replace("\n", newline)
    if passes(card):
        assert parse_card(card).problems == (), text


@pytest.mark.parametrize("key", ["license", "pipeline_tag"])
def test_all_that_the_lists_name_passes_both(key):
    for value in LICENSES - {"other"} if key == "license" else PIPELINE_TAGS:
        card = f"---\n{key}: {value}\n---\n# Hi\n"
        assert passes(card)
        assert parse_card(card).problems == ()
