"""The author's Markdown beside the adapter: `card/intended-use.md`, `card/risks.md`, one file a text.

They are read each time that a card is made, and win over what hubkit.json says. They are not published as
files: what is published has their text in hubkit.json, so that the card can be made again without them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from hubkit.errors import CardError
from hubkit.record import Author

FOLDER = "card"
# The texts of Author that are Markdown, in the order in which a card would have them.
TEXTS = (
    "summary", "description", "intended_use", "downstream_use", "out_of_scope", "evaluation", "training_data",
    "limitations", "risks", "recommendations", "citation", "glossary", "more_information", "contact", "help",
    "funding", "acknowledgements",
)  # fmt: skip
NAMES = {f"{text.replace('_', '-')}.md": text for text in TEXTS}
LARGEST = 1_000_000  # bytes of one text; all of a card is shorter
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def name_of(text: str) -> str:
    """The file for a text: `out_of_scope` -> `card/out-of-scope.md`."""
    return f"{FOLDER}/{text.replace('_', '-')}.md"


def read(directory: Path) -> Author | None:
    """What the fragments of an adapter directory say; None without any. Raises CardError.

    A file that is empty, or holds comments only, says nothing.
    """
    folder = directory / FOLDER
    try:
        found = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CardError(
            f"cannot read {folder}: {error.strerror or error}", "look at what lies there"
        ) from error
    said = Author()
    for path in found:
        if words := _read(path, directory):
            setattr(said, NAMES[path.name], words)
    return said if said != Author() else None


def over(directory: Path, author: Author, from_files: Sequence[str]) -> Author:
    """The author's words with those of the fragments over them.

    `from_files` names the texts that a record took from fragments: where there is a folder, but not the file
    any more, the text is gone too.
    """
    if not (directory / FOLDER).is_dir():
        return author
    said = read(directory) or Author()
    given = {name: getattr(said, name) for name in TEXTS if getattr(said, name)}
    gone = {name: None for name in from_files if name in TEXTS and name not in given}
    return msgspec.structs.replace(author, **{**gone, **given})


def names(directory: Path) -> list[str]:
    """The texts that fragments say."""
    said = read(directory)
    return [name for name in TEXTS if said and getattr(said, name)]


def refuse_twice(directory: Path, options: Mapping[str, object]) -> None:
    """Raise CardError where an option of `hubkit card` says what a fragment says too, and would lose."""
    said = read(directory)
    for name in TEXTS:
        if said and options.get(name) and getattr(said, name):
            raise CardError(
                f"--{name.replace('_', '-')} and {directory / name_of(name)} both say it",
                "leave out the option, or remove the file",
            )


def _read(path: Path, directory: Path) -> str:
    if path.name not in NAMES:
        near = difflib.get_close_matches(path.name, NAMES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the names are {', '.join(NAMES)}"
        raise CardError(f"{path} is no text that a card has", hint)
    if not path.resolve().is_relative_to(directory.resolve()):
        # In a repo that was cloned, it could be a link to any file of the reader's, which would be published.
        raise CardError(
            f"{path} is a link that leads out of the directory", "put a copy of the file in its place"
        )
    if not path.is_file() or path.stat().st_size > LARGEST:
        raise CardError(
            f"{path} is no text of at most {LARGEST:,} bytes", "write it in Markdown, in one file"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise CardError(f"cannot read {path}: {reason}", "write it in UTF-8") from error
    return text.strip("\n") if _COMMENT.sub("", text).strip() else ""
