"""The tokens that are scored: those of the text, whatever the parts that it is tokenised in."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pytest
import tokenizers_zoo
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.errors import MeasureError
from hubkit.measures import tokenising
from hubkit.measures.windows import Stream, streams, streams_digest

made = functools.cache(lambda kind: tokenizers_zoo.KINDS[kind]())
WORDS = [
    "the",
    "river",
    "Straße",
    "naïve",
    "東京",
    "😀",
    "e\u0301",
    "1,234",
    "ﬁne",
    "a.",
    "b!?",
    "\t",
    "\n",
    "\n\n",
]
DOCUMENT = st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join)


@pytest.fixture
def in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenising, "PART", 300)
    monkeypatch.setattr(tokenising, "OVERLAP", 120)


@pytest.mark.usefixtures("in_small_parts")
@pytest.mark.parametrize("kind", tokenizers_zoo.KINDS)
@settings(max_examples=15)
@given(documents=st.lists(DOCUMENT, max_size=12))
def test_packed_documents_get_the_tokens_of_the_joined_text(kind: str, documents: list[str]) -> None:
    tokenizer = made(kind)
    whole = tokenizer("\n\n".join(documents), add_special_tokens=False, return_offsets_mapping=True)
    found = streams(tokenizer, documents, "packed")
    assert [int(token) for stream in found for token in stream.ids] == whole["input_ids"]
    if found:
        ends = np.cumsum([len(text) + 2 for text in documents]) - 2
        of = [sum(start >= end for end in ends[:-1]) for start, _ in whole["offset_mapping"]]
        assert found[0].documents.tolist() == of
        assert {found[0].ids.dtype, found[0].documents.dtype} == {np.dtype("int32")}


@pytest.mark.usefixtures("in_small_parts")
@pytest.mark.parametrize("kind", tokenizers_zoo.KINDS)
@settings(max_examples=15)
@given(documents=st.lists(DOCUMENT | st.just("") | st.just(" "), max_size=8))
def test_documents_apart_get_the_tokens_of_each(kind: str, documents: list[str]) -> None:
    tokenizer = made(kind)
    plain = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in documents]
    found = streams(tokenizer, documents, "apart")
    assert [stream.ids.tolist() for stream in found] == [ids for ids in plain if ids]
    assert [set(stream.documents) for stream in found] == [{at} for at, ids in enumerate(plain) if ids]


@pytest.mark.parametrize("kind", ["qwen", "llama2"])
def test_the_tokens_of_pieces_would_be_others(kind: str) -> None:
    """So packed text must be tokenised as one text: else no other program's number can be met."""
    documents = tokenizers_zoo.TEXT[:3]
    pieces = [documents[0], *("\n\n" + text for text in documents[1:])]
    of_pieces = [t for piece in pieces for t in made(kind)(piece, add_special_tokens=False)["input_ids"]]
    assert of_pieces != streams(made(kind), documents, "packed")[0].ids.tolist()


@pytest.mark.usefixtures("in_small_parts")
def test_parts_that_never_agree_are_tokenised_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenising, "OVERLAP", 10)
    text = " ".join(tokenizers_zoo.TEXT)
    found = streams(made("gpt2"), [text], "apart")[0]
    assert found.ids.tolist() == made("gpt2")(text, add_special_tokens=False)["input_ids"]


def test_a_tokenizer_without_offsets_takes_packed_documents_one_by_one() -> None:
    class Python:
        """As tokenizers written in Python are: they do not tell which characters a token is of."""

        is_fast = False

        def __call__(self, texts: list[str], **_: Any) -> Any:
            return {"input_ids": [[ord(char) for char in text] for text in texts]}

    found = streams(Python(), ["ab", "", "c"], "packed")
    assert [stream.ids.tolist() for stream in found] == [[97, 98, 10, 10, 10, 10, 99]]
    assert found[0].documents.tolist() == [0, 0, 1, 1, 2, 2, 2]
    assert streams(Python(), ["", ""], "apart") == streams(Python(), [], "packed") == []


def test_text_that_is_not_unicode_is_an_error() -> None:
    for kept in ("apart", "packed"):
        with pytest.raises(MeasureError, match=r"document 2 of the text is not Unicode.* character 3"):
            streams(made("gpt2"), ["fine", "a \ud800"], kept)


@given(st.lists(st.lists(st.integers(0, 70_000), max_size=9), max_size=4))
def test_the_digest_is_of_streams_as_json_lines(parts: list[list[int]]) -> None:
    import hashlib

    whole = hashlib.sha256()
    for part in parts:
        whole.update(json.dumps(part, separators=(",", ":")).encode() + b"\n")
    cut = [Stream(np.array(part, dtype=np.int32), np.zeros(len(part), dtype=np.int32)) for part in parts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hubkit.measures.windows.DIGESTED", 4)
        assert streams_digest(cut) == whole.hexdigest()
