"""The rows of the card's tables about work done: training, environment."""

from __future__ import annotations

from typing import Any

from hubkit.card import pruned, text
from hubkit.card.facts import MANY_LABELS, Facts
from hubkit.card.tables import Row, known
from hubkit.measured import Classification, Perplexity
from hubkit.measured_speed import Throughput
from hubkit.record import Environment, LogPoint, Training

HISTORY_POINTS = 12
LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "bitsandbytes",
    "tokenizers",
    "safetensors",
)


def training(facts: Facts) -> list[Row]:
    """What a reader asks of a run: how long, on how much, at which rate, and what it cost."""
    run = facts.record.training
    if run is None:
        return []
    resumed = f", resumed {text.plural(run.resumed, 'time')} from a checkpoint" if run.resumed else ""
    return known(
        [
            ("Epochs", text.number(run.epochs)),
            ("Optimizer steps", text.count(run.steps)),
            ("Effective batch", text.plural(run.effective_batch_size, "sequence")),
            _sequences(run),
            ("Tokens seen", text.count(run.tokens_seen)),
            ("Learning rate", text.number(run.learning_rate)),
            ("Precision", text.phrase(run.precision)),
            ("Method's own parameters", pruned.settings(facts)),
            ("Final training loss", loss(run.final_train_loss) or None),
            ("Final evaluation loss, while training", loss(run.final_eval_loss) or None),
            ("Duration", f"{text.duration(run.seconds)} ({text.hours(run.seconds)}){resumed}"),
            ("Hardware", hardware(run.environment)),
            ("Cloud provider", text.phrase(facts.author.cloud_provider or "")),
            ("Compute region", text.phrase(facts.author.compute_region or "")),
        ]
    )


def _sequences(run: Training) -> tuple[str, str | None]:
    """How long the sequences were: blocks of one length, or whole documents."""
    if run.truncated_documents is None:
        return "Block size", f"{text.count(run.block_size)} tokens, packed without padding"
    cut = f"{text.plural(run.truncated_documents, 'longer document')} cut to it"
    at_most = text.plural(run.block_size, "token")
    return "Longest sequence", f"{at_most}; {cut if run.truncated_documents else 'no document was longer'}"


def _class_weights(facts: Facts) -> str | None:
    """What each class counts in the loss; of many, the least and the most."""
    run = facts.record.training
    weights = run.class_weights if run else []
    if not run or not weights:
        return None
    if len(weights) > MANY_LABELS:
        return f"from {text.number(min(weights))} to {text.number(max(weights))}"
    named = zip(run.labels, weights, strict=False)
    return ", ".join(f"{text.code(name)} {text.number(round(weight, 4))}" for name, weight in named)


def training_more(facts: Facts) -> list[Row]:
    """What else is needed to run it again."""
    run = facts.record.training
    if run is None:
        return []
    accumulated = f", {run.gradient_accumulation} accumulated" if run.gradient_accumulation > 1 else ""
    clipping = text.number(run.max_grad_norm) if run.max_grad_norm else "off"
    return known(
        [
            ("Batch per device", text.plural(run.batch_size, "sequence") + accumulated),
            ("Scheduler", f"{text.phrase(run.scheduler)}, {text.plural(run.warmup_steps, 'warm-up step')}"),
            ("Class weights in the loss", _class_weights(facts)),
            ("Weight decay", text.number(run.weight_decay)),
            ("Gradient clipping (norm)", clipping),
            ("Optimizer", text.code(run.optimizer)),
            ("Seed", str(run.seed)),
            ("Peak memory", memory(run)),
            ("Date", text.phrase(run.started)),
        ]
    )


def memory(taken: Training | Throughput | Perplexity | Classification) -> str | None:
    """The highest memory, and of what it is."""
    if not taken.peak_memory_bytes:
        return None
    kind = f" ({text.phrase(taken.memory_kind)})" if taken.memory_kind else ""
    return text.size(taken.peak_memory_bytes) + kind


def log(facts: Facts) -> list[LogPoint]:
    """The history of losses: hubkit's own, or else the one that was found beside the adapter."""
    run, found = facts.record.training, facts.record.found_history
    return run.history if run else found.history if found else []


def found_training(facts: Facts) -> list[Row]:
    """What was found beside an adapter that hubkit did not train."""
    found = facts.record.found_history
    if found is None or facts.record.training:
        return []
    planned = found.planned_steps
    of = f" of {text.count(planned)}" if planned and planned != found.steps else ""
    batch = text.plural(found.batch_size, "sequence") if found.batch_size else None
    return known(
        [
            ("Optimizer steps", f"{text.count(found.steps)}{of}"),
            ("Epochs", text.number(round(found.epochs, 4)) if found.epochs is not None else None),
            ("Batch per device", batch),
            ("Last training loss", loss(found.final_train_loss) or None),
            ("Last evaluation loss", loss(found.final_eval_loss) or None),
        ]
    )


