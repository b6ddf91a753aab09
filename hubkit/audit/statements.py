"""What a card says about this adapter, as key and value: from tables, lists, sentences and code.

Whether a sentence is about *this* adapter is decided here, once: a table that compares several, a section on
other methods, advice and ranges are about others, and are left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from hubkit.audit import labels, sections, snippets
from hubkit.audit.document import Document
from hubkit.audit.parts import Claim, Fence

_OTHERS = re.compile(
    r"\b(?:compar\w*|baselines?|versus|vs\.?|related|other (?:\w+ )?(?:models?|adapters?|methods?"
    r"|variants?|versions?)|"
    r"ablations?|alternatives?|previous|prior|earlier|former|older|history|change ?log"
    r"|roadmap|future|planned|next steps|recommend\w*|tips|"
    r"sweeps?|grid|search space|(?:model )?family|variants|available (?:models|versions|adapters)"
    r"|all (?:models|adapters)|"
    r"teacher|glossary|background|faq|train your own|troubleshooting|leaderboard|references?|see also"
    r"|how \w+ works|"
    r"reproduc\w*|release notes|versiones|versões|what'?s new)\b|对比|比较|基线|消融|비교",
    re.IGNORECASE,
)
_ADAPTER_WORDS = re.compile(
    r"lora|peft|adapter|\bhira\b|low[- ]rank"
    r"|\bia3\b|\boft\b|\bloha\b|\blokr\b|\bvera\b|适配|어댑터|adaptador",
    re.IGNORECASE,
)
# A sentence with one of these weighs, advises or tells of another value.
_HEDGES = re.compile(
    r"\b(?:vs|versus|than|compared?|instead|previous(?:ly)?|earlier|e\.g|such as|typical(?:ly)?"
    r"|usual(?:ly)?|recommend\w*|"
    r"try|range|between|up to|at most|at least|or|not|no|higher|lower|larger|smaller|double[ds]?|if|could"
    r"|can|should|may|"
    r"might|would|max|maximum|minimum|teacher|baseline|original|experiment\w*|tested|swept|e\.g\.|leaderboards?|scores?|ranked|place)\b|->|→"
    r"|=>|≤|≥|<|>|max[-_]lora",
    re.IGNORECASE,
)
_NO_HEDGE = re.compile(r"https?://\S+|\([^()]*\bor\b[^()]*\)|\bno (?:bias|dropout)\b")
VALUE_COLUMNS = frozenset({
    "value", "values", "this adapter", "this model", "ours", "our model", "setting", "this", "值", "数值",
    "값", "valor",
    "with this adapter", "base alone",
    "details", "detail", "description", "configuration", "count", "result", "bytes", "about",
})  # fmt: skip
_IN_SENTENCES = {
    "rank": r"(?<![\w.\-])(?:(?:lora[_ ])?r\s*[=:]|(?:lora[_ ])?rank\s*(?:\(r\))?\s*(?:[=:]|of"
    r"|-)?)\s*[`*]*(\d+)(?![\d.]*\s*[-–~/%x×\d])(?!\.\d)(?!\s*(?:on|in|at|among|out|overall|st|nd|rd|th)\b)",
    "alpha": r"(?<![\w.\-])(?:lora[_ ])?(?:alpha|α)\s*(?:[=:]"
    r"|of)?\s*[`*]*(\d+(?:\.\d+)?(?:\s?[*×]\s?(?:r|rank)\b|(?!\s*[-–~/%x×*\d])))",
    "dropout": r"(?<![\w.\-])(?:lora[_ ])?dropout\s*(?:[=:]|of)?\s*[`*]*(\d*\.?\d+(?:\s*%)?)"
    r"(?![\d.]*\s*[-–~/]\s*\d)(?![\d.])",
    "targets": r"target_modules\s*=\s*(\[[^\[\]]{1,400}\])",
}
# Sentences that can be of nothing but the model at hand, without a word of LoRA.
_COUNT = r"(?<![\w.,])(?P<part{0}>\d[\d,.]*\s?(?:[KMB]\b|million\b|thousand\b)?)"
_WHOLE = r"(?:\s+of\s+(?P<whole{0}>\d[\d,]*\d))?"
_PARAMETERS = r"(?:parameters|params|weights)"
_TRAINED = re.compile(
    rf"{_COUNT.format(1)}{_WHOLE.format(1)}\s+train(?:able|ed)\s+{_PARAMETERS}"
    rf"|\btrainable\s+{_PARAMETERS}\s*=\s*{_COUNT.format(2)}{_WHOLE.format(2)}"
    rf"|{_COUNT.format(3)}\s+{_PARAMETERS}\s+(?:are|were)\s+train(?:able|ed)"
    rf"|{_COUNT.format(4)}{_WHOLE.format(4)}\s+{_PARAMETERS}(?=\s*\(\d[\d.]*\s?%)",
    re.IGNORECASE,
)
_SHARE = re.compile(r"[\s,(]*~?(\d[\d.]*\s?%)(?:\s+of\s+(\d[\d,]*\d))?")
_VERSION_OF = re.compile(
    r"\bthis (?:model |adapter |repo\w* )?is an? [^.|]{0,60}?"
    r"\b(?:version of|fine-?tuned from|adapter for)\s+[\[`]?([\w.-]+/[\w.-]*\w)",
    re.IGNORECASE,
)
_ON_DISK = re.compile(r"(?<![\w.,])(\d[\d.,]*\s?[kMG]i?B) on disk", re.IGNORECASE)
_NOT_THE_ADAPTER = re.compile(r"\b(?:base|merged|whole|full|dataset|download|checkpoint)\b", re.IGNORECASE)
_THIS_ROW = re.compile(
    r"\b(?:this (?:adapter|model|repo\w*|card|lora|run)|ours|our (?:adapter|model|lora))\b"
    r"|本模型|本适配器|이 어댑터|이 모델|\best[ea] (?:adaptador|modelo)\b",
    re.IGNORECASE,
)
_OF_THIS_ROW = frozenset({"rank", "alpha", "dropout", "trainable", "targets"})
_SENTENCES = {key: re.compile(pattern, re.IGNORECASE) for key, pattern in _IN_SENTENCES.items()}
_CONFIG_KEYS = {
    "lora_r": "rank", "lora_rank": "rank", "lora_alpha": "alpha", "lora_dropout": "dropout",
    "lora_target_modules": "targets", "target_modules": "targets", "use_dora": "dora", "use_rslora": "rslora",
    "lora_use_dora": "dora", "peft_use_dora": "dora", "peft_use_rslora": "rslora",
    "r": "rank", "bias": "bias", "base_model": "base", "base_model_name_or_path": "base",
    "model_name_or_path": "base",
}  # fmt: skip
_CALLS = frozenset({
    "LoraConfig", "HiraConfig", "LoHaConfig", "LoKrConfig", "VeraConfig", "OFTConfig", "BOFTConfig",
    "IA3Config",
    "AdaLoraConfig", "get_peft_model",
})  # fmt: skip
_ITEM = re.compile(r"\s*-\s+[\"']?([\w.]+)[\"']?\s*$")
_PAIR = re.compile(r"^\s*[\"']?(\w+)[\"']?\s*[:=]\s*(.+?)\s*,?\s*(?:#.*)?$")


@dataclass(frozen=True)
class Statement:
    """One thing that a card says about its adapter. `value` is plain, `raw` as written."""

    key: str
    value: str
    raw: str
    line: int
    section: tuple[str, ...]  # the headings above it, the title left out
    label: str = ""
    source: str = "claim"  # "claim", "sentence", "code"


def headings_at(document: Document, line: int) -> tuple[str, ...]:
    """The headings above a line, the card's title left out."""
    above = document.section_at(line)
    first = document.headings[0] if document.headings else None
    return above[1:] if first and first.level == 1 and above[:1] == (first.text,) else above


