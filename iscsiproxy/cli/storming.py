"""What `chaos` and `replay` have in common: a run of chaos from its options to its exit code."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click
import trio

from iscsiproxy import __version__
from iscsiproxy.checks.known import Known
from iscsiproxy.checks.profiles import Profile
from iscsiproxy.cli.judging import known_lists
from iscsiproxy.cli.plain import Lines
from iscsiproxy.errors import PeerError, UsageError, UserError
from iscsiproxy.language.plans import ChaosPlan
from iscsiproxy.report.model import RunResult, SuiteResult, exit_code
from iscsiproxy.report.result import run_facts, suite_facts
from iscsiproxy.report.table import detail, line, summary
from iscsiproxy.runs.chaos import ChaosRun, Progress, run_chaos
from iscsiproxy.runs.initiators import InitiatorSpec, parse_initiator
from iscsiproxy.runs.plans import keep_plan
from iscsiproxy.runs.scratch import Extent, Permission, check_permission, parse_extent
from iscsiproxy.runs.storm import Decision
from iscsiproxy.runs.suite import looked, write_suite
from iscsiproxy.runs.targets import HURRY, TargetSpec, opened, parse_target

if TYPE_CHECKING:
    from rich.status import Status

__all__ = ["Storming", "command_options", "prepared", "storm"]

_SPARE = "iscsiproxy-runs"
_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red", "inconclusive": "magenta"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Storming:
    """A run of chaos as the user asked for it."""

    plan: ChaosPlan
    decisions: tuple[Decision, ...]
    target: TargetSpec
    initiator: InitiatorSpec
    seed: int
    folder: Path
    extent: Extent | None
    capture: bool
    profile: Profile
    known: Known
    as_json: bool
    verbose: bool
    fail_on_warn: bool


def command_options(command: Any) -> Any:
    """Give a command the options of a run of chaos."""
    options = [
        click.option("--target", metavar="T", help="embedded[:QUIRK,…], HOST[:PORT], an iscsi:// URL, or a command "
                     "told {port}.  [default: the plan's]"),
        click.option("--initiator", metavar="I", help="embedded[:QUIRK,…], or a command with {url}, {portal}, {iqn}, "
                     "{lun}.  [default: the plan's]"),
        click.option("--scratch", is_flag=True, help="All of the target may be overwritten."),
        click.option("--scratch-range", metavar="LBA..LBA", help="These blocks of its LUNs may be overwritten."),
        click.option("--run-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
                     help=f"Keep everything there.  [default: {_SPARE}/TIME]"),
        click.option("--capture", is_flag=True, help="Keep a capture of both legs, too."),
        click.option("--profile", type=click.Choice([str(one) for one in Profile]), default=str(Profile.RFC7144),
                     show_default=True, help="The standard both ends are held to."),
        click.option("--known", multiple=True, metavar="FILE|NAME",
                     help="A list of accepted deviations; may be repeated."),
        click.option("--json", "as_json", is_flag=True, help="Print a JSON object a second, and one at the end."),
        click.option("--fail-on", type=click.Choice(["fail", "warn"]), default="fail", show_default=True,
                     help="What makes the exit code 1."),
        click.option("-v", "--verbose", is_flag=True, help="Show all that was judged, with its evidence."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def prepared(
    plan: ChaosPlan,
    decisions: tuple[Decision, ...],
    seed: int,
    options: Mapping[str, Any],
    *,
    target: str,
    initiator: str,
) -> Storming:
    """Read the options. Raises UsageError."""
    at, by = parse_target(options["target"] or target), parse_initiator(options["initiator"] or initiator)
    if by.kind == "external":
        raise UsageError("chaos drives its initiator: embedded, or a command")
    extent = parse_extent(options["scratch_range"]) if options["scratch_range"] else None
    permission = Permission(everything=options["scratch"], extent=extent)
    scenarios = [replace(fault.scenario, traffic=plan.traffic) for fault in plan.faults]
    check_permission(scenarios, at, by, permission)
    folder = options["run_dir"] or Path(_SPARE) / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}") from error
    return Storming(
        plan=plan,
        decisions=decisions,
        target=at,
        initiator=by,
        seed=seed,
        folder=folder,
        extent=extent,
        capture=options["capture"],
        profile=Profile(options["profile"]),
        known=Known(known_lists(options["known"])),
        as_json=options["as_json"],
        verbose=options["verbose"],
        fail_on_warn=options["fail_on"] == "warn",
    )


def storm(asked: Storming) -> int:
    """Run it, tell how it goes and what it came to, keep it, and give the exit code."""
    keep_plan(asked.plan, asked.folder)
    return trio.run(_storm, asked)


async def _storm(asked: Storming) -> int:
    interrupt, hurry = trio.Event(), trio.Event()
    HURRY.set(hurry)
    caught = 0
    show = _Show(asked)
    began = datetime.now(UTC)
    run: RunResult | None = None
    async with trio.open_nursery() as nursery:

        async def obey(*, task_status: trio.TaskStatus[None]) -> None:
            nonlocal caught
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                task_status.started()
                async for number in signals:
                    if caught:
                        hurry.set()
                    else:
                        show.said("ending: faults are cleared, and what was found is told")
                    caught = number
                    interrupt.set()

        await nursery.start(obey)
        try:
            with show:
                run = await _run(asked, show, interrupt)
        except PeerError as error:
            show.said(f"iscsiproxy: {error}")
        nursery.cancel_scope.cancel()
    result = SuiteResult(
        runs=() if run is None else (run,),
        target=asked.target.shown,
        initiator=asked.initiator.shown,
        seed=asked.seed,
        program=f"iscsiproxy {__version__}",
        started=began.isoformat(),
        seconds=(datetime.now(UTC) - began).total_seconds(),
        interrupted=bool(caught),
        asked=1,
    )
    show.over(result)
    write_suite(result, asked.folder, fail_on_warn=asked.fail_on_warn)
    _report(result, asked, show)
    return 128 + caught if caught else exit_code(result, fail_on_warn=asked.fail_on_warn)


def _report(result: SuiteResult, asked: Storming, show: _Show) -> None:
    """Write the report to look at; what becomes of it changes no verdict."""
    from iscsiproxy.report.html.repeat import Repeat
    from iscsiproxy.report.html.writer import write_report

    try:
        write_report(result, asked.folder, repeat=Repeat(replay=str(asked.folder)), fail_on_warn=asked.fail_on_warn)
    except UserError as error:
        show.said(f"iscsiproxy: {error}")


async def _run(asked: Storming, show: _Show, interrupt: trio.Event) -> RunResult:
    async with opened(asked.target) as target:
        there = target if asked.target.kind == "embedded" else await looked(target, asked.initiator)
        return await run_chaos(
            ChaosRun(
                plan=asked.plan,
                decisions=asked.decisions,
                target=there,
                initiator=asked.initiator,
                seed=asked.seed,
                extent=asked.extent,
                folder=asked.folder,
                capture=asked.capture,
                profile=asked.profile,
                known=asked.known,
            ),
            say=show.said,
            interrupt=interrupt,
            watch=show.stands,
        )


class _Show:
    """A line that lives, or one now and then where there is no terminal, and the whole at the end."""

    def __init__(self, asked: Storming) -> None:
        self._asked = asked
        self._out, self._aside = Lines(sys.stdout), Lines(sys.stderr)
        self._status: Status | None = None
        self._phase = ""

    def __enter__(self) -> Self:
        asked = self._asked
        if not asked.as_json:
            told = f"{asked.plan.name}: {asked.plan.seconds:g} s, {len(asked.decisions)} faults to come"
            self._out(f"{told} (target {asked.target.shown}, initiator {asked.initiator.shown}, seed {asked.seed})")
            if sys.stdout.isatty():
                from rich.console import Console

                self._status = Console(highlight=False).status("steady state", spinner="dots")
                self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def said(self, text: str) -> None:
        """Say it beside the results."""
        self._aside(text)

    def stands(self, now: Progress) -> None:
        """Tell how it goes."""
        news, self._phase = now.phase != self._phase, now.phase
        text = (
            f"{now.seconds:5.1f} of {now.of:g} s  {now.phase}  {now.iops:.0f} I/O per s  "
            f"{now.struck} of {now.drawn} faults struck  {now.findings} findings"
        )
        if self._asked.as_json:
            facts = {field: getattr(now, field) for field in now.__slots__}
            self._out(json.dumps({"event": "progress", **facts}, ensure_ascii=False))
        elif self._status is not None:
            self._status.update(text)
        elif news:
            self._out(text)

    def over(self, result: SuiteResult) -> None:
        """Tell what it came to."""
        asked = self._asked
        if asked.as_json:
            for run in result.runs:
                self._out(json.dumps({"event": "run", **run_facts(run)}, ensure_ascii=False))
            facts = suite_facts(result, fail_on_warn=asked.fail_on_warn)
            self._out(json.dumps({"event": "summary", **facts}, ensure_ascii=False))
            return
        for run in result.runs:
            self._out(click.style(line(run), fg=_COLOURS.get(run.verdict)))
            for one in run.findings:
                if one.about in ("storm", "workload", "recovery", "aftermath") and not asked.verbose:
                    self._out(f"    {one.about}: {one.text}")
            for text in detail(run, everything=asked.verbose):
                self._out(text)
        self._out(summary(result))
        self._out(f"all of it is in {asked.folder}; `iscsiproxy replay {asked.folder}` does it again")
