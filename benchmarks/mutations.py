"""Lies to tell about a true card: each changes one thing in its text, and nothing else.

Every number, unit, version, id, digest, module name, class name, licence, tag and metric gives one lie for
each place that it stands in: front matter, text, tables and snippets. Nothing here knows what an audit looks
for. Comments (`<!-- ... -->`) are not read by people, and are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

LICENSES = "apache-2.0 mit cc-by-4.0 cc-by-nc-4.0 gpl-3.0 llama3 gemma openrail bsd-3-clause other".split()
TAGS = "lora qlora dora ia3 sft dpo unsloth trl text-generation fill-mask text-classification".split()
MODULES = "q_proj k_proj v_proj o_proj gate_proj up_proj q_lin v_lin query key value c_attn dense fc1".split()
CLASSES = (
    "AutoModelForCausalLM AutoModelForMaskedLM AutoModelForSequenceClassification AutoModelForSeq2SeqLM"
    " AutoModelForTokenClassification AutoModel PeftModel AutoPeftModelForCausalLM BitsAndBytesConfig"
).split()
METRICS = {
    "perplexity": "accuracy",
    "Perplexity": "Accuracy",
    "tokens/s": "samples/s",
    "samples/s": "tokens/s",
    "Bits per byte": "Byte perplexity",
    "Byte perplexity": "Word perplexity",
    "p50": "p90",
    "p95": "p99",
}
UNITS = {"ms": "s", "s": "ms", "J": "kJ", "mJ": "J", "g": "kg", "mg": "g", "kB": "MB", "MB": "GB", "GB": "MB"}

# What is looked for, in this order: a stretch of text is taken by the first that finds it.
_LICENSE = "|".join(map(re.escape, LICENSES))
PATTERNS = (
    ("digest", re.compile(r"(?<![0-9a-z])(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{12,64}(?![0-9a-z])")),
    ("license", re.compile(rf"(?<=`)(?:{_LICENSE})(?=`)|(?<=^license: )(?:{_LICENSE})$", re.MULTILINE)),
    ("id", re.compile(r"(?<=huggingface\.co/)(?:datasets/)?[\w.-]+/[\w.-]+\w"
                      r"|(?<![\w./-])[A-Za-z][\w.-]+/[A-Za-z][\w.-]*\w(?![\w/])")),
    ("class", re.compile(r"(?<!\w)(?:[A-Z][a-z0-9]+){2,}(?:LM)?(?!\w)")),
    ("metric", re.compile("|".join(re.escape(name) for name in METRICS))),
    ("unit", re.compile(r"(?<=\d )(?:ms|s|mJ|J|mg|g|kB|MB|GB)\b")),
    ("module", re.compile(r"(?<=[`'\"])[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?=[`'\"])"
                          r"|(?<=`)(?:query|key|value|dense)(?=`)")),
    ("version", re.compile(r"(?<![\w.])\d+\.\d+\.\d+(?:\+\w+)?(?![\w.]*\d)")),
    ("number", re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?(?![\w]*\d)")),
)  # fmt: skip
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_FRONT = re.compile(r"\A---\n.*?^---$", re.DOTALL | re.MULTILINE)
_TABLE = re.compile(r"^\|.*$", re.MULTILINE)
_TAG = re.compile(
    r"^(?:- |pipeline_tag: |library_name: |base_model_relation: )(?P<tag>[a-z0-9-]+)$", re.MULTILINE
)


@dataclass(frozen=True)
class Lie:
    """One change: `old` at `start` became `new`."""

    kind: str
    place: str  # front matter, text, table, snippet
    start: int
    old: str
    new: str

    def told(self, card: str) -> str:
        """The card with this lie in it."""
        assert card[self.start : self.start + len(self.old)] == self.old
        return card[: self.start] + self.new + card[self.start + len(self.old) :]

    def line(self, card: str) -> int:
        """The line it stands in, from 1."""
        return card.count("\n", 0, self.start) + 1


def lies(card: str, seed: int = 0) -> Iterator[Lie]:
    """Every lie that can be told about this card, in the order of its text."""
    random = Random(seed)
    spans = [("comment", m.span()) for m in _COMMENT.finditer(card)]
    spans += [("front matter", m.span()) for m in _FRONT.finditer(card)]
    spans += [("snippet", m.span()) for m in _FENCE.finditer(card)]
    spans += [("table", m.span()) for m in _TABLE.finditer(card)]
    taken = bytearray(len(card))
    found = []
    for kind, start, end in _facts(card, spans):
        place = next((name for name, (first, last) in spans if first <= start < last), "text")
        if place == "comment" or any(taken[start:end]):
            continue
        taken[start:end] = b"\1" * (end - start)
        old = card[start:end]
        found.append(Lie(kind, place, start, old, _changed(kind, old, random)))
    return iter(sorted(found, key=lambda lie: lie.start))


def _facts(card: str, spans: list[tuple[str, tuple[int, int]]]) -> Iterator[tuple[str, int, int]]:
    front = next((span for name, span in spans if name == "front matter"), (0, 0))
    for match in _TAG.finditer(card, *front):
        yield "license" if match["tag"] in LICENSES else "tag", *match.span("tag")
    for kind, pattern in PATTERNS:
        for match in pattern.finditer(card):
            yield kind, *match.span()


def _changed(kind: str, old: str, random: Random) -> str:
    if kind in ("number", "version"):
        return _other_number(old, random)
    if kind == "digest":
        return old[:-1] + ("0" if old[-1] != "0" else "1")
    if kind in ("metric", "unit"):
        return (METRICS if kind == "metric" else UNITS)[old]
    if kind == "id":
        owner, slash, name = old.partition("/")
        return f"{owner}{slash}{name}-2" if random.random() < 0.5 else f"the-{owner}{slash}{name}"
    others = {"license": LICENSES, "tag": TAGS, "module": MODULES, "class": CLASSES}[kind]
    return random.choice([name for name in others if name != old])


def _other_number(old: str, random: Random) -> str:
    """The same with one digit changed, so that it is another number of the same look."""
    digits = [i for i, c in enumerate(old) if c.isdigit()]
    at = random.choice(digits)
    changed = str((int(old[at]) + random.randint(1, 8)) % 10)
    if at == digits[0] and changed == "0":
        changed = "1" if old[at] != "1" else "2"
    return old[:at] + changed + old[at + 1 :]
