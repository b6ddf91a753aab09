"""Colours for the code of a card: one regular expression a language, enough for snippets and no more."""

from __future__ import annotations

import keyword
import re
from html import escape

_LONG = r"\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''"
_SHORT = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
_STRING = rf"(?P<s>[rbfuRBFU]{{0,2}}(?:{_LONG}|{_SHORT}))"
_HASH = r"(?P<c>(?<![\w$])#[^\n]*)"
_NUMBER = r"(?P<n>(?<![\w.])-?\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?\b)"
_WORDS = "|".join(sorted({*keyword.kwlist, "self", "match", "case"}))

_PYTHON = re.compile(
    rf"{_HASH}|{_STRING}|{_NUMBER}|(?P<k>\b(?:{_WORDS})\b)|(?P<f>\b[A-Za-z_]\w*(?=\())|(?P<d>^\s*@\w+)", re.M
)
_SHELL = re.compile(rf"{_HASH}|{_STRING}|(?P<k>(?:^|(?<=[|;&] ))\s*\w[\w-]*)|(?P<f>(?<=\s)--?[\w-]+)", re.M)
_JSON = re.compile(
    rf"(?P<f>\"(?:\\.|[^\"\\\n])*\"(?=\s*:))|{_STRING}|{_NUMBER}|(?P<k>\b(?:true|false|null)\b)"
)
_YAML = re.compile(
    rf"{_HASH}|(?P<f>^[\s-]*[\w.-]+(?=:(?:\s|$)))|{_STRING}|{_NUMBER}|(?P<k>\b(?:true|false|null)\b)", re.M
)
_BIBTEX = re.compile(r"(?P<k>@\w+)|(?P<f>\b\w+(?=\s*=))|(?P<s>\{[^{}]*\})")

_LANGUAGES = {
    **dict.fromkeys(("python", "py", "pycon"), _PYTHON),
    **dict.fromkeys(("bash", "sh", "shell", "console", "zsh"), _SHELL),
    "json": _JSON,
    **dict.fromkeys(("yaml", "yml"), _YAML),
    "bibtex": _BIBTEX,
}


# Unicode's embeddings, overrides and isolates: with them, text shows in another order than a machine reads.
_TURNING = {point: f"⟨U+{point:04X}⟩" for point in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def visible(text: str) -> str:
    """The text with characters that change the order of others written out."""
    return text.translate(_TURNING)


def highlight(code: str, language: str) -> str:
    """The code as HTML; what no rule knows stays plain."""
    code = visible(code)
    rules = _LANGUAGES.get(language.lower())
    if rules is None or len(code) > 100_000:
        return escape(code)
    out, at = [], 0
    for found in rules.finditer(code):
        out.append(escape(code[at : found.start()]))
        out.append(f'<span class="h{found.lastgroup}">{escape(found.group())}</span>')
        at = found.end()
    out.append(escape(code[at:]))
    return "".join(out)
