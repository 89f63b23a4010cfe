from __future__ import annotations

from tests.engine.dialogue import Dialogue, data_in, read, scsi_response, write


def test_a_capture_goes_again_as_it_was_first_sent() -> None:
    text = "rules:\n  - when: SCSI-Command nth 1 as n\n  - when: SCSI-Command nth 3\n    do: {replay: n}\n"
    talk = Dialogue(text)
    sent = talk.say(write(1, 10), write(2, 11), write(3, 12))
    assert [pdu["CmdSN"] for pdu in sent] == [10, 11, 10, 12]
    assert sent[2] == sent[0]


def test_a_collection_goes_in_its_order() -> None:
    text = "rules:\n  - when: Data-In as each part\n  - when: SCSI-Response\n    do: {replay: part}\n"
    talk = Dialogue(text)
    talk.say(read(1, 10))
    first, second = data_in(1, 0), data_in(1, 1, F=1)
    talk.say(first, second)
    assert [pdu.label for pdu in talk.say(scsi_response(1, 101))] == ["Data-In", "Data-In", "SCSI-Response"]


def test_with_other_fields_it_is_one_of_our_own() -> None:
    text = (
        "rules:\n  - when: SCSI-Command nth 1 as n\n"
        "  - when: SCSI-Command nth 2\n    do:\n      - pass\n      - replay: {what: n, ITT: fresh, as: copy}\n"
        "  - when: SCSI-Response of copy\n    do: {note: answered}\n"
    )
    talk = Dialogue(text)
    first, _, copy = talk.say(write(1, 10), write(2, 11))
    assert copy["ITT"] not in (1, 2)
    assert copy.with_fields({"ITT": 1}) == first
    assert talk.say(scsi_response(copy["ITT"], 101)) == []
    assert talk.told("noted") == ["#3: answered"]


def test_what_is_not_bound_cannot_go() -> None:
    text = "rules:\n  - when: Data-Out as n\n  - when: SCSI-Command nth 1\n    do: {replay: n}\n"
    talk = Dialogue(text)
    assert len(talk.say(write(1, 10))) == 1
    assert talk.counts("#2") == {"matched": 1, "failed": 1}


def test_other_bytes_inside_its_data() -> None:
    text = "rules:\n  - when: Data-In nth 1 as n\n  - when: SCSI-Response\n    do: {replay: {what: n, data+1: 0xff}}\n"
    talk = Dialogue(text)
    talk.say(read(1, 10), data_in(1, 0, b"abcd"))
    again, _ = talk.say(scsi_response(1, 101))
    assert again == data_in(1, 0, b"a\xffcd")
