"""Does what is asked of a running proxy: one method for each operation, in the trio thread that the proxy runs in.

It reads the trackers of both legs and tells the engine; it knows nothing of HTTP. Nothing here waits but `inject`. What
costs the wire something (looking at headers, keeping PDUs) goes on only while somebody is there to see it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import trio

from iscsiproxy import __version__
from iscsiproxy.api import models
from iscsiproxy.api.server.armoury import Armoury, Library
from iscsiproxy.api.server.explaining import Explaining
from iscsiproxy.api.server.history import History, Stream
from iscsiproxy.api.server.injecting import errand
from iscsiproxy.api.server.recorder import Recorder
from iscsiproxy.api.server.refusal import Refusal, refusal_of
from iscsiproxy.api.server.timers import next_timer
from iscsiproxy.api.server.veiling import veiled
from iscsiproxy.api.server.views import connections, pdu_view, sessions, show, tasks
from iscsiproxy.api.server.vocabulary import vocabulary
from iscsiproxy.api.server.watching import wanted_by
from iscsiproxy.engine import SPECS, Engine
from iscsiproxy.engine.byhand import Holding
from iscsiproxy.engine.work import ActError
from iscsiproxy.errors import FileError
from iscsiproxy.language.completion import complete
from iscsiproxy.language.harm import harmful_act
from iscsiproxy.language.line import read_acts
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy import Proxy, Sink
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Control", "Findings", "Run"]

#: How long numbers and tasks are followed behind the last request of somebody who does not stay, in seconds
_LINGER = 60.0


class Findings(Protocol):
    """The judge of a run, as the API asks it."""

    def findings(self, query: models.FindingQuery) -> models.Findings:
        """Give what was found."""

    def counts(self) -> dict[str, int]:
        """Count the findings by severity; `known` are those that are accepted."""


class _Unchecked:
    """Stands for the judge where there is none."""

    def findings(self, query: models.FindingQuery) -> models.Findings:
        """Give nothing."""
        return models.Findings(checked=False, profile="", findings=(), counts={})

    def counts(self) -> dict[str, int]:
        """Count nothing."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What there is to know of a run beside its proxy. `always` follows numbers and tasks from the start."""

    seed: int
    library: Library
    scratch: bool = False
    profile: str = ""
    journal: Path | None = None
    capture: Path | None = None
    always: bool = False
    findings: Findings | None = None
    lost: Callable[[], int] = field(default=lambda: 0)


