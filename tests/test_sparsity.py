"""Sparse LoRA: the zeros of the saved file are the ones that the settings ask for."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import msgspec
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
from hubkit.training.sparsity import (
    MASKS,
    GradualPruning,
    SoftThreshold,
    smallest,
    soft_threshold,
    target_at,
    zeros_for,
)


def test_the_schedule_rises_as_published() -> None:
    parameters = Parameters(sparsity=0.8, prune_start=0.2, prune_end=0.6)
    steps = [0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0]
    by_hand = [0, 0, 0.8 * (1 - 0.75**3), 0.8 * (1 - 0.5**3), 0.8 * (1 - 0.25**3), 0.8, 0.8]
    assert [target_at(step, parameters) for step in steps] == pytest.approx(by_hand)


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=60),
    st.floats(0, 1),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_exactly_the_smallest_are_dropped_the_first_of_equal_ones(
    values: list[int], sparsity: float, dtype: torch.dtype
) -> None:
    tensor = torch.tensor(values, dtype=dtype)
    zeros = zeros_for(sparsity, tensor.numel())
    mask = smallest(tensor, zeros)
    assert int(mask.sum()) == zeros == round(sparsity * len(values))
    by_hand = sorted(range(len(values)), key=lambda i: (abs(values[i]), i))[:zeros]
    assert mask.nonzero().flatten().tolist() == sorted(by_hand)


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=30), st.floats(0, 1, width=16))
def test_the_proximal_step_is_the_minimum_that_it_stands_for(values: list[float], by: float) -> None:
    tensor = torch.tensor(values, dtype=torch.float64)
    found = soft_threshold(tensor, by)
    for p, x in zip(tensor.tolist(), found.tolist(), strict=True):
        assert x == (0 if abs(p) <= by else p - by if p > 0 else p + by)

        def cost(at: float, p: float = p) -> float:  # what prox minimizes
            return (at - p) ** 2 / 2 + by * abs(at)

        assert all(cost(x) <= cost(x + step) + 1e-12 for step in (-0.1, -1e-3, 1e-3, 0.1))


class State:
    def __init__(self, step: int, steps: int) -> None:
        self.global_step, self.max_steps = step, steps


class Args:
    should_save = True

    def __init__(self, folder: Path) -> None:
        self.output_dir = str(folder)


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
        callback.on_optimizer_step(None, State(step, steps), None, model=model)
        if frozen is not None:
            assert torch.equal(tensor == 0, frozen)
        elif (step + 1) / steps >= prune_end:
            frozen = tensor == 0
    assert int((tensor == 0).sum()) == 63
    assert not bool((model.head.weight == 0).any())


@pytest.mark.parametrize("stop", [3, 6])
def test_a_restart_goes_on_with_the_zeros_that_were_pruned_and_takes_no_other_for_them(
    stop: int, tmp_path: Path
) -> None:
    """B begins at zero, and its last rows never get a gradient: nothing of that was pruned."""

    def trained(folder: Path, first: int, last: int, start: Model) -> Model:
        model = copy.deepcopy(start)
        tensor = model.q.lora_A["default"].weight
        callback = GradualPruning(Parameters(sparsity=0.3, prune_end=0.5))
        callback.on_train_begin(Args(folder), State(first, 10), None)
        for step in range(first, last):
            with torch.no_grad():
                rows = 6 if step < 8 else 10
                tensor[:rows].add_(torch.randn(rows, 10, generator=torch.Generator().manual_seed(step)))
            callback.on_optimizer_step(None, State(step, 10), None, model=model)
        (folder / f"checkpoint-{last}").mkdir(parents=True)
        callback.on_save(Args(folder), State(last, 10), None)
        return model

    fresh = Model()
    nn.init.zeros_(fresh.q.lora_A["default"].weight)
    through = trained(tmp_path / "through", 0, 10, fresh)
    half = trained(tmp_path / "parts", 0, stop, fresh)
    assert (tmp_path / "parts" / f"checkpoint-{stop}" / MASKS).is_file()
    parts = trained(tmp_path / "parts", stop, 10, half)
    weight = parts.q.lora_A["default"].weight
    assert torch.equal(weight, through.q.lora_A["default"].weight)
    assert int((weight == 0).sum()) == 30


def test_an_l1_step_goes_by_the_rate_of_the_step() -> None:
    torch.manual_seed(0)
    model = Model()
    tensor, head = model.q.lora_A["default"].weight, model.head.weight
    before, head_before = tensor.detach().clone(), head.detach().clone()
    optimizer = torch.optim.SGD([{"params": [tensor], "lr": 0.25}, {"params": [head], "lr": 9.0}])
    callback = SoftThreshold(Parameters(pruning="l1", strength=0.5))
    callback.on_optimizer_step(None, State(0, 9), None, model=model, optimizer=optimizer)
    assert torch.equal(tensor, before.sign() * (before.abs() - 0.125).clamp(min=0))
    assert torch.equal(head, head_before)
    assert 0 < int((tensor == 0).sum()) < 100


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pruning": "l1"}, "pruning: l1 needs strength"),
        ({"pruning": "rank"}, "needs strength, the lambda of its penalty, or sparsity"),
        ({"pruning": "l1", "strength": 0.1, "sparsity": 0.5}, "pruning: l1 takes no sparsity"),
        ({"strength": 0.1}, "pruning: magnitude takes no strength"),
        ({"pruning": "rank", "strength": 0.1, "prune_end": 0.5}, "which is not given"),
        ({"prune_start": 0.8}, "prune_start must be below prune_end"),
    ],
)
def test_parameters_of_another_way_of_pruning_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Parameters(**given)


def test_the_record_gets_the_parameters_as_they_are_used() -> None:
    used = Parameters()
    assert (used.pruning, used.sparsity, used.prune_start, used.prune_end) == ("magnitude", 0.5, 0.0, 0.7)
    parameters = Parameters(pruning="rank", sparsity=0.25)
    assert (parameters.prune_start, parameters.prune_end, parameters.strength) == (0.2, 0.7, None)
    assert Parameters(**msgspec.structs.asdict(parameters)) == parameters


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
