"""What other tools write into a card without knowing anything: placeholders, advice, empty headings.

A card of PEFT's that holds no line of an author's is boilerplate as a whole. The template is the Hub client's
`modelcard_template.md`; the version of PEFT and a quantization's settings are generated too.
"""

from __future__ import annotations

import re
from itertools import pairwise

from hubkit.card import outline

_FRONT_MATTER = re.compile(r"\A---\n(.*?\n)---\n", re.DOTALL)
_GENERATED_KEYS = {"base_model", "library_name", "pipeline_tag", "tags"}
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_HEADING = re.compile(r"#{1,4} (.+)")
_HEADINGS = frozenset(
    "Model Card for Model ID|Model Details|Model Description|Model Sources|Uses|Direct Use|Downstream Use"
    "|Out-of-Scope Use|Bias, Risks, and Limitations|Recommendations|How to Get Started with the Model"
    "|Training Details|Training Data|Training Procedure|Preprocessing|Training Hyperparameters"
    "|Speeds, Sizes, Times|Evaluation|Testing Data, Factors & Metrics|Testing Data|Factors|Metrics|Results"
    "|Summary|Model Examination|Environmental Impact|Technical Specifications"
    "|Model Architecture and Objective"
    "|Compute Infrastructure|Hardware|Software|Citation|Glossary|More Information|Model Card Authors"
    "|Model Card Contact|Framework versions".split("|")
)
_GENERATED_LINE = re.compile(
    r"\[More Information Needed\]"
    r"|- \*\*[\w() ]+(?: \[optional\])?:\*\* \[More Information Needed\]"
    r"|\*\*(?:BibTeX|APA):\*\*"
    r"|Users \(both direct and downstream\) should be made aware of the risks, biases and limitations of the"
    r" model\. More information needed for further recommendations\."
    r"|Use the code below to get started with the model\."
    r"|Carbon emissions can be estimated using the \[Machine Learning Impact calculator\]\([^)\s]+\)"
    r" presented in \[Lacoste et al\. \(2019\)\]\([^)\s]+\)\."
    r"|- PEFT [\w.+]+"
    r"|The following `bitsandbytes` quantization config was used during training:"
    r"|- (?:quant_method|_?load_in_[48]bit|llm_int8_\w+|bnb_4bit_\w+): .*"
)


def is_boilerplate(card: str) -> bool:
    """Whether every line of this card was generated."""
    text = card.replace("\r\n", "\n")
    found = _FRONT_MATTER.match(text)
    if found is None or "# Model Card for Model ID\n" not in text:
        return False
    keys = re.findall(r"^([^\s#-][^:]*):", found[1], re.MULTILINE)
    if "library_name: peft" not in found[1].split("\n") or not _GENERATED_KEYS.issuperset(keys):
        return False
    lines = _COMMENT.sub("", text[found.end() :]).split("\n")
    return all(_is_generated(line.strip()) for line in lines)


def _is_generated(line: str) -> bool:
    heading = _HEADING.fullmatch(line)
    if heading:
        return heading[1].removesuffix(" [optional]") in _HEADINGS
    return not line or _GENERATED_LINE.fullmatch(line) is not None


# --- taking the placeholders out of a card that somebody filled in in part ------------------------------

_PLACEHOLDER = re.compile(
    r"\[?More information needed\]?\.?"
    r"|(?:[-*] )?\*\*[^*]+:?\*\*:? *\[?More Information Needed\]?\.?(?: *<!--.*?-->)?"
    r"|# Model Card for (?:Model ID|None)"
    r"|This model is a fine-tuned version of \[None\]\(https://huggingface\.co/None\)\.?"
    r"|Users \(both direct and downstream\) should be made aware .*More information needed.*",
    re.IGNORECASE,
)
# The first words of the comments that templates leave for an author to follow.
_ADVICE = re.compile(
    r"<!--\s*(?:Provide (?:a|the) |Address questions around |This section (?:is|addresses|provides|describes)"
    r" |This should link to |This relates heavily to |These are the (?:things|evaluation)"
    r"|Relevant interpretability |Total emissions |If there is a paper |If relevant, include "
    r"|This model card has been generated automatically)"
)
# Sentences that lead to what an author was to fill in; alone they say nothing.
_LEAD_IN = re.compile(
    r"\*\*(?:BibTeX|APA):\*\*|Use the code below to get started with the model\."
    r"|Carbon emissions can be estimated using the .*"
)
# TRL's snippet where it did not know the repo, and its key for a license, which is neither key nor license.
_LOADS_NONE = re.compile(r"pipeline\((?:\"[\w-]+\", )?model=\"None\"")
_NO_LICENSE = re.compile(r"^licence: license\r?\n", re.MULTILINE)
_MORE_HEADINGS = frozenset(
    ("Model description", "Intended uses & limitations", "Training and evaluation data")
)


