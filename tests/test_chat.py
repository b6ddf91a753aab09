"""Conversations: read from ragged rows, rendered by a template, and just the tokens of answers counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.errors import DataError, SettingsError
from hubkit.models import chat, conversations, corpus, prepared
from hubkit.record import Dataset
from hubkit.settings_data import Data

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
MARKED = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}"
    "{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
)


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


TALK = [turn("user", "one?"), turn("assistant", "1"), turn("user", "two?"), turn("assistant", "2 of them")]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(tiny.llama(tmp_path_factory.mktemp("base")))
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return made


@pytest.fixture
def tokenizer(plain: Any) -> Any:
    plain.chat_template = CHATML
    return plain


def answers(tokenizer: Any, talk: list[dict[str, str]]) -> list[str]:
    """What is counted of a conversation, one text for each run of counted tokens."""
    (found,) = chat.encode(tokenizer, [conversations.document(talk)])
    assert found.ids == tokenizer.apply_chat_template(talk, return_dict=True)["input_ids"]
    assert all(
        label in (chat.NOT_COUNTED, token) for token, label in zip(found.ids, found.labels, strict=True)
    )
    runs: list[list[int]] = [[]]
    for label in found.labels:
        if label == chat.NOT_COUNTED:
            runs.append([])
        else:
            runs[-1].append(label)
    return [tokenizer.decode(run) for run in runs if run]


@pytest.mark.parametrize("template", [CHATML, MARKED])
def test_all_answers_are_counted_with_the_token_that_ends_them(tokenizer: Any, template: str) -> None:
    tokenizer.chat_template = template
    assert answers(tokenizer, TALK) == ["1<|im_end|>", "2 of them<|im_end|>"]
    with_system = [turn("system", "Be short."), *TALK[:2], turn("user", "1<|im_end|>"), TALK[3]]
    assert answers(tokenizer, with_system) == ["1<|im_end|>", "2 of them<|im_end|>"]


words = st.text(st.characters(codec="utf-8", exclude_characters="\r\x1c\x1d\x1e\x85"), min_size=1)
talks = st.lists(st.tuples(words.filter(str.strip), words.filter(str.strip)), min_size=1, max_size=4)


@given(talks)
@settings(max_examples=30)
def test_marks_and_prefixes_tell_the_same(plain: Any, pairs: list[tuple[str, str]]) -> None:
    talk = [
        turn(role, text) for pair in pairs for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    document = [conversations.document(talk)]
    plain.chat_template = CHATML
    (by_prefixes,) = chat.encode(plain, document)
    plain.chat_template = MARKED
    (by_marks,) = chat.encode(plain, document)
    assert by_marks == by_prefixes


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (
            CHATML.replace("m['content']", "m['content'][:9] if loop.last else '...'"),
            "writes an answer otherwise",
        ),
        (
            CHATML.replace("<|im_start|>assistant\n' }}{% endif", "<think>' }}{% endif"),
            "writes an answer otherwi",
        ),
        (CHATML.replace("m['content']", "m['content'].upper()"), "does not hold an answer as it was given"),
        ("{{ raise_exception('no such roles here') }}", "refuses conversation 1: no such roles here"),
        ("{% for", "refuses conversation 1"),
    ],
)
def test_a_template_that_cannot_be_followed_is_refused(tokenizer: Any, template: str, told: str) -> None:
    tokenizer.chat_template = template
    with pytest.raises(DataError, match=told) as caught:
        list(chat.encode(tokenizer, [conversations.document(TALK)]))
    assert "dataset.chat_template" in str(caught.value.hint)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_without_a_template_needs_one(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.chat_template = None
    with pytest.raises(DataError, match="has no chat template") as caught:
        list(chat.encode(tokenizer, [conversations.document(TALK)]))
    assert "dataset.chat_template" in str(caught.value.hint)
    chat.adopt(tokenizer, MARKED)
    assert answers(tokenizer, TALK) == ["1<|im_end|>", "2 of them<|im_end|>"]
    with pytest.raises(DataError, match=r"cannot read .*none.jinja"):
        chat.read_template(str(tmp_path / "none.jinja"))


def test_without_special_tokens_an_answer_ends_where_its_text_does(tokenizer: Any) -> None:
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    assert [text.strip() for text in answers(tokenizer, TALK)] == ["1", "2 of them"]


def test_a_tokenizer_without_offsets_takes_answers_by_themselves(tokenizer: Any) -> None:
    class Slow:
        is_fast = False

        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

        def __call__(self, text: Any, **options: Any) -> Any:
            return tokenizer(text, **options)

    document = [conversations.document(TALK)]
    (slow,) = chat.encode(Slow(), document)
    (fast,) = chat.encode(tokenizer, document)
    assert slow == fast


def test_what_a_row_can_hold() -> None:
    def read(value: Any, system: str | None = None) -> Any:
        found = conversations.of_messages(value, system, "row 7")
        return found and conversations.messages(found)

    assert read([*TALK, turn("user", "bye"), turn("assistant", " ")]) == TALK
    assert read([turn("assistant", "Hello!"), *TALK]) == TALK
    assert read([{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]) == [
        turn("user", "a"),
        turn("assistant", "b"),
    ]
    assert read(json.dumps(TALK)) == TALK
    assert read(TALK, "Be short.")[0] == turn("system", "Be short.")
    assert read([turn("system", "mine"), *TALK], "Be short.")[0] == turn("system", "mine")
    parts = [{"type": "text", "text": "on"}, {"type": "text", "text": "e?"}]
    assert read([turn("user", parts), *TALK[1:]]) == TALK
    for nothing in (None, [], [turn("user", "a")], [turn("assistant", "b")], [turn("assistant", None)]):
        assert read(nothing) is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (7, "row 7: int in place of a list of messages"),
        ("hello", "row 7: text in place of a list of messages"),
        (["hello"], "row 7, message 1: str in place of {role, content}"),
        ([turn("narrator", "x")], "row 7, message 1: role 'narrator'; known are system, developer, user"),
        ([turn("user", "x"), turn("assistant", 4)], "row 7, message 2: content of the type int, not text"),
        ([turn("user", [{"type": "image"}])], "row 7, message 1: content with parts that are not text"),
        ([{}], "row 7, message 1: role 'None'"),
    ],
)
def test_a_row_that_holds_no_conversation_is_named(value: Any, told: str) -> None:
    with pytest.raises(DataError) as caught:
        conversations.of_messages(value, None, "row 7")
    assert str(caught.value).startswith(told)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "type", "text"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(json_like)
def test_any_cell_is_a_conversation_or_one_line(value: Any) -> None:
    found = error = None
    try:
        found = conversations.of_messages(value, None, "row 1")
    except DataError as caught:
        error = str(caught)
    assert error is None or error.startswith("row 1")
    assert "\n" not in (error or "")
    assert found is None or conversations.messages(found)[-1]["role"] == "assistant"


def test_instructions_are_a_question_and_its_answer() -> None:
    read = conversations.of_columns
    assert conversations.messages(read("Sum up:", "a text", "sum", None, "row 1") or "") == [
        turn("user", "Sum up:\n\na text"),
        turn("assistant", "sum"),
    ]
    assert read("Sum up:", None, "sum", None, "") == read("Sum up:", " ", "sum", None, "")
    for prompt, answer in (("", "b"), ("a", ""), (None, "b"), ("a", float("nan"))):
        assert read(prompt, None, answer, None, "row 1") is None
    with pytest.raises(DataError, match="row 1: the answer is of the type list, not text"):
        read("a", None, ["b"], None, "row 1")


def rows(path: Path, count: int = 20) -> Path:
    lines = [
        {"talk": [turn("user", f"what is {n}?"), turn("assistant", f"it is the number {n}")]}
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, lines[0], {"talk": []}]))
    return path


def test_conversations_are_split_and_counted(tmp_path: Path) -> None:
    data = Data(files=[str(rows(tmp_path / "t.jsonl"))], messages_column="talk", eval_fraction=0.2)
    found = corpus.load(data, 1)
    facts = found.facts
    assert (found.kind, facts.train_documents, facts.eval_documents) == ("chat", 16, 4)
    assert (facts.duplicate_documents_dropped, facts.rows_left_out) == (1, 1)
    assert facts.columns == {"messages_column": "talk"}
    assert facts.train_words == 16 * 8
    assert found.said() == ["left out 1 row in which the text or the answer is empty"]
    streamed = corpus.load(
        Data(files=data.files, messages_column="talk", eval_fraction=0.2, streaming=True), 1
    )
    assert {*streamed.train, *streamed.evaluation} == {*found.train, *found.evaluation}
    with pytest.raises(DataError, match=r"has no column 'talks'; it has talk, did you mean 'talk'\?"):
        corpus.load(Data(files=data.files, messages_column="talks"), 1)


def test_blocks_hold_whole_conversations(tokenizer: Any, tmp_path: Path) -> None:
    found = corpus.load(Data(files=[str(rows(tmp_path / "t.jsonl"))], messages_column="talk", cache=False), 1)
    encoded = list(chat.encode(tokenizer, found.train))
    longest = max(len(one.ids) for one in encoded)
    made = prepared.prepare(tokenizer, found, 2 * longest)
    assert made.made.tokens == sum(len(one.ids) for one in encoded)
    assert (
        made.made.answer_tokens
        == int(made.counted.sum())
        == sum(label != chat.NOT_COUNTED for one in encoded for label in one.labels)
    )
    seen = []
    for ids, segments, counted in zip(made.ids, made.segments, made.counted, strict=True):
        for number in set(segments.tolist()):
            own = ids[segments == number].tolist()
            labels = [
                token if one else -100 for token, one in zip(own, counted[segments == number], strict=True)
            ]
            if any(label != -100 for label in labels):
                seen.append(chat.Encoded(own, labels))
            else:
                assert set(own) == {tokenizer.eos_token_id}  # what fills up
    assert sorted(seen, key=str) == sorted(encoded, key=str)


def test_long_conversations_are_cut_and_those_without_an_answer_left_out(tokenizer: Any) -> None:
    long = [turn("user", "a b c " * 30), *TALK[1:]]
    documents = [
        conversations.document(talk) for talk in (TALK, long, [TALK[0], turn("assistant", "x " * 99)])
    ]
    text = corpus.Corpus(documents, [], Dataset(name="talk"), kind="chat")
    made = prepared.prepare(tokenizer, text, 64).made
    assert (made.blocks, made.conversations_cut, made.conversations_left_out) == (2, 1, 1)
    with pytest.raises(DataError, match="no conversation has an answer within 8 tokens"):
        prepared.prepare(tokenizer, text, 8)


def test_a_task_that_cannot_learn_from_conversations_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"dataset\.messages_column is for the task causal-lm"):
        tiny.run("masked-lm", tmp_path, tmp_path, dataset={"messages_column": "messages"})
