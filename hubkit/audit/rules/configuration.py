"""HK201 to HK206, HK208 and HK620: the adapter's configuration, and what the card says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit.audit import module_names, statements, truths, values
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.statements import Statement
from hubkit.audit.subject import Subject

_ON_MODULES = re.compile(
    r"target[_ ]modules?|adapted modules|(?:lora|adapters?)\b[^.]{0,60}\b(?:applied|attached|added"
    r"|injected|on|into)\b|"
    r"\b(?:adapts|targets|targeting|targeted)\b",
    re.IGNORECASE,
)
_NOT_ON_MODULES = re.compile(
    r"\b(?:not|no|never|except|exclud\w*|without|unlike|frozen|freez\w*|instead|or|than|vs)\b|不|以外",
    re.IGNORECASE,
)


# A card of several adapters, or of one that was trained in stages, has a section for each.
_ONE_OF_SEVERAL = re.compile(
    r"\b(?:stage|phase|round|run|adapter|variant|version|config(?:uration)?|model|step)[ -]?#?(?:[a-d]|\d+)\b"
    r"|\bv\d",
    re.IGNORECASE,
)


def said(subject: Subject, key: str) -> list[Statement]:
    """What the card says of its adapter under a key."""
    return [statement for statement in statements.read(subject.document) if statement.key == key]


@rule("HK201", "error", title="Modules that the adapter does not have")
def target_modules(subject: Subject) -> Iterator[Fault]:
    """The target modules that a card names must be those whose updates are in the weights file.

    Groups of modules ("attention", "all linear layers"), patterns, abbreviations (`q/k/v/o_proj`) and any
    order are fine. A list that leaves out modules of the adapter is a warning.

    Bad:

        ## LoRA configuration

        - **Target Modules:** `q_lin`, `v_lin`

    Good:

        ## LoRA configuration

        - **Target Modules:** `q_proj`, `v_proj`
    """
    has = truths.modules(subject)
    if not has:
        return
    known = truths.known_names(subject)
    lines: set[int] = set()
    for statement in said(subject, "targets"):
        named = module_names.read(statement)
        absent = [name for name in named.names if not module_names.is_known(name, known)]
        left_out = sorted(set(has) - {name.rpartition(".")[2] for name in named.names})
        lines.add(statement.line)
        if absent:
            yield _modules(statement.line, statement.value, absent, has)
        elif named.complete and left_out and all(n.rpartition(".")[2] in has for n in named.names):
            yield found(
                statement.line,
                f"The target modules leave out {_listed(left_out)}.",
                says=statement.value,
                instead=", ".join(has),
                mend=f"write {_listed(has)}",
                severity="warning",
            )
    yield from _modules_in_prose(subject, lines, known, has)


def _modules_in_prose(
    subject: Subject, seen: set[int], known: frozenset[str], has: list[str]
) -> Iterator[Fault]:
    """Code spans that look like modules, in a sentence on what was adapted."""
    spans: dict[int, list[str]] = {}
    for span in subject.document.code_spans:
        if module_names.LOOKS_LIKE_A_MODULE.fullmatch(span.text):
            spans.setdefault(span.line, []).append(span.text)
    for line, text in subject.document.prose:
        if line not in spans or line in seen or text.count("|") > 3:
            continue
        clauses = [part for part in re.split(r"(?<=[.;])\s", text) if _ON_MODULES.search(part)]
        clauses = [part for part in clauses if not _NOT_ON_MODULES.search(part)]
        named = [name for name in spans[line] if any(name in part for part in clauses)]
        absent = [name for name in named if not module_names.is_known(name, known)]
        if absent and not statements.about_others(subject.document, line):
            yield _modules(line, ", ".join(named), absent, has)


def _modules(line: int, said_: str, absent: list[str], has: list[str]) -> Fault:
    return found(
        line,
        f"The adapter has no {_listed(absent, 'or')}.",
        says=said_,
        instead=", ".join(has),
        mend=f"write {_listed(has)}",
    )


def _listed(names: list[str], last: str = "and") -> str:
    quoted = [f"`{name}`" for name in names[:12]]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {last} {quoted[-1]}"


def _numbers(subject: Subject, key: str, name: str, truth: set[float]) -> Iterator[Fault]:
    """Statements of one number that is none of the configuration's."""
    wrong: list[Statement] = []
    right: set[tuple[str, ...]] = set()  # the sections that say it as it is
    for statement in said(subject, key) if truth else ():
        number = values.number(statement.value)
        if number is None or (number.rest and number.rest != "%" and not number.rest.startswith("(")):
            continue
        value = number.value / 100 if number.rest == "%" else number.value
        if any(abs(value - one) <= 1e-9 + 1e-6 * abs(one) for one in truth):
            right.add(statement.section)
        else:
            wrong.append(statement)
    for statement in wrong:
        elsewhere = right - {statement.section}
        if not (elsewhere and any(_ONE_OF_SEVERAL.search(title) for title in statement.section)):
            yield _unlike(statement, name, truth)


def _unlike(statement: Statement, name: str, truth: set[float]) -> Fault:
    is_ = ", ".join(f"{one:g}" for one in sorted(truth))
    return found(
        statement.line,
        f"{name} is not {values.without_asides(statement.value)}, but {is_}.",
        says=statement.value, instead=f"{is_} (adapter_config.json)", mend=f"write {is_}",
    )  # fmt: skip