def about_others(document: Document, line: int) -> bool:
    """Whether a line stands in a section about other adapters, or about what might be."""
    return any(_OTHERS.search(title) for title in headings_at(document, line))


def is_ours(document: Document, claim: Claim) -> bool:
    """Whether a claim is about this adapter, and not a cell of a table that compares several."""
    if about_others(document, claim.line):
        return False
    if claim.kind == "item":
        return True
    if claim.kind == "row":
        return not claim.column or claim.column.lower() in VALUE_COLUMNS
    table = sections.table_at(document, claim.line)
    return (
        table is not None
        and len(table.rows) == 1
        and not re.search(r"\b(?:base|baseline|original|vanilla|teacher)\b", claim.row, re.IGNORECASE)
    )


def read(document: Document) -> list[Statement]:
    """Everything that a card says about its adapter, by line; a key stands once a line and value."""
    if "statements" not in document.kept:  # many rules ask
        document.kept["statements"] = _all(document)
    kept: list[Statement] = document.kept["statements"]
    return kept


def _all(document: Document) -> list[Statement]:
    found = [*_claims(document), *_sentences(document), *_code(document)]
    once = {(s.key, s.line, s.value): s for s in reversed(found)}
    several = re.compile(r",\s*(?:lora_)?(?:alpha|dropout|r)\b")  # `r = 8, alpha = 16`: the sentence reads it
    taken = {(s.key, s.line) for s in found if s.source == "claim" and not several.search(s.value)}
    kept = [s for s in once.values() if s.source != "sentence" or (s.key, s.line) not in taken]
    return sorted(kept, key=lambda s: (s.line, s.key))


