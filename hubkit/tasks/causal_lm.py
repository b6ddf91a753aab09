"""Causal language modeling: predict each token from those before it."""

from __future__ import annotations

from typing import Any

from hubkit.settings import Section
from hubkit.tasks.quoting import quoted
from hubkit.tasks.segments import segments

NAME = "causal-lm"
TITLE = "causal language modeling"
AUTO_CLASS = "AutoModelForCausalLM"
ARCHITECTURES = ("ForCausalLM", "LMHeadModel")
PEFT_TASK_TYPE = "CAUSAL_LM"
PIPELINE_TAG = "text-generation"
PERPLEXITY = "causal"
EXAMPLE_TEXT = "Once upon a time"


class Parameters(Section, frozen=True):
    """Nothing to choose."""


def example(text: str) -> str:
    """The card's inference example: greedy continuation of `text`."""
    return (
        f'inputs = tokenizer({quoted(text)}, return_tensors="pt").to(model.device)\n'
        "outputs = model.generate(**inputs, max_new_tokens=40, do_sample=False)\n"
        "print(tokenizer.decode(outputs[0], skip_special_tokens=True))"
    )


def collator(tokenizer: Any, parameters: Parameters) -> Any:
    """Labels are the inputs, or those that the blocks bring; the model shifts them by one itself.

    The mask leaves out what only fills a block up.
    """
    import torch

    def collate(blocks: list[dict[str, Any]]) -> dict[str, Any]:
        ids = torch.tensor([block["input_ids"] for block in blocks])
        labels = torch.tensor([block.get("labels", block["input_ids"]) for block in blocks])
        told = segments(blocks)
        mask = (told["segments"] >= 0).long() if told else torch.ones_like(ids)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels} | told

    return collate
