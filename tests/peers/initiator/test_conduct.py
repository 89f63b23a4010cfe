from __future__ import annotations

from collections.abc import Callable

import pytest

from iscsiproxy.peers.initiator.conduct import Conduct, Reaction, advances_statsn, with_quirks
from iscsiproxy.peers.initiator.errors import ProtocolError
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

PDU = Pdu.build(Opcode.SCSI_RESPONSE)


@pytest.mark.parametrize(
    "judge",
    [
        lambda conduct: conduct.wrong_transit(""),
        lambda conduct: conduct.repeated_key("A"),
        lambda conduct: conduct.inadmissible_value(""),
        lambda conduct: conduct.wrong_portal_group(1, 2),
        lambda conduct: conduct.digest_error(PDU, header=True),
        lambda conduct: conduct.additional_header(PDU),
        lambda conduct: conduct.wrong_statsn(PDU, 1),
        lambda conduct: conduct.unknown_task(PDU),
        lambda conduct: conduct.wrong_datasn(""),
        lambda conduct: conduct.wrong_offset(""),
        lambda conduct: conduct.missing_data(""),
        lambda conduct: conduct.reaction(6),
    ],
)
def test_what_the_standard_forbids_ends_the_session(judge: Callable[[Conduct], None]) -> None:
    with pytest.raises(ProtocolError, match="RFC 7143"):
        judge(Conduct())


def test_what_the_standard_allows_is_done() -> None:
    conduct = Conduct()
    conduct.acknowledge_asked(PDU)
    conduct.long_sequence(1 << 20)
    assert conduct.continues_response()
    assert (conduct.login_tsih(7), conduct.ping_lun(1 << 63), conduct.reconnect_after(9, told=False)) == (
        *(7, 1 << 63, 9),
    )
    assert (conduct.reconnect_interval(), conduct.repeats_offers(), conduct.fills_place()) == (0, False, True)
    assert [conduct.reaction(event) for event in (0, 1, 2, 3, 4, 5, 248)] == [
        Reaction.NOTHING,
        Reaction.LOG_OUT,
        Reaction.WAIT_AND_RECONNECT,
        Reaction.WAIT_AND_RECONNECT,
        Reaction.NEGOTIATE,
        Reaction.TERMINATE_TASKS,
        Reaction.NOTHING,
    ]


def test_which_PDUs_take_a_StatSN() -> None:
    assert advances_statsn(PDU)
    assert advances_statsn(Pdu.build(Opcode.ASYNC, ITT=NO_TAG))
    assert advances_statsn(Pdu.build(Opcode.NOP_IN, ITT=1))
    assert advances_statsn(Pdu.build(Opcode.DATA_IN, S=1))
    assert not advances_statsn(Pdu.build(Opcode.DATA_IN))
    assert not advances_statsn(Pdu.build(Opcode.R2T))
    assert not advances_statsn(Pdu.build(Opcode.NOP_IN, ITT=NO_TAG))


def test_quirks_stack_and_leave_the_rest() -> None:
    class Early(Conduct):
        def reconnect_after(self, time2wait: float, *, told: bool) -> float:
            return 0

    class Blind(Conduct):
        def wrong_statsn(self, pdu: Pdu, expected: int) -> None:
            pass

    conduct = with_quirks([Early, Blind])
    conduct.wrong_statsn(PDU, 1)
    assert conduct.reconnect_after(9, told=True) == 0
    with pytest.raises(ProtocolError):
        conduct.unknown_task(PDU)
