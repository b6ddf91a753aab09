"""hubkit: the model loaded as `hubkit measure` loads it, then the windows cut and scored as it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from peers import Answer, Work


def prepare(work: Work) -> Callable[[], Answer]:
    import roofline

    from hubkit import adapter, tasks
    from hubkit.measures import perplexity, scoring
    from hubkit.measures.subject import Subject
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
    subject = Subject(
        adapter=adapter.read(Path(work.adapter)),
        base=Base(id="bench/base", path=work.base),
        task=task,
        task_parameters=task.Parameters(),
        quantization=None,
        settings=settings,
        context=work.context,
        text=corpus.load(Data(eval_files=[work.text], documents="file"), 0, only_evaluation=True),
    )
    loaded = loading.load_base(subject.base, task, dtype=work.dtype)
    model = loading.load_adapter(loaded.model, subject.adapter)
    costs = roofline.costs(model)

    def evaluate() -> Answer:
        text = perplexity.tokens(loaded.tokenizer, subject)
        found = scoring.score(model, text.windows, settings.batch_size, len(text.documents))
        more = {
            "nll": found.nll,
            "kernels": found.kernels,
            "merged": found.merged,
            "gflop": costs.of(text.windows) / 1e9,
        }
        return Answer(
            found.perplexity, found.tokens, more, lambda: {"roofline": roofline.measured(work.dtype)}
        )

    return evaluate