class Control:
    """One run under control. `proxy` is open to rules; `begin` is to be called when it runs."""

    def __init__(self, proxy: Proxy, run: Run, *, scenarios: tuple[Scenario, ...] = ()) -> None:
        self._proxy = proxy
        self._run = run
        self._judge: Findings = run.findings or _Unchecked()
        self.history = History()
        self._armoury = Armoury(lambda: self._relay, run.library, scratch=run.scratch)
        self._recorder = Recorder(lambda: self._relay.now, self._busy)
        self._explaining = Explaining(self._state, scenarios)
        self._keeping = Sink(self.history.take)
        self._following = Sink(self._explaining)
        self._records = False  #: PDUs are recorded, and so everything is looked at anyhow
        self._clients = 0
        self._readers = 0  #: those who want PDUs
        self._called = -_LINGER

    def __repr__(self) -> str:
        return f"<Control {self._clients} clients, {self._armoury!r}>"

    @property
    def _relay(self) -> Relay:
        relay = self._proxy.relay
        assert relay is not None  # nobody is served before the proxy runs
        return relay

    def _state(self, conn: int, leg: End, pdu: Pdu | None) -> Snapshot:
        return self._relay.trackers[leg].snapshot(conn, pdu, at=self._relay.now)

    # --- while it lasts ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin to keep what happens."""
        relay = self._relay
        self._records = relay.records
        self._explaining.seeing = self._records
        relay.listen(self._keeping, self._following, Sink(self._recorder))
        self._look()
        self._follow()

    async def keep_up(self) -> None:
        """Follow numbers and tasks no longer when nobody has been there for a while; runs until cancelled."""
        while True:
            await trio.sleep(_LINGER / 4)
            self._follow()

    def close(self) -> None:
        """End every stream."""
        self.history.close()

    def called(self) -> None:
        """Take note that somebody has asked for something."""
        self._called = self._relay.now
        self._follow()

    def crashed(self, error: Exception) -> None:
        """Take note of an error of this program; the run proves nothing any more."""
        self._relay.crashed(error, 0)

    def _busy(self) -> int:
        return sum(1 for _ in self._relay.trackers[End.INITIATOR].outstanding())

    def _follow(self) -> None:
        somebody = self._run.always or self._clients > 0 or self._relay.now - self._called < _LINGER
        self._relay.follow(somebody)
        if not (somebody or self._records):
            self._explaining.look_away()
            self._look()

    def _look(self) -> None:
        """Have PDUs kept as long as somebody wants them, and told to what explains once somebody has asked for that."""
        relay, kept, explained = self._relay, self._records or self._readers > 0, self._explaining.seeing
        if (kept, explained) != (self._keeping.pdus, self._following.pdus):
            relay.unlisten(self._keeping)
            relay.unlisten(self._following)
            self._keeping, self._following = Sink(self.history.take, kept), Sink(self._explaining, explained)
            relay.listen(self._keeping, self._following)
            relay.refresh()

    # --- what there is -----------------------------------------------------------------------------------------------

    def proxy(self) -> models.Proxy:
        """Tell of the run as a whole."""
        relay, run = self._relay, self._run
        rules, held = self._armoury.rules(), self._holdings()
        timers = [timer for one in held if (timer := next_timer(relay, one)) is not None]
        stalled = sum(any(pair.leg(end).stalled for end in End) for pair in relay.pairs.values())
        return models.Proxy(
            version=__version__,
            pid=os.getpid(),
            seed=run.seed,
            now=round(relay.now, 6),
            routes=tuple(models.Route(listen=str(listen), target=str(target)) for listen, target in self._proxy.routes),
            scratch=run.scratch,
            checked=run.findings is not None,
            profile=run.profile,
            journal=None if run.journal is None else str(run.journal),
            capture=None if run.capture is None else str(run.capture),
            sessions=len(sessions(relay)),
            connections=len(relay.pairs),
            tasks=self._busy(),
            pdus=relay.looked,
            rules=len(rules),
            armed=sum(rule.armed and not rule.once for rule in rules),
            held=len(held),
            stalled=stalled,
            findings=self._judge.counts(),
            recording=self._recorder.on,
            clients=self._clients,
            last=self.history.last,
            timer=min(timers, key=lambda timer: timer.left, default=None),
            internal_errors=tuple(repr(error) for error in relay.crashes),
            left_out=run.lost(),
        )

    def sessions(self) -> tuple[models.Session, ...]:
        """List the sessions."""
        return sessions(self._relay)

    def session(self, session: int) -> models.Session:
        """Tell of one session."""
        return _one(self.sessions(), session, "session")

    def connections(self) -> tuple[models.Connection, ...]:
        """List the connections."""
        return connections(self._relay, Counter(one.conn for one in self._holdings()))

    def connection(self, conn: int) -> models.Connection:
        """Tell of one connection."""
        return _one(self.connections(), conn, "connection")

    def tasks(self, query: models.TaskQuery) -> tuple[models.Task, ...]:
        """List the tasks that have no status yet."""
        return tasks(self._relay, query.conn)

    def pdu(self, n: int) -> models.PduView:
        """Show a PDU that is kept."""
        kept = self.history.find(n)
        if kept is None:
            hint = "PDUs are kept while somebody watches them, or with --check; the oldest are forgotten first"
            raise Refusal(404, f"no PDU is kept that came or went as event {n}", hint=hint)
        event, item = kept
        return pdu_view(event, line=item.line, size=item.size)

    def vocabulary(self) -> models.Vocabulary:
        """Give the words of the language."""
        return vocabulary(self._run.library.names())

    def complete(self, query: models.CompletionQuery) -> models.Completion:
        """Say what may come next in a line that is being typed."""
        held = next((one for one in self._holdings() if one.n == query.n), None)
        found = complete(
            query.line,
            len(query.line) if query.cursor is None else query.cursor,
            acts=SPECS,
            form=query.form,
            opcodes=frozenset() if held is None else frozenset({held.pdu.opcode}),
        )
        return models.Completion(
            start=found.start,
            kinds=found.kinds,
            candidates=tuple(models.Candidate(text=one.text, kind=one.kind, help=one.help) for one in found.candidates),
        )

    # --- connections -------------------------------------------------------------------------------------------------

    def kill(self, conn: int, kill: models.Kill) -> models.Connection:
        """Close a connection."""
        was = self.connection(conn)
        self._recorder.did(f"close {kill.how} end={kill.end}")
        self._relay.pairs[conn].fault_close(kill.how, kill.end)
        return was

    def stall(self, conn: int, stall: models.Stall) -> models.Connection:
        """Neither read from nor write to a connection."""
        was = self.connection(conn)
        ends = (was.initiator, was.target) if stall.end == "both" else (getattr(was, stall.end),)
        if any(leg.stalled for leg in ends):
            raise Refusal(409, f"connection {conn} is stalled already")
        at_most = "no" if stall.at_most is None else f"{round(stall.at_most * 1000)}ms"
        line = f"stall released end={stall.end} at_most={at_most}"
        with self._engine() as engine:
            origin = self._armoury.read(models.Arming(line=line, conn=conn))
            self._armoury.take_in(origin, engine)
        self._recorder.stalled(conn, stall.end)
        return self.connection(conn)

    def resume(self, conn: int) -> models.Connection:
        """End what stalls a connection."""
        self.connection(conn)
        ended = 0
        with self._engine() as engine:
            ended = engine.resume(frozenset({conn}))
        if not ended:
            raise Refusal(409, f"nothing stalls connection {conn}")
        self._recorder.resumed(conn)
        return self.connection(conn)

    # --- rules -------------------------------------------------------------------------------------------------------

    def rules(self) -> tuple[models.Rule, ...]:
        """List the rules."""
        return self._armoury.rules()

    def arm(self, arming: models.Arming) -> models.Armed:
        """Arm a line or a scenario, all of it or nothing."""
        origin = self._armoury.read(arming)
        last = self.history.last
        self._explaining.add(origin.scenario, self._relay.now)
        with self._engine() as engine:
            self._armoury.take_in(origin, engine)
        self._recorder.armed(origin)
        return models.Armed(scenario=origin.scenario.name, rules=self._armoury.rules_of(origin.scenario.name), n=last)

    def check(self, arming: models.Arming) -> models.Armed:
        """Say what would be armed."""
        origin = self._armoury.read(arming)
        return models.Armed(scenario=origin.scenario.name, rules=self._armoury.would_be(origin), n=self.history.last)

    def switch_scenario(self, scenario: str, switch: models.RuleSwitch) -> tuple[models.Rule, ...]:
        """Arm or disarm the rules of a scenario."""
        return self._switch(scenario, None, on=switch.armed)

    def switch_rule(self, scenario: str, rule: str, switch: models.RuleSwitch) -> models.Rule:
        """Arm or disarm one rule."""
        return self._switch(scenario, rule, on=switch.armed)[0]

    def _switch(self, scenario: str, rule: str | None, *, on: bool) -> tuple[models.Rule, ...]:
        names = self._armoury.named(scenario, rule)
        with self._engine() as engine:
            engine.switch(names, on=on)
        return tuple(one for one in self._armoury.rules_of(scenario) if one.name in names)

    def remove(self, scenario: str) -> tuple[models.Rule, ...]:
        """Take a scenario out."""
        found = self._armoury.rules_of(scenario)
        with self._engine() as engine:
            engine.dismiss(scenario)
        return found

    def clear(self) -> models.Cleared:
        """Clear everything."""
        relay = self._relay
        rules, held, before = len(self._armoury.rules()), len(self._holdings()), set(relay.pairs)
        stalled = sum(any(pair.leg(end).stalled for end in End) for pair in relay.pairs.values())
        differ = tuple(conn for conn in sorted(before) if relay.engine is not None and relay.engine.differs(conn))
        if relay.engine is not None:
            relay.carry_out(relay.engine.clear(relay.now))
        relay.refresh()
        return models.Cleared(rules=rules, held=held, stalled=stalled, reset=differ)

    def explain(self, query: models.ExplanationQuery) -> tuple[models.Explanation, ...]:
        """Say why rules did or did not fire."""
        known = {rule.name for rule in self._armoury.rules()}
        if query.rule is not None and not any(
            name.startswith(f"{query.rule}/") or name == query.rule for name in known
        ):
            raise Refusal(
                404, f"no rule is called {query.rule}", hint=f"there are: {', '.join(sorted(known)) or 'none'}"
            )
        if not self._explaining.seeing:
            self._explaining.seeing = True
            self._look()
        return self._explaining.explanations(query.rule)

    # --- what is held ------------------------------------------------------------------------------------------------

    def held(self) -> tuple[models.Held, ...]:
        """List the PDUs in hand."""
        return tuple(map(self._held, self._holdings()))

    def held_pdu(self, n: int) -> models.PduView:
        """Show a PDU in hand as it would go now."""
        one = self._holding(n)
        return show(one.pdu, n=one.n, at=one.at, conn=one.conn, leg=one.leg, kind="held", changes=one.changes)

    def edit(self, n: int, edit: models.Edit) -> models.Held:
        """Change a PDU in hand."""
        one = self._holding(n)
        opcodes = frozenset({one.pdu.opcode})
        try:
            acts = read_acts(edit.acts, opcodes=opcodes, acts=SPECS)
        except FileError as error:
            raise refusal_of(error) from None
        harm = next((why for act in acts if (why := harmful_act(act, opcodes))), "")
        if harm and not (self._run.scratch or edit.confirm):
            why = f"this may corrupt data, and the target was not declared scratch: {harm}"
            raise Refusal(409, why, error="confirm")
        try:
            with self._engine() as engine:
                engine.edit(n, acts)
        except ActError as error:
            raise Refusal(409, f"that cannot be done to this {one.pdu.label}: {error}") from None
        self._recorder.edited(one, edit.acts)
        return self._held(self._holding(n))

    def release(self, n: int) -> models.Held:
        """Let a PDU go."""
        one = self._holding(n)
        with self._engine() as engine:
            engine.let_go(n)
        self._recorder.let_go(one)
        return self._held(one)

    def drop(self, n: int) -> models.Held:
        """Let a PDU go nowhere."""
        one = self._holding(n)
        with self._engine() as engine:
            engine.drop(n)
        self._recorder.let_go(one, dropped=True)
        return self._held(one)

    def step(self, n: int) -> models.Stepped:
        """Let a PDU go, and hold the next one of its connection."""
        one = self._holding(n)
        with self._engine() as engine:
            engine.step(n)
        self._recorder.let_go(one)
        return models.Stepped(released=self._held(one))

    def _holdings(self) -> tuple[Holding, ...]:
        engine = self._relay.engine
        return engine.held() if engine is not None else ()

    def _holding(self, n: int) -> Holding:
        holdings = self._holdings()
        found = next((one for one in holdings if one.n == n), None)
        if found is None:
            hint = f"held are: {', '.join(str(one.n) for one in holdings) or 'none'}"
            raise Refusal(404, f"no PDU is held that came as event {n}", hint=hint)
        return found

    def _held(self, one: Holding) -> models.Held:
        view = show(one.pdu, n=one.n, at=one.at, conn=one.conn, leg=one.leg, kind="held")
        return models.Held(
            n=one.n,
            at=round(one.at, 6),
            since=round(one.since, 6),
            conn=one.conn,
            leg=view.leg,
            rule=one.rule,
            until=one.until,
            label=view.label,
            summary=view.summary,
            changes=veiled(one.changes, one.pdu),
            behind=one.behind,
            timer=next_timer(self._relay, one),
        )

    # --- PDUs of our own ---------------------------------------------------------------------------------------------

    async def inject(self, injection: models.Injection) -> models.Injected:
        """Send a PDU of our own now, and wait for its answer."""
        arming = models.Arming(line=f"inject {injection.pdu}", conn=injection.conn, confirm=injection.confirm)
        origin = self._armoury.read(arming)
        if not origin.once:
            hint = "arm a line that begins with `inject` for that"
            raise Refusal(400, "a PDU that is injected now goes with no moment", hint=hint)
        rule = f"{origin.scenario.name}/{origin.scenario.rules[0].name}"
        with errand(self._relay, rule, origin.conn) as one:
            with self._engine() as engine:
                self._armoury.take_in(origin, engine)
            self._recorder.armed(origin)
            await one.wait(injection.wait)
        if one.failure:
            unknown = "not known" in one.failure
            raise Refusal(409, one.failure, hint="the next PDU of this session tells it" if unknown else None)
        return one.told()

    # --- what has happened -------------------------------------------------------------------------------------------

    def findings(self, query: models.FindingQuery) -> models.Findings:
        """Give what the judge has found."""
        return self._judge.findings(query)

    def events(self, query: models.EventQuery) -> Stream:
        """Begin to tell of events."""
        wanted = wanted_by(query, self._state)
        pdus = query.follow and (query.pdus or query.where is not None)
        stream = self.history.read(wanted, since=query.since, follow=query.follow, limit=query.limit)
        if query.follow:
            self._clients += 1
            self._follow()
        if pdus:
            self._readers += 1
            self._look()

        def gone() -> None:
            self.history.forget(stream)
            if query.follow:
                self._clients -= 1
            if pdus:
                self._readers -= 1
                self._look()
            self.called()

        stream.on_close = gone
        return stream

    def recording(self) -> models.Recording:
        """Say what was recorded."""
        return models.Recording(on=self._recorder.on, lines=self._recorder.lines())

    def record(self, switch: models.RecordingSwitch) -> models.Recording:
        """Begin to record, or end it."""
        self._recorder.switch(switch.on)
        return self.recording()

    def save(self, scenario: str, saving: models.Saving) -> models.ScenarioText:
        """Write what was recorded, or what is armed, as a scenario file."""
        engine = self._relay.engine
        rules = engine.rules() if engine is not None else ()
        return self._recorder.save(scenario, saving, rules=rules, origins=self._armoury.origin)

    @contextmanager
    def _engine(self) -> Iterator[Engine]:
        """Ask the engine for something; what comes of it is done behind the block, and what to look at is new."""
        relay = self._relay
        engine = relay.engine
        assert engine is not None
        relay.ask(lambda _: None)  # it knows the time now
        try:
            yield engine
        finally:
            relay.ask(lambda _: None)
            relay.run_due()  # what is to be done at once is done now
            relay.refresh()


_S = TypeVar("_S", models.Session, models.Connection)


def _one(found: tuple[_S, ...], number: int, what: str) -> _S:
    """Give the one with that number. Raises Refusal."""
    for one in found:
        if one.id == number:
            return one
    hint = f"there are: {', '.join(str(one.id) for one in found) or 'none'}"
    raise Refusal(404, f"there is no {what} {number}", hint=hint)
