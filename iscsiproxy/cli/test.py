"""`iscsiproxy test`: run scenarios between an initiator and a target, and judge what both ends do."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from shutil import get_terminal_size
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from iscsiproxy.checks.profiles import DEFAULT, Profile
from iscsiproxy.cli.peers import Seconds
from iscsiproxy.cli.plain import Lines
from iscsiproxy.cli.repeat import given
from iscsiproxy.errors import PeerError, UsageError, UserError
from iscsiproxy.report.model import RunResult, SuiteResult, exit_code
from iscsiproxy.report.result import run_facts, suite_facts
from iscsiproxy.report.table import HANG, detail, fitted, line, summary
from iscsiproxy.runs.selection import collect, parse_choice, run_name

if TYPE_CHECKING:
    import trio
    from rich.status import Status
    from rich.text import Text

    from iscsiproxy.runs.suite import SuitePlan

__all__ = ["command"]

_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red", "inconclusive": "magenta", "skipped": "blue"}
#: Where what did not pass is kept, unless the user says where everything is
_SPARE = "iscsiproxy-runs"
_EPILOG = """\b
Exit codes: 0 at least one pass, no fail, nothing inconclusive; 1 a fail (with --fail-on warn: or a warning);
2 bad usage, or a file that cannot be read or written; 3 something is inconclusive, or nothing was judged (no target,
too); 70 an error of this program; 130 or 143 ended by Ctrl-C or SIGTERM. A closed pipe (`| head`) changes none
of this: the runs go on. Nor does a report.html that cannot be written.

\b
Examples:
  iscsiproxy test
  iscsiproxy test data_out_lost --target embedded:tgt-holes
  iscsiproxy test --target iscsi://storage:3260/iqn.2004-01.com.example:t/1 --scratch
  iscsiproxy test -k 'digest and not read' --target storage --initiator "qemu-io -f raw -c 'write 0 1M' {url}" --scratch
