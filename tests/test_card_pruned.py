"""What a card says of a pruned adapter: how it was pruned, zeros by module, ranks that were kept."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from card_cases import CASES

from hubkit import record
from hubkit.card import pruned, render
from hubkit.card.facts import Facts, gather
from hubkit.cli.main import run
from hubkit.measured import Parameters
from hubkit.record import Method, Ranks


def facts(
    directory: Path, parameters: dict[str, object], counts: dict[str, object], ranks: Ranks | None
) -> Facts:
    directory = CASES["causal-sparse-lora"](directory / "adapter")
    known = record.read(directory)
    assert known.training is not None
    assert known.measures.parameters is not None
    plain = {**msgspec.structs.asdict(known.measures.parameters), "sparsity_by_module": {}, **counts}
    known.measures.parameters = Parameters(**plain)
    known.method = Method(name="sparse-lora", parameters=parameters)
    known.training.ranks = ranks
    record.write(directory, known)
    return gather(directory)


def test_zeros_that_differ_are_told_by_module(tmp_path: Path) -> None:
    shares = {"model.layers.0.q_proj": 0.25, "model.layers.1.q_proj": 0.75, "model.layers.0.v_proj": 0.5}
    found = facts(tmp_path, {"pruning": "l1", "strength": 0.3}, {"sparsity_by_module": shares}, None)
    rows, head = pruned.by_module(found)
    assert rows == [
        ("`q_proj`", "2", "50.0%", "25.0%", "75.0%"),
        ("`v_proj`", "1", "50.0%", "50.0%", "50.0%"),
    ]
    assert head[2] == "Zeros, mean"
    card = render.render(found)
    assert "<summary>Zeros by module, over the layers</summary>" in card
    assert "pruning `l1`, strength 0.3" in card
    assert "Parikh" in card
    assert "Zhu, Michael" not in card


def test_zeros_that_are_alike_are_told_once(tmp_path: Path) -> None:
    shares = {"model.layers.0.q_proj": 0.5, "model.layers.1.q_proj": 0.5001}
    found = facts(tmp_path, {"pruning": "magnitude"}, {"sparsity_by_module": shares}, None)
    assert pruned.by_module(found) == ([], ())
    assert "by module" not in render.render(found)


def test_ranks_that_were_dropped_are_told(tmp_path: Path) -> None:
    kept = {"model.layers.0.q_proj": 3, "model.layers.1.q_proj": 8}
    ranks = Ranks(trained=32, kept=11, modules=4, modules_left_out=2)
    counts: dict[str, object] = {"rank_by_module": kept, "sparsity": None}
    found = facts(tmp_path, {"pruning": "rank", "sparsity": 0.65}, counts, ranks)
    assert pruned.ranks_kept(found) == "11 of 32, in 2 of 4 modules"
    card = render.render(found)
    assert re.search(r"\| `q_proj` \| +2 \| +5\.5 \| +3 \| +8 \|", card)
    assert "Yuan, Ming" in card


@pytest.mark.parametrize(("kept", "code"), [(11, 0), (32, 1)])
def test_an_adapter_that_lost_ranks_may_be_called_sparse(kept: int, code: int, tmp_path: Path) -> None:
    counts: dict[str, object] = {"sparsity": 0.0}
    ranks = Ranks(trained=32, kept=kept, modules=4)
    found = facts(tmp_path, {"pruning": "rank", "sparsity": 0.65}, counts, ranks)
    (found.adapter.directory / "README.md").write_text(render.render(found))
    assert run(["audit", str(found.adapter.directory), "--select", "HK222", "-q"]) == code


def test_an_adapter_that_was_not_pruned_says_nothing_of_it(tmp_path: Path) -> None:
    found = gather(CASES["causal-lora"](tmp_path / "adapter"))
    assert (pruned.settings(found), pruned.ranks_kept(found)) == (None, None)
    assert pruned.by_module(found) == ([], ())
