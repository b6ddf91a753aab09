"""`hubkit schema`: the JSON Schema of a settings file or of the record."""

from __future__ import annotations

import json

import click


@click.command("schema")
@click.argument("what", type=click.Choice(["settings", "record"]))
def command(what: str) -> None:
    """Print the JSON Schema of settings or record, for editors and other programs.

    A settings file whose first line is `# yaml-language-server: $schema=FILE` is completed by editors.
    """
    from hubkit import methods, record, settings, tasks

    parts = {"task": tasks.json_schema(), "method": methods.json_schema()}
    schema = settings.json_schema(parts) if what == "settings" else record.json_schema()
    click.echo(json.dumps(schema, indent=2))
