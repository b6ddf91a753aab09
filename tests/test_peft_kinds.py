"""Adapters of every PEFT kind that stock PEFT makes here: each has a true card, and its code runs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from hubkit.adapter import PROMPT_TYPES
from hubkit.audit import rules, subject
from hubkit.card import front_matter, kinds
from hubkit.card.citations import BIBTEX
from hubkit.card.facts import gather
from hubkit.cli.main import run
from hubkit.hub_rules import front_matter_problems
from hubkit.tensor_names import UPDATE_PREFIXES

SOURCE = Path(__file__).parent / "peft_zoo.py"
# Read from the source: importing it would import torch here too.
NAMES = re.findall(r'^    "([\w-]+)": (?:causal|on_bert|on_t5)\(', SOURCE.read_text(), re.MULTILINE)
TITLES = {
    "lora": "LoRA", "lora-patterns": "LoRA", "dora": "DoRA", "rslora": "rsLoRA", "pissa": "LoRA",
    "ia3": "(IA)³",
    "adalora": "AdaLoRA", "adaption-prompt": "LLaMA-Adapter", "boft": "BOFT", "fourierft": "FourierFT",
    "hira": "HiRA", "hra": "HRA", "ln-tuning": "LayerNorm tuning", "loha": "LoHa", "lokr": "LoKr",
    "miss": "MiSS", "multitask": "Multitask prompt tuning", "oft": "OFT", "p-tuning": "P-tuning",
    "poly": "Poly", "prefix": "Prefix tuning", "prompt": "Prompt tuning", "randlora": "RandLoRA",
    "shira": "SHiRA", "tokens": "Trainable tokens", "vblora": "VB-LoRA", "vera": "VeRA", "xlora": "X-LoRA",
    "seq2seq-prompt": "Prompt tuning", "sequences": "LoRA",
}  # fmt: skip
AUTO = {
    "masked": ("AutoModelForMaskedLM", "fill-mask"),
    "sequences": ("AutoModelForSequenceClassification", "text-classification"),
    "tokens-labelled": ("AutoModelForTokenClassification", "token-classification"),
    "questions": ("AutoModelForQuestionAnswering", "question-answering"),
    "features": ("AutoModel", "feature-extraction"),
    "features-untold": ("AutoModel", "feature-extraction"),
    "seq2seq": ("AutoModelForSeq2SeqLM", "text2text-generation"),
    "seq2seq-prompt": ("AutoModelForSeq2SeqLM", "text2text-generation"),
}


pytestmark = pytest.mark.real  # making an adapter of each kind takes a while


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Where the adapters lie, and what came of making them, their cards, and running their code."""
    pytest.importorskip("peft")
    folder = tmp_path_factory.mktemp("peft")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    ran = subprocess.run(
        [sys.executable, str(SOURCE)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return folder / "zoo", json.loads(ran.stdout.splitlines()[-1])


def test_there_are_thirty_kinds_and_more(zoo: tuple[Path, dict[str, Any]]) -> None:
    assert set(NAMES) | {""} == set(zoo[1])
    types = {json.loads((zoo[0] / name / "adapter_config.json").read_text())["peft_type"] for name in NAMES}
    assert len(types) >= 30
    assert set(AUTO) | set(TITLES) <= set(NAMES)


def test_every_type_of_peft_is_known(zoo: tuple[Path, dict[str, Any]]) -> None:
    prefixes = zoo[1][""]
    assert {name for name, prefix in prefixes.items() if prefix is None} <= PROMPT_TYPES
    for name, prefix in prefixes.items():
        kind = kinds.of({"peft_type": name}, None, False)
        assert kind.title != name or name in kinds.PEFT_KINDS, name
        assert kind.summary, name
        if prefix and name != "ADAPTION_PROMPT":
            assert prefix.startswith(UPDATE_PREFIXES), name


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_card_whose_code_runs(name: str, zoo: tuple[Path, dict[str, Any]]) -> None:
    came_of_it = zoo[1][name]
    for step in ("made", "card", "ran"):
        assert "error" not in came_of_it.get(step, {}), came_of_it[step]["error"]
    assert came_of_it["ran"]["printed"]


@pytest.mark.parametrize("name", NAMES)
def test_the_card_says_what_the_files_hold(name: str, zoo: tuple[Path, dict[str, Any]]) -> None:
    directory, made = zoo[0] / name, zoo[1][name]["made"]["given"]
    facts = gather(directory)
    text = (directory / "README.md").read_text(encoding="utf-8")
    metadata = ModelCard(text).data.to_dict()
    assert metadata == front_matter.metadata(facts)
    assert front_matter_problems(metadata) == []
    assert ("lora" in metadata["tags"]) == (facts.adapter.peft_type == "LORA")
    assert set(facts.kind.tags) <= set(metadata["tags"])
    assert all(BIBTEX[paper] in text for paper in facts.kind.papers)
    assert f", {TITLES.get(name, facts.kind.title)} adapter\n" in text
    assert facts.parameters.trainable in (None, made)
    auto, tag = AUTO.get(name, ("AutoModelForCausalLM", "text-generation"))
    assert f"base = {auto}.from_pretrained(" in text
    assert metadata["pipeline_tag"] == tag
    assert not re.search(r"\bNone\b|N/A|\bnan\b|More Information Needed", text)
    assert str(zoo[0]) not in text


@pytest.mark.parametrize("name", NAMES)
def test_the_audit_finds_nothing_on_the_card(name: str, zoo: tuple[Path, dict[str, Any]]) -> None:
    found = rules.findings(subject.load(zoo[0] / name / "README.md"))
    untold = {"HK115"}  # nobody said what language they speak
    assert [(one.code, one.line, one.message) for one in found if one.code not in untold] == []


@pytest.mark.parametrize("name", ["lora", "vera", "prompt", "sequences", "xlora"])
def test_the_card_is_up_to_date(
    name: str, zoo: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["card", "--adapter", str(zoo[0] / name), "--check"]) == 0, capsys.readouterr().err


def test_what_single_kinds_say(zoo: tuple[Path, dict[str, Any]]) -> None:
    cards = {name: re.sub(" +", " ", (zoo[0] / name / "README.md").read_text()) for name in NAMES}
    assert "base.resize_token_embeddings(29, mean_resizing=False)" in cards["lora-resized"]
    assert "resize_token_embeddings" not in cards["lora-tokens"]
    assert "LoRA, rank 4 to 8" in cards["lora-patterns"]
    assert "| Ranks that differ | `q_proj`: 8 |" in cards["lora-patterns"]
    assert "| Modules trained whole | `lm_head` |" in cards["lora-head"]
    assert "| Trained tokens | `1`, `2` |" in cards["lora-tokens"]
    assert "| `init_lora_weights` | `pissa` |" in cards["pissa"]
    assert "num_labels=3" in cards["sequences"]
    assert "num_labels=5" in cards["tokens-labelled"]
    assert "num_labels" not in cards["questions"]
    assert "holds no numbers" in cards["xlora"]
    assert "An X-LoRA adapter for" in cards["xlora"]
    assert "base.config.use_cache = False" in cards["xlora"]
    assert 'inputs["task_ids"] = torch.tensor([0])' in cards["multitask"]
    assert "| Virtual tokens | `4` |" in cards["prompt"]
    for card in cards.values():
        for block in re.findall(r"^```python\n(.*?)^```", card, re.DOTALL | re.MULTILINE):
            ast.parse(block)
