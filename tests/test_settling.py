"""Before the first step: documents kept apart, batches that fit memory, and what is kept for a restart."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    BloomConfig,
    BloomForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

from hubkit import record, stages, tasks
from hubkit.errors import TrainingError
from hubkit.settings import Training
from hubkit.training import apart, choices, memory, settling
from hubkit.training.blocks import Blocks
from hubkit.training.choices import Choices

MIB = 1 << 20
SEGMENTS = torch.tensor([[0] * 5 + [1] * 4 + [2] * 7, [0] * 16])


def adapted(model: Any, *targets: str) -> Any:
    return get_peft_model(model, LoraConfig(r=2, target_modules=list(targets)))


def of_kind(kind: str, tiny_llama: Path, tiny_bert: Path) -> Any:
    if kind == "causal":
        return adapted(AutoModelForCausalLM.from_pretrained(tiny_llama), "q_proj")
    if kind == "masked":
        return adapted(AutoModelForMaskedLM.from_pretrained(tiny_bert), "query")
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=60, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=40, initializer_range=0.3,
    )  # fmt: skip
    return adapted(RobertaForMaskedLM(config), "query")


@pytest.mark.parametrize("kind", ["causal", "masked", "roberta"])
def test_each_document_of_a_block_has_the_logits_that_it_has_alone(
    kind: str, tiny_llama: Path, tiny_bert: Path
) -> None:
    """Alone as anybody would call the model, without positions and without a mask."""
    model = of_kind(kind, tiny_llama, tiny_bert).eval()
    model.config.use_cache = False
    ids = torch.randint(5, 50, SEGMENTS.shape, generator=torch.Generator().manual_seed(0))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "segments": SEGMENTS}
    with torch.no_grad():
        packed = model(**apart.inputs(model, batch, kind == "causal")).logits
        mixed = model(input_ids=ids).logits
        for row, number in ((0, 0), (0, 1), (0, 2), (1, 0)):
            own = SEGMENTS[row] == number
            alone = model(input_ids=ids[row, own][None]).logits[0]
            assert torch.allclose(packed[row, own], alone, atol=1e-4)
    assert not torch.allclose(packed[0], mixed[0], atol=1e-2)
    apart.check(model, batch, kind == "causal")


def bloom() -> Any:
    """Its positions are in its attention, and are not to be given."""
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=60, hidden_size=32, n_layer=1, n_head=2, initializer_range=0.3)
    return adapted(BloomForCausalLM(config), "query_key_value")


def test_a_model_that_cannot_keep_documents_apart_is_refused() -> None:
    model = bloom()
    ids = torch.randint(5, 50, SEGMENTS.shape)
    with pytest.raises(TrainingError, match="cannot keep the documents of a block apart"):
        apart.check(model, {"input_ids": ids, "segments": SEGMENTS}, causal=True)
    apart.check(model, {"input_ids": ids[1:], "segments": SEGMENTS[1:]}, causal=True)  # nothing to keep apart


class Shared(Blocks):
    """Blocks of which the last alone holds two documents, and is filled up."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        alone = [0] * 16
        return super().__getitem__(index) | {"segments": alone if index < 5 else [0] * 6 + [1] * 8 + [-1] * 2}

    def shared(self) -> dict[str, Any] | None:
        return self[5]


@pytest.mark.parametrize(
    ("kind", "wanted", "can", "are"),
    [
        ("chat", "auto", True, True),
        ("chat", "auto", False, False),
        ("chat", "packed", True, False),
        ("text", "auto", True, False),
        ("text", "apart", True, True),
    ],
)
def test_conversations_are_kept_apart_where_the_model_can(
    kind: str, wanted: Any, can: bool, are: bool, tiny_llama: Path, tmp_path: Path
) -> None:
    model = of_kind("causal", tiny_llama, tiny_llama) if can else bloom()
    task, said = tasks.get("causal-lm"), []
    training = Training(documents=wanted, block_size=16)
    text = SimpleNamespace(kind=kind)
    job: Any = SimpleNamespace(task=task, training=training, checkpoints=tmp_path, text=text, say=said.append)
    collate = task.collator(None, task.Parameters())
    found = settling.settle(model, collate, Shared([[*range(5, 21)]] * 6, seed=0), job, False)
    assert found.losses.apart is are
    assert any("conversations in one block see each other" in line for line in said) is not can


@given(st.integers(1, 64), st.integers(0, 500), st.integers(1, 300), st.integers(0, 20_000))
def test_the_largest_batch_that_fits_is_found_and_no_larger_one_is_run(
    most: int, fixed: int, each: int, room: int
) -> None:
    ran: list[int] = []
    sizes = memory.divisors(most)
    size, taken = memory.largest(sizes, room, ran.append, lambda step: (step(), fixed + each * ran[-1])[1])
    need = {one: (fixed + each * one) * memory.MARGIN for one in sizes}
    fitting = [one for one in sizes if need[one] <= room]
    careful = len(ran) == 1 and size and most > 1 and sizes[1] * need[1] > room  # one point tells no line
    assert size == (1 if careful else fitting[-1] if fitting else 0)
    assert taken == fixed + each * (size or 1)
    assert all(need[one] <= room for one in ran[1:])


@pytest.mark.parametrize(
    ("told", "size"), [("8GiB", 8 << 30), ("1.5 GB", 1_500_000_000), ("300MiB", 300 * MIB), ("2KB", 2000)]
)
def test_limits_are_read(told: str, size: int) -> None:
    assert memory.bytes_of(told) == size


