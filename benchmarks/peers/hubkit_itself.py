"""hubkit: model and adapter loaded as `hubkit measure` loads them, then perplexity taken as it takes it.

What is timed is all that a user waits for after loading: the text read and cut, kernels probed and checked,
weights merged or laid out anew, every window scored, the measure filled in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from peers import Answer, Work


def prepare(work: Work) -> Callable[[], Answer]:
    import roofline

    from hubkit import adapter, tasks
    from hubkit.measures.subject import Subject
    from hubkit.measures.text_scores import TextScores
    from hubkit.models import corpus, loading
    from hubkit.settings import Base, Data, Measuring

    task = tasks.get(work.task)
    settings = Measuring(
        context=work.context,
        stride=work.stride if work.task == "causal-lm" else None,
        batch_size=work.batch,
        precision=work.dtype,
        mask_seed=work.seed,
    )
    without_text = Subject(
        adapter=adapter.read(Path(work.adapter)),
        base=Base(id="bench/base", path=work.base),
        task=task,
        task_parameters=task.Parameters(),
        quantization=None,
        settings=settings,
        context=work.context,
    )
    loaded = loading.load_base(without_text.base, task, dtype=work.dtype)
    model = loading.load_adapter(loaded.model, without_text.adapter)
    costs = roofline.costs(model)

    def machines_rate() -> dict[str, float]:
        return {"roofline": roofline.measured(work.dtype)}

    def evaluate() -> Answer:
        text = corpus.load(Data(eval_files=[work.text], documents="file"), 0, only_evaluation=True)
        subject = replace(without_text, text=text)
        scores = TextScores.of(loaded, subject, work.dtype, lambda _: None)
        scores.alone["perplexity"] = "scored by nobody here: peers score the adapter alone"
        ((_, found),) = scores.with_adapter(model)
        more = {
            "nll": found.nll_sum,
            "kernels": found.kernels,
            "merged": found.merged,
            "gflop": costs.of(scores.texts["perplexity"].windows) / 1e9,
        }
        return Answer(found.value, found.tokens_scored, more, machines_rate)

    return evaluate
