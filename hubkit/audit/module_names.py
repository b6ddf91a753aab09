"""The modules that a card names, as far as it names them: `q_proj`, `attention.query`, `[q_proj, v_proj]`.

Groups ("attention layers", "all linear layers"), patterns and abbreviations are no names, and are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hubkit.audit.statements import Statement

_SEPARATORS = re.compile(r"[\s,;、，+&/|·]+|\band\b|\by\b|\bund\b|\bet\b|和|및")
_PATTERN = re.compile(r"[*\\^$?{}]|\.\.\.|…|\(.*\|.*\)|<")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")
# Words that are names of modules in some models, and plain words elsewhere.
_DICTIONARY = frozenset(
    {"query", "key", "value", "dense", "output", "wq", "wk", "wv", "wo", "wi", "fc1", "fc2", "qkv"}
)
_GROUPS = frozenset({
    "attn", "attention", "mlp", "ffn", "self_attn", "self_attention", "cross_attn", "cross_attention",
    "all", "linear",
    "all_linear", "feed_forward", "attention_mlp", "qkvo", "qkv", "qv", "encoder", "decoder", "vision",
    "language",
    "lora", "default", "none", "auto", "null", "true", "false", "layers", "projections", "projection",
    "modules", "only",
})  # fmt: skip
# What a list says that it does not hold: `lm_head` left out, except `lm_head`, not `fc1`.
_LEFT_OUT = re.compile(
    r"[,;(][^,;()]{1,80}\b(?:left out|excluded|frozen|untouched|not (?:adapted|included|trained))\b"
    r"|\b(?:except(?: for)?|excluding|without|but not|not)\b[^;.)]{1,80}",
    re.IGNORECASE,
)
LOOKS_LIKE_A_MODULE = re.compile(
    r"(?:[\w.]*_(?:proj|lin|attn|fc|mlp)\w?|query|key|value|query_key_value|dense|dense_h_to_4h"
    r"|dense_4h_to_h|fc\d|fc_in|"
    r"c_attn|c_proj|c_fc|w[iov](?:_\d)?|w[qkvo123]|[Ww]qkv|to_[qkv]|to_out|in_proj|out_proj|q_lin|k_lin"
    r"|v_lin|out_lin|"
    r"lin[12]|linear_\w+|lm_head|embed_tokens|[\w.]*attention\.\w+)"
)


@dataclass(frozen=True)
class Named:
    """The modules that a statement names; `complete` says that it names nothing else, and so all of them."""

    names: tuple[str, ...]
    complete: bool


def read(statement: Statement) -> Named:
    """The modules that a statement on the target modules names."""
    raw = _LEFT_OUT.sub(" ", statement.raw if statement.source == "claim" else statement.value)
    spans = re.findall(r"`+([^`]{1,300})`+", raw)
    rest = re.sub(r"`+[^`]*`+", " ", raw) if spans else ""
    complete = not re.search(r"\betc\b|\be\.g\b|\bsuch\b|\.\.\.|…|\bmore\b|\bothers?\b|\bincluding\b|等", raw)
    names: list[str] = []
    for piece in spans or [_without_asides(_LEFT_OUT.sub(" ", statement.value))]:
        found, whole = _names(piece, in_code=bool(spans))
        names += found
        complete = complete and whole
    words = [word for word in _SEPARATORS.split(re.sub(r"\([^()]*\)|[\[\]'\".:]", " ", rest)) if word]
    return Named(tuple(dict.fromkeys(names)), complete and bool(names) and not words)


def _without_asides(text: str) -> str:
    text = re.sub(r"\([^()]*\s[^()]*\)|\(\d+\)", " ", text)  # in brackets, with more than a word, or a count
    return text.strip(" .")


def _names(piece: str, *, in_code: bool) -> tuple[list[str], bool]:
    """The names in a piece of text, and whether it holds nothing else."""
    if _PATTERN.search(piece):
        return [], False
    words = [word.strip("[](){}'\"`.,:") for word in _SEPARATORS.split(piece)]
    words = [word for word in words if word]
    named = [word for word in words if _is_name(word)]
    if len(named) == len(words):
        return named, bool(named)
    if in_code and len(words) > 1 and not any("_" in word for word in words):
        return [], False
    return [word for word in named if "_" in word], False


def _is_name(word: str) -> bool:
    """Whether a word can only be the name of a module, or is one in some models."""
    if not _IDENTIFIER.fullmatch(word) or word.lower() in _GROUPS:
        return False
    return (
        "_" in word or "." in word or word.lower() in _DICTIONARY or bool(re.fullmatch(r"[qkvo]|\w*\d", word))
    )


def is_known(name: str, known: frozenset[str]) -> bool:
    """Whether the adapter has a module that can be called so: by name, by part of its path, or shortened."""
    low = name.lower()
    without_numbers = ".".join(part for part in low.split(".") if not part.isdigit())
    if low in known or without_numbers in known or without_numbers.rpartition(".")[2] in known:
        return True
    flat = low.replace("_", "")
    return any(
        one.startswith(f"{low}_")
        or one.endswith(f"_{low}")
        or one.replace("_", "") == flat
        or (len(low) == 1 and one[:1] == low)
        for one in known
        if "." not in one and not one.startswith(("lora_", "hira_"))
    )
