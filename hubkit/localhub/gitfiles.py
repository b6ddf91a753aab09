"""What `.gitattributes` and `.gitignore` say of a path: does it go to LFS, is it left out of an upload?

https://git-scm.com/docs/gitattributes and https://git-scm.com/docs/gitignore: the last line that matches
counts.
"""

from __future__ import annotations

import functools
import re

ATTRIBUTES, IGNORE = ".gitattributes", ".gitignore"
PATTERN_MAX = 2048  # of a line that git reads at all: https://github.com/git/git/blob/master/attr.h
_TRACKED = "filter=lfs diff=lfs merge=lfs -text"
_CLASSES = {"[:space:]": r"\s", "[:digit:]": "0-9", "[:alpha:]": "a-zA-Z", "[:alnum:]": "a-zA-Z0-9"}


Part = re.Pattern[str] | None  # of a pattern, for one name of a path; None: any number of folders


def _matches(pattern: str, path: str) -> bool:
    """Whether a pattern of git's fits a whole path, in time that grows with both and no faster."""
    if len(pattern) > PATTERN_MAX:
        return False
    parts, names = _parts(pattern), path.split("/")
    taken = {0}  # how many of the names the parts so far may have taken
    for number, part in enumerate(parts, 1):
        if part is None and taken:
            taken = set(range(min(taken) + (number == len(parts)), len(names) + 1))
        elif part:
            taken = {at + 1 for at in taken if at < len(names) and part.fullmatch(names[at])}
    return len(names) in taken


@functools.lru_cache(maxsize=2048)
def _parts(pattern: str) -> tuple[Part, ...]:
    """What a pattern says of the names of a path; without a slash it is for the last one."""
    if "/" not in pattern.rstrip("/"):
        return None, _name(pattern.rstrip("/"))
    folders = re.compile(r"\*\*+")
    return tuple(None if folders.fullmatch(p) else _name(p) for p in pattern.strip("/").split("/"))


def _name(text: str) -> re.Pattern[str]:
    """A pattern for one name as an expression.

    What follows a star, up to the next one, is looked for once: a later place for it would leave less room.
    """
    at, groups = 0, [""]
    while at < len(text):
        if text[at] == "*":
            groups.append("")
            at += 1
        elif text[at] == "[" and (end := text.find("]", at + 2)) > 0:
            end = text.find("]", end + 1) if text.startswith("[[:", at) else end
            groups[-1] += _class(text[at + 1 : end])
            at = end + 1
        elif text[at] == "\\" and at + 1 < len(text):
            groups[-1] += re.escape(text[at + 1])
            at += 2
        else:
            groups[-1] += "." if text[at] == "?" else re.escape(text[at])
            at += 1
    first, *rest = groups
    between = "".join(f"(?>.*?{group})" for group in rest[:-1] if group)
    try:
        return re.compile(first + between + (f".*{rest[-1]}" if rest else ""), re.DOTALL)
    except re.error:
        return re.compile(r"(?!)")  # git matches nothing by a broken pattern either


def _class(inside: str) -> str:
    negated = inside[:1] in ("!", "^")
    body = inside[1:] if negated else inside
    for name, meant in _CLASSES.items():
        body = body.replace(name, meant)
    body = body.replace("[", r"\[")
    return f"[{'^/' if negated else ''}{body}]"


def is_tracked(attributes: str, path: str) -> bool:
    """Whether `.gitattributes` of this text send a path to LFS."""
    tracked = False
    for line in attributes.splitlines():
        pattern, *settings = line.split() or [""]
        if not pattern or pattern.startswith(("#", "!")) or pattern.endswith("/"):
            continue
        filters = [one for one in settings if one.lstrip("-!").split("=")[0] == "filter"]
        if filters and _matches(pattern.strip('"'), path):
            tracked = filters[-1] == "filter=lfs"
    return tracked


def track(attributes: str, paths: list[str]) -> str:
    """`.gitattributes` that send these paths to LFS too, one line each, as the Hub adds them."""
    names = [re.sub(r'([*?["])', r"[\1]", path).replace(" ", "[[:space:]]") for path in paths]
    names = [f"\\{name}" if name.startswith(("#", "!")) else name for name in names]
    lines = [f"{name} {_TRACKED}\n" for name in names]
    ended = attributes if attributes.endswith("\n") or not attributes else f"{attributes}\n"
    return ended + "".join(lines)


def is_ignored(ignore: str, path: str) -> bool:
    """Whether a `.gitignore` of this text leaves a path out, or a folder above it."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        ignored, folder = False, depth < len(parts)
        for line in ignore.splitlines():
            pattern = line.strip()
            wanted = not pattern.startswith("!")
            pattern = pattern.removeprefix("!")
            if not pattern or pattern.startswith("#") or (pattern.endswith("/") and not folder):
                continue
            if _matches(pattern, "/".join(parts[:depth])):
                ignored = wanted
        if ignored:
            return True
    return False
