"""Does what is asked of a running proxy: one method for each operation, in the trio thread that the proxy runs in.

It reads the trackers of both legs and tells the engine; it knows nothing of HTTP. Nothing here waits but `inject`.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TypeVar

from iscsiproxy import __version__
from iscsiproxy.api import models
from iscsiproxy.api.server.hands import Hands
from iscsiproxy.api.server.presence import Findings, Run
from iscsiproxy.api.server.refusal import Refusal
from iscsiproxy.api.server.views import connections, pdu_view, sessions, tasks
from iscsiproxy.api.server.vocabulary import vocabulary
from iscsiproxy.engine import SPECS
from iscsiproxy.language.completion import complete
from iscsiproxy.language.spec import Scenario
from iscsiproxy.proxy import Proxy
from iscsiproxy.wire.opcodes import End

__all__ = ["Control"]


class _Unchecked:
    """Stands for the judge where there is none."""

    def findings(self, query: models.FindingQuery) -> models.Findings:
        """Give nothing."""
        return models.Findings(checked=False, profile="", findings=(), counts={})

    def counts(self) -> dict[str, int]:
        """Count nothing."""
        return {}


class Control(Hands):
    """One run under control. `proxy` is open to rules; `begin` is to be called when it runs."""

    def __init__(self, proxy: Proxy, run: Run, *, scenarios: tuple[Scenario, ...] = ()) -> None:
        super().__init__(proxy, run, scenarios=scenarios)
        self._judge: Findings = run.findings or _Unchecked()

    # --- what there is -----------------------------------------------------------------------------------------------

    def proxy(self) -> models.Proxy:
        """Tell of the run as a whole."""
        relay, run = self._relay, self._run
        (rules, armed), held = self._armoury.counts(), self._holdings()
        timers = [timer for one in held if (timer := run.patience.next_timer(relay, one)) is not None]
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
            rules=rules,
            armed=armed,
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
        (rules, _), held = self._armoury.counts(), len(self._holdings())
        stalled = sum(any(pair.leg(end).stalled for end in End) for pair in relay.pairs.values())
        differ = tuple(conn for conn in sorted(relay.pairs) if relay.engine is not None and relay.engine.differs(conn))
        if relay.engine is not None:
            relay.carry_out(relay.engine.clear(relay.now))
        relay.refresh()
        return models.Cleared(rules=rules, held=held, stalled=stalled, reset=differ)

    def explain(self, query: models.ExplanationQuery) -> tuple[models.Explanation, ...]:
        """Say why rules did or did not fire."""
        known = {rule.name: rule.scenario for rule in self._armoury.rules()}
        if query.rule is not None and query.rule not in {*known, *known.values()}:
            hint = f"there are: {', '.join(known) or 'none'}"
            raise Refusal(404, f"no rule is called {query.rule}", hint=hint)
        if not self._explaining.seeing:
            self._explaining.seeing = True
            self._look()
        return self._explaining.explanations(query.rule)

    # --- what has happened -------------------------------------------------------------------------------------------

    def findings(self, query: models.FindingQuery) -> models.Findings:
        """Give what the judge has found."""
        return self._judge.findings(query)

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


_S = TypeVar("_S", models.Session, models.Connection)


def _one(found: tuple[_S, ...], number: int, what: str) -> _S:
    """Give the one with that number. Raises Refusal."""
    for one in found:
        if one.id == number:
            return one
    hint = f"there are: {', '.join(str(one.id) for one in found) or 'none'}"
    raise Refusal(404, f"there is no {what} {number}", hint=hint)
