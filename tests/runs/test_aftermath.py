from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
import trio

from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.language.spec import Scenario
from iscsiproxy.report.model import Finding
from iscsiproxy.runs.aftermath import Aftermath
from iscsiproxy.runs.driving import Behind
from iscsiproxy.session.events import Bound, Closed, Event, Fired, Received, Staged
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []

Kind = Literal["recovers", "survives", "ends", "none"]
Victim = Literal["initiator", "target", "both"]


class _Script:
    """A driver whose I/O comes out as written; what it does on the wire is told to the aftermath."""

    def __init__(self, aftermath: Aftermath, outcomes: dict[bool, tuple[bool, tuple[Event, ...]]]) -> None:
        self._aftermath = aftermath
        self._outcomes = outcomes
        self.asked: list[bool] = []

    async def steady(self) -> str:
        raise NotImplementedError

    async def fault(self, over: trio.Event) -> None:
        raise NotImplementedError

    async def behind(self, *, anew: bool) -> Behind:
        self.asked.append(anew)
        good, events = self._outcomes[anew]
        for event in events:
            self._aftermath.take(event)
        return Behind(good=good, text="8 commands went well" if good else "no answer")

    async def close(self) -> None:
        raise NotImplementedError


def _good(n: int, conn: int) -> Received:
    pdu = Pdu.build(Opcode.SCSI_RESPONSE).with_fields({"Status": 0})
    return Received(n=n, at=n / 10, conn=conn, leg=End.TARGET, pdu=pdu)


def _bad(n: int, conn: int) -> Received:
    pdu = Pdu.build(Opcode.SCSI_RESPONSE).with_fields({"Status": 2})
    return Received(n=n, at=n / 10, conn=conn, leg=End.TARGET, pdu=pdu)


def _logout(n: int, conn: int) -> Received:
    return Received(n=n, at=n / 10, conn=conn, leg=End.INITIATOR, pdu=Pdu.build(Opcode.LOGOUT_REQUEST))


def _closed(n: int, conn: int, leg: End = End.TARGET, by: Literal["peer", "proxy", "fault"] = "peer") -> Closed:
    return Closed(n=n, at=n / 10, conn=conn, leg=leg, how="fin", by=by)


_FIRED = Fired(n=5, at=0.5, conn=1, rule="x/y", act="drop", of=4, label="", text="")
_OVER = Staged(n=20, at=2.0, conn=0, stage="aftermath")
_NO: tuple[bool, tuple[Event, ...]] = (False, ())


def _yes(*events: Event) -> tuple[bool, tuple[Event, ...]]:
    return True, events


async def _judged(
    kind: Kind,
    *events: Event,
    same: tuple[bool, tuple[Event, ...]] = _NO,
    new: tuple[bool, tuple[Event, ...]] = _NO,
    victim: Victim = "target",
) -> Finding | None:
    aftermath = Aftermath(Scenario(name="x", victim=victim, aftermath=kind))
    for event in (_FIRED, *events, _OVER):
        aftermath.take(event)
    return await aftermath.judge(_Script(aftermath, {False: same, True: new}), hang=0.05)


async def _verdict(
    kind: Kind,
    *events: Event,
    same: tuple[bool, tuple[Event, ...]] = _NO,
    new: tuple[bool, tuple[Event, ...]] = _NO,
    victim: Victim = "target",
) -> str:
    finding = await _judged(kind, *events, same=same, new=new, victim=victim)
    assert finding is not None
    return finding.verdict


async def test_nothing_is_asked_where_nothing_is_wanted() -> None:
    assert await _judged("none") is None


async def test_recovery_is_good_io_over_this_session_or_the_next() -> None:
    assert await _verdict("recovers", same=_yes(_good(21, 1))) == "pass"
    assert await _verdict("recovers", _closed(6, 1), same=_yes(_good(21, 2))) == "pass"
    assert await _verdict("recovers", new=_yes(_good(21, 2))) == "pass"
    assert await _verdict("recovers") == "fail"


