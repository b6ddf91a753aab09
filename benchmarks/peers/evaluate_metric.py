"""evaluate's metric "perplexity", by what it does.

The package holds the machinery and not the metric: its script lies in a Space on the Hub and is fetched at
run time. So that the benchmark needs no Hub, what the script does is done here, on the package's own class:
texts are tokenized into one padded matrix, the begin-of-text token is put before each, all logits of a batch
are shifted and kept, and the answer is the mean of the texts' perplexities. The script takes a model's name,
and no adapter: here it is given the merged model, and loading is not timed.

The texts are pieces of the whole, each as long as the context allows: it cuts off what is longer.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from peers import Answer, Work, adapted


def prepare(work: Work) -> Callable[[], Answer]:
    model, tokenizer = adapted(work, "AutoModelForCausalLM", merged=True)
    texts = pieces(work.words(), tokenizer, work.context - 1)
    metric = metric_class()(model, tokenizer, work.batch, work.context - 1)

    def evaluate() -> Answer:
        found = metric.compute(predictions=texts)
        lengths, each = found["lengths"], found["perplexities"]
        nll = sum(math.log(value) * length for value, length in zip(each, lengths, strict=True))
        pooled = math.exp(nll / sum(lengths))
        return Answer(float(found["mean_perplexity"]), sum(lengths), {"pooled": pooled})

    return evaluate


def pieces(text: str, tokenizer: Any, size: int) -> list[str]:
    """The text in pieces of `size` tokens."""
    ends = [
        end
        for _, end in tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    ]
    cuts = [0, *ends[size - 1 :: size], len(text)]
    return [text[start:end] for start, end in itertools.pairwise(cuts) if start < end]


def metric_class() -> type:
    """The metric as a class of evaluate's."""
    import datasets
    import evaluate
    import torch

    class Perplexity(evaluate.Metric):  # type: ignore[misc]
        def __init__(self, model: Any, tokenizer: Any, batch: int, longest: int) -> None:
            self.model, self.tokenizer, self.batch, self.longest = model, tokenizer, batch, longest
            super().__init__()

        def _info(self) -> Any:
            features = datasets.Features({"predictions": datasets.Value("string")})
            return evaluate.MetricInfo(description="", citation="", features=features)

        def _compute(self, predictions: list[str]) -> dict[str, Any]:
            tokenizer = self.tokenizer
            if tokenizer.pad_token is None:
                tokenizer.pad_token = tokenizer.eos_token
            whole = tokenizer(
                predictions,
                add_special_tokens=False,
                padding=True,
                truncation=True,
                max_length=self.longest,
                return_tensors="pt",
            )
            start = torch.full((len(predictions), 1), tokenizer.bos_token_id)
            ids = torch.cat([start, whole["input_ids"]], dim=1)
            mask = torch.cat([torch.ones_like(start), whole["attention_mask"]], dim=1)
            found: list[float] = []
            for at in range(0, len(ids), self.batch):
                found += self._of_batch(ids[at : at + self.batch], mask[at : at + self.batch])
            lengths = (mask.sum(1) - 1).tolist()
            return {"perplexities": found, "lengths": lengths, "mean_perplexity": sum(found) / len(found)}

        def _of_batch(self, ids: Any, mask: Any) -> list[float]:
            with torch.no_grad():
                logits = self.model(ids, attention_mask=mask).logits
            logits, labels, counted = logits[:, :-1].contiguous(), ids[:, 1:].contiguous(), mask[:, 1:]
            losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
            return torch.exp((losses * counted).sum(1) / counted.sum(1)).tolist()

    return Perplexity
