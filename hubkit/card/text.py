"""Text for a card: numbers as a reader wants them, and words made safe for the line or cell they stand in.

Longer texts of the author's, which are Markdown themselves, are the business of `passage`.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Iterable
from functools import lru_cache
from itertools import chain

from hubkit.hub_rules import is_repo_id

HUB = "https://huggingface.co"
Row = tuple[str, ...]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_ENTITIES = {ord(c): f"&#{ord(c)};" for c in string.punctuation}
_ESCAPES = {
    ord(c): "\\" + c for c in "\\`*[]"
} | {ord("<"): "&lt;", ord(">"): "&gt;", ord("|"): "&#124;", ord("&"): "&amp;", ord("~"): "\\~"}  # fmt: skip
_EDGE_UNDERSCORE = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])")
_LINE_START = re.compile(r"#{1,6}(?:\s|$)|[+-](?:\s|$)|[=-][=\s-]*$|\d+[.)](?:\s|$)")
_NUMBER_STARTS = frozenset(["", *"0123456789-+*.,"])
_NUMBER = r"[-+*]*[0-9,.]+(?:e[-+]?[0-9]+)?[%*]*"
_CELL = rf"(?:{_NUMBER}(?: to {_NUMBER})?)?"
_NUMBERS = re.compile(rf"{_CELL}(?:\n{_CELL})*")
_CLOSING_HASHES = re.compile(r"#+$")  # a heading would take them as its end
_AUTOLINK = re.compile(r"(?i)\b(?:https?|ftp)(?=://)|\bwww(?=\.)|@")


# --- numbers -----------------------------------------------------------------------------------------------


def count(number: int) -> str:
    """A whole number with thousands separators."""
    return f"{number:,}"


def number(value: float) -> str:
    """A setting's value, without a tail of zeros: 0.0003, 1e-05, 3."""
    return f"{value:g}" if abs(value) < 1e5 else f"{value:,.0f}"


def perplexity(value: float) -> str:
    """Two decimals, and at least four significant digits; with an exponent from a billion on."""
    if abs(value) >= 1e9:
        return f"{value:.3e}"
    rounded = float(f"{value:.3e}")  # 9.9996 is 10.00, and not 10.000
    digits = 2 if not 0 < rounded < 10 else 3 - math.floor(math.log10(rounded))
    return f"{value:,.{digits}f}"


def score(share: float) -> str:
    """An accuracy or an F1, to four decimals."""
    return f"{share:.4f}"


def percent(fraction: float, signed: bool = False) -> str:
    """A share as a percentage: 12.3%, 0.40%, 0.0012%; 100% and 0% only where it is all or nothing."""
    value = 100 * fraction
    size = abs(value)
    digits = 1 if size >= 9.995 else 2 if size >= 0.1 or size == 0 else 1 - math.floor(math.log10(size))
    while size < 100 and digits < 15 and round(size, digits) >= 100:
        digits += 1
    return f"{value:{'+' if signed else ''}.{digits}f}%"


def percent_short(fraction: float) -> str:
    """A round share, as a reader names an interval by it: 95%, 99.5%."""
    return f"{100 * fraction:g}%"


def latency(seconds: float) -> str:
    """A short time to three digits: 812 µs, 3.21 ms, 104 ms, 1.49 s."""
    value, unit = (1000 * seconds, "ms") if seconds < 0.9995 else (seconds, "s")
    if seconds < 0.0009995:
        value, unit = 1e6 * seconds, "µs"
    return f"{value:,.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"


def rate(value: float) -> str:
    """A speed to three or four significant digits."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    if 0 < value < 0.995:
        digits = 2 - math.floor(math.log10(value) + 1e-9)
    return f"{value:,.{digits}f}"


def size(number_of_bytes: int) -> str:
    """Bytes in decimal units: 1.78 MB."""
    value, unit = float(number_of_bytes), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    if unit == "bytes":
        return f"{number_of_bytes:,} bytes"
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"


def exact_size(number_of_bytes: int) -> str:
    """Bytes in decimal units, and to the byte: 1.78 MB (1,779,464 bytes)."""
    short = size(number_of_bytes)
    return short if short.endswith("bytes") else f"{short} ({number_of_bytes:,} bytes)"


def duration(seconds: float) -> str:
    """4.2 s, 3 min 12 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def hours(seconds: float) -> str:
    """Hours to two digits, as calculators of emissions ask for them: 0.048 hours."""
    value = seconds / 3600
    return f"{value:.2g} hours" if value < 10 else f"{value:,.1f} hours"


