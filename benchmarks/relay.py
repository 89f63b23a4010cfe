"""Measure what it costs to have a relay between a real initiator and a real target.

QEMU reads and writes a LUN of tgtd: directly, through haproxy and socat as they are shipped, and through iscsiproxy.
Every relay is measured in short windows, in rounds of shuffled order; see `figures` for why and for what is reported.
Only programs that this one started are measured, on loopback, and all of them are gone when it ends.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import trio

from benchmarks.figures import ROWS, Figure, Row, Sample, figure, sized
from benchmarks.relays import OURS, Relay, RelayError, open_relay, template
from tests.real import initiators
from tests.real.peers import MissingProgramError
from tests.real.process import ProgramError
from tests.real.tgtd import LARGE_SEGMENTS, MIB, Tgtd, TgtdError, running_tgtd

__all__ = ["Plan", "main", "measure"]

#: The baseline: a mature relay that copies bytes and knows nothing of them.
BASELINE = "haproxy"

RELAYS = ("direct", "haproxy", "socat", "iscsiproxy")

#: Offsets wrap at the end of the LUN, which is in memory.
LUN = 256 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure. `commands` are those of the relays that need one; `window` is in seconds of direct work."""

    rows: tuple[Row, ...]
    relays: tuple[str, ...]
    commands: Mapping[str, tuple[str, ...]]
    rounds: int
    window: float
    seed: int


def say(text: str) -> None:
    """Show on standard error what is being done: one line that changes, and nothing where there is no terminal."""
    if sys.stderr.isatty():
        print(f"\r{text:<79}", end="", file=sys.stderr, flush=True)


async def window(tgtd: Tgtd, relay: Relay, row: Row, count: int) -> Sample:
    """Measure one window: `count` commands of a row through a relay."""
    address = tgtd.address(host=relay.host, port=relay.port)
    before = await relay.cpu()
    seconds = await initiators.bench(address, count=count, depth=row.depth, size=row.size, write=row.write)
    after = await relay.cpu()
    spent = None if before is None or after is None else after - before
    return Sample(count=count, seconds=seconds, cpu=spent)


async def calibrate(tgtd: Tgtd, row: Row, length: float) -> int:
    """Find how many commands fill a window without a relay. The trial warms up the LUN too."""
    direct = Relay(name="direct", host=tgtd.host, port=tgtd.port, pid=None)
    count = row.depth * 4
    while (trial := await window(tgtd, direct, row, count)).seconds < length / 4:
        count *= 4
    return sized(count, trial.seconds, length, row.depth)


async def measure(plan: Plan) -> dict[str, list[Figure]]:
    """Measure a whole plan and return the figures of each row by its name, in the order of the plan."""
    order = random.Random(plan.seed)
    samples: dict[str, dict[str, list[Sample]]] = {row.name: {name: [] for name in plan.relays} for row in plan.rows}
    async with AsyncExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="iscsiproxy-bench-"))
        targets: dict[bool, Tgtd] = {}
        relays: dict[tuple[bool, str], Relay] = {}
        for large in sorted({row.large for row in plan.rows}):
            parameters = LARGE_SEGMENTS if large else {}
            targets[large] = await stack.enter_async_context(running_tgtd(luns=[LUN], parameters=parameters))
            directory = Path(scratch, "large" if large else "small")
            directory.mkdir()
            for name in plan.relays:
                started = open_relay(name, targets[large].at.portal, directory, plan.commands.get(name))
                relays[large, name] = await stack.enter_async_context(started)
        counts = {}
        for row in plan.rows:
            say(f"calibrating {row.name}")
            counts[row.name] = await calibrate(targets[row.large], row, plan.window)
        for number in range(plan.rounds):
            for row in order.sample(plan.rows, len(plan.rows)):
                for name in order.sample(plan.relays, len(plan.relays)):
                    say(f"round {number + 1} of {plan.rounds}: {row.name} {name}")
                    sample = await window(targets[row.large], relays[row.large, name], row, counts[row.name])
                    samples[row.name][name].append(sample)
    baseline = BASELINE if BASELINE in plan.relays else None
    return {row.name: [figure(row, name, samples[row.name], baseline) for name in plan.relays] for row in plan.rows}


