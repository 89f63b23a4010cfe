"""Faults of the catalogue on real peers: QEMU writes to tgtd and reads back, with one fault in between.

Both legs differ in the fault and in nothing else, byte for byte; tshark reads the fault on the leg of the victim, by
the name of its field. Where the proxy adds or takes away what is numbered, each leg counts on without a gap. Every
check is put to the same traffic without a fault too, and must then fail.

What the victim did is in the property `story` of each test, and in `saw` where it is worth knowing: that is the habit
of tgt 1.0.85 and of QEMU 7.2 with libiscsi 1.19, and no verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue.rows import rows
from tests.real.address import Chap
from tests.real.catalogued import DISARMED, HEADER, Run, Traffic, pairs, play, qemu_io
from tests.real.evidence import (
    Check,
    bursts,
    changed,
    clean,
    doubled,
    flat,
    gapless,
    lost,
    numbers,
    only,
    opcodes,
    pieces,
    retold,
    together,
)

__all__ = ["ROWS"]

pytestmark = pytest.mark.peers("tgtd", "qemu", "tshark")

#: The rows of the catalogue that are shown here.
ROWS = (
    *("LOG-01", "LOG-02", "LOG-05", "LOG-12", "LOG-22", "LOG-29", "LOG-41", "LOG-42"),
    *("SEC-01", "SEC-02", "SEC-05"),
    *("SEQ-01", "SEQ-02", "SEQ-04", "SEQ-05", "SEQ-08", "SEQ-14", "SEQ-15", "SEQ-16", "SEQ-17", "SEQ-18", "SEQ-23"),
    *("DAT-07", "DAT-09", "DAT-10", "DAT-11", "DAT-16", "DAT-20", "DAT-25", "DAT-32", "DAT-39"),
    *("DIG-01", "DIG-12", "DIG-17"),
    *("TMF-04", "TMF-05", "TMF-08"),
    *("NOP-01", "NOP-02", "NOP-07"),
    *("ASY-01", "ASY-03", "ASY-09"),
    *("CON-02", "CON-03", "CON-15"),
    *("TCP-01", "TCP-03", "TCP-04"),
    *("SCS-01", "SCS-02", "SCS-04", "SCS-10"),
    "GAR-01",
)

NOP_OUT, SCSI_COMMAND, TMF_REQUEST, LOGIN_REQUEST, DATA_OUT, LOGOUT_REQUEST = 0x00, 0x01, 0x02, 0x03, 0x05, 0x06
NOP_IN, SCSI_RESPONSE, TMF_RESPONSE, LOGIN_RESPONSE, DATA_IN, R2T, ASYNC = 0x20, 0x21, 0x22, 0x23, 0x25, 0x31, 0x32
NO_TAG = 0xFFFFFFFF
ITT, TTT, DATASN, LENGTH = (
    f"iscsi.{name}" for name in ("initiatortasktag", "targettransfertag", "datasn", "datasegmentlength")
)

WRITE_AND_READ = ("write -P 0x11 0 64k", "read -P 0x11 0 64k")
#: One write of 8 KiB immediate and seven Data-Outs, and one read.
IO = Traffic(name="io", drive=qemu_io(*WRITE_AND_READ))
#: The same of an initiator that waits for an answer which never comes, and has to be ended.
STUCK = Traffic(name="stuck", drive=qemu_io(*WRITE_AND_READ, within=1.5))
#: The same with eight Data-Ins where there was one.
SHORT = Traffic(name="short", drive=qemu_io(*WRITE_AND_READ), told={"MaxRecvDataSegmentLength": "8192"})
#: The same under header digests, and where target and initiator could but do not agree on them.
DIGESTS = Traffic(
    name="digests", drive=qemu_io(*WRITE_AND_READ, header_digest="crc32c"), parameters={"HeaderDigest": "CRC32C"}
)
UNDECIDED = Traffic(
    name="undecided", drive=qemu_io("write -P 0x11 0 4k", "read -P 0x11 0 4k"), parameters={"HeaderDigest": "CRC32C"}
)
#: A login that has to be proven.
SECRET = Traffic(name="secret", drive=qemu_io("read 0 4k"), chap=Chap())
#: Four reads at once.
DEEP = Traffic(
    name="deep",
    drive=qemu_io("write -P 0x11 0 16k", *(f"aio_read {4 * n}k 4k" for n in range(4)), "aio_flush", within=1.5),
)

#: The response to the write.
WRITTEN = "SCSI-Response where task.EDTL == 65536 nth 1"
#: The write itself.
WRITE = "SCSI-Command where W nth 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A row of the catalogue: the rules that make it happen, the traffic that meets them, and what must be seen."""

    row: str
    rules: str
    check: Check
    traffic: Traffic = IO
    #: What the victim was seen to do.
    saw: str = ""


# --- checks of one row only ---


