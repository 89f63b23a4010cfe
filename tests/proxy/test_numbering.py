from __future__ import annotations

import pytest

from iscsiproxy.proxy.line import Out
from iscsiproxy.proxy.numbering import Numbering, NumbersError
from iscsiproxy.session.numbers import Numbers
from iscsiproxy.wire.opcodes import End
from tests.engine.dialogue import data_in, data_out, nop_in, nop_out, read, reject, scsi_response, write

FILL = frozenset({"CmdSN", "ExpStatSN"})


def numbering(*, live: bool = True) -> Numbering:
    return Numbering(Numbers(lambda _: 1), 1, live=live)


def test_as_long_as_nothing_is_added_the_very_same_object_goes() -> None:
    the = numbering()
    for pdu, to in ((write(1, 10), End.TARGET), (scsi_response(1, 101), End.INITIATOR)):
        assert the.written(Out(pdu, 1), to) is pdu


def test_what_is_not_live_changes_nothing() -> None:
    the = numbering(live=False)
    pdu = write(1, 10)
    assert the.written(Out(pdu, 1, extra=True), End.TARGET) is pdu
    assert the.ready(Out(pdu, None, author=1, fill=FILL), End.TARGET)


def test_a_pdu_of_ours_moves_what_follows_and_digests_follow() -> None:
    the = numbering()
    the.written(Out(write(1, 10), 1), End.TARGET)
    the.heard(scsi_response(1, 101))
    mine = the.written(Out(nop_out(0x900, 0), None, author=1, fill=FILL), End.TARGET)
    assert mine["CmdSN"] == 11
    right = write(2, 11).sealed(header=True, data=False)
    wrong = write(3, 12).sealed(header=True, data=False)
    wrong = wrong.with_parts(header_digest=bytes(four ^ 1 for four in wrong.header_digest))
    assert the.written(Out(right, 2), End.TARGET).header_digest_ok() is True
    assert the.written(Out(wrong, 3), End.TARGET).header_digest_ok() is False


def test_both_parts_of_a_cut_pdu_are_numbered_alike() -> None:
    the = numbering()
    the.written(Out(write(1, 10), 1), End.TARGET)
    the.written(Out(nop_out(0x900, 0), None, author=1, fill=FILL), End.TARGET)
    pdu = write(2, 11)
    begin = the.written(Out(pdu, 2, stop=20), End.TARGET)
    rest = the.written(Out(pdu, 2, start=20), End.TARGET)
    assert begin is rest
    assert begin["CmdSN"] == 12


def test_a_patient_one_waits_for_unsolicited_data_to_end() -> None:
    the = numbering()
    ping = Out(nop_out(0x900, 0, I=1), None, author=1, fill=FILL, patient=True)
    assert the.ready(ping, End.TARGET)
    the.passed(End.TARGET, write(1, 10, F=0))
    assert not the.ready(ping, End.TARGET)
    the.written(Out(data_out(1, 0, ttt=5, F=1), 2), End.TARGET)
    assert not the.ready(ping, End.TARGET)
    the.written(Out(data_out(1, 0, F=1), 3), End.TARGET)
    assert the.ready(ping, End.TARGET)


def test_a_copy_is_as_raw_as_the_fault() -> None:
    the = numbering()
    the.written(Out(write(1, 10), 1), End.TARGET)
    copy = write(1, 10)
    assert the.written(Out(copy, 1, author=4), End.TARGET) is copy
    assert the.written(Out(write(2, 11), 2), End.TARGET)["CmdSN"] == 11


def test_a_copy_that_is_hidden_takes_numbers_of_its_own() -> None:
    the = numbering()
    the.written(Out(write(1, 10), 1), End.TARGET)
    assert the.written(Out(write(0x900, 10), 1, author=4, extra=True), End.TARGET)["CmdSN"] == 11
    assert the.written(Out(write(2, 11), 2), End.TARGET)["CmdSN"] == 12


def test_what_is_hidden_too_late_is_told() -> None:
    the = numbering()
    the.written(Out(read(1, 10), 1), End.TARGET)
    the.written(Out(read(3, 12), 3), End.TARGET)
    with pytest.raises(NumbersError):
        the.unsent(read(2, 11), hidden=True)
    the.unsent(nop_in(5, 101), hidden=True)
    assert "active" in repr(the)


def shifted() -> Numbering:
    """Give numbers of which the target is one ahead."""
    the = numbering()
    the.written(Out(write(1, 10), 1), End.TARGET)
    the.written(Out(nop_out(0x900, 0), None, author=1, fill=FILL), End.TARGET)
    return the


def test_a_copy_goes_as_what_it_is_a_copy_of_and_counts_for_nothing() -> None:
    the = shifted()
    first = the.written(Out(write(2, 11), 2), End.TARGET)
    assert the.written(Out(write(2, 11), 2, author=2), End.TARGET) == first
    assert the.written(Out(write(2, 12), 2, author=3), End.TARGET)["CmdSN"] == 13
    assert the.written(Out(write(2, 99), 2, author=4, exact=frozenset({"CmdSN"})), End.TARGET)["CmdSN"] == 99
    assert the.written(Out(write(3, 12), 3), End.TARGET)["CmdSN"] == 13


def test_a_copy_of_what_has_not_gone_is_translated_too() -> None:
    the = shifted()
    the.unsent(write(2, 11), hidden=False)
    assert the.written(Out(write(2, 11), 2, author=2), End.TARGET)["CmdSN"] == 12


@pytest.mark.parametrize("raw", [True, False])
def test_fields_of_ours_that_are_the_receivers_already_stay(raw: bool) -> None:
    the = shifted()
    one = write(0x901, 11)
    assert the.written(Out(one, None, author=2, raw=raw, exact=frozenset(one.fields)), End.TARGET)["CmdSN"] == 11
    assert the.written(Out(write(0x902, 11), None, author=3, raw=raw), End.TARGET)["CmdSN"] == 12


def test_a_tag_of_ours_is_given_back_with_the_end_of_its_answer() -> None:
    numbers = Numbers(lambda _: 1)
    the = Numbering(numbers, 1, live=True)
    the.written(Out(write(1, 10), 1), End.TARGET)
    the.heard(scsi_response(1, 101))
    for tag in (0x900, 0x901, 0x902):
        the.written(Out(nop_out(tag, 0, I=1), None, author=tag, fill=FILL), End.TARGET)
    the.unsent(data_in(0x900, 0), hidden=True)
    assert the.written(Out(nop_out(0x900, 11, I=1), 2), End.TARGET)["ITT"] != 0x900
    the.unsent(nop_in(0x901, 101), hidden=True)
    assert the.written(Out(nop_out(0x901, 11, I=1), 3), End.TARGET)["ITT"] == 0x901
    the.unsent(reject(nop_out(0x902, 11).bhs, 102), hidden=True)
    assert the.written(Out(nop_out(0x902, 11, I=1), 4), End.TARGET)["ITT"] == 0x902
