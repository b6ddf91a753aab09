"""The command line as a whole: help, names, exit codes, and errors that are one line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from card_cases import CASES

from hubkit import __version__
from hubkit.cli import main as cli
from hubkit.cli.main import COMMANDS, run
from hubkit.errors import AdapterError, CheckFailed, HubkitError, Interrupted

ROOT = Path(__file__).parent.parent
Captured = pytest.CaptureFixture[str]


def command_of(name: str) -> click.Command:
    command = cli.main.get_command(click.Context(cli.main), name)
    assert command is not None
    return command


def hubkit(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    code = "from hubkit.cli.main import entry; entry()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_is_documented(name: str, capsys: Captured) -> None:
    assert run([name, "--help"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith(f"Usage: hubkit {name}")
    command = command_of(name)
    assert command.name == name
    assert re.match(r"[A-Z].+\.", str(command.help))
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]} has no help"
            assert parameter.help.endswith(".")
    reference = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"## hubkit {name}\n" in reference
    assert in_words(said.out) in in_words(reference), "regenerate it: python docs/generate.py"


def in_words(text: str) -> str:
    """The text without its line breaks, which depend on the terminal's width."""
    return " ".join(text.split())


def test_h_is_help(capsys: Captured) -> None:
    assert run(["-h"]) == 0
    top = capsys.readouterr().out
    assert run(["--help"]) == 0
    assert capsys.readouterr().out == top
    for name, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", top, re.MULTILINE)
        assert run([name, "-h"]) == 0


def test_no_command_shows_the_help(capsys: Captured) -> None:
    assert run([]) == 2
    assert capsys.readouterr().err.startswith("Usage: hubkit [OPTIONS] COMMAND")


def test_version(capsys: Captured) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"hubkit, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["crad"], "hubkit: no such command 'crad', did you mean 'card'? Next: hubkit --help"),
        (["pubish"], "hubkit: no such command 'pubish', did you mean 'publish'? Next: hubkit --help"),
        (["zzz"], f"hubkit: no such command 'zzz'; there are {', '.join(COMMANDS)}. Next: hubkit --help"),
        (["--nope"], "hubkit: No such option '--nope'. Next: hubkit --help"),
        (["card"], "hubkit: Missing option '--adapter'. Next: hubkit card --help"),
        (
            ["card", "--languag", "x"],
            "hubkit: No such option '--languag'. Did you mean '--language'? Next: hubkit card --help",
        ),
        (
            ["card", "--adapter", "x", "y"],
            "hubkit: Got unexpected extra argument (y). Next: hubkit card --help",
        ),
        (
            ["serve", "x", "--port", "x"],
            "hubkit: Invalid value for '--port': 'x' is not a valid integer range. Next: hubkit serve --help",
        ),
    ],
)
def test_what_is_not_understood_is_one_line(arguments: list[str], line: str, capsys: Captured) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr() == ("", line + "\n")


