"""`iscsiproxy faults`: the scenario files, listed, shown and checked, and the language they are written in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from textwrap import fill
from typing import Any

import click

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import FileError
from iscsiproxy.language import load_all
from iscsiproxy.language.never import Finding, never
from iscsiproxy.language.reference import fill as fill_guide
from iscsiproxy.language.spec import Scenario
from iscsiproxy.runs.library import check, find, groups, shipped

__all__ = ["command"]


@click.group(name="faults", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List, show and check scenario files; without a subcommand, list."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a scenario.")
def list_(as_json: bool = False) -> None:
    """List the scenarios that ship with the program, group by group."""
    paths = shipped()
    width = max(map(len, paths))
    for group, names in groups().items():
        if not as_json:
            click.secho(group, bold=True)
        for name in names:
            scenario = _load(paths[name])[0]
            if as_json:
                click.echo(json.dumps({"group": group, **_facts(scenario)}))
            else:
                click.echo(f"  {name:{width}}  {scenario.victim:9}  {scenario.title}")


@command.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(name: str, as_json: bool) -> None:
    """Show what a scenario does: NAME of a shipped one, or a FILE."""
    path = find(name)
    scenarios = _load(path)
    scenario = scenarios[0]
    if as_json:
        click.echo(json.dumps(_facts(scenario), indent=2))
        return
    click.secho(scenario.name, bold=True)
    for line in (scenario.title, f"victim: {scenario.victim}", f"cites: {', '.join(scenario.cites)}"):
        click.echo(f"  {line}")
    for parameter, value in scenario.params.items():
        click.echo(f"  parameter: -p {parameter}={value}")
    for axis in scenario.axes:
        values = dict.fromkeys(one.axes[axis] for one in scenarios)
        click.echo(f"  matrix: -p {axis}={'|'.join(values)}")
    if scenario.about:
        click.echo(
            "\n" + fill(" ".join(scenario.about.split()), width=100, initial_indent="  ", subsequent_indent="  ")
        )
    click.echo(f"\n{path.read_text(encoding='utf-8').rstrip()}")


@command.command(name="lint")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
def lint_(files: tuple[Path, ...], as_json: bool) -> None:
    """Check scenario FILES: what is wrong in them, and what can never happen.

    A rule that can never fire is an error, a name that nothing uses a warning. Without FILES the shipped ones are
    checked. Exit code 2 if there is any error.
    """
    counts = {"error": 0, "warning": 0}
    paths = files or tuple(shipped().values())
    for path in paths:
        for finding in _findings(find(str(path))):
            counts["warning" if isinstance(finding, Finding) and finding.severity == "warning" else "error"] += 1
            click.echo(json.dumps(_error(finding)) if as_json else str(finding))
    if counts["error"]:
        sys.exit(2)
    if not as_json:
        warnings = f", {counts['warning']} warning{'s' if counts['warning'] > 1 else ''}" if counts["warning"] else ""
        click.echo(f"{len(paths)} file{'s' if len(paths) > 1 else ''}: no errors{warnings}")


@command.command(name="reference")
def reference_() -> None:
    """Print the language: a walk-through and everything that may be written (Markdown)."""
    guide = Path(__file__).with_name("guide.md").read_text(encoding="utf-8")
    click.echo(fill_guide(guide, SPECS), nl=False)


def _findings(path: Path) -> tuple[FileError, ...] | tuple[Finding, ...]:
    """Give the errors of a file; of one without, what can never happen in it."""
    return check(path) or never(_load(path), path.read_text(encoding="utf-8"))


def _load(path: Path) -> tuple[Scenario, ...]:
    return load_all(path.read_text(encoding="utf-8"), file=str(path), acts=SPECS, built=False)


def _facts(scenario: Scenario) -> dict[str, Any]:
    return {
        "name": scenario.name,
        "title": scenario.title,
        "victim": scenario.victim,
        "covers": scenario.covers,
        "cites": scenario.cites,
        "about": scenario.about,
        "params": dict(scenario.params),
        "axes": dict(scenario.axes),
        "file": scenario.file,
    }


def _error(error: FileError | Finding) -> dict[str, Any]:
    return {
        "severity": error.severity if isinstance(error, Finding) else "error",
        "file": error.file,
        "line": error.line,
        "column": error.column,
        "message": error.message,
        "hint": error.hint,
    }
