"""Metadata, placeholders, links and leaks as cards of the world have them: what is found, and what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from card_cases import LORA_CONFIG, lora_tensors, write_adapter

from hubkit import hub_names
from hubkit.audit import rules, subject

OURS = frozenset(code for code in rules.table() if code[2] in "156")
QWEN = "Qwen/Qwen2.5-7B-Instruct"
MATTER = {
    "license": "apache-2.0", "language": "en", "library_name": "peft", "pipeline_tag": "text-generation",
    "base_model": QWEN, "base_model_relation": "adapter",
}  # fmt: skip


def audit(directory: Path, card: str, **config: Any) -> list[tuple[str, int | None]]:
    named = {"base_model_name_or_path": QWEN, **config}
    tensors = lora_tensors("model.layers", 1, ["self_attn.q_proj"], 4, 2)
    made = write_adapter(directory / "adapter", {**LORA_CONFIG, **named}, tensors)
    (made / "README.md").write_text(card)
    return [(one.code, one.line) for one in rules.findings(subject.load(made / "README.md"), OURS)]


def with_metadata(changes: dict[str, Any], body: str = "# Mine\n") -> str:
    matter = {key: value for key, value in {**MATTER, **changes}.items() if value is not ...}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in matter.items()]
    return "\n".join(["---", *lines, "---", "", body])


def test_nothing_is_found_on_the_card_that_the_others_change(tmp_path: Path) -> None:
    assert audit(tmp_path, with_metadata({})) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"license": ...}, "HK110"),
        ({"license": ..., "licence": "apache-2.0"}, "HK105"),
        ({"license": "Apache 2"}, "HK111"),
        ({"license": "other"}, "HK111"),
        ({"license": "other", "license_name": "mine", "license_link": "see below"}, "HK111"),
        ({"license": None}, "HK106"),
        ({"language": ...}, "HK115"),
        ({"language": False}, "HK116"),
        ({"language": ["en", "English"]}, "HK116"),
        ({"base_model": ..., "base_model_relation": ...}, "HK120"),
        ({"base_model": "/data/models/Qwen2.5-7B-Instruct"}, "HK121"),
        ({"base_model": "./Qwen2.5-7B-Instruct"}, "HK121"),
        ({"base_model": "https://huggingface.co/Qwen/Qwen2.5-7B-Instruct"}, "HK121"),
        ({"base_model": "Qwen/Qwen2.5-7B-Instruct@a09a354"}, "HK121"),
        ({"base_model": "org/model/checkpoint-500"}, "HK121"),
        ({"base_model": 7}, "HK121"),
        ({"base_model": "None"}, "HK106"),
        ({"base_model": "Qwen2.5-7B-Instruct"}, "HK122"),
        ({"base_model": "Qwen/Qwen2.5-7B"}, "HK123"),
        ({"base_model": "Qwenn/Qwen2.5-7B-Instruct"}, "HK123"),
        ({"base_model_relation": ...}, "HK124"),
        ({"base_model_relation": "finetune"}, "HK125"),
        ({"base_model_relation": "lora"}, "HK125"),
        ({"library_name": ...}, "HK130"),
        ({"library_name": "pytorch"}, "HK131"),
        ({"pipeline_tag": ...}, "HK132"),
        ({"pipeline_tag": "chat"}, "HK133"),
        ({"pipeline_tag": "fill-mask"}, "HK134"),
        ({"datasets": ["data/train/x.jsonl"]}, "HK135"),
        ({"datasets": ["imdb"]}, "HK136"),
        ({"tags": ["hira"]}, "HK138"),
        ({"tags": ["base_model:adapter:google/gemma-2-2b"]}, "HK138"),
        ({"tags": [f"base_model:finetune:{QWEN}"]}, "HK138"),
        ({"metrics": ["accuracy"]}, "HK139"),
        ({"model-index": [{"name": "x", "results": [{"task": {"type": "y"}}]}]}, "HK107"),
    ],
)
def test_a_fault_of_the_metadata(changes: dict[str, Any], code: str, tmp_path: Path) -> None:
    found = audit(tmp_path, with_metadata(changes))
    assert code in {one for one, _ in found}
    assert {one for one, _ in found} <= {code, "HK110"}


@pytest.mark.parametrize(
    ("changes", "config", "body"),
    [
        ({"license": "mit"}, {}, ""),  # the base allows it
        ({"license": "other", "license_name": "mine", "license_link": "LICENSE.md"}, {}, ""),
        ({"license": ["apache-2.0"]}, {}, ""),
        ({"language": ["zh", "en", "multilingual", "code"]}, {}, ""),
        ({"base_model": [QWEN]}, {}, ""),
        ({"base_model": "unsloth/Qwen2.5-7B-Instruct-bnb-4bit"}, {}, ""),
        ({}, {"base_model_name_or_path": "unsloth/qwen2.5-7b-instruct-unsloth-bnb-4bit"}, ""),
        ({"pipeline_tag": "image-text-to-text"}, {}, ""),
        ({"pipeline_tag": "translation"}, {}, ""),
        ({"pipeline_tag": "automatic-speech-recognition"}, {"task_type": None}, ""),
        ({"library_name": "transformers"}, {}, ""),
        ({"library_name": "unsloth"}, {}, ""),
        ({"base_model_relation": ..., "tags": [f"base_model:adapter:{QWEN}"]}, {}, ""),
        ({"tags": ["lora", "qlora", "4-bit", "unsloth"]}, {}, ""),
        ({"tags": ["dora", "rslora"]}, {"use_dora": True, "use_rslora": True}, ""),
        ({"metrics": ["accuracy"]}, {}, "Accuracy is 91.3 on the test split."),
        ({"metrics": ["rouge", "f1"]}, {}, "| Model | ROUGE-L | F1 |\n|---|---|---|\n| ours | 0.41 | 0.9 |"),
        ({"metrics": ["bleu"]}, {}, "- **BLEU:** 31.2"),
        (
            {},
            {},
            "![License](https://img.shields.io/badge/Code%20License-MIT-blue)\n\nThe code is MIT licensed.",
        ),
        ({}, {}, "## License\n\nThe dataset is released under CC BY 4.0."),
        ({}, {}, "## License\n\nApache 2.0"),
        ({}, {}, "License: Apache License, Version 2.0"),
        ({"license": "llama3.1"}, {}, "This adapter is released under the Llama 3.1 Community License."),
        ({"my_own_key": None, "widget": [{"text": None}]}, {}, ""),
    ],
)
def test_no_alarm_for_metadata(
    changes: dict[str, Any], config: dict[str, Any], body: str, tmp_path: Path
) -> None:
    assert audit(tmp_path, with_metadata(changes, body), **config) == []


@pytest.mark.parametrize(
    ("base", "license", "is_found"),
    [
        ("meta-llama/Llama-2-7b-hf", "mit", True),
        ("meta-llama/Llama-3.2-1B", "llama3", True),
        ("google/gemma-2-9b-it", "apache-2.0", True),
        ("meta-llama/Llama-3.2-1B", "llama3.2", False),
        ("meta-llama/Llama-3.2-1B", "other", False),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "mit", False),
        ("google/gemma-2-9b-it", "gemma", False),
        ("mistralai/Mistral-7B-v0.1", "cc-by-nc-4.0", False),
    ],
)
def test_a_license_unlike_the_bases(base: str, license: str, is_found: bool, tmp_path: Path) -> None:
    names = {"license_name": "x", "license_link": "https://example.org"} if license == "other" else {}
    card = with_metadata({"base_model": base, "license": license, **names})
    found = audit(tmp_path, card, base_model_name_or_path=base)
    assert [code for code, _ in found] == (["HK112"] if is_found else [])


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("- **License:** MIT", "HK113", 10),
        ("This adapter is licensed under the MIT License.", "HK113", 10),
        ("[More Information Needed]", "HK501", 10),
        ("## Use\n\nMore information needed\n", "HK501", 12),
        ("- **Funded by:** [More Information Needed]", "HK501", 10),
        ("Written by [Your Name].", "HK501", 10),
        ("# Model Card for Model ID", "HK502", 10),
        ("# Model card for None", "HK502", 10),
        ("- **Perplexity:** N/A", "HK503", 10),
        ("| Metric | Value |\n|---|---|\n| Loss | None |", "HK503", 12),
        ("- **Model size:** N/A MB", "HK503", 10),
        ("TODO: describe the data", "HK503", 10),
        ("[code](https://github.com/your-username/repo)", "HK504", 10),
        ("[code]()", "HK504", 10),
        ("Made from [None](https://huggingface.co/None).", "HK504", 10),
        ("A fine-tuned version of X on the None dataset.", "HK503", 10),
        ("[code](#)", "HK504", 10),
        ("![loss](loss.png)", "HK510", 10),
        ("<img src='images/loss.png'>", "HK510", 10),
        ("[here](.)", "HK511", 10),
        ("[results](#results)", "HK512", 10),
        ("Trained from /home/ada/models/x.", "HK520", 10),
        ("Data: C:\\Users\\ada\\data", "HK520", 10),
        ("- base: /mnt/nfs/models/llama", "HK520", 10),
        ("```yaml\ndataset: /workspace/data/x.json\n```", "HK520", 11),
        ("of [/data1/models/Qwen2.5](https://example.org)", "HK520", 10),
        ("hf_" + "aB3" * 12, "HK522", 10),
        ("Logs of run ada@uni.example.org were kept.", "HK523", 10),
        ("Trained on gpu-17.cluster.internal.", "HK524", 10),
        ("See http://192.168.1.20:6006 for the curves.", "HK524", 10),
    ],
)
def test_a_fault_of_the_text(body: str, code: str, line: int, tmp_path: Path) -> None:
    assert audit(tmp_path, with_metadata({}, body)) == [(code, line)]


@pytest.mark.parametrize(
    "body",
    [
        "Users should know the risks. More information needed for further recommendations.",
        "| Model | PPL | Size |\n|---|---|---|\n| GPT | N/A | N/A |\n| ours | 8 | 3 MB |",
        "- **Bias:** None\n- Gradient checkpointing: None\n- lr_scheduler_kwargs: null\n"
        "- `ddp_find_unused_parameters`: None\n- `label_smoothing_losses`: None",
        "| Training Loss | Epoch | Validation Loss |\n|---|---|---|\n| No log | 1 | 2.1 |",
        "`TODO` comments are what it completes. A todo list app.",
        "[config](adapter_config.json) [file](./adapter_model.safetensors)",
        "[up](/spaces/x/y) [m](mailto:a@b.io)",
        "# Usage 🚀\n\n[a](#usage-) [b](#-usage) [c](#usage-🚀)",
        "## Results\n\n## Results\n\n[second](#results-1)",
        '<a id="here"></a> [there](#here)',
        "`[code](.)` and ```[x](y.png)```",
        "Put your data in `./data` or /path/to/data; run it with `--model /path/to/model`.",
        "/home/user/models, /home/<name>/x and ~/models are written so in examples.",
        "```bash\ndocker run -v ./x:/workspace/data image\ncd /workspace/repo\n```",
        "```python\nmodel = f(token=hf_token)\n```",
        "Serve it at http://localhost:8000/v1 or http://127.0.0.1:8000.",
        "Contact: ada@uni.example.org",
        "## Authors\n\nAda (ada@uni.example.org)",
        "问题请联系 ada@uni.example.org",
        "git clone git@github.com:x/y.git and pip install x@git+https://github.com/x/y",
        "Base: org/model@0123abc.",
        "Version 10.1.2.3 of the driver, numbers 1.10.0.1 and threading.local()",
        "{% raw %} templates and {braces} are fine; so is `{{ messages }}`",
        "```jinja\n{{ messages[0].content }}\n```",
        "<!-- [More Information Needed] -->",
        "[Paper](https://arxiv.org/abs/2401.00001), [![badge](https://img.shields.io/x)](https://example.org)",
        "训练：`r=8`。数据集：N 条。",
        "[Your data, your rules](https://example.org)",
    ],
)
def test_no_alarm_for_text(body: str, tmp_path: Path) -> None:
    assert audit(tmp_path, with_metadata({}, body)) == []


def test_what_trl_writes_for_a_license_is_none(tmp_path: Path) -> None:
    made = write_adapter(tmp_path / "adapter", LORA_CONFIG, lora_tensors("model.layers", 1, ["q_proj"], 4, 2))
    (made / "README.md").write_text("---\nlicence: license\n---\n")
    [one] = rules.findings(subject.load(made / "README.md"), {"HK105"})
    assert one.mend == "license: an id of the Hub's list"


def test_other_without_a_name_is_one_fault(tmp_path: Path) -> None:
    assert audit(tmp_path, with_metadata({"license": "other"})) == [("HK111", 2)]


def test_a_none_in_the_results_of_the_metadata(tmp_path: Path) -> None:
    dataset = {"name": "IMDb", "type": "stanfordnlp/imdb", "split": "None"}
    result = {"task": {"type": "x"}, "dataset": dataset, "metrics": [{"type": "wer", "value": 12.8}]}
    found = audit(tmp_path, with_metadata({"model-index": [{"name": "x", "results": [result]}]}))
    assert [code for code, _ in found] == ["HK106"]


TRAINER = """\
---
library_name: peft
license: llama3
base_model: NousResearch/Meta-Llama-3-8B
tags: [generated_from_trainer]
datasets: [org/alpaca-test]
model-index:
- name: outputs/run
  results: []
