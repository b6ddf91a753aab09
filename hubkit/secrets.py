"""Secrets in text, found by the shape that their issuers give them; and keys and passwords that are assigned.

Each pattern begins with letters that stand for themselves, which `re` looks for at some GB/s, and each of its
repeats is bounded: no input takes longer than its length allows. What stands around the match is looked at
afterwards. Examples from documentation are left out. A finding never holds the secret itself.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

LONGEST = 4096  # bytes that a match, with what is looked at around it, may take


@dataclass(frozen=True, slots=True)
class Secret:
    """Where something lies that looks like a secret, and what kind; `id` tells two of them apart."""

    path: str
    line: int
    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A match in some bytes: what it is, where it starts, and the bytes themselves."""

    kind: str
    start: int
    value: bytes


Judge = Callable[[bytes, "re.Match[bytes]"], bool]


def hits(text: bytes) -> Iterator[Hit]:
    """Everything in these bytes that looks like a secret; what has a shape is told by that alone."""
    known: list[tuple[int, int]] = []
    for kind, pattern, judge in _SHAPES:
        for match in pattern.finditer(text):
            if judge(text, match) and not is_example(match[0]):
                known.append(match.span())
                yield Hit(kind, match.start(), match[0])
    known.sort()
    starts = [start for start, _ in known]
    reach = list(itertools.accumulate((end for _, end in known), max))
    lowered = text.lower()
    for kind, pattern, judge in _ASSIGNED:
        for match in pattern.finditer(lowered):
            start, end = match.span(1)
            value = text[start:end]
            before = bisect.bisect_left(starts, end)
            if before and reach[before - 1] > start:
                continue
            if not is_example(value) and judge(text, match):
                yield Hit(kind, match.start(1), value)


def scan(path: str, content: bytes) -> list[Secret]:
    """What looks like a secret in the content of a text file, in the order of its lines."""
    found, line, at = [], 1, 0
    for hit in sorted(hits(content), key=lambda hit: (hit.start, hit.kind)):
        line, at = line + content.count(b"\n", at, hit.start), hit.start
        found.append(Secret(path, line, hit.kind, identity(hit.kind, path, hit.value)))
    return found


def masked(text: str, known: Iterable[str] = ()) -> str:
    """The text with *** in the place of what looks like a secret, and of those that are known."""
    for secret in sorted(filter(None, (one.strip() for one in known)), key=len, reverse=True):
        text = text.replace(secret, "***")
    plain = text.encode("utf-8", "surrogatepass")
    for hit in sorted(hits(plain), key=lambda hit: hit.start, reverse=True):
        plain = plain[: hit.start] + b"***" + plain[hit.start + len(hit.value) :]
    return plain.decode("utf-8", "replace")


def identity(kind: str, path: str, value: bytes) -> str:
    """A short name of a finding: the same as long as the same thing stands in the same file."""
    return hashlib.sha256(f"{kind}\0{path}\0".encode() + value).hexdigest()[:8]


_EXAMPLE = re.compile(
    rb"(?i:example|placeholder|redacted|changeme|change_me|dummy|your|insert|xxxx)|abcdef|ABCDEF|123456789"
    rb"|987654321|\*\*\*|\.\.\.|eyJzdWIiOiIxMjM0NTY3ODkwI",  # the last: by which jwt.io explains what it is
)
_PREFIX = re.compile(rb"(?:[a-z]{1,10}[-_]){0,3}")


def is_example(value: bytes) -> bool:
    """Whether it is one of those by which documentation shows what a secret looks like."""
    plain = value[:100]  # a long one holds any short word by chance
    begun = _PREFIX.match(plain)
    rest = plain[begun.end() if begun else 0 :].lower()
    return len(set(rest or plain)) < 3 or _EXAMPLE.search(plain) is not None


# What stands around a match


