"""HK401 to HK403 and HK407: are results of the right kind, and do they say under which conditions?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit.audit import sections, statements, tasks_told, values
from hubkit.audit.findings import Fault
from hubkit.audit.parts import Claim, Table
from hubkit.audit.rules import found, rule
from hubkit.audit.subject import Subject
from hubkit.audit.tasks_told import QUESTION, SEQUENCE, TOKEN

_METRIC = re.compile(
    r"\b(?:accuracy|f1|perplexity|ppl|bleu|rouge|wer|cer|exact match|recall|mcc|auc|bertscore)\b",
    re.IGNORECASE,
)
_NO_VALUE = re.compile(
    r"chang|delta|Δ|diff|improv|reduc|gain|drop|log|ratio|relative|bits|std|variance|±|norm|weight|target"
    r"|goal",
    re.IGNORECASE,
)
_CONDITIONS = re.compile(
    r"\b(?:test|valid\w*|eval\w*|dev|held|hold-?out|splits?|sets?|benchmark\w*|samples?|examples?"
    r"|datasets?|corpus|corpora|questions|"
    r"subset|folds?|documents|text|mmlu|gsm8k|glue|squad|wikitext\w*|humaneval|leaderboard|shot)\b|测试|验证"
    r"|评测|数据集|평가|prueba",
    re.IGNORECASE,
)
_DEVICE = re.compile(
    r"\b(?:[gct]pus?|npus?|cuda|mps|a100|h100|h200|b200|l4|l40s?|t4|v100|p100|a10g?|a6000|a40|rtx|gtx"
    r"|[2345]0[5-9]0|m[1-5]|xeon|epyc|"
    r"nvidia|amd|intel|colab|kaggle|apple|ryzen|jetson|mi\d{3}x?|snapdragon|raspberry)\b",
    re.IGNORECASE,
)
_BATCH = re.compile(
    r"\bbatch|\bbs ?=|\b(?:single|one)[- ](?:sequence|sample|stream|request|user|query)|\bconcurren",
    re.IGNORECASE,
)


@rule("HK401", "warning", title="A metric of another task")
def other_task(subject: Subject) -> Iterator[Fault]:
    """Perplexity, BLEU and word error rates say nothing about a classifier.

    Accuracy of a language model can be one of a benchmark, and is no fault.

    Bad:

        ## Results of the classifier (task_type SEQ_CLS)

        - **Perplexity:** 12.3 on the test set

    Good:

        ## Results

        - **Accuracy:** 0.91 on the test set
    """
    task = tasks_told.read(subject)
    if task is None or task.name not in (SEQUENCE, TOKEN, QUESTION):
        return
    for claim in subject.document.claims:
        named = re.fullmatch(
            r"(?:\w+ )?(perplexity|ppl|bleu|wer|word error rate)", claim.label, re.IGNORECASE
        )
        if named and values.number(claim.value) and statements.is_ours(subject.document, claim):
            yield found(
                claim.line,
                f"{claim.label} is no metric for {tasks_told.TITLES[task.name]} ({task.by}).",
                says=claim.value,
                mend="leave it out, or say of what it was measured",
            )


@rule("HK402", "warning", title="Metrics that are explained and have no value")
def only_defined(subject: Subject) -> Iterator[Fault]:
    """A table that explains metrics and gives no number tells a reader nothing about this adapter.

    Bad:

        ## Evaluation

        | Metric   | Definition                |
        | -------- | ------------------------- |
        | Accuracy | share of right answers    |
        | F1       | mean of precision, recall |

    Good:

        ## Evaluation on the test set

        | Metric   | Value |
        | -------- | ----: |
        | Accuracy | 0.913 |
    """
    measured = {
        _METRIC.findall(claim.label)[0].lower()
        for claim in subject.document.claims
        if _METRIC.search(claim.label) and re.search(r"\d", claim.value)
    }
    for table in subject.document.tables:
        names = [_METRIC.search(row.cells[0]) for row in table.rows if row.cells]
        if not names or not all(names) or not _explains(table):
            continue
        if not measured & {name[0].lower() for name in names if name}:
            yield found(
                table.header.line,
                "The metrics are explained, and none has a value.",
                mend="give the values, or drop the table",
            )


def _explains(table: Table) -> bool:
    heads = [cell.lower() for cell in table.header.cells[1:]]
    explaining = [
        re.search(r"defin|descri|meaning|measures|explan|what|interpretation", head) for head in heads
    ]
    cells = [cell for row in table.rows for cell in row.cells[1:]]
    return any(explaining) and not any(re.search(r"\d", cell) for cell in cells)


@rule("HK403", "warning", title="Results without dataset, split or conditions")
def conditions(subject: Subject) -> Iterator[Fault]:
    """A number is a result only together with the text or data that it was measured on.

    Bad:

        # An adapter

        ## Performance

        - **Accuracy:** 0.97

    Good:

        # An adapter

        ## Performance on the test split of ag_news

        - **Accuracy:** 0.97
    """
    first: Claim | None = None
    bare: dict[int, bool] = {}  # the sections that were looked at
    for claim in subject.document.claims:
        metric = _METRIC.search(claim.label)
        if not metric or len(claim.label) > 40 or _NO_VALUE.search(claim.label):
            continue
        if not _is_result(subject, claim):
            continue
        where = sections.first_line(subject.document, claim.line)
        if where not in bare:
            bare[where] = not _CONDITIONS.search(sections.text_at(subject.document, claim.line))
        if not bare[where]:
            return  # stated once: the others are short for it
        first = first or claim
    if first:
        yield found(
            first.line,
            f"{first.label} is given without the data that it was measured on.",
            says=first.value,
            mend="name dataset, split and conditions",
        )


def _is_result(subject: Subject, claim: Claim) -> bool:
    number = values.number(claim.value.split(",")[0])
    return number is not None and not statements.about_others(subject.document, claim.line)


@rule("HK407", "warning", title="Throughput without conditions")
def throughput(subject: Subject) -> Iterator[Fault]:
    """A speed depends on the device and on the batch. Without them it says nothing.

    Bad:

        ## Speed

        - **Inference throughput:** 100 samples/second

    Good:

        ## Speed

        - **Inference throughput:** 100 samples/second (batch 8, one A100)
    """
    for statement in statements.read(subject.document):
        if (
            statement.key != "throughput"
            or not re.search(r"\d", statement.value)
            or statement.source != "claim"
        ):
            continue
        if not re.search(
            r"/\s*s|per\s+(?:second|token|sample)|\bms\b|\bseconds?\b|tok|it/s|\d\s*s\b",
            f"{statement.value} {statement.label}",
        ):
            continue
        text = sections.text_at(subject.document, statement.line)
        missing = [
            name
            for name, pattern in (("device", _DEVICE), ("batch size", _BATCH))
            if not pattern.search(text)
        ]
        if missing:
            both = len(missing) == 2
            yield found(
                statement.line,
                f"The speed is given without {' and '.join(missing)}.",
                says=statement.value,
                mend="say on which device and with which batch it was measured: hubkit measure",
                severity=None if both else "note",
            )
