"""HK408 and HK410 to HK412: results, versions and settings, against those that the record holds."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit import compare
from hubkit.audit import statements, values, versions
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.rules.plausible import metrics_in_metadata
from hubkit.audit.statements import Statement
from hubkit.audit.subject import Subject
from hubkit.record import Classification, Environment, Measures, Record, Throughput, Training

_RATE = re.compile(
    r"(\d[\d,]*(?:\.\d+)?)\s*(tokens?|samples?|sequences?)\s*(?:/\s*s|per\s+second)", re.IGNORECASE
)
_REQUIRED = re.compile(
    r"require|install|prerequisite|set ?up|compatib|depend|how to|usage|use\b|getting started", re.IGNORECASE
)
_TRAINING = re.compile(r"train|hyper|fine-?tun|procedure|optimi|学习|训练|학습|entren|trein", re.IGNORECASE)
_NUMBERS = {
    "epochs": "epochs",
    "steps": "steps",
    "learning rate": "learning_rate",
    "warm-up": "warmup_steps",
    "seed": "seed",
    "weight decay": "weight_decay",
    "gradient clipping": "max_grad_norm",
    "accumulation": "gradient_accumulation",
    "batch size": "batch_size",
    "effective batch": "effective_batch_size",
}
_SCHEDULERS = ("cosine", "linear", "constant", "polynomial", "inverse", "reduce")
_NOT_FROM_PIP = ("python", "cuda")


def _record(subject: Subject) -> Record | None:
    """The record, with those measures only that are of this adapter."""
    return subject.facts.record if subject.facts else None


@rule("HK408", "error", title="A result unlike the one that was measured")
def measured(subject: Subject) -> Iterator[Fault]:
    """Where the record holds a perplexity, an accuracy, an F1 or a throughput of this adapter, the card must
    give the same.

    Bad:

        ## Results on held-out text

        - **Perplexity:** 9.99

    Good:

        ## Results on held-out text

        - **Perplexity:** 15.06
    """
    record = _record(subject)
    measures = record.measures if record else Measures()
    truths = {key: known for key, known in _qualities(measures).items() if known}
    for statement in statements.read(subject.document) if truths else ():
        if statement.key in truths:
            number = values.number(re.split(r",\s", statement.value)[0])
            of_another = number and number.rest.startswith("on ")  # another text, as an author may add
            known = truths[statement.key]
            if number and not of_another and not any(number.agrees(one) for one in known):
                yield _unlike(statement.line, statement.value, f"{known[0]:.4g}")
    for line, kind, value in metrics_in_metadata(subject):
        known = truths.get(kind.replace("_", " "), [])
        if known and not any(abs(value - one) <= 0.01 * one for one in known):
            yield _unlike(line, str(value), f"{known[0]:.4f}")
    yield from _rates(subject, measures.throughput)


def _qualities(measures: Measures) -> dict[str, list[float]]:
    """What was found of the text, by the key of a statement: of base and adapter, then of the base alone."""
    one, pseudo = measures.perplexity, measures.pseudo_perplexity
    found: dict[str, list[float | None]] = {}
    if one:
        found = {
            "perplexity": [one.value, one.base_value, pseudo.value if pseudo else None],
            "bits per byte": [one.bits_per_byte, compare.base_bits_per_byte(one)],
            "byte perplexity": [one.byte_perplexity, compare.base_per(one, one.bytes)],
            "word perplexity": [one.word_perplexity, compare.base_per(one, one.words)],
        }
        found = {key: known if known[0] is not None else [] for key, known in found.items()}
    if pseudo:
        found["pseudo-perplexity"] = [pseudo.value, pseudo.base_value]
    if classified := measures.classification:
        found |= _of_classes(classified)
    return {key: [value for value in known if value is not None] for key, known in found.items()}


def _of_classes(measured: Classification) -> dict[str, list[float | None]]:
    """Accuracy and F1, as shares and in percent; F1 alone may be the macro or the weighted one."""
    macro, weighted = measured.macro_f1, measured.weighted_f1
    named = {
        "accuracy": [measured.accuracy],
        "macro f1": [macro],
        "weighted f1": [weighted],
        "f1": [macro, weighted],
        "majority accuracy": [measured.majority_accuracy],
    }
    return {key: [*known, *(100 * one for one in known)] for key, known in named.items()}


def _rates(subject: Subject, speed: Throughput | None) -> Iterator[Fault]:
    held = [one for one in (speed, speed.merged, *speed.sweep) if one] if speed else []
    rates = [r for one in held for r in (one.samples, one.tokens, one.prefill, one.decode) if r]
    for statement in statements.read(subject.document) if rates else ():
        for digits, unit in _RATE.findall(statement.value) if statement.key == "throughput" else ():
            number = values.number(digits)
            kind = "samples" if unit.lower().startswith(("seq", "samp")) else "tokens"
            same = [rate for rate in rates if rate.unit.startswith(kind)]
            near = any(
                number.agrees(rate.median) or abs(number.value - rate.median) <= 0.006 * rate.median
                for rate in same
                if number
            )
            if same and not near:
                measured_ = ", ".join(f"{rate.median:.4g} {rate.unit}" for rate in same)
                yield _unlike(statement.line, statement.value, measured_)


def _unlike(line: int | None, says: str, instead: str) -> Fault:
    return found(
        line, "Something else was measured.", says=says, instead=f"{instead} (record)", mend="run hubkit card"
    )


@rule("HK410", "warning", title="A version that names no release")
def vague_version(subject: Subject) -> Iterator[Fault]:
    """`4.x`, `3.9+` and `latest` do not tell with what the adapter was made. In a list of requirements they
    are fine.

    Bad:

        ## Framework versions

        - **Transformers:** 4.x

    Good:

        ## Framework versions

        - **Transformers:** 5.23.0
    """
    lines: dict[int, tuple[str, str]] = {}
    for library in versions.LIBRARIES:
        for line, text in versions.stated(subject, library):
            required = any(map(_REQUIRED.search, statements.headings_at(subject.document, line)))
            if values.is_vague_version(text) and not required:
                lines.setdefault(line, (library, text))
    for line, (library, text) in sorted(lines.items()):
        used = {e.libraries[library] for e in _environments(_record(subject)) if library in e.libraries}
        look = "" if library in _NOT_FROM_PIP else f": pip show {library}"
        yield found(
            line,
            f"{text} is no release of {library}.",
            says=text,
            instead=", ".join(sorted(used)) or None,
            mend=f"write the release that was used{look}",
        )


def _environments(record: Record | None) -> list[Environment]:
    """The machines that the record speaks of."""
    if record is None:
        return []
    measures = record.measures
    taken = (measures.perplexity, measures.pseudo_perplexity, measures.classification, measures.throughput)
    parts = (record.training, *taken)
    return [part.environment for part in parts if part is not None and part.environment is not None]


@rule("HK411", "error", title="A version unlike the one that was used")
def version(subject: Subject) -> Iterator[Fault]:
    """The record holds the versions that training and measuring ran with.

    Bad:

        ## Framework versions

        - **Transformers:** 4.1.0

    Good:

        ## Framework versions

        - **Transformers:** 5.23.0
    """
    environments = _environments(_record(subject))
    for library in versions.LIBRARIES if environments else ():
        used = {e.python if library == "python" else e.libraries.get(library, "") for e in environments} - {
            ""
        }
        releases = {values.version(one) or one for one in used}
        for line, text in versions.stated(subject, library):
            stated = values.version(text)
            known = not stated or stated in releases or any(one.startswith(f"{stated}.") for one in releases)
            if releases and not known:
                right = ", ".join(sorted(used))
                yield found(
                    line,
                    f"The version of {library} was {right}.",
                    says=text,
                    instead=f"{right} (record)",
                    mend=f"write {right}",
                )


@rule("HK412", "error", title="A training setting unlike the one that was used")
def training(subject: Subject) -> Iterator[Fault]:
    """The record holds the settings that the adapter was trained with.

    Bad:

        # An adapter

        ## Training procedure

        - **Learning rate:** 0.01

    Good:

        # An adapter

        ## Training procedure

        - **Learning rate:** 3e-4
    """
    record = _record(subject)
    known = record.training if record else None
    if known is None:
        return
    for statement in statements.read(subject.document):
        if any(_TRAINING.search(title) for title in statement.section):
            right = _right(statement, known)
            if right is not None:
                yield found(
                    statement.line,
                    f"{statement.label or statement.key} was {right}.",
                    says=statement.value,
                    instead=f"{right} (record)",
                    mend=f"write {right}",
                )


def _right(statement: Statement, known: Training) -> str | None:
    """What the setting was, where the statement is not it."""
    said = statement.value.lower()
    if statement.key == "optimizer":
        stem = known.optimizer.lower().split("_")[0]
        other = re.search(r"\b(adamw?|sgd|lion|adafactor|rmsprop|adagrad|lamb)\b", said)
        return known.optimizer if other and other[1] != stem and stem not in said else None
    if statement.key == "scheduler":
        named = [name for name in _SCHEDULERS if name in said]
        return known.scheduler if len(named) == 1 and named[0] not in known.scheduler.lower() else None
    number = values.number(statement.value)
    if number is None or number.rest.startswith("%"):
        return None
    if statement.key == "any batch size":
        possible = (known.batch_size, known.effective_batch_size)
        return None if number.value in possible else f"{known.batch_size}"
    name = _NUMBERS.get(statement.key)
    truth = getattr(known, name) if name else None
    if truth is None or abs(number.value - truth) <= 1e-3 * abs(truth):
        return None
    if statement.key == "epochs" and abs(number.value - truth) < 0.5:  # 2.98 of 3
        return None
    return f"{truth:g}"