"""


@click.command(name="test", epilog=_EPILOG)
@click.argument("scenarios", nargs=-1, metavar="[SCENARIO|FILE|FOLDER]...")
@click.option("--target", "target", default="embedded", show_default=True, metavar="T",
              help="embedded[:QUIRK,…], HOST[:PORT], an iscsi:// URL, or a command told {port}.")  # fmt: skip
@click.option("--initiator", "initiator", default="embedded", show_default=True, metavar="I",
              help="embedded[:QUIRK,…], external, or a command with {url}, {portal}, {iqn}, {lun}.")  # fmt: skip
@click.option("--listen", metavar="A:P", help="Where an external initiator is told to come.")
@click.option(
    "-p", "params", multiple=True, metavar="NAME=VALUE", help="Set a parameter, or choose a value of a matrix."
)
@click.option("--list", "listing", is_flag=True, help="List the runs there would be.")
@click.option("-k", "choice", metavar="EXPR", help="Only runs whose name, covers or axis values have these words: "
              "'digest and not (read or login)'.")  # fmt: skip
@click.option("--repeat", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Do each so often.")
@click.option("--seed", type=int, help="Reproduce random decisions.  [default: a fresh one, printed]")
@click.option("--timeout", type=Seconds(0, min_open=True), default=120.0, show_default=True, metavar="SECONDS",
              help="For each run, up to the end of the fault.")  # fmt: skip
@click.option(
    "--quiet", type=Seconds(0), metavar="SECONDS", help="The quiet time behind a barrier, instead of the scenario's."
)
@click.option("--no-steady", is_flag=True, help="Do no clean I/O before the fault.")
@click.option("--scratch", is_flag=True, help="All of the target may be overwritten.")
@click.option("--scratch-range", metavar="LBA..LBA", help="These blocks of its LUNs may be overwritten.")
@click.option("--run-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Keep everything of every run there.  [default: only the journal of what does not pass, "
              "in iscsiproxy-runs/TIME]")  # fmt: skip
@click.option("--junit", "junit_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write JUnit XML.")  # fmt: skip
@click.option("--check/--no-check", default=True, help="Hold both ends to the standard all the time.  [default: check]")
@click.option("--profile", type=click.Choice([str(one) for one in Profile]), default=str(DEFAULT), show_default=True,
              help="The standard they are held to.")  # fmt: skip
@click.option("--known", multiple=True, metavar="FILE|NAME", help="A list of accepted deviations; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a run, and one at the end.")
@click.option("--fail-on", type=click.Choice(["fail", "warn"]), default="fail", show_default=True,
              help="What makes the exit code 1.")  # fmt: skip
@click.option("-x", "--stop-at-fail", is_flag=True, help="Stop at the first run that fails or proves nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Show all that was judged, with its evidence.")
@click.pass_context
def command(ctx: click.Context, /, scenarios: tuple[str, ...], **options: Any) -> None:
    """Run scenarios and judge what both ends do.

    Without SCENARIO all that ship are run. Each is run behind clean I/O and followed by good I/O, in sessions of its
    own; one with a matrix is a run for each combination. Nothing that can write to a LUN is run against a target that
    was not declared scratch; the embedded one is.
    """
    choice = parse_choice(options["choice"]) if options["choice"] else None
    wanted = collect(scenarios, _pairs(options["params"]), choice)
    if not wanted:
        raise UsageError(f"-k {options['choice']!r}: no run has this (`--list` shows them all)")
    if options["listing"]:
        show_line = Lines(sys.stdout)
        for scenario in wanted:
            show_line(_listed(scenario.title, run_name(scenario), as_json=options["as_json"]))
        return

    import trio

    plan = _plan(wanted, options)
    again = given(ctx, target=plan.target.shown, initiator=plan.initiator.shown, seed=plan.seed)
    show: _Json | _Show = _Json(plan) if options["as_json"] else _Show(plan, verbose=options["verbose"])
    status, result = trio.run(_main, plan, show, options)
    _report(plan, show, result, *again)
    sys.exit(status)


def _listed(title: str, name: str, *, as_json: bool) -> str:
    if as_json:
        import json

        return json.dumps({"name": name, "title": title}, ensure_ascii=False)
    return f"{name}  {title}".rstrip()


def _pairs(params: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for param in params:
        name, equals, value = param.partition("=")
        if not equals or not name:
            raise UsageError(f"-p {param!r}: expected name=value")
        pairs[name] = value
    return pairs


def _plan(scenarios: Sequence[Any], options: Mapping[str, Any]) -> SuitePlan:
    """Read the options. Raises UsageError."""
    from iscsiproxy.cli.judging import known_lists
    from iscsiproxy.proxy import parse_address
    from iscsiproxy.runs.initiators import parse_initiator
    from iscsiproxy.runs.scratch import Permission, check_permission, parse_extent
    from iscsiproxy.runs.suite import SuitePlan
    from iscsiproxy.runs.targets import parse_target

    target, initiator = parse_target(options["target"]), parse_initiator(options["initiator"])
    extent = parse_extent(options["scratch_range"]) if options["scratch_range"] else None
    check_permission(scenarios, target, initiator, Permission(everything=options["scratch"], extent=extent))
    if options["listen"] and initiator.kind != "external":
        raise UsageError("--listen is for --initiator external: the others are told where to come")
    listen = parse_address(options["listen"], default_host="127.0.0.1") if options["listen"] else None
    if initiator.kind == "external" and listen is None:
        raise UsageError("--initiator external needs --listen A:P: it has to know where to come, run after run")
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = options["run_dir"]
    if folder is not None:
        _make(folder)
    if options["junit_file"] is not None:
        _make(options["junit_file"].parent)
    return SuitePlan(
        scenarios=tuple(scenarios),
        target=target,
        initiator=initiator,
        seed=random.SystemRandom().randrange(1 << 32) if options["seed"] is None else options["seed"],
        timeout=options["timeout"],
        repeat=options["repeat"],
        extent=extent,
        steady=not options["no_steady"],
        listen=listen,
        quiet=options["quiet"],
        folder=folder,
        spare=None if folder is not None else Path(_SPARE) / now,
        stop_at_fail=options["stop_at_fail"],
        fail_on_warn=options["fail_on"] == "warn",
        check=options["check"],
        profile=Profile(options["profile"]),
        known=known_lists(options["known"]),
        environment=dict(os.environ),
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {folder}: {error.strerror}") from error


def _report(
    plan: SuitePlan, show: _Json | _Show, result: SuiteResult, chosen: Sequence[str], options: Sequence[str]
) -> None:
    """Write the report to look at, where everything or what did not pass is kept, and say where it is.

    What becomes of it changes no verdict and no exit code: whoever waits for those has them.
    """
    folder = plan.folder or plan.spare
    if folder is None or not folder.is_dir():
        return
    try:
        from iscsiproxy.report.html.repeat import Repeat
        from iscsiproxy.report.html.writer import write_report
        from iscsiproxy.runs.library import shipped

        names = {str(path): name for name, path in shipped().items()}
        repeat = Repeat(chosen=chosen, options=options, names=names)
        show.wrote("report", write_report(result, folder, repeat=repeat, fail_on_warn=plan.fail_on_warn))
    except UserError as error:
        Lines(sys.stderr)(f"iscsiproxy: {error}")
    except Exception as error:  # noqa: BLE001 - a fault of ours in a report must not cost what was judged
        Lines(sys.stderr)(f"iscsiproxy: the report could not be made, by an error of this program: {error!r}")


async def _main(plan: SuitePlan, show: _Json | _Show, options: Mapping[str, Any]) -> tuple[int, SuiteResult]:
    """Run it, tell it, and give the exit code; a signal ends it cleanly, with the result of what was done."""
    import trio

    from iscsiproxy.report.junit import junit
    from iscsiproxy.runs.suite import Done, run_suite, write_suite
    from iscsiproxy.runs.targets import HURRY

    interrupt, hurry = trio.Event(), trio.Event()
    HURRY.set(hurry)
    caught = 0
    done = Done(plan)
    result: SuiteResult | None = None
    async with trio.open_nursery() as nursery:

        async def obey(*, task_status: trio.TaskStatus[None]) -> None:
            nonlocal caught
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                task_status.started()
                async for number in signals:
                    if not caught:
                        show.said("ending: faults are cleared; once more, and it ends at once")
                    else:
                        hurry.set()
                        nursery.cancel_scope.cancel()
                    caught = number
                    interrupt.set()

        await nursery.start(obey)
        try:
            with show:
                result = await run_suite(plan, show, interrupt, done=done)
        except PeerError as error:
            Lines(sys.stderr)(f"iscsiproxy: {error}")
            for run in done.give_up(str(error)):
                show.missed(run)
        nursery.cancel_scope.cancel()
    if result is None:  # it was ended in the midst, or the target cannot be had
        result = done.result(interrupted=bool(caught))
    show.over(result)  # first of all: whatever becomes of the files, the verdicts are told
    if plan.folder is not None:
        write_suite(result, plan.folder, fail_on_warn=plan.fail_on_warn)
    if options["junit_file"] is not None:
        try:
            options["junit_file"].write_bytes(junit(result, fail_on_warn=plan.fail_on_warn))
        except OSError as error:
            raise UsageError(f"cannot write {options['junit_file']}: {error.strerror}") from error
    return 128 + caught if caught else exit_code(result, fail_on_warn=plan.fail_on_warn), result


class _Json:
    """One object a line, for programs."""

    def __init__(self, plan: SuitePlan) -> None:
        self._plan = plan
        self._out, self._aside = Lines(sys.stdout), Lines(sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is to be tidied up."""

    def begun(self, name: str, number: int, count: int) -> None:
        """Say nothing: what counts is the end."""

    def staged(self, stage: str) -> None:
        """Say nothing: it is in the journal."""

    def missed(self, run: RunResult) -> None:
        """Print the run, although nothing was done."""
        self.ended(run)

    def said(self, text: str) -> None:
        """Say it where people look."""
        self._aside(text)

    def ended(self, run: RunResult) -> None:
        """Print the run."""
        self._print({"event": "run", **run_facts(run)})

    def over(self, result: SuiteResult) -> None:
        """Print the whole."""
        self._print({"event": "summary", **suite_facts(result, fail_on_warn=self._plan.fail_on_warn)})

    def wrote(self, kind: str, path: Path) -> None:
        """Say nothing: the summary is the last line, and the file has always the same name."""

    def _print(self, facts: dict[str, Any]) -> None:
        import json

        self._out(json.dumps(facts, ensure_ascii=False))


