"""License and language of the card."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit import hub_names, hub_rules
from hubkit.audit import rewritten
from hubkit.audit.findings import Fault
from hubkit.audit.rules import found, rule
from hubkit.audit.rules.metadata import is_empty
from hubkit.audit.subject import Subject

LABELS = frozenset({
    "license", "licence", "model license", "model licence", "adapter license", "许可证", "许可", "라이선스",
    "licencia", "licença", "lizenz", "license(s)",
})  # fmt: skip
_OTHERS = re.compile(
    r"\b(?:base|dataset|data|code|repo(?:sitory)?|scripts?|software|upstream|original)\b", re.IGNORECASE
)
_GIVEN = re.compile(
    r"\b(?:licen[sc]ed|released|distributed|available) under\b|^\W*licen[sc]e\W", re.IGNORECASE
)


def _ids(subject: Subject) -> list[str]:
    """The license ids of the metadata that the Hub knows."""
    value = subject.document.metadata.get("license")
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str) and one in hub_rules.LICENSES]


def _said(subject: Subject) -> list[tuple[int, set[str]]]:
    """The licenses that the text gives this adapter, with their lines; what else has a license is left
    out."""
    document = subject.document
    said = [
        (claim.line, hub_names.licenses_said(claim.value))
        for claim in document.claims
        if claim.label.lower() in LABELS
        and claim.kind != "column"
        and not _OTHERS.search(" ".join((claim.value, claim.row, *claim.section[-1:])))
    ]
    for number, line in document.prose:
        section = document.section_at(number)
        in_section = bool(section) and section[-1].lower().strip(" :") in LABELS
        if (in_section or _GIVEN.search(line)) and not _OTHERS.search(" ".join((line, *section[-1:]))):
            words = re.search(r"under\b(.*)", line, re.IGNORECASE)
            if words or (in_section and len(line.split()) <= 4):
                said.append((number, hub_names.licenses_said(words[1] if words else line)))
    return [(line, ids) for line, ids in said if len(ids) == 1]


@rule("HK110", "warning", title="No license in the metadata")
def missing(subject: Subject) -> Iterator[Fault]:
    """Without a license nobody may use the adapter. The Hub shows, and searches by, the `license` of the
    metadata; a sentence in the text is not seen.

    Bad:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        ---

    Good:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        license: apache-2.0
        ---
    """
    if subject.document.front.data is None or "license" in subject.document.metadata:
        return
    known = subject.record.base_model.license if subject.record and subject.record.base_model else None
    known = known or hub_names.license_of_family(subject.base_id)
    yield found(
        subject.document.front.first,
        "The metadata names no license.",
        instead=f"the base's license is {known}" if known else None,
        mend=f"license: {known}" if known in hub_rules.LICENSES else "license: an id of the Hub's list",
        severity=rewritten.lack(subject),
    )


@rule("HK111", "error", title="A license that the Hub does not know")
def invalid(subject: Subject) -> Iterator[Fault]:
    """`license` is an id of a closed list. For a license that is not on it, write `other` with
    `license_name` and `license_link`.

    Bad:

        ---
        license: Apache License 2.0
        ---

    Good:

        ---
        license: apache-2.0
        ---
    """
    metadata = subject.document.metadata
    if is_empty(metadata.get("license")):
        return
    if metadata["license"] == "other" and not {"license_name", "license_link"} & set(metadata):
        yield found(
            subject.document.front.line_of("license"),
            'The Hub refuses "license: other" without "license_name" and "license_link".',
            says="other",
            mend="give the license's name and a link to it, or take an id of the Hub's list",
        )
        return
    for problem in hub_rules.front_matter_problems(
        {key: metadata[key] for key in ("license", "license_name", "license_link") if key in metadata}
    ):
        line = subject.document.front.line_of(
            "license_link" if problem.startswith('"license_link') else "license"
        )
        yield found(
            line, f"The Hub refuses this: {problem}.", says=metadata["license"], mend="take an id of its list"
        )


@rule("HK112", "warning", title="A license unlike the base's")
def unlike_base(subject: Subject) -> Iterator[Fault]:
    """Some bases may be passed on under their own license alone: Llama, Gemma, and whatever is not for
    commercial use. An adapter of such a base cannot be given away under a freer one. Where the base allows
    any license, this rule says nothing.

    Bad:

        ---
        base_model: meta-llama/Llama-3.1-8B
        license: apache-2.0
        ---

    Good:

        ---
        base_model: meta-llama/Llama-3.1-8B
        license: llama3.1
        ---
    """
    named = subject.document.metadata.get("base_model")
    known = subject.record.base_model.license if subject.record and subject.record.base_model else None
    base_id = named if isinstance(named, str) else subject.base_id
    if base_id and known and subject.base_id and base_id.lower() != subject.base_id.lower():
        known = None  # the record speaks of another base
    license = known or hub_names.license_of_family(base_id)
    if not license or not hub_names.RESTRICTIVE.fullmatch(license):
        return
    for given in _ids(subject):
        other = given != license and (given in hub_names.PERMISSIVE or _family(given) == _family(license))
        if other:
            yield found(
                subject.document.front.line_of("license"),
                f"The base model's license does not allow to give its adapter away as {given}.",
                says=given,
                instead=f"{base_id} is under {license}",
                mend=f"license: {license}",
            )


def _family(license: str) -> str:
    return re.match(r"[a-z]+", license)[0]  # type: ignore[index]


@rule("HK113", "warning", title="Two licenses on one card")
def two(subject: Subject) -> Iterator[Fault]:
    """A reader who finds one license in the metadata and another in the text may rely on neither. The
    license of a dataset, of code or of the base is not meant.

    Bad:

        ---
        license: mit
        ---

        - **License:** Apache 2.0

    Good:

        ---
        license: apache-2.0
        ---

        - **License:** Apache 2.0
    """
    given = set(_ids(subject))
    if not given or given & {"other", "unknown"}:
        return
    for line, said in _said(subject):
        if not said & given:
            yield found(
                line,
                "The text names another license than the metadata.",
                says=", ".join(sorted(said)),
                instead=f"the metadata says {', '.join(sorted(given))}",
                mend="name one license in both places",
            )


@rule("HK115", "warning", title="No language in the metadata")
def no_language(subject: Subject) -> Iterator[Fault]:
    """People look for models by language. The Hub knows it from `language` alone.

    Bad:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        ---

    Good:

        ---
        base_model: HuggingFaceTB/SmolLM2-135M-Instruct
        language: en
        ---
    """
    metadata = subject.document.metadata
    if subject.document.front.data is None or "language" in metadata or "language_bcp47" in metadata:
        return
    yield found(
        subject.document.front.first,
        "The metadata names no language.",
        mend="language: en (an ISO 639 code)",
        severity=rewritten.lack(subject),
    )


@rule("HK116", "error", title="A language that is no code")
def invalid_language(subject: Subject) -> Iterator[Fault]:
    """Languages are ISO 639 codes of two or three letters. YAML reads an unquoted `no`, the code of
    Norwegian, as false.

    Bad:

        ---
        language: no
        ---

    Good:

        ---
        language: "no"
        ---
    """
    metadata = subject.document.metadata
    value = metadata.get("language")
    values = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
    for index, code in values:
        if is_empty(code):
            continue
        for problem in hub_rules.front_matter_problems({"language": code}):
            line = subject.document.front.line_of(*(("language",) if index is None else ("language", index)))
            yield found(
                line, f"The Hub does not know this language: {problem}.", says=code, mend="write its code"
            )
