"""Placeholders: text that a form or a program left where something should stand."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.subject import Subject

# The template's own sentence says "More information needed for further recommendations": no placeholder.
_FORM = re.compile(
    r"\[\s{0,3}more information needed\s{0,3}\]"
    r"|^\W{0,9}(?:\*\*[^*]{1,80}\*\*\W{0,9}|[\w ()-]{1,60}:\s{0,3})?more information needed\W{0,9}$"
    r"|\[(?:your|insert|add|describe|fill|enter)\b[^\]\n]{0,60}\](?!\()|\{\{\s{0,3}[\w.]{1,60}(?:\s?\|[^}]{0,80})?\s?\}\}",
    re.IGNORECASE,
)
_TITLE = re.compile(
    r"(?:model card for )?(?:model[ _]id|none|your[ _-]model(?:[ _-]name)?|model[ _-]name)", re.IGNORECASE
)
_EMPTY = re.compile(
    r"n/?a|tbd|tba|todo|to be (?:added|determined|filled(?: in)?)|fixme|xxx+|\?{2,}|coming soon",
    re.IGNORECASE,
)
_CODE = re.compile(r"`[^`]*`")
_TODO = re.compile(r"(?:^|[\s(\[*_>])(?:TODO|FIXME|TBD)(?:$|[\s:.)\]*_!])")
# The Trainer's sentence where it did not know the data: "a fine-tuned version of X on the None dataset".
_OF_NONE = re.compile(r"\bon (?:the|an?) (?:None|unknown) dataset\b")
_UNITS = re.compile(
    r"\s?(?:[kmg]i?b|bytes|%|tokens?(?:/s| per second)?|samples?/s(?:ec(?:ond)?)?|ms|s|hours?)$",
    re.IGNORECASE,
)
_NUMBERS = re.compile(
    r"perplexity|accuracy|\bloss|(?:eval|test|val)_loss|\bf1\b|score|\bsize|\bparameters|\bparams"
    r"|\bdataset|base model|licen[sc]e|language|throughput|latency|\bmemory|model name|model id",
    re.IGNORECASE,
)
_OWNERS = (
    r"your[-_ ]?(?:hf[-_ ]?)?"
    r"(?:user[-_ ]?name|name|org(?:anization)?|account|handle|repo|model(?:[-_ ]?name)?|id)"
)
_LINK = re.compile(
    rf"(?:^|[/<\[{{]){_OWNERS}(?:$|[/>\]}}\s-])|^https?://huggingface\.co/(?:datasets/)?None$|^(?:link|url|todo|tbd|n/?a|#todo|path/to/.*)$",
    re.IGNORECASE,
)


@rule("HK501", "warning", title="A form's placeholder")
def form(subject: Subject) -> Iterator[Fault]:
    """A line that a form left open tells the reader nothing, and that nobody looked. Leave out what is not
    known.

    Bad:

        - **Developed by:** [More Information Needed]

    Good:

        - **Developed by:** Ada Lovelace
    """
    document = subject.document
    hits = [(number, line.strip()) for number, line in document.prose if _FORM.search(_CODE.sub("", line))]
    if not hits:
        return
    more = f" (and {len(hits) - 1} more, the last in line {hits[-1][0]})" if len(hits) > 1 else ""
    yield found(
        hits[0][0],
        f"A placeholder stands on the card{more}.",
        says=hits[0][1],
        mend="fill it in, or drop the line; `hubkit card` leaves out what is not known",
    )


@rule("HK502", "warning", title="The form's own title")
def title(subject: Subject) -> Iterator[Fault]:
    """The title is the first that a reader and a search engine see. "Model Card for Model ID" is the name
    of the form.

    Bad:

        # Model Card for Model ID

    Good:

        # SmolLM2-135M-Instruct, LoRA adapter
    """
    for heading in subject.document.headings:
        if _TITLE.fullmatch(heading.text):
            yield found(
                heading.line, "The card has the title of a form.", says=heading.text, mend="name the adapter"
            )


@rule("HK503", "warning", title="A value that is not there")
def no_value(subject: Subject) -> Iterator[Fault]:
    """`N/A`, `TBD` or `None` in the place of a number says that a program wrote the card and did not have
    it. A table that compares several models may say that something does not apply to one of them.

    Bad:

        - **Test Perplexity:** N/A

    Good:

        - **Test Perplexity:** 15.06
    """
    document = subject.document
    wide = {row.line for table in document.tables if len(table.header.cells) > 2 for row in table.rows}
    stated: set[int] = set()
    for claim in document.claims:
        if claim.line in wide or claim.kind == "column":
            continue
        value = _UNITS.sub("", claim.value.strip(" .`")).strip()
        lone = value in ("None", "null", "nan", "NaN") and _NUMBERS.search(claim.label)
        if lone or _EMPTY.fullmatch(value):
            stated.add(claim.line)
            yield found(
                claim.line,
                f"There is no value for {claim.label!r}.",
                says=claim.value,
                mend="measure it (hubkit measure), or drop the line",
            )
    for number, line in document.prose:
        bare = _CODE.sub("", line)
        still_open = line.strip() == "None" or _TODO.search(bare) or _OF_NONE.search(bare)
        if still_open and number not in wide | stated:
            said = line.strip()[:100]
            yield found(
                number, "Something is still to be written here.", says=said, mend="write it, or drop it"
            )


@rule("HK504", "warning", title="A placeholder for a link")
def link(subject: Subject) -> Iterator[Fault]:
    """An address with `your-username` in it, or a link to nothing, was never filled in.

    Bad:

        See the [code](https://github.com/your-username/your-repo).

    Good:

        See the [code](https://github.com/huggingface/peft).
    """
    for one in (*subject.document.links, *subject.document.images):
        target = one.target.strip()
        if not target or target in ("#", "https://", "http://") or _LINK.search(target):
            yield found(
                one.line,
                "A link leads nowhere: its address was never filled in.",
                says=f"[{one.text}]({target})",
                mend="give the address, or drop the link",
            )


@rule("HK505", "error", title="A card that is a program")
def program(subject: Subject) -> Iterator[Fault]:
    """The README.md is what the Hub shows. A script, perhaps the one that should have written the card, was
    put in its place.

    Bad:

        from huggingface_hub import ModelCard
        card = ModelCard("my adapter")
        card.push_to_hub("ada/adapter")

    Good:

        # My adapter

        A LoRA adapter.
    """
    document = subject.document
    body = "\n".join(document.lines[document.front.last or 0 :]).strip()
    if len(body) > 200_000 or not re.match(r"#!|\"\"\"|'''|#|from |import ", body):
        return
    try:
        statements = ast.parse(body).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    if len(statements) > 1 and any(isinstance(one, ast.Import | ast.ImportFrom) for one in statements):
        yield found(
            (document.front.last or 0) + 1,
            "The card is a Python program.",
            mend="give the program a file of its own; without README.md, hubkit card writes a whole card",
        )
