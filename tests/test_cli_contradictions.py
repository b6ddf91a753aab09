"""Options that contradict each other, or name nothing, are one line and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest
from card_cases import CASES

from hubkit.cli.main import run

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return CASES["causal-lora"](tmp_path / "adapter")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["card", "--adapter", "DIR", "--keep", "--force"], "--keep and --force contradict each other"),
        (["card", "--adapter", "DIR", "--base-path", "DIR", "--base-from-hub"], "name one base each"),
        (["compare", "DIR", "DIR", "--plot", "x.jpg"], "--plot draws a PNG, and x.jpg does not end in .png"),
        (["audit", "DIR", "--select", "HK2", "--ignore", "HK2"], "--ignore leaves none of the rules"),
        (["card", "--adapter", "DIR", "--task"], "Option '--task' requires an argument"),
        (["run_and_publish", "--set"], "Option '--set' requires an argument"),
    ],
)
def test_it_is_one_line(arguments: list[str], said: str, adapter: Path, capsys: Captured) -> None:
    assert run([str(adapter) if part == "DIR" else part for part in arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (adapter / "README.md").exists()


@pytest.mark.parametrize(
    ("arguments", "command"),
    [(["card", "--task"], "card"), (["audit", "--select"], "audit"), (["--nothing"], "")],
)
def test_the_help_is_that_of_the_command(arguments: list[str], command: str, capsys: Captured) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err.endswith(f"Next: hubkit {command}{' ' if command else ''}--help\n")


def test_a_card_that_is_named_twice_is_audited_once(adapter: Path, capsys: Captured) -> None:
    assert run(["card", "--adapter", str(adapter), "-q"]) == 0
    capsys.readouterr()
    assert run(["audit", str(adapter), str(adapter / "README.md"), str(adapter.parent)]) == 0
    assert "Nothing found in 1 card." in capsys.readouterr().err
