"""Merging a card into somebody's README.md: for any text of theirs, no byte of it is touched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hubkit.card import regions
from hubkit.card.front_matter import to_yaml
from hubkit.card.merge import Merged, merge
from hubkit.errors import CardError
from hubkit.record import Written

NAMES = ["title", "about", "usage", "results", "limitations", "citation", "footer"]
METADATA = {"library_name": "peft", "tags": ["lora"]}

# What may stand in somebody's Markdown; code fences and markers that are none among it.
LINES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "# Mine", "## License", "text 🤗", "<div>", "</div>", "<!-- a comment", "-->", "---", "===",
            "| a | b |", "```", "```python", "~~~", "````", "> quoted", "    code", "\t", "- a",
            " <!-- hubkit:end usage -->", "<!-- hubkit:begin Usage -->", "<!--hubkit:begin usage-->",
            "<!-- hubkit:end -->", "\ufeff", "\x0c", "[More Information Needed]", "\u2028", "\x85", "text\r",
        ]
    ),
)  # fmt: skip
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", ""])
TEXTS = st.lists(st.tuples(LINES, ENDS).map("".join), max_size=6).map("".join)
CONTENTS = st.one_of(
    st.text("ab \n🤗", max_size=12), st.sampled_from(["## Mine\n\n```python\nx = 1\n```", "- a\n- b", "text"])
)
FACTS = st.dictionaries(st.sampled_from(NAMES), CONTENTS, min_size=1)


def rendered(facts: dict[str, str], metadata: dict[str, Any] | None = None) -> str:
    """A card as the template gives it: the regions in their order."""
    blocks = [regions.region(name, f"\n{facts[name]}\n\n") for name in NAMES if name in facts]
    return regions.seal(f"---\n{to_yaml(metadata or METADATA)}---\n\n" + "\n".join(blocks))


def merged(card: str | None, facts: dict[str, str], written: Written | None, **wishes: Any) -> Merged:
    return merge(card, rendered(facts), METADATA, written, **wishes)


def with_texts(card: str, texts: Sequence[str]) -> str:
    """The card with an author's texts before, between and after the regions, each on lines of its own."""
    parts = regions.split(card)
    body = ""
    for place, piece in enumerate(regions.pieces(parts.body)):
        text = texts[place % len(texts)] if piece.kind == "text" else ""
        body += piece.raw + text
        if text and not body.endswith("\n"):
            body += "\n"
    return parts.head + body + texts[-1]


def texts_of(card: str) -> list[str]:
    """All that stands outside of hubkit's regions, piece by piece."""
    return [piece.raw for piece in regions.pieces(regions.split(card).body) if piece.kind == "text"]


def authors(card: str) -> str:
    """The same as one text without its blank lines: a region that comes or goes brings or takes one."""
    return "".join(
        line for line in re.findall(r"[^\n]*\n|[^\n]+", "".join(texts_of(card))) if line.strip("\r\n")
    )


def is_whole(card: str, facts: dict[str, str]) -> bool:
    """Whether no fence of the author's swallows a marker."""
    try:
        found = [piece.name for piece in regions.pieces(regions.split(card).body) if piece.kind != "text"]
    except CardError:
        return False
    return found == [*(name for name in NAMES if name in facts), ""]


def names_in(card: str) -> list[str]:
    return [piece.name for piece in regions.pieces(regions.split(card).body) if piece.kind == "region"]


@given(FACTS, st.lists(TEXTS, min_size=1, max_size=4), st.lists(FACTS, min_size=1, max_size=4))
def test_no_byte_of_the_authors_is_touched(
    facts: dict[str, str], texts: list[str], changes: list[dict[str, str]]
) -> None:
    first = merged(None, facts, None)
    card, written = with_texts(first.text, texts), first.written
    assume(is_whole(card, facts))
    mine = authors(card)
    for now in changes:
        try:
            made = merged(card, now, written)
        except CardError as error:
            assume(
                "fence" not in str(error)
            )  # one that is left open, and that a fence of hubkit's closed before
            raise
        again = merged(made.text, now, made.written)
        assert (again.text, again.written) == (made.text, made.written)
        assert authors(made.text) == mine
        assert set(names_in(made.text)) == set(now)
        if set(names_in(card)) == set(now):
            assert texts_of(made.text) == texts_of(card)
        for piece in regions.pieces(regions.split(made.text).body):
            if piece.kind == "region":
                assert regions.normal(piece.content) == f"\n{now[piece.name]}\n\n"
                assert piece.is_sealed
        card, written = made.text, made.written


@given(FACTS, st.lists(FACTS, max_size=3))
def test_a_card_that_is_hubkits_alone_ends_as_hubkit_would_write_it(
    facts: dict[str, str], changes: list[dict[str, str]]
) -> None:
    made = merged(None, facts, None)
    for now in [*changes, facts]:
        made = merged(made.text, now, made.written)
    assert made.text == rendered(facts)
    assert not made.lost


