from __future__ import annotations

import pytest

from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import Dialogue, nop_in, nop_out, r2t, read, reject, scsi_response, write

#: Makes the target count one command more than the initiator, and one status more.
SHIFT = "  - when: SCSI-Command nth 1\n    do:\n      - inject: {pdu: NOP-Out, I: 0}\n"


def shifted(rules: str) -> Dialogue:
    """Begin a dialogue in which the target is one ahead: the next CmdSN is 11 here, 12 there; StatSN 102, and 103."""
    talk = Dialogue(f"rules:\n{SHIFT}{rules}")
    mine, _ = talk.say(read(1, 10))
    talk.say(nop_in(mine["ITT"], 101, ExpCmdSN=12, MaxCmdSN=50))
    (out,) = talk.say(scsi_response(1, 102, ExpCmdSN=12, MaxCmdSN=50))
    assert (out["StatSN"], out["ExpCmdSN"]) == (101, 11)
    return talk


def snack(**values: int) -> Pdu:
    fields = {"F": 1, "Type": 1, "ITT": NO_TAG, "TTT": NO_TAG, "RunLength": 1, "ExpStatSN": 102}
    return Pdu.build(Opcode.SNACK).with_fields({**fields, **values})


@pytest.mark.parametrize("act", ["drop", "{delay: 5s}"])
def test_what_has_not_gone_has_the_number_that_it_would_have_there(act: str) -> None:
    talk = shifted(
        f"  - when: SCSI-Command nth 2 as n\n    do: {act}\n"
        "  - {name: above, optional: yes, when: NOP-In where ExpCmdSN > n.CmdSN, do: {note: x}}\n"
        "  - {name: awaited, optional: yes, when: NOP-In where ExpCmdSN == n.CmdSN, do: {note: x}}\n"
        "  - {name: here, optional: yes, when: NOP-Out where CmdSN == n.CmdSN + 1, do: {note: x}}\n"
    )
    talk.say(write(2, 11, ExpStatSN=102))
    talk.say(nop_in(NO_TAG, 103, TTT=5, ExpCmdSN=12, MaxCmdSN=50))
    talk.say(nop_out(7, 12, I=1, ExpStatSN=102))
    assert talk.told("noted") == ["awaited: x", "here: x"]


def test_a_copy_has_the_numbers_of_what_it_is_a_copy_of() -> None:
    rules = "  - when: SCSI-Command nth 2\n    do: {duplicate: {FIELDS}}\n"
    rules += "  - when: SCSI-Response nth 2\n    do: duplicate\n"
    for fields, cmd_sn in (("count: 1", 12), ("CmdSN: CmdSN + 1", 13), ("CmdSN: 99", 99)):
        talk = shifted(rules.replace("FIELDS", fields))
        assert [pdu["CmdSN"] for pdu in talk.say(write(2, 11, ExpStatSN=102))] == [12, cmd_sn]
        out = talk.say(scsi_response(2, 103, ExpCmdSN=13, MaxCmdSN=50))
        assert [(pdu["StatSN"], pdu["ExpCmdSN"]) for pdu in out] == 2 * [(102, 12)]


def test_a_copy_of_a_reject_has_the_header_that_was_sent() -> None:
    talk = shifted("  - when: Reject\n    do: duplicate\n")
    (out,) = talk.say(write(2, 11, ExpStatSN=102))
    first, second = talk.say(reject(out.bhs, 103))
    assert second == first
    assert Pdu(second.data[:48])["CmdSN"] == 11


