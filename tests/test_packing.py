"""Documents to blocks on disk: nothing lost, nothing mixed up, made once, and made anew when damaged."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkit.errors import DataError
from hubkit.models import packing, prepared
from hubkit.models.corpus import Corpus
from hubkit.record import Dataset

documents = st.lists(st.text(min_size=1), max_size=30)


class Letters:
    """A tokenizer that gives each character its code point; special tokens are below 10."""

    eos_token_id: int | None = 1
    pad_token_id = 0
    cls_token_id, sep_token_id = 2, 3

    def __call__(self, texts: list[str], **options: Any) -> dict[str, list[list[int]]]:
        assert options == {"add_special_tokens": False, "return_attention_mask": False}
        return {"input_ids": [[10 + ord(letter) for letter in text] for text in texts]}


def packed(texts: list[str], size: int, masked: bool, tokenizer: Any = None) -> tuple[Any, Any]:
    corpus = Corpus(texts, [], Dataset(name="none"))
    made = prepared.prepare(tokenizer or Letters(), corpus, size, masked=masked)
    assert made.made.tokens == made.ids.size
    return made.ids.tolist(), made.segments.tolist()


@given(documents, st.integers(8, 40), st.integers(1, 60))
@settings(max_examples=40)
def test_causal_blocks_are_the_text_with_separators_and_no_padding(
    texts: list[str], size: int, at_once: int
) -> None:
    stream = [(token, n) for n, text in enumerate(texts) for token in [*(10 + ord(c) for c in text), 1]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "CHARACTERS", at_once)
        if len(stream) < size:
            with pytest.raises(DataError, match="does not fill one block"):
                packed(texts, size, masked=False)
            return
        blocks, segments = packed(texts, size, masked=False)
    assert {len(block) for block in blocks} == {size}
    flat = [token for block in blocks for token in block]
    assert flat == [token for token, _ in stream[: len(flat)]]
    assert len(stream) - len(flat) < size
    for number, row in enumerate(segments):
        of = [document for _, document in stream[number * size : (number + 1) * size]]
        assert row == [sorted(set(of)).index(one) for one in of]


@given(documents.filter(lambda texts: len("".join(texts)) > 60), st.integers(8, 40))
@settings(max_examples=20)
def test_masked_blocks_stand_between_cls_and_sep(texts: list[str], size: int) -> None:
    stream = [token for text in texts for token in [*(10 + ord(letter) for letter in text), 3]]
    blocks, segments = packed(texts, size, masked=True)
    assert {(len(block), block[0], block[-1]) for block in blocks} == {(size, 2, 3)}
    flat = [token for block in blocks for token in block[1:-1]]
    assert flat == stream[: len(flat)]
    assert len(stream) - len(flat) < size - 2
    assert all(row[0] == row[1] == 0 and row[-1] == row[-2] for row in segments)


def test_without_an_end_of_text_token_documents_just_follow() -> None:
    letters = Letters()
    letters.eos_token_id = None
    blocks, segments = packed(["abcd", "efgh"], 8, masked=False, tokenizer=letters)
    assert blocks == [[10 + ord(letter) for letter in "abcdefgh"]]
    assert segments == [[0] * 4 + [1] * 4]


@given(st.lists(st.integers(1, 12), max_size=40))
def test_best_fit_splits_nothing_and_overfills_nothing(lengths: list[int]) -> None:
    blocks = packing.best_fit(lengths, 12)
    assert sorted(item for block in blocks for item in block) == list(range(len(lengths)))
    fill = [sum(lengths[item] for item in block) for block in blocks]
    assert all(0 < one <= 12 for one in fill)
    assert all(a + b > 12 for n, a in enumerate(fill) for b in fill[n + 1 :])  # no two would fit into one
    assert len(blocks) <= 11 / 9 * -(-sum(lengths) // 12) + 4 or len(blocks) <= len(lengths)


def test_the_longest_go_first_into_the_tightest_room() -> None:
    assert packing.best_fit([3, 9, 5, 4, 7, 5], 12) == [[1, 0], [4, 2], [5, 3]]
    assert packing.best_fit([], 12) == []


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny.llama(tmp_path_factory.mktemp("base")))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tokens"
    monkeypatch.setattr(prepared, "folder", lambda: folder)
    return folder


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many documents were tokenised each time that blocks were made."""
    times: list[int] = []
    pack = packing.pack

    def counting(tokenizer: Any, texts: list[str], *rest: Any) -> Any:
        times.append(len(texts))
        return pack(tokenizer, texts, *rest)

    monkeypatch.setattr(packing, "pack", counting)
    return times


TEXT = Corpus(tiny.text(12), tiny.text(4, seed=1), Dataset(name="made up"), cache=True)


