"""YAML as settings read it: plain scalars of YAML 1.2, places of keys, and errors that are one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubkit import yaml_reading, yaml_source
from hubkit.errors import SettingsError
from hubkit.yaml_source import Source

FILE = Path("run.yaml")


def value(text: str) -> Any:
    return yaml_reading.parse(f"key: {text}", FILE)[1]["key"]


def refused(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        yaml_reading.parse(text, FILE)
    return caught.value.message


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """What it returns, or the SettingsError that it raises; no other error passes."""
    try:
        return function(*arguments)
    except SettingsError as error:
        return error


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("no", "no"),
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("[no, nb, en]", ["no", "nb", "en"]),
        ("true", True),
        ("False", False),
        ("3e-4", 3e-4),
        ("2E3", 2000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-1.5e+3", -1500.0),
        ("0", 0),
        ("-3", -3),
        ("+3", 3),
        ("010", "010"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0x1F", "0x1F"),
        ("٣", "٣"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("~", None),
        ("null", None),
        ("", None),
        ('"3"', "3"),
        ("'no'", "no"),
        ("1.2.3", "1.2.3"),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, meant: Any) -> None:
    found = value(text)
    assert found == meant
    assert type(found) is type(meant)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3", 3, "key 'a' stands twice"),
        ("a:\n  b: {c: 1, c: 2}", 2, "key 'c' stands twice"),
        ("a: 1\n2: b", 2, "a key is not text; put it into quotes"),
        ("? [a, b]\n: c", 1, "a key is not text"),
        ("a: 1\nnull: b", 2, "a key is not text"),
        ("a: 1\nb: c: d", 2, "mapping values are not allowed here"),
        ("a: 1\nb: [1, 2", 2, "expected ',' or ']'"),
        ("a: 1\nb: 'x", 2, "found unexpected end of stream"),
        ("a: 1\n\tb: 2", 2, "found character '\\t' that cannot start any token"),
        ("a: 1\n---\nb: 2", 2, "but found another document"),
        ("a: 1\nb: *c", 2, "found undefined alias 'c'"),
        ("a: 1\nb: \x00", 2, "it holds character #x0000"),
        ("a: 1\nb: 1e400", 2, "1e400 is no number that fits into 64 bits"),
        ("a: 1\nb: 99999999999999999999", 2, "is no number that fits into 64 bits"),
        ("a: 1\nb: !!float .nan", 2, ".nan is no number that fits into 64 bits"),
        ("a: 1\nb: " + "9" * 5000, 2, "is no int that can be read"),
        ("a: 1\nb: !!bool maybe", 2, "'maybe' is no bool that can be read"),
        ("a: 1\nb: !!timestamp x", 2, "'x' is no timestamp that can be read"),
        ("a: 1\nb: !!int ''", 2, "'' is no int that can be read"),
        ("a: 1\nb: !!python/object/apply:os.system [x]", 2, "could not determine a constructor"),
        ("a: 1\nb: !!map x", 2, "expected a mapping node"),
        ("<<: 3", 1, "expected a mapping or list of mappings for merging"),
        ("- a\n- b", 1, "settings are a mapping of keys to values, not a list"),
        ("word", 1, "settings are a mapping of keys to values, not a str"),
        ("[" * 700, 1, "it is nested too deeply"),
        ("{a: " * 700, 1, "it is nested too deeply"),
    ],
)
def test_errors_name_the_line(text: str, line: int, words: str) -> None:
    message = refused(text)
    assert message.startswith(f"run.yaml:{line}: ")
    assert words in message
    assert len(message) < 300


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert yaml_reading.parse("", FILE) == (None, {})
    assert yaml_reading.parse("# nothing yet\n", FILE)[1] == {}


def test_anchors_and_merge_keys_work() -> None:
    _, plain = yaml_reading.parse("a: &x {r: 4, s: 1}\nb: {<<: *x, s: 2}", FILE)
    assert plain == {"a": {"r": 4, "s": 1}, "b": {"r": 4, "s": 2}}


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ("a.b=c", "a.b", "c"),
        ("a=0", "a", 0),
        ("a=false", "a", False),
        ("a=", "a", None),
        ("a=''", "a", ""),
        ("a=null", "a", None),
        ("a=[]", "a", []),
        ("a=no", "a", "no"),
        ("a=3e-4", "a", 3e-4),
        ("a.b-c=x=y", "a.b_c", "x=y"),
        (" a = [q, v]", "a", ["q", "v"]),
    ],
)
def test_overrides(text: str, key: str, meant: Any) -> None:
    assert yaml_reading.override(text) == (key, meant)


@pytest.mark.parametrize("text", ["a", "=1", "", "a..b=1", ".a=1", "a.=1", "a=[", "a={x: 1, x: 2}", "a=\x00"])
def test_overrides_that_are_none(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^--set "):
        yaml_reading.override(text)
    with pytest.raises(SettingsError, match=r"^--set "):
        yaml_reading.override("a=" + "[" * 700)


def test_put_opens_a_shorthand() -> None:
    plain: dict[str, Any] = {"method": "lora", "dataset": "org/text", "base_model": "org/base", "n": None}
    for dotted, given_value in (
        ("method.r", 4),
        ("dataset.split", "test"),
        ("base_model.path", "x"),
        ("n.m", 0),
    ):
        yaml_source.put(plain, dotted, given_value)
    assert plain == {
        "method": {"name": "lora", "r": 4},
        "dataset": {"id": "org/text", "split": "test"},
        "base_model": {"id": "org/base", "path": "x"},
        "n": {"m": 0},
    }


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: int = 1


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner
    many: list[int] = []


class Whole(msgspec.Struct):
    size: int
    color: str


class All(msgspec.Struct):
    whole: Whole | None = None


def checked(text: str, *overrides: str) -> Outer:
    tree, plain = yaml_reading.parse(text, FILE)
    given_by_key = {}
    for override in overrides:
        key, new = yaml_reading.override(override)
        given_by_key[key] = override
        yaml_source.put(plain, key, new)
    return yaml_source.section(plain, Outer, Source(FILE, tree, given_by_key), [])


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("inner:\n  size: x", [], "run.yaml:2: inner.size: expected a whole number, got 'x'"),
        ("inner: {}\nmany:\n- 1\n- x", [], "run.yaml:4: many.1: expected a whole number, got 'x'"),
        ("inner:\n  sise: 1", [], "run.yaml:2: unknown key 'sise', did you mean 'size'?"),
        ("inner: {}\nsize: 1", [], "run.yaml:2: unknown key 'size', did you mean 'inner.size'?"),
        ("inner: {}\nzzz: 1", [], "run.yaml:2: unknown key 'zzz'; known here: inner, many"),
        ("many: []", [], "run.yaml:1: settings: the key 'inner' is missing"),
        ("inner: {}", ["inner.size=x"], "--set inner.size: expected a whole number, got 'x'"),
        ("inner: {}", ["inner=3"], "--set inner: expected keys with values, got 3"),
        ("inner: {}", ["inner={a: 1}"], "--set inner: unknown key 'a'; known here: size"),
        ("many: []", ["inner.sise=3"], "--set inner.sise: unknown key 'sise', did you mean 'size'?"),
        (
            "inner: {}",
            ["inner={}", "inner.size=x"],
            "--set inner.size: expected a whole number, got 'x'",
        ),
    ],
)
def test_section_names_the_place(text: str, overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        checked(text, *overrides)
    assert caught.value.message == message
    assert caught.value.hint == "hubkit schema settings lists every key"


def test_a_missing_key_below_an_override_is_that_overrides_fault() -> None:
    tree, plain = yaml_reading.parse("{}", FILE)
    yaml_source.put(plain, "whole.size", 3)
    with pytest.raises(SettingsError, match=r"^--set whole\.size: whole: the key 'color' is missing"):
        yaml_source.section(plain, All, Source(FILE, tree, {"whole.size": "whole.size=3"}), [])


def test_long_keys_are_cut() -> None:
    assert len(refused(f"{'k' * 900}: 1\n{'k' * 900}: 2")) < 200
    with pytest.raises(SettingsError) as caught:
        checked(f"inner: {{}}\n{'k' * 900}: 1")
    assert len(caught.value.message) < 200


@given(st.text(alphabet=st.sampled_from("ab:-[]{}!&*#|>'\",\n\t \x00?<=%@`~019.e+"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    found = outcome(yaml_reading.parse, text, FILE)
    if isinstance(found, SettingsError):
        assert found.message.startswith("run.yaml:")
        assert "\n" not in str(found)
    else:
        assert all(type(key) is str for key in found[1])


@given(st.text(max_size=40))
def test_any_override_is_read_or_refused(text: str) -> None:
    found = outcome(yaml_reading.override, text)
    if isinstance(found, SettingsError):
        assert str(found).startswith("--set ")
        assert "\n" not in str(found)
    else:
        assert all(found[0].split("."))


def test_names_of_other_trainers_are_understood() -> None:
    for other, ours in yaml_source.ALIASES.items():
        assert yaml_source.nearest(other, ["x", ours]) == f", did you mean {ours!r}?"


# --- written and read again --------------------------------------------------------------------------------

scalars = (
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.text(max_size=12) | st.floats(-1e18, 1e18)
)
trees = st.recursive(
    scalars,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=6), below, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1, max_size=6), trees, max_size=4))
@example(
    {
        "a": "1e3",
        "b": "no",
        "c": "0x10",
        "d": 1e-5,
        "e": 1e17,
        "1": "1:30",
        "f": "2001-01-01",
        "g": "=",
        "~": "null",
        "<<": "a",
    }
)
def test_what_is_written_is_read_as_the_same(plain: dict[str, Any]) -> None:
    assert yaml_reading.parse(yaml_reading.dump(plain), FILE)[1] == plain
