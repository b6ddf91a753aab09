"""A card edited here and on the Hub, joined: both authors' words stay, and only a true clash is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit.card import regions
from hubkit.card.joined import Clash, join
from hubkit.errors import CardError

BASE = """\
---
license: mit
language: en
# the tags
tags:
- lora
- mine
model-index:
- name: a
  results:
  - task:
      type: text-generation
    metrics:
    - type: perplexity
      value: 12.5
---

# A card

First.

## Notes

Second.

## End

Third.
"""
WORDS = st.lists(st.sampled_from(["# A", "## B", "b c", "- d", "", "<!-- e -->"]), max_size=8)
HEADS = st.sampled_from(
    ["", "---\nlicense: mit\n---\n", "---\ntags:\n- a\n---\n", "---\ntags:\n- a\n- b\n---\n"]
)
PLAIN = st.builds(lambda head, words: head + "".join(f"{word}\n" for word in words), HEADS, WORDS)


def region(name: str, text: str) -> str:
    return regions.region(name, f"{text}\n")


SEALED = (
    f"# Title\n\n{region('use', 'Load it.')}\nMine.\n\n{region('size', 'Small.')}{regions.card_marker('')}"
)


def edited(card: str, was: str, now: str) -> str:
    assert card.count(was) == 1
    return card.replace(was, now)


@given(PLAIN, PLAIN)
def test_what_one_side_alone_changed_is_as_it_has_it(base: str, other: str) -> None:
    assert join(base, other, base).text == other
    assert join(base, base, other).text == other
    assert join(base, other, other).text == other
    assert join(base, base, other).clashes == join(base, other, other).clashes == []
    assert bool(join(base, base, other).taken) == (base != other)


@given(PLAIN, PLAIN, PLAIN)
def test_joining_again_changes_nothing(base: str, ours: str, theirs: str) -> None:
    first = join(base, ours, theirs)
    if not first.clashes:
        again = join(theirs, first.text, theirs)
        assert (again.text, again.taken, again.clashes) == (first.text, [], [])


@given(st.text(), st.text(), st.text())
def test_any_text_is_joined_or_refused_in_a_line(base: str, ours: str, theirs: str) -> None:
    said, clashes = "", []
    try:
        made = join(base, ours, theirs)
        clashes = made.clashes or join(theirs, made.text, theirs).clashes
        said = " ".join(clash.what for clash in made.clashes)
        assert bool(clashes) == bool(made.clashes)  # what was joined is not in its own way
    except CardError as error:
        said = str(error)
    assert said.isprintable()


def test_both_authors_words_stay() -> None:
    ours = edited(BASE, "First.", "First, here.").replace("license: mit", "license: apache-2.0")
    theirs = edited(BASE, "Second.\n", "Second.\n\nThere.\n").replace("language: en\n", "language: de\n")
    made = join(BASE, ours, theirs.replace("- mine", "- mine\n- new"))
    assert made.clashes == []
    assert made.taken == ["language", "tags", "lines under 'Notes'"]
    expected = edited(ours, "Second.\n", "Second.\n\nThere.\n").replace("language: en", "language: de")
    assert made.text == expected.replace("- mine", "- mine\n- new")


def test_the_same_line_changed_twice_is_a_clash_with_its_place() -> None:
    ours, theirs = edited(BASE, "Second.", "Here."), edited(BASE, "Second.", "There.")
    line = ours[: ours.index("Here.")].count("\n") + 1
    assert join(BASE, ours, theirs).clashes == [Clash("lines under 'Notes'", line)]
    both = BASE + "\n## Merged\n\nSame.\n\n"
    (clash,) = join(BASE, both + "Here.\n", both + "There.\n").clashes
    line = (both + "Here.\n").count("\n")
    assert (clash, clash.here, clash.there) == (Clash("lines under 'Merged'", line), "Here.", "There.")
    assert join(BASE, ours.replace("mit", "gpl"), theirs.replace("mit", "bsd")).clashes[0] == Clash("license")


def test_line_ends_are_those_of_the_card_here() -> None:
    ours = edited(BASE, "First.", "Here.").replace("\n", "\r\n")
    made = join(BASE, ours, edited(BASE, "Third.", "There."))
    assert made.text == edited(ours, "Third.", "There.")


def test_lists_that_both_changed_are_joined_item_by_item() -> None:
    ours = edited(BASE, "- lora\n", "- lora\n- ours\n")
    theirs = edited(BASE, "- mine\n", "- theirs\n")
    made = join(BASE, ours, theirs)
    assert "tags:\n- lora\n- ours\n- theirs\n" in made.text
    assert "# the tags" in made.text
    assert (made.taken, made.clashes) == (["tags"], [])


def test_a_key_that_went_there_stays_gone_and_a_comment_that_came_there_is_not_lost() -> None:
    ours = edited(BASE, "license: mit", "license: gpl-3.0")
    assert "language" not in join(BASE, ours, edited(BASE, "language: en\n", "")).text
    with_comment = edited(BASE, "language: en\n", "language: en\n# because\n")
    assert join(BASE, ours, with_comment).clashes == [Clash("the front matter")]
    assert "# because" in join(BASE, edited(BASE, "First.", "Here."), with_comment).text


def test_of_what_hubkit_says_here_the_authors_word_there_is_kept() -> None:
    ours, theirs = edited(BASE, "language: en", "language: fr"), edited(BASE, "language: en", "language: de")
    assert join(BASE, ours, theirs).clashes == [Clash("language")]
    made = join(BASE, ours, theirs, {"language": "fr"})
    assert (made.clashes, made.taken) == ([], ["language"])
    assert "language: de" in made.text
    gone = join(BASE, ours, edited(BASE, "language: en\n", ""), {"language": "fr"})
    assert "language" not in gone.text


RESULT = "  - task:\n      type: fill-mask\n    metrics:\n    - type: {}\n      value: {}\n"


def test_results_of_both_stay_and_the_same_one_changed_twice_is_a_clash() -> None:
    more = BASE.replace("12.5\n", "12.5\n" + RESULT.format("f1", "0.5"))
    ours = BASE.replace("12.5\n", "12.5\n" + RESULT.format("em", "0.25"))
    made = join(BASE, ours, more)
    assert (made.taken, made.clashes) == (["model-index"], [])
    assert made.text.count("type: fill-mask") == 2
    assert "value: 12.5" in made.text
    clash = join(BASE, BASE.replace("12.5", "11.5"), BASE.replace("12.5", "13.5"))
    assert clash.clashes == [Clash("model-index")]


def test_a_region_that_was_edited_there_is_kept_and_marked() -> None:
    ours = SEALED.replace(region("size", "Small."), region("size", "Large."))
    made = join(SEALED, ours, edited(SEALED, "Load it.", "Load it so."))
    kept = regions.region("use", "Load it so.\n", kept=True)
    assert kept in made.text
    assert region("size", "Large.") in made.text
    assert (made.taken, made.clashes) == (['region "use"'], [])


def test_a_region_that_is_newer_here_is_taken_where_nobody_edited_it_there() -> None:
    ours = SEALED.replace(region("use", "Load it."), region("use", "Load it faster."))
    theirs = SEALED.replace(region("use", "Load it."), region("use", "Load it older."))  # another hubkit's
    assert join(SEALED, ours, theirs).text == ours


def test_a_region_that_was_taken_out_there_stays_out() -> None:
    ours = edited(SEALED, "Mine.", "Mine, here.")
    made = join(SEALED, ours, edited(SEALED, region("size", "Small."), ""))
    assert made.text == edited(ours, region("size", "Small."), "")
    assert made.taken == ['region "size" taken out']


@pytest.mark.parametrize("swapped", [False, True])
def test_a_region_that_one_edited_and_the_other_took_out_is_a_clash(swapped: bool) -> None:
    gone = edited(SEALED, region("use", "Load it."), "")
    changed = edited(SEALED, region("use", "Load it."), regions.region("use", "Mine.\n", kept=True))
    made = join(SEALED, changed, gone) if swapped else join(SEALED, gone, changed)
    assert [clash.what for clash in made.clashes] == ['region "use"']


def test_the_same_region_edited_twice_is_a_clash() -> None:
    here = edited(SEALED, region("use", "Load it."), regions.region("use", "Mine.\n", kept=True))
    made = join(SEALED, here, edited(SEALED, "Load it.", "Theirs."))
    assert [clash.what for clash in made.clashes] == ['region "use"']
    assert join(SEALED, here, edited(SEALED, "Load it.", "Mine.")).clashes == []


def test_markers_that_are_broken_there_are_said() -> None:
    with pytest.raises(CardError, match="markers are broken"):
        join(SEALED, SEALED.replace("Mine.", "x"), SEALED.replace("<!-- hubkit:begin size -->\n", ""))


NAMES = ["use", "size", "end"]


@st.composite
def sides(draw: st.DrawFn) -> tuple[str, str, str, set[str], dict[str, str]]:
    """A card of regions with text between, as two sides have it; what each wrote, and edits of regions."""
    words: set[str] = set()
    edits: dict[str, str] = {}

    def side(name: str) -> str:
        parts = ["# Title\n", "\n"]
        for place, of in enumerate(NAMES):
            fate = draw(st.sampled_from(["left", "newer", "edited", "gone"])) if name else "left"
            if fate == "edited" and name == "theirs":
                edits[of] = f"Edited {of} there."
                parts.append(region(of, "Text.").replace("Text.", edits[of]))
            elif fate != "gone" or name == "ours":
                parts.append(region(of, f"Newer {of}." if fate == "newer" and name == "ours" else "Text."))
            parts += ["\n", f"Between {place}.\n", "\n"]
            if name and draw(st.booleans()):
                words.add(line := f"{name} wrote {place}.")
                parts += [f"{line}\n", "\n"]
        return "".join(parts) + regions.card_marker("")

    return side(""), side("ours"), side("theirs"), words, edits


@given(sides())
def test_no_word_of_either_side_is_lost_around_regions(
    card: tuple[str, str, str, set[str], dict[str, str]],
) -> None:
    base, ours, theirs, words, edits = card
    made = join(base, ours, theirs)
    if made.clashes:
        return
    found = regions.pieces(made.text)
    assert words <= set(made.text.splitlines())
    named = {piece.name: piece for piece in found if piece.kind == "region"}
    for name, text in edits.items():
        assert (named[name].content, named[name].kept) == (f"{text}\n", True)
    for name in NAMES:
        there = f"<!-- hubkit:begin {name} -->" in theirs
        assert (name in named) == there
        if there and name not in edits:
            assert named[name].raw in ours
