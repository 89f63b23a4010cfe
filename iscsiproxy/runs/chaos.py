"""One run of a plan of chaos: clean I/O, then calm and storm in turn, then good I/O once more, judged all the time.

The storms are decided before the first byte flows: a list of faults and times, drawn with the seed, or taken from the
journal of an earlier run. All rules are known to the engine from the start; a decision brings those of a fault into
force until each of them has fired, or its time is up. Who judges knows nothing of that list: the judge of both ends,
the shadow disk, what the application saw, and whether I/O goes well again.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, Literal

import trio

from iscsiproxy.checks.known import Known
from iscsiproxy.checks.profiles import DEFAULT, Profile
from iscsiproxy.errors import PeerError, UserError
from iscsiproxy.language.plans import ChaosPlan, Phase
from iscsiproxy.language.spec import Scenario, Timing, Verdict
from iscsiproxy.proxy import Address, Proxy, Route, Sink
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.report.model import Evidence, Finding, RunResult
from iscsiproxy.runs.aftermath import Aftermath
from iscsiproxy.runs.driving import CommandDriver, Context, Driver
from iscsiproxy.runs.embedded import EmbeddedDriver
from iscsiproxy.runs.forces import Forces, sleeping
from iscsiproxy.runs.initiators import InitiatorSpec
from iscsiproxy.runs.judging import Bench
from iscsiproxy.runs.outcome import result_of
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.runs.recording import Recording
from iscsiproxy.runs.scenario import only
from iscsiproxy.runs.scratch import Extent
from iscsiproxy.runs.storm import Decision
from iscsiproxy.runs.targets import Target
from iscsiproxy.session.events import Event, Fired, IoDone, Received, Staged
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["ChaosRun", "Progress", "run_chaos"]

_LOOPBACK: Final = "127.0.0.1"
#: How often who watches is told, and how long what is held has to go out, in seconds
_TELL: Final = 0.25
_CLOSE: Final = 3.0
#: A decision that is done again comes with its command, so many seconds sooner or later than before at the most
_EARLY: Final = 0.5
_LATE: Final = 5.0
#: How long I/O has to come back behind it all, and the steady state to be reached, in seconds
_PATIENCE: Final = 60.0
#: Our own initiator gives a command up when it has waited for both together: storms are no time for patience.
_TIMING: Final = Timing(hang=2.0, within=1.0)
#: How many mismatches are told one by one
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosRun:
    """What is to be run. `decisions` are when which fault comes; `folder` is where the records go."""

    plan: ChaosPlan
    decisions: tuple[Decision, ...]
    target: Target
    initiator: InitiatorSpec
    seed: int
    extent: Extent | None = None
    folder: Path | None = None
    capture: bool = False
    profile: Profile = DEFAULT
    known: Known | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How it stands: `seconds` `of` those of all phases, commands a second, faults drawn and those that struck."""

    phase: str
    seconds: float
    of: float
    iops: float
    drawn: int
    struck: int
    findings: int


async def run_chaos(
    run: ChaosRun,
    *,
    say: Callable[[str], None],
    interrupt: trio.Event,
    watch: Callable[[Progress], None] = lambda _: None,
) -> RunResult:
    """Run it and judge it. Whatever goes wrong in it is part of the result, but for UserError, which is raised.

    `interrupt` ends it early and cleanly: faults are cleared, and what was found until then is told.
    """
    return await _Chaos(run, say, watch).play(interrupt)


