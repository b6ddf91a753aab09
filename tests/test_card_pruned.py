"""What a card says of a pruned adapter: how it was pruned, zeros by module, ranks that were kept."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import numpy
import pytest
from card_cases import CASES
from safetensors.numpy import save_file

from hubkit import record
from hubkit.card import comparison, configuration, pruned, render, side_by_side
from hubkit.card.facts import Facts, gather
from hubkit.cli.main import run
from hubkit.measured import Parameters
from hubkit.methods.sparse_lora import Parameters as Pruning
from hubkit.record import Method, Ranks
from hubkit.training import sparsity


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


@pytest.mark.parametrize(
    ("kept", "share", "title"),
    [(11, 0.0, "Sparse LoRA"), (32, 0.0, "LoRA"), (32, 0.000014, "LoRA"), (32, 0.3, "Sparse LoRA")],
)
def test_only_what_was_pruned_is_called_sparse(kept: int, share: float, title: str, tmp_path: Path) -> None:
    ranks = Ranks(trained=32, kept=kept, modules=4)
    found = facts(tmp_path, {"pruning": "l1", "strength": 0.001}, {"sparsity": share}, ranks)
    assert found.kind.title == title
    assert ("sparse" in found.kind.tags) == (title == "Sparse LoRA")
    assert "proximal" in found.kind.papers
    card = found.adapter.directory / "README.md"
    card.write_text(render.render(found))
    audit = ["audit", str(found.adapter.directory), "--select", "HK222,HK223", "-q"]
    assert run(audit) == 0
    card.write_text(card.read_text().replace("\n# ", "\n# A sparse LoRA: ", 1))
    assert run(audit) == (0 if title == "Sparse LoRA" else 1)


def test_a_share_above_none_is_never_told_as_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = facts(tmp_path, {"pruning": "l1", "strength": 0.001}, {"sparsity": 0.000014}, None)
    (found.adapter.directory / "README.md").write_text("# A\n\n- **Method:** Sparse LoRA\n")
    assert run(["audit", str(found.adapter.directory), "--select", "HK222"]) == 1
    said = capsys.readouterr()
    assert "0.0014% of the weights are zero" in said.out + said.err


def test_an_adapter_that_was_not_pruned_says_nothing_of_it(tmp_path: Path) -> None:
    found = gather(CASES["causal-lora"](tmp_path / "adapter"))
    assert (pruned.settings(found), pruned.ranks_kept(found)) == (None, None)
    assert pruned.by_module(found) == ([], ())


FEW = ", so that the card calls it no sparse adapter; raise method.strength, or train longer"


@pytest.mark.parametrize(("share", "said"), [(0.5, "50%"), (0.000014, f"0.0014%{FEW}"), (0.0, f"0%{FEW}")])
def test_training_says_what_l1_left(
    share: float, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = CASES["causal-sparse-lora"](tmp_path / "adapter")
    known = record.read(directory).training
    assert known is not None
    monkeypatch.setattr(sparsity, "count_zeros", lambda adapter: (0, share, {}))
    told = sparsity.left(Pruning(pruning="l1", strength=0.1), directory, known)
    assert told.replace(" of A and B at zero", "") == f"pruning left {said}"
    known.ranks = Ranks(trained=32, kept=11, modules=4)
    assert sparsity.left(Pruning(pruning="rank", strength=1.0), directory, known).endswith("11 of 32 ranks")
    known.ranks.kept = 32
    assert sparsity.left(Pruning(pruning="rank", strength=1.0), directory, known).endswith(FEW)


def test_ranks_and_alphas_of_many_modules_are_told_by_their_range(tmp_path: Path) -> None:
    directory = CASES["causal-lora"](tmp_path / "adapter")
    names = [f"model.layers.{layer}.self_attn.q_proj" for layer in range(14)]
    ranks = {name: 1 + at % 7 for at, name in enumerate(names)}
    tensors = {}
    for name, rank in [*ranks.items(), ("model.layers.0.self_attn.v_proj", 8)]:
        tensors[f"base_model.model.{name}.lora_A.weight"] = numpy.ones((rank, 4), numpy.float32)
        tensors[f"base_model.model.{name}.lora_B.weight"] = numpy.ones((4, rank), numpy.float32)
    save_file(tensors, directory / "adapter_model.safetensors")
    path = directory / "adapter_config.json"
    config = json.loads(path.read_text())
    alphas = {name: 2 * rank for name, rank in ranks.items()}
    given = {**config, "r": 8, "lora_alpha": 16, "rank_pattern": ranks, "alpha_pattern": alphas}
    path.write_text(json.dumps(given))
    found = gather(directory)
    rows = dict(configuration.main(found))
    assert rows["Ranks that differ"] == "1 to 7, median 4, in 14 modules"
    assert (rows.get("Alpha"), rows["Alpha / r"]) == (None, "2 in each module")
    assert comparison.numbers(found).ranks == [1, 8]
    assert side_by_side._rank(comparison.numbers(found)) == "1 to 8"
    path.write_text(json.dumps({**given, "alpha_pattern": {**alphas, names[0]: 7}}))
    assert "Alpha / r" not in dict(configuration.main(gather(directory)))
