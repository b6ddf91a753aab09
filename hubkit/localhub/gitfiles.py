"""What `.gitattributes` and `.gitignore` say of a path: does it go to LFS, is it left out of an upload?

https://git-scm.com/docs/gitattributes and https://git-scm.com/docs/gitignore: the last line that matches
counts.
"""

from __future__ import annotations

import functools
import re

ATTRIBUTES, IGNORE = ".gitattributes", ".gitignore"
_TRACKED = "filter=lfs diff=lfs merge=lfs -text"
_CLASSES = {"[:space:]": r"\s", "[:digit:]": "0-9", "[:alpha:]": "a-zA-Z", "[:alnum:]": "a-zA-Z0-9"}


@functools.lru_cache(maxsize=2048)
def _regex(pattern: str) -> re.Pattern[str]:
    """A pattern of git's as an expression for a whole path; without a slash it is for the last part."""
    anchored = "/" in pattern.rstrip("/")
    text, at, out = pattern.strip("/"), 0, []
    while at < len(text):
        if text.startswith("**/", at):
            out.append("(?:.*/)?")
            at += 3
        elif text.startswith("**", at):
            out.append(".*")
            at += 2
        elif text[at] == "[" and (end := text.find("]", at + 2)) > 0:
            end = text.find("]", end + 1) if text.startswith("[[:", at) else end
            out.append(_class(text[at + 1 : end]))
            at = end + 1
        elif text[at] == "\\" and at + 1 < len(text):
            out.append(re.escape(text[at + 1]))
            at += 2
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(text[at], re.escape(text[at])))
            at += 1
    try:
        return re.compile(("" if anchored else "(?:.*/)?") + "".join(out))
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
        if filters and _regex(pattern.strip('"')).fullmatch(path):
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
            if _regex(pattern).fullmatch("/".join(parts[:depth])):
                ignored = wanted
        if ignored:
            return True
    return False
