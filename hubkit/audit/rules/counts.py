"""HK211 to HK215: counts of parameters and sizes, against the tensors, the record and each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit.audit import truths, values
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.rules.configuration import said
from hubkit.audit.statements import Statement
from hubkit.audit.subject import Subject
from hubkit.audit.values import Number

_OF = re.compile(r"^\s*([\d,.]+)\s*(?:of|/|out of|de|von)\s*([\d,.]+)\b")
_PRINTED = re.compile(
    r"trainable (?:params:|parameters =)\s*([\d,]+)\s*(?:\|\|\s*all params:|of)\s*([\d,]+)"
    r"\s*(?:\|\|\s*trainable%:|\()\s*([\d.]+)",
    re.IGNORECASE,
)
_NOT_ITS_FILE = frozenset({"ADALORA"})  # it drops ranks while it trains


def _trainable(subject: Subject) -> int | None:
    """The count of trained parameters, where file or record tell it."""
    if subject.facts is None or subject.peft_type in _NOT_ITS_FILE:
        return None
    return subject.facts.parameters.trainable


def _parts(text: str) -> tuple[Number | None, Number | None]:
    """`18,432 of 134,533,440 (0.014%)`: what is trained, and of how many."""
    both = _OF.match(text)
    return (values.count(both[1]), values.count(both[2])) if both else (values.count(text), None)


@rule("HK211", "error", title="Trainable parameters unlike the weights'")
def trainable(subject: Subject) -> Iterator[Fault]:
    """The count of trainable parameters must be that of the weights file, as far as it is rounded.

    Bad:

        ## Size

        - **Trainable parameters:** 9,999,999

    Good:

        ## Size

        - **Trainable parameters:** 18,432
    """
    truth = _trainable(subject)
    file = subject.adapter.parameters if subject.adapter else None
    for key, count in (("trainable", truth), ("file parameters", file)):
        for statement in said(subject, key) if count is not None else ():
            number, _ = _parts(statement.value)
            if number is None or number.rest.startswith("%") or number.value < 1:
                continue
            if count is not None and not number.agrees(count):
                yield found(
                    statement.line,
                    f"The {'adapter has' if key == 'trainable' else 'file holds'} {count:,} parameters.",
                    says=statement.value, instead=f"{count:,}", mend=f"write {count:,}",
                )  # fmt: skip


@rule("HK212", "error", title="Total parameters that do not follow from base and adapter")
def total(subject: Subject) -> Iterator[Fault]:
    """The total is the base's parameters and the adapter's, as measured; or at least of the size that the
    base's name tells.

    Bad:

        ## Size

        - **Total parameters:** 7,000,000,000

    Good:

        ## Size

        - **Total parameters:** 134,533,440
    """
    known = subject.facts.parameters.total if subject.facts else None
    for statement, number in _totals(subject):
        if known is not None:
            adapter = subject.adapter.parameters if subject.adapter else 0
            if not number.agrees(known) and not number.agrees(known - adapter):
                yield found(
                    statement.line, f"Base and adapter have {known:,} parameters.",
                    says=statement.value, instead=f"{known:,}", mend=f"write {known:,}",
                )  # fmt: skip
            continue
        sizes = {size for name in truths.base_names(subject) if (size := truths.parameters_in_name(name))}
        size = sizes.pop() if len(sizes) == 1 else None
        if size and not 0.4 < number.value / size < 2.5:
            yield found(
                statement.line,
                f"The base's name tells of about {size / 1e6:,.0f} million parameters.",
                says=statement.value,
                instead=f"about {size:,.0f}",
                severity="warning",
            )


def _totals(subject: Subject) -> Iterator[tuple[Statement, Number]]:
    for statement in said(subject, "total"):
        number = values.count(statement.value)
        if number and number.value >= 1000 and "b" not in number.rest[1:2]:
            yield statement, number
    for statement in said(subject, "trainable"):
        _, whole = _parts(statement.value)
        if whole:
            yield statement, whole


@rule("HK213", "error", title="A share that the counts do not give")
def share(subject: Subject) -> Iterator[Fault]:
    """The percentage of trainable parameters must follow from the two counts on the card.

    Bad:

        ## Size

        - **Total parameters:** 134,533,440
        - **Trainable parameters:** 18,432 (4.2% of total)

    Good:

        ## Size

        - **Total parameters:** 134,533,440
        - **Trainable parameters:** 18,432 (0.014% of total)
    """
    wholes = {number.value for _, number in _totals(subject)}
    known = subject.facts.parameters.total if subject.facts else None
    trained = {
        n.value
        for s in said(subject, "trainable")
        if (n := _parts(s.value)[0]) and not n.rest.startswith("%")
    }
    whole = wholes.pop() if len(wholes) == 1 else None if wholes else known
    part = trained.pop() if len(trained) == 1 else None if trained else _trainable(subject)
    if whole and part:
        for statement in said(subject, "trainable") + said(subject, "share"):
            shares = values.shares(statement.value)
            if len(shares) == 1:
                yield from _share(statement.line, statement.value, shares[0], part, whole)
    elif part and not whole:
        yield from _share_by_name(subject, part)
    for line, text in _lines_of_output(subject):
        for one, all_, percent in _PRINTED.findall(text):
            shown = values.shares(f"{percent}%")
            if shown:
                yield from _share(line, text.strip(), shown[0], _whole(one), _whole(all_))


def _share_by_name(subject: Subject, part: float) -> Iterator[Fault]:
    """The share where no total is known: the base's name tells it roughly."""
    sizes = {size for name in truths.base_names(subject) if (size := truths.parameters_in_name(name))}
    for statement in said(subject, "trainable") + said(subject, "share") if len(sizes) == 1 else []:
        shares = values.shares(statement.value)
        right = 100 * part / max(sizes)
        if len(shares) == 1 and shares[0].value > 0 and not right / 4 < shares[0].value < right * 4:
            yield found(
                statement.line,
                f"{part:,.0f} of about {max(sizes) / 1e6:,.0f} million is {right:.2g}%.",
                says=statement.value,
                instead=f"about {right:.2g}%",
                mend="count again: hubkit measure",
                severity="warning",
            )


