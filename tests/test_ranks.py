"""Whole ranks: what is dropped, what is saved, and that stock PEFT computes the same from the smaller one."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import TrainerCallback

from hubkit import adapter, record, stages
from hubkit.errors import Interrupted, TrainingError
from hubkit.measures.sparsity import ranks as ranks_of
from hubkit.methods.sparse_lora import Parameters
from hubkit.training import dropped, ranks, trainer
from hubkit.training.sparsity import pruner

TARGETS = ["embed", "conv", "up", "down"]


class Small(nn.Module):
    """An embedding, a convolution and three linear layers, one with a name that ends in another's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(11, 6)
        self.conv = nn.Conv1d(6, 8, 3, padding=1)
        self.up = nn.Linear(8, 12)
        self.inner = nn.ModuleDict({"up": nn.Linear(12, 12)})
        self.down = nn.Linear(12, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.conv(self.embed(ids).transpose(1, 2)).transpose(1, 2)
        whole: torch.Tensor = self.down(torch.relu(self.inner["up"](torch.relu(self.up(hidden)))))
        return whole


IDS = torch.arange(11).view(1, 11)


def adapted(**more: Any) -> Any:
    """The small model with a LoRA that was moved from its start, as training would."""
    config = {"r": 4, "lora_alpha": 6, "target_modules": TARGETS, **more}
    model = get_peft_model(Small(), LoraConfig(**config)).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "lora" in name:
                tensor.add_(torch.randn_like(tensor))
    return model


def drop(module: ranks.Module, *which: int) -> None:
    by = torch.ones(len(module.alive()))
    by[list(which)] = 0
    module.shrink(by)


def named(model: Any) -> dict[str, ranks.Module]:
    return {module.name.removeprefix("base_model.model."): module for module in ranks.modules(model)}


def test_a_group_step_shrinks_each_rank_as_published() -> None:
    for module in named(adapted()).values():
        before = [(module.a[k].clone(), module.b[:, k].clone()) for k in range(4)]
        ranks.group_threshold(module, 0.9)
        for k, (a, b) in enumerate(before):
            size = a.numel() + b.numel()
            norm = math.sqrt(float(a.square().sum() + b.square().sum()))
            factor = max(0.0, 1 - 0.9 * math.sqrt(size) / norm)
            torch.testing.assert_close(module.a[k], a * factor)
            torch.testing.assert_close(module.b[:, k], b * factor)
            assert bool(module.alive()[k]) == (factor > 0)


def test_a_ranks_update_is_told_by_the_entries_that_it_adds_to_the_weight() -> None:
    model = adapted()
    module = named(model)["up"]
    added = [torch.outer(module.b[:, k], module.a[k]) * 6 / 4 for k in range(4)]
    by_hand = [float(update.square().mean().sqrt()) for update in added]
    assert module.updates().tolist() == pytest.approx(by_hand, rel=1e-5)


def in_order(modules: list[ranks.Module]) -> list[tuple[float, int, int]]:
    updates = [module.updates().tolist() for module in modules]
    return sorted((updates[i][k], i, k) for i in range(len(modules)) for k in range(len(updates[i])))


@given(st.integers(0, 19), st.integers(0, 19))
def test_exactly_so_many_ranks_are_dropped_the_smallest_first(first: int, second: int) -> None:
    modules = [
        ranks.Module(str(i), torch.randn(4, 3 + i), torch.randn(5, 4).round(decimals=0), 1.0)
        for i in range(5)
    ]
    ordered = in_order(modules)
    ranks.drop_smallest(modules, first)
    ranks.drop_smallest(modules, second)
    count = max(first, second)
    gone = {(i, k) for i, module in enumerate(modules) for k in range(4) if not module.alive()[k]}
    assert len(gone) == count
    bound = ordered[count - 1][0] if count else -1.0
    assert {(i, k) for update, i, k in ordered if update < bound} <= gone
    assert all(update <= bound for update, i, k in ordered if (i, k) in gone)


@pytest.mark.parametrize(
    "more", [{}, {"use_rslora": True}, {"alpha_pattern": {"inner.up": 3}, "bias": "all"}]
)
@pytest.mark.filterwarnings("ignore:Using Rank-Stabilization with rank_pattern")
def test_the_smaller_file_computes_the_same_in_stock_peft(more: dict[str, Any], tmp_path: Path) -> None:
    model = adapted(modules_to_save=["down"], **more)
    found = named(model)
    drop(found["embed"], 1)
    drop(found["conv"], 0, 3)
    drop(found["up"], 0, 1, 2, 3)
    drop(found["inner.up"], 2, 3)
    with torch.no_grad():
        wanted = model(IDS)
        if "bias" in more:
            found_bias = [p for n, p in model.named_parameters() if n.endswith("bias") and p.requires_grad]
            assert found_bias
    model.save_pretrained(tmp_path)
    full = (tmp_path / adapter.WEIGHTS_NAME).stat().st_size
    scales = {name: module.scale for name, module in found.items()}
    told = dropped.leave_out(tmp_path)
    again = PeftModel.from_pretrained(Small(), tmp_path).eval()
    torch.testing.assert_close(again(IDS), wanted, rtol=1e-5, atol=1e-5)
    kept = {name: len(module.alive()) for name, module in named(again).items()}
    # `up` kept none. It ends the name of `inner.up`, which PEFT would leave out too: one rank stays, at zero.
    assert kept == {"embed": 3, "conv": 2, "up": 1, "inner.up": 2}
    assert {name: module.scale for name, module in named(again).items()} == pytest.approx(scales, rel=1e-15)
    assert told == record.Ranks(trained=16, kept=8, modules=4)
    assert (tmp_path / adapter.WEIGHTS_NAME).stat().st_size < full
    assert ranks_of(adapter.read(tmp_path)) == kept


@pytest.mark.parametrize("excluded", [None, ["down"], "dow.*"])
def test_a_module_that_lost_all_ranks_is_left_out(excluded: Any, tmp_path: Path) -> None:
    model = adapted(exclude_modules=excluded, target_modules=["embed", "conv", "inner.up", *TARGETS[2:]])
    for name in ("conv", "inner.up", *([] if excluded else ["down"])):
        drop(named(model)[name], 0, 1, 2, 3)
    drop(named(model)["embed"], 0)
    wanted = model(IDS)
    model.save_pretrained(tmp_path)
    told = dropped.leave_out(tmp_path)
    again = PeftModel.from_pretrained(Small(), tmp_path).eval()
    torch.testing.assert_close(again(IDS), wanted, rtol=1e-5, atol=1e-5)
    assert set(named(again)) == {"embed", "up"}
    assert (told.kept, told.modules_left_out) == (7, 2 if excluded else 3)
    assert "conv" not in json.loads((tmp_path / adapter.CONFIG_NAME).read_text())["target_modules"]


def test_where_no_rank_is_left_it_says_so() -> None:
    model = adapted()
    callback = pruner(Parameters(pruning="rank", strength=100.0))
    callback.on_step_begin(None, None, None, model=model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with pytest.raises(TrainingError, match="no rank was left at step 3"):
        callback.on_optimizer_step(None, State(2, 9), None, model=model, optimizer=optimizer)


class State:
    def __init__(self, step: int, steps: int) -> None:
        self.global_step, self.max_steps = step, steps


@pytest.mark.parametrize(("sparsity", "steps"), [(0.5, 7), (0.3, 1), (0.99, 3)])
def test_the_share_is_met_and_what_was_dropped_never_moves(sparsity: float, steps: int) -> None:
    model = adapted()
    optimizer = torch.optim.AdamW(
        [p for n, p in model.named_parameters() if "lora" in n], lr=0.05, weight_decay=0.1
    )
    callback = pruner(Parameters(pruning="rank", sparsity=sparsity, prune_start=0.0))
    gone: list[tuple[str, int]] = []
    for step in range(steps):
        callback.on_step_begin(None, State(step, steps), None, model=model)
        model(IDS).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        callback.on_optimizer_step(None, State(step, steps), None, model=model, optimizer=optimizer)
        alive = {name: module.alive() for name, module in named(model).items()}
        assert all(not alive[name][k] for name, k in gone)
        gone = [(name, k) for name, those in alive.items() for k in range(4) if not those[k]]
    assert len(gone) == min(round(sparsity * 20), 19)


class StopAfter(TrainerCallback):
    """Presses Ctrl-C during a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step + 1 == self.step:
            signal.raise_signal(signal.SIGINT)


PRUNED = {
    "magnitude": {"sparsity": 0.6},
    "l1": {"strength": 0.3},
    "rank": {"sparsity": 0.4, "strength": 0.01},
}


@pytest.mark.real
@pytest.mark.parametrize("stop", [2, 5])
@pytest.mark.parametrize("pruning", PRUNED)
def test_a_pruning_that_was_stopped_goes_on_to_the_same_file(
    pruning: str, stop: int, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(name: str) -> Any:
        method = {"name": "sparse-lora", "pruning": pruning, "r": 4, "dropout": 0.1, **PRUNED[pruning]}
        training = {"max_steps": 7, "weight_decay": 0.1, "gradient_accumulation": 2, "warmup_steps": 1}
        return tiny.run(
            "causal-lm",
            tiny_llama,
            tmp_path,
            method=method,
            training=training,
            output_dir=str(tmp_path / name),
        )

    whole = stages.train(run("whole"), tiny.quiet)
    make = trainer.make

    def with_stop(*given: Any) -> Any:
        made = make(*given)
        made.add_callback(StopAfter(stop))
        return made

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "make", with_stop)
        with pytest.raises(Interrupted, match=f"stopped at step {stop} of 7"):
            stages.train(run("stopped"), tiny.quiet)
    stopped = stages.train(run("stopped"), tiny.quiet, must_resume=True)
    for name in (adapter.WEIGHTS_NAME, adapter.CONFIG_NAME):
        assert (whole / name).read_bytes() == (stopped / name).read_bytes()
    tensors = load_file(whole / adapter.WEIGHTS_NAME)
    zeros = sum(int((tensor == 0).sum()) for tensor in tensors.values())
    assert zeros or pruning == "rank"
    assert (record.read(whole).training.ranks is not None) == (pruning == "rank")


def test_training_saves_the_ranks_that_are_left(tiny_llama: Path, tmp_path: Path) -> None:
    method = {"name": "sparse-lora", "pruning": "rank", "sparsity": 0.5, "r": 4, "prune_start": 0.0}
    run = tiny.run("causal-lm", tiny_llama, tmp_path, method=method, measuring__perplexity=False)
    directory = stages.train(run, tiny.quiet)
    known = record.read(directory)
    assert known.training is not None
    assert known.training.ranks is not None
    assert (known.training.ranks.trained, known.training.ranks.kept) == (16, 8)
    measured = record.read(stages.measure(run, tiny.quiet)).measures.parameters
    assert measured is not None
    kept = ranks_of(adapter.read(directory))
    assert measured.rank_by_module == kept
    assert measured.sparsity is None
    assert measured.adapter == measured.trainable
