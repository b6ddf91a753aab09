"""Blocks of tokens, made once and kept in the cache of Hugging Face's libraries (`HF_HOME`/assets/hubkit).

The name of an entry is a digest of all that shapes the tokens, so that it never is out of date. It is written
beside and renamed: several processes may make the same. A checksum of each file tells one that was damaged,
and it is made anew. The entries that were used longest ago go when all are larger than `MOST_BYTES`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
import weakref
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hubkit.errors import DataError
from hubkit.models import packing
from hubkit.models.corpus import Corpus, digest
from hubkit.models.packing import TYPES, Made

FORMAT = 2  # of the files and of how tokens are packed; another one is another entry
MOST_BYTES = 20_000_000_000
ABANDONED = 86_400  # seconds after which what was begun is taken for given up
FACTS = "facts.json"
CHUNK = 1 << 24


@dataclass(frozen=True, eq=False)
class Prepared:
    """Blocks on disk: arrays of (blocks, size), read as they are used."""

    made: Made
    ids: Any
    segments: Any
    counted: Any = None  # of conversations


def prepare(
    tokenizer: Any, text: Corpus, size: int, *, masked: bool = False, evaluation: bool = False
) -> Prepared:
    """The blocks of the training or the evaluation documents, made now or found. Raises DataError."""
    documents = text.evaluation if evaluation else text.train
    if text.kind == "chat":
        from hubkit.models import chat

        chat.adopt(tokenizer, text.chat_template)

    def make(folder: Path) -> Made:
        if text.kind == "chat":
            return packing.pack_conversations(tokenizer, documents, size, folder)
        return packing.pack(tokenizer, documents, size, masked, folder)

    told = text.facts.eval_sha256 if evaluation else text.facts.train_sha256
    of_tokenizer = tokenizer_sha256(tokenizer)
    try:
        if not text.cache or of_tokenizer is None:
            return _passing(make)
        key = _key(told or digest(documents), of_tokenizer, size, masked, text.kind)
        return _kept(folder(), key, make)
    except OSError as error:
        raise DataError(
            f"cannot keep the tokens of the text: {error.strerror or error}",
            "free some space, set HF_HOME to a folder with more, or set dataset.cache: false",
        ) from error


def folder() -> Path:
    """Where entries lie."""
    from huggingface_hub import cached_assets_path

    return Path(cached_assets_path("hubkit", "tokens"))


def tokenizer_sha256(tokenizer: Any) -> str | None:
    """A digest of all by which a tokenizer makes tokens; None for one that does not tell."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    import tokenizers

    special = [tokenizer.special_tokens_map, tokenizer.eos_token_id, tokenizer.pad_token_id]
    parts = [tokenizers.__version__, backend.to_str(), tokenizer.chat_template, special]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([FORMAT, *parts]).encode()).hexdigest()


def _passing(make: Callable[[Path], Made]) -> Prepared:
    """Blocks that are gone with the object that holds them."""
    scratch = Path(tempfile.mkdtemp(prefix="hubkit-tokens-"))
    try:
        found = _opened(scratch, make(scratch))
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    weakref.finalize(found, shutil.rmtree, scratch, ignore_errors=True)
    return found


def _kept(root: Path, key: str, make: Callable[[Path], Made]) -> Prepared:
    target = root / key
    if (found := _found(target)) is None:
        shutil.rmtree(target, ignore_errors=True)
        root.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix="part-", dir=root))
        try:
            made = make(beside)
            found = _opened(beside, made)  # to be read whatever another process does to the entry
            facts = {"made": asdict(made), "sums": {path.name: _sum(path) for path in _parts(beside)}}
            (beside / FACTS).write_text(json.dumps(facts), encoding="utf-8")
            try:
                beside.rename(target)
            except OSError:
                if _whole(target) is None:  # and no other process was faster
                    raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    _tidy(root, key)
    return found


def _found(target: Path) -> Prepared | None:
    """An entry that is there and whole."""
    made = _whole(target)
    try:
        return _opened(target, made) if made else None
    except (OSError, KeyError, ValueError):  # another process removes it
        return None


def _opened(where: Path, made: Made) -> Prepared:
    import numpy

    shape = (made.blocks, made.size)
    arrays = {
        name: numpy.memmap(where / name, dtype=kind, mode="r", shape=shape)
        for name, kind in TYPES.items()
        if (where / name).is_file()
    }
    return Prepared(made, arrays["ids"], arrays["segments"], arrays.get("counted"))


def _parts(where: Path) -> Sequence[Path]:
    return [where / name for name in TYPES if (where / name).is_file()]


def _whole(target: Path) -> Made | None:
    """What an entry says of itself, where its files are as they were written."""
    try:
        facts = json.loads((target / FACTS).read_text(encoding="utf-8"))
        made = Made(**facts["made"])
        whole = all(_sum(target / name) == value for name, value in facts["sums"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return made if whole and facts["sums"] else None


def _sum(path: Path) -> list[int]:
    """Size and CRC-32 of a file."""
    found = size = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            found, size = zlib.crc32(chunk, found), size + len(chunk)
    return [size, found]


def _tidy(root: Path, used: str) -> None:
    """Mark an entry as used, and remove what is too much or was given up; what cannot be removed stays."""
    now = time.time()
    entries = []
    for path in root.iterdir():
        try:
            if path.name == used:
                (path / FACTS).touch()
            modified = (path if path.name.startswith("part-") else path / FACTS).stat().st_mtime
            if path.name.startswith("part-"):
                if now - modified > ABANDONED:
                    shutil.rmtree(path, ignore_errors=True)
                continue
            entries.append((modified, path, sum(one.stat().st_size for one in path.iterdir())))
        except OSError:
            continue
    total = sum(size for _, _, size in entries)
    for _, path, size in sorted(entries):
        if total <= MOST_BYTES:
            break
        if path.name != used:
            shutil.rmtree(path, ignore_errors=True)
            total -= size