def _lines_of_output(subject: Subject) -> Iterator[tuple[int, str]]:
    yield from subject.document.prose
    for fence in subject.document.fences:
        yield from enumerate(fence.code.split("\n"), fence.line)


def _whole(text: str) -> float:
    return float(text.replace(",", "") or 0)


def _share(line: int, text: str, stated: Number, part: float, whole: float) -> Iterator[Fault]:
    possible = [100 * part / whole] if whole else []
    possible += [100 * part / (whole - part)] if whole > part else []
    possible += [100 * part / (whole + part)] if whole else []
    slack = max(stated.step, 0.03 * stated.value)
    if possible and not any(abs(stated.value - one) <= slack for one in possible):
        right = f"{possible[0]:.3g}%"
        yield found(
            line, f"{part:,.0f} of {whole:,.0f} is {right}.", says=text, instead=right, mend=f"write {right}"
        )


@rule("HK214", "error", title="Adapter size unlike the file's")
def adapter_size(subject: Subject) -> Iterator[Fault]:
    """The size of the adapter on the card must be that of `adapter_model.safetensors`. MB and MiB count as
    the same.

    Bad:

        ## Size

        - **Adapter size:** 500 MB

    Good:

        ## Size

        - **Adapter size:** 0.08 MB
    """
    sizes = {size for name, size in subject.files.items() if name == "adapter_model.safetensors"}
    if subject.adapter and not sizes and not subject.remote:
        sizes = {subject.adapter.weights.stat().st_size}
    if not sizes:
        return
    truth, everything = max(sizes), sum(subject.files.values())
    for statement in said(subject, "adapter size"):
        stated = values.size(statement.value)
        exact = re.search(r"([\d,]+)\s*bytes", statement.value)
        in_bytes = _whole(exact[1]) if exact else None
        if stated and not values.size_agrees(stated, truth) and not values.size_agrees(stated, everything):
            right = f"{truth / 1e6:.3g} MB" if truth >= 1e5 else f"{truth:,} bytes"
        elif in_bytes is not None and in_bytes != truth:
            right = f"{truth:,} bytes"
        else:
            continue
        yield found(
            statement.line,
            f"The adapter's weights are {right}.",
            says=statement.value,
            instead=right,
            mend=f"write {right}",
        )


@rule("HK215", "warning", title="A size that so many parameters cannot have")
def bytes_a_parameter(subject: Subject) -> Iterator[Fault]:
    """A parameter takes from a quarter of a byte to eight. A size far outside of that is of something else.

    Bad:

        ## Size

        - **Total parameters:** 7,000,000,000
        - **Model size:** 100 MB

    Good:

        ## Size

        - **Total parameters:** 7,000,000,000
        - **Model size:** 14 GB
    """
    wholes = {number.value for statement, number in _totals(subject)}
    if len(wholes) != 1:
        return
    count = wholes.pop()
    own = sum(subject.files.values())
    weights = subject.files.get("adapter_model.safetensors", own)
    for statement in said(subject, "model size"):
        stated = values.size(statement.value)
        if stated is None or 0.2 <= stated.value / count <= 9:
            continue
        if any(0.5 <= stated.value / max(one, 1) <= 2 for one in (own, weights)):
            continue  # the adapter's own
        yield found(
            statement.line,
            f"{stated.value / count:.2g} bytes a parameter cannot be.",
            says=statement.value,
            instead=f"{count:,.0f} parameters",
            mend="say of what this is the size",
        )
