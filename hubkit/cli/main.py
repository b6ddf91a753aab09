"""`hubkit`: the table of commands, loaded when they are called, and the one place where errors become lines.

Exit codes: 0 fine, 1 a check found something, 2 anything wrong, 130 interrupted (by SIGTERM 143, SIGHUP 129).
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import sys
from typing import Any, NoReturn

import click

from hubkit import __version__, interrupts, processes
from hubkit.errors import HubkitError, Interrupted, SettingsError, one_line

INTERRUPTED = 128  # above it, an exit code says by which signal

# name -> module (which holds a click command named `command`) and the line of help for the table
COMMANDS: dict[str, tuple[str, str]] = {
    "run-and-publish": ("hubkit.cli.run_and_publish", "Train or load, measure, write the card, publish."),
    "train": ("hubkit.cli.train", "Train an adapter."),
    "measure": ("hubkit.cli.measure", "Measure an adapter and write its record."),
    "card": ("hubkit.cli.card", "Write the model card of an adapter directory."),
    "audit": ("hubkit.cli.audit", "Find what is false, missing or broken on model cards."),
    "sweep": ("hubkit.cli.sweep", "Train, measure and compare a matrix of runs."),
    "compare": ("hubkit.cli.compare", "Set several adapters side by side."),
    "merge": ("hubkit.cli.merge", "Merge an adapter into its base, and write the model."),
    "publish": ("hubkit.cli.publish", "Push adapter and card to the Hub, in one commit."),
    "serve": ("hubkit.cli.serve", "Serve a local Hub from a directory."),
    "schema": ("hubkit.cli.schema", "Print the JSON Schema of settings or record."),
}
SHARED = ("train", "measure")  # commands that several processes may run together
SHORTEST_TOKEN = 8  # characters; a shorter one would be found in many words


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called, so that `--help` imports none."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and take its `command`."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; for a name that is none, say which one was meant."""
        name = args[0].replace("_", "-")
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            close = difflib.get_close_matches(name, COMMANDS, n=1)
            guess = f", did you mean {close[0]!r}?" if close else f"; there are {', '.join(COMMANDS)}"
            ctx.fail(f"no such command {args[0][:60]!r}{guess}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader who left early (`| head`) is no error."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:  # click would print an empty line for it
            raise Interrupted("interrupted", exit_code=interrupts.exit_code(stop)) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("_", "-"),
        "max_content_width": 100,
    },
    epilog="Shell completion: https://click.palletsprojects.com/en/stable/shell-completion/ (for hubkit, put "
    '`eval "$(_HUBKIT_COMPLETE=bash_source hubkit)"` into ~/.bashrc).',
)
@click.version_option(__version__, prog_name="hubkit")
def main() -> None:
    """Train or load a PEFT adapter, measure it, and publish it with a card that is true."""


def entry() -> None:
    """The console script: run the command, print errors as one line, exit with their code."""
    with interrupts.handled():
        code = run(sys.argv[1:])
        if code > INTERRUPTED or processes.count() > 1:  # whose threads may abort while Python ends
            _leave(code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End a process without waiting for threads that are still at work: sending, or waiting for others."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and give its exit code."""
    try:
        _check_shared(arguments)
        color = False if os.environ.get("NO_COLOR") else None
        code = main.main(arguments, prog_name="hubkit", standalone_mode=False, color=color)
        return code if isinstance(code, int) else 0
    except processes.SaidElsewhere:
        return 0
    except click.exceptions.Abort as error:
        stop = error.__cause__ if isinstance(error.__cause__, KeyboardInterrupt) else KeyboardInterrupt()
        return _say(arguments, "interrupted", None, interrupts.exit_code(stop))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else _named(arguments)
        return _say(arguments, error.format_message(), f"{command} --help", 2)
    except click.ClickException as error:
        return _say(arguments, error.format_message(), None, 2)
    except HubkitError as error:
        _traceback(arguments)
        return _say(arguments, error.message, error.hint, error.exit_code)
    except KeyboardInterrupt as stop:
        return _say(arguments, "interrupted", None, interrupts.exit_code(stop))
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 2 if error.code else 0
    except OSError as error:
        _traceback(arguments)
        where = f" ({error.filename})" if error.filename else ""
        return _say(arguments, f"{error.strerror or error}{where}", None, 2)
    except Exception as error:
        _traceback(arguments)
        return _say(
            arguments,
            f"{type(error).__name__}: {error}",
            "this is a fault of hubkit; HF_DEBUG=1 shows where",
            2,
        )


def _named(arguments: list[str]) -> str:
    """The command that a line is for: of some errors of usage click does not tell it."""
    named = [one for one in arguments[:1] if one.replace("_", "-") in COMMANDS]
    return " ".join(["hubkit", *named])


def _check_shared(arguments: list[str]) -> None:
    """Refuse what several processes would do several times: to train, to write, to publish."""
    named = [one.replace("_", "-") for one in arguments[:1]]
    if processes.count() > 1 and named and named[0] in COMMANDS and named[0] not in SHARED:
        raise SettingsError(
            f"hubkit {named[0]} runs in one process, and a launcher started {processes.count()}",
            f"start it without the launcher; {', '.join(SHARED)} is what several can share",
        )


def _say(arguments: list[str], message: str, hint: str | None, code: int) -> int:
    interrupted = code > INTERRUPTED
    if not (processes.is_main() if interrupted else processes.fail(message, hint, code)):
        return code
    line = one_line(_without_tokens(processes.named(message), arguments))
    hint = hint and _without_tokens(hint, arguments)
    end = "" if line.endswith((".", "?", "!")) else "."
    whole = f"hubkit: {line}{end} Next: {hint}" if hint else f"hubkit: {line}"
    click.echo(whole, err=True)
    processes.report(whole)
    return code


def _traceback(arguments: list[str]) -> None:
    """Show the traceback of the error at hand, for those who asked."""
    if os.environ.get("HF_DEBUG") == "1":
        import traceback

        click.echo(_without_tokens(traceback.format_exc(), arguments), err=True)


def _without_tokens(text: str, arguments: list[str]) -> str:
    """The text without the tokens that are at hand, and without what looks like one."""
    from hubkit import secrets

    known = [os.environ.get(name, "") for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")]
    known += [after for before, after in itertools.pairwise(arguments) if before == "--token"]
    known += [word.partition("=")[2] for word in arguments if word.startswith("--token=")]
    return secrets.masked(text, [token for token in known if len(token.strip()) >= SHORTEST_TOKEN])