def _apart(text: bytes, match: re.Match[bytes]) -> bool:
    """Whether a match begins a word; the n of an escaped line end before it is no letter."""
    before = text[max(0, match.start() - 2) : match.start()]
    if not before or not (before[-1:].isalnum() or before[-1:] == b"_"):
        return True
    return len(before) == 2 and before[:1] == b"\\" and before[-1:] in b"nrtbf"


def _anywhere(text: bytes, match: re.Match[bytes]) -> bool:
    return True


def _random_key(text: bytes, match: re.Match[bytes]) -> bool:
    """After `sk-`: a name in words is none, letters of both cases with digits are, and so is hexadecimal."""
    body = match[0][3:]
    if not _apart(text, match) or match[0].startswith(b"sk-ant-"):
        return False
    mixed = any(b.islower() for b in _bytes(body)) and any(b.isupper() for b in _bytes(body))
    return (mixed and any(b.isdigit() for b in _bytes(body))) or re.search(rb"[0-9a-f]{32}", body) is not None


def _bytes(value: bytes) -> Iterator[bytes]:
    return (value[at : at + 1] for at in range(len(value)))


_NO_PASSWORD = re.compile(
    rb"(?:pass|password|passwd|pwd|secret|token|key|user|username|x+|[$%{<\[(].*|.*[}>\])])\Z", re.I | re.S
)


def _userinfo(text: bytes, match: re.Match[bytes]) -> bool:
    """A password in an address; a variable, an example and the digest of an image are none."""
    host = text[match.end() - 1 : match.end() + 60].split(b"/")[0]
    return not (_NO_PASSWORD.match(match[1]) or host.startswith(b"sha256:") or b"example." in host)


def _assigned(text: bytes, match: re.Match[bytes]) -> bool:
    """Random enough to be a key: long, of letters and digits; shorter where a shell's variable is set."""
    value = text[match.start(1) : match.end(1)]
    name = _NAME_BEFORE.search(text[max(0, match.start() - 40) : match.start()])
    whole = (name[0] if name else b"") + text[match.start() : match.end()].split(b"=")[0]
    in_shell = match[0].find(b"=") > 0 and _VARIABLE.fullmatch(whole) is not None
    kept = b"hub_" in whole.lower() or match[0].startswith(b"passw")
    if not (any(b.isdigit() for b in _bytes(value)) and any(b.isalpha() for b in _bytes(value))):
        return False
    if in_shell or kept:
        return len(value) >= 8
    return len(value) >= 20 and _RANDOM.fullmatch(value) is not None and _entropy(value) >= 3.5


_NAME_BEFORE = re.compile(rb"[A-Za-z0-9_]{1,40}\Z")
_VARIABLE = re.compile(rb"[A-Z][A-Z0-9_]*")
_RANDOM = re.compile(rb"[A-Za-z0-9+/=_.~-]+")


def _entropy(value: bytes) -> float:
    """Bits a character, by how often each stands there."""
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts)


def _shape(kind: str, pattern: bytes, judge: Judge = _apart) -> tuple[str, re.Pattern[bytes], Judge]:
    return kind, re.compile(pattern), judge


