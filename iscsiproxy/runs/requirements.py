"""The needs of one run, each asked as soon as it can be: at once, or by the first login that counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from iscsiproxy.engine.facts import Look, Reader
from iscsiproxy.errors import InternalError
from iscsiproxy.report.model import Evidence, Finding
from iscsiproxy.runs.needs import Fact, asks_login, unmet
from iscsiproxy.runs.plan import RunPlan
from iscsiproxy.session.events import FullFeature
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.opcodes import End

__all__ = ["Requirements"]


class Requirements:
    """What a scenario needs; a finding for each need that is not met."""

    def __init__(self, plan: RunPlan, facts: Mapping[str, Fact], rng: Random) -> None:
        self._plan = plan
        self._facts = facts
        self._rng = rng
        self._later = [need for need in plan.scenario.needs if asks_login(need)]
        self._open = bool(self._later)

    def __repr__(self) -> str:
        return f"<Requirements of {self._plan.name}{' open' if self._open else ''}>"

    def at_once(self) -> tuple[Finding, ...]:
        """Judge the needs that no login has a part in."""
        plan = self._plan

        def nothing(*_: object) -> Snapshot:
            raise InternalError("no login has a part in it")

        look = Look(0, 0.0, End.INITIATOR, nothing, self._rng, {})
        found = unmet((need for need in plan.scenario.needs if need not in self._later), look, self._facts)
        if plan.scenario.actor and plan.initiator.kind != "embedded":
            found += ("its actor is played by the embedded initiator, and by no other",)
        return _missing(found)

    def at_login(self, event: FullFeature, state: Reader, *, steady: bool) -> tuple[Finding, ...]:
        """Judge the others, if this login is the first that counts; `steady` tells that the rules are still to come."""
        scenario = self._plan.scenario
        if not self._open or (steady and scenario.negotiate):
            return ()  # what is negotiated in the steady state is not what the scenario will have
        session = state(event.conn, event.leg, None).session
        wanted = "Discovery" if scenario.traffic.get("io") == "discovery" else "Normal"
        if session is not None and session.type != wanted:
            return ()
        self._open = False
        look = Look(event.conn, event.at, event.leg, state, self._rng, {}, event="full-feature", n=event.n)
        seen = Evidence(n=event.n, at=event.at, conn=event.conn, leg=str(event.leg), text="full feature phase")
        return _missing(unmet(self._later, look, self._facts), seen)


def _missing(found: Iterable[str], *evidence: Evidence) -> tuple[Finding, ...]:
    return tuple(Finding(about="need", verdict="skipped", text=text, evidence=evidence) for text in found)
