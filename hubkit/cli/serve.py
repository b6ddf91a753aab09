"""`hubkit serve`: the local Hub over a directory, with a page for each repo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubkit.cli import common

if TYPE_CHECKING:
    from hubkit.localhub import RunningHub

DEFAULT_PORT = 8765  # pinned to localhub.DEFAULT_PORT by a test; importing it here would cost start-up time


@click.command("serve")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="Port; 0: any."
)
@click.option(
    "--check", is_flag=True, help="Serve nothing: read all that is stored, and say what is damaged."
)
@click.option("--gc", is_flag=True, help="Serve nothing: remove stored files that no commit names.")
def command(directory: Path, port: int, check: bool, gc: bool) -> int:
    """Serve a local Hub from DIRECTORY, on this machine only, until Ctrl-C."""
    from hubkit import localhub

    if check or gc:
        return _keep(directory, gc)
    new = not directory.exists() or not any(directory.iterdir())

    def ready(hub: RunningHub) -> None:
        if new:
            common.hint(f"There was nothing in {directory}: a new, empty local Hub was made there.")
        common.hint(f"Serving {directory}; stop with Ctrl-C. Its token is in {directory / 'token'}.")
        click.echo(hub.endpoint)

    localhub.serve(directory, port, on_ready=ready)
    return 0


def _keep(directory: Path, gc: bool) -> int:
    """Look at what is stored, and remove what is of no use if all is whole; 1 when something is damaged."""
    from hubkit import localhub

    problems = localhub.check(directory)
    for problem in problems:
        click.echo(problem)
    if problems:
        return 1
    common.hint(f"All that is stored in {directory} is whole.")
    if gc:
        count, size = localhub.collect(directory)
        common.hint(f"Removed {count} files that no commit names, {size:,} bytes.")
    return 0
