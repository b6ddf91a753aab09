"""A lying card: typed by hand, with the faults that such cards have, beside an adapter that denies them.

The adapter is the one that `card_cases.foreign` makes: LoRA, rank 8, on query, key and value of BERT, and its
base was held in 4 bits. `FAULTS` says what an audit must find, by a piece of the line, and nothing else may
be found.
"""

from __future__ import annotations

CARD = """\
---
base_model: bert-base-uncased
library_name: peft
tags:
- lora
- qlora
- masked-lm
datasets:
- wikitext-2
metrics:
- accuracy
- f1
---

# bert-base-uncased tuned on WikiText-2 with QLoRA

A small adapter for **Masked Language Modeling**, trained on the **WikiText-2** dataset.

- **Base Model:** bert-base-uncased
- **Task:** Language Modeling
- **Method:** QLoRA

## Adapter settings

### LoRA

- **Quantization:** 4-bit NormalFloat (NF4)
- **Double Quantization:** Enabled
- **Rank (r):** 8
- **Alpha:** 16
- **Dropout:** 0.1
- **Target Modules:** `q_lin`, `k_lin`

### Training

| Setting       | Value  |
| ------------- | ------ |
| Epochs        | 3      |
| Learning rate | 3e-4   |
| Batch size    | 16     |

## Numbers

- **Total Parameters:** 109,956,666
- **Trainable Parameters:** 442,368 (0.40% of total)
- **Model Size:** N/A MB
- **Test Perplexity:** N/A

### Speed

- **Inference Throughput:** 88.5 samples/second

## How to use it

```python
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

base = AutoModelForSequenceClassification.from_pretrained("bert-base-uncased")
model = PeftModel.from_pretrained(base, "path/to/adapter")
```

An example:

```python
tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased")
inputs = tokenizer("What a wonderful evening!", return_tensors="pt")
label = model(**inputs).logits.argmax(dim=-1)
```

## Comparison with the other methods

- **LoRA**: low-rank matrices, on `q_proj`
- **Sparse LoRA**: the same, pruned
- **HiRA**: an elementwise product, rank 32

The [whole comparison](.) is in the project.

## Framework Versions

- **Transformers:** 4.x
- **PEFT:** 0.18.0
- **PyTorch:** 2.x
- **Python:** 3.9+

## License

The same as the base model's.
"""

# (code, a piece of the line that it names; "" is the first line)
FAULTS = [
    ("HK110", ""),  # no license in the metadata
    ("HK115", ""),  # no language
    ("HK132", ""),  # no pipeline tag
    ("HK122", "base_model: bert"),  # a base without its owner
    ("HK124", "base_model: bert"),  # no relation to it
    ("HK136", "- wikitext-2"),  # no id of a dataset
    ("HK139", "- accuracy"),  # a metric without a result
    ("HK139", "- f1"),
    ("HK201", "**Target Modules:**"),  # modules of another architecture
    ("HK503", "**Model Size:**"),
    ("HK503", "**Test Perplexity:**"),
    ("HK407", "**Inference Throughput:**"),  # without conditions
    ("HK301", "base = AutoModelForSequenceClassification"),  # the class of another task
    ("HK315", "base = AutoModelForSequenceClassification"),  # and the base in full
    ("HK312", "path/to/adapter"),
    ("HK302", "label = model"),  # the example of another task
    ("HK511", "[whole comparison](.)"),
    ("HK410", "**Transformers:**"),
    ("HK410", "**PyTorch:**"),
    ("HK410", "**Python:**"),
]


def expected() -> list[tuple[str, int]]:
    """The findings, as code and line."""
    lines = CARD.split("\n")
    return sorted(
        (code, next(i for i, line in enumerate(lines, 1) if piece in line)) for code, piece in FAULTS
    )
