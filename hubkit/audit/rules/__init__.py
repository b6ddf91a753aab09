"""The rules of the audit, one function each, and the table of them.

A rule is a generator over a `Subject` that yields what `found` makes, and nothing where it cannot tell:

    @rule("HK201", "error", title="Rank unlike the configuration's")
    def rank(subject: Subject) -> Iterator[Fault]:
        '''Why it matters, in Markdown.

        Bad:

            - **Rank:** 16

        Good:

            - **Rank:** 8
        '''

The docstring is the rule's page in the docs, and its two examples are run by the tests, beside the adapter
that is named there. The modules of this package are loaded when the first audit begins.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubkit.audit.findings import Fault, Finding, Severity

if TYPE_CHECKING:
    from hubkit.audit.subject import Subject

Check = Callable[["Subject"], Iterator[Fault]]
GROUPS = {
    "1": "Metadata and the Hub's rules",
    "2": "Claims about the adapter",
    "3": "Task, classes and snippets",
    "4": "Metrics, results and versions",
    "5": "Leaks, links and placeholders",
    "6": "Freshness and the record",
}
_RULES: dict[str, Rule] = {}


@dataclass(frozen=True)
class Rule:
    """One rule: its code, how bad a break of it is, its name, and the check."""

    code: str
    severity: Severity
    title: str
    check: Check

    @property
    def explanation(self) -> str:
        """Why the rule is there: the docstring above the examples. Markdown."""
        return re.split(r"^Bad:$", self._doc, maxsplit=1, flags=re.MULTILINE)[0].strip()

    @property
    def bad(self) -> str:
        """A piece of a card that breaks the rule."""
        return self._example("Bad")

    @property
    def good(self) -> str:
        """The same piece as it should be."""
        return self._example("Good")

    @property
    def page(self) -> str:
        """The rule's page: what it is about, and an example of each kind. Markdown."""
        parts = [f"# {self.code}: {self.title}\n", f"Severity: {self.severity}\n", f"{self.explanation}\n"]
        for name, example in (("Bad", self.bad), ("Good", self.good)):
            if example:
                parts.append(f"{name}:\n\n````md\n{example}````\n")
        return "\n".join(parts)

    @property
    def _doc(self) -> str:
        return inspect.getdoc(self.check) or ""

    def _example(self, name: str) -> str:
        found = re.search(rf"^{name}:\n\n?((?:(?: {{4}}.*)?\n)+)", self._doc + "\n", flags=re.MULTILINE)
        return textwrap.dedent(found[1]).strip("\n") + "\n" if found else ""


def rule(code: str, severity: Severity, *, title: str) -> Callable[[Check], Check]:
    """Enter a function into the table of rules."""

    def enter(check: Check) -> Check:
        assert code not in _RULES, f"{code} stands twice"
        _RULES[code] = Rule(code, severity, title, check)
        return check

    return enter


def found(
    line: int | None,
    message: str,
    *,
    says: object = None,
    instead: object = None,
    mend: str | None = None,
    severity: Severity | None = None,
) -> Fault:
    """What a rule yields: `line` of the card (None: the file), one sentence, and what else is known."""
    return Fault(
        line=line,
        message=message,
        says=None if says is None else str(says),
        instead=None if instead is None else str(instead),
        mend=mend,
        severity=severity,
    )


def table() -> dict[str, Rule]:
    """All rules by code, in order."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_RULES.items()))


def findings(subject: Subject, codes: frozenset[str] | None = None) -> list[Finding]:
    """What the rules find in a subject, in the order of its lines; `codes` None: all rules."""
    result = [
        Finding(
            code=rule.code,
            severity=fault.severity or rule.severity,
            message=_sentence(fault.message),
            path=subject.path,
            line=fault.line,
            says=fault.says,
            instead=fault.instead,
            mend=fault.mend,
        )
        for rule in table().values()
        if codes is None or rule.code in codes
        for fault in rule.check(subject)
    ]
    ignored = _ignored(subject)
    unique = {
        (f.code, f.line, f.message, f.says): f
        for f in result
        if (None, f.code) not in ignored and (f.line is None or (f.line, f.code) not in ignored)
    }
    return sorted(unique.values(), key=lambda f: (f.line or 0, f.code))


def _sentence(text: str) -> str:
    """With a capital and a full stop."""
    text = text.strip()
    if re.match(r"[a-z]+(?![\w.=/])", text):  # a word, and no name of a file or a library
        text = text[0].upper() + text[1:]
    return f"{text}{'' if text.endswith(('.', '?', '!')) else '.'}"


_IGNORE = re.compile(r"hubkit:(ignore|ignore-file)((?:[ ,]+HK\d{3})+)")


def _ignored(subject: Subject) -> set[tuple[int | None, str]]:
    """What comments of the card's say to ignore: codes with their line, or with None in the whole card.

    `<!-- hubkit:ignore HK204 -->` stands on the line or before it; in the front matter it is a comment of
    YAML's. `hubkit:ignore-file` holds for the whole card.
    """
    document = subject.document
    if "hubkit:ignore" not in document.text:
        return set()
    said = [(comment.line, comment.text) for comment in document.comments]
    if document.front.first and document.front.last:
        for number in range(document.front.first, document.front.last):
            said.append((number, document.line(number).partition("#")[2].strip()))
    ignored: set[tuple[int | None, str]] = set()
    for line, text in said:
        if found := _IGNORE.match(text):
            places = (None,) if found[1] == "ignore-file" else (line, line + 1)
            ignored.update((place, code) for place in places for code in re.findall(r"HK\d{3}", found[2]))
    return ignored
