"""HK221 to HK223: the method that the card names, against the tensors: HiRA, DoRA, sparse, and the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit import zeros
from hubkit.audit import statements, truths, values
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.rules.configuration import said
from hubkit.audit.subject import Subject
from hubkit.card import text as words

# How cards name methods. The order does not matter: a text that names several is left alone.
_NAMES = {
    "HiRA": r"\bH[Ii]RA\b", "DoRA": r"\bD[Oo]RA\b", "(IA)³": r"\bIA3\b|\(IA\)\s?(?:³|\^?3)",
    "LoHa": r"\bL[Oo]H[Aa]\b", "LoKr": r"\bL[Oo]K[Rr]\b", "VeRA": r"\bV[Ee]RA\b",
    "AdaLoRA": r"\bAda-?L[Oo]RA\b",
    "OFT": r"\bB?OFT\b", "prefix tuning": r"\b[Pp]refix[- ][Tt]uning\b",
    "prompt tuning": r"\b[Pp]rompt[- ][Tt]uning\b", "p-tuning": r"\b[Pp]-[Tt]uning\b",
}  # fmt: skip
# As they are written, for Vera and Hira are names of people, and oft is a word.
_METHODS = {name: re.compile(pattern) for name, pattern in _NAMES.items()}
_SPARSE = re.compile(r"\bsparse[- ]?(?:q-?)?(?:lora|adapter)\b", re.IGNORECASE)
_LORA = re.compile(r"(?<![A-Za-z])(?:Q|rs|DQ|Sparse )?LoRA\b", re.IGNORECASE)
_TYPES = {
    "HiRA": {"HIRA"}, "(IA)³": {"IA3"}, "LoHa": {"LOHA"}, "LoKr": {"LOKR"}, "VeRA": {"VERA"},
    "AdaLoRA": {"ADALORA"},
    "OFT": {"OFT", "BOFT"}, "prefix tuning": {"PREFIX_TUNING", "P_TUNING"},
    "prompt tuning": {"PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "CPT"},
    "p-tuning": {"P_TUNING"},
}  # fmt: skip
_NO_LORA = frozenset({
    "IA3", "HIRA", "OFT", "BOFT", "PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING", "LN_TUNING",
    "MULTITASK_PROMPT_TUNING",
    "FOURIERFT", "ADAPTION_PROMPT",
})  # fmt: skip
_THIS = re.compile(
    r"\b(?:this|the|a|an)\b[^.]{0,80}\b(?:adapter|model)\b[^.]{0,120}\b(?:using|with|via|by"
    r"|through)\s+(?:the\s+)?(?P<method>[^.,;]{2,60})|"
    r"\b(?:this is |a |an )(?P<kind>[\w³() -]{2,30}?)\s+adapter\b",
    re.IGNORECASE,
)


def _holds(subject: Subject, name: str) -> bool | None:
    """Whether the adapter is of a method; None where it cannot be told."""
    if name == "rsLoRA":
        return bool((subject.config or {}).get("use_rslora"))
    if name == "DoRA":
        if subject.adapter and subject.adapter.tensors:
            return "dora" in truths.tensor_kinds(subject.adapter)
        return bool((subject.config or {}).get("use_dora"))
    return subject.peft_type in _TYPES[name] if subject.peft_type else None


def _is(subject: Subject) -> str:
    """What the adapter is, in words."""
    kinds = sorted(truths.tensor_kinds(subject.adapter)) if subject.adapter else []
    tensors = f", with tensors {', '.join(f'{kind}_' for kind in kinds if kind != 'dora')}*" if kinds else ""
    return f"a {subject.peft_type} adapter{tensors}"


def _denied(subject: Subject, text: str) -> str | None:
    """The one method that a text names, where the adapter is not of it."""
    named = [name for name, pattern in _METHODS.items() if pattern.search(text)]
    if len(named) == 1:
        return named[0] if _holds(subject, named[0]) is False else None
    return "LoRA" if not named and _LORA.search(text) and subject.peft_type in _NO_LORA else None


@rule("HK221", "error", title="A method that the tensors deny")
def method(subject: Subject) -> Iterator[Fault]:
    """A card may name only the method that the weights are of: a HiRA adapter has `hira_` tensors, DoRA has
    magnitude vectors, (IA)³ is no LoRA. Title, the method's line and the first sentences are read.

    Bad:

        ## Model details

        - **Method:** HiRA

    Good:

        ## Model details

        - **Method:** LoRA
    """
    if subject.peft_type is None:
        return
    for line, text in _named(subject):
        if name := _denied(subject, text):
            yield found(
                line,
                f"This is no {name} adapter.",
                says=text,
                instead=_is(subject),
                mend="name the method that it is",
            )
    for at, tag in _tags(subject):
        variant = {"dora": "DoRA", "rslora": "rsLoRA"}.get(tag.lower())
        if variant and _holds(subject, variant) is False:
            yield found(
                at,
                f"The tag {tag} is of another method.",
                says=tag,
                instead=_is(subject),
                mend="drop the tag",
            )


def _tags(subject: Subject) -> Iterator[tuple[int | None, str]]:
    tags = subject.document.metadata.get("tags")
    for index, tag in enumerate(tags if isinstance(tags, list) else []):
        yield subject.document.front.line_of("tags", index), str(tag)


def _named(subject: Subject) -> Iterator[tuple[int, str]]:
    """The places where a card says of what method its adapter is."""
    document = subject.document
    if document.headings:
        yield document.headings[0].line, document.headings[0].text
    lines = set()
    for statement in said(subject, "method"):
        lines.add(statement.line)
        yield statement.line, statement.value
    for line, text in document.prose:
        if line in lines or "|" in text or statements.about_others(document, line):
            continue
        for sentence in _THIS.finditer(text):
            part = sentence["method"] or sentence["kind"]
            if not re.search(
                r"\b(?:not|than|unlike|vs|compar\w*|base|original|instead|or)\b", sentence[0], re.IGNORECASE
            ):
                yield line, part.strip()


@rule("HK222", "error", title="A sparse adapter without zeros")
def sparse(subject: Subject) -> Iterator[Fault]:
    """Sparse LoRA is LoRA whose matrices hold real zeros. They are counted in the saved file.

    One whose training dropped whole ranks is none the less: those are not in the file, and the record knows.

    Bad:

        ## Model details

        - **Method:** Sparse LoRA

    Good:

        ## Model details

        - **Method:** LoRA
    """
    lines = [(line, text) for line, text in _named(subject) if _SPARSE.search(text)]
    lines += [
        (line or 1, tag)
        for line, tag in _tags(subject)
        if tag.lower() in {"sparse-lora", "sparselora", "sparse_lora"}
    ]
    share = _sparsity(subject) if lines else None
    run = subject.facts.record.training if subject.facts else None
    if share is not None and not zeros.is_sparse(share, run):
        for where, text in lines:
            yield found(
                where,
                "Next to no weights are zero." if share else "The weights hold no zeros.",
                says=text,
                instead=f"{words.percent(share)} of the weights are zero",
                mend="call it dense, or prune it",
            )


@rule("HK223", "error", title="Sparsity unlike the file's")
def sparsity(subject: Subject) -> Iterator[Fault]:
    """The share of zeros on the card must be the one that is counted in the saved file.

    Bad:

        ## Model details

        - **Sparsity:** 90%

    Good:

        ## Model details

        - **Method:** LoRA
    """
    stated = []
    for statement in said(subject, "sparsity"):
        number = values.number(statement.value)
        if number and (number.rest.startswith("%") or (0 <= number.value <= 1 and not number.rest)):
            share = number.value / 100 if number.rest else number.value
            stated.append((statement, share, number.step / 100 if number.rest else number.step))
    truth = _sparsity(subject) if stated else None
    for statement, share, step in stated if truth is not None else ():
        if abs(share - (truth or 0.0)) > max(0.01, step):
            right = words.percent(truth or 0.0)
            yield found(
                statement.line, f"{right} of the weights are zero.",
                says=statement.value, instead=right, mend=f"write {right}",
            )  # fmt: skip


def _sparsity(subject: Subject) -> float | None:
    """The share of zeros: as the record measured it on this very file, else counted."""
    if subject.facts and subject.facts.parameters.sparsity is not None:
        return subject.facts.parameters.sparsity
    adapter = subject.adapter
    if adapter is None or not subject.weights_readable or subject.peft_type not in ("LORA", "HIRA"):
        return None
    try:
        return zeros.share(adapter)
    except OSError:
        return None
