"""Readers on files that were made to break them: one line, soon, in little memory, and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_adapter
import nasty
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubkit import adapter, errors, record, tensor_file
from hubkit.card import regions
from hubkit.publishing import checks

MEGABYTES = 200  # that all of it may take above what a reader of a whole adapter has
HERE = Path(__file__).parent


def outcome(directory: Path, *groups: str) -> dict[str, Any]:
    """What came of running the files of these groups, in one process."""
    done = subprocess.run(
        [sys.executable, str(HERE / "nasty.py"), str(directory), *groups],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


@pytest.mark.soak
def test_no_file_breaks_a_reader(tmp_path: Path) -> None:
    """Headers, configurations, front matter and records; bodies of cards too where there is time."""
    groups = [nasty.WEIGHTS, nasty.CONFIG, nasty.RECORD, nasty.TOKENIZER, f"{nasty.CARD}: front"]
    if os.environ.get("HUBKIT_SOAK") == "long":
        groups.append(f"{nasty.CARD}: ")
    files = 0
    for group in groups:
        found = outcome(tmp_path / str(files), group)
        print(
            f"{group}: {found['files']} files, {found['megabytes']} MB above the start; slow: {found['slow']}"
        )
        assert found["faults"] == {}
        assert found["megabytes"] < MEGABYTES, found["grew"]
        files += found["files"]
    assert files > 400


def test_the_runner_tells_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = fake_adapter.write(tmp_path / "adapter")
    assert nasty.fault_of(["audit", str(directory)]) is None

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(adapter, "read_config", broken)
    assert "fault of hubkit" in str(nasty.fault_of(["audit", str(directory)]))


# Anything at all, quickly

WORDS = st.one_of(
    st.text(max_size=8),
    st.sampled_from([*nasty.KEYS, "LORA", "org/base", "schema_version", "tags", "license"]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=6,
)
quickly = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_adapter.write(tmp_path_factory.mktemp("fuzzed") / "adapter")


def is_fine(read: Callable[[], object]) -> None:
    """It is read, or refused in one line; no other error passes."""
    said = ""
    try:
        read()
    except errors.HubkitError as error:
        said = str(error)
    assert said.isprintable()
    assert len(said) < 2 * errors.LONGEST + 10


def replaced(directory: Path, name: str, content: bytes, *reads: Callable[[], object]) -> None:
    """Read with other bytes in the place of a file, which comes back."""
    before = (directory / name).read_bytes()
    (directory / name).write_bytes(content)
    try:
        for read in reads:
            is_fine(read)
        is_fine(lambda: checks.read(directory))
    finally:
        (directory / name).write_bytes(before)


@quickly
@given(st.dictionaries(st.sampled_from(nasty.KEYS), VALUES))
def test_any_configuration(directory: Path, config: dict[str, Any]) -> None:
    content = json.dumps({"peft_type": "LORA", **config}).encode()
    replaced(directory, nasty.CONFIG, content, lambda: adapter.read(directory).sha256())


FIELDS = record.Record.__struct_fields__
SHORT_FRONTS = st.sampled_from([front for front in nasty.FRONTS.values() if len(front) < 3000])


@quickly
@given(st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_any_record(directory: Path, plain: dict[str, Any]) -> None:
    replaced(directory, nasty.RECORD, json.dumps(plain).encode(), lambda: record.read(directory))


@quickly
@given(
    st.one_of(
        VALUES.map(json.dumps),
        st.text(),
        SHORT_FRONTS,
    )
)
def test_any_front_matter(directory: Path, front: str | bytes) -> None:
    replaced(directory, nasty.CARD, nasty.card(front)(), lambda: regions.on_disk(directory))


@quickly
@given(VALUES, st.binary(max_size=20))
def test_any_header(directory: Path, header: Any, data: bytes) -> None:
    content = nasty.weights(header, data)
    replaced(directory, nasty.WEIGHTS, content, lambda: tensor_file.read_header(directory / nasty.WEIGHTS))


PIECES = st.sampled_from([b"{", b"[", b'"', b"\\ud800", b"NaN", b"1e999", b"\xff"])
DAMAGE = st.lists(st.tuples(st.integers(0, 400), st.one_of(st.binary(max_size=3), PIECES)))


@quickly
@given(st.sampled_from([nasty.CONFIG, nasty.RECORD, nasty.CARD, nasty.WEIGHTS]), DAMAGE)
def test_any_damage(directory: Path, name: str, damage: list[tuple[int, bytes]]) -> None:
    content = (directory / name).read_bytes()
    for at, other in damage:
        content = content[:at] + other + content[at + len(other) :]
    replaced(directory, name, content)