def test_underscores_are_accepted(tmp_path: Path, capsys: Captured) -> None:
    adapter = str(CASES["causal-lora"](tmp_path / "adapter"))
    assert run(["run_and_publish", "-h"]) == 0
    capsys.readouterr()
    options = [
        "--hub_model_id",
        "a/b",
        "--base_model",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "--license_name",
        "N",
        "--license_link",
        "L",
    ]
    assert run(["card", "--adapter", adapter, "--stdout", "--task", "causal_lm", *options]) == 0
    assert "a/b" in capsys.readouterr().out


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `hubkit zzz` raise."""

    @click.command("zzz")
    def command() -> None:
        raise error

    monkeypatch.setattr(cli.LazyGroup, "resolve_command", lambda *_: ("zzz", command, []))


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (HubkitError("it\nis  broken", "mend\nit"), 2, "hubkit: it is broken. Next: mend it"),
        (AdapterError("it is broken"), 2, "hubkit: it is broken"),
        (CheckFailed("it differs", "mend it"), 1, "hubkit: it differs. Next: mend it"),
        (Interrupted("stopped at step 3", "go on"), 130, "hubkit: stopped at step 3. Next: go on"),
        (KeyboardInterrupt(), 130, "hubkit: interrupted"),
        (click.Abort(), 130, "hubkit: interrupted"),
        (click.ClickException("no"), 2, "hubkit: no"),
        (PermissionError(13, "Permission denied", "a/b"), 2, "hubkit: Permission denied (a/b)"),
        (OSError("odd"), 2, "hubkit: odd"),
        (
            ZeroDivisionError("two\nlines"),
            2,
            "hubkit: ZeroDivisionError: two lines. Next: this is a fault of hubkit; HF_DEBUG=1 shows where",
        ),
    ],
)
def test_errors_become_a_line_and_an_exit_code(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    raising(error, monkeypatch)
    assert run(["zzz"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == line + "\n"


@pytest.mark.parametrize(("given", "code"), [(None, 0), (0, 0), (3, 3), ("words", 2)])
def test_exits_of_others_keep_their_code(given: object, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(SystemExit(given), monkeypatch)
    assert run(["zzz"]) == code


def test_tracebacks_are_for_those_who_ask(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("HF_DEBUG", "1")
    for error in (HubkitError("broken"), OSError("odd"), ZeroDivisionError()):
        raising(error, monkeypatch)
        assert run(["zzz"]) == 2
        said = capsys.readouterr().err
        assert said.startswith("Traceback (most recent call last):")
        assert said.splitlines()[-1].startswith("hubkit: ")
    monkeypatch.setenv("HF_DEBUG", "0")
    assert run(["zzz"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_process_ends_with_the_code_and_one_line(tmp_path: Path) -> None:
    done = hubkit("card", "--adapter", str(tmp_path / "none"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("hubkit: there is no directory")
    assert done.stderr.count("\n") == 1


def test_a_reader_who_leaves_early_is_no_error() -> None:
    code = "from hubkit.cli.main import entry; entry()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "schema", "settings"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(20) == 0
    assert said == b""


@pytest.mark.real
def test_no_color(tmp_path: Path) -> None:
    adapter = str(CASES["causal-lora"](tmp_path / "adapter"))
    for environment in ({"NO_COLOR": "1"}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}):
        done = hubkit("card", "--adapter", adapter, **environment)
        assert done.returncode == 0
        assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("value", ["1", "true"])
def test_no_color_reaches_every_command(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    @click.command("zzz")
    def command() -> None:
        click.secho("red", fg="red")

    monkeypatch.setattr(cli.LazyGroup, "resolve_command", lambda *_: ("zzz", command, []))
    monkeypatch.setenv("NO_COLOR", value)
    assert run(["zzz"]) == 0
    assert capsys.readouterr().out == "red\n"


@pytest.mark.real
def test_json_is_one_document_on_stdout(tmp_path: Path, capsys: Captured) -> None:
    adapter = str(CASES["causal-lora"](tmp_path / "adapter"))
    hub = str(tmp_path / "hub")
    for arguments in (
        ["schema", "settings"],
        ["schema", "record"],
        ["card", "--adapter", adapter, "--json"],
        ["publish", "--adapter", adapter, "--repo-id", "local/x", "--local-hub", hub, "--json", "--dry-run"],
        ["publish", "--adapter", adapter, "--repo-id", "local/x", "--local-hub", hub, "--json"],
    ):
        assert run(arguments) == 0, arguments
        assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_json_where_there_is_a_result() -> None:
    for name in COMMANDS:
        options = {option for parameter in command_of(name).params for option in parameter.opts}
        assert "--json" in options or name in ("train", "serve", "schema"), name


def test_interrupting_a_command_is_130(tmp_path: Path) -> None:
    """SIGINT while it works, here while it waits for a settings file that is a pipe."""
    pipe = tmp_path / "run.yaml"
    os.mkfifo(pipe)
    # a shell starts its background jobs with SIGINT ignored, and these tests may run in one
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heed}; from hubkit.cli.main import entry; entry()"
    with (
        subprocess.Popen(
            [sys.executable, "-c", code, "train", str(pipe)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        pipe.open("w"),
    ):  # opened when the command has opened it for reading
        time.sleep(0.5)  # a signal between its open and its read would be noticed after the read alone
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert out == ""
    assert err == "hubkit: interrupted\n"
