"""Tasks: what an adapter's own files tell of them."""

from __future__ import annotations

from typing import Any

import pytest

from hubkit import tasks

MASKED = {"architectures": ["BertForMaskedLM"]}
CAUSAL = {"auto_mapping": {"base_model_class": "LlamaForCausalLM"}}


@pytest.mark.parametrize(
    ("config", "base", "name"),
    [
        ({"task_type": "CAUSAL_LM"}, MASKED, "causal-lm"),
        ({"task_type": None}, MASKED, "masked-lm"),
        ({}, MASKED, "masked-lm"),
        ({"task_type": "FEATURE_EXTRACTION"}, MASKED, "masked-lm"),
        ({"task_type": "FEATURE_EXTRACTION"}, None, None),
        (CAUSAL, MASKED, "causal-lm"),
        ({"task_type": "SEQ_CLS"}, MASKED, "text-classification"),
        ({"task_type": "TOKEN_CLS"}, MASKED, None),
        ({"task_type": "QUESTION_ANS"}, MASKED, None),
        ({"task_type": "SEQ_2_SEQ_LM", **CAUSAL}, MASKED, None),
    ],
)
def test_the_task_of_an_adapter(
    config: dict[str, Any], base: dict[str, Any] | None, name: str | None
) -> None:
    found = tasks.of_adapter(config, base)
    assert (found.NAME if found else None) == name
