"""The Python in a card: which calls it makes, with the constants that reach their arguments.

Code is parsed and never run. What cannot be parsed has no calls.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hubkit.audit.document import Document
from hubkit.audit.parts import Fence

PYTHON = frozenset({"python", "py", "python3", "pycon", "ipython", "ipython3"})
LONGEST = 50_000  # characters of a snippet that is parsed
_LOADS = re.compile(
    r"\bfrom_pretrained\s*\(|\bpipeline\s*\(|\bPeftModel\b|\bload_adapter\s*\(|\bload_lora_weights\s*\("
    r"|\b(?:SentenceTransformer|CrossEncoder|SparseEncoder)\s*\("
)


@dataclass(frozen=True)
class Call:
    """A call: `PeftModel.from_pretrained(base, "user/name")`."""

    name: str  # dotted, as written
    line: int  # of the card
    arguments: tuple[ast.expr, ...]
    keywords: dict[str, tuple[ast.expr, int]] = field(default_factory=dict)
    fence: Fence | None = None


def is_python(fence: Fence) -> bool:
    """Whether a block says that it is Python, or names no language and clearly is."""
    if fence.language in PYTHON:
        return True
    return fence.language == "" and bool(
        re.search(r"^\s*(?:from \w[\w.]* import |import \w)", fence.code, re.MULTILINE)
    )


def cleaned(code: str) -> str:
    """The code without prompts, notebook commands and indentation; as many lines as before."""
    lines = textwrap.dedent(code.expandtabs(4)).split("\n")
    if any(line.lstrip().startswith(">>> ") for line in lines):
        lines = [found[1] if (found := re.match(r"\s*(?:>>>|\.\.\.) ?(.*)", line)) else "" for line in lines]
    lines = [re.sub(r"^(\s*)(?:[!%]|\$ ).*", r"\1pass", line) for line in lines]
    return "\n".join(lines)


@lru_cache(maxsize=512)
def tree(code: str) -> ast.Module | SyntaxError | None:
    """The parsed code; the error where it is no Python; None where it is too long or too deep to tell."""
    if len(code) > LONGEST or "\0" in code:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape is no fault of the card's
            return ast.parse(cleaned(code))
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError, OverflowError):
        return None


def calls(fence: Fence) -> list[Call]:
    """All calls in a block of Python, in order."""
    parsed = tree(fence.code) if is_python(fence) or _LOADS.search(fence.code) else None
    if not isinstance(parsed, ast.Module):
        return []
    found = [
        Call(
            name=_dotted(node.func),
            line=fence.line + node.lineno - 1,
            arguments=tuple(node.args),
            keywords={k.arg: (k.value, fence.line + k.value.lineno - 1) for k in node.keywords if k.arg},
            fence=fence,
        )
        for node in ast.walk(parsed)
        if isinstance(node, ast.Call)
    ]
    return sorted(found, key=lambda call: call.line)


def all_calls(document: Document) -> list[Call]:
    """The calls of all blocks of a card."""
    return [call for fence in document.fences for call in calls(fence)]


def names(document: Document) -> dict[str, Any]:
    """The constants that are given a name once, over all blocks of a card: `base_id = "org/base"`."""
    known: dict[str, Any] = {}
    twice: set[str] = set()
    for fence in document.fences:
        parsed = tree(fence.code) if is_python(fence) or _LOADS.search(fence.code) else None
        for node in ast.walk(parsed) if isinstance(parsed, ast.Module) else ():
            if (
                isinstance(node, ast.Assign)
                and len(node.targets) == 1
                and isinstance(node.targets[0], ast.Name)
            ):
                name, value = node.targets[0].id, constant(node.value)
                if value is None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
                    twice.add(name)  # something that is worked out
                elif name in known and known[name] != value:
                    twice.add(name)
                known[name] = value
    return {name: value for name, value in known.items() if name not in twice}


def constant(node: ast.expr, known: dict[str, Any] | None = None) -> Any:
    """The value of a literal, or of a name for one; None where it is worked out."""
    if isinstance(node, ast.Name):
        return (known or {}).get(node.id)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def imported(document: Document) -> dict[str, tuple[str, int]]:
    """The names that a card's blocks import: name -> package and line; `*` where a package is taken whole."""
    found: dict[str, tuple[str, int]] = {}
    for fence in document.fences:
        parsed = tree(fence.code)
        for node in ast.walk(parsed) if isinstance(parsed, ast.Module) else ():
            if isinstance(node, ast.Import | ast.ImportFrom):
                package = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
                for alias in node.names:
                    line = fence.line + (alias.lineno or node.lineno) - 1
                    found.setdefault(alias.asname or alias.name, (package or alias.name, line))
    return found


def _dotted(node: ast.expr) -> str:
    """`PeftModel.from_pretrained`; what stands before a call or an index is left out."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    return ".".join(reversed(parts))


def loads_a_model(code: str) -> bool:
    """Whether code, of whatever language, loads a model or an adapter."""
    return bool(_LOADS.search(code))