def plural(number_of: int, one: str, many: str | None = None) -> str:
    """`1 document`, `2 documents`."""
    return f"{number_of:,} {one if number_of == 1 else many or one + 's'}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def known(rows: Iterable[tuple[str, str | None]]) -> list[Row]:
    """The rows of a table that have a value."""
    return [(label, value) for label, value in rows if value]


# --- words -------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """One line, without control characters; single spaces."""
    return " ".join(CONTROL.sub(" ", text).split())


@lru_cache(maxsize=4096)
def phrase(text: str) -> str:
    """A phrase that shows in Markdown as it was given, wherever it stands, a table cell included."""
    escaped = plain(text).translate(_ESCAPES)
    escaped = _EDGE_UNDERSCORE.sub(lambda m: "\\_" * len(m.group()), escaped)
    escaped = _AUTOLINK.sub(lambda m: _first_as_entity(m.group()), escaped)
    escaped = _CLOSING_HASHES.sub(lambda m: "\\#" * len(m.group()), escaped)
    return _first_as_entity(escaped) if _LINE_START.match(escaped) else escaped


def _first_as_entity(text: str) -> str:
    return f"&#{ord(text[0])};{text[1:]}"


@lru_cache(maxsize=4096)
def code(text: str) -> str:
    """A word of code; as HTML where backticks or a pipe would break the Markdown form."""
    line = plain(text)
    if not line:
        return ""
    if "`" in line or "|" in line:
        return f"<code>{line.translate(_ENTITIES)}</code>"
    return f"`{line}`"


def codes(words: list[str]) -> str:
    """Several words of code."""
    return ", ".join(code(word) for word in words)


def model_link(repo_id: str) -> str:
    """A Hub model's id, linked where it has the shape of one."""
    return f"[{phrase(repo_id)}]({HUB}/{repo_id})" if is_repo_id(repo_id) else phrase(repo_id)


def dataset_link(repo_id: str) -> str:
    """A Hub dataset's id, linked where it has the shape of one."""
    return f"[{phrase(repo_id)}]({HUB}/datasets/{repo_id})" if is_repo_id(repo_id) else phrase(repo_id)


def address(link: str | None) -> str | None:
    """A web address as a link that shows itself; any other words as words."""
    line = plain(link or "")
    if not re.fullmatch(r"https?://[^\s<>()|\\\"'`\[\]]+", line):
        return phrase(line) or None
    return f"[{phrase(line.partition('://')[2])}]({line})"


def digest(sha256: str) -> str:
    """The first twelve digits of a digest; the record has them all."""
    return f"`sha256:{sha256[:12]}`"


def table(rows: list[tuple[str, ...]], *header: str) -> str:
    """A Markdown table whose source lines up; nothing in a cell can end the cell. Empty without rows."""
    if not rows:
        return ""
    width = len(header)
    if {*map(len, rows)} != {width}:
        raise ValueError(f"a row of this table does not have {width} cells")
    cells = [*header, *chain.from_iterable(rows)]  # in one list: a card has hundreds
    whole = ".".join(cells)
    if "|" in whole or "  " in whole or not whole.isprintable():  # rare, and slow to look for cell by cell
        cells = [" ".join(cell.split()).replace("|", "&#124;") for cell in cells]
    lengths = [*map(len, cells)]
    forms, rule = [], []
    for place in range(width):
        wide = max(3, max(lengths[place::width]))
        if cells[width + place][:1] in _NUMBER_STARTS and _is_numeric(cells[width + place :: width]):
            forms.append(f"%{wide}s")
            rule.append("-" * (wide - 1) + ":")
        else:
            forms.append(f"%-{wide}s")
            rule.append("-" * wide)
    line = f"| {' | '.join(forms)} |"
    lines = "\n".join([line] * (len(rows) + 2))
    return lines % (*cells[:width], *rule, *cells[width:])


def _is_numeric(column: list[str]) -> bool:
    """Whether a column holds numbers, and is set right-aligned for that."""
    return any(column) and _NUMBERS.fullmatch("\n".join(column)) is not None
