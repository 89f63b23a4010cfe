"""Pings."""

from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import End
from tests.catalogue.harness import Fields, also, altered, at_initiator, at_target, row
from tests.engine.dialogue import NO_TAG, nop_in, nop_out, read, scsi_response

__all__: list[str] = []

#: A ping of the initiator and its answer, a ping of the target and its answer, and a word of the target to itself.
PING, ECHO = nop_out(3, 11, b"ping me!"), nop_in(3, 101, b"ping me!")
CALL, REPLY = nop_in(NO_TAG, 102, TTT=7, LUN=1 << 48), nop_out(NO_TAG, 12, TTT=7, LUN=1 << 48, I=1)
WINDOW = nop_in(NO_TAG, 102)


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        pytest.param("TTT: none", {"TTT": NO_TAG}, marks=row("NOP-02")),
        pytest.param("ITT: ping.ITT", {"ITT": 3}, marks=row("NOP-03")),
        pytest.param("LUN: 0x1234567812345678", {"LUN": 0x1234567812345678}, marks=row("NOP-04")),
    ],
)
def test_a_ping_of_the_target_is_changed(fields: str, changes: Fields) -> None:
    rules = f"""
    - when: NOP-Out where ITT != none nth 1 as ping
    - when: NOP-In where TTT != none nth 1
      do: {{set: {{{fields}}}}}
    """
    at_initiator(rules, PING, ECHO, CALL).assert_changed(CALL, changes)


@row("NOP-05")
def test_pings_of_the_initiator_are_not_answered() -> None:
    played = at_initiator("- {when: NOP-In where ITT != none, do: drop}", PING, ECHO, CALL)
    played.assert_missing(ECHO)


@row("NOP-06")
@pytest.mark.parametrize(
    ("act", "data"),
    [
        ('{set: {data: "gnip me!"}}', b"gnip me!"),
        ("{resize: length + 5}", b"ping me!" + bytes(5)),
        ("{resize: 3}", b"pin"),
    ],
)
def test_ping_data_comes_back_changed(act: str, data: bytes) -> None:
    played = at_initiator(f"- {{when: NOP-In where length > 0 nth 1, do: {act}}}", PING, ECHO, CALL)
    played.assert_changed(ECHO, {"data": data})


@row("NOP-07")
def test_a_flood_of_pings() -> None:
    played = at_initiator("- {when: NOP-In where TTT != none nth 1, do: {duplicate: {count: 999}}}", PING, ECHO, CALL)
    played.assert_added(CALL, *[CALL] * 999)


@row("NOP-08")
def test_a_ping_longer_than_the_initiator_takes() -> None:
    rules = """
    - when: NOP-Out where ITT != none nth 1
      do: {resize: {to: declared.initiator.MaxRecvDataSegmentLength + 512, fill: 0x55}}
    """
    keys = {"MaxRecvDataSegmentLength": "512"}
    played = at_target(rules, PING, ECHO, keys=keys)
    played.assert_changed(PING, {"data": PING.data.ljust(1024, b"\x55")})


@row("NOP-10")
def test_a_ping_answers_what_was_not_asked() -> None:
    played = at_target("- {when: NOP-Out where ITT != none nth 1, do: {set: {TTT: 0x1234}}}", PING, ECHO)
    played.assert_changed(PING, {"TTT": 0x1234})


@row("NOP-11")
def test_pings_of_the_target_are_not_answered() -> None:
    played = at_target("- {when: NOP-Out where TTT != none, do: drop}", PING, ECHO, CALL, REPLY)
    played.assert_missing(REPLY)


@row("NOP-12")
def test_a_ping_moves_statsn_on() -> None:
    answer = scsi_response(4, 102)
    rules = "- {when: NOP-In where ITT == none nth 1, do: {set: {StatSN: StatSN + 1}}}"
    played = at_initiator(rules, PING, ECHO, read(4, 12), WINDOW, answer)
    played.assert_changed(WINDOW, {"StatSN": 103})


@row("NOP-01")
def test_the_initiator_is_asked_for_a_sign_of_life() -> None:
    rules = """
    - when: SCSI-Response nth 1
      do:
        - inject: {pdu: NOP-In, TTT: 0x12345678, LUN: 5, as: call}
    """
    done, reply, ping = scsi_response(4, 101), nop_out(NO_TAG, 11, TTT=0x12345678, LUN=5 << 48, I=1), nop_out(5, 11)
    played = at_initiator(rules, read(4, 10), done, also(reply), ping)
    # It has the next StatSN and does not use it up, and nobody else hears of the reply.
    played.assert_got(nop_in(NO_TAG, 101, TTT=0x12345678, LUN=5 << 48), done)
    played.at(End.TARGET).assert_missing(reply)


@row("NOP-09")
def test_a_ping_without_a_tag_that_is_not_immediate() -> None:
    rules = """
    - when: SCSI-Command nth 2
      do:
        - inject: {pdu: NOP-Out, ITT: none, I: 0}
    """
    first, second = read(2, 10), read(3, 11)
    played = at_target(rules, first, second)
    # It takes the CmdSN that was the next command's.
    played.assert_got(first, nop_out(NO_TAG, 11), altered(second, {"CmdSN": 12}))