def history(facts: Facts) -> tuple[list[Row], tuple[str, ...]]:
    """A few points of the loss history, and the head of their table."""
    by_step: dict[int, LogPoint] = {}
    for point in log(facts):
        if had := by_step.get(point.step):
            point = LogPoint(
                step=point.step,
                loss=had.loss if point.loss is None else point.loss,
                eval_loss=had.eval_loss if point.eval_loss is None else point.eval_loss,
            )
        by_step[point.step] = point
    points = [p for _, p in sorted(by_step.items()) if p.loss is not None or p.eval_loss is not None]
    if len(points) < 2:
        return [], ()
    shown = _spread(points)
    columns = [
        (name, [loss(getattr(p, field)) for p in shown])
        for name, field in (("Training loss", "loss"), ("Evaluation loss", "eval_loss"))
        if any(getattr(p, field) is not None for p in points)
    ]
    steps = [text.count(p.step) for p in shown]
    rows = list(zip(steps, *(values for _, values in columns), strict=True))
    return rows, ("Step", *(name for name, _ in columns))


def _spread(points: list[LogPoint]) -> list[LogPoint]:
    """The first, the last and some evenly between; of those with an evaluation where they are many."""
    evaluated = [p for p in points if p.eval_loss is not None]
    pool = evaluated if len(evaluated) >= HISTORY_POINTS // 2 else points
    if len(pool) <= HISTORY_POINTS:
        return pool
    last = len(pool) - 1
    return [pool[round(i * last / (HISTORY_POINTS - 1))] for i in range(HISTORY_POINTS)]


def loss(value: float | None) -> str:
    """A loss to four decimals; empty where it is not known."""
    return "" if value is None else f"{value:.4f}"


def device(where: str, environment: Environment | None) -> str:
    """The device with the name of its processor: `cpu (Intel Xeon)`."""
    name = environment and (environment.accelerator if where != "cpu" else environment.cpu)
    return f"{text.phrase(where)} ({text.phrase(name)})" if name else text.phrase(where)


def computed_in(facts: Facts, dtype: str, where: str, environment: Environment | None) -> str:
    """The dtype and device of a measure; weights held in 4 bits compute in a dtype of their own."""
    inside = (facts.quantization or {}).get("bnb_4bit_compute_dtype") if facts.four_bit else None
    inside = str(inside).removeprefix("torch.") if inside else dtype
    own = f", its 4-bit weights in {text.phrase(inside)}" if inside != dtype else ""
    return f"{dtype}{own}, on {device(where, environment)}"


def hardware(environment: Environment | None) -> str | None:
    """The machine in a line: accelerator or processor, cores, memory."""
    if environment is None:
        return None
    parts = [
        text.phrase(environment.accelerator) if environment.accelerator else "",
        text.phrase(environment.cpu) if environment.cpu else "",
        text.plural(environment.cpu_count, "CPU") if environment.cpu_count else "",
        f"{text.size(environment.memory_bytes)} of memory" if environment.memory_bytes else "",
    ]
    return ", ".join(part for part in parts if part) or None


def environments(facts: Facts) -> list[tuple[str, list[Row]]]:
    """Each environment that a number comes from, with what was done in it; equal ones once."""
    measures, run = facts.record.measures, facts.record.training
    found: list[tuple[list[Row], list[str]]] = []
    for what, holder in (
        ("training", run),
        ("perplexity", measures.perplexity),
        ("pseudo-perplexity", measures.pseudo_perplexity),
        ("classification", measures.classification),
        ("throughput", measures.throughput),
    ):
        rows = _environment(holder.environment) if holder and holder.environment else []
        if not rows:
            continue
        same = next((names for had, names in found if had == rows), None)
        if same is not None:
            same.append(what)
        else:
            found.append((rows, [what]))
    return [(text.listed(names), rows) for rows, names in found]


def _environment(environment: Environment) -> list[Row]:
    order: dict[str, Any] = {name: at for at, name in enumerate(LIBRARIES)}
    libraries = sorted(environment.libraries, key=lambda name: (order.get(name, len(order)), name))
    return known(
        [
            ("Python", text.phrase(environment.python)),
            *((text.phrase(name), text.phrase(environment.libraries[name])) for name in libraries),
            ("Platform", text.phrase(environment.platform)),
            ("Hardware", hardware(environment)),
            ("Threads used by torch", str(environment.threads) if environment.threads else None),
        ]
    )
