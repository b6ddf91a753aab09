"""An upload is counted, and drawn as one bar that moves and ends at 100 %."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkit import hub_sending
from hubkit.hub_sending import Sending, Streams, size


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns, and every state drawn."""
    monkeypatch.setattr(hub_sending, "REDRAWN", 0.0)
    monkeypatch.setattr(hub_sending, "columns", lambda: 80)
    ticks = itertools.count()
    monkeypatch.setattr("hubkit.hub_sending.time.monotonic", lambda: float(next(ticks)))


def test_it_moves_and_ends_whole(wide: None, capsys: pytest.CaptureFixture[str]) -> None:
    with Sending(2_000_000, drawn=True) as sending:
        sending.reached(500_000, 500_000)
        sending.reached(1_000_000, 500_000)
    states = capsys.readouterr().err.split("\r")
    assert [state.split(",")[0].rstrip() for state in states] == [
        "",
        "Uploading [#####               ]  25%  500.0 kB of 2.0 MB",
        "Uploading [##########          ]  50%  1.0 MB of 2.0 MB",
        "Uploading [####################] 100%  2.0 MB of 2.0 MB",
    ]
    assert states[-1].endswith("\n")
    assert (sending.done, sending.sent) == (2_000_000, 500_000)


def test_one_that_fails_does_not_end_whole(wide: None, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        with Sending(100, drawn=True) as sending:
            sending.reached(50, 50)
            raise OSError

    with pytest.raises(OSError):
        fails()
    err = capsys.readouterr().err
    assert " 50%" in err
    assert "100%" not in err
    assert err.endswith("\n")


@pytest.mark.parametrize(("total", "drawn", "told"), [(100, False, 50), (100, True, None), (0, True, None)])
def test_nothing_is_drawn_where_nobody_watches_or_nothing_is_sent(
    total: int, drawn: bool, told: int | None, wide: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with Sending(total, drawn) as sending:
        if told:
            sending.reached(told, told)
    assert capsys.readouterr().err == ""
    assert sending.sent == told


@given(st.integers(1, 200), st.lists(st.integers(0, 10**13), max_size=5), st.integers(0, 10**13))
def test_it_fits_into_any_terminal(columns: int, states: list[int], total: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr(hub_sending, "REDRAWN", 0.0)
        patch.setattr(hub_sending, "columns", lambda: columns)
        patch.setattr("sys.stderr.write", lines.append)
        with Sending(total, drawn=True) as sending:
            for done in states:
                sending.reached(done, done)
    assert all(len(line.strip("\r\n")) < max(columns, 1) or columns == 1 for line in lines)


def test_streams_count_what_is_read_and_how_far(tmp_path: Path) -> None:
    """A part that is read again, because it had to be sent again, counts as sent and not as done."""
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"a" * 300)
    second.write_bytes(b"b" * 200)
    with Sending(500, drawn=False) as sending:
        streams = Streams(sending)
        with streams.open(first) as one, streams.open(second) as two:
            assert one.read(200) == b"a" * 200
            assert two.read() == b"b" * 200
            assert (sending.done, sending.sent) == (400, 400)
            one.seek(0)
            assert one.read() == b"a" * 300
    assert (sending.done, sending.sent) == (500, 700)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (50_000_000, "50.0 MB"), (10**13, "10000.0 GB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
