"""Cards as people write them, for the tests of the audit: fragments beside adapters, and what must be found.

Each is (adapter, text). Adapters are made by hand, without torch: `make` writes one into a directory.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from card_cases import LORA_CONFIG, lora_tensors, write_adapter

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]
LLAMA = {
    **LORA_CONFIG,
    "base_model_name_or_path": "meta-llama/Llama-3.2-1B",
    "target_modules": [*ATTENTION, *MLP],
}
VISION = {"base_model_class": "Qwen2VLForConditionalGeneration", "parent_library": "transformers"}
MASKED = {"base_model_class": "BertForMaskedLM", "parent_library": "transformers"}
UNSLOTH = {
    "base_model_class": "LlamaForCausalLM",
    "parent_library": "unsloth.models.llama",
    "unsloth_fixed": True,
}
# name: changes of the configuration, modules, kind of tensors
_ADAPTERS: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "llama": ({}, [*ATTENTION, *MLP], "lora"),
    "llama-qv": ({"target_modules": ["q_proj", "v_proj"]}, ["q_proj", "v_proj"], "lora"),
    "all-linear": ({"target_modules": "all-linear"}, [*ATTENTION, *MLP], "lora"),
    "pattern": ({"target_modules": r".*\.(q_proj|v_proj)$"}, ["q_proj", "v_proj"], "lora"),
    "ranks": ({"rank_pattern": {"q_proj": 32}, "alpha_pattern": {"q_proj": 64}}, ATTENTION, "lora"),
    "hira": (
        {"peft_type": "HIRA", "lora_alpha": None, "lora_dropout": None, "hira_dropout": 0.0},
        ATTENTION,
        "hira",
    ),
    "local": ({"base_model_name_or_path": "/data/models/Llama-3.2-1B"}, ATTENTION, "lora"),
    "mirror": (
        {"base_model_name_or_path": "unsloth/llama-3.2-1b-unsloth-bnb-4bit", "auto_mapping": UNSLOTH},
        ATTENTION,
        "lora",
    ),
    "unsloth": ({"task_type": None, "auto_mapping": UNSLOTH}, ATTENTION, "lora"),
    "vision": (
        {"auto_mapping": VISION, "base_model_name_or_path": "Qwen/Qwen2-VL-2B-Instruct"},
        ATTENTION,
        "lora",
    ),
    "whisper": (
        {"task_type": None, "base_model_name_or_path": "openai/whisper-small"},
        ["q_proj", "v_proj"],
        "lora",
    ),
    "classifier": (
        {
            "task_type": "SEQ_CLS",
            "base_model_name_or_path": "distilbert/distilbert-base-uncased",
            "modules_to_save": ["classifier", "pre_classifier"],
        },
        ["q_lin", "v_lin"],
        "lora",
    ),
    "masked": (
        {
            "task_type": None,
            "auto_mapping": MASKED,
            "base_model_name_or_path": "google-bert/bert-base-uncased",
        },
        ["query", "value"],
        "lora",
    ),
    "seq2seq": (
        {"task_type": "SEQ_2_SEQ_LM", "base_model_name_or_path": "google/flan-t5-base"},
        ["q", "v"],
        "lora",
    ),
}
NAMES = sorted(_ADAPTERS)


def make(name: str, directory: Path, **files: dict[str, Any]) -> Path:
    """An adapter of that name, its weights no zeros, without a record."""
    changes, modules, kind = _ADAPTERS[name]
    config = LLAMA | {"target_modules": modules} | changes
    write_adapter(directory, config, lora_tensors("model.layers", 2, modules, 64, 8, kind), tokenizer=False)
    path = directory / "adapter_model.safetensors"
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    path.write_bytes(whole[:start] + b"\x01" * (len(whole) - start))
    for file, content in files.items():
        (directory / f"{file}.json").write_text(json.dumps(content))
    return directory


LOAD = """
## How to use

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-3.2-1B")
model = PeftModel.from_pretrained(base, "ada/notes-lora")
```
"""

# What is wrong, and the code and the line that say so. Line 1 is a title, line 3 the section.
BAD: dict[str, tuple[str, str, str]] = {
    "module": ("HK201", "llama", "- **Target modules:** `q_lin`, `v_lin`"),
    "module-in-list": ("HK201", "llama-qv", "- Target modules: q_proj, k_proj"),
    "module-in-table": ("HK201", "llama-qv", "| Setting | Value |\n|---|---|\n| target_modules | `c_attn` |"),
    "rank-beside-alpha": ("HK202", "llama", "- r = 64, alpha = 16, no bias"),
    "alpha-times-in-sentence": ("HK203", "llama", "- r = 8, alpha = 4 * r, dropout 0.05"),
    "rank-in-own-row": (
        "HK202",
        "llama",
        "| Run | r | alpha | Targets |\n|---|---|---|---|\n| base | - | - | - |\n"
        "| **this repo** | 64 | 16 | all linear |\n| other | 4 | 8 | all linear |",
    ),
    "rank-korean-bold": ("HK202", "llama", "- **랭크:** 64, **알파:** 16, **드롭아웃:** 0.05"),
    "alpha-korean-bold": ("HK203", "llama", "- **랭크:** 8, **알파:** 64, **드롭아웃:** 0.05"),
    "module-in-yaml-list": (
        "HK201",
        "llama-qv",
        "```yaml\nlora_r: 8\nlora_target_modules:\n  - q_proj\n  - c_attn\n```",
    ),
    "module-before-frozen": ("HK201", "llama-qv", "LoRA on `q_proj` and `k_proj`; the rest is frozen."),
    "base-in-yaml": ("HK208", "llama", "```yaml\nbase_model: org/another-3b\nlora_r: 8\n```"),
    "base-in-sentence": (
        "HK208",
        "llama",
        "This model is a fine-tuned version of [org/another-3b](https://huggingface.co/org/another-3b) on x.",
    ),
    "trainable-in-sentence": ("HK211", "llama", "It has 1.7M trainable parameters."),
    "trainable-are-trained": ("HK211", "llama", "In all 99,999 parameters are trained."),
    "trainable-in-own-row": (
        "HK211",
        "llama",
        "| | Trained parameters | Notes |\n|---|---|---|\n| this adapter | 99,999 | |\n| full | 12,358,144 |",
    ),
    "share-in-sentence": ("HK213", "llama", "It has 14,336 trainable parameters (4.2% of 1,235,814,400)."),
    "share-printed-by-unsloth": (
        "HK213",
        "llama",
        "```\nTrainable parameters = 442,368 of 109,956,666 (4.00% trained)\n```",
    ),
    "size-on-disk": ("HK214", "llama", "The LoRA adapter is 68 MB on disk."),
    "module-beside-one-left-out": ("HK201", "llama-qv", "- Target modules: `c_attn`, `lm_head` left out"),
    "unfilled-path": (
        "HK312",
        "llama",
        '```python\npath = "PATH_TO_THIS_REPO"\nm = AutoModelForCausalLM.from_pretrained(path)\n```',
    ),
    "unfilled-sentence-transformer": (
        "HK312",
        "llama",
        '```python\nmodel = SentenceTransformer("sentence_transformers_model_id")\n```',
    ),
    "module-left-out": ("HK201", "llama", "- Target modules: `q_proj`, `v_proj`"),
    "module-in-sentence": (
        "HK201",
        "llama-qv",
        "The adapter was applied to `query` and `value` projections.",
    ),
    "module-in-call": ("HK201", "llama-qv", '```python\nc = LoraConfig(r=8, target_modules=["c_attn"])\n```'),
    "module-in-yaml": ("HK201", "llama-qv", "```yaml\nlora_r: 8\nlora_target_modules: [c_attn]\n```"),
    "module-of-masked": ("HK201", "masked", "- Target Modules: q_lin, v_lin"),
    "rank": ("HK202", "llama", "- **LoRA rank (r):** 64"),
    "rank-in-sentence": ("HK202", "llama", "This is a LoRA adapter with rank 64."),
    "rank-in-brackets": ("HK202", "llama", "LoRA (r=64, alpha=16) on all linear layers."),
    "rank-hyphen": ("HK202", "llama", "A rank-64 LoRA adapter."),
    "rank-of-three": ("HK202", "llama", "- LoRA rank/alpha/dropout: 64 / 16 / 0.05"),
    "rank-chinese": ("HK202", "llama", "- LoRA rank：64"),
    "rank-korean": ("HK202", "llama", "- LoRA: r=64, alpha=16, dropout=0.05"),
    "rank-in-call": ("HK202", "llama", "```python\nconfig = LoraConfig(r=64, lora_alpha=16)\n```"),
    "rank-in-json": ("HK202", "llama", '```json\n{\n  "r": 64,\n  "lora_alpha": 16\n}\n```'),
    "rank-of-two-sections": ("HK202", "llama", "- LoRA rank: 8\n\n## Training\n\n- LoRA rank: 64"),
    "rank-patterns": ("HK202", "ranks", "- LoRA rank: 16"),
    "alpha": ("HK203", "llama", "- LoRA alpha: 128"),
    "alpha-times": ("HK203", "llama", "- LoRA alpha: 4 * r"),
    "dropout": ("HK204", "llama", "- LoRA dropout: 0.1"),
    "dropout-percent": ("HK204", "llama", "- LoRA dropout: 10%"),
    "bias": ("HK205", "llama", "- lora_bias: all"),
    "dora": ("HK206", "llama", "- use_dora: true"),
    "base": ("HK208", "llama", "- **Base model:** [org/other-7b](https://huggingface.co/org/other-7b)"),
    "peft": ("HK209", "llama", "### Framework versions\n\n- PEFT 0.4.0"),
    "trainable": ("HK211", "llama", "- Trainable parameters: 1,234,567"),
    "trainable-rounded": ("HK211", "llama", "- Trainable params: 4.2M"),
    "total-of-name": ("HK212", "llama", "- Total parameters: 109,956,666"),
    "share": ("HK213", "llama", "trainable params: 442,368 || all params: 109,956,666 || trainable%: 4.02"),
    "size": ("HK214", "llama", "- Adapter size: 250 MB"),
    "bytes": ("HK215", "llama", "- Total parameters: 1.2B\n- Model size: 20 MB"),
    "hira": ("HK221", "llama", "- **Method:** HiRA"),
    "hira-in-sentence": ("HK221", "llama", "This adapter was fine-tuned using HiRA."),
    "lora-that-is-hira": ("HK221", "hira", "- **Method:** LoRA"),
    "dora-by-name": ("HK221", "llama", "- Fine-tuning method: DoRA"),
    "sparse": ("HK222", "llama", "- Method: Sparse LoRA"),
    "sparsity": ("HK223", "llama", "- Sparsity: 90%"),
    "class": (
        "HK301",
        "llama",
        '```python\nm = AutoModelForSequenceClassification.from_pretrained("meta-llama/Llama-3.2-1B")\n```',
    ),
    "class-of-masked": (
        "HK301",
        "masked",
        '```python\nm = AutoModelForCausalLM.from_pretrained("google-bert/bert-base-uncased")\n```',
    ),
    "class-of-classifier": (
        "HK301",
        "classifier",
        "```python\nm = AutoModelForCausalLM.from_pretrained(base_id)\n```",
    ),
    "example": ("HK302", "masked", "```python\nprint(model(**inputs).logits.argmax(-1))\n```"),
    "example-of-classifier": ("HK302", "classifier", "```python\nprint(model.generate(**inputs))\n```"),
    "pipeline": ("HK303", "llama", '```python\np = pipeline("sentiment-analysis", model=m)\n```'),
    "no-snippet": ("HK311", "llama", ""),
    "path": ("HK312", "llama", '```python\nm = PeftModel.from_pretrained(base, "./outputs/final")\n```'),
    "path-by-name": (
        "HK312",
        "llama",
        '```python\nwhere = "results/checkpoint-500"\nm = PeftModel.from_pretrained(base, where)\n```',
    ),
    "path-of-two-parts": (
        "HK312",
        "llama",
        '```python\nm = PeftModel.from_pretrained(base, "distilled_model/final")\n```',
    ),
    "placeholder": (
        "HK312",
        "llama",
        '```python\nm = PeftModel.from_pretrained(base, "your-username/notes-lora")\n```',
    ),
    "none": (
        "HK313",
        "llama",
        '```python\np = pipeline("text-generation", model="None", device="cuda")\n```',
    ),
    "base-as-adapter": (
        "HK313",
        "llama",
        '```python\nm = PeftModel.from_pretrained(base, "meta-llama/Llama-3.2-1B")\n```',
    ),
    "other-base": (
        "HK314",
        "llama",
        '```python\nb = AutoModelForCausalLM.from_pretrained("example/other-7b")\n'
        'm = PeftModel.from_pretrained(b, "ada/x")\n```',
    ),
    "qlora-in-full": (
        "HK315",
        "llama",
        "- Method: QLoRA\n\n```python\n"
        'b = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-3.2-1B")\n```',
    ),
    "not-imported": (
        "HK316",
        "llama",
        "```python\nfrom transformers import AutoTokenizer\nm = AutoModelForCausalLM.from_pretrained(x)\n```",
    ),
    "imported-elsewhere": ("HK316", "llama", "```python\nfrom transformers import PeftModel\n```"),
    "decoder-as-seq2seq": ("HK301", "llama", "```python\nm = AutoModelForSeq2SeqLM.from_pretrained(x)\n```"),
    "headless": ("HK301", "llama", "```python\nm = AutoModel.from_pretrained(x)\nm = model.generate(y)\n```"),
    "owner-misspelt": ("HK208", "llama", "- Base model: metallama/Llama-3.2-1B"),
    "bits-of-nf4": ("HK207", "llama", "The base was held in 8-bit NF4 while the LoRA adapter was trained."),
    "share-of-name": ("HK213", "llama", "- Trainable parameters: 3.4%"),
    "modules-in-list-of-settings": ("HK201", "llama-qv", '- LoRA: r=8, alpha=16, target_modules=["c_attn"]'),
    "dropout-in-list-of-settings": ("HK204", "llama-qv", "- LoRA: r=8, alpha=16, dropout=5.1"),
    "syntax": ("HK317", "llama", '```python\nm = PeftModel.from_pretrained(base "ada/x")\n```'),
    "remote-code": (
        "HK318",
        "llama",
        "```python\nb = AutoModelForCausalLM.from_pretrained(x, trust_remote_code=True)\n```",
    ),
    "refused": (
        "HK319",
        "llama",
        "```python\nb = AutoModelForCausalLM.from_pretrained(x, load_in_4bit=True)\n```",
    ),
    "perplexity-of-classifier": ("HK401", "classifier", "- Perplexity: 12.1 on the test set"),
    "only-defined": (
        "HK402",
        "llama",
        "| Metric | Description |\n|---|---|\n| Accuracy | share of right answers |",
    ),
    "bare-result": ("HK403", "llama", "- Accuracy: 0.97"),
    "perplexity-below-one": ("HK404", "llama", "- Test perplexity: 0.82"),
    "perplexity-nan": ("HK404", "llama", "- Perplexity: NaN"),
    "accuracy-above-all": ("HK404", "llama", "- Test accuracy: 132%"),
    "loss-and-perplexity": ("HK405", "llama", "- Eval loss: 1.2\n- Eval perplexity: 12.5"),
    "change": ("HK406", "llama", "Perplexity fell from 40 to 20 (-75%) on the test set."),
    "speed": ("HK407", "llama", "- Inference speed: 52 tokens/s"),
    "vague": ("HK410", "llama", "### Framework versions\n\n- Transformers 4.x"),
}