def _claims(document: Document) -> Iterator[Statement]:
    ours = [claim for claim in document.claims if is_ours(document, claim)]
    beside: dict[tuple[str, ...], set[str | None]] = {}
    for claim in ours:
        beside.setdefault(claim.section, set()).add(labels.key_of(claim.label))
    for claim in ours:
        section = headings_at(document, claim.line)
        key = labels.key_of(claim.label)
        bare = labels.normal(claim.label) in labels.BARE
        if key and (not bare or _among_adapters(document, claim, beside[claim.section])):
            yield Statement(key, claim.value, claim.raw, claim.line, section, claim.label)
        yield from _parts(document, claim)
    for claim in document.claims:  # the row of this adapter in a table that compares several
        key = labels.key_of(claim.label) if claim.kind == "column" and _THIS_ROW.search(claim.row) else None
        if key in _OF_THIS_ROW and claim not in ours:
            section = headings_at(document, claim.line)
            yield Statement(str(key), claim.value, claim.raw, claim.line, section, claim.label)


def _parts(document: Document, claim: Claim) -> Iterator[Statement]:
    """`LoRA rank / alpha / dropout: 16 / 32 / 0.05`."""
    keys = labels.keys_of(claim.label)
    values = [value.strip() for value in re.split(r"\s*[/,]\s*", claim.value)]
    if keys and len(keys) == len(values) and _ADAPTER_WORDS.search(claim.label):
        section = headings_at(document, claim.line)
        for key, value in zip(keys, values, strict=True):
            yield Statement(key, value, value, claim.line, section, claim.label)


def _among_adapters(document: Document, claim: Claim, beside: set[str | None]) -> bool:
    """Whether `rank` or `alpha` is LoRA's: the headings say so, or two of its settings stand together.

    `beside` are the keys of all claims in its section.
    """
    if any(_ADAPTER_WORDS.search(title) for title in headings_at(document, claim.line)):
        return True
    return len(beside & {"rank", "alpha", "dropout", "targets"}) >= 2 and bool(beside & {"rank", "targets"})


