"""lm-evaluation-harness as its command runs it: `simple_evaluate` on a task of one's own.

The text is its one document. Beside the evaluation this holds what a user waits for too: reading the data,
building requests, metrics. The task manager is given this task alone, which spares it its own thousands.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

from peers import Answer, Work

TASK = {
    "task": "local_text",
    "dataset_path": "json",
    "output_type": "loglikelihood_rolling",
    "test_split": "test",
    "doc_to_text": "",
    "doc_to_target": "{{text}}",
    "metric_list": [{"metric": "bits_per_byte"}, {"metric": "word_perplexity"}],
    "metadata": {"version": 1.0},
}


def prepare(work: Work) -> Callable[[], Answer]:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    text, scratch = work.words(), Path(tempfile.mkdtemp())
    (scratch / "data.json").write_text(json.dumps([{"text": text}]), encoding="utf-8")
    task = {**TASK, "dataset_kwargs": {"data_files": {"test": str(scratch / "data.json")}}}
    (scratch / "task.yaml").write_text(json.dumps(task), encoding="utf-8")  # JSON is YAML
    manager = TaskManager(include_path=str(scratch), include_defaults=False)
    model = HFLM(
        pretrained=work.base,
        peft=work.adapter,
        dtype=work.dtype,
        batch_size=work.batch,
        max_length=work.context,
        device="cpu",
    )

    def evaluate() -> Answer:
        results = simple_evaluate(
            model=model, tasks=["local_text"], task_manager=manager, bootstrap_iters=0, log_samples=False
        )["results"]["local_text"]
        bits = next(value for key, value in results.items() if key.startswith("bits_per_byte,"))
        tokens = len(model.tok_encode(text))
        nll = bits * math.log(2) * len(text.encode())
        return Answer(math.exp(nll / tokens), tokens, {"nll": nll})

    return evaluate