def test_blocks_are_made_once(tokenizer: Any, cache: Path, made: list[int]) -> None:
    first = prepared.prepare(tokenizer, TEXT, 32)
    again = prepared.prepare(tokenizer, TEXT, 32)
    assert made == [12]
    assert (again.ids == first.ids).all()
    assert (again.segments == first.segments).all()
    assert again.made == first.made
    prepared.prepare(tokenizer, TEXT, 32, evaluation=True)
    prepared.prepare(tokenizer, TEXT, 64)
    assert made == [12, 4, 12]
    assert len(list(cache.iterdir())) == 3  # and nothing half made


def test_another_tokenizer_has_other_blocks(tokenizer: Any, cache: Path, made: list[int]) -> None:
    import copy

    prepared.prepare(tokenizer, TEXT, 32)
    other = copy.deepcopy(tokenizer)
    other.add_tokens(["river"])
    prepared.prepare(other, TEXT, 32)
    assert made == [12, 12]


@pytest.mark.parametrize("damage", ["cut", "flip", "gone", "facts", "strange"])
def test_damaged_blocks_are_made_anew(damage: str, tokenizer: Any, cache: Path, made: list[int]) -> None:
    first = prepared.prepare(tokenizer, TEXT, 32)
    expected = first.ids.tolist()
    (entry,) = cache.iterdir()
    ids, facts = entry / "ids", entry / prepared.FACTS
    before = ids.read_bytes()
    if damage == "cut":
        ids.write_bytes(before[:-4])
    elif damage == "flip":
        ids.write_bytes(bytes([before[0] ^ 1]) + before[1:])
    elif damage == "gone":
        (entry / "segments").unlink()
    else:
        facts.write_text({"facts": "{", "strange": '{"made": {"blocks": 1}, "sums": []}'}[damage])
    again = prepared.prepare(tokenizer, TEXT, 32)
    assert made == [12, 12]
    assert again.ids.tolist() == expected


def test_no_cache_leaves_nothing(tokenizer: Any, cache: Path) -> None:
    text = Corpus(TEXT.train, TEXT.evaluation, TEXT.facts)
    found = prepared.prepare(tokenizer, text, 32)
    assert found.ids.shape == (found.made.blocks, 32)
    assert not cache.exists()
    scratch = Path(found.ids.filename).parent
    assert scratch.is_dir()
    del found
    assert not scratch.exists()


def test_an_entry_may_go_while_it_is_looked_at(
    tokenizer: Any, cache: Path, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another process makes room, or finds it damaged."""
    expected = prepared.prepare(tokenizer, TEXT, 32).ids.tolist()
    whole = prepared._whole

    def removed(target: Path) -> Any:
        found = whole(target)
        shutil.rmtree(target, ignore_errors=True)
        return found

    monkeypatch.setattr(prepared, "_whole", removed)
    assert prepared.prepare(tokenizer, TEXT, 32).ids.tolist() == expected
    assert made == [12, 12]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("keep", [True, False])
def test_a_full_disk_is_said(
    keep: bool, tokenizer: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**given: Any) -> str:
        folder = tmp_path / "full"
        folder.mkdir()
        (folder / "ids").symlink_to("/dev/full")
        return str(folder)

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(DataError, match="cannot keep the tokens of the text: No space left on device"):
        prepared.prepare(tokenizer, dataclasses.replace(TEXT, cache=keep), 32)
    assert not (tmp_path / "full").exists()


def test_another_process_may_be_faster(tokenizer: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = packing.pack

    def slow(*given: Any) -> Any:
        monkeypatch.setattr(packing, "pack", pack)
        prepared.prepare(tokenizer, TEXT, 32)
        return pack(*given)

    monkeypatch.setattr(packing, "pack", slow)
    found = prepared.prepare(tokenizer, TEXT, 32)
    assert found.made.blocks > 1
    assert len(list(cache.iterdir())) == 1


def test_what_was_used_longest_ago_goes_first(
    tokenizer: Any, cache: Path, made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    for size in (16, 32):
        prepared.prepare(tokenizer, TEXT, size)
    entries = sorted(cache.iterdir(), key=lambda path: (path / prepared.FACTS).stat().st_mtime_ns)
    for age, entry in enumerate(entries):
        os.utime(entry / prepared.FACTS, (age, age))
    abandoned = cache / "part-old"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    both = sum(file.stat().st_size for entry in entries for file in entry.iterdir())
    monkeypatch.setattr(prepared, "MOST_BYTES", both)
    prepared.prepare(tokenizer, TEXT, 16)  # the older one, which is now the one used last
    assert set(cache.iterdir()) == set(entries)
    monkeypatch.setattr(prepared, "MOST_BYTES", both - 1)
    prepared.prepare(tokenizer, TEXT, 16)
    assert made == [12, 12]
    assert len(list(cache.iterdir())) == 1


def test_a_full_disk_is_one_line(tokenizer: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(packing, "pack", full)
    with pytest.raises(DataError, match="cannot keep the tokens of the text: No space left"):
        prepared.prepare(tokenizer, TEXT, 32)
    assert list(cache.iterdir()) == []
