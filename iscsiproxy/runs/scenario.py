"""One run of one scenario: steady state, fault, aftermath, and what it came to.

A fresh proxy and fresh sessions. First the initiator does clean I/O with nothing armed, or nothing is proven by what
follows. Then the rules come into force, before the login of a new session, and traffic goes on until every expectation
is decided or the time is up. Then everything is cleared, and the aftermath shows whether good I/O works again. All of
it is in the journal, and every verdict but that of the driver's own I/O is read off the events that are in there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Final, Literal

import trio

from iscsiproxy.engine.negotiation import NEGOTIATE
from iscsiproxy.errors import PeerError, UserError
from iscsiproxy.journal import record_of
from iscsiproxy.proxy import Address, Proxy, Route, Sink
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.report.model import Evidence, Finding, RunResult, Verdict
from iscsiproxy.runs.actor import ActorDriver
from iscsiproxy.runs.aftermath import Aftermath
from iscsiproxy.runs.block import Block, BlockDriver
from iscsiproxy.runs.driving import CommandDriver, Context, Driver, ExternalDriver
from iscsiproxy.runs.embedded import EmbeddedDriver
from iscsiproxy.runs.expectations import BarrierWanted, Watch
from iscsiproxy.runs.judging import Bench
from iscsiproxy.runs.needs import with_facts
from iscsiproxy.runs.outcome import finding_of, result_of
from iscsiproxy.runs.owed import Owed
from iscsiproxy.runs.plan import RunPlan, known_facts, own_waits
from iscsiproxy.runs.recording import Recording
from iscsiproxy.runs.requirements import Requirements
from iscsiproxy.session.events import Decided, Event, FullFeature, IoDone, Pinged, Staged
from iscsiproxy.session.snapshot import Phase, Snapshot
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["only", "run_scenario"]

_LOOPBACK: Final = "127.0.0.1"
#: How long the session of the steady state has to be gone, and what is held to go out, in seconds
_GONE = 2.0
_CLOSE = 3.0
_LOOK_AGAIN = 0.01


async def run_scenario(
    plan: RunPlan,
    *,
    say: Callable[[str], None],
    interrupt: trio.Event,
    staged: Callable[[str], None] | None = None,
    block: Block | None = None,
) -> RunResult:
    """Play it and judge it. Whatever goes wrong in it is part of the result, but for UserError, which is raised.

    `interrupt` ends it early and cleanly: everything is cleared, and the result is inconclusive. `staged` is told of
    each stage that begins. With a `block` that is the traffic: rules have until its end to fire, and it is not cut
    short; the time-out of the plan begins behind it.
    """
    return await _Run(plan, say, staged, block).play(interrupt)


class _Run:
    """One run while it lasts."""

    def __init__(
        self,
        plan: RunPlan,
        say: Callable[[str], None],
        staged: Callable[[str], None] | None,
        block: Block | None,
    ) -> None:
        self._plan = plan
        self._say = say
        self._staged = staged
        self._block = block
        self._inside: BlockDriver | None = None
        self._limit = trio.CancelScope()
        self._facts = known_facts(plan)
        self._scenario = with_facts(plan.scenario, self._facts)
        self._watch = Watch(self._scenario, seed=plan.seed)
        self._aftermath = Aftermath(self._scenario)
        self._bench = Bench(plan) if plan.check else None
        self._rng = Random(plan.seed)
        self._proxy: Proxy | None = None
        self._requirements = Requirements(plan, self._facts, self._rng)
        self._stage = ""
        self._news = trio.Event()
        self._good = trio.Event()
        self._conn = 0  #: the connection that reached full feature phase last
        self._unsent: list[BarrierWanted] = []
        self._findings: list[Finding] = []
        self._late: Finding | None = None  #: the time was up
        self._last: Finding | None = None  #: the aftermath's
        self._skipped = False
        self._unsettled = False  #: a leg has not settled on what `negotiate` wants
        self._judged = False
        self._acting = False  #: an actor has steps to do yet, or a block is not over
        self._owed = Owed()
        self._pinged: set[int] = set()  #: the barriers that were answered, or can be no more
        self._broken: list[Exception] = []

    def __repr__(self) -> str:
        return f"<Run {self._plan.name}: {self._stage or 'not begun'}>"

    # --- the whole ------------------------------------------------------------------------------------------------

    async def play(self, interrupt: trio.Event) -> RunResult:
        """Do it all."""
        plan = self._plan
        began, started = trio.current_time(), time.time()
        recording = Recording(plan, started=started, say=self._say)
        with recording:
            self._missing(self._requirements.at_once())
            if not self._skipped:
                sinks = [Sink(self._take, pdus=True), *recording.sinks]
                if self._bench is not None:
                    sinks.append(Sink(self._bench, pdus=True))
                proxy = Proxy(
                    [Route(plan.listen or Address(_LOOPBACK, 0), plan.target.address)],
                    scenarios=[self._scenario],
                    rng=self._rng,
                    sinks=sinks,
                    armed=False,
                )
                self._proxy = proxy
                try:
                    async with trio.open_nursery() as nursery:
                        routes = await nursery.start(proxy.run)
                        await self._between(routes[0].listen, interrupt, nursery)
                        nursery.cancel_scope.cancel()
                except Exception as raised:  # noqa: BLE001 - it is reported, and the run proves nothing
                    error = only(raised)
                    if isinstance(error, UserError):
                        raise error from None
                    self._broken.append(error)
                self._conclude()
        relay = self._relay
        return result_of(
            plan,
            self._findings,
            relay.engine.counters() if relay is not None and relay.engine is not None else (),
            started=started,
            seconds=trio.current_time() - began,
            files=recording.files,
            crash=bool(self._broken or self._crashes()),
            evidence={} if self._bench is None else self._bench.judge.evidence,
        )

    async def _between(self, portal: Address, interrupt: trio.Event, nursery: trio.Nursery) -> None:
        """Do what is done while the proxy runs, and clear everything at the end, whatever that was."""
        proxy = self._proxy
        assert proxy is not None
        driver = self._driver(portal, nursery)
        with trio.CancelScope() as scope:

            async def obey() -> None:
                await interrupt.wait()
                scope.cancel()

            nursery.start_soon(obey)
            try:
                await self._phases(driver)
            except PeerError as error:
                self._find("steady state", "inconclusive", str(error))
        if scope.cancelled_caught:
            self._find("run", "inconclusive", "interrupted")
        self._end_fault()
        with trio.move_on_after(_CLOSE):
            await driver.close()
        self._enter("cleared")
        await proxy.shutdown()

    def _driver(self, portal: Address, nursery: trio.Nursery) -> Driver:
        plan = self._plan
        timing = plan.scenario.timing
        context = Context(
            portal=portal,
            target=plan.target,
            initiator=plan.initiator,
            seed=plan.seed,
            patience=max(2 * timing.hang, timing.within),
            tell=self._tell,
            say=self._say,
            environment=plan.environment,
        )
        if self._block is not None:
            self._acting = True
            self._inside = BlockDriver(context, self._block, unmet=self._unmet, done=self._acted, hang_up=self._hang_up)
            return self._inside
        match plan.initiator.kind:
            case "command":
                return CommandDriver(context)
            case "external":
                return ExternalDriver(context, lambda: self._good, self._hang_up)
            case _ if plan.scenario.actor:
                self._acting = True
                return ActorDriver(
                    context,
                    plan.scenario,
                    nursery,
                    relay=lambda: self._relay,
                    extent=plan.extent,
                    done=self._acted,
                )
            case _:
                return EmbeddedDriver(
                    context, plan.scenario, nursery, extent=plan.extent, busy=lambda: bool(self._unfired())
                )

    # --- the phases -----------------------------------------------------------------------------------------------

    async def _phases(self, driver: Driver) -> None:
        plan = self._plan
        limit = self._limit
        if self._block is None:
            limit.deadline = trio.current_time() + plan.timeout
        with limit:
            if plan.steady or plan.scenario.actor:  # an actor has to know what is there
                self._enter("steady")
                said = await driver.steady()
                self._find("steady state", "pass", said)
                await self._alone()
            if not self._skipped:
                await self._fault(driver)
        if limit.cancelled_caught:
            what = "before the fault" if self._stage == "steady" else "before all was decided"
            self._late = Finding(about="time", verdict="inconclusive", text=f"{plan.timeout:g} s were over {what}")
        self._end_fault()
        if self._skipped or self._unsettled or self._stage != "aftermath":
            return
        if not self._aftermath.fired and not plan.scenario.actor:
            if not self._unfired():  # else that is told
                self._find("rule", "inconclusive", "no rule has fired")
            return
        finding = await self._aftermath.judge(driver, hang=plan.scenario.timing.hang)
        self._last = finding

    async def _not_hung(self) -> None:
        """Have the victim answer on every connection that met the fault: no expectation has asked for that.

        What it says, or does not, is told by the `Pinged` events. Where no ping may be sent, in login and discovery, it
        has to answer what it has been asked, if it has been asked anything.
        """
        relay, victim = self._relay, self._scenario.victim
        if relay is None:
            return
        sent = {
            relay.ping(conn, end, "the end", scenario=self._scenario.name)
            for conn in self._aftermath.fired
            for end in End
            if victim in ("both", end.value)
            if conn in relay.pairs and (self._may_ping(conn) or self._owed.by(conn, end))
        }
        while not (sent <= self._pinged or self._broken or self._crashes()):
            await self._newer()

    def _state(self, conn: int, leg: End, pdu: Pdu | None) -> Snapshot:
        assert self._relay is not None
        return self._relay.trackers[leg].snapshot(conn, pdu, at=self._now)

    def _may_ping(self, conn: int) -> bool:
        view = self._state(conn, End.INITIATOR, None)
        return view.conn.phase is Phase.FULL_FEATURE and view.session is not None and view.session.type == "Normal"

    async def _alone(self) -> None:
        """Wait until nobody is connected: the fault is to meet a session of its own."""
        relay = self._relay
        with trio.move_on_after(_GONE):
            while relay is not None and relay.pairs:  # noqa: ASYNC110 - what becomes of an ended pair is no event
                await trio.sleep(_LOOK_AGAIN)
        self._hang_up()

    def _hang_up(self) -> None:
        relay = self._relay
        for pair in list(relay.pairs.values()) if relay is not None else ():
            pair.fault_close("rst", "both")

    async def _fault(self, driver: Driver) -> None:
        assert self._proxy is not None
        self._enter("fault")
        self._proxy.arm()
        over = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.fault, over)
            await self._until_decided()
            self._end_fault()
            if not (self._scenario.expect or self._skipped or self._unsettled):
                await self._not_hung()
            over.set()

    async def _until_decided(self) -> None:
        """Send the barriers that are wanted, tell the time, and return when nothing more is to be awaited."""
        timing = self._plan.scenario.timing
        begin = self._now
        fires = timing.within if self._plan.fires is None else self._plan.fires
        fire_by = begin + fires + own_waits(self._scenario)
        settled: float | None = None
        silent: float | None = None
        while not (self._skipped or self._unsettled or self._broken or self._crashes()):
            now = self._now
            try:
                if (due := self._watch.due()) is not None and due <= now:
                    self._watch.tick(now)
                self._unsent += self._watch.wanted()
                decided = self._watch.decided
                due = self._watch.due()
            except Exception as error:  # noqa: BLE001 - a check that breaks makes the run inconclusive, never green
                self._broken.append(error)
                return
            self._ping()
            if self._block is not None and decided and not self._unmet():
                self._block.decided.set()
            times = [] if due is None else [due]
            if self._acting:
                pass  # each of its steps has a time of its own
            elif self._unfired():
                if now >= fire_by:
                    return
                times.append(fire_by)
            elif decided:
                # What the last act did may still be on its way.
                settled = settled or now + timing.quiet
                if now >= settled:
                    return
                times.append(settled)
            elif due is None:
                # What a window waits for has had its time since the last rule fired.
                silent = silent or now + timing.within + own_waits(self._scenario)
                if now >= silent:
                    return
                times.append(silent)
            await self._newer(min(times, default=None))

    def _unmet(self) -> bool:
        """Tell whether the fault is yet to come, or a part of it."""
        return bool(self._unfired()) or not self._aftermath.fired

    def _acted(self, trouble: str) -> None:
        """Take note that the actor has done its steps, or could not, or that the block is over."""
        self._acting = False
        if self._block is not None:
            self._limit.deadline = trio.current_time() + self._plan.timeout
        if trouble:
            self._find("actor", "inconclusive", trouble)
        self._news.set()
        self._news = trio.Event()

    def _ping(self) -> None:
        """Send the barriers that are wanted, on any connection where it does not matter which."""
        relay = self._relay
        if relay is None or relay.engine is None:
            return
        left = []
        for wanted in self._unsent:
            conn = wanted.conn
            if not conn:
                there = [one for one in relay.pairs if self._phase(one) is Phase.FULL_FEATURE]
                if not there:
                    left.append(wanted)
                    continue
                conn = there[-1]
            relay.ping(conn, wanted.end, wanted.text, scenario=self._scenario.name)
        self._unsent = left

    def _phase(self, conn: int) -> Phase:
        assert self._relay is not None
        return self._relay.trackers[End.INITIATOR].phase(conn)

    async def _newer(self, at: float | None = None) -> None:
        """Wait for the next event, or until that time of the run."""
        seconds = float("inf") if at is None else max(0.0, at - self._now)
        with trio.move_on_after(seconds):
            await self._news.wait()
        # What comes in one batch is looked at once.
        await trio.lowlevel.checkpoint()

    def _end_fault(self) -> None:
        """End the part that is judged by expectations, and clear every fault. Idempotent."""
        if self._stage != "fault":
            return
        self._enter("aftermath")
        if self._relay is not None:
            self._relay.end()

    @property
    def _relay(self) -> Relay | None:
        return self._proxy.relay if self._proxy is not None else None

    # --- what happens ---------------------------------------------------------------------------------------------

    @property
    def _now(self) -> float:
        relay = self._relay
        return relay.now if relay is not None else 0.0

    def _take(self, event: Event) -> None:
        """Be the sink: everything that is judged comes by here. Never raises."""
        try:
            if not self._judged:
                self._watch.take(record_of(event))
            if isinstance(event, FullFeature) and event.leg is End.INITIATOR:
                self._conn = event.conn
                steady = self._stage == "steady"
                self._missing(self._requirements.at_login(event, self._state, steady=steady))
            if isinstance(event, Decided) and event.what == "skipped" and event.rule.endswith(f"/{NEGOTIATE}"):
                self._unsettled = True
            self._owed.take(event)
            if isinstance(event, Pinged) and event.what != "sent":
                self._pinged.add(event.barrier)
            good = self._aftermath.take(event)
            if self._inside is not None:
                self._inside.take(event, good=good)
            if good:
                self._good.set()
                self._good = trio.Event()
        except Exception as error:  # noqa: BLE001 - a check that breaks makes the run inconclusive, never green
            self._broken.append(error)
            self._judged = True
        self._news.set()
        self._news = trio.Event()

    def _tell(self, what: Literal["good", "error", "mismatch"], text: str) -> None:
        if self._relay is not None:
            self._relay.tell(lambda n, at: IoDone(n=n, at=at, conn=self._conn, what=what, text=text))

    def _enter(self, stage: Literal["steady", "fault", "aftermath", "cleared"]) -> None:
        self._stage = stage
        if self._staged is not None:
            self._staged(stage)
        if self._relay is not None:
            name = self._plan.name
            self._relay.tell(lambda n, at: Staged(n=n, at=at, conn=0, stage=stage, text=name))

    # --- the end --------------------------------------------------------------------------------------------------

    def _find(self, about: str, verdict: Verdict, text: str, evidence: tuple[Evidence, ...] = ()) -> None:
        self._findings.append(Finding(about=about, verdict=verdict, text=text, evidence=evidence))

    def _missing(self, needs: tuple[Finding, ...]) -> None:
        self._skipped = self._skipped or bool(needs)
        self._findings += needs

    def _unfired(self) -> tuple[str, ...]:
        relay = self._relay
        return relay.engine.unfired() if relay is not None and relay.engine is not None else ()

    def _crashes(self) -> list[Exception]:
        relay = self._relay
        return [*(relay.crashes if relay is not None else ()), *self._plan.target.crashes]

    def _conclude(self) -> None:
        """Add what the watch says, and what broke."""
        met = self._stage == "cleared" and self._aftermath.begun
        if not self._skipped and met:
            try:
                self._watch.finish(self._now)
                results = (*self._watch.troubles(self._unfired()), *self._watch.results())
            except Exception as error:  # noqa: BLE001 - a check that breaks makes the run inconclusive, never green
                self._broken.append(error)
            else:
                # What a scenario expects tells more than what came of it.
                self._findings += map(finding_of, sorted(results, key=lambda result: result.kind == "data"))
        self._findings += [one for one in (self._late, self._last) if one is not None]
        if self._bench is not None:
            self._findings += self._bench.findings(self._now)
        for one in (*self._broken, *self._crashes()):
            self._find("crash", "inconclusive", f"internal error: {one!r}")


def only(error: Exception) -> Exception:
    """Unwrap what a nursery has wrapped."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
