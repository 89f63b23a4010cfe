"""`iscsiproxy chaos`: storms of faults drawn from a plan, judged all the time."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import click

from iscsiproxy.cli.storming import command_options, prepared, storm
from iscsiproxy.runs.plans import read_plan, scaled
from iscsiproxy.runs.storm import drawn

__all__ = ["command"]

_EPILOG = """\b
Exit codes: 0 nothing was found, and I/O goes well again; 1 a fail (with --fail-on warn: or a warning); 2 bad usage or
file; 3 nothing was proven; 70 an error of this program; 130 or 143 ended by Ctrl-C or SIGTERM, with a report of what
was found until then.
\b
Examples:
  iscsiproxy chaos examples/chaos-ci.yaml
  iscsiproxy chaos nightly.yaml --target iscsi://storage/iqn.2004-01.com.example:t/1 --scratch --seed 7
  iscsiproxy chaos nightly.yaml --scale 0.1"""


@click.command(name="chaos", epilog=_EPILOG)
@click.argument("plan", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="PLAN")
@click.option("--seed", type=int, help="Draw the same faults at the same times.  [default: a fresh one, printed]")
@click.option("--scale", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, metavar="X",
              help="Let every phase last X times as long.")  # fmt: skip
@command_options
def command(plan: Path, seed: int | None, scale: float, **options: Any) -> None:
    """Let storms of faults pass over an initiator and a target, as PLAN (a YAML file) has it.

    Clean I/O first, then its phases of calm and storm, then good I/O once more. Both ends are held to the standard all
    the time, and what is read to what was written. What was drawn is in the journal: `iscsiproxy replay` does it again.
    """
    wanted = scaled(read_plan(plan), scale)
    chosen = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    decisions = drawn(wanted, chosen)
    sys.exit(storm(prepared(wanted, decisions, chosen, options, target=wanted.target, initiator=wanted.initiator)))
