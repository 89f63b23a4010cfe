from __future__ import annotations

from random import Random

import trio

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.language.plans import Fault
from iscsiproxy.proxy.relay import Relay, Settings, Sink
from iscsiproxy.runs.forces import Forces, sleeping
from iscsiproxy.runs.storm import Decision
from iscsiproxy.session.events import Connected, Drawn, Event, Fired

__all__: list[str] = []

TWO = """scenario: two
victim: both
rules:
  - {name: met, when: connect nth 1, do: {arm: later}}
  - {name: later, armed: no, when: connect, do: {note: there}}
  - {name: maybe, optional: yes, when: close, do: {note: gone}}
"""


def made(text: str = TWO, *, lasts: float = 5.0) -> tuple[Forces, Relay, list[Event]]:
    scenario = load(text, file="two", acts=SPECS)
    told: list[Event] = []
    relay = Relay(
        scenarios=[sleeping(scenario)],
        rng=Random(1),
        sinks=[Sink(told.append)],
        settings=Settings(),
        start=trio.current_time(),
        armed=False,
    )
    relay.begin()
    return Forces((Fault(name="two", scenario=scenario, weight=1, lasts=lasts),), relay), relay, told


def connect(relay: Relay, conn: int) -> None:
    n = relay.next_n()
    relay.happened(Connected(n=n, at=relay.now, conn=conn, initiator="a", listen="b", local="c", target="d"))


def drawn(told: list[Event]) -> list[tuple[int, str]]:
    return [(one.number, one.what) for one in told if isinstance(one, Drawn)]


async def test_it_strikes_while_it_is_in_force_and_only_then() -> None:
    forces, relay, told = made()
    connect(relay, 1)
    forces.review()
    assert forces.arm(Decision(number=1, fault="two", at=0.0))
    forces.review()
    connect(relay, 2)
    forces.review()
    assert drawn(told) == [(1, "armed")], "the other rule has not fired yet"
    connect(relay, 3)
    forces.review()
    assert drawn(told) == [(1, "armed"), (1, "fired")], "what need not fire is not waited for"
    connect(relay, 4)
    assert relay.engine is not None
    assert [one.fired for one in relay.engine.counters()] == [1, 1, 0]
    # It can come again.
    assert forces.arm(Decision(number=2, fault="two", at=0.0))
    connect(relay, 5)
    connect(relay, 6)
    forces.review()
    assert (forces.drawn["two"], forces.struck["two"]) == (2, 2)


async def test_what_is_in_force_is_missed_when_drawn_and_waited_for_when_done_again() -> None:
    forces, _, told = made()
    forces.arm(Decision(number=1, fault="two", at=0.0))
    assert forces.arm(Decision(number=2, fault="two", at=0.0))
    assert drawn(told)[-1] == (2, "missed")
    assert not forces.arm(Decision(number=3, fault="two", at=0.0, commands=3))
    assert forces.drawn["two"] == 1


async def test_its_time_is_up_at_the_end() -> None:
    forces, _, told = made(lasts=0.0)
    assert forces.until == float("inf")
    forces.arm(Decision(number=1, fault="two", at=0.0))
    assert forces.until < float("inf")
    forces.review()
    assert drawn(told) == [(1, "armed"), (1, "expired")]
    forces, _, told = made()
    forces.arm(Decision(number=1, fault="two", at=0.0))
    forces.clear()
    assert drawn(told) == [(1, "armed"), (1, "expired")]


STALL = """scenario: two
victim: both
rules: [{name: a, when: connect nth 1, do: [{stall: {end: target, until: 60s}}]}]
"""


async def test_a_stall_that_goes_on_when_its_time_is_up_has_struck() -> None:
    forces, relay, told = made(STALL)
    forces.arm(Decision(number=1, fault="two", at=0.0))
    connect(relay, 1)
    for event in told:
        if isinstance(event, Fired):
            forces.take(event)
    forces.review()
    assert drawn(told) == [(1, "armed")], "it goes on"
    forces.clear()
    assert drawn(told) == [(1, "armed"), (1, "fired")]
    assert forces.struck["two"] == 1
