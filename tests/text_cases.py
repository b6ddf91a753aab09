"""A text measured on a tiny base with an adapter drawn at random: no training, no settings file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import tiny
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from hubkit import adapter, record, tasks
from hubkit.measures import run
from hubkit.measures.subject import Subject
from hubkit.models.corpus import Corpus
from hubkit.settings import Base, Measuring

AUTO = {"causal-lm": AutoModelForCausalLM, "masked-lm": AutoModelForMaskedLM}
PLAIN = {"throughput": False, "resamples": 0, "batch_size": 4, "kernels": "plain"}


class Case:
    """A base, an adapter on it, and the stock models to compare with; `new` tokens resize its vocabulary."""

    def __init__(
        self,
        task: str,
        base: Path,
        directory: Path,
        new: tuple[str, ...] = (),
        targets: tuple[str, ...] = (),
    ) -> None:
        self.task, self.base, self.directory = task, base, directory
        self.tokenizer = AutoTokenizer.from_pretrained(base)
        model = AUTO[task].from_pretrained(base, dtype=torch.float32)
        if new:
            self.tokenizer.add_tokens(list(new))
            model.resize_token_embeddings(len(self.tokenizer), mean_resizing=False)
            self.tokenizer.save_pretrained(directory)
        torch.manual_seed(0)
        config = LoraConfig(r=4, target_modules=list(targets) or tiny.TARGETS[task], init_lora_weights=False)
        # told whether to save embeddings, as it would look on the Hub for the base's
        get_peft_model(model, config).save_pretrained(directory, save_embedding_layers=bool(new))
        self.alone = AUTO[task].from_pretrained(base, dtype=torch.float32).eval()
        resized = AUTO[task].from_pretrained(base, dtype=torch.float32)
        if new:
            resized.resize_token_embeddings(len(self.tokenizer), mean_resizing=False)
        self.adapted = PeftModel.from_pretrained(resized, directory).eval()
        self.said: list[str] = []

    def measures(self, texts: list[str], **measuring: Any) -> record.Measures:
        """All that is taken on these documents."""
        task = tasks.TASKS[self.task]
        subject = Subject(
            adapter=adapter.read(self.directory),
            base=Base(id=tiny.LLAMA_ID, path=str(self.base)),
            task=task,
            task_parameters=task.Parameters(),
            quantization=None,
            settings=Measuring(**{**PLAIN, **measuring}),
            context=32,
            text=Corpus([], texts, record.Dataset(name="made-up English")),
        )
        kept = [record.Measures()]
        self.said = []
        run.measure(subject, record.Measures(), self.said.append, lambda found, _: kept.append(found))
        return kept[-1]

    def perplexity(self, texts: list[str], **measuring: Any) -> record.Perplexity:
        """Its perplexity on these documents."""
        found = self.measures(texts, **measuring).perplexity
        assert found is not None
        return found

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, without special ones."""
        return self.tokenizer.encode(text, add_special_tokens=False)  # type: ignore[no-any-return]


def rolling(model: Any, ids: list[int], prefix: int, context: int, stride: int) -> float:
    """The sum of losses of a text: token by token, each from the context that its window gives it.

    The first `context` tokens see all before them. After that windows end every `stride` tokens, and a token
    sees what its window holds before it.
    """
    whole, total = [prefix, *ids], 0.0
    for at in range(len(ids)):
        ahead = max(0, at + 1 - context)
        end = min(len(ids), context + math.ceil(ahead / stride) * stride)
        window = whole[max(0, end - context) : at + 1]
        with torch.inference_mode():
            scores = model(input_ids=torch.tensor([window])).logits[0, -1].double()
        total -= float(scores.log_softmax(0)[ids[at]])
    return total