async def test_a_word_of_the_driver_is_not_enough() -> None:
    assert await _verdict("recovers", _good(6, 1), same=_yes()) == "inconclusive"
    assert await _verdict("recovers", same=_yes(_bad(21, 1))) == "inconclusive"
    assert await _verdict("survives", same=_yes(_good(21, 2))) == "inconclusive"


async def test_the_evidence_is_the_good_status() -> None:
    finding = await _judged("recovers", same=_yes(_good(21, 1)))
    assert finding is not None
    assert [(one.n, one.conn, one.leg) for one in finding.evidence] == [(21, 1, "target")]


async def test_survival_is_good_io_over_this_very_connection() -> None:
    assert await _verdict("survives", same=_yes(_good(21, 1))) == "pass"
    assert await _verdict("survives", _closed(6, 1), same=_yes(_good(21, 2))) == "fail"
    assert await _verdict("survives", same=_NO) == "fail"
    assert await _verdict("survives", _closed(6, 1, by="fault"), same=_yes(_good(21, 2))) == "inconclusive"


@pytest.mark.parametrize(
    ("victim", "leg", "verdict"),
    [
        ("target", End.TARGET, "fail"),
        ("target", End.INITIATOR, "inconclusive"),
        ("initiator", End.INITIATOR, "fail"),
        ("initiator", End.TARGET, "inconclusive"),
        ("both", End.TARGET, "fail"),
    ],
)
async def test_only_the_victim_is_blamed_for_an_end(victim: Victim, leg: End, verdict: str) -> None:
    assert await _verdict("survives", _closed(6, 1, leg), same=_yes(_good(21, 2)), victim=victim) == verdict


async def test_a_session_that_has_logged_out_has_survived() -> None:
    events = (_good(6, 1), _logout(7, 1), _closed(8, 1, End.INITIATOR))
    assert await _verdict("survives", *events, same=_yes(_good(21, 2))) == "pass"


async def test_a_target_ends_a_connection_that_it_has_let_log_out() -> None:
    granted = Received(n=8, at=0.8, conn=1, leg=End.TARGET, pdu=Pdu.build(Opcode.LOGOUT_RESPONSE))
    events = (_good(6, 1), _logout(7, 1), granted, _closed(9, 1))
    assert await _verdict("survives", *events, same=_yes(_good(21, 2))) == "pass"
    assert await _verdict("survives", *events[:2], *events[3:], same=_yes(_good(21, 2))) == "fail"


async def test_what_only_captures_meets_what_it_captures() -> None:
    rules = "- {name: y, when: SCSI-Command as n}"
    acts = "- {name: z, when: NOP-In, do: drop}"
    bound = Bound(n=5, at=0.5, conn=1, rule="x/y", name="n", of=4)
    for text, met in ((rules, {1}), (f"{rules}\n  {acts}", set())):
        scenario = load(f"scenario: x\nvictim: target\nrules:\n  {text}\n", file="x.yaml", acts=SPECS)
        aftermath = Aftermath(scenario)
        aftermath.take(bound)
        assert aftermath.fired.keys() == met


async def test_an_end_is_the_connection_gone_and_a_new_login_at_work() -> None:
    assert await _verdict("ends", _closed(6, 1), new=_yes(_good(21, 2))) == "pass"
    assert await _verdict("ends", new=_yes(_good(21, 2))) == "fail"
    assert await _verdict("ends", _closed(6, 1)) == "fail"


async def test_a_connection_that_the_fault_has_reset_is_gone() -> None:
    cut = replace(_closed(6, 1, by="fault"), how="rst")
    assert await _verdict("ends", cut, new=_yes(_good(21, 2))) == "pass"
    assert await _verdict("ends", cut, new=_yes(_good(21, 2)), victim="both") == "fail"
    assert await _verdict("ends", replace(cut, leg=End.INITIATOR), new=_yes(_good(21, 2))) == "fail"
    # A FIN asks the victim to end it; what is reset when the fault is over says nothing of it.
    assert await _verdict("ends", _closed(6, 1, by="fault"), new=_yes(_good(21, 2))) == "fail"
    assert await _verdict("ends", _OVER, replace(cut, n=21), new=_yes(_good(22, 2))) == "fail"