def _sentences(document: Document) -> Iterator[Statement]:
    """Settings in running text: `a LoRA adapter (r=16, alpha=32)`, `LoRA, rank 8`."""
    for line, text in document.prose:
        section = headings_at(document, line)
        if text.count("|") > 4 or about_others(document, line):
            continue
        if _HEDGES.search(_NO_HEDGE.sub("", text)):
            continue
        of_an_adapter = bool(_ADAPTER_WORDS.search(text))
        said = [(key, {one[1] for one in pattern.finditer(text)}) for key, pattern in _SENTENCES.items()]
        if not of_an_adapter and sum(bool(found) for _, found in said) < 2:
            said = []  # `r = 8` alone may be anything; with an alpha beside it is LoRA's
        for key, found in [*said, *_without_a_word(text, of_an_adapter)]:
            if len(found) == 1:
                value = found.pop().strip("[]")
                yield Statement(key, value, value, line, section, source="sentence")


def _without_a_word(text: str, of_an_adapter: bool) -> Iterator[tuple[str, set[str]]]:
    """What sentences say of this model without a word of LoRA: its base, what is trained; and its size."""
    yield "base", set(_VERSION_OF.findall(text))
    trained = set()
    for found in _TRAINED.finditer(text) if "|" not in text else ():
        given = {name[:-1]: value for name, value in found.groupdict().items() if value}
        share = _SHARE.match(text, found.end())
        whole = given.get("whole") or (share[2] if share else None)
        trained.add(given["part"] + (f" of {whole}" if whole else "") + (f" ({share[1]})" if share else ""))
    yield "trainable", trained
    if (of_an_adapter or trained) and not _NOT_THE_ADAPTER.search(text):
        yield "adapter size", set(_ON_DISK.findall(text))


def _code(document: Document) -> Iterator[Statement]:
    """Settings in code: the arguments of LoraConfig, and the keys of YAML or JSON that only LoRA has."""
    calls: dict[str, list[Statement]] = {}
    for fence in document.fences:
        section = headings_at(document, fence.line)
        if about_others(document, fence.line):
            continue
        for found in [*_arguments(fence, section), *_pairs(fence, section)]:
            calls.setdefault(found.key, []).append(found)
    for several in calls.values():
        if (
            len({statement.value for statement in several}) == 1
        ):  # two configurations: which is this adapter's?
            yield from several


def _arguments(fence: Fence, section: tuple[str, ...]) -> Iterator[Statement]:
    for call in snippets.calls(fence):
        if call.name.rpartition(".")[2] not in _CALLS:
            continue
        for name, (node, line) in call.keywords.items():
            key = _CONFIG_KEYS.get(name)
            value = snippets.constant(node)
            if key and value is not None:
                yield Statement(key, _worded(value), ast.unparse(node), line, section, name, "code")


def _pairs(fence: Fence, section: tuple[str, ...]) -> Iterator[Statement]:
    """`lora_r: 8` in YAML, `"lora_alpha": 16` in JSON; `r` only where `lora_alpha` stands beside it."""
    if fence.language not in {"yaml", "yml", "json", "toml", "", "text", "txt", "ini"}:
        return
    if "lora_" not in fence.code or len(fence.code) > 100_000:
        return
    lines = fence.code.split("\n")
    for number, text in enumerate(lines, fence.line):
        pair = _PAIR.match(text)
        if text.strip() in ("lora_target_modules:", "target_modules:"):
            below = takewhile(bool, (_ITEM.match(one) for one in lines[number - fence.line + 1 :]))
            listed = ", ".join(one[1] for one in below if one)
            if listed:
                yield Statement("targets", listed, listed, number, section, text.strip(" :"), "code")
        key = _CONFIG_KEYS.get(pair[1]) if pair else None
        if pair and key and key != "bias" and (pair[1] != "r" or "lora_alpha" in fence.code):
            value = pair[2].strip("\"'")
            if value not in ("[", "{", ""):
                yield Statement(key, value.strip("[]"), pair[2], number, section, pair[1], "code")


def _worded(value: object) -> str:
    if isinstance(value, list | tuple | set):
        return ", ".join(sorted(map(str, value)) if isinstance(value, set) else map(str, value))
    return str(value)