def all_in_one_round_more(run: Run) -> None:
    """LOG-41: one request of the initiator is answered by the proxy, and never comes to the target."""
    assert opcodes(flat(run.beyond, "target")[0]) == [LOGIN_REQUEST]
    assert flat(run.beyond, "target")[1] == []
    (told,), answers = flat(run.beyond, "initiator")
    assert opcodes(answers) == [LOGIN_RESPONSE] * 2
    assert (answers[0][:1], answers[0][HEADER:]) == (told[:1], told[HEADER:]), "all keys are in the first"
    assert (answers[0][1], answers[1][1], pairs(answers[1])) == (told[1] & 0x7C, told[1], [])
    assert numbers(run.leg("initiator", LOGIN_RESPONSE), "iscsi.login.T") == [0, 1]
    assert numbers(run.leg("target", LOGIN_RESPONSE), "iscsi.login.T") == [1]
    assert numbers(run.leg("initiator", LOGIN_RESPONSE), "iscsi.login.status") == [0, 0]
    gapless(run)


def takes_little(run: Run) -> None:
    """LOG-42: what the initiator sends from then on is no longer than it was told."""
    for end in ("initiator", "target"):
        sent = [size or 0 for size in numbers(run.leg(end, SCSI_COMMAND, DATA_OUT), LENGTH)]
        assert max(sent) == 512
    clean(run)


def a_hole_in_the_commands(run: Run) -> None:
    (numbered,) = run.cmdsns("target")
    assert [b - a for a, b in zip(numbered, numbered[1:], strict=False) if b - a != 1] == [2]


def a_flood_of_pings(run: Run) -> None:
    """SEQ-04: 64 immediate pings reach the target, their answers go nowhere, and no number is out of place."""
    assert [opcodes(one) for one in flat(run.beyond, "target")] == [[], [NOP_OUT] * 64]
    assert [opcodes(one) for one in flat(run.beyond, "initiator")] == [[NOP_IN] * 64, []]
    pings = run.leg("target", NOP_OUT)
    assert numbers(pings, "iscsi.I") == [1] * 64
    assert len(set(numbers(pings, ITT))) == 64
    assert run.leg("initiator", NOP_OUT, NOP_IN) == []
    gapless(run)
    clean(run)


def an_immediate_command(run: Run) -> None:
    """SEQ-05: one bit is set, and the target has one CmdSN less to count."""
    (old,), (new,) = (only(run.beyond, "target").received, only(run.beyond, "target").delivered)
    assert (old[0], new[0]) == (SCSI_COMMAND, SCSI_COMMAND | 0x40)
    assert (old[1:24], old[32:]) == (new[1:24], new[32:])
    (struck,), (before,) = run.struck("target"), run.struck("initiator")
    assert (before.text("iscsi.I"), struck.text("iscsi.I")) == ("0", "1")
    (counted,), (sent) = run.cmdsns("target"), run.cmdsns("initiator")
    assert len(counted) == len(sent[0]) - 1
    gapless(run)
    clean(run)


def a_closed_window(run: Run) -> None:
    """SEQ-08: two responses close the window, a ping opens it again, and no command is sent between."""
    assert flat(run.differences, "target") == ([], [])
    responses, (*closing, ping) = flat(run.differences, "initiator")
    assert opcodes(responses) == opcodes(closing) == [SCSI_RESPONSE] * 2
    assert [one[:32] + one[36:] for one in responses] == [one[:32] + one[36:] for one in closing]
    assert opcodes([ping]) == [NOP_IN]
    leg = run.leg("initiator")
    (opened,) = (at for at, pdu in enumerate(leg) if pdu.opcode == NOP_IN)
    last, told, following = leg[opened - 1], leg[opened], leg[opened + 1]
    assert last.opcode == SCSI_RESPONSE
    assert last.number("iscsi.maxcmdsn") == (last.number("iscsi.expcmdsn") or 0) - 1
    assert following.opcode == SCSI_COMMAND
    assert told.number("iscsi.expcmdsn") == following.number("iscsi.cmdsn")
    assert told.number("iscsi.maxcmdsn") == (told.number("iscsi.expcmdsn") or 0) + 63
    clean(run)


def no_answer(run: Run) -> None:
    """SEQ-15: the task that has its status on the target's leg has none on the initiator's."""
    (status,) = run.struck("target")
    assert status.number("iscsi.scsiresponse.status") == 0
    tag = status.text(ITT)
    assert [pdu.opcode for pdu in run.leg("initiator") if pdu.text(ITT) == tag][-1] == DATA_OUT
    assert run.finished.timed_out


def order(opcode: int, wanted: list[int], *, end: str = "initiator") -> Check:
    """Expect the DataSNs of the first long transfer in this order on the leg of the victim, and counted on the other."""

    def check(run: Run) -> None:
        there, here = ("target", "initiator") if end == "initiator" else ("initiator", "target")
        sent = numbers(bursts(run, there, opcode)[0], DATASN)  # type: ignore[arg-type]
        assert sent == list(range(len(sent)))
        assert numbers(bursts(run, here, opcode)[0], DATASN)[: len(wanted)] == wanted  # type: ignore[arg-type]

    return check