def table(plan: Plan, figures: Mapping[str, Sequence[Figure]]) -> str:
    """Lay the figures out for people."""

    def column(value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value:,.{digits}f}"

    lines = []
    for row in plan.rows:
        lines.append(row.title)
        lines.append(f"  {'relay':<16}{'median ×':>10}{'best ×':>10}{'IOPS':>12}{'MiB/s':>10}{'CPU µs/IO':>12}")
        for one in figures[row.name]:
            ratios = f"{column(one.median_ratio, 2):>10}{column(one.best_ratio, 2):>10}"
            rates = f"{column(one.best_iops, 0):>12}{column(one.best_mib_s, 0):>10}{column(one.cpu_us, 1):>12}"
            lines.append(f"  {one.relay:<16}{ratios}{rates}")
        lines.append("")
    lines.append(f"×: to {BASELINE}; median of the ratios of {plan.rounds} rounds, and best round to best round.")
    return "\n".join(lines)


def _named(argument: str) -> tuple[str, tuple[str, ...]]:
    name, separator, command = argument.partition("=")
    if not separator or name in RELAYS[:3]:
        raise argparse.ArgumentTypeError(f"not NAME=COMMAND: {argument!r}")
    try:
        return name, template(command)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _choice(all_names: Sequence[str], argument: str) -> tuple[str, ...]:
    names = tuple(argument.split(","))
    if unknown := [name for name in names if name not in all_names]:
        raise argparse.ArgumentTypeError(f"no such name: {', '.join(unknown)} (there are {', '.join(all_names)})")
    return names


def _parse(arguments: Sequence[str] | None) -> tuple[Plan, bool]:
    row_names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.relay",
        description="Measure relays between QEMU and tgtd.",
        epilog=f"Rows: {', '.join(row_names)}. A COMMAND has {{target}} in it, and prints "
        '{"event": "ready", "listen": ["127.0.0.1:PORT"]} as its first line when it is ready.',
    )
    parser.add_argument("--rounds", type=int, help="how many rounds (8; quick: 2)")
    parser.add_argument("--window", type=float, help="seconds of direct work in a window (0.25; quick: 0.02)")
    parser.add_argument("--quick", action="store_true", help="show that it works; the figures mean nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rows", type=lambda text: _choice(row_names, text), metavar="A,B", help="only these rows")
    parser.add_argument(
        "--relays", type=lambda text: _choice(RELAYS, text), metavar="A,B", default=RELAYS, help="only these relays"
    )
    parser.add_argument("--proxy", metavar="COMMAND", help="how iscsiproxy is started")
    parser.add_argument(
        "--also", type=_named, metavar="NAME=COMMAND", action="append", default=[], help="a further relay; repeatable"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order in each round (0)")
    options = parser.parse_args(arguments)
    try:
        ours = template(options.proxy) if options.proxy else OURS
    except ValueError as error:
        parser.error(str(error))
    also: dict[str, tuple[str, ...]] = dict(options.also)
    plan = Plan(
        rows=tuple(row for row in ROWS if options.rows is None or row.name in options.rows),
        relays=(*options.relays, *also),
        commands={"iscsiproxy": ours, **also},
        rounds=options.rounds or (2 if options.quick else 8),
        window=options.window or (0.02 if options.quick else 0.25),
        seed=options.seed,
    )
    return plan, options.json


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """List the errors in a group of groups."""
    return [
        leaf for one in group.exceptions for leaf in (leaves(one) if isinstance(one, BaseExceptionGroup) else [one])
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status: 0, or 1 where something did not work."""
    plan, as_json = _parse(arguments)
    figures: dict[str, list[Figure]] | None = None
    try:
        figures = trio.run(measure, plan)
    except* (MissingProgramError, ProgramError, RelayError, TgtdError) as errors:
        print(*leaves(errors), sep="\n", file=sys.stderr)
    finally:
        say("")
    if figures is None:
        return 1
    if as_json:
        rows = {name: [asdict(one) for one in row] for name, row in figures.items()}
        print(json.dumps({"baseline": BASELINE, "rounds": plan.rounds, "window": plan.window, "rows": rows}))
    else:
        print(table(plan, figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
