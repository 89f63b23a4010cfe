"""`iscsiproxy schema`: the JSON Schema of scenario files, for editors, and of results, for programs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import UsageError
from iscsiproxy.language.schema import schema
from iscsiproxy.report.form import result_schema

__all__ = ["command"]

_EPILOG = """\b
An editor with a YAML language server completes and checks a scenario that begins with
  # yaml-language-server: $schema=/path/to/scenario.schema.json
"""


@click.command(name="schema", epilog=_EPILOG)
@click.option("--of", type=click.Choice(["scenario", "result"]), default="scenario", show_default=True, help="Of what.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it there.")
def command(of: str, output: Path | None) -> None:
    """Print the JSON Schema of scenario files, for editors, or that of `result.json`."""
    facts = schema(SPECS) if of == "scenario" else result_schema()
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error
    if of == "scenario":
        click.echo(f"# yaml-language-server: $schema={output.resolve()}")
