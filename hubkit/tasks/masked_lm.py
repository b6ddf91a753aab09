"""Masked language modeling: predict hidden tokens from both sides."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from hubkit.settings import Section
from hubkit.tasks.quoting import quoted
from hubkit.tasks.segments import segments

NAME = "masked-lm"
TITLE = "masked language modeling"
AUTO_CLASS = "AutoModelForMaskedLM"
ARCHITECTURES = ("ForMaskedLM",)
PEFT_TASK_TYPE = None  # PEFT has none; it then records the base's class in auto_mapping
PIPELINE_TAG = "fill-mask"
PERPLEXITY = "masked"
EXAMPLE_TEXT = "The capital of France is {mask}."
MOST_DRAWS = 1_000  # of a block of which nothing is hidden


class Parameters(Section, frozen=True):
    """How many tokens are hidden."""

    mask_probability: Annotated[float, Meta(gt=0, lt=1)] = 0.15


def example(text: str) -> str:
    """The card's inference example: the five likeliest tokens at the first mask of `text`."""
    before, mask, after = text.partition("{mask}")
    sentence = f"{quoted(before)} + tokenizer.mask_token + {quoted(after)}" if mask else quoted(text)
    return (
        f"text = {sentence}\n"
        'inputs = tokenizer(text, return_tensors="pt").to(model.device)\n'
        "masked = (inputs.input_ids[0] == tokenizer.mask_token_id).nonzero()[0, 0]\n"
        "logits = model(**inputs).logits[0, masked]\n"
        "print([tokenizer.decode([token]) for token in logits.topk(5).indices.tolist()])"
    )


def collator(tokenizer: Any, parameters: Parameters) -> Any:
    """Hide tokens anew for every batch; of those, 80 % become the mask, 10 % a random token, 10 % stay.

    Where by chance none of a short block is hidden, it is drawn again: a loss of nothing is no number.
    Labels are -100 everywhere else, so that the loss counts hidden tokens only (Devlin et al. 2018,
    arXiv:1810.04805, section 3.1).
    """
    import torch
    from transformers import DataCollatorForLanguageModeling

    mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=parameters.mask_probability)
    mask.generator = torch.Generator()

    def collate(blocks: list[dict[str, Any]]) -> dict[str, Any]:
        rows = []
        for block in blocks:
            mask.generator.manual_seed(block["draw"])
            for _ in range(MOST_DRAWS):
                hidden = mask.torch_mask_tokens(torch.tensor([block["input_ids"]]))
                if bool((hidden[1] != -100).any()):
                    break
            rows.append(hidden)
        inputs, labels = (torch.cat(part) for part in zip(*rows, strict=True))
        batch = {"input_ids": inputs, "attention_mask": torch.ones_like(inputs), "labels": labels}
        return batch | segments(blocks)

    return collate
