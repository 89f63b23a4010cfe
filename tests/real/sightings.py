"""What single rows of the catalogue look like on the wire; see `tests.real.evidence` for what many of them share."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from tests.real.catalogued import HEADER, End, Run, pairs
from tests.real.evidence import Check, bursts, clean, flat, gapless, numbers, only, opcodes

__all__ = [
    "a_closed_window",
    "a_flood_of_pings",
    "a_hole_in_the_commands",
    "a_task_that_ended",
    "all_in_one_round_more",
    "an_empty_one",
    "an_immediate_command",
    "another_lun",
    "another_proof",
    "asked_in_pieces",
    "asked_of_the_initiator",
    "behind_the_logout",
    "cut_in_the_header",
    "cut_to",
    "data_behind_the_status",
    "digests_on_one_leg",
    "no_answer",
    "order",
    "overtaken",
    "probed",
    "reset_in_its_place",
    "status_apart",
    "takes_little",
    "told_of",
    "too_busy",
    "unit_attention",
]

NOP_OUT, SCSI_COMMAND, TMF_REQUEST, LOGIN_REQUEST, DATA_OUT, LOGOUT_REQUEST = 0x00, 0x01, 0x02, 0x03, 0x05, 0x06
NOP_IN, SCSI_RESPONSE, TMF_RESPONSE, LOGIN_RESPONSE, DATA_IN, R2T, ASYNC = 0x20, 0x21, 0x22, 0x23, 0x25, 0x31, 0x32
LOGIN = (LOGIN_REQUEST, LOGIN_RESPONSE)
ENDS: Final[tuple[End, ...]] = ("initiator", "target")
NO_TAG = 0xFFFFFFFF
ITT, TTT, DATASN, LENGTH = (
    f"iscsi.{name}" for name in ("initiatortasktag", "targettransfertag", "datasn", "datasegmentlength")
)


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
    for end in ENDS:
        sent = [size or 0 for size in numbers(run.leg(end, SCSI_COMMAND, DATA_OUT), LENGTH)]
        assert max(sent) == 512
    clean(run)


def another_proof(run: Run) -> None:
    """SEC-01: the target is given another CHAP_R than the initiator sent, and not only another way to write it."""
    (sent,), (given,) = run.struck("initiator"), run.struck("target")
    (name, proof), (same_name, other) = sent.keys, given.keys
    assert name == same_name
    assert (proof.startswith("CHAP_R="), other.startswith("CHAP_R=")) == (True, True)
    assert proof.lower() != other.lower()


def a_hole_in_the_commands(run: Run) -> None:
    (numbered,) = run.cmdsns("target")
    assert [b - a for a, b in pairwise(numbered) if b - a != 1] == [2]


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


def order(opcode: int, wanted: list[int], *, end: End = "initiator") -> Check:
    """Expect the DataSNs of the first long transfer in this order on one leg, and none missing on the other."""

    def check(run: Run) -> None:
        there: End = "target" if end == "initiator" else "initiator"
        sent = list(range(max(wanted) + 1))
        assert numbers(bursts(run, there, opcode)[0], DATASN)[: len(sent)] == sent
        assert numbers(bursts(run, end, opcode)[0], DATASN)[: len(wanted)] == wanted

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
    asked, told = flat(run.differences, "target")
    answered, heard = flat(run.differences, "initiator")
    assert asked
    assert answered
    assert set(pairs(asked[0])) ^ set(pairs(told[0])) == {b"HeaderDigest=None,CRC32C", b"HeaderDigest=CRC32C"}
    assert set(pairs(answered[0])) ^ set(pairs(heard[0])) == {b"HeaderDigest=CRC32C", b"HeaderDigest=None"}
    for bare, dressed in ((asked, told), (heard, answered)):
        assert bare[1:] == [one[:HEADER] + one[HEADER + 4 :] for one in dressed[1:]]
    logged_in = {end: [one for one in run.leg(end) if one.opcode not in LOGIN] for end in ENDS}
    assert len(logged_in["target"]) == len(logged_in["initiator"]) > 20
    assert {pdu.header_digest for pdu in logged_in["target"]} == {"good"}
    assert {pdu.header_digest for pdu in logged_in["initiator"]} == {None}
    clean(run)


def probed(function: int, check: Check) -> Check:
    """Expect one task management function more on the target's leg, and none on the initiator's."""

    def check_all(run: Run) -> None:
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

    return check_all


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
    (command,) = run.struck("initiator")
    (status,) = (pdu for pdu in run.leg("initiator", SCSI_RESPONSE) if pdu.text(ITT) == command.text(ITT))
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
    closed = {one["leg"] for one in run.named("closed") if (one["conn"], one["how"], one["by"]) == (1, "rst", "fault")}
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