def overtaken(run: Run) -> None:
    """SEQ-18: a Data-In comes behind the one that was sent after it, as it was."""
    taken, put = run.differences
    assert (taken.delivered, put.received, opcodes(taken.received)) == ((), (), [DATA_IN])
    assert taken.received == put.delivered
    came = numbers(bursts(run, "initiator", DATA_IN)[0], DATASN)
    assert came.index(1) > came.index(2)
    assert [number for number in came if number != 1] == [0, *range(2, 8)]


def an_empty_one(run: Run) -> None:
    """DAT-09: a Data-Out of no bytes stands behind the first one, and those that follow count on."""
    received, (empty, *later) = flat(run.differences, "target")
    assert (len(empty), opcodes([empty]), empty[5:8]) == (HEADER, [DATA_OUT], bytes(3))
    assert [one[:36] + one[40:] for one in received] == [one[:36] + one[40:] for one in later]
    (burst,) = bursts(run, "target", DATA_OUT)
    assert numbers(burst, DATASN) == list(range(8))
    assert numbers(burst, LENGTH) == [8192, 0, *[8192] * 6]
    assert numbers(bursts(run, "initiator", DATA_OUT)[0], DATASN) == list(range(7))
    clean(run)


def cut_to(size: int) -> Check:
    """Expect the same data in Data-Outs of another size (DAT-10, DAT-11), each in its place, numbered from 0."""

    def check(run: Run) -> None:
        received, delivered = flat(run.differences, "target")
        assert set(opcodes(received + delivered)) == {DATA_OUT}
        assert flat(run.differences, "initiator") == ([], [])
        assert b"".join(one[HEADER:] for one in received) == b"".join(one[HEADER:] for one in delivered)
        (burst,), (sent,) = bursts(run, "target", DATA_OUT), bursts(run, "initiator", DATA_OUT)
        count = -(-7 * 8192 // size)
        assert numbers(burst, DATASN) == list(range(count))
        assert numbers(burst, LENGTH)[:-1] == [size] * (count - 1)
        assert numbers(burst, "iscsi.scsidata.F") == [0] * (count - 1) + [1]
        assert numbers(burst, "iscsi.bufferOffset") == [8192 + size * n for n in range(count)]
        assert numbers(sent, DATASN) == list(range(7))

    return check


def asked_in_pieces(run: Run) -> None:
    """DAT-25: four R2Ts for one; the target sees one burst that answers the one."""
    (asked,), pieces_of_it = flat(run.differences, "initiator")
    assert opcodes([asked, *pieces_of_it]) == [R2T] * 5
    assert {one[:20] + one[24:36] for one in pieces_of_it} == {asked[:20] + asked[24:36]}
    received, delivered = flat(run.differences, "target")
    assert [one[2:20] + one[24:36] + one[40:] for one in received] == [
        one[2:20] + one[24:36] + one[40:] for one in delivered
    ]
    r2ts = run.leg("initiator", R2T)
    assert numbers(r2ts, "iscsi.r2tsn") == [0, 1, 2, 3]
    assert numbers(r2ts, "iscsi.desireddatalength") == [16384] * 3 + [8192]
    assert len(set(numbers(r2ts, TTT))) == 4
    (burst,) = bursts(run, "target", DATA_OUT)
    assert numbers(burst, DATASN) == list(range(7))
    assert {*numbers(burst, TTT)} == {*numbers(run.leg("target", R2T), TTT)}
    clean(run)


def status_apart(run: Run) -> None:
    """DAT-32: the last Data-In has lost its status to a SCSI Response with the same StatSN."""
    difference = only(run.differences, "initiator")
    (both,), (data, response) = difference.received, difference.delivered
    assert opcodes([both, data, response]) == [DATA_IN, DATA_IN, SCSI_RESPONSE]
    assert (both[1] & 1, data[1], both[HEADER:]) == (1, both[1] & 0xFE, data[HEADER:])
    (last,), (struck, status) = run.struck("target"), run.struck("initiator")
    assert (last.number("iscsi.scsidata.S"), struck.number("iscsi.scsidata.S")) == (1, 0)
    assert status.number("iscsi.scsiresponse.status") == 0
    assert status.number("iscsi.expdatasn") == 8
    assert status.number("iscsi.statsn") == last.number("iscsi.statsn")
    assert status.text(ITT) == struck.text(ITT) == last.text(ITT)
    gapless(run)
    clean(run)


def data_behind_the_status(run: Run) -> None:
    """DAT-39: a Data-In of a read comes once more when the read has ended."""
    difference = only(run.differences, "initiator")
    assert (difference.received, opcodes(difference.delivered)) == ((), [DATA_IN])
    (burst,) = bursts(run, "initiator", DATA_IN)
    assert numbers(burst, "iscsi.scsidata.S") == [0] * 7 + [1, 0]
    assert numbers(burst, DATASN) == [*range(8), 1]


def digests_on_one_leg(run: Run) -> None:
    """DIG-17: every PDU of the target's leg has a header digest, and none of the initiator's; nothing else differs."""
    login = [one for one in run.differences if LOGIN_REQUEST in opcodes(one.received)]
    (offer,), (told,) = login[0].received, login[0].delivered
    assert set(pairs(offer)) - set(pairs(told)) == {b"HeaderDigest=None,CRC32C"}
    assert set(pairs(told)) - set(pairs(offer)) == {b"HeaderDigest=CRC32C"}
    for end in ("target", "initiator"):
        received, delivered = flat([one for one in run.differences if one not in login], end)  # type: ignore[arg-type]
        bare, dressed = (received, delivered) if end == "target" else (delivered, received)
        for one, other in zip(bare, dressed, strict=True):
            if one[0] & 0x3F != LOGIN_RESPONSE:
                assert one == other[:HEADER] + other[HEADER + 4 :]
    phases = {end: [pdu for pdu in run.leg(end) if pdu.opcode not in (LOGIN_REQUEST, LOGIN_RESPONSE)] for end in LEGS}
    assert len(phases["target"]) == len(phases["initiator"]) > 20
    assert {pdu.header_digest for pdu in phases["target"]} == {"good"}
    assert {pdu.header_digest for pdu in phases["initiator"]} == {None}
    clean(run)


LEGS: tuple[Any, ...] = ("target", "initiator")


def probed(function: int, check: Callable[[Run], None]) -> Check:
    """Expect one task management function more on the target's leg, and none on the initiator's."""

    def together_with(run: Run) -> None:
        assert [opcodes(one) for one in flat(run.beyond, "target")] == [[], [TMF_REQUEST]]
        assert [opcodes(one) for one in flat(run.beyond, "initiator")] == [[TMF_RESPONSE], []]
        (request,) = run.leg("target", TMF_REQUEST)
        assert request.number("iscsi.taskmanfun.function") == function
        assert request.text("iscsi.I") == "1"
        assert len(run.leg("target", TMF_RESPONSE)) == 1
        assert run.leg("initiator", TMF_REQUEST, TMF_RESPONSE) == []
        check(run)
        gapless(run)
        clean(run)

    return together_with


def another_lun(run: Run) -> None:
    _, (request,) = flat(run.beyond, "target")
    assert request[8:16] == (99).to_bytes(2, "big") + bytes(6)


def a_task_that_ended(run: Run) -> None:
    (request,) = run.leg("target", TMF_REQUEST)
    ended = [pdu.number(ITT) for pdu in run.leg("target", SCSI_RESPONSE) if pdu.frame < request.frame]
    assert request.number("iscsi.taskmanfun.referencedtasktag") in ended


def reset_in_its_place(run: Run) -> None:
    """TMF-08: a LUN RESET has the tag and the CmdSN of a TEST UNIT READY, which has been answered all the same."""
    gone, reset = flat(run.differences, "target")
    answer, told = flat(run.differences, "initiator")
    assert [opcodes(one) for one in (gone, reset)] == [[SCSI_COMMAND], [TMF_REQUEST]]
    assert [opcodes(one) for one in (answer, told)] == [[TMF_RESPONSE], [SCSI_RESPONSE]]
    (request,) = run.leg("target", TMF_REQUEST)
    (command, status), _ = run.struck("initiator"), run.struck("target")
    assert request.number("iscsi.taskmanfun.function") == 5
    assert (request.text(ITT), request.text("iscsi.cmdsn")) == (command.text(ITT), command.text("iscsi.cmdsn"))
    assert (command.opcode, status.number("iscsi.scsiresponse.status")) == (SCSI_COMMAND, 0)
    gapless(run)
    clean(run)


def asked_of_the_initiator(count: int, answered: int) -> Check:
    """Expect pings of the target's that the target never sent, and the answers that it never gets."""

    def check(run: Run) -> None:
        assert [opcodes(one) for one in flat(run.differences, "initiator")] == [[], [NOP_IN] * count]
        assert [opcodes(one) for one in flat(run.differences, "target")] == [[NOP_OUT] * answered, []]
        asked, replies = run.leg("initiator", NOP_IN), run.leg("initiator", NOP_OUT)
        assert numbers(asked, ITT) == [NO_TAG] * count
        assert numbers(replies, ITT) == [NO_TAG] * answered
        assert numbers(replies, "iscsi.I") == [1] * answered
        assert numbers(replies, TTT) == numbers(asked, TTT)[:answered]
        assert [tag == NO_TAG for tag in numbers(asked, TTT)] == [answered == 0] * count
        assert run.leg("target", NOP_IN, NOP_OUT) == []
        gapless(run)
        clean(run)

    return check


def told_of(event: int, *parameters: int) -> Check:
    """Expect an event that the target never sent, with a StatSN of its own, and all that follows one number on."""

    def check(run: Run) -> None:
        taken, put = flat(run.beyond, "initiator")
        assert (taken, opcodes(put)) == ([], [ASYNC])
        assert flat(run.beyond, "target") == ([], [])
        (message,) = run.leg("initiator", ASYNC)
        assert message.number("iscsi.asyncevent") == event
        names = ("iscsi.parameter1", "iscsi.parameter2", "iscsi.parameter3")
        assert [message.number(name) for name in names] == list(parameters or (0, 0, 0))
        assert message.number("iscsi.statsn") in run.statsns("initiator")[0]
        assert len(run.statsns("initiator")[0]) == len(run.statsns("target")[0]) + 1
        gapless(run)

    return check


def behind_the_logout(run: Run) -> None:
    """CON-03: a command that was done long ago comes once more, with the next CmdSN, behind the Logout Request."""
    difference = only(run.differences, "target")
    assert (difference.received, opcodes(difference.delivered)) == ((), [SCSI_COMMAND])
    leg = [pdu for pdu in run.leg("target") if pdu.opcode in (SCSI_COMMAND, LOGOUT_REQUEST)]
    assert [pdu.opcode for pdu in leg[-2:]] == [LOGOUT_REQUEST, SCSI_COMMAND]
    assert leg[-1].number("iscsi.cmdsn") == leg[-2].number("iscsi.cmdsn")
    assert leg[-1].number(ITT) not in numbers(leg[:-1], ITT)


def cut_in_the_header(run: Run) -> None:
    """TCP-01: 20 bytes of a Data-Out, and a reset."""
    difference = only(run.differences, "target")
    (whole,), (part,) = difference.received, difference.delivered
    assert (opcodes([whole]), difference.last, part) == ([DATA_OUT], True, whole[:20])
    (cut,) = run.struck_frames("target")
    assert (cut.pdus, cut.pending) == ((), True)
    closed = {one["leg"] for one in run.named("closed") if (one["conn"], one["how"], one["by"]) == (1, "rst", "proxy")}
    assert closed == {"initiator", "target"}
    clean(run)


def too_busy(run: Run) -> None:
    """SCS-02: the command gets no further than the proxy, and no number is missed by anybody."""
    (command,), delivered = flat(run.beyond, "target")
    assert (opcodes([command]), delivered) == ([SCSI_COMMAND], [])
    assert [opcodes(one) for one in flat(run.beyond, "initiator")] == [[], [SCSI_RESPONSE]]
    _, answer = run.struck("initiator")
    assert answer.number("iscsi.scsiresponse.status") == 0x28
    assert answer.number(ITT) == int.from_bytes(command[16:20], "big")
    assert answer.number(ITT) not in numbers(run.leg("target"), ITT)
    gapless(run)
    clean(run)


def unit_attention(run: Run) -> None:
    """SCS-04: GOOD becomes CHECK CONDITION with sense."""
    difference = only(run.differences, "initiator")
    (old,), (new,) = difference.received, difference.delivered
    assert (old[:3], old[4:7], old[8:HEADER]) == (new[:3], new[4:7], new[8:HEADER])
    assert (opcodes([old]), len(old), len(new)) == ([SCSI_RESPONSE], HEADER, HEADER + 20)
    (status,) = run.struck("initiator")
    assert status.number("iscsi.scsiresponse.status") == 2
    assert (status.number("scsi.sns.key"), status.number("scsi.sns.ascascq")) == (6, 0x2A09)


# --- the rows ---


def rules(*each: str) -> str:
    """Write rules, each `{when: …, do: …}` or the lines of one."""
    return "rules:\n" + "".join(f"  - {one}\n" for one in each)


def rule(when: str, do: str) -> str:
    """Write one rule."""
    return rules(f"when: {when}\n    do: {do}")


def statuses(status: str) -> str:
    return rule(WRITTEN, f"{{set: {{Status: {status}}}}}")


CASES = (
    Case(
        row="LOG-01",
        rules=rule("Login-Request nth 1", "{set: {Version-max: 1, Version-min: 1}}"),
        check=changed(LOGIN_REQUEST, (2, 3), end="target", shows={"iscsi.versionmax": 1, "iscsi.versionmin": 1}),
        saw="the target answers 0205 and closes",
    ),
    Case(
        row="LOG-02",
        rules=rule("Login-Request nth 1", "{text: {remove: InitiatorName}}"),
        check=retold(LOGIN_REQUEST, end="target", gone=["InitiatorName"]),
        saw="the target answers 0207",
    ),
    Case(
        row="LOG-05",
        rules=rule("Login-Request nth 1", "{set: {NSG: CSG}}"),
        check=changed(LOGIN_REQUEST, (1,), end="target", shows={"iscsi.login.nsg": 1}),
        saw="the target answers 0200 and closes",
    ),
    Case(
        row="LOG-12",
        rules=rule("Login-Request nth 1", "{set: {text.MaxBurstLength: 511}}"),
        check=retold(LOGIN_REQUEST, end="target", gone=["MaxBurstLength"], told=["MaxBurstLength=511"]),
        saw="the target lets the initiator in",
    ),
    Case(
        row="LOG-22",
        rules=rule("Login-Request nth 1", "{text: {add: [Foo=1, X-com.example.proxy=1]}}"),
        check=retold(LOGIN_REQUEST, end="target", told=["Foo=1", "X-com.example.proxy=1"]),
    ),
    Case(
        row="LOG-29",
        rules=rule("Login-Response nth 1", "{set: {Status-Class: 2, Status-Detail: 1, T: 0, NSG: 0}}"),
        check=changed(
            LOGIN_RESPONSE, (1, 36, 37), end="initiator", shows={"iscsi.login.status": 0x0201, "iscsi.login.T": 0}
        ),
        saw="QEMU gives up: authentication failure",
    ),
    Case(
        row="LOG-41",
        rules=rule("Login-Response where T nth 1", "{split_text: {by: T, rounds: 2}}"),
        check=all_in_one_round_more,
        saw="the initiator says all its keys once more",
    ),
    Case(
        row="LOG-42",
        rules=rule("Login-Response nth 1", "{set: {text.MaxRecvDataSegmentLength: 512}}"),
        check=together(retold(LOGIN_RESPONSE, end="initiator", told=["MaxRecvDataSegmentLength=512"]), takes_little),
    ),
    Case(
        row="SEC-01",
        # Behind CHAP_N=tester, its NUL, and CHAP_R=0x.
        rules=rule("Login-Request where text.CHAP_R != absent nth 1", "{corrupt: {what: data, at: 23}}"),
        check=changed(LOGIN_REQUEST, (HEADER + 23,), end="target"),
        traffic=SECRET,
        saw="the target answers 0201",
    ),
    Case(
        row="SEC-02",
        rules=rule("Login-Request nth 1", "{set: {text.AuthMethod: None}}"),
        check=retold(LOGIN_REQUEST, end="target", gone=["AuthMethod"], told=["AuthMethod=None"]),
        traffic=SECRET,
        saw="the target answers 0201",
    ),
    Case(
        row="SEC-05",
        rules=rule("Login-Response where text.CHAP_A != absent nth 1", "{set: {text.CHAP_A: 9}}"),
        check=retold(LOGIN_RESPONSE, end="initiator", gone=["CHAP_A"], told=["CHAP_A=9"]),
        traffic=SECRET,
        saw="the initiator does not care, and answers as to CHAP_A=5",
    ),
    Case(
        row="SEQ-01",
        rules=rule("SCSI-Command where R and EDTL == 4096 nth 2", "drop"),
        check=together(lost(SCSI_COMMAND, end="target"), a_hole_in_the_commands),
        traffic=DEEP,
        saw="the target holds what follows; the initiator waits",
    ),
    Case(
        row="SEQ-02",
        rules=rule(WRITE, "duplicate"),
        check=doubled(SCSI_COMMAND, end="target", number="iscsi.cmdsn"),
        saw="the target closes, and the write is done on another connection",
    ),
    Case(
        row="SEQ-04",
        rules=rule(WRITE, f"[{', '.join(['{inject: {pdu: NOP-Out}}'] * 64)}]"),
        check=a_flood_of_pings,
    ),
    Case(
        row="SEQ-05",
        rules=rule("SCSI-Command where not I nth 5", "{set: {I: 1}}"),
        check=an_immediate_command,
    ),
    Case(
        row="SEQ-08",
        rules=rules(
            "{when: SCSI-Response nth 1..2 as early, do: {set: {MaxCmdSN: ExpCmdSN - 1}}}",
            "{when: SCSI-Response nth 2 then 300ms, do: {inject: {pdu: NOP-In, MaxCmdSN: early.ExpCmdSN + 63}}}",
        ),
        check=a_closed_window,
    ),
    Case(
        row="SEQ-14",
        rules=rule(WRITTEN, "duplicate"),
        check=doubled(SCSI_RESPONSE, end="initiator", number="iscsi.statsn"),
        saw="the initiator does not mind",
    ),
    Case(
        row="SEQ-15",
        rules=rule(WRITTEN, "drop"),
        check=together(lost(SCSI_RESPONSE, end="initiator"), no_answer),
        traffic=STUCK,
        saw="the initiator waits",
    ),
    Case(
        row="SEQ-16",
        rules=rule("Data-In where DataSN == 1 nth 1", "drop"),
        check=together(lost(DATA_IN, end="initiator"), order(DATA_IN, [0, 2, 3, 4, 5, 6, 7])),
        traffic=SHORT,
        saw="the read is GOOD to the initiator, with a hole in its data",
    ),
    Case(
        row="SEQ-17",
        rules=rule("Data-In where DataSN == 1 nth 1", "duplicate"),
        check=together(
            doubled(DATA_IN, end="initiator", number=DATASN), order(DATA_IN, [0, 1, 1, 2, 3, 4, 5, 6, 7]), clean
        ),
        traffic=SHORT,
    ),
    Case(
        row="SEQ-18",
        rules=rule(
            "Data-In where DataSN == 1 nth 1 as early",
            "{delay: {until: Data-In of early where DataSN == 2 then 1ms, overtake: yes}}",
        ),
        check=overtaken,
        traffic=SHORT,
        saw="where the late one comes behind the status, the read is GOOD without it",
    ),
    Case(
        row="SEQ-23",
        rules=rule("Data-Out where DataSN == 2 nth 1", "drop"),
        check=together(lost(DATA_OUT, end="target"), order(DATA_OUT, [0, 1, 3, 4, 5, 6], end="target")),
        saw="the target answers GOOD",
    ),
    Case(
        row="DAT-07",
        rules=rule("Data-Out where DataSN == 0 nth 1", "{set: {F: 1}}"),
        check=changed(DATA_OUT, (1,), end="target", shows={"iscsi.scsidata.F": 1}),
        saw="the target closes",
    ),
    Case(
        row="DAT-09",
        rules=rules(
            'when: Data-Out where DataSN == 0 nth 1 as first\n    do: {duplicate: {data: "", DataSN: 1,'
            " BufferOffset: BufferOffset + length, F: 0}}",
            "{when: Data-Out of first where DataSN > 0, do: {set: {DataSN: DataSN + 1}}}",
        ),
        check=an_empty_one,
    ),
    Case(row="DAT-10", rules=rule("Data-Out", "{split: 1024}"), check=together(cut_to(1024), gapless, clean)),
    Case(
        row="DAT-11",
        rules=rule("Data-Out", "{merge: 2}"),
        check=cut_to(16384),
        saw="the target, which takes 8 KiB, takes it",
    ),
    Case(
        row="DAT-16",
        rules=rule("SCSI-Command where R and EDTL == 65536 nth 1", "{set: {EDTL: EDTL * 2}}"),
        check=changed(
            SCSI_COMMAND, range(20, 24), end="target", shows={"iscsi.scsicommand.expecteddatatransferlength": 131072}
        ),
    ),
    Case(
        row="DAT-20",
        rules=rule("R2T nth 1", "{set: {TTT: none}}"),
        check=changed(R2T, range(20, 24), end="initiator", shows={TTT: NO_TAG}),
        saw="the initiator answers it with that tag, and the target takes the data",
    ),
    Case(row="DAT-25", rules=rule("R2T", "{split: 16384}"), check=asked_in_pieces),
    Case(
        row="DAT-32",
        rules=rule("Data-In where length == 8192", "{split: {size: 8192, status: apart}}"),
        check=status_apart,
        traffic=SHORT,
    ),
    Case(
        row="DAT-39",
        rules=rules(
            "{when: Data-In where DataSN == 1 nth 1 as early}",
            "{when: Data-In where S and length == 8192 nth 1, do: [pass, {replay: early}]}",
        ),
        check=data_behind_the_status,
        traffic=SHORT,
    ),
    Case(
        row="DIG-01",
        rules=rule(WRITE, "{corrupt: header-digest}"),
        check=changed(SCSI_COMMAND, range(HEADER, HEADER + 4), end="target", digest="bad"),
        traffic=DIGESTS,
        saw="the target closes",
    ),
    Case(
        row="DIG-12",
        # A reserved bit that the dissector lets pass; others make it take the PDU for something else.
        rules=rule("Logout-Request nth 1", "{set: {BHS.22: 1}}"),
        check=together(changed(LOGOUT_REQUEST, (22, *range(HEADER, HEADER + 4)), end="target", digest="good"), clean),
        traffic=DIGESTS,
    ),
    Case(
        row="DIG-17",
        rules="negotiate: {target: {HeaderDigest: CRC32C}}\n" + rule("SCSI-Command nth 1", "{note: seen}"),
        check=digests_on_one_leg,
        traffic=UNDECIDED,
    ),
    Case(
        row="TMF-04",
        rules=rule(WRITE, "{probe: {pdu: TMF-Request, Function: LUN_RESET, LUN: 99}}"),
        check=probed(5, another_lun),
        saw="the target answers 0, and not 2",
    ),
    Case(
        row="TMF-05",
        rules=rules(
            "{when: SCSI-Response nth 2 as done}",
            f"when: {WRITE}\n    do: {{probe: {{pdu: TMF-Request, Function: ABORT_TASK, LUN: 1, RefTaskTag: done.ITT,"
            " RefCmdSN: CmdSN - 1}}",
        ),
        check=probed(1, a_task_that_ended),
        saw="the target answers 1",
    ),
    Case(
        row="TMF-08",
        rules=rule(
            'SCSI-Command where CDB.name == "TEST UNIT READY" nth 2',
            "{swap: {pdu: TMF-Request, Function: LUN_RESET, LUN: 1}}",
        ),
        check=reset_in_its_place,
        saw="the target answers 0, and has a unit attention for the next command",
    ),
    Case(
        row="NOP-01",
        rules=rule(WRITTEN, "{inject: {pdu: NOP-In, TTT: 0x12345678, LUN: 1}}"),
        check=asked_of_the_initiator(1, 1),
    ),
    Case(row="NOP-02", rules=rule(WRITTEN, "{inject: {pdu: NOP-In}}"), check=asked_of_the_initiator(1, 0)),
    Case(
        row="NOP-07",
        rules=rule(
            WRITTEN, f"[{', '.join(f'{{inject: {{pdu: NOP-In, TTT: {7000 + n}, LUN: 1}}}}' for n in range(100))}]"
        ),
        check=asked_of_the_initiator(100, 100),
    ),
    Case(
        row="ASY-01",
        rules=rule(WRITTEN, "{inject: {pdu: Async, AsyncEvent: 1, Parameter3: 5}}"),
        check=told_of(1, 0, 0, 5),
        saw="the initiator logs out and in again",
    ),
    Case(
        row="ASY-03",
        rules=rule(
            WRITTEN,
            "[{inject: {pdu: Async, AsyncEvent: 2, Parameter1: conn.CID, Parameter2: 1, Parameter3: 20}},"
            " pass, {close: rst}]",
        ),
        check=told_of(2, 0, 1, 20),
        saw="the initiator waits before it connects again",
    ),
    Case(
        row="ASY-09",
        rules=rule(
            WRITTEN,
            "{inject: {pdu: Async, AsyncEvent: 0, data: 0x0012700006000000000a000000003f0e00000000}}",
        ),
        check=told_of(0),
        saw="the initiator ignores it",
    ),
    Case(
        row="CON-02",
        rules=rule("Logout-Request nth 1", "{set: {ReasonCode: 2}}"),
        check=changed(LOGOUT_REQUEST, (1,), end="target", shows={"iscsi.logout.reason": 2}),
    ),
    Case(
        row="CON-03",
        rules=rules(
            "{when: SCSI-Command where R nth 1 as read}",
            "{when: Logout-Request nth 1, do: [pass, {replay: {what: read, ITT: fresh, CmdSN: session.CmdSN}}]}",
        ),
        check=behind_the_logout,
        saw="the target does not answer",
    ),
    Case(
        row="CON-15",
        rules=rules(
            f"{{when: {WRITTEN}, do: [pass, {{close: rst}}]}}",
            "{when: Login-Response nth 2, do: {set: {text.TargetPortalGroupTag: 2}}}",
        ),
        check=retold(LOGIN_RESPONSE, end="initiator", gone=["TargetPortalGroupTag"], told=["TargetPortalGroupTag=2"]),
        saw="the initiator does not mind",
    ),
    Case(
        row="TCP-01",
        rules=rule("Data-Out nth 2", "{close: {how: rst, at: header+20}}"),
        check=cut_in_the_header,
        saw="the write is done on another connection",
    ),
    Case(
        row="TCP-03",
        rules=rule("SCSI-Command", "{stall: {until: 1ms, at: header+1}}"),
        check=together(pieces(SCSI_COMMAND, 1, end="target"), clean),
    ),
    Case(
        row="TCP-04",
        rules=rule("Data-Out nth 2", "{stall: {until: 300ms, at: data+1000}}"),
        check=together(pieces(DATA_OUT, HEADER + 1000, end="target"), clean),
    ),
    Case(
        row="SCS-01",
        rules=statuses("BUSY"),
        check=changed(SCSI_RESPONSE, (3,), end="initiator", shows={"iscsi.scsiresponse.status": 0x08}),
        saw="QEMU tries again",
    ),
    Case(
        row="SCS-02",
        rules=rule(WRITE, "{answer: {Status: TASK_SET_FULL}}"),
        check=too_busy,
        saw="QEMU tries again",
    ),
    Case(
        row="SCS-04",
        rules=rule(WRITTEN, "{set: {Status: CHECK_CONDITION, data: 0x0012700006000000000a000000002a0900000000}}"),
        check=unit_attention,
        saw="QEMU tries again",
    ),
    Case(
        row="SCS-10",
        rules=statuses("TASK_ABORTED"),
        check=changed(SCSI_RESPONSE, (3,), end="initiator", shows={"iscsi.scsiresponse.status": 0x40}),
        saw="QEMU reports an I/O error",
    ),
    Case(
        row="GAR-01",
        rules=rule(WRITE, "{set: {Opcode: 0x1c}}"),
        check=changed(SCSI_COMMAND, (0,), end="target", shows={"iscsi.opcode": 0x1C}),
        saw="the target closes",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.row)
async def test_it_is_on_the_wire_as_the_catalogue_says(
    case: Case, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    run = await play(case.rules, case.traffic, tmp_path)
    record_property("story", run.story)
    assert run.named("fired")
    assert run.named("warning") == []
    case.check(run)


@pytest.mark.parametrize("traffic", sorted({case.traffic.name for case in CASES}))
async def test_without_the_fault_every_check_fails(traffic: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.traffic.name == traffic]
    run = await play(DISARMED, cases[0].traffic, tmp_path)
    assert run.named("fired") == []
    assert run.differences == []
    clean(run)
    for case in cases:
        with pytest.raises((AssertionError, ValueError)):
            case.check(run)
            pytest.fail(f"{case.row} was seen where it was not", pytrace=False)


def test_the_rows_are_those_of_the_catalogue() -> None:
    assert tuple(case.row for case in CASES) == ROWS
    assert set(ROWS) <= set(rows())
    assert len(set(ROWS)) == len(ROWS)