def without_placeholders(body: str) -> str:
    """The text without what a template left unsaid, and without headings that nothing is left under.

    All other lines stay as they are.
    """
    lines = outline.lines(body)
    drop = _advice(lines)
    for at, line in enumerate(lines):
        if not line.is_code and _PLACEHOLDER.fullmatch(line.raw.strip()):
            drop.add(at)
    for start, end in _sections(lines):
        if any(line.is_code and _LOADS_NONE.search(line.raw) for line in lines[start:end]):
            drop.update(range(start, end))
        left = [at for at in range(start, end) if at not in drop and not lines[at].is_blank]
        if left and all(not lines[at].is_code and _LEAD_IN.fullmatch(lines[at].raw.strip()) for at in left):
            drop.update(left)
    _drop_headings(lines, drop)
    return _joined(lines, drop)


def without_empty_keys(front_matter: str) -> str:
    """The front matter without the key that TRL writes for a license that it does not know."""
    return _NO_LICENSE.sub("", front_matter)


def _advice(lines: list[outline.Line]) -> set[int]:
    """The lines of the templates' comments; a comment must have its lines for itself."""
    found: set[int] = set()
    at = 0
    while at < len(lines):
        end = at
        if not lines[at].is_code and _ADVICE.match(lines[at].raw.lstrip()):
            while end < len(lines) and "-->" not in lines[end].raw:
                end += 1
            if end < len(lines) and lines[end].raw.rstrip().endswith("-->"):
                found.update(range(at, end + 1))
        at = end + 1
    return found


def _sections(lines: list[outline.Line]) -> list[tuple[int, int]]:
    """The spans of lines between headings."""
    heads = [at for at, line in enumerate(lines) if line.level]
    return [(at + 1, following) for at, following in pairwise([*heads, len(lines)])]


def _drop_headings(lines: list[outline.Line], drop: set[int]) -> None:
    """Drop the headings of templates that nothing is under, and those that something was dropped from."""
    heads = [at for at, line in enumerate(lines) if line.level and at not in drop]
    for at in reversed(heads):
        level = lines[at].level
        ends = (n for n in range(at + 1, len(lines)) if 0 < lines[n].level <= level or _is_pefts(lines[n]))
        end = next(ends, len(lines))
        below = range(at + 1, end)
        if any(n not in drop and not lines[n].is_blank for n in below):
            continue
        title = lines[at].title.removesuffix(" [optional]")
        if title in _HEADINGS or title in _MORE_HEADINGS or any(n in drop for n in below):
            drop.add(at)


def _is_pefts(line: outline.Line) -> bool:
    """PEFT hangs its versions behind whatever section is the last."""
    return line.title == "Framework versions"


def _joined(lines: list[outline.Line], drop: set[int]) -> str:
    """The lines that stay; where some went, the blank lines around them become one."""
    kept: list[str] = []
    at = 0
    while at < len(lines):
        end = at
        while end < len(lines) and (end in drop or lines[end].is_blank):
            end += 1
        if any(n in drop for n in range(at, end)):
            if kept and end < len(lines):
                kept.append("\r\n" if lines[at].raw.endswith("\r\n") else "\n")
        else:
            kept += [line.raw for line in lines[at:end]]
        if end < len(lines):
            kept.append(lines[end].raw)
        at = end + 1
    return "".join(kept)
