"""Run the Python that a card shows, as a reader would: the text of README.md, in a clean process.

    run = verify(directory, start_local_hub, options, say)

The adapter's files and the base's are served by a local Hub under the ids that the card names, so that the
very text of the card is what runs. Where the card names the adapter's directory, that lies in the folder that
the program runs in.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import msgspec

from hubkit import adapter, files, freshness, record
from hubkit.card import regions, snippets
from hubkit.card.facts import Facts, gather
from hubkit.card.missing import missing
from hubkit.card.snippets import Block
from hubkit.card.usage import usage
from hubkit.errors import SnippetError
from hubkit.extras import TRAIN, require
from hubkit.record import BaseModel, Environment, UsageRun
from hubkit.verify import base_files, output, process
from hubkit.verify.base_files import BaseFiles

LOG_NAME = "usage.log"
TIME_LIMIT = 600.0
NO_WEIGHTS = b"Found missing adapter keys while loading the checkpoint"  # PEFT's warning: they are random
HUB = "https://huggingface.co"
Say = Callable[[str], None]


class ServedHub(Protocol):
    """A local Hub that is being served."""

    @property
    def endpoint(self) -> str: ...  # noqa: D102

    def close(self) -> None: ...  # noqa: D102


class StartMounted(Protocol):
    """What starts a local Hub that serves directories under ids: `hubkit.localhub.start`."""

    def __call__(self, directory: Path, *, mounts: Mapping[str, tuple[Path, str]]) -> ServedHub: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to run. `trusted`: the user allows code of the base's repo to run."""

    base_path: Path | None = None
    trusted: bool = False
    time_limit: float = TIME_LIMIT
    threads: int | None = None


def verify(directory: Path, start: StartMounted, options: Options, say: Say) -> UsageRun:
    """Run the code of the written card. Raises SnippetError, BaseModelError, HubError, MissingExtra."""
    require("train", TRAIN)
    facts = gather(directory)
    card, blocks = _read(directory, facts)
    if ignored := _ignored(facts.adapter):
        raise SnippetError(
            f"{facts.adapter.weights} holds updates of {', '.join(ignored)}, which adapter_config.json does"
            " not name: PEFT leaves them out without a word",
            "write both anew with PEFT's save_pretrained",
        )
    if _asks_trust(blocks) and not options.trusted:
        raise SnippetError(
            f"the code of {directory / regions.CARD_NAME} runs code of {facts.base_id}'s repo",
            "read that code, then allow it: --trust-remote-code",
        )
    base = _base(facts, options, say)
    with tempfile.TemporaryDirectory(prefix="hubkit-usage-", ignore_cleanup_errors=True) as place:
        folder = Path(place).resolve()
        with _served(folder, facts, base, start) as (endpoint, cwd):
            say(f"running the code of {directory / regions.CARD_NAME}")
            variables = process.environment(folder, endpoint, options.threads)
            ended = process.run(card, blocks, folder, cwd, variables, options.time_limit)
        names = {str(folder): "...", endpoint: HUB, **_names(facts, base)}
    log = directory / LOG_NAME
    _check(ended, directory, blocks, options, names)
    log.unlink(missing_ok=True)
    by_chance = facts.base_lacks_head and not facts.brings_head  # a head that is drawn anew each time
    assert ended.result is not None
    return UsageRun(
        snippet_sha256=snippets.sha256(blocks),
        adapter_sha256=facts.adapter.sha256(),
        output=None if by_chance else output.clean(ended.stdout, names) or None,
        seconds=round(ended.seconds, 1),
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        environment=msgspec.convert(ended.result["environment"], Environment),
        tokenizer_sha256=freshness.tokenizer_sha256(directory),
        base_revision=base.revision,
        base_weights_sha256=base.weights_sha256,
    )


def verify_and_record(directory: Path, start: StartMounted, options: Options, say: Say) -> UsageRun:
    """Run the code of the written card and keep the run in the record. Raises what `verify` raises."""
    _free_memory()
    run = verify(directory, start, options, say)
    record.write(directory, msgspec.structs.replace(record.read(directory), usage=run))
    say(f"it ran in {run.seconds:.0f} s")
    return run


def _free_memory() -> None:
    """Let go of models that were measured before: the code loads the base once more."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def has_run(directory: Path) -> bool:
    """Whether the record holds a run of the written card's code on the files that lie there."""
    known = record.read(directory)
    blocks = snippets.python_blocks(regions.on_disk(directory) or "")
    if known.usage is None or known.usage.snippet_sha256 != snippets.sha256(blocks):
        return False
    return freshness.ran_on(known, directory, adapter.read(directory).sha256())


def has_code(directory: Path) -> bool:
    """Whether the written card shows any Python of its use."""
    return bool(snippets.python_blocks(regions.on_disk(directory) or ""))