class _Chaos:
    """One run while it lasts."""

    def __init__(self, run: ChaosRun, say: Callable[[str], None], watch: Callable[[Progress], None]) -> None:
        self._run = run
        self._say = say
        self._watch = watch
        plan = run.plan
        scenario = Scenario(
            name=plan.name,
            victim="both",
            title=plan.title,
            about=plan.about,
            traffic=plan.traffic,
            params={} if plan.scale == 1 else {"scale": f"{plan.scale:g}"},
            timing=_TIMING,
            file=plan.file,
        )
        self._plan = RunPlan(
            name=plan.name,
            scenario=scenario,
            target=run.target,
            initiator=run.initiator,
            seed=run.seed,
            timeout=plan.seconds,
            extent=run.extent,
            folder=run.folder,
            capture=run.capture,
            profile=run.profile,
            known=run.known,
        )
        self._bench = Bench(self._plan)
        self._aftermath = Aftermath(scenario)
        self._relay: Relay | None = None
        self._forces: Forces | None = None
        self._findings: list[Finding] = []
        self._broken: list[Exception] = []
        self._news = trio.Event()
        self._phase = ""
        self._began = math.inf  #: the time of the run at which the first phase began
        self._good = 0
        self._errors: Counter[str] = Counter()
        self._mismatches: list[IoDone] = []

    def __repr__(self) -> str:
        return f"<Chaos {self._run.plan.name}: {self._phase or 'not begun'}>"

    # --- the whole ------------------------------------------------------------------------------------------------

    async def play(self, interrupt: trio.Event) -> RunResult:
        """Do it all."""
        began, started = trio.current_time(), time.time()
        recording = Recording(self._plan, started=started, say=self._say)
        interrupted = False
        with recording:
            proxy = Proxy(
                [Route(Address(_LOOPBACK, 0), self._run.target.address)],
                scenarios=[sleeping(fault.scenario) for fault in self._run.plan.faults],
                rng=Random(self._run.seed),
                sinks=[Sink(self._take, pdus=True), *recording.sinks, Sink(self._bench, pdus=True)],
                armed=False,
            )
            try:
                async with trio.open_nursery() as nursery:
                    routes = await nursery.start(proxy.run)
                    interrupted = await self._between(proxy, routes[0].listen, interrupt, nursery)
                    nursery.cancel_scope.cancel()
            except Exception as raised:  # noqa: BLE001 - it is reported, and the run proves nothing
                error = only(raised)
                if isinstance(error, UserError):
                    raise error from None
                self._broken.append(error)
            self._conclude(interrupted=interrupted)
        relay = self._relay
        return result_of(
            self._plan,
            self._findings,
            relay.engine.counters() if relay is not None and relay.engine is not None else (),
            started=started,
            seconds=trio.current_time() - began,
            files=recording.files,
            crash=bool(self._broken or self._crashes()),
            evidence=self._bench.judge.evidence,
        )

    async def _between(self, proxy: Proxy, portal: Address, interrupt: trio.Event, nursery: trio.Nursery) -> bool:
        """Do what is done while the proxy runs; tell whether it was interrupted."""
        relay = proxy.relay
        assert relay is not None
        self._relay = relay
        self._forces = forces = Forces(self._run.plan.faults, relay)
        driver = self._driver(portal, nursery)
        with trio.CancelScope() as scope:

            async def obey() -> None:
                await interrupt.wait()
                scope.cancel()

            nursery.start_soon(obey)
            try:
                await self._phases(driver, relay, forces)
            except PeerError as error:
                self._find("steady state", "inconclusive", str(error))
        forces.clear()
        relay.end()
        with trio.move_on_after(_CLOSE):
            await driver.close()
        _stage(relay, "cleared")
        await proxy.shutdown()
        return scope.cancelled_caught

    def _driver(self, portal: Address, nursery: trio.Nursery) -> Driver:
        run = self._run
        context = Context(
            portal=portal,
            target=run.target,
            initiator=run.initiator,
            seed=run.seed,
            patience=_PATIENCE,
            tell=self._tell,
            say=self._say,
        )
        if run.initiator.kind == "command":
            return CommandDriver(context)
        return EmbeddedDriver(context, self._plan.scenario, nursery, extent=run.extent)

    async def _phases(self, driver: Driver, relay: Relay, forces: Forces) -> None:
        _stage(relay, "steady")
        with trio.move_on_after(_PATIENCE) as limit:
            self._find("steady state", "pass", await driver.steady())
        if limit.cancelled_caught:
            raise PeerError(f"no clean I/O in {_PATIENCE:g} s")
        over = trio.Event()
        async with trio.open_nursery() as nursery:
            self._began = begin = relay.now
            nursery.start_soon(driver.fault, over)
            nursery.start_soon(self._report, relay, forces, over)
            for phase in self._run.plan.phases:
                await self._weather(phase, begin, relay, forces)
                over_time = max(0.0, relay.now - begin - phase.seconds)
                self._began += over_time
                begin += phase.seconds + over_time
            over.set()
        _stage(relay, "aftermath")
        finding = await self._aftermath.judge(driver, hang=_PATIENCE)
        if finding is not None:
            self._findings.append(finding)

    async def _weather(self, phase: Phase, begin: float, relay: Relay, forces: Forces) -> None:
        """Let one phase pass, and put faults in force as was decided."""
        until = begin + phase.seconds
        self._phase = phase.name
        _stage(relay, "fault" if phase.rate else "aftermath", phase.name)
        if phase.rate:
            relay.begin()
            relay.refresh()
        forces.commands = 0
        todo = deque(one for one in self._run.decisions if phase.rate and begin <= self._began + one.at < until)
        # What is done again has a little more time: all that struck before is to strike.
        while relay.now < until or (todo and todo[0].commands is not None and relay.now < until + _LATE):
            forces.review()
            while todo and self._is_due(todo[0], relay.now, forces.commands) and forces.arm(todo[0]):
                todo.popleft()
            times = (until, until + _LATE, forces.until, self._next(todo, relay.now))
            await self._newer(min(at for at in times if at > relay.now) - relay.now)
        for one in todo:  # there was no command for it any more
            forces.miss(one)
        forces.clear()
        if phase.rate:
            relay.end()

    def _next(self, todo: Sequence[Decision], now: float) -> float:
        """Give when the next decision may be due by the time alone."""
        times = (self._began + todo[0].at - _EARLY, self._latest(todo[0])) if todo else ()
        return min((at for at in times if at > now), default=math.inf)

    def _latest(self, decision: Decision) -> float:
        """Give when a decision has its effect even if the command has not come that it came with before."""
        return self._began + decision.at + (0.0 if decision.commands is None else _LATE)

    def _is_due(self, decision: Decision, now: float, commands: int) -> bool:
        met = decision.commands is not None and commands >= decision.commands
        return (met and now >= self._began + decision.at - _EARLY) or now >= self._latest(decision)

    async def _newer(self, seconds: float) -> None:
        """Wait for what may change anything, or so long."""
        with trio.move_on_after(max(0.0, seconds)):
            await self._news.wait()
        self._news = trio.Event()
        await trio.lowlevel.checkpoint()

    # --- what happens ---------------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        """Be the sink. Never raises."""
        try:
            match event:
                case Received(leg=End.INITIATOR, pdu=pdu) if pdu.opcode == Opcode.SCSI_COMMAND:
                    if self._forces is not None and event.at >= self._began:
                        self._forces.commands += 1
                        self._news.set()
                case Fired():
                    if self._forces is not None:
                        self._forces.take(event)
                    self._news.set()
                case IoDone(what="good"):
                    self._good += 1
                case IoDone(what="mismatch"):
                    self._mismatches.append(event)
                case IoDone(text=text):
                    self._errors[text] += 1
            self._aftermath.take(event)
        except Exception as error:  # noqa: BLE001 - a check that breaks makes the run inconclusive, never green
            self._broken.append(error)

    def _tell(self, what: Literal["good", "error", "mismatch"], text: str) -> None:
        """Put what the application saw into the journal."""
        assert self._relay is not None
        self._relay.tell(lambda n, at: IoDone(n=n, at=at, conn=0, what=what, text=text))

    async def _report(self, relay: Relay, forces: Forces, over: trio.Event) -> None:
        """Tell who watches how it stands, now and then."""
        at, good = relay.now, self._good
        while not over.is_set():
            with trio.move_on_after(_TELL):
                await over.wait()
            seconds, commands = relay.now - at, self._good - good
            at, good = relay.now, self._good
            self._watch(
                Progress(
                    phase=self._phase,
                    seconds=at - self._began,
                    of=self._run.plan.seconds,
                    iops=commands / max(seconds, 1e-6),
                    drawn=forces.drawn.total(),
                    struck=forces.struck.total(),
                    findings=len(self._bench.judge.findings),
                )
            )

    # --- the end --------------------------------------------------------------------------------------------------

    def _find(self, about: str, verdict: Verdict, text: str, evidence: Sequence[Evidence] = ()) -> None:
        self._findings.append(Finding(about=about, verdict=verdict, text=text, evidence=tuple(evidence)))

    def _crashes(self) -> list[Exception]:
        return [*(self._relay.crashes if self._relay is not None else ()), *self._run.target.crashes]

    def _conclude(self, *, interrupted: bool) -> None:
        """Say what the storms came to, what the application saw, what the judge found, and what broke."""
        if interrupted:
            self._find("run", "inconclusive", f"interrupted in {self._phase or 'the steady state'}")
        if self._forces is not None and any(phase.rate for phase in self._run.plan.phases):
            drawn, struck = self._forces.drawn, self._forces.struck
            told = ", ".join(f"{name} {struck[name]} of {drawn[name]}" for name in sorted(drawn)) or "none"
            text = f"{struck.total()} of {drawn.total()} faults that were put in force have struck: {told}"
            self._find("storm", "pass" if struck else "inconclusive", text)
        judged = [*self._bench.findings(self._relay.now if self._relay is not None else 0.0)]
        self._application(spoiled=any(one.rule.startswith("D-") and one.verdict == "pass" for one in judged))
        self._findings += judged
        for one in (*self._broken, *self._crashes()):
            self._find("crash", "inconclusive", f"internal error: {one!r}")

    def _application(self, *, spoiled: bool) -> None:
        """Say what came of the I/O. Data that is wrong fails the run, unless a fault is known to have spoiled it."""
        most = "".join(f"; {count} x {text}" for text, count in self._errors.most_common(3))
        self._find("workload", "pass", f"{self._good} commands went well, {self._errors.total()} did not{most}")
        if self._mismatches:
            evidence = [Evidence(n=one.n, at=one.at, text=one.text) for one in self._mismatches[:_SHOWN]]
            text = f"{len(self._mismatches)} blocks were not what was written"
            text += ", as a fault has made them" if spoiled else ""
            self._find("workload", "pass" if spoiled else "fail", text, evidence)


def _stage(relay: Relay, stage: Literal["steady", "fault", "aftermath", "cleared"], text: str = "") -> None:
    relay.tell(lambda n, at: Staged(n=n, at=at, conn=0, stage=stage, text=text))
