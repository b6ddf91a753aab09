"""Which facts of a record belong to the adapter at hand, and which to another: by digests.

The digest is that of weights and effective configuration (`Adapter.sha256`). What was measured or trained on
another adapter is never shown on a card, and never published.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec

from hubkit import files
from hubkit import record as record_file
from hubkit.record import Dataset, Measures, Record

SAMPLE = "a sample of documents"  # the split of a text that an adapter may have been trained on


def stale(record: Record, adapter_sha256: str) -> list[str]:
    """The names of what the record says of another adapter than the one with this digest."""
    _, names = fresh_measures(record.measures, adapter_sha256)
    of_another = record.training is not None and not is_trained(record, adapter_sha256)
    return [*names, "training"] if of_another else names


def ran_on(record: Record, directory: Path, adapter_sha256: str) -> bool:
    """Whether the card's code ran on the adapter in a directory, which has this digest.

    So it did where the tokenizer beside it is the same, and the base the one that the record names.
    """
    ran, base = record.usage, record.base_model
    if ran is None or ran.adapter_sha256 != adapter_sha256:
        return False
    if ran.tokenizer_sha256 and tokenizer_sha256(directory) not in (None, ran.tokenizer_sha256):
        return False
    weights = base.weights_sha256 if base else None
    return None in (weights, ran.base_weights_sha256) or weights == ran.base_weights_sha256


def tokenizer_sha256(directory: Path) -> str | None:
    """The digest of the tokenizer beside an adapter; None where there is none, or where an audit of a repo
    knows no more than the names of its files."""
    found = [path for name in files.TOKENIZER_FILES if (path := directory / name).is_file()]
    if not found or any(path.stat().st_size == 0 for path in found):
        return None
    return files.sha256_of(found)


def is_trained(record: Record, adapter_sha256: str) -> bool:
    """Whether the record tells how the adapter with this digest was trained.

    A training without a digest is believed.
    """
    return record.training is not None and record.training.adapter_sha256 in (None, adapter_sha256)


def fresh(record: Record, adapter_sha256: str) -> Record:
    """The record without what it says of another adapter than the one with this digest."""
    measures, _ = fresh_measures(record.measures, adapter_sha256)
    found = record.found_history
    if found is not None and found.adapter_sha256 != adapter_sha256:
        found = None
    kept = msgspec.structs.replace(record, measures=measures, found_history=found)
    if record.training is None or is_trained(record, adapter_sha256):
        return kept
    dataset = only_evaluated(record.dataset) if record.dataset else None
    return msgspec.structs.replace(kept, training=None, method=None, dataset=dataset)


def only_evaluated(dataset: Dataset) -> Dataset:
    """The facts of a text that an adapter was measured on and not, as far as is known, trained on."""
    return msgspec.structs.replace(
        dataset,
        eval_split=SAMPLE if dataset.hold_out else dataset.eval_split,
        hold_out=None,
        train_split=None,
        train_sha256=None,
        train_documents=None,
        train_words=None,
        train_tokens=None,
        overlap=None,
        duplicate_documents_dropped=None,
        duplicate_paragraphs_dropped=None,
        contradictory_duplicates=None,
        rows_left_out=None,
        train_label_documents=[],
        answer_tokens=None,
        conversations_cut=None,
        conversations_left_out=None,
    )


def fresh_measures(measures: Measures, adapter_sha256: str) -> tuple[Measures, list[str]]:
    """The measures taken on the adapter with this digest, and the names of those taken on others."""
    others = [
        name
        for name in measures.__struct_fields__
        if (value := getattr(measures, name)) is not None and value.adapter_sha256 != adapter_sha256
    ]
    return msgspec.structs.replace(measures, **dict.fromkeys(others)), others


def with_measures(record: Record, measures: Measures) -> Record:
    """The record with other measures, and with the digests of those that are new.

    A measure that is as it was keeps the digest it had: what was edited by hand is not made good by a command
    that measures something else.
    """
    before, sealed = record.measures, dict(record.measures_sha256)
    for name in Measures.__struct_fields__:
        now = getattr(measures, name)
        if now is None:
            sealed.pop(name, None)
        elif now != getattr(before, name):
            sealed[name] = _canonical_sha256(msgspec.to_builtins(now))
    return msgspec.structs.replace(record, measures=measures, measures_sha256=sealed)


def edited(directory: Path) -> list[str]:
    """The names of the measures in a directory's record that are not as hubkit wrote them.

    Of a measure without a digest nobody knows. The file's own JSON is looked at, and not what this version
    understands of it: a newer hubkit may have written more. Raises RecordError.
    """
    known = record_file.read(directory).measures_sha256  # which checks the file, too
    if not known:
        return []
    plain = json.loads(files.read(directory / record_file.RECORD_NAME, record_file.LARGEST))
    measures = plain.get("measures", {})
    return [
        name
        for name, sha256 in known.items()
        if name in measures and _canonical_sha256(measures[name]) != sha256
    ]


def _canonical_sha256(plain: Any) -> str:
    """The digest of plain data as JSON: keys sorted, no spaces, 5.0 as 5."""
    whole = json.dumps(_canonical(plain), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(whole.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_canonical(below) for below in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
