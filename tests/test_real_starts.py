"""Starts that change the base, through trainings: a stop costs nothing, and stock PEFT loads the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from methods_at_work import IDS, stock
from safetensors.torch import load_file
from spies import logits_at_save

from hubkit import adapter, record, stages
from hubkit.errors import Interrupted

pytestmark = pytest.mark.real

METHODS = [
    {"name": "lora", "init": "pissa", "dropout": 0.2},
    {"name": "lora", "init": "olora", "rslora": True, "rank_pattern": {"v_proj": 2}},
    {"name": "qlora", "init": "loftq", "quant_type": "fp4"},
    {"name": "hira", "bits": 4},
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: str(method.get("init", method["name"])))
def test_a_stop_changes_nothing_and_stock_peft_loads_the_end(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: dict[str, Any]
) -> None:
    from test_fit import stop_at

    seen = logits_at_save(monkeypatch, IDS)

    def run(name: str) -> Any:
        return tiny.run("causal-lm", tiny_llama, tmp_path, method=method, output_dir=str(tmp_path / name))

    whole = stages.train(run("whole"), tiny.quiet)
    with monkeypatch.context() as patch:
        stop_at(2, patch)
        with pytest.raises(Interrupted):
            stages.train(run("stopped"), tiny.quiet)
    stopped = stages.train(run("stopped"), tiny.quiet, must_resume=True)
    first, second = (load_file(end / adapter.WEIGHTS_NAME) for end in (whole, stopped))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not (tmp_path / "stopped" / "checkpoints").exists()
    known = record.read(stopped)
    bits = known.base_model.quantization if known.base_model else None
    torch.testing.assert_close(stock(tiny_llama, stopped, bits), seen[-1], atol=2e-4, rtol=1e-4)
    assert known.method is not None
    assert known.method.parameters.get("init", "default") == method.get("init", "default")
