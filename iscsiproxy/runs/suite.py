"""Many runs, one after another: each scenario, each combination of its matrix, as often as asked.

A seed of the suite gives each run a seed of its own by its name, so that a run does the same whatever else is run.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Protocol

import trio

from iscsiproxy import __version__
from iscsiproxy.checks.known import Deviation, Known
from iscsiproxy.checks.profiles import DEFAULT, Profile
from iscsiproxy.errors import PeerError, UsageError
from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.initiator.errors import LoginFailed
from iscsiproxy.peers.initiator.session import discover, open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings, random_isid
from iscsiproxy.proxy import Address
from iscsiproxy.report.junit import junit
from iscsiproxy.report.model import Finding, RunResult, SuiteResult
from iscsiproxy.report.result import run_json, suite_json
from iscsiproxy.runs.disks import find_disks
from iscsiproxy.runs.initiators import InitiatorSpec
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.runs.scenario import run_scenario
from iscsiproxy.runs.scratch import Extent
from iscsiproxy.runs.selection import run_name
from iscsiproxy.runs.targets import Target, TargetSpec, opened

__all__ = ["Done", "Listener", "SuitePlan", "file_name", "looked", "names", "run_suite", "seed_of", "write_suite"]

#: Of a name of a run, what can be no part of a file's name everywhere
_ODD = re.compile(r"[^A-Za-z0-9_.,=#+-]+")
#: The status of a login to a target that is not there (RFC 7143 11.13.5)
_NOT_FOUND = 0x0203
#: Those of one whose initiator was not taken for who it says it is, or may not come
_NOT_LET_IN = frozenset({0x0201, 0x0202})
#: How long a target has to tell what it has, in seconds
_LOOK = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SuitePlan:
    """What is to be run, and how. Times are seconds.

    `folder` is where everything is kept; without it only what did not pass is, in `spare`, and of that the journal.
    `quiet` replaces the quiet time of the scenarios. `check`, `profile` and `known` are those of a `RunPlan`.
    """

    scenarios: tuple[Scenario, ...]
    target: TargetSpec
    initiator: InitiatorSpec
    seed: int
    timeout: float
    repeat: int = 1
    extent: Extent | None = None
    steady: bool = True
    listen: Address | None = None
    quiet: float | None = None
    folder: Path | None = None
    spare: Path | None = None
    stop_at_fail: bool = False
    fail_on_warn: bool = False
    check: bool = True
    profile: Profile = DEFAULT
    known: tuple[Deviation, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class Listener(Protocol):
    """Who is told how a suite goes on."""

    def begun(self, name: str, number: int, count: int) -> None:
        """Hear that a run begins, the `number`th of `count`."""

    def staged(self, stage: str) -> None:
        """Hear that the next stage of the run begins."""

    def said(self, text: str) -> None:
        """Hear something that a user may want to know."""

    def ended(self, run: RunResult) -> None:
        """Hear that a run has ended."""


def names(scenarios: Iterable[Scenario], repeat: int = 1) -> Iterator[tuple[str, Scenario]]:
    """Give every run with its name; one that is repeated has a number behind it."""
    for scenario in scenarios:
        for turn in range(1, repeat + 1):
            yield f"{run_name(scenario)}{f'#{turn}' if repeat > 1 else ''}", scenario


def seed_of(seed: int, name: str) -> int:
    """Give the seed of a run, 32 bits."""
    return Random(f"{seed}/{name}").randrange(1 << 32)


class Done:
    """The runs of a suite that have ended: they are there whatever becomes of the others."""

    def __init__(self, plan: SuitePlan) -> None:
        self.plan = plan
        self.todo = tuple(names(plan.scenarios, plan.repeat))
        self.runs: list[RunResult] = []
        self._began, self._started = trio.current_time(), time.time()

    def __repr__(self) -> str:
        return f"<Done {len(self.runs)} of {len(self.todo)} runs>"

    def give_up(self, why: str) -> Sequence[RunResult]:
        """Take the runs that there were to be yet for inconclusive, and give them."""
        left = [
            RunResult(
                name=name,
                scenario=scenario.name,
                verdict="inconclusive",
                findings=(Finding(about="target", verdict="inconclusive", text=why),),
                title=scenario.title,
                about=scenario.about,
                victim=scenario.victim,
                file=scenario.file,
                axes=dict(scenario.axes),
                params=dict(scenario.params),
                covers=scenario.covers,
                cites=scenario.cites,
                seed=seed_of(self.plan.seed, name),
            )
            for name, scenario in self.todo[len(self.runs) :]
        ]
        self.runs += left
        return left

    def result(self, *, interrupted: bool) -> SuiteResult:
        """Give what it has come to so far."""
        plan = self.plan
        return SuiteResult(
            runs=tuple(self.runs),
            target=plan.target.shown,
            initiator=plan.initiator.shown,
            seed=plan.seed,
            program=f"iscsiproxy {__version__}",
            started=datetime.fromtimestamp(self._started, UTC).isoformat(),
            seconds=trio.current_time() - self._began,
            interrupted=interrupted,
            asked=len(self.todo),
        )


async def run_suite(
    plan: SuitePlan, listener: Listener, interrupt: trio.Event, *, done: Done | None = None
) -> SuiteResult:
    """Run it all, until `interrupt`; what was done until then is in the result, and in `done` however this ends.

    Raises UserError for what the user has to put right, PeerError if the target cannot be had at all.
    """
    done = Done(plan) if done is None else done
    todo = done.todo
    async with AsyncExitStack() as stack:
        target: Target | None = None
        if plan.target.kind != "embedded" and todo:
            target = await looked(await stack.enter_async_context(opened(plan.target)), plan.initiator)
        for number, (name, scenario) in enumerate(todo, 1):
            if interrupt.is_set():
                break
            listener.begun(name, number, len(todo))
            run = await _one(plan, name, scenario, target, listener, interrupt)
            done.runs.append(run)
            listener.ended(run)
            bad = run.verdict in ("fail", "inconclusive") or (run.verdict == "warn" and plan.fail_on_warn)
            if plan.stop_at_fail and bad:
                break
    return done.result(interrupted=interrupt.is_set())


async def _one(
    plan: SuitePlan,
    name: str,
    scenario: Scenario,
    target: Target | None,
    listener: Listener,
    interrupt: trio.Event,
) -> RunResult:
    if plan.quiet is not None:
        scenario = replace(scenario, timing=replace(scenario.timing, quiet=plan.quiet))
    async with AsyncExitStack() as stack:
        # A target of our own is a fresh one each time: nothing that a fault left behind can spoil the next run.
        here = target if target is not None else await stack.enter_async_context(opened(plan.target))
        with _folder(plan, name) as folder:
            run = await run_scenario(
                RunPlan(
                    name=name,
                    scenario=scenario,
                    target=here,
                    initiator=plan.initiator,
                    seed=seed_of(plan.seed, name),
                    timeout=plan.timeout,
                    extent=plan.extent,
                    steady=plan.steady,
                    listen=plan.listen,
                    folder=folder,
                    capture=plan.folder is not None,
                    check=plan.check,
                    profile=plan.profile,
                    known=Known(plan.known),
                    environment=plan.environment,
                ),
                say=listener.said,
                interrupt=interrupt,
                staged=listener.staged,
            )
            return _kept(plan, run, folder, listener)


@contextmanager
def _folder(plan: SuitePlan, name: str) -> Iterator[Path | None]:
    """Give the folder that the run is recorded in; a spare one is gone at the end of the block."""
    if plan.folder is not None:
        folder = plan.folder / file_name(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make {folder}: {error.strerror}") from error
        yield folder
    elif plan.spare is not None:
        with tempfile.TemporaryDirectory(prefix="iscsiproxy-run-") as spare:
            yield Path(spare)
    else:
        yield None


def _kept(plan: SuitePlan, run: RunResult, folder: Path | None, listener: Listener) -> RunResult:
    """Keep what is to be kept of a run, and say in its result where that is."""
    if folder is None:
        return run
    if plan.folder is None:
        assert plan.spare is not None
        if run.verdict in ("pass", "skipped"):
            return replace(run, files={})
        home = plan.spare / file_name(run.name)
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(folder, home, dirs_exist_ok=True)
        except OSError as error:
            listener.said(f"the journal of {run.name} could not be kept: {error.strerror}")
            return replace(run, files={})
        run = replace(run, files={kind: str(home / Path(path).name) for kind, path in run.files.items()})
        folder = home
    try:
        _write(folder / "result.json", run_json(run).encode())
    except UsageError as error:
        listener.said(f"{error}: the verdict of {run.name} is not there")  # it is told, and the other runs go on
    return run


def write_suite(result: SuiteResult, folder: Path, *, fail_on_warn: bool = False) -> None:
    """Write `result.json` and `junit.xml` of the whole. Raises UsageError."""
    _write(folder / "result.json", suite_json(result, fail_on_warn=fail_on_warn).encode())
    _write(folder / "junit.xml", junit(result, fail_on_warn=fail_on_warn))


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def file_name(name: str) -> str:
    """Make a file's name of a run's."""
    return _ODD.sub("_", name.replace("[", ".").replace("]", ""))[:200]


async def looked(target: Target, initiator: InitiatorSpec) -> Target:
    """Find out what is not known of a target: its name, and how many logical units it has.

    Raises PeerError if our own initiator, or a command that has to be told the name, could not do without it;
    UsageError if there are several targets to choose from.
    """
    settings = InitiatorSettings(
        isid=random_isid("look"), account=target.spec.account, login_timeout=_LOOK, command_timeout=_LOOK
    )
    portal = (target.address.host, target.address.port)
    needed = initiator.kind == "embedded" or (initiator.needs_name and target.name is None)
    try:
        if target.name is None:
            target = replace(target, name=_the_one([one.name for one in await discover(portal, settings)]))
        async with open_session(portal, settings.changed(target=target.name)) as session:
            disks = await find_disks(session)
            lun = disks[0].lun if target.lun is None else target.lun
            return replace(target, lun=lun, units=len(disks))
    except PeerError as error:
        if needed:
            hint = await _way_out(error, target, settings)
            raise PeerError(f"the target {target.spec.shown}: {error}{hint}") from error
        return target


async def _way_out(error: PeerError, target: Target, settings: InitiatorSettings) -> str:
    """Say what a user can do about a login that was refused; empty where nothing is known to help."""
    if not isinstance(error, LoginFailed):
        return ""
    if error.status in _NOT_LET_IN:
        if target.spec.account is None:
            return " (the URL names no user: iscsi://USER%PASSWORD@HOST:PORT/NAME/LUN)"
        return " (are the user and the password of the URL right?)"
    if error.status != _NOT_FOUND:
        return ""
    with suppress(PeerError):
        offered = [one.name for one in await discover((target.address.host, target.address.port), settings)]
        return f" (the portal offers {', '.join(offered)})" if offered else " (the portal offers no target)"
    return ""


def _the_one(found: Sequence[str]) -> str:
    if not found:
        raise PeerError("the portal offers no target")
    if len(found) > 1:
        raise UsageError(f"which target? give one of them, as in iscsi://HOST:PORT/NAME: {', '.join(found)}")
    return found[0]
