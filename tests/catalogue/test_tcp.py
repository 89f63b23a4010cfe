"""TCP."""

from __future__ import annotations

from typing import Literal

import pytest

from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.catalogue.harness import Step, at_initiator, at_target, play, row, runs_of
from tests.engine.dialogue import data_in, data_out, nop_in, nop_out, r2t, read, scsi_response, write
from tests.session.dialogue import NAMES, TPGT, login_request, login_response, request, response

__all__: list[str] = []

LOGIN = login_request(NAMES), login_response(TPGT)
WRITE, ASK, DATA, DONE = write(2, 10), r2t(2, 7), data_out(2, 0, bytes(1024), ttt=7, F=1), scsi_response(2, 101)
TOLD = data_in(3, 0, bytes(1024), F=1)
SESSION: tuple[Step, ...] = (*LOGIN, WRITE, ASK, DATA, DONE, read(3, 11), TOLD, scsi_response(3, 102), nop_out(4, 12))

CUT = """
matrix: {at: [start, header+1, header+20, header+47, data+0, data+100, end]}
params: {pdu: Data-Out}
rules:
  - when: $pdu nth 1
    do: {close: {how: HOW, at: $at}}
"""
PLACES = {"start": 0, "header+1": 1, "header+20": 20, "header+47": 47, "data+0": 48, "data+100": 148, "end": None}


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        pytest.param("rst", "rst", marks=row("TCP-01")),
        pytest.param("half", "fin", marks=row("TCP-02")),
    ],
)
def test_the_connection_is_cut_anywhere_in_a_pdu(how: str, seen: Literal["rst", "fin"]) -> None:
    scenario = CUT.replace("HOW", how)
    for axes in runs_of(scenario):
        at = PLACES[axes["at"]]
        at_target(scenario, *SESSION, login=False, axes=axes).assert_cut(DATA, at, seen)
        played = at_initiator(scenario, *SESSION, login=False, axes=axes, params={"pdu": "Data-In"})
        played.assert_cut(TOLD, at, seen)


@row("TCP-01")
@pytest.mark.parametrize(
    ("pattern", "at", "last", "victim"),
    [
        ("Login-Request nth 1", "start", LOGIN[0], End.TARGET),
        ("Login-Request nth 1", "header+30", LOGIN[0], End.TARGET),
        ("SCSI-Command nth 1", "end", WRITE, End.TARGET),
        ("R2T nth 1", "end", ASK, End.INITIATOR),
        ("SCSI-Response nth 1", "start", DONE, End.INITIATOR),
    ],
)
def test_the_connection_is_reset_anywhere_in_a_session(pattern: str, at: str, last: Pdu, victim: End) -> None:
    place = {"start": 0, "header+30": 30, "end": None}[at]
    played = play(
        f"- {{when: {pattern}, do: {{close: {{how: rst, at: {at}}}}}}}",
        *SESSION,
        login=False,
        victim="target" if victim is End.TARGET else "initiator",
    )
    played.assert_cut(last, place)


@row("TCP-04")
@pytest.mark.parametrize("seconds", [1, 5, 30, 120])
@pytest.mark.parametrize(("label", "end"), [("NOP-Out", "target"), ("NOP-In", "initiator")])
def test_one_direction_stands_still(seconds: int, label: str, end: str) -> None:
    scenario = f"""
    - when: {label} nth 1
      do: {{stall: {{until: {seconds}s, end: {end}, at_most: 5min}}}}
    """
    ping, echo = nop_out(2, 10), nop_in(2, 101)
    if end == "target":
        at_target(scenario, ping, 200, echo).assert_late(ping, seconds)
    else:
        at_initiator(scenario, ping, echo, 200).assert_late(echo, seconds)


@row("TCP-08")
def test_pdus_of_independent_tasks_change_places() -> None:
    text = "- {when: Data-In nth 1, do: {delay: {until: Data-In then 1ms, overtake: yes}}}"
    first, second = data_in(2, 0, bytes(512), F=1), data_in(3, 0, bytes(512), F=1)
    played = at_initiator(text, read(2, 10), read(3, 11), first, second, 1, scsi_response(2, 101))
    played.assert_order(second, first)


@row("TCP-09")
@pytest.mark.parametrize("how", ["rst", "fin"])
def test_the_connection_is_cut_right_behind_the_logout(how: Literal["rst", "fin"]) -> None:
    asked, told = request(6, 5, 10, ReasonCode=0), response(0x26, 5, 101)
    bye = asked, told, nop_out(6, 11), nop_in(6, 102)
    at_target(f"- {{when: Logout-Request, do: {{close: {how}}}}}", *bye).assert_cut(asked, None, how)
    at_initiator(f"- {{when: Logout-Response, do: {{close: {how}}}}}", *bye).assert_cut(told, None, how)
