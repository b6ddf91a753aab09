"""What an audit looks at: a card, and everything beside it that can say whether the card is true.

Whatever cannot be read is None, and `unknown` says why: a rule that needs it stays silent, and the audit says
which kinds of facts could not be checked.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubkit import adapter as adapter_files
from hubkit import base_model, bounded_json, files, record
from hubkit.adapter import Adapter
from hubkit.audit import document
from hubkit.audit.document import Document
from hubkit.card import facts as card_facts
from hubkit.card.facts import Facts
from hubkit.errors import HubkitError
from hubkit.record import Record

if TYPE_CHECKING:
    from hubkit.audit.remote import Fetched

CARD_NAME = "README.md"


@dataclass
class Subject:
    """A card and what lies beside it."""

    document: Document
    directory: Path | None = None  # of the adapter
    adapter: Adapter | None = None
    adapter_problem: str | None = None  # why it cannot be read, where something is there
    config: dict[str, Any] | None = None  # adapter_config.json, also of an adapter that cannot be read
    record: Record | None = None  # None: there is no hubkit.json, or none that can be read
    record_problem: str | None = None
    base_config: dict[str, Any] | None = None
    base_id: str | None = None  # Hub id of the base, as the artifacts (never the card) name it
    facts: Facts | None = None  # what hubkit itself would say of this adapter
    quantization: dict[str, Any] | None = None  # of record, base or quantization_config.json
    repo_id: str | None = None  # the card's own repo, where it is known
    files: dict[str, int] = field(default_factory=dict)  # what lies beside the card: name -> bytes
    remote: bool = False

    @property
    def path(self) -> str:
        """How findings name the card."""
        return self.document.path

    @property
    def weights_readable(self) -> bool:
        """Whether the weights themselves are at hand, and not only their header: zeros can be counted."""
        return self.adapter is not None and not self.remote

    @property
    def peft_type(self) -> str | None:
        """PEFT's name of the method, upper case."""
        named = (self.config or {}).get("peft_type")
        return named.upper() if isinstance(named, str) and named else None

    @property
    def task_type(self) -> str | None:
        """PEFT's name of the task, as the configuration has it."""
        named = (self.config or {}).get("task_type")
        return named if isinstance(named, str) and named else None

    def command(self, name: str = "card") -> str:
        """The command of hubkit's that mends what is beside this card."""
        place = "DIR" if self.remote else shlex.quote(str(self.directory))
        return f"hubkit {name} --adapter {place}"

    @property
    def unknown(self) -> list[str]:
        """What could not be checked, and why, a line each."""
        lines = []
        if self.config is None:
            lines.append(f"claims about the adapter ({self.adapter_problem or 'no adapter beside the card'})")
        elif self.adapter is None:
            lines.append(f"claims about the weights ({self.adapter_problem})")
        elif self.remote:
            lines.append("zeros in the weights (only their header was fetched)")
        if self.record is None:
            lines.append(f"measured numbers ({self.record_problem or 'no hubkit.json beside the card'})")
        if self.base_config is None:
            lines.append("claims about the base (no config.json of it: --base-config)")
        return lines


def load(
    card: Path,
    adapter_dir: Path | None = None,
    base_config: Path | None = None,
    *,
    shown: str | None = None,
    repo_id: str | None = None,
) -> Subject:
    """Read a card (a file) and what lies beside it, or in `adapter_dir`. Raises HubkitError."""
    try:
        document.check_size(str(card), card.stat().st_size)
        text = files.read(card, document.LARGEST).decode("utf-8", errors="replace")
    except OSError as error:
        raise HubkitError(
            f"cannot read {card}: {error.strerror or error}", "give a card, an adapter directory or a repo id"
        ) from error
    directory = adapter_dir or card.parent
    subject = Subject(document.read(text, shown or str(card)), directory=directory, repo_id=repo_id)
    subject.files = _files(card.parent) | _files(directory)
    _read_beside(subject, directory, base_config)
    return subject


def load_remote(fetched: Fetched, adapter_dir: Path | None, base_config: Path | None) -> Subject:
    """The subject of a repo that was fetched; what is given comes before what the repo has."""
    text = (fetched.directory / CARD_NAME).read_bytes().decode("utf-8", errors="replace")
    subject = Subject(
        document.read(text, f"{fetched.repo_id}/{CARD_NAME}"),
        directory=adapter_dir or fetched.directory,
        repo_id=fetched.repo_id,
        files=fetched.files,
        remote=adapter_dir is None,
    )
    known = fetched.weights_sha256 if adapter_dir is None else None
    _read_beside(subject, adapter_dir or fetched.directory, base_config or fetched.base_config, known)
    return subject


def _read_beside(
    subject: Subject, directory: Path, base_config: Path | None, weights_sha256: str | None = None
) -> None:
    """Read what lies beside a card."""
    _read_adapter(subject, directory)
    if subject.adapter and weights_sha256:
        subject.adapter = replace(subject.adapter, known_sha256=weights_sha256)
    _read_record(subject, directory)
    _read_base(subject, directory, base_config)
    _gather(subject, directory, base_config)


def _files(directory: Path) -> dict[str, int]:
    """The files below a directory, hidden ones left out, and no more than a repo may hold."""
    found: dict[str, int] = {}
    for path in directory.rglob("*"):
        name = path.relative_to(directory).as_posix()
        if len(found) >= 10_000:
            break
        if path.is_file() and not name.startswith(".") and "/." not in name:
            found[name] = path.stat().st_size
    return found


def _read_adapter(subject: Subject, directory: Path) -> None:
    """The adapter; where it cannot be read, its configuration."""
    path = directory / adapter_files.CONFIG_NAME
    if not path.is_file():
        return
    try:
        subject.config = adapter_files.read_config(path)
        subject.adapter = adapter_files.read(directory)
    except HubkitError as error:
        subject.adapter_problem = error.message
        if subject.config is None:
            subject.config = _mapping(path)


def _mapping(path: Path) -> dict[str, Any] | None:
    """A JSON file that holds a mapping with something in it; None for anything else."""
    try:
        plain = bounded_json.loads(files.read(path, bounded_json.LARGEST))
    except (OSError, ValueError, RecursionError):
        return None
    return plain if isinstance(plain, dict) and plain else None


def _read_record(subject: Subject, directory: Path) -> None:
    if not (directory / record.RECORD_NAME).is_file():
        return
    try:
        subject.record = record.read(directory)
    except HubkitError as error:
        subject.record_problem = error.message


def _read_base(subject: Subject, directory: Path, given: Path | None) -> None:
    """The base's id and configuration. What the record knows of the base counts before the configuration."""
    known = subject.record.base_model if subject.record else None
    named = (subject.config or {}).get("base_model_name_or_path")
    subject.base_id = base_model.hub_id(known.id if known else named if isinstance(named, str) else None)
    if subject.repo_id is None and subject.record:
        subject.repo_id = subject.record.repo_id
    if given is not None:
        subject.base_config = base_model.read_config(given)
    subject.quantization = (
        (known.quantization if known else None)
        or (base_model.quantization(subject.base_config) if subject.base_config else None)
        or _mapping(directory / card_facts.QUANTIZATION_NAME)
    )


def _gather(subject: Subject, directory: Path, base_config: Path | None) -> None:
    """What hubkit itself would say of this adapter, where all that it needs can be read."""
    if subject.adapter is None or subject.record_problem:
        return
    try:
        subject.facts = card_facts.gather(directory, base_config=base_config, adapter=subject.adapter)
    except HubkitError as error:
        subject.adapter_problem = subject.adapter_problem or error.message
