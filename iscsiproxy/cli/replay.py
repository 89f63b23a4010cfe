"""`iscsiproxy replay`: a run of chaos once more, with the faults that it had."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from iscsiproxy.cli.storming import command_options, prepared, storm
from iscsiproxy.errors import UsageError
from iscsiproxy.runs.plans import read_earlier

__all__ = ["command"]

_EPILOG = """\b
Exit codes are those of `iscsiproxy chaos`.
\b
Examples:
  iscsiproxy replay iscsiproxy-runs/20260101-120000
  iscsiproxy replay iscsiproxy-runs/20260101-120000 --without 3 --without 4"""


@click.command(name="replay", epilog=_EPILOG)
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="RUN")
@click.option("--without", type=int, multiple=True, metavar="N", help="Leave out the Nth fault; may be repeated.")
@click.option("--list", "listing", is_flag=True, help="List the faults that there were, and exit.")
@command_options
def command(run: Path, without: tuple[int, ...], listing: bool, **options: Any) -> None:
    """Do a run of `chaos` again: RUN is the folder that it was kept in.

    Each fault comes with the same command as before, counted from the beginning of its phase, and a little later than
    before where that command does not come. The seed is the same, too.
    """
    earlier = read_earlier(run)
    if listing:
        for one in earlier.decisions:
            click.echo(f"{one.number:4}  {one.at:8.3f} s  command {one.commands:6}  {one.fault}")
        return
    numbers = {one.number for one in earlier.decisions}
    for number in without:
        if number not in numbers:
            raise UsageError(f"--without {number}: there was no such fault (--list shows them)")
    decisions = tuple(one for one in earlier.decisions if one.number not in without)
    sys.exit(
        storm(
            prepared(
                earlier.plan,
                decisions,
                earlier.seed,
                options,
                target=earlier.target,
                initiator=earlier.initiator,
            )
        )
    )