# What is true, or cannot be told: nothing of HK2xx, HK3xx and HK4xx may be found.
GOOD: dict[str, tuple[str, str]] = {
    "order": ("llama-qv", "- Target modules: `v_proj`, `q_proj`"),
    "groups": ("llama", "- Target modules: attention and MLP layers"),
    "groups-with-names": (
        "llama",
        "- Target modules: attention (q_proj, k_proj, v_proj, o_proj) and MLP layers",
    ),
    "all-linear": ("llama", "- **Target modules:** all linear layers"),
    "all-linear-word": ("all-linear", "- Target modules: `all-linear`"),
    "all-linear-names": ("all-linear", f"- Target modules: {', '.join([*ATTENTION, *MLP])}"),
    "short": ("llama", "- Target modules: q/k/v/o_proj"),
    "short-letters": ("llama", "- Target modules: q, k, v, o (attention projections)"),
    "projections": ("llama-qv", "- Target modules: query and value projections"),
    "pattern": ("pattern", r"- Target modules: `.*\.(q_proj|v_proj)$`"),
    "pattern-names": ("pattern", "- Target modules: q_proj, v_proj"),
    "left-out": ("llama", "- Target modules: all linear layers (attention and MLP), `lm_head` left out"),
    "left-out-by-name": ("llama-qv", "- Target modules: `q_proj`, `v_proj` (not `lm_head`)"),
    "full-names": ("llama-qv", "- Target modules: `layers.0.q_proj`, `layers.1.v_proj`"),
    "and-more": ("llama", "- Target modules: q_proj, v_proj, etc."),
    "plus": ("llama-qv", "- Target modules: q_proj + v_proj"),
    "imports-of-another-block": (
        "llama",
        "```python\nfrom transformers import AutoModelForCausalLM\n```\n\n"
        '```python\nm = AutoModelForCausalLM.from_pretrained("meta-llama/Llama-3.2-1B")\n```',
    ),
    "all-imported": (
        "llama",
        "```python\nfrom transformers import *\nm = AutoModelForCausalLM.from_pretrained(x)\n```",
    ),
    "optimizer-in-8-bits": ("llama", "- Optimizer: 8-bit AdamW, NF4 weights\n- Quantization: 4-bit (NF4)"),
    "another-owner": ("llama", "- Base model: NousResearch/Llama-3.2-1B"),
    "not-those": ("llama-qv", "The adapter was applied to `q_proj` and `v_proj`, not to `fc1` or `fc2`."),
    "other-words-in-code": (
        "llama-qv",
        "LoRA weights lie in `adapter_model.safetensors`, attached by `PeftModel`.",
    ),
    "t5-letters": ("seq2seq", "- Target modules: q, v"),
    "alpha-written-so": ("llama", "- LoRA rank: 8\n- LoRA alpha: 2 * r"),
    "alpha-written-out": ("llama", "- LoRA alpha: 16 (2x rank)"),
    "alpha-of-distillation": (
        "llama",
        "## Distillation\n\n- Temperature: 2.0\n- Alpha: 0.5\n- Alpha (blend): 0.5",
    ),
    "dropout-of-the-base": ("llama", "## Architecture\n\n- Dropout: 0.3\n- Hidden size: 768"),
    "patterns-of-ranks": ("ranks", "- LoRA rank: 32\n- LoRA alpha: 64"),
    "ranges": ("llama", "- LoRA rank: 4-64\n- LoRA alpha: 16 or 32\n- LoRA dropout: 0.05-0.1"),
    "arrow": ("llama", "- LoRA rank: 16 → 8"),
    "advice": ("llama", "Try LoRA with rank 64 for harder tasks. LoRA ranks such as r=16 are typical."),
    "other-adapter-in-sentence": ("llama", "A previous LoRA adapter had rank 64, this one is smaller."),
    "comparison-section": (
        "llama",
        "## Comparison with other methods\n\n- LoRA rank: 64\n- **HiRA**: LoRA r=32\n"
        "- Target modules: `c_attn`",
    ),
    "comparison-table": (
        "llama",
        "| Model | Rank | Perplexity |\n|---|---|---|\n| ours | 8 | 9.1 |\n"
        "| other LoRA | 64 | 9.0 |\n\nOn the test set.",
    ),
    "sweep": ("llama", "## Ablation\n\nLoRA r=4, r=16 and r=64 were tried."),
    "rank-alone": ("llama", "Points within r = 64 of each other are one cluster."),
    "own-row": (
        "llama",
        "| Run | r | alpha | Trainable |\n|---|---|---|---|\n| full | - | - | 1,235,814,400 |\n"
        "| this repo | 8 | 16 | 14,336 |\n| other | 64 | 128 | 114,688 |",
    ),
    "korean-bold": ("llama", "- **랭크:** 8, **알파:** 16, **드롭아웃:** 0.05"),
    "yaml-list": (
        "llama-qv",
        "```yaml\nlora_r: 8\nlora_target_modules:\n  - v_proj\n  - q_proj\nseed: 1\n```",
    ),
    "counts-of-others": (
        "llama",
        "Full fine-tuning has 1,235,814,400 trainable parameters, more than LoRA at rank 64.\n\n"
        "A head with 1,536 parameters (0.1%) would do.",
    ),
    "size-of-the-base": ("llama", "With the base the LoRA adapter takes 2.5 GB on disk."),
    "earlier-version": ("llama", "## Earlier version\n\nv1 was a LoRA adapter with r=64, lora_alpha=128."),
    "commas-for-points": ("llama", "- LoRA dropout: 0,05\n- Parámetros entrenables: 14.336 (0,001 %)"),
    "sentence-transformer": (
        "llama",
        '```python\nmodel = SentenceTransformer("ada/notes-lora")\n```',
    ),
    "two-adapters": (
        "llama",
        "## Related models\n\n- [ada/big](https://huggingface.co/ada/big): LoRA rank 64",
    ),
    "vllm-limit": (
        "llama",
        "```bash\nvllm serve meta-llama/Llama-3.2-1B --enable-lora --max-lora-rank 64\n```",
    ),
    "rank-among-others": ("llama", "This LoRA adapter took rank 1 on the board."),
    "ages": ("llama", "Readers aged 10 to 20 (5%) were left out."),
    "stages": ("llama", "## Stage 1\n\n- LoRA rank: 64\n\n## Stage 2\n\n- LoRA rank: 8"),
    "correlation": ("llama", "The LoRA adapter's scores correlate (r = 0.87) with people's."),
    "bias-of-society": ("llama", "## Bias, risks and limitations\n\n- Bias: all language models have some"),
    "chinese": (
        "llama",
        "## 训练配置\n\n- LoRA rank：8\n- LoRA alpha：16\n"
        "- 基座模型：meta-llama/Llama-3.2-1B\n- 学习率：`1e-4`",
    ),
    "korean": (
        "llama-qv",
        "## 학습 설정\n"
        '- LoRA: r=8, alpha=16, dropout=0.05, target_modules=["q_proj", "v_proj"]\n- 4bit NF4 양자화',
    ),
    "spanish": (
        "llama",
        "## Configuración\n\n- Modelo base: meta-llama/Llama-3.2-1B\n- Rango: 8\n- Alpha: 16",
    ),
    "four-bits-unrecorded": (
        "llama",
        "- Quantization: 4-bit NF4, double quantization\n\n```python\n"
        "q = BitsAndBytesConfig(load_in_4bit=True)\n```",
    ),
    "gguf": ("llama", "## GGUF files\n\n- Quantization: Q4_K_M"),
    "base-by-path": ("local", "- Base model: meta-llama/Llama-3.2-1B"),
    "base-mirror": ("mirror", "Trained in 4 bits.\n\n- Base model: meta-llama/Llama-3.2-1B"),
    "base-teacher": (
        "llama",
        "- Teacher model: Qwen/Qwen2.5-72B-Instruct\n- Student base: meta-llama/Llama-3.2-1B",
    ),
    "base-of-others": ("llama", "## Comparison\n\n- Base model: Qwen/Qwen2.5-72B-Instruct"),
    "trainable-rounded": ("llama", "- Trainable parameters: ~14K\n- Trainable parameters: 0.0143M"),
    "trainable-printed": (
        "llama",
        "```\ntrainable params: 442,368 || all params: 109,956,666 || trainable%: 0.4023\n```",
    ),
    "total-by-name": ("llama", "- Total parameters: 1.24B"),
    "model-size-in-parameters": ("llama", "- Model size: 1B parameters"),
    "model-size-of-base": ("llama", "- Total parameters: 1.24B\n- Model size: 2.5 GB"),
    "adapter-size-in-words": ("llama", "- Adapter weights: `adapter_model.safetensors`"),
    "methods-listed": (
        "llama",
        "The project compares LoRA, HiRA and DoRA.\n\n- Approach: LoRA, with HiRA for comparison, and DoRA",
    ),
    "method-of-lora": ("llama", "- Method: LoRA (Low-Rank Adaptation)\n- PEFT type: LORA"),
    "hira-is-hira": ("hira", "- Method: HiRA"),
    "sparse-attention": ("llama", "- Method: LoRA with sparse attention"),
    "vision-class": (
        "vision",
        '```python\nm = Qwen2VLForConditionalGeneration.from_pretrained("Qwen/Qwen2-VL-2B-Instruct")\n```',
    ),
    "whisper-class": (
        "whisper",
        '```python\nm = WhisperForConditionalGeneration.from_pretrained("openai/whisper-small")\n```',
    ),
    "unsloth-class": (
        "unsloth",
        "```python\n"
        'm, t = FastLanguageModel.from_pretrained("meta-llama/Llama-3.2-1B", load_in_4bit=True)\n```',
    ),
    "classifier-class": (
        "classifier",
        "```python\n"
        'm = AutoModelForSequenceClassification.from_pretrained("distilbert/distilbert-base-uncased")\n'
        "print(m(**x).logits.argmax(-1))\n```",
    ),
    "masked-example": (
        "masked",
        '```python\nm = AutoModelForMaskedLM.from_pretrained("google-bert/bert-base-uncased")\n'
        "at = (ids == tokenizer.mask_token_id).nonzero()\nprint(m(**x).logits.argmax(-1)[at])\n```",
    ),
    "second-model": (
        "llama",
        LOAD + '\n```python\njudge = AutoModelForSequenceClassification.from_pretrained("org/judge")\n```',
    ),
    "merged": ("llama", '```python\nm = AutoModelForCausalLM.from_pretrained("ada/notes-lora-merged")\n```'),
    "adapter-by-auto": (
        "llama",
        '```python\nm = AutoPeftModelForCausalLM.from_pretrained("ada/notes-lora")\n```',
    ),
    "base-from-config": (
        "llama",
        '```python\nc = PeftConfig.from_pretrained("ada/notes-lora")\n'
        "b = AutoModelForCausalLM.from_pretrained(c.base_model_name_or_path)\n"
        'm = PeftModel.from_pretrained(b, "ada/notes-lora")\n```',
    ),
    "token": (
        "llama",
        '```python\nm = PeftModel.from_pretrained(base, "ada/notes-lora", token=hf_token)\n```',
    ),
    "folder-in-prose": ("llama", LOAD + "\nPut the data into `/path/to/data` or `./data`.\n"),
    "data-folder": (
        "llama",
        LOAD + '\n```python\ndata = load_dataset("json", data_files="./data/train.json")\n```',
    ),
    "folder-that-is-explained": (
        "llama",
        "Clone this repo; its folder is `notes-lora`.\n\n```python\n"
        'm = PeftModel.from_pretrained(base, "notes-lora")\n```',
    ),
    "shell-in-python": ("llama", LOAD + "\n```python\npip install peft transformers\n```"),
    "python-in-bash": (
        "llama",
        '```bash\nfrom peft import PeftModel\nm = PeftModel.from_pretrained(base, "ada/notes-lora"\n```',
    ),
    "chatml": ("llama", LOAD + "\n```python\n<|im_start|>user\nHello<|im_end|>\n```"),
    "tree": ("llama", LOAD + "\n```\nnotes/\n├── train.py\n└── adapter/\n```"),
    "fragment": ("llama", LOAD + "\n```python\nr=8,\nlora_alpha=16,\n```"),
    "fragment-dots": (
        "llama",
        LOAD + "\n```python\ntrainer = Trainer(model, ...)\nfor batch in data:\n    ...\n```",
    ),
    "fragment-body": ("llama", LOAD + "\n```python\n    x = model(1)\n    return x\n```"),
    "prompts": ("llama", LOAD + "\n```python\n>>> print(1)\n1\n>>> for x in y:\n...     print(x)\n```"),
    "magics": (
        "llama",
        "```python\n!pip install peft\n%load_ext autoreload\n"
        'm = PeftModel.from_pretrained(base, "ada/notes-lora")\n```',
    ),
    "indented": (
        "llama",
        '1. Load it:\n\n   ```python\n   m = PeftModel.from_pretrained(base, "ada/notes-lora")\n   ```',
    ),
    "await": ("llama", LOAD + '\n```python\nanswer = await client.generate("x")\n```'),
    "diffusers": ("llama", '```python\npipe.load_lora_weights("ada/notes-lora")\n```'),
    "remote-code-said": (
        "llama",
        "`trust_remote_code=True` runs the repo's code.\n\n```python\n"
        "b = AutoModelForCausalLM.from_pretrained(x, trust_remote_code=True)\n```",
    ),
    "benchmarks": ("llama", "| Benchmark | Accuracy |\n|---|---|\n| MMLU | 45.2 |\n| ARC | 51.0 |"),
    "trainer-results": (
        "llama",
        "It achieves the following results on the evaluation set:\n- Loss: 1.366\n- Perplexity: 3.92",
    ),
    "trainer-table": (
        "llama",
        "| Training Loss | Epoch | Step | Validation Loss |\n|---|---|---|---|\n"
        "| 1.2 | 1.0 | 10 | 1.3 |\n| 0.9 | 2.0 | 20 | 1.1 |",
    ),
    "definitions-and-values": (
        "llama",
        "| Metric | Description |\n|---|---|\n| Accuracy | share of right answers |\n\n- Test accuracy: 0.91",
    ),
    "share-above-one": ("llama", "- Test accuracy: 91.3%\n- Test F1: 0.88"),
    "perplexity-change": (
        "llama",
        "| | Perplexity | Change of perplexity |\n|---|---|---|\n| base | 35.4 | |\n"
        "| adapter | 15.1 | -57.5% |\n\nOn the test split.",
    ),
    "points": ("llama", "Accuracy rose from 60% to 72% (12%) on the test set."),
    "speed-with-conditions": ("llama", "- Throughput: 52 tokens/s (batch 1, one A100)"),
    "requirements": (
        "llama",
        LOAD + "\n## Requirements\n\n- Python 3.9+\n- transformers >= 4.40\n- PEFT latest",
    ),
    "peft-dev": ("llama", "### Framework versions\n\n- PEFT 0.21.2"),
    "counts-of-examples": (
        "llama",
        "- Training examples: 1,000\n- Evaluation examples: 200\n- Test accuracy: 0.9",
    ),
}