---

# outputs/run

Loss on the evaluation set: 1.0321

## Description

More information needed

## Hyperparameters

- learning_rate: 0.0002
- optimizer: adamw_bnb with betas=(0.9,0.999) and optimizer_args=No additional optimizer arguments
- mixed_precision_training: Native AMP

<details><summary>Configuration</summary>

```yaml
base_model: NousResearch/Meta-Llama-3-8B
wandb_project:
output_dir: ./outputs/run
special_tokens:
   pad_token: <|end_of_text|>
```

</details>
"""


def test_a_card_of_a_trainer(tmp_path: Path) -> None:
    found = audit(tmp_path, TRAINER, base_model_name_or_path="NousResearch/Meta-Llama-3-8B")
    assert found == [("HK115", 1), ("HK132", 1), ("HK124", 4), ("HK501", 18)]


def test_pefts_own_form(tmp_path: Path) -> None:
    card = (
        "---\nbase_model: org/base\nlibrary_name: peft\n---\n# Model Card for Model ID\n\n<!-- Fill. -->\n\n"
    )
    card += "- **Developed by:** [More Information Needed]\n" * 39
    found = audit(tmp_path, card, base_model_name_or_path="org/base")
    assert [code for code, _ in found] == ["HK110", "HK115", "HK132", "HK124", "HK502", "HK501"]


def test_a_script_in_the_place_of_the_card(tmp_path: Path) -> None:
    script = "# upload\nimport os\nfrom huggingface_hub import HfApi\nHfApi().upload_file('x')\n"
    assert ("HK505", 1) in audit(tmp_path, script)


@pytest.mark.parametrize(
    ("text", "licenses"),
    [
        ("Apache-2.0", {"apache-2.0"}),
        ("the Apache License, Version 2.0", {"apache-2.0"}),
        ("MIT", {"mit"}),
        ("submit", set()),
        ("CC BY-NC 4.0", {"cc-by-nc-4.0"}),
        ("cc-by-nc-sa-4.0", {"cc-by-nc-sa-4.0"}),
        ("Llama 3.1 Community License", {"llama3.1"}),
        ("llama 2", {"llama2"}),
        ("AGPL-3.0", {"agpl-3.0"}),
        ("the license of the base model", set()),
    ],
)
def test_licenses_in_words(text: str, licenses: set[str]) -> None:
    assert hub_names.licenses_said(text) == licenses
