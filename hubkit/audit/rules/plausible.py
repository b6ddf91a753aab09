"""HK404 to HK406: can the numbers on a card be, and do they fit each other?"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from hubkit.audit import labels, sections, values
from hubkit.audit.findings import Fault
from hubkit.audit.parts import Claim
from hubkit.audit.rules import found, rule
from hubkit.audit.subject import Subject

_PERPLEXITY = re.compile(r"\bperplexity\b|\bppl\b|困惑度", re.IGNORECASE)
_SHARE = re.compile(
    r"(?:\w+ )?(?:accuracy|f1(?:[ -]?score)?|macro[- ]f1|micro[- ]f1|recall|exact match|precision)",
    re.IGNORECASE,
)
_NO_VALUE = re.compile(
    r"chang|delta|Δ|diff|improv|reduc|gain|drop|log|ratio|relative|bits|std|variance|±|norm|weight|target"
    r"|goal",
    re.IGNORECASE,
)
_CHANGE = re.compile(
    r"(?P<old>\d[\d,]*(?:\.\d+)?)\s*(?:%\s*)?(?:to|→"
    r"|->)\s*\**(?P<new>\d[\d,]*(?:\.\d+)?)\**\s*%?\s*\((?P<change>[-+−]?\d+(?:\.\d+)?)\s*%"
)
_MOVES = re.compile(
    r"\b(?:fell|falls?|rose|rises?|improv|reduc|drop|decreas|increas|from|gain|against|alone|better)|→|->",
    re.IGNORECASE,
)
_AGAINST = re.compile(
    r"(?P<new>\d[\d,]*(?:\.\d+)?)\**,? (?:base alone|against|vs\.?|compared to"
    r"|versus) (?P<old>\d[\d,]*(?:\.\d+)?)[^()\d]{0,40}"
    r"\((?P<change>[-+−]?\d+(?:\.\d+)?)\s*%"
)


def _number(text: str) -> float | None:
    """The number of a value, NaN and infinity as such."""
    word = values.without_asides(values.plain(text)).lower().strip(" .")
    if word in {"nan", "inf", "-inf", "infinity", "∞"}:
        return math.nan if word == "nan" else math.inf
    number = values.number(text)
    return number.value if number else None


@rule("HK404", "error", title="A number that cannot be")
def impossible(subject: Subject) -> Iterator[Fault]:
    """Perplexity is at least 1 and finite; a share lies between 0 and 100 %; a loss is a number.

    Bad:

        ## Results on the test set

        - **Perplexity:** 0.8

    Good:

        ## Results on the test set

        - **Perplexity:** 8.1
    """
    for claim in subject.document.claims:
        if _NO_VALUE.search(claim.label) or _NO_VALUE.search(claim.column) or len(claim.label) > 60:
            continue
        value = _number(claim.value)
        if value is None:
            continue
        if why := _why_not(claim, value):
            yield found(claim.line, why, says=claim.value, mend="measure it again: hubkit measure")
    yield from _impossible_in_metadata(subject)


def _why_not(claim: Claim, value: float) -> str | None:
    if (
        _PERPLEXITY.search(claim.label)
        and "%" not in claim.value
        and not (math.isfinite(value) and value >= 1)
    ):
        return f"{claim.label} cannot be {claim.value}: it is at least 1."
    if re.search(r"\bloss\b", claim.label, re.IGNORECASE) and not math.isfinite(value):
        return f"{claim.label} cannot be {claim.value}."
    if _SHARE.fullmatch(claim.label) and not 0 <= value <= 100:
        return f"{claim.label} cannot be {claim.value}: it lies between 0 and 1, or 0 and 100%."
    return None


def metrics_in_metadata(subject: Subject) -> Iterator[tuple[int | None, str, float]]:
    """The metrics of the model-index: line, type, value."""
    index = subject.document.metadata.get("model-index")
    for i, entry in enumerate(index if isinstance(index, list) else []):
        results = entry.get("results") if isinstance(entry, dict) else None
        for j, result in enumerate(results if isinstance(results, list) else []):
            metrics = result.get("metrics") if isinstance(result, dict) else None
            for k, metric in enumerate(metrics if isinstance(metrics, list) else []):
                kind, value = (
                    (metric.get("type"), metric.get("value")) if isinstance(metric, dict) else (None, None)
                )
                if isinstance(kind, str) and isinstance(value, int | float) and not isinstance(value, bool):
                    path = ("model-index", i, "results", j, "metrics", k, "value")
                    yield subject.document.front.line_of(*path), kind.lower(), float(value)


def _impossible_in_metadata(subject: Subject) -> Iterator[Fault]:
    for line, kind, value in metrics_in_metadata(subject):
        if kind == "perplexity" and math.isfinite(value) and value < 1:
            yield found(
                line, "Perplexity is at least 1.", says=value, mend="measure it again: hubkit measure"
            )
        elif _SHARE.fullmatch(kind.replace("_", " ")) and not 0 <= value <= 100:
            yield found(
                line, f"{kind} lies between 0 and 1, or 0 and 100.", says=value, mend="measure it again"
            )


@rule("HK405", "warning", title="A loss and a perplexity that do not fit")
def loss_and_perplexity(subject: Subject) -> Iterator[Fault]:
    """Perplexity is exp of the mean loss, where both are of the same text.

    Bad:

        ## Results on the test set

        - **Test loss:** 2.00
        - **Test perplexity:** 20.1

    Good:

        ## Results on the test set

        - **Test loss:** 2.00
        - **Test perplexity:** 7.39
    """
    losses: dict[tuple[object, ...], Claim] = {}
    perplexities: list[tuple[tuple[object, ...], Claim]] = []
    for claim in subject.document.claims:
        label = labels.normal(claim.label)
        if _NO_VALUE.search(label) or re.search(r"\btrain", label + " ".join(claim.section[-1:]).lower()):
            continue
        if claim.kind == "column" and claim.row and not _one_of_each(subject, claim):
            continue
        if re.search(r"\bloss\b", label):
            losses.setdefault(_of_what(claim, label), claim)
        elif _PERPLEXITY.search(label):
            perplexities.append((_of_what(claim, label), claim))
    for what, claim in perplexities:
        if what in losses:
            yield from _unfitting(losses[what], claim)


def _of_what(claim: Claim, label: str) -> tuple[object, ...]:
    """Of which text a loss or a perplexity is, as far as its place and the rest of its label tell."""
    rest = re.sub(
        r"\b(?:loss|perplexity|ppl|cross entropy|mean|average|nats per token|final)\b|,", " ", label
    )
    line = claim.line if claim.kind == "column" else 0
    return claim.section, claim.kind, claim.column, claim.row, line, *rest.split()


MOST_COLUMNS = 1_000  # of a table that somebody reads


def _one_of_each(subject: Subject, claim: Claim) -> bool:
    """Whether a table has one column of losses and one of perplexities."""
    table = sections.table_at(subject.document, claim.line)
    cells = table.header.cells if table else ()
    heads = [cell.lower() for cell in cells] if len(cells) < MOST_COLUMNS else []
    return (
        sum("loss" in head and "train" not in head for head in heads) == 1
        and sum(bool(_PERPLEXITY.search(head)) and not _NO_VALUE.search(head) for head in heads) == 1
    )


def _unfitting(loss: Claim, perplexity: Claim) -> Iterator[Fault]:
    one, other = values.number(loss.value), values.number(perplexity.value)
    if one is None or other is None or not 0 <= one.value < 30 or other.value < 1:
        return
    slack = one.step + 0.02
    if any(
        abs(math.log(other.value) - exponent) <= slack + 0.02 * exponent
        for exponent in (one.value, one.value * math.log(2))
    ):
        return
    yield found(
        perplexity.line,
        f"exp({loss.value}) is {math.exp(one.value):.4g}, and not {perplexity.value}.",
        says=perplexity.value,
        instead=f"{math.exp(one.value):.4g}",
        mend="say which text each was measured on, or measure again",
    )


@rule("HK406", "warning", title="A change that the two numbers do not give")
def change(subject: Subject) -> Iterator[Fault]:
    """`35.42 to 15.06 (-57.5%)`: the percentage must follow from the two.

    Bad:

        Perplexity fell from 35.42 to 15.06 (-20.0%).

    Good:

        Perplexity fell from 35.42 to 15.06 (-57.5%).
    """
    for line, text in subject.document.prose:
        for pattern in (_CHANGE, _AGAINST) if _MOVES.search(text) else ():
            for shown in pattern.finditer(text):
                old, new = (float(shown[name].replace(",", "").rstrip(".") or 0) for name in ("old", "new"))
                stated = abs(float(shown["change"].replace("−", "-")))
                if old <= 0 or new <= 0:
                    continue
                possible = [100 * abs(new - old) / old, 100 * abs(new - old) / new, 100 * new / old]
                if "%" in shown[0].partition("(")[0]:
                    possible.append(abs(new - old))  # percentage points
                if not any(abs(stated - one) <= max(0.6, 0.02 * one) for one in possible):
                    right = f"{100 * (new - old) / old:+.1f}%"
                    yield found(
                        line,
                        f"From {old:g} to {new:g} is {right}.",
                        says=shown[0] + ")",
                        instead=right,
                        mend=f"write {right}",
                    )