def _read(directory: Path, facts: Facts) -> tuple[str, list[Block]]:
    """The written card and its code. Raises SnippetError."""
    card = regions.on_disk(directory)
    path = directory / regions.CARD_NAME
    if card is None:
        raise SnippetError(f"there is no {path}", "hubkit card writes it")
    blocks = snippets.python_blocks(card)
    if blocks and facts.base_id is not None:
        return card, blocks
    if facts.base_id is None or usage(facts) is None:
        hows = [f"{what}: {how}" for what, how in missing(facts) if what.startswith(("base model", "task"))]
        raise SnippetError(f"{path} shows no code to run", "; ".join(hows) or None)
    raise SnippetError(f"{path} shows no code to run", "its section `usage` holds no block of Python")


def _ignored(found: adapter.Adapter) -> list[str]:
    """The last names of modules that the file adapts and the configuration does not name."""
    named = found.config.get("target_modules")
    if not isinstance(named, list) or not named or found.config.get("target_parameters"):
        return []  # a pattern, or parameters, which PEFT calls by other names
    ends = tuple(f".{name}" for name in named)
    return sorted({path.rpartition(".")[2] for path in found.adapted_modules if not path.endswith(ends)})


def _asks_trust(blocks: Sequence[Block]) -> bool:
    """Whether the code may allow code of a repo to run: it speaks of it, other than to forbid it."""
    for block in blocks:
        try:
            tree = ast.parse(block.code)
        except (SyntaxError, ValueError, RecursionError):
            if "trust_remote_code" in block.code:
                return True
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                    return True
            elif isinstance(node, ast.Constant) and node.value == "trust_remote_code":
                return True
    return False


def _base(facts: Facts, options: Options, say: Say) -> BaseFiles:
    """The files of the base."""
    known = facts.record.base_model or BaseModel(id=str(facts.base_id))
    if options.base_path:
        return base_files.of_directory(options.base_path, known)
    return base_files.of_hub(str(facts.base_id), known.revision, options.trusted, say)


@contextlib.contextmanager
def _served(folder: Path, facts: Facts, base: BaseFiles, start: StartMounted) -> Iterator[tuple[str, Path]]:
    """A local Hub that serves adapter and base, its address, and the directory to run in."""
    cwd = process.made(folder / "work")
    served = process.made(cwd / facts.directory_name if facts.repo_id is None else folder / "adapter")
    for name in files.ADAPTER_FILES:  # what is published of the directory, and nothing else of it
        if (facts.adapter.directory / name).is_file():
            (served / name).symlink_to((facts.adapter.directory / name).resolve())
    base_id = str(facts.base_id)
    mounts = {base_id: (base.directory, base.commit)}
    if facts.repo_id is not None:
        mounts[facts.repo_id] = (served, hashlib.sha1(facts.adapter.sha256().encode()).hexdigest())
    _fill_cache(folder / "hf" / "hub", base_id, base)
    hub = start(folder / "served", mounts=mounts)
    try:
        yield hub.endpoint, cwd
    finally:
        hub.close()


def _fill_cache(cache: Path, base_id: str, base: BaseFiles) -> None:
    """Put links to the base's files where huggingface_hub would download them to: no copy of gigabytes."""
    repo = cache / f"models--{base_id.replace('/', '--')}"
    snapshot = repo / "snapshots" / base.commit
    for folder, below, names in os.walk(base.directory):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                source = Path(folder, name)
                link = snapshot / source.relative_to(base.directory)
                process.made(link.parent)
                link.symlink_to(source.resolve())
    process.made(repo / "refs")
    (repo / "refs" / "main").write_text(base.commit)


def _names(facts: Facts, base: BaseFiles) -> dict[str, str]:
    """Paths of this machine that may not be shown, and what stands in their place."""
    home = os.path.expanduser("~")
    found = {
        str(base.directory): str(facts.base_id),
        str(facts.adapter.directory.resolve()): facts.repo_id or facts.directory_name,
        home: "~",
    }
    return {path: name for path, name in found.items() if len(path) > 1}


def _check(
    ended: process.Ended, directory: Path, blocks: Sequence[Block], options: Options, names: Mapping[str, str]
) -> None:
    """Raise SnippetError where the code did not come to its end; what it said is kept in a file beside it."""
    result: dict[str, Any] = ended.result or {}
    fits = NO_WEIGHTS not in ended.stderr
    if "environment" in result and ended.exit_code == 0 and fits:
        return
    path, log = directory / regions.CARD_NAME, directory / LOG_NAME
    files.write_atomically(log, output.clean_all(ended.stderr, names).encode("utf-8", "replace"))
    if ended.exit_code is None:
        seconds = f"{options.time_limit:g} second{'' if options.time_limit == 1 else 's'}"
        raise SnippetError(
            f"the code of {path} did not end within {seconds} (what it said: {log})",
            "give it more time with --time-limit, or a smaller example",
        )
    if "error" in result:
        said = output.last_line(str(result["error"]).encode("utf-8", "replace"), names)
        where = f"in block {result['block']} of {len(blocks)}, line {result['line']}"
        what = f"the code of {path} fails {where}: {said}"
    elif not fits:
        what = f"the adapter of {path} has no weights for some modules of the base, and PEFT only warns of it"
    else:
        last = output.last_line(ended.stderr, names) or f"exit code {ended.exit_code}"
        what = f"the code of {path} ended before it was done: {last}"
    raise SnippetError(f"{what} (all of it: {log})", "mend it, then run the command again")
