"""The card's own Python, read from its Markdown; what it printed, made fit to be shown."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from card_cases import CASES
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hubkit import freshness, record
from hubkit.card import regions, snippets
from hubkit.card.facts import gather
from hubkit.card.ran import fenced, is_stale, ran
from hubkit.card.render import render
from hubkit.card.usage import code_sha256, usage
from hubkit.record import Environment, UsageRun
from hubkit.verify import output

HEAD = "---\na: b\n---\n\n# Title\n\n<!-- hubkit:begin usage -->\n"  # the code's region begins in line 8
TAIL = "<!-- hubkit:end usage sha256=0123456789abcdef -->\n"


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("```python\na = 1\nb = 2\n```\n", [("a = 1\nb = 2", 9)]),
        ("\ntext\n\n```py\na\n```\n\n~~~Python3 title=x\nb\n~~~\n", [("a", 12), ("b", 16)]),
        ("````{.python}\n```\na\n```\n````\n", [("```\na\n```", 9)]),
        ("  ```python\n  if a:\n      b\n  ```\n", [("if a:\n    b", 9)]),
        ("```bash\npip install x\n```\n```text\nprint(1)\n```\n```pycon\n>>> 1\n```\n", []),
        ("```text\n```python\n```\n", []),
        ("```python-repl\na\n```\n", []),
        ("<details>\n\n```python\na\n```\n\n</details>\n", [("a", 11)]),
        ("```python\n```\n", [("", 9)]),
        ("```python\nnever closed\n", [("never closed\n", 9)]),
        ("", []),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_blocks_of_the_region_and_their_lines(
    markdown: str, found: list[tuple[str, int]], end: str
) -> None:
    card = f"{HEAD}{markdown}{TAIL}\n```python\nnot_mine()\n```\n".replace("\n", end)
    assert [(block.code, block.line) for block in snippets.python_blocks(card)] == found


def test_code_elsewhere_is_not_the_cards_use() -> None:
    other = HEAD.replace("usage", "results") + "```python\na\n```\n" + TAIL.replace("usage", "results")
    assert snippets.python_blocks(other) == []
    assert snippets.python_blocks("```python\na\n```\n") == []


@pytest.mark.parametrize("name", [name for name in CASES if name != "foreign"])
def test_what_is_read_from_a_card_is_what_hubkit_meant_to_show(name: str, tmp_path: Path) -> None:
    CASES[name](tmp_path / "a")
    facts = gather(tmp_path / "a")
    card = render(facts)
    meant = usage(facts)
    assert meant is not None
    blocks = snippets.python_blocks(card)
    assert snippets.sha256(blocks) == code_sha256(meant.blocks)
    first = card.split("\n")[blocks[0].line - 1]
    assert first == blocks[0].code.split("\n")[0]


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"one\ntwo\n", "one\ntwo"),
        (b"\n\n  indented\nblank at the end   \n\n", "  indented\nblank at the end"),
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07x \x1b(By", "red x y"),
        (b" 10%\r 50%\r100%\nnext\r\n", "100%\nnext"),
        (b"a\x00b\x07c\x08d\xff", "abcd\ufffd"),
        ("Zürich 😀 \u2028".encode(), "Zürich 😀"),
        (b"/tmp/x/work/file in /tmp/x", "D/file in ..."),
        (b"", ""),
    ],
)
def test_output_is_plain_text_without_paths(printed: bytes, shown: str) -> None:
    assert output.clean(printed, {"/tmp/x": "...", "/tmp/x/work": "D"}) == shown


def test_output_is_bounded() -> None:
    many = output.clean(b"".join(b"%d\n" % n for n in range(1000)), {})
    assert many.split("\n") == [*map(str, range(output.LINES)), output.CUT]
    assert output.clean(b"x" * 100_000, {}) == "x" * output.WIDTH + output.CUT
    wide = output.clean((b"y" * output.WIDTH + b"\n") * 30, {})
    assert len(wide) <= output.CHARACTERS + len(output.CUT) + 1
    assert wide.endswith(f"\n{output.CUT}")


HOSTILE = st.lists(
    st.sampled_from(
        ["```", "````", "~~~", "\n", "\n\n", "    ", "> ", "<!-- hubkit:end usage -->", "</details>", "<!--",
         "<!-- hubkit:begin x -->", "<!--  HUBKIT:card sha256=00 -->", "-->", "<script>", "# ", "---", "|"]
    )
    | st.text(max_size=8),
    max_size=30,
).map("".join)  # fmt: skip


@given(HOSTILE)
def test_output_cannot_leave_its_fence_or_make_a_marker(text: str) -> None:
    shown = output.clean(text.encode("utf-8", "replace"), {})
    card = (
        f"# A\n\n<!-- hubkit:begin usage -->\n\n{fenced(shown)}\n\nafter\n\n<!-- hubkit:end usage -->\nlast\n"
    )
    tokens = MarkdownIt().parse(card)
    code = [token for token in tokens if token.type == "fence"]
    assert len(code) == 1
    assert code[0].info == "text"
    assert code[0].content.replace("<! --", "<!--") == shown.replace("<! --", "<!--") + "\n"
    assert [token.content for token in tokens if token.type == "inline"] == ["A", "after", "last"]
    kinds = [(piece.kind, piece.name) for piece in regions.pieces(card)]
    assert kinds == [("text", ""), ("region", "usage"), ("text", "")]
    assert snippets.python_blocks(card) == []


def a_run(directory: Path, **changes: object) -> UsageRun:
    """A run of the very code that the card of a directory shows."""
    facts = gather(directory)
    code = usage(facts)
    assert code is not None
    run = UsageRun(
        snippet_sha256=code_sha256(code.blocks),
        adapter_sha256=facts.adapter.sha256(),
        output="Once upon a time",
        seconds=7.1,
        date="2026-11-20",
        environment=Environment(
            python="3.11.7",
            platform="Linux x86_64",
            libraries={"torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.2", "bitsandbytes": "0.50"},
            device="cpu",
        ),
    )
    return msgspec.structs.replace(run, **changes)


def with_run(directory: Path, run: UsageRun) -> str:
    """The card of a directory whose record holds this run."""
    record.write(directory, msgspec.structs.replace(record.read(directory), usage=run))
    return render(gather(directory))


def test_a_run_is_shown_below_the_code_with_its_conditions(tmp_path: Path) -> None:
    CASES["causal-lora"](tmp_path / "a")
    before = render(gather(tmp_path / "a"))
    card = with_run(tmp_path / "a", a_run(tmp_path / "a"))
    below = card.partition("<!-- hubkit:end usage ")[2].partition("\n")[2]
    assert below.startswith(
        "\n<!-- hubkit:begin output -->\n\nOutput:\n\n```text\nOnce upon a time\n```\n\n"
        "This code was run on 2026-11-20 with"
    )
    assert "transformers 5.23.0, peft 0.21.2, torch 2.13.0 and Python 3.11.7, on a CPU" in card
    assert "bitsandbytes" not in card[card.index("Output:") :].partition("\n\n<!--")[0]
    assert snippets.python_blocks(card) == snippets.python_blocks(before)
    assert not is_stale(gather(tmp_path / "a"))


@pytest.mark.parametrize(
    "change", [{"snippet_sha256": "0" * 64}, {"adapter_sha256": "0" * 64}, {"base_weights_sha256": "0" * 64}]
)
def test_a_run_of_other_code_adapter_or_base_is_left_out(change: dict[str, str], tmp_path: Path) -> None:
    CASES["causal-lora"](tmp_path / "a")
    before = render(gather(tmp_path / "a"))
    base = record.read(tmp_path / "a").base_model
    assert base is not None
    assert base.weights_sha256
    assert with_run(tmp_path / "a", a_run(tmp_path / "a", **change)) == before
    assert ran(gather(tmp_path / "a")) is None
    assert is_stale(gather(tmp_path / "a"))


def test_a_run_that_printed_nothing_is_told_without_output(tmp_path: Path) -> None:
    CASES["causal-lora"](tmp_path / "a")
    card = with_run(tmp_path / "a", a_run(tmp_path / "a", output=None))
    assert "Output:" not in card
    assert "This code was run on 2026-11-20" in card


def test_a_run_beside_another_tokenizer_is_left_out(tmp_path: Path) -> None:
    CASES["causal-lora"](tmp_path / "a")
    before = render(gather(tmp_path / "a"))
    run = a_run(tmp_path / "a", tokenizer_sha256=freshness.tokenizer_sha256(tmp_path / "a"))
    assert run.tokenizer_sha256
    assert with_run(tmp_path / "a", run) != before
    (tmp_path / "a" / "tokenizer.json").write_text('{"another": 1}')
    assert render(gather(tmp_path / "a")) == before
    assert is_stale(gather(tmp_path / "a"))
    (tmp_path / "a" / "tokenizer.json").write_text("")  # as an audit of a repo on the Hub has it
    assert render(gather(tmp_path / "a")) != before


@pytest.mark.parametrize(
    ("known", "ran_on", "said"),
    [
        ("1" * 64, "1" * 64, ", with the base weights that training and measuring used."),
        (None, "1" * 64, ", with a local copy of the base, which was not compared with"),
        ("1" * 64, None, ", on a CPU."),
    ],
)
def test_a_run_says_on_which_weights_of_the_base_it_was(
    known: str | None, ran_on: str | None, said: str, tmp_path: Path
) -> None:
    directory = CASES["causal-lora"](tmp_path / "a")
    had = record.read(directory)
    base = msgspec.structs.replace(had.base_model, weights_sha256=known)
    record.write(directory, msgspec.structs.replace(had, base_model=base))
    assert said in with_run(directory, a_run(directory, base_weights_sha256=ran_on))