class _Progress:
    """The line that lives while a run lasts: which one, what it is at, and for how long."""

    def __init__(self, name: str, number: int, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.stage = ""
        self._title = f"{number}/{count} {name}"
        self._clock = clock
        self._began = clock()

    def __repr__(self) -> str:
        return f"<Progress {self}>"

    def __str__(self) -> str:
        return f"{self._title}  {f'{self.stage} ' if self.stage else ''}{self._clock() - self._began:.0f} s"

    def __rich__(self) -> Text:
        from rich.text import Text

        return Text(str(self), no_wrap=True, overflow="ellipsis")


class _Show:
    """For people: a line for each run that has ended, and on a terminal one that lives while it lasts."""

    def __init__(self, plan: SuitePlan, *, verbose: bool) -> None:
        from iscsiproxy.runs.suite import names

        self._plan = plan
        self._verbose = verbose
        self._width = max(len(name) for name, _ in names(plan.scenarios, plan.repeat))
        self._status: Status | None = None
        self._progress: _Progress | None = None
        self._missed = False
        self._out, self._aside = Lines(sys.stdout), Lines(sys.stderr)

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            from rich.console import Console

            self._status = Console(highlight=False).status("", spinner="dots")
            self._status.start()
        plan = self._plan
        self._out(f"target {plan.target.shown}, initiator {plan.initiator.shown}, seed {plan.seed}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def begun(self, name: str, number: int, count: int) -> None:
        """Show which one is run."""
        self._progress = _Progress(name, number, count)
        if self._status is not None:
            self._status.update(self._progress)

    def staged(self, stage: str) -> None:
        """Show what it is at."""
        if self._progress is not None:
            self._progress.stage = stage

    def missed(self, run: RunResult) -> None:
        """Say nothing: the reason was told, and it is that of them all."""
        self._missed = True

    def said(self, text: str) -> None:
        """Print it, if it matters to who watches."""
        if self._verbose or not text.startswith("the initiator: "):
            self._aside(click.style(text, dim=True))

    def ended(self, run: RunResult) -> None:
        """Print the run."""
        self._line(run)
        for one in detail(run, everything=self._verbose):
            self._out(fitted(one, self._columns()))
        if self._verbose and run.verdict == "fail":
            from iscsiproxy.cli.rungs import around

            width = self._columns()
            for rung in around(run):
                text = f"      {rung}"
                self._out(f"{text[: width - 1]}…" if 0 < width < len(text) else text)

    def over(self, result: SuiteResult) -> None:
        """Print the table, if one line is not enough, and the sum."""
        bad = [run for run in result.runs if run.verdict not in ("pass", "skipped")]
        if len(result.runs) > 1 and bad and not self._missed:
            self._out("")
            for run in bad:
                self._line(run)
        self._out(click.style(fitted(summary(result), self._columns()), bold=True))

    def wrote(self, kind: str, path: Path) -> None:
        """Say where a file is."""
        self._out(f"{kind}: {path}")

    def _line(self, run: RunResult) -> None:
        text = fitted(line(run, width=self._width), self._columns(), hang=HANG)
        self._out(click.style(text, fg=_COLOURS[run.verdict]))

    def _columns(self) -> int:
        """Give the width of the terminal; 0 for a file or a pipe, whose lines stay whole."""
        return get_terminal_size().columns if self._status is not None else 0