def test_the_growth_of_a_step_is_measured() -> None:
    kept: list[Any] = []
    growth = memory.growth_of(lambda: kept.append(torch.ones(16 * MIB)))  # float32
    assert 60 * MIB < growth < 90 * MIB


def growing(monkeypatch: pytest.MonkeyPatch, each: int) -> list[int]:
    """As if each sequence of a step took so many bytes, a third of it with checkpointing."""
    ran: list[int] = []
    checkpoint = settling.Losses.checkpoint
    state = {"each": each}

    def thrifty(self: Any) -> None:
        state["each"] = each // 3
        checkpoint(self)

    monkeypatch.setattr(settling.Losses, "checkpoint", thrifty)
    steps = memory.steps
    monkeypatch.setattr(
        memory,
        "steps",
        lambda *given: lambda size: (ran.append(size), steps(*given)(size))[0],
    )
    monkeypatch.setattr(memory, "growth_of", lambda step: (step(), state["each"] * ran[-1])[1])
    monkeypatch.setattr(memory, "room", lambda limit, trained, several: 1000 * MIB)
    return ran


def settled(tiny_bert: Path, folder: Path, said: list[str], resumes: bool = False) -> settling.Settled:
    """Of a training whose settings leave all open."""
    model = of_kind("masked", tiny_bert, tiny_bert)
    task = tasks.get("masked-lm")
    collate = task.collator(AutoTokenizer.from_pretrained(tiny_bert), task.Parameters())
    training = Training(batch_size="auto", gradient_checkpointing="auto", block_size=32)
    job: Any = SimpleNamespace(
        task=task, training=training, text=SimpleNamespace(kind="text"), checkpoints=folder, say=said.append
    )
    blocks = Blocks([[*range(5, 37)]] * 3, seed=0)
    return settling.settle(model, collate, blocks, job, resumes)


@pytest.mark.parametrize(
    ("each", "size", "accumulation", "checkpointing"),
    [(100, 8, 2, False), (10, 16, 1, False), (2000, 1, 16, True)],
)
def test_a_batch_is_cut_to_fit_and_stays_as_large(
    each: int,
    size: int,
    accumulation: int,
    checkpointing: bool,
    tiny_bert: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    growing(monkeypatch, each * MIB)
    said: list[str] = []
    found = settled(tiny_bert, tmp_path, said)
    assert found.choices == Choices(found.losses.key, size, accumulation, checkpointing)
    t = found.training
    assert (t.batch_size, t.gradient_accumulation, t.gradient_checkpointing) == (
        size,
        accumulation,
        checkpointing,
    )
    assert f"batch size {size} x {accumulation}" in said[-1]
    assert all(parameter.grad is None for parameter in found.losses.model.parameters())


def test_what_fits_nowhere_is_refused(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = growing(monkeypatch, 5000 * MIB)
    with pytest.raises(TrainingError, match="does not fit"):
        settled(tiny_bert, tmp_path, [])
    assert ran == [1, 1]


def test_a_limit_below_what_is_taken_is_said(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = growing(monkeypatch, MIB)
    monkeypatch.setattr(memory, "room", lambda *_: -7 * MIB)
    with pytest.raises(TrainingError, match="7 MiB more than"):
        settled(tiny_bert, tmp_path, [])
    assert ran == []


def test_a_training_that_goes_on_looks_for_nothing_again(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = growing(monkeypatch, 100 * MIB)
    choices.write(tmp_path, Choices("plain", 2, 8, True))
    found = settled(tiny_bert, tmp_path, [], resumes=True)
    assert found.choices == Choices("plain", 2, 8, True)
    assert ran == []
    assert settled(tiny_bert, tmp_path, []).choices != found.choices  # anew, it looks
    assert ran


def test_the_record_says_what_was_found(tiny_llama: Path, tmp_path: Path) -> None:
    """All of it at once, really measured, under a limit of what is free."""
    training = {"batch_size": "auto", "memory_limit": "50%", "documents": "apart", "max_steps": 1}
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training=training)
    facts = record.read(stages.train(run, tiny.quiet)).training
    assert facts is not None
    assert facts.effective_batch_size == facts.batch_size * facts.gradient_accumulation == 16
    assert facts.documents == "apart"
    assert (facts.kernels or "").startswith("head at labelled positions")


def test_a_step_that_runs_out_of_memory_does_not_fit() -> None:
    """As on a GPU, where other programs take memory too."""

    def step(size: int) -> None:
        if size > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert memory.largest([1, 2, 4], 100, step, lambda run: (run(), 1)[1]) == (2, 1)


def test_a_limit_is_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_now", lambda: (300 * MIB, 1000 * MIB))
    assert memory.room("400MiB", trained=MIB) == 88 * MIB
    assert memory.room("50%", trained=0, sharing=2) == 250 * MIB
    assert memory.room(None, trained=0) == 800 * MIB
    monkeypatch.setattr(memory, "_now", lambda: (None, None))
    with pytest.raises(TrainingError, match="does not tell"):
        memory.room(None, trained=0)


def test_choices_are_kept_for_a_restart_and_what_cannot_be_read_is_not(tmp_path: Path) -> None:
    kept = Choices("plain", 4, 4, True)
    assert choices.read(tmp_path) is None
    choices.write(tmp_path, kept)
    assert choices.read(tmp_path) == kept
    (tmp_path / choices.NAME).write_text(json.dumps({"kernels": 3}))
    assert choices.read(tmp_path) is None