@given(TEXTS, FACTS, FACTS)
def test_any_card_is_adopted_and_the_next_run_changes_nothing(
    text: str, facts: dict[str, str], later: dict[str, str]
) -> None:
    assume(text.strip())
    try:
        made = merged(text, facts, None)
    except CardError:
        return  # front matter or fences that cannot be edited; see below
    assert made.adopted
    again = merged(made.text, facts, made.written)
    assert (again.text, again.written, again.conflicts) == (made.text, made.written, [])
    mine = authors(made.text)
    if "More Information Needed" not in text:
        assert mine.rstrip("\r\n") == authors(text).rstrip("\r\n")
    made = merged(made.text, later, made.written)
    assert authors(made.text) == mine


@given(FACTS, st.data())
def test_a_hand_edit_is_always_found(facts: dict[str, str], data: st.DataObject) -> None:
    first = merged(None, facts, None)
    parts = regions.split(first.text)
    found = regions.pieces(parts.body)
    place = data.draw(st.sampled_from([n for n, piece in enumerate(found) if piece.kind == "region"]))
    piece = found[place]
    content = data.draw(TEXTS.map(lambda text: text.replace("hubkit:", "")))
    content += "" if not content or content.endswith("\n") else "\n"
    assume(regions.normal(content) != piece.content)
    start, end = piece.raw.index("\n") + 1, piece.raw.rindex("<!-- hubkit:end")
    raw = piece.raw[:start] + content + piece.raw[end:]
    card = parts.head + "".join(raw if n == place else p.raw for n, p in enumerate(found))
    now = {**facts, piece.name: "other"}
    made = merged(card, now, first.written)
    assert [edited.name for edited in made.conflicts] == [piece.name]
    with pytest.raises(CardError, match=f'"{piece.name}" was edited by hand'):
        made.checked()
    kept = merged(card, now, first.written, keep=["*"])
    assert not kept.conflicts
    assert content in kept.text
    again = merged(kept.text, {}.fromkeys(now, "all new"), kept.written)
    assert content in again.text
    assert len(again.notes) == 1
    forced = merged(kept.text, now, kept.written, force=True)
    assert forced.text == rendered(now)
    assert forced.lost


@given(FACTS, st.data())
def test_what_was_taken_out_stays_out_until_it_is_restored(
    facts: dict[str, str], data: st.DataObject
) -> None:
    first = merged(None, facts, None)
    parts = regions.split(first.text)
    found = regions.pieces(parts.body)
    gone = data.draw(st.sampled_from(sorted(facts)))
    card = parts.head + "".join(piece.raw for piece in found if piece.name != gone)
    now = dict.fromkeys(facts, "changed")
    made = merged(card, now, first.written)
    assert names_in(made.text) == [name for name in NAMES if name in facts and name != gone]
    assert any(gone in note and "--restore" in note for note in made.notes)
    made = merged(made.text, {name: text for name, text in now.items() if name != gone} or now, made.written)
    made = merged(made.text, now, made.written)
    assert gone not in names_in(made.text)
    alone = {name: text for name, text in now.items() if name != gone}
    if alone:  # what is remembered outlives a card that is hubkit's alone
        made = merged(rendered(alone), alone, made.written)
        made = merged(made.text, now, made.written)
        assert gone not in names_in(made.text)
    back = merged(made.text, now, made.written, restore=True)
    assert names_in(back.text) == [name for name in NAMES if name in facts]
    assert not merged(back.text, now, back.written).notes


AUTHORED = (
    "\ufeff---\r\n# Keep\r\nlicense:  'mit' # asked\r\n---\r\n<h1>Mine</h1>\r\n\r\nHello 🤗\r\n\r\n"
    "## Notes\r\n\r\nEnd"
)


def test_line_ends_and_marks_of_a_file_stay() -> None:
    facts = {"title": "# hubkit's", "about": "About.", "footer": "End."}
    made = merged(AUTHORED, facts, None)
    assert made.text == (
        "\ufeff---\r\n# Keep\r\nlicense:  'mit' # asked\r\nlibrary_name: peft\r\ntags:\r\n- lora\r\n---\r\n"
        "\r\n<h1>Mine</h1>\r\n\r\nHello 🤗\r\n\r\n"
        + regions.region("about", "\nAbout.\n\n").replace("\n", "\r\n")
        + "\r\n## Notes\r\n\r\nEnd\r\n\r\n"
        + regions.region("footer", "\nEnd.\n\n").replace("\n", "\r\n")
        + f"\r\n<!-- hubkit:card front-matter={regions.digest(to_yaml(METADATA))} -->\r\n"
    )
    assert made.written == Written(metadata=METADATA, regions=["title", "about", "footer"])
    bare = made.text.removesuffix("\r\n")
    assert merged(bare, facts, made.written).text == bare
    mine = f"{made.text}\r\nP.S."
    assert (
        merged(mine, {**facts, "about": "New."}, made.written).text
        == merged(made.text, {**facts, "about": "New."}, made.written).text + "\r\nP.S."
    )


