"""`iscsiproxy schema`: the JSON Schema of scenario files, for editors."""

from __future__ import annotations

import json
from pathlib import Path

import click

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import UsageError
from iscsiproxy.language.schema import schema

__all__ = ["command"]

_EPILOG = """\b
An editor with a YAML language server completes and checks a scenario that begins with
  # yaml-language-server: $schema=/path/to/scenario.schema.json
"""


@click.command(name="schema", epilog=_EPILOG)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it there.")
def command(output: Path | None) -> None:
    """Print the JSON Schema of scenario files, for editors."""
    text = json.dumps(schema(SPECS), indent=1, ensure_ascii=False)
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error
    click.echo(f"# yaml-language-server: $schema={output.resolve()}")
