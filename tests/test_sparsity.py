"""Sparse LoRA: the zeros of the saved file are the ones that the settings ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from hubkit import adapter, record, stages
from hubkit.measures.sparsity import count_zeros, is_pruned
from hubkit.methods.sparse_lora import Parameters
from hubkit.training.sparsity import GradualPruning, prune, target_at, zeros_for


def test_the_schedule_rises_as_published() -> None:
    parameters = Parameters(sparsity=0.8, prune_start=0.2, prune_end=0.6)
    steps = [0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0]
    by_hand = [0, 0, 0.8 * (1 - 0.75**3), 0.8 * (1 - 0.5**3), 0.8 * (1 - 0.25**3), 0.8, 0.8]
    assert [target_at(step, parameters) for step in steps] == pytest.approx(by_hand)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=60), st.floats(0, 1))
def test_exactly_the_smallest_are_dropped(values: list[int], sparsity: float) -> None:
    tensor = torch.tensor(values, dtype=torch.float32)
    zeros = zeros_for(sparsity, tensor.numel())
    mask = prune(tensor, zeros)
    assert int((mask == 0).sum()) == zeros == round(sparsity * len(values))
    dropped, kept = tensor[mask == 0].abs(), tensor[mask == 1].abs()
    assert not len(dropped) or not len(kept) or dropped.max() <= kept.min()


class State:
    def __init__(self, step: int, steps: int) -> None:
        self.global_step, self.max_steps = step, steps


class Model(nn.Module):
    """One matrix that is pruned, and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Module()
        self.q.lora_A = nn.ModuleDict({"default": nn.Linear(10, 10, bias=False)})
        self.head = nn.Linear(10, 10, bias=False)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 7, 10, 37])
@pytest.mark.parametrize("prune_end", [0.05, 0.5, 0.7, 1.0])
def test_the_target_is_met_at_any_number_of_steps_and_then_frozen(steps: int, prune_end: float) -> None:
    torch.manual_seed(0)
    model = Model()
    tensor = model.q.lora_A["default"].weight
    callback = GradualPruning(Parameters(sparsity=0.63, prune_end=prune_end))
    frozen: Any = None
    for step in range(steps):
        with torch.no_grad():
            tensor.add_(torch.randn(10, 10))
            model.head.weight.add_(1)
        callback.on_step_begin(None, State(step, steps), None, model=model)
        callback.on_optimizer_step(None, State(step, steps), None, model=model)
        if frozen is not None:
            assert torch.equal(tensor == 0, frozen)
        elif (step + 1) / steps >= prune_end:
            frozen = tensor == 0
    assert int((tensor == 0).sum()) == 63
    assert not bool((model.head.weight == 0).any())


def test_zeros_that_were_frozen_stay_where_they_are_after_a_restart() -> None:
    torch.manual_seed(0)
    model = Model()
    tensor = model.q.lora_A["default"].weight
    with torch.no_grad():
        tensor.mul_(prune(tensor, 63))
    zeros = tensor == 0
    callback = GradualPruning(Parameters(sparsity=0.63))
    callback.on_step_begin(None, State(8, 10), None, model=model)
    with torch.no_grad():
        tensor.add_(100 * torch.randn(10, 10))
    callback.on_optimizer_step(None, State(8, 10), None, model=model)
    assert torch.equal(tensor == 0, zeros)


@pytest.mark.real
@pytest.mark.parametrize("task", ["causal-lm", "masked-lm"])
@pytest.mark.parametrize(("sparsity", "steps"), [(0.5, 4), (0.9, 3), (0.37, 5)])
def test_the_saved_file_has_the_zeros(
    task: str, sparsity: float, steps: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    base = request.getfixturevalue("tiny_llama" if task == "causal-lm" else "tiny_bert")
    method = {"name": "sparse-lora", "sparsity": sparsity, "r": 5}
    run = tiny.run(task, base, tmp_path, method=method, training__max_steps=steps)
    directory = stages.train(run, tiny.quiet)
    tensors = load_file(directory / adapter.WEIGHTS_NAME)
    assert len(tensors) == 8
    for tensor in tensors.values():
        assert int((tensor == 0).sum()) == round(sparsity * tensor.numel())
    measured = record.read(stages.measure(run, tiny.quiet)).measures.parameters
    assert measured is not None
    numel = sum(tensor.numel() for tensor in tensors.values())
    zeros = sum(int((tensor == 0).sum()) for tensor in tensors.values())
    assert (measured.adapter, measured.adapter_nonzero) == (numel, numel - zeros)
    assert measured.sparsity == zeros / numel
    assert len(measured.sparsity_by_module) == 4
    assert measured.trainable == numel


def test_zeros_are_counted_in_pruned_tensors_only(tiny_bert: Path, tmp_path: Path) -> None:
    method = {"name": "sparse-lora", "modules_to_save": ["transform"]}
    run = tiny.run("masked-lm", tiny_bert, tmp_path, method=method)
    directory = stages.train(run, tiny.quiet)
    tensors = load_file(directory / adapter.WEIGHTS_NAME)
    nonzero, sparsity, by_module = count_zeros(adapter.read(directory))
    assert sparsity == 0.5
    assert all(share == 0.5 for share in by_module.values())
    assert nonzero == sum(int((tensor != 0).sum()) for tensor in tensors.values())
    assert [n for n in tensors if not is_pruned(n)]
    assert not is_pruned("base_model.model.cls.predictions.transform.dense.weight")


def test_a_dense_adapter_has_no_sparsity_to_speak_of(tiny_llama: Path, tmp_path: Path) -> None:
    run = tiny.run("causal-lm", tiny_llama, tmp_path, training__max_steps=1, measuring__perplexity=False)
    stages.train(run, tiny.quiet)
    measured = record.read(stages.measure(run, tiny.quiet)).measures.parameters
    assert measured is not None
    assert measured.sparsity is None
    assert measured.sparsity_by_module == {}
