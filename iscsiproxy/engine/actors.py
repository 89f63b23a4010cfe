"""What an actor asks of the engine: to do the acts among its steps, to make its PDUs, to know them by their names.

The steps themselves are done elsewhere, by whoever has an initiator. Here they are compiled like the acts of rules, and
work with nothing in hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.firing import Chain
from iscsiproxy.engine.moments import Path
from iscsiproxy.engine.rules import build_act
from iscsiproxy.engine.templates import given, make
from iscsiproxy.engine.work import ActError, Built, Host, Work
from iscsiproxy.language.spec import Scenario
from iscsiproxy.wire.opcodes import opcode_of
from iscsiproxy.wire.pdu import Pdu

__all__ = ["ActorSteps", "Announced"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """A PDU that an actor is about to send, and the name it is to be known by."""

    name: str
    conn: int
    opcode: int
    tag: int

    def is_it(self, look: Look) -> bool:
        """Tell whether what has arrived is that PDU."""
        pdu = look.pdu
        return pdu is not None and look.conn == self.conn and pdu.opcode == self.opcode and pdu.get("ITT") == self.tag


class _Doing:
    """One step at work, as a chain knows a rule."""

    def __init__(self, steps: ActorSteps, index: int, done: Callable[[str], None]) -> None:
        self.name = f"{steps.scenario.name}/actor.{index + 1}"
        self.victim: Literal["initiator", "target", "both"] = steps.scenario.victim
        self.acts: Sequence[Built] = (steps.built[index],)
        self.captures = steps.captures
        self._done = done

    def ended(self, how: str) -> None:
        """Tell the actor."""
        self._done(how)


class ActorSteps:
    """The steps of one scenario's actor. `captures` are those of its rules."""

    def __init__(self, scenario: Scenario, captures: Book) -> None:
        self.scenario = scenario
        self.captures = captures
        self.built = tuple(build_act(step, scenario.victim) for step in scenario.actor)
        self.announced: list[Announced] = []

    def __repr__(self) -> str:
        return f"<ActorSteps {len(self.built)} of {self.scenario.name}>"

    def paths(self) -> Iterator[Path]:
        """Give every moment that a step waits for."""
        for built in self.built:
            for value in built.params.values():
                if isinstance(value, tuple):
                    yield from (one for one in value if isinstance(one, Path))

    def perform(self, host: Host, index: int, look: Look | None, done: Callable[[str], None]) -> None:
        """Do the act of a step; `done` is told how it ended, perhaps much later."""
        scope = [] if look is None else [look.conn]
        Chain(host, None, [(_Doing(self, index, done), look)], lambda: scope).start()

    def values(self, host: Host, index: int, look: Look) -> dict[str, Any]:
        """Evaluate the fields that a step gives. Raises ActError for one that is absent."""
        return given(self.built[index], self._work(host, index, look))

    def template(self, host: Host, index: int, look: Look, own: Mapping[str, Any]) -> tuple[Pdu, frozenset[str]]:
        """Make the PDU of a step, with `own` values for what it has and does not give; name the fields that it gives.

        Raises ActError.
        """
        built = self.built[index]
        opcode = opcode_of(str(built.params["pdu"]))
        if opcode is None:
            raise ActError("there is no PDU to send")
        work = self._work(host, index, look)
        values = given(built, work)
        has = Pdu.build(opcode).fields
        pdu, _ = make(opcode, {**{name: own[name] for name in own if name in has}, **values}, built, work)
        return pdu, frozenset(values)

    def _work(self, host: Host, index: int, look: Look) -> Work:
        chain = Chain(host, None, [])
        return Work(host, chain, _Doing(self, index, lambda _: None), look.within(self.captures), None)

    def meet(self, look: Look) -> str | None:
        """Give the name of what has arrived, if it was announced."""
        for one in self.announced:
            if one.is_it(look):
                self.announced.remove(one)
                return one.name
        return None
