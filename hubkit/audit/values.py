"""Typed values read from the words of a card: one number, a size, a share, a list of modules, a version.

Each reader answers None where the text could mean something else: two numbers, a range, a placeholder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_DIGITS = r"(?:\d{1,3}(?:[,_'\u00a0\u202f]\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?"
_ABOUT = re.compile(
    r"^(?:~|≈|∼|about|approx(?:imately|\.)?|around|roughly|circa|ca\.|约|약)\s*", re.IGNORECASE
)
_SCALES = {
    "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12, "thousand": 1e3, "million": 1e6, "mn": 1e6, "billion": 1e9,
    "bn": 1e9, "万": 1e4, "亿": 1e8, "만": 1e4, "millones": 1e6, "milhões": 1e6,
}  # fmt: skip
_SIZES = {
    "byte": 1, "bytes": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip
_ALONE = re.compile(rf"(?P<number>[-+−]?{_DIGITS})\s*(?P<rest>%?[^\d]*)$")
_TAIL = re.compile(r"[\s;,:.]*(?:\([^()]*\)|（[^（）]*）|\[[^\[\]]*\])\s*[.;,]?$")
_COMMA = re.compile(r"(?<![\d.,])(0),(\d)|(?<![\d.,])(\d+),(\d{1,2})(?=\s?[%％])")  # 0,05 and 12,5 %
_DOTS = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3})+(?![\d.,])")
_MARKS = re.compile(r"\*\*|__|`|(?<!\w)\*(?=\S)|(?<=\S)\*(?!\w)")
_VERSION = re.compile(
    r"v?(\d+(?:\.\d+)+(?:[.\-]?(?:a|b|rc|dev|post|alpha|beta)\d*)?)(?:[+@ ][\w.+\-]+)?", re.IGNORECASE
)
MAX_TEXT = 2_000  # characters of a value that are looked at


@dataclass(frozen=True)
class Number:
    """A number as it was written: `step` is the worth of its last digit, `about` says that it is rounded."""

    value: float
    step: float
    about: bool = False
    rest: str = ""  # what stands behind it, lower case: "%", "samples/second"
    exact: bool = False  # a whole number to the last digit

    def agrees(self, truth: float) -> bool:
        """Whether what was written can be a rounding of `truth`."""
        if self.about:
            return abs(self.value - truth) <= max(0.12 * abs(truth), 0.501 * self.step)
        if self.exact:
            return self.value == truth
        return -0.501 * self.step <= truth - self.value <= 1.001 * self.step  # rounded, or cut off


def plain(text: str) -> str:
    """The text without Markdown's marks and with links as their words."""
    text = re.sub(r"!?\[([^\[\]]*)\]\([^()\s]*\)", r"\1", text[:MAX_TEXT])
    text = " ".join(_MARKS.sub("", text).replace("\\", "").split())
    return _COMMA.sub(lambda found: f"{found[1] or found[3]}.{found[2] or found[4]}", text)


def without_asides(text: str) -> str:
    """`442,368 (0.40% of total)` -> `442,368`; also several asides at the end."""
    while (found := _TAIL.search(text)) and found.start() > 0:
        text = text[: found.start()]
    return text.strip()


def number(text: str) -> Number | None:
    """The one number that a value says, or None where it says none, a range, or several."""
    text = without_asides(plain(text))
    about = _ABOUT.match(text)
    text = text[about.end() :] if about else text
    alone = _ALONE.fullmatch(text.strip())
    if not alone:
        return None
    digits = alone["number"].replace("−", "-")
    rest = alone["rest"].strip().lower()
    if re.match(r"[-–—~→/x×*:=<>+]|to\b|or\b|and\b|bis\b|ou\b", rest):
        return None
    value, step = _read(digits)
    word = re.match(r"[^\W\d_]+", rest)
    scale = _SCALES.get(word[0], 1.0) if word else 1.0
    whole = scale == 1.0 and "." not in digits and "e" not in digits.lower() and not about
    return Number(value * scale, step * scale, bool(about), rest, whole)


def count(text: str) -> Number | None:
    """The one count of things that a value says: in `297.219 parámetros` the dot parts thousands."""
    bare = without_asides(plain(text))
    parted = _DOTS.search(bare)
    scaled = parted and re.match(rf"\s*(?:{'|'.join(_SCALES)})\b", bare[parted.end() :], re.IGNORECASE)
    if parted and not scaled:
        bare = bare[: parted.start()] + parted[0].replace(".", "") + bare[parted.end() :]
    return number(bare)


def _read(digits: str) -> tuple[float, float]:
    """A written number, and what its last digit is worth."""
    bare = re.sub(r"[,_'\u00a0\u202f]", "", digits)
    mantissa, _, exponent = bare.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return float(bare), 10.0 ** (-decimals + (int(exponent) if exponent else 0))


def times_rank(text: str) -> float | None:
    """`2 * r`, `2×rank`, `2r`: alpha as a multiple of the rank."""
    found = re.fullmatch(
        r"(?:(?:lora_?)?alpha\s*=\s*)?(\d+(?:\.\d+)?)\s*(?:\*|x|×|·"
        r"|times)?\s*(?:the\s+)?(?:lora[_ ]?)?(?:rank|r)",
        plain(text).lower().strip(" ()"),
    )
    return float(found[1]) if found else None


def size(text: str) -> Number | None:
    """The one size in bytes that a value says: `1.78 MB (1,779,464 bytes)` is 1.78 MB."""
    said = number(text)
    word = re.match(r"[a-z]+", said.rest) if said else None
    if not said or not word or word[0] not in _SIZES:
        return None
    bare = re.search(_DIGITS, without_asides(plain(text)))
    value, step = _read(bare[0]) if bare else (said.value, said.step)
    unit = _SIZES[word[0]]
    return Number(value * unit, step * unit, said.about, said.rest, unit == 1)


def size_agrees(said: Number, truth: float) -> bool:
    """Whether a size can be a rounding of `truth`, MB and MiB being one for many writers."""
    slack = 0.12 if said.about else 0.05
    return said.agrees(truth) or (not said.exact and abs(said.value - truth) <= max(slack * truth, said.step))


def shares(text: str) -> list[Number]:
    """The percentages in a text."""
    return [
        Number(*_read(found[1]), about=False, rest="%")
        for found in re.finditer(rf"(?<![\w.])({_DIGITS})\s*[%％]", plain(text))
    ]


def version(text: str) -> str | None:
    """The release that a value names to the digit: `2.5.1+cu121` -> `2.5.1`; None for `4.x` or `>=4.0`."""
    found = _VERSION.fullmatch(without_asides(plain(text)).strip(" .,;"))
    return found[1] if found else None


def is_vague_version(text: str) -> bool:
    """Whether a value names no release but many: `4.x`, `3.9+`, `>=4.0`, `latest`."""
    said = without_asides(plain(text)).strip(" .,;").lower()
    return bool(
        re.fullmatch(r"v?\d+(?:\.\d+)*\.[x*]", said)
        or re.fullmatch(r"v?\d+(?:\.\d+)*\s*\+", said)
        or re.fullmatch(r"(?:>=?|≥|~=|\^|>)\s*v?\d[\w.]*", said)
        or re.fullmatch(r"v?\d+(?:\.\d+)*\s*(?:or|and)\s+(?:later|above|higher|newer|up)", said)
        or said in {"latest", "newest", "recent", "latest stable", "nightly", "main", "dev", "stable"}
    )
