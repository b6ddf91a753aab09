"""The three-way merge of a front matter: what comes, goes and stays; nothing else is edited."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from hubkit.card.front_matter import to_yaml
from hubkit.card.metadata_merge import LISTS, ORDER, merge
from hubkit.errors import CardError

ITEMS = st.lists(
    st.sampled_from(["lora", "a", "b-c", "no", "4-bit", "x y", "d: e", "f,g"]), unique=True, max_size=4
)
VALUES = {
    "license": st.sampled_from(["mit", "apache-2.0", "cc-by-4.0"]),
    "pipeline_tag": st.sampled_from(["text-generation", "fill-mask"]),
}
OURS = st.fixed_dictionaries(
    {},
    optional={
        **VALUES,
        "tags": ITEMS.filter(bool),
        "metrics": ITEMS.filter(bool),
        "library_name": st.just("peft"),
    },
)
# Ways to write the same, and what else stands in somebody's front matter.
QUOTES = st.sampled_from([str, lambda v: f"'{v}'", lambda v: f'"{v}"'])
COMMENTS = st.sampled_from(["", "", "  # mine", " # 'quoted': [x]"])
OTHERS = st.sampled_from(
    ["x: 1  # one", "licence: license", "y:\n  z: [a, {b: c}]", "# a comment", "", "emoji: 🤗",
     "w: |\n  text\n   more", "when: 2024-01-01", "v: 'it''s'", "extra:\n- a\n-   b # c", "u: &anchor 1"]
)  # fmt: skip
FLOW = st.sampled_from(["block", "indented", "flow", "long flow"])


def quoted(value: str, way: Any) -> str:
    return way(value) if yaml.safe_load(way(value)) == value else f'"{value}"'


@st.composite
def fronts(draw: st.DrawFn, metadata: dict[str, Any]) -> str:
    """The metadata as somebody might have written it: order, quoting, styles, comments, other keys."""
    blocks = draw(st.lists(OTHERS, max_size=3, unique=True))
    for key, value in metadata.items():
        end = draw(COMMENTS)
        if not isinstance(value, list):
            blocks.append(f"{key}: {quoted(value, draw(QUOTES))}{end}")
            continue
        style, items = (
            draw(FLOW),
            [f'"{v}"' if set(v) & set(",:") else quoted(v, draw(QUOTES)) for v in value],
        )
        if style == "flow" or not items:
            blocks.append(f"{key}: [{', '.join(items)}]{end}")
        elif style == "long flow":
            blocks.append(f"{key}: [\n  " + ",\n  ".join(items) + f"\n  ]{end}")
        else:
            dash = "  -  " if style == "indented" else "- "
            blocks.append(f"{key}:{end}\n" + "\n".join(dash + item + draw(COMMENTS) for item in items))
    text = "\n".join(draw(st.permutations(blocks)))
    return (text + "\n").replace("\n", draw(st.sampled_from(["\n", "\n", "\r\n"]))) if text else ""


def read(text: str) -> dict[str, Any]:
    return yaml.load(text, Loader=yaml.BaseLoader) or {}


def expected_list(had: list[str], ours: list[str], theirs: list[str]) -> list[str]:
    new = [item for item in ours if item not in theirs and item not in had] if theirs or not had else []
    return [item for item in theirs if item not in had or item in ours] + new


@given(OURS, OURS, OURS, st.data())
def test_the_algebra(
    had: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any], data: st.DataObject
) -> None:
    text = data.draw(fronts(theirs))
    found = merge(text, ours, had)
    now = read(found.text)
    for key in {*had, *ours, *theirs}:
        if key in LISTS:
            if key in theirs:
                assert now.get(key, []) == expected_list(had.get(key, []), ours.get(key, []), theirs[key]), (
                    key
                )
            else:
                assert now.get(key, []) == ([] if key in had else ours.get(key, [])), key
        elif key not in theirs:
            assert now.get(key) == (None if key in had else ours.get(key)), key
        elif theirs[key] == had.get(key):
            assert now.get(key) == ours.get(key), key
        else:
            assert now[key] == theirs[key], key
    before, after = read(text), now
    assert {k: v for k, v in before.items() if k not in ORDER} == {
        k: v for k, v in after.items() if k not in ORDER
    }
    again = merge(found.text, ours, found.written)
    assert (again.text, again.written) == (found.text, found.written)


@given(OURS, st.lists(OURS, min_size=1, max_size=4), st.data())
def test_the_authors_bytes_stay_whatever_the_facts(
    author: dict[str, Any], changes: list[dict[str, Any]], data: st.DataObject
) -> None:
    text = data.draw(fronts(author))
    mine = [line for line in text.splitlines(keepends=True) if line.strip()]
    base: dict[str, Any] | None = None
    changes = [{k: v for k, v in change.items() if k != "library_name"} for change in changes]
    now = text
    for ours in [*changes, {}]:
        found = merge(now, ours, base)
        now, base = found.text, found.written
        lines = iter(now.splitlines(keepends=True))
        if all(not isinstance(value, list) for value in author.values()):
            assert all(line in lines for line in mine)  # in this order, byte for byte
        for key, value in author.items():
            if isinstance(value, list):
                assert [item for item in read(now)[key] if item in value] == value
    assert [line for line in now.splitlines(keepends=True) if line.strip()] == mine
    assert base == {}


@given(OURS, st.data())
def test_what_is_right_already_is_not_touched(ours: dict[str, Any], data: st.DataObject) -> None:
    text = data.draw(fronts(ours))
    for base in (None, ours):
        found = merge(text, ours, base)
        assert found.text == text
        assert found.notes == []


@given(st.text(max_size=60), OURS)
def test_any_text_is_merged_or_refused_in_one_line(text: str, ours: dict[str, Any]) -> None:
    assume(not any(line.rstrip() == "---" for line in text.splitlines()))
    text = f"{text}\n"
    try:
        found = merge(text, ours, None)
    except CardError as refusal:
        said = str(refusal)
    else:
        said = ""
    assert said.count("README.md, line ") == (1 if said else 0)
    assert "\n" not in said
    if said:
        return
    before = {str(k): v for k, v in read(text).items() if str(k) not in ORDER}
    assert {str(k): v for k, v in read(found.text).items() if str(k) not in ORDER} == before
    assert merge(found.text, ours, found.written).text == found.text


BASE = {"base_model": "org/base", "base_model_relation": "adapter", "library_name": "peft"}


@pytest.mark.parametrize(
    ("text", "ours", "certain", "new", "note"),
    [
        ("base_model: /home/ada/b\n", {"base_model": "o/b"}, (), "base_model: o/b\n", "/home/ada/b"),
        ("base_model: ''\n", {"base_model": "o/b"}, (), "base_model: o/b\n", "in place of"),
        ("base_model:\n", {"base_model": "o/b"}, (), "base_model: o/b\n", None),
        ("base_model:\n- x/y # x\n", {"base_model": "o/b"}, (), "base_model: o/b\n# x\n", "x/y"),
        ("base_model:\n- O/B\n", {"base_model": "o/b"}, (), "base_model:\n- O/B\n", "which stays"),
        ("library_name: x # y\n", {"library_name": "peft"}, (), "library_name: peft # y\n", "of x"),
        (
            "base_model_relation: finetune\n",
            {"base_model_relation": "adapter"},
            (),
            "base_model_relation: adapter\n",
            "finetune",
        ),
        ("pipeline_tag: other\n", {"pipeline_tag": "fill-mask"}, (), "pipeline_tag: other\n", "which stays"),
        (
            "pipeline_tag: other\n",
            {"pipeline_tag": "fill-mask"},
            {"pipeline_tag"},
            "pipeline_tag: fill-mask\n",
            "other",
        ),
        ("license: mit\n", {"license": "bsd"}, {"license"}, "license: bsd\n", "as you say now"),
        (
            "license: mit\n",
            {"license": "other", "license_name": "mine", "license_link": "LICENSE"},
            (),
            "license: mit\n",
            "which stays",
        ),
        (
            "tags:\n- base_model:adapter:/x/y\n- a\n",
            {"base_model": "o/b", "tags": ["base_model:adapter:o/b"]},
            (),
            "tags:\n- a\n- base_model:adapter:o/b\n",
            "left out base_model:adapter:/x/y",
        ),
        (
            "library_name: sentence-transformers\n",
            {"library_name": "peft"},
            (),
            "library_name: sentence-transformers\n",
            "which stays; hubkit would say peft",
        ),
        ("library_name: transformers\n", {"library_name": "peft"}, (), "library_name: peft\n", "in place of"),
        ("tags: mine\n", {"tags": ["lora"]}, (), "tags: [mine, lora]\n", None),
        ("tags:\n", {"tags": ["lora"]}, (), "tags: [lora]\n", None),
        ("tags: []\n", {"tags": ["a: b"]}, (), 'tags: ["a: b"]\n', None),
        ("language: no\n", {"language": ["en"]}, (), "language: [no, en]\n", "unquoted no"),
        ("  a: 1\n  b: 2\n", {"library_name": "peft"}, (), "  a: 1\n  b: 2\n  library_name: peft\n", None),
    ],
)
def test_what_the_adapter_contradicts_and_what_stays(
    text: str, ours: dict[str, Any], certain: Any, new: str, note: str | None
) -> None:
    found = merge(text, ours, None, certain)
    assert found.text.endswith(new) or found.text.startswith(new)
    assert [note in said for said in found.notes] == ([True] if note else [])
    assert merge(found.text, ours, found.written).text == found.text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tags: [a", "line 3: the front matter is not YAML"),
        ("license: mit\nlicense: mit", 'line 3: the front matter has "license" twice'),
        ("a\n", "line 2: the front matter is no mapping"),
        ("{a: b}\n", "line 2: the front matter is written in braces"),
        ("x: 1\n<<: {a: b}\n", "line 3: the front matter has a merge key"),
        ("x: 1\ntags: &t [a]\n", 'line 3: hubkit cannot edit "tags"'),
        ("tags: !!seq [a]\n", 'line 2: hubkit cannot edit "tags"'),
        ("tags:\n- a\n-\n  b\n- lora2\n", "line 5: hubkit cannot edit a list that is written so"),
        ("x:\n  y:\n\tz: 1", "line 4: the front matter is not YAML"),
        ("license: nope\n", "line 2: the Hub would refuse this card"),
        ("x: 1\nlicense: null\ndatasets: /home/ada/data\n", "line 4: the Hub would refuse"),
        ("model-index:\n- name: x\n", "line 2: the Hub would refuse"),
        ("x: \x00\n", "line 2: the front matter is not YAML"),
        ("[" * 3000 + "\n", "the front matter is not YAML"),
    ],
)
def test_what_cannot_be_edited_is_one_line(text: str, why: str) -> None:
    with pytest.raises(CardError, match=why) as caught:
        merge(text, {"tags": ["lora"]}, None)
    assert "\n" not in str(caught.value)


def result(value: float, metric: str = "perplexity") -> dict[str, Any]:
    return {
        "task": {"type": "text-generation"},
        "dataset": {"type": "d", "name": "d"},
        "metrics": [{"type": metric, "value": value}],
    }


def index(*results: dict[str, Any], name: str = "x") -> dict[str, Any]:
    return {"model-index": [{"name": name, "results": list(results)}]}


def test_results_of_hubkit_are_replaced_and_the_authors_stay() -> None:
    text = to_yaml(index(result(1.5), result(0.9, "accuracy"))).replace(
        "value: 0.9\n", "value: 0.9  # by hand\n"
    )
    found = merge(text, index(result(1.25), name="y"), index(result(1.5)))
    assert found.text == to_yaml(index(result(0.9, "accuracy"), result(1.25))).replace(
        "0.9\n", "0.9  # by hand\n"
    )
    assert found.written == index(result(1.25), name="y")
    gone = merge(found.text, {}, found.written)
    assert gone.text == to_yaml(index(result(0.9, "accuracy"))).replace("0.9\n", "0.9  # by hand\n")
    assert gone.written == {}
    mine = merge(gone.text, {}, {})
    assert mine.text == gone.text


def test_a_result_that_the_author_changed_is_the_authors() -> None:
    text = to_yaml(index(result(1.4)))
    found = merge(text, index(result(1.5)), index(result(1.5)))
    assert found.text == text
    assert merge(text, index(result(1.25)), index(result(1.5))).text == to_yaml(
        index(result(1.4), result(1.25))
    )


def test_results_that_are_all_hubkits_go_with_their_key() -> None:
    text = "a: 1\n" + to_yaml(index(result(1.5)))
    assert merge(text, {}, index(result(1.5))).text == "a: 1\n"
    renamed = text.replace("name: x", "name: mine")
    assert merge(renamed, {}, index(result(1.5))).text == "a: 1\n"
    two = to_yaml(
        {"model-index": [*index(result(1.5))["model-index"], *index(result(2.0), name="z")["model-index"]]}
    )
    assert merge(two, {}, index(result(1.5))).text == to_yaml(index(result(2.0), name="z"))


def with_accuracy(text: str) -> str:
    """An author's metric beside hubkit's, in the same result."""
    value = text.index("\n", text.index("value: ")) + 1
    return text[:value] + "    - {type: accuracy, value: 0.9}  # mine\n" + text[value:]


def test_hubkits_number_beside_an_authors_metric_follows_the_facts() -> None:
    before = index(result(1.5))
    text = with_accuracy(to_yaml(before)).replace("value: 1.5\n", "value: 1.5  # low\n")
    assert merge(text, before, before).text == text
    found = merge(text, index(result(1.25)), before)
    assert found.text == text.replace("1.5", "1.25")
    assert found.written == index(result(1.25))
    again = merge(found.text, index(result(1.125)), found.written)
    assert again.text == text.replace("1.5", "1.125")
    gone = merge(found.text, {}, found.written)
    assert yaml.safe_load(gone.text) == index({**result(0.9, "accuracy")})
    assert "# mine" in gone.text
    assert gone.written == {}
    renamed = text.replace("name: d\n", "name: my data\n")
    assert renamed != text
    assert merge(renamed, index(result(1.25)), before).text == renamed.replace("1.5", "1.25")


def test_a_number_of_other_data_is_a_result_of_its_own() -> None:
    before, now = result(1.5), result(1.25)
    now["dataset"] = {"type": "other", "name": "other"}
    text = with_accuracy(to_yaml(index(before)))
    found = merge(text, index(now), index(before))
    assert yaml.safe_load(found.text) == index(result(0.9, "accuracy"), now)
    gone = merge(found.text, {}, found.written)
    assert yaml.safe_load(gone.text) == index(result(0.9, "accuracy"))


def test_a_number_of_hubkits_is_known_without_a_record_of_it() -> None:
    text = to_yaml(index(result(1.5)))
    found = merge(text, index(result(1.25)), None)
    assert found.text == to_yaml(index(result(1.25)))
    assert found.notes == ["model-index: perplexity 1.5 gave way to what was measured"]
    others = to_yaml(index({**result(1.5), "dataset": {"type": "other", "name": "other"}}))
    assert merge(others, index(result(1.25)), None).text.startswith(others)


@pytest.mark.parametrize(
    ("text", "new", "then"),
    [
        ("tags: [mine, # c1\n  a, # c2\n  b] # c3\n", [], "tags: [mine, # c1\n  # c2\n  ] # c3\n"),
        ("tags: [mine, # c1\n  a, # c2\n  b] # c3\n", ["x"], "tags: [mine, x, # c1\n  # c2\n  ] # c3\n"),
        ("tags: [a, # one\n  b # two\n  ]\nlicense: mit\n", [], "# one\n# two\nlicense: mit\n"),
        ("tags: [a, # one\n  mine,\n  b,\n]\n", [], "tags: [# one\n  mine,\n]\n"),
    ],
)
def test_comments_in_a_list_in_brackets_stay(text: str, new: list[str], then: str) -> None:
    assert merge(text, {"tags": new} if new else {}, {"tags": ["a", "b"]}).text == then


@pytest.mark.parametrize(
    "index_of_last", ["x", [1], [{"x": 1}], [{"results": 1}], [{"results": [1, {"a": 2}]}]]
)
def test_a_record_of_another_shape_is_no_fault(index_of_last: Any) -> None:
    text = with_accuracy(to_yaml(index(result(1.5))))
    found = merge(text, index(result(1.25)), {"model-index": index_of_last, "tags": "lora"})
    assert "value: 1.5\n" in found.text
    assert "value: 1.25\n" in found.text


def test_what_both_say_is_the_authors_to_take_out() -> None:
    """PEFT's card has hubkit's tags already: one that the author deletes does not come back, nor does another
    of the author's go when hubkit says it no more."""
    ours = {"library_name": "peft", "tags": ["lora", "transformers", "4-bit"]}
    first = merge("library_name: peft\ntags:\n- lora\n- transformers\n", ours, None)
    assert read(first.text) == ours
    assert first.written == {"tags": ["4-bit"]}
    assert first.agreed == {"library_name": "peft", "tags": ["lora", "transformers"]}

    cut = first.text.replace("- transformers\n", "").replace("library_name: peft\n", "")
    for _ in range(2):
        again = merge(cut, ours, first.written, agreed=first.agreed)
        assert again.text == cut
        assert (again.written, again.agreed) == (first.written, first.agreed)
        first = again

    less = merge(cut, {"library_name": "peft", "tags": ["transformers"]}, again.written, agreed=again.agreed)
    assert read(less.text) == {"tags": ["lora"]}
    assert less.agreed == {"library_name": "peft", "tags": ["transformers"]}

    none = merge("a: 1\n", ours, {}, agreed={"tags": ["lora"], "library_name": "peft"})
    assert none.text == "a: 1\n"
