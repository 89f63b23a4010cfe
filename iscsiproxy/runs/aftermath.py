"""Judges what comes behind a fault: whether good I/O works again, and over which connection.

Good I/O is what the driver says of its own, and a good status that the target really sent behind the fault. Which
connections met the fault, and who ended them, is read off the events.
"""

from __future__ import annotations

import trio

from iscsiproxy.language.spec import Scenario
from iscsiproxy.report.model import Evidence, Finding, Verdict
from iscsiproxy.runs.driving import Behind, Driver
from iscsiproxy.session.events import Bound, Closed, Event, Fired, Noted, Received, Staged
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Aftermath"]


class Aftermath:
    """Follows the events of one run for what its aftermath is judged by."""

    def __init__(self, scenario: Scenario) -> None:
        self._kind = scenario.aftermath
        self._victim = scenario.victim
        self._discovery = scenario.traffic.get("io") == "discovery"
        #: The first firing of an act, or note, on each connection; where there is none at all, the first capture
        self.fired: dict[int, Fired | Noted | Bound] = {}
        rules = (*scenario.rules, *(rule for one in scenario.machines for state in one.states for rule in state.rules))
        self._captures = frozenset(f"{scenario.name}/{rule.name}" for rule in rules if not any(one.do for one in rules))
        #: Whether the fault is over
        self.begun = False
        self._mark = 0
        self._ends: dict[int, Closed] = {}
        #: The legs that the fault itself has reset, while it lasted
        self._cut: dict[int, dict[End, Closed]] = {}
        self._logouts: dict[int, Received] = {}
        self._granted: dict[int, Received] = {}
        self._goods: dict[int, Received] = {}
        self._news = trio.Event()

    def __repr__(self) -> str:
        return f"<Aftermath {self._kind}, {len(self.fired)} connections met the fault>"

    def take(self, event: Event) -> bool:
        """Take note of an event; True if it is the target's word that I/O went well."""
        match event:
            case Staged(stage="aftermath"):
                self.begun, self._mark = True, event.n
            case Fired() | Noted() if event.rule and not self.begun:
                self.fired.setdefault(event.conn, event)
            case Bound() if event.rule in self._captures and not self.begun:
                self.fired.setdefault(event.conn, event)
            case Closed(by="peer"):
                self._ends.setdefault(event.conn, event)
                self._news.set()
                self._news = trio.Event()
            case Closed(by="fault", how="rst") if not self.begun:
                self._cut.setdefault(event.conn, {})[event.leg] = event
            case Received(leg=End.INITIATOR, pdu=pdu) if pdu.opcode == Opcode.LOGOUT_REQUEST:
                self._logouts.setdefault(event.conn, event)
            case Received(leg=End.TARGET, pdu=pdu) if pdu.opcode == Opcode.LOGOUT_RESPONSE:
                self._granted.setdefault(event.conn, event)
            case Received(leg=End.TARGET, pdu=pdu) if self._is_good(pdu):
                self._goods[event.conn] = event
                return True
        return False

    def _is_good(self, pdu: Pdu) -> bool:
        if pdu.opcode == Opcode.SCSI_RESPONSE:
            return pdu["Response"] == 0 and pdu["Status"] == 0
        if pdu.opcode == Opcode.DATA_IN:
            return bool(pdu["S"]) and pdu["Status"] == 0
        return self._discovery and pdu.opcode == Opcode.TEXT_RESPONSE

    async def judge(self, driver: Driver, *, hang: float) -> Finding | None:
        """Have good I/O done, and say what that shows; None where the scenario wants nothing."""
        match self._kind:
            case "none":
                return None
            case "ends":
                return await self._judge_end(driver, hang)
            case "survives":
                return self._judge_survival(await driver.behind(anew=False))
            case _:
                return await self._judge_recovery(driver)

    async def _judge_recovery(self, driver: Driver) -> Finding:
        behind = await driver.behind(anew=False)
        if not behind.good:
            first = behind
            behind = await driver.behind(anew=True)
            if behind.good:
                text = f"{behind.text}, over a new session; the old one: {first.text}"
                behind = Behind(good=True, text=text, since=behind.since)
            elif behind.good is None:
                behind = first
        if behind.good is None:
            return self._untold(behind)
        good = max(self._goods.values(), key=lambda event: event.n, default=None)
        if not behind.good:
            return self._found("fail", f"no good I/O works any more: {behind.text}", *self._how_they_ended())
        if good is None or good.n < (self._mark if behind.since is None else behind.since):
            return self._found("inconclusive", f"{behind.text}, but no good status was seen on the wire")
        return self._found("pass", f"good I/O works again: {behind.text}", _seen(good))

    def _judge_survival(self, behind: Behind) -> Finding:
        met = [conn for conn in self.fired if conn]
        for conn in met:
            end = self._ends.get(conn)
            if end is not None and end.n > self.fired[conn].n:
                whose = End.TARGET if end.leg is End.TARGET else End.INITIATOR
                left = (self._logouts if whose is End.INITIATOR else self._granted).get(conn)
                if left is not None and left.n < end.n:
                    continue  # it has logged out: that is how a session ends that has survived
                blamed = self._victim in ("both", whose.value)
                text = f"the {whose} ended the connection that met the fault"
                return self._found("fail" if blamed else "inconclusive", text, _ended(end))
        if behind.good is None:
            return self._untold(behind)
        over = [self._goods[conn] for conn in met if conn in self._goods and self._goods[conn].n > self.fired[conn].n]
        if not behind.good:
            return self._found("fail", f"no good I/O over the connection that met the fault: {behind.text}")
        if not over:
            return self._found("inconclusive", "no good status was seen over the connection that met the fault")
        return self._found("pass", f"the connection that met the fault does good I/O: {behind.text}", _seen(over[-1]))

    async def _judge_end(self, driver: Driver, hang: float) -> Finding:
        with trio.move_on_after(hang):
            while self._left():
                await self._news.wait()
        left = self._left()
        if left:
            return self._found("fail", f"connection {left[0]}, which met the fault, is still there after {hang:g} s")
        behind = await driver.behind(anew=True)
        if behind.good is None:
            return self._untold(behind)
        if not behind.good:
            return self._found("fail", f"a new login does not work: {behind.text}", *self._how_they_ended())
        return self._found(
            "pass", f"the connection is gone, and a new login works: {behind.text}", *self._how_they_ended()
        )

    def _untold(self, behind: Behind) -> Finding:
        return self._found("inconclusive", f"whether good I/O works is not known: {behind.text}")

    def _left(self) -> list[int]:
        """Give the connections that met the fault and are still there: nobody has ended them, nor the fault itself."""
        victims = {end for end in End if self._victim in ("both", end.value)}
        return [
            conn
            for conn in self.fired
            if conn and conn not in self._ends and not victims <= self._cut.get(conn, {}).keys()
        ]

    def _how_they_ended(self) -> tuple[Evidence, ...]:
        ends = [
            end
            for conn in self.fired
            for end in ([self._ends[conn]] if conn in self._ends else self._cut.get(conn, {}).values())
        ]
        return tuple(map(_ended, ends))

    def _found(self, verdict: Verdict, text: str, *evidence: Evidence) -> Finding:
        return Finding(about="aftermath", verdict=verdict, text=f"{self._kind}: {text}", evidence=evidence)


def _seen(event: Received) -> Evidence:
    return Evidence(n=event.n, at=event.at, conn=event.conn, leg=str(event.leg), text=summary(event.pdu))


def _ended(event: Closed) -> Evidence:
    text = f"{event.how.upper()} {f'to the {event.leg}' if event.by == 'fault' else f'by the {event.leg}'}"
    return Evidence(n=event.n, at=event.at, conn=event.conn, leg=str(event.leg), text=text)
