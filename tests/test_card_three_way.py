"""Merging three versions line by line: nobody's change is lost, and only a true conflict is one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hubkit.card.three_way import Stretch, merge

LINES = st.lists(st.sampled_from("abcde"), max_size=12)


def sides(found: list[Stretch[str]]) -> set[str]:
    return {stretch.side for stretch in found}


def merged(found: list[Stretch[str]]) -> list[str]:
    return [line for stretch in found for line in stretch.merged]


@given(LINES, LINES)
def test_who_alone_changed_something_gets_it(base: list[str], other: list[str]) -> None:
    assert merged(merge(base, base, other)) == other
    assert merged(merge(base, other, base)) == other
    assert merged(merge(base, other, other)) == other
    for found in (merge(base, base, other), merge(base, other, base), merge(base, other, other)):
        assert "conflict" not in sides(found)


@given(LINES, LINES, LINES)
def test_the_stretches_are_the_three_texts(base: list[str], ours: list[str], theirs: list[str]) -> None:
    found = merge(base, ours, theirs)
    assert [line for one in found for line in one.base] == base
    assert [line for one in found for line in one.ours] == ours
    assert [line for one in found for line in one.theirs] == theirs
    for one in found:
        assert ours[one.at : one.at + len(one.ours)] == one.ours
        assert theirs[one.at_theirs : one.at_theirs + len(one.theirs)] == one.theirs


@given(LINES, LINES, LINES)
def test_a_conflict_is_where_both_changed_it_and_differently(
    base: list[str], ours: list[str], theirs: list[str]
) -> None:
    for one in merge(base, ours, theirs):
        differ = one.ours != one.theirs and one.ours != one.base and one.theirs != one.base
        assert (one.side == "conflict") == differ
        assert one.side != "ours" or one.theirs == one.base
        assert one.side != "theirs" or one.ours == one.base


@given(LINES, LINES, LINES)
def test_the_sides_can_be_swapped(base: list[str], ours: list[str], theirs: list[str]) -> None:
    here, there = merge(base, ours, theirs), merge(base, theirs, ours)
    assert ("conflict" in sides(here)) == ("conflict" in sides(there))
    if "conflict" not in sides(here):
        assert merged(here) == merged(there)


@given(st.lists(st.integers(), unique=True, min_size=1), st.data())
def test_no_line_of_either_side_is_lost(base: list[int], data: st.DataObject) -> None:
    """Each side puts lines of its own in, and takes some out: all new ones are there, none that went is."""
    put_in: dict[str, list[object]] = {}
    taken_out: dict[str, set[int]] = {}
    texts: dict[str, list[object]] = {}
    for side in ("ours", "theirs"):
        taken_out[side] = data.draw(st.sets(st.sampled_from(base)))
        text: list[object] = [line for line in base if line not in taken_out[side]]
        put_in[side] = [f"{side} {n}" for n in range(data.draw(st.integers(0, 3)))]
        for line in put_in[side]:
            text.insert(data.draw(st.integers(0, len(text))), line)
        texts[side] = text
    found = merge(list(base), texts["ours"], texts["theirs"])
    if any(one.side == "conflict" for one in found):
        return
    result = [line for one in found for line in one.merged]
    assert {line for line in result if isinstance(line, str)} == {*put_in["ours"], *put_in["theirs"]}
    assert {line for line in result if isinstance(line, int)} == {
        line for line in base if line not in taken_out["ours"] | taken_out["theirs"]
    }


def test_neighbours_that_both_changed_are_a_conflict_and_others_are_not() -> None:
    base = list("abcdef")
    assert merged(merge(base, list("aBcdef"), list("abcdEf"))) == list("aBcdEf")
    assert "conflict" in sides(merge(base, list("aBcdef"), list("abCdef")))


def test_a_line_many_thousand_times_takes_no_minutes() -> None:
    base = ["\n"] * 20_000
    found = merge(base, ["a", *base, "b"], ["c", *base, "d"])
    assert [one.side for one in found if one.side != "both"] == ["conflict"]