@rule("HK202", "error", title="Rank unlike the adapter's")
def rank(subject: Subject) -> Iterator[Fault]:
    """The rank on the card must be one that the configuration, its `rank_pattern` or the tensors have.

    Bad:

        ## LoRA configuration

        - **Rank (r):** 64

    Good:

        ## LoRA configuration

        - **Rank (r):** 8
    """
    yield from _numbers(subject, "rank", "The rank", truths.ranks(subject))


@rule("HK203", "error", title="Alpha unlike the configuration's")
def alpha(subject: Subject) -> Iterator[Fault]:
    """Alpha on the card must be `lora_alpha` of the configuration, or a value of its `alpha_pattern`.

    `alpha = 2 * r` is read as such, and is fine where it holds.

    Bad:

        ## LoRA configuration

        - **LoRA alpha:** 64

    Good:

        ## LoRA configuration

        - **LoRA alpha:** 16
    """
    truth = truths.alphas(subject)
    yield from _numbers(subject, "alpha", "Alpha", truth)
    if not truth:
        return
    for statement in said(subject, "alpha"):
        factor = values.times_rank(statement.value)
        products = {factor * one for one in truths.ranks(subject)} if factor is not None else set()
        if products and not products & truth:
            yield _unlike(statement, "Alpha", truth)


@rule("HK204", "error", title="Dropout unlike the configuration's")
def dropout(subject: Subject) -> Iterator[Fault]:
    """The adapter's dropout on the card must be that of the configuration.

    Bad:

        ## LoRA configuration

        - **LoRA dropout:** 0.3

    Good:

        ## LoRA configuration

        - **LoRA dropout:** 0.05
    """
    yield from _numbers(subject, "dropout", "Dropout", truths.dropouts(subject))


@rule("HK205", "error", title="Bias unlike the configuration's")
def bias(subject: Subject) -> Iterator[Fault]:
    """Which biases were trained is said by `bias` of the configuration: `none`, `all` or `lora_only`.

    Bad:

        ## LoRA configuration

        - **Bias:** all

    Good:

        ## LoRA configuration

        - **Bias:** none
    """
    truth = (subject.config or {}).get("bias")
    if not isinstance(truth, str):
        return
    for statement in said(subject, "bias"):
        value = values.without_asides(statement.value).lower().strip("\"'`. ")
        if value in {"none", "all", "lora_only"} and value != truth.lower():
            yield found(
                statement.line,
                f"Bias is not {value}, but {truth}.",
                says=statement.value,
                instead=truth,
                mend=f"write {truth}",
            )


@rule("HK206", "error", title="A variant that the configuration does not switch on")
def variants(subject: Subject) -> Iterator[Fault]:
    """`use_dora` and `use_rslora` on the card must be as the configuration has them.

    Bad:

        ## LoRA configuration

        - **use_dora:** true

    Good:

        ## LoRA configuration

        - **use_dora:** false
    """
    config = subject.config or {}
    yes, no = {"true", "yes", "enabled", "on", "✅", "✓"}, {"false", "no", "disabled", "off", "❌"}
    for key, option in (("dora", "use_dora"), ("rslora", "use_rslora")):
        truth = config.get(option)
        for statement in said(subject, key) if isinstance(truth, bool) else ():
            value = statement.value.lower().strip("\"'`. ")
            if value in (no if truth else yes):
                yield found(
                    statement.line,
                    f"{option} is {str(truth).lower()} in the configuration.",
                    says=statement.value, instead=str(truth).lower(), mend=f"write {str(truth).lower()}",
                )  # fmt: skip


@rule("HK208", "error", title="Base model unlike the configuration's")
def base(subject: Subject) -> Iterator[Fault]:
    """The base model that the text names must be the one that the adapter was made for.

    A path and a Hub id of one model, a mirror of it, and its quantized copy count as the same.

    Bad:

        ## Model details

        - **Base model:** `example-org/another-base-7b`

    Good:

        ## Model details

        - **Base model:** `HuggingFaceTB/SmolLM2-135M-Instruct`
    """
    names = {name for name in truths.base_names(subject) if "/" in name.strip("/")}
    hub_ids = {name for name in names if re.fullmatch(r"[\w.-]+/[\w.-]+", name)}
    if not hub_ids:
        return
    for statement in said(subject, "base"):
        ids = set(re.findall(r"(?<![\w./-])[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?![\w/-])", statement.value))
        if len(ids) != 1 or re.search(r"\s(?:and|or|via|then|→|->|fine-?tuned)\s", statement.value):
            continue
        named = ids.pop()
        slip = any(truths.misspelt(named, one) for one in hub_ids) and named not in hub_ids
        if slip or not any(truths.same_model(named, one) for one in names):
            yield found(
                statement.line,
                f"The adapter was made for {sorted(hub_ids)[0]}.",
                says=named, instead=sorted(hub_ids)[0], mend=f"write {sorted(hub_ids)[0]}",
            )  # fmt: skip


@rule("HK620", "error", title="A configuration that is not there")
def pointer(subject: Subject) -> Iterator[Fault]:
    """adapter_config.json went to Git LFS and only its pointer was pushed, or it is no JSON. Nothing loads
    the adapter without it.

    Bad:

        adapter_config.json holds: version https://git-lfs.github.com/spec/v1

    Good:

        adapter_config.json holds: {"peft_type": "LORA"}
    """
    if subject.config is None and subject.adapter_problem:
        yield found(None, "The adapter's configuration cannot be read.", instead=subject.adapter_problem)