# The lengths keep prose and vocabularies out.
_SHAPES = [
    _shape("Hugging Face token", rb"hf_(?:oauth_|jwt_)?[A-Za-z0-9]{30,200}"),
    _shape("Hugging Face token", rb"hf_(?:oauth|jwt)_eyJ[A-Za-z0-9_.-]{30,2000}"),
    _shape("Hugging Face token", rb"api_org_[A-Za-z0-9]{30,200}"),
    _shape("GitHub token", rb"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _shape("GitHub token", rb"github_pat_[A-Za-z0-9_]{50,255}"),
    _shape("AWS access key", rb"AKIA[A-Z2-7]{16}(?![A-Za-z0-9])"),
    _shape("AWS access key", rb"ASIA[A-Z2-7]{16}(?![A-Za-z0-9])"),
    _shape("OpenAI-style key", rb"sk-[A-Za-z0-9_-]{32,300}", _random_key),
    _shape("Anthropic key", rb"sk-ant-[a-z0-9]{3,10}-[A-Za-z0-9_-]{60,200}"),
    _shape("Google API key", rb"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _shape("Google OAuth secret", rb"GOCSPX-[A-Za-z0-9_-]{28}"),
    _shape("Google service account", rb'"service_account"[\s,]{1,40}"project_id"'),
    _shape("Slack token", rb"xox[abeoprs]-[A-Za-z0-9-]{20,255}"),
    _shape("Slack token", rb"xapp-[0-9]-[A-Za-z0-9-]{20,255}"),
    _shape("Slack webhook", rb"hooks\.slack\.com/services/T\w{5,20}/B\w{5,20}/\w{16,40}"),
    _shape("GitLab token", rb"gl(?:pat|dt|rt|ptt|cbt|oas)-[A-Za-z0-9_.-]{20,255}"),
    _shape("npm token", rb"npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
    _shape("PyPI token", rb"pypi-AgE[A-Za-z0-9_-]{50,1000}"),
    _shape("Stripe key", rb"sk_live_[A-Za-z0-9]{20,250}"),
    _shape("Stripe key", rb"rk_live_[A-Za-z0-9]{20,250}"),
    _shape("SendGrid key", rb"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _shape("DigitalOcean token", rb"do[por]_v1_[0-9a-f]{64}"),
    _shape("Groq key", rb"gsk_[A-Za-z0-9]{40,100}"),
    _shape("Replicate token", rb"r8_[A-Za-z0-9]{37}(?![A-Za-z0-9])"),
    _shape("Databricks token", rb"dapi[0-9a-f]{32}(?![0-9a-f])"),
    _shape("Azure storage key", rb"AccountKey=[A-Za-z0-9+/]{86}=="),
    _shape("JSON web token", rb"eyJ[\w-]{10,1000}\.eyJ[\w-]{10,2000}\.[\w-]{10,1000}"),
    _shape("private key", rb"-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----", _anywhere),
    _shape("private key", rb"PuTTY-User-Key-File-[0-9]"),
    _shape(
        "password in an address",
        rb"://[^\s/:@\"'<>\\]{0,100}:([^\s/@\"'<>\\]{3,200})@[A-Za-z0-9\[]",
        _userinfo,
    ),
]  # fmt: skip
# In lower case; the first group is the secret.
_VALUE = rb"[\"'`]?[ \t]{0,4}[=:][ \t]{0,4}[\"'`]?([^\s\"'`,;<>(){}\[\]$\\]{8,200})"
_ASSIGNED = [
    _shape("assigned token", rb"token" + _VALUE, _assigned),
    _shape("assigned secret", rb"secret(?:_?access)?(?:_?key)?" + _VALUE, _assigned),
    _shape("assigned key", rb"api[_-]?key" + _VALUE, _assigned),
    _shape("assigned key", rb"access_?key" + _VALUE, _assigned),
    _shape("assigned password", rb"passw(?:or)?d" + _VALUE, _assigned),
    _shape(
        "W&B key",
        rb"wandb[^\n]{0,60}?(?:key|token|login|password)[^\n0-9a-z]{1,10}([0-9a-f]{40})(?![0-9a-f])",
        _anywhere,
    ),
    _shape("W&B key", rb"wandb_v1_([a-z0-9_]{40,120})", _anywhere),
    _shape(
        "password of a netrc file",
        rb"machine\s{1,9}\S{1,100}\s{1,9}login\s{1,9}\S{1,100}\s{1,9}password\s{1,9}(\S{4,200})",
        _anywhere,
    ),
    _shape(
        "Kaggle key",
        rb'"username"\s{0,9}:\s{0,9}"[^"\n]{1,60}"\s{0,9},\s{0,9}"key"\s{0,9}:\s{0,9}"([0-9a-f]{32})"',
        _anywhere,
    ),
]  # fmt: skip