def test_a_card_of_the_older_form_is_replaced_or_keeps_what_was_edited() -> None:
    body = "---\nlibrary_name: peft\n---\n\n# T\n\nAbout.\n\n## Usage\n\nRun it.\n\n"
    import hashlib

    old = f"{body}<!-- hubkit:card sha256={hashlib.sha256(body.encode()).hexdigest()} -->\n"
    facts = {"title": "# T", "about": "About.", "usage": "## Usage\n\nRun it.", "footer": "End."}
    assert merged(old, facts, None).text == rendered(facts)
    crlf = merged(old.replace("\n", "\r\n"), facts, None)
    assert crlf.text == rendered(facts).replace("\n", "\r\n")
    assert not crlf.adopted
    made = merged(old.replace("Run it.", "Run it so."), facts, None)
    assert made.adopted
    assert names_in(made.text) == ["title", "about", "usage", "footer"]
    assert authors(made.text) == "## Usage\nRun it so.\n"
    assert "sha256=" not in regions.split(made.text).body.rsplit("\n", 2)[-2]
    assert merged(made.text, facts, made.written).text == made.text


def test_a_region_that_is_new_stands_behind_the_one_before_it() -> None:
    first = merged(None, {"title": "# T", "results": "R", "footer": "F"}, None)
    card = first.text.replace("<!-- hubkit:begin footer", "Mine.\n\n<!-- hubkit:begin footer")
    facts = {"title": "# T", "about": "A", "results": "R", "limitations": "L", "citation": "C", "footer": "F"}
    made = merged(card, facts, first.written)
    assert names_in(made.text) == list(facts)
    assert made.text.index("hubkit:end citation") < made.text.index("Mine.") < made.text.index("begin footer")


def test_without_a_record_of_it_hubkits_marker_tells_what_was_hubkits() -> None:
    first = merged(None, {"title": "# T"}, None)
    new = {"library_name": "peft", "tags": ["hira"]}
    made = merge(first.text, rendered({"title": "# T"}, new), new, None)
    assert made.text == rendered({"title": "# T"}, new)
    edited = first.text.replace("- lora\n", "- lora\n- mine\n")
    made = merge(edited, rendered({"title": "# T"}, new), new, None)
    assert "tags:\n- lora\n- mine\n- hira\n" in made.text


def test_regions_in_an_authors_fence_are_text() -> None:
    facts = {"title": "# T", "about": "A", "footer": "F"}
    first = merged(None, facts, None)
    card = first.text.replace("\n\n<!-- hubkit:begin about", "\n\n```\n\n<!-- hubkit:begin about")
    card = card.replace("<!-- hubkit:begin footer", "```\n\n<!-- hubkit:begin footer")
    made = merged(card, {**facts, "footer": "G"}, first.written)
    assert names_in(made.text) == ["title", "footer"]  # what stands in a fence is text, and "about" taken out
    assert "<!-- hubkit:begin about -->" in made.text


def test_a_card_in_another_encoding_keeps_its_bytes() -> None:
    text = b"# Caf\xe9\n".decode(errors="surrogateescape")
    made = merged(text, {"title": "# T", "about": "A"}, None)
    assert b"# Caf\xe9\n" in made.text.encode(errors="surrogateescape")
    with pytest.raises(CardError, match="the front matter is not YAML"):
        merged(b"---\na: \xe9\n---\n".decode(errors="surrogateescape"), {"title": "# T"}, None)


@pytest.mark.parametrize(
    "folded",
    [
        "<details>\n<summary>S</summary>\n\n## Inside\n\ntext\n\n</details>\n",
        "<div>\n<div>\n\n## Inside\n\n</div>\n\n## Inside too\n\n</div>\n",
        "<!-- not yet\n\n## Inside\n\n-->\n",
        "<!--\n## Inside\n\nnever closed\n",
    ],
)
def test_regions_are_not_put_into_what_is_folded_away_or_commented_out(folded: str) -> None:
    facts = {"title": "# T", "about": "A", "citation": "## Citation", "footer": "F"}
    made = merged(f"# Mine\n\n{folded}", facts, None)
    assert f"\n# Mine\n\n{folded}\n<!-- hubkit:begin about -->\n" in made.text
    more = merged(f"# Mine\n\n{folded}\n## More\n", facts, None)
    if "never closed" not in folded:
        assert f"{folded}\n<!-- hubkit:begin about -->\n" in more.text
        assert more.text.index("begin about") < more.text.index("## More") < more.text.index("begin footer")


def test_a_heading_that_is_commented_out_says_nothing() -> None:
    facts = {"title": "# T", "about": "A", "citation": "## Citation", "footer": "F"}
    made = merged("<!--\n# Mine\n## Citation\n-->\n\nText.\n", facts, None)
    assert names_in(made.text) == [name for name in NAMES if name in facts]


@pytest.mark.parametrize("text", ["---\nlicense: mit\n---", "---\n---", "---\r\nlicense: mit\r\n---"])
def test_a_front_matter_that_ends_the_file_is_followed_by_a_blank_line(text: str) -> None:
    facts = {"title": "# T", "about": "A", "footer": "F"}
    made = merged(text, facts, None)
    newline = "\r\n" if "\r" in text else "\n"
    assert f"{newline}---{newline}{newline}<!-- hubkit:begin title -->{newline}" in made.text
    assert merged(made.text, facts, made.written).text == made.text