@pytest.mark.parametrize(
    ("act", "fields", "cmd_sn"),
    [
        ("pass", "", 12),
        ("drop", "", 12),
        ("pass", ", CmdSN: CmdSN", 13),
        ("drop", ", CmdSN: old.CmdSN + 2", 14),
        ("drop", ", CmdSN: 99", 99),
    ],
)
def test_what_is_sent_again_has_the_receivers_numbers(act: str, fields: str, cmd_sn: int) -> None:
    talk = shifted(
        f"  - when: SCSI-Command nth 2 as old\n    do: {act}\n"
        f"  - when: SCSI-Command nth 3\n    do:\n      - replay: {{what: old{fields}}}\n"
    )
    talk.say(write(2, 11, ExpStatSN=102))
    assert [pdu["CmdSN"] for pdu in talk.say(write(3, 12, ExpStatSN=102))] == [cmd_sn, 13]


def test_a_status_that_was_lost_is_given_again_as_the_initiator_would_have_had_it() -> None:
    talk = shifted(
        "  - when: SCSI-Response nth 2 as lost\n    do: drop\n  - when: SNACK\n    do: {answer: {with: lost}}\n"
    )
    talk.say(write(2, 11, ExpStatSN=102))
    assert talk.say(scsi_response(2, 103, ExpCmdSN=13, MaxCmdSN=50)) == []
    (out,) = talk.say(snack(BegRun=102))
    assert (out.label, out["StatSN"], out["MaxCmdSN"]) == ("SCSI-Response", 102, 49)


def test_what_was_seen_on_the_leg_that_a_made_pdu_goes_to_is_not_translated() -> None:
    talk = shifted(
        "  - when: SCSI-Command nth 2 as n\n"
        "  - when: R2T of n\n"
        "    do:\n"
        "      - inject: {pdu: TMF-Request, Function: ABORT_TASK, RefTaskTag: n.ITT, RefCmdSN: n.CmdSN}\n"
        "  - when: SCSI-Response of n as status\n"
        "    do:\n"
        "      - inject: {pdu: SNACK, Type: STATUS, BegRun: status.StatSN, RunLength: 1}\n"
        "      - inject: {pdu: NOP-In, StatSN: status.StatSN + 1}\n"
        "  - when: NOP-Out\n"
        "    do:\n"
        "      - inject: {pdu: NOP-In, StatSN: status.StatSN + 1}\n"
        "      - probe: {pdu: TMF-Request, Function: ABORT_TASK, RefTaskTag: n.ITT, RefCmdSN: n.CmdSN, wait: no}\n"
        "      - inject: {pdu: TMF-Request, Function: ABORT_TASK, RefTaskTag: 5, RefCmdSN: 99}\n"
    )
    talk.say(write(2, 11, ExpStatSN=102))
    talk.say(r2t(2, 5, StatSN=103, ExpCmdSN=13, MaxCmdSN=50))
    abort = talk.sent(End.TARGET)[-1].pdu
    assert (abort["RefCmdSN"], abort["CmdSN"]) == (12, 13)
    made = {pdu.label: pdu for pdu in talk.say(scsi_response(2, 103, ExpCmdSN=13, MaxCmdSN=50))}
    assert (made["SNACK"]["BegRun"], made["NOP-In"]["StatSN"]) == (103, 103)
    asked = talk.say(nop_out(7, 12, I=1, ExpStatSN=103))
    assert sorted((pdu.label, pdu.get("StatSN") or pdu.get("RefCmdSN")) for pdu in asked) == [
        ("NOP-In", 103),
        ("NOP-Out", None),
        ("TMF-Request", 12),
        ("TMF-Request", 99),
    ]


def test_a_tag_is_that_of_a_login_until_a_request_has_it() -> None:
    talk = Dialogue(
        "rules:\n  - when: Login-Request as login\n  - when: Login-Response as granted\n"
        "  - {name: login, optional: yes, when: Target-PDU of login, do: {note: x}}\n"
        "  - {name: granted, optional: yes, when: Target-PDU of granted, do: {note: x}}\n"
    )
    assert talk.told("noted") == ["login: x"]
    tag = talk.events[0].pdu["ITT"]  # type: ignore[union-attr]
    talk.say(read(tag, 10), scsi_response(tag, 101))
    assert talk.told("noted") == ["login: x"]
