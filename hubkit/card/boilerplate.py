"""PEFT's own card: the Hub's template with nothing filled in, as `save_pretrained` writes it.

Only a card that holds no line of an author's is boilerplate. The template is the Hub client's
`modelcard_template.md`; the version of PEFT and a quantization's settings are generated too.
"""

from __future__ import annotations

import re

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
