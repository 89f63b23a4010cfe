"""`iscsiproxy diff`: what two calls of `test` came to, held against each other."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import click

from iscsiproxy.report.difference import Change, Kind, changes, premises
from iscsiproxy.report.form import SuiteForm, read_result

__all__ = ["command"]

_COLOURS: dict[Kind, str] = {"worse": "red", "better": "green", "other": "yellow", "gone": "yellow", "new": "cyan"}
_EPILOG = """\b
Exit codes: 0 nothing got worse; 1 a verdict did, or a new run failed; 2 bad usage, or a file that cannot be read.
\b
Examples:
  iscsiproxy diff runs/yesterday runs/today
  iscsiproxy diff before/result.json after/result.json --json"""


@click.command(name="diff", epilog=_EPILOG)
@click.argument("old", type=click.Path(exists=True, path_type=Path), metavar="RUN1")
@click.argument("new", type=click.Path(exists=True, path_type=Path), metavar="RUN2")
@click.option("--all", "everything", is_flag=True, help="Show what is the same, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a run, and one at the end.")
def command(old: Path, new: Path, everything: bool, as_json: bool) -> None:
    """Tell what changed from RUN1 to RUN2: run directories of `test`, or their result.json.

    Runs are compared by name. Where the verdict is the same, what it was given for is compared, without the tags,
    numbers and times that differ from run to run.
    """
    before, after = read_result(old), read_result(new)
    found = changes(before, after)
    shown = [one for one in found if everything or one.kind != "same"]
    (_print_json if as_json else _print)(before, after, shown, found)
    if any(map(_is_worse, found)):
        sys.exit(1)


def _is_worse(change: Change) -> bool:
    return change.kind == "worse" or (change.kind == "new" and change.after == "fail")


def _print_json(before: SuiteForm, after: SuiteForm, shown: list[Change], found: tuple[Change, ...]) -> None:
    for one in shown:
        click.echo(json.dumps({"event": "run", **asdict(one)}, ensure_ascii=False))
    facts = {"premises": [*premises(before, after)], "counts": Counter(one.kind for one in found)}
    click.echo(json.dumps({"event": "end", **facts}, ensure_ascii=False))


def _print(before: SuiteForm, after: SuiteForm, shown: list[Change], found: tuple[Change, ...]) -> None:
    for line in premises(before, after):
        click.echo(line)
    width = max((len(one.name) for one in shown), default=0)
    for one in shown:
        verdicts = " → ".join(verdict for verdict in dict.fromkeys((one.before, one.after)) if verdict)
        kind = click.style(f"{one.kind:6}", fg=_COLOURS.get(one.kind))
        click.echo(f"{kind}  {one.name:{width}}  {verdicts}")
        for line in one.why:
            click.echo(f"          {line}")
    counts = Counter(one.kind for one in found)
    told = [f"{counts[kind]} {kind}" for kind in ("worse", "better", "other", "new", "gone", "same") if counts[kind]]
    click.echo(", ".join(told) or "no runs")
