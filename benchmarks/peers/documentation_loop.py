"""The loop of transformers' page on perplexity: windows with a stride, one at a time.

What was seen before has the label -100. It leaves the first token of the text out.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from peers import Answer, Work, adapted


def prepare(work: Work) -> Callable[[], Answer]:
    import torch

    model, tokenizer = adapted(work, "AutoModelForCausalLM")
    text = work.words()

    def evaluate() -> Answer:
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt", verbose=False)["input_ids"]
        length, seen, nll, scored = ids.shape[1], 0, 0.0, 0
        for start in range(0, length, work.stride):
            end = min(start + work.context, length)
            inputs = ids[:, start:end]
            labels = inputs.clone()
            labels[:, : seen - start] = -100
            with torch.no_grad():
                loss = model(inputs, labels=labels).loss
            counted = int(
                (labels[:, 1:] != -100).sum()
            )  # the model shifts labels: the first is never predicted
            nll, scored, seen = nll + loss.item() * counted, scored + counted, end
            if end == length:
                break
        return Answer(math.exp(nll / scored), scored)

    return evaluate
