from __future__ import annotations

import pytest

from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.text import inspect_text
from tests.engine.dialogue import Dialogue, text_request, text_response
from tests.session.dialogue import NAMES, login_request


def rule(act: str, when: str = "Text-Request") -> str:
    return f"rules:\n  - when: {when}\n    do:\n      - text: {act}"


@pytest.mark.parametrize(
    ("act", "data"),
    [
        ("{add: [C=3, A=4]}", b"A=1\0B=2\0C=3\0A=4\0"),
        ("{remove: [A]}", b"B=2\0"),
        ("{remove: A, add: [(x)=1]}".replace("(x)", "N"), b"B=2\0N=1\0"),
        ("{raw: 0x00ff}", b"\0\xff"),
        ("{raw: 0x00ff, add: [N=1]}", b"\0\xff\0N=1\0"),
        ("{append: 0x3d7600}", b"A=1\0B=2\0=v\0"),
        ("{append: '=v', add: [C=3], remove: A}", b"B=2\0C=3\0=v"),
        ("{fill: 8}", b"A=1\0B=2\0"),
        ("{fill: 26}", b"A=1\0B=2\0X-pad.example.1=x\0"),
        ("{fill: length + 20}", b"A=1\0B=2\0X-pad.example.1=xxx\0"),
        ("{fill: 33, append: 0x41, add: [C=3]}", b"A=1\0B=2\0C=3\0X-pad.example.1=xxx\0A"),
        ("{add: [N=(length)]}", b"A=1\0B=2\0N=8\0"),
    ],
)
def test_keys_are_added_and_removed(act: str, data: bytes) -> None:
    talk = Dialogue(rule(act), connect=False)
    talk.connect(keys={"DataDigest": "CRC32C"})
    (out,) = talk.say(text_request(2, 10, b"A=1\0B=2\0"))
    assert out == text_request(2, 10, data).sealed(header=False, data=True)
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_what_was_edited_is_held_by_one_end_only() -> None:
    talk = Dialogue(rule("{add: [N=1]}", "Text-Request nth 1"))
    assert not talk.engine.differs(1)
    talk.say(text_request(2, 10, b"A=1\0"))
    assert talk.engine.differs(1)


def test_a_text_is_edited_across_its_pdus_once() -> None:
    talk = Dialogue(rule("{remove: [Long], add: [N=1]}"), connect=False)
    talk.connect(keys={"DataDigest": "CRC32C"})
    first = text_request(2, 10, b"A=1\0Lon", C=1, F=0)
    last = text_request(2, 11, b"g=22\0B=2\0", TTT=7)
    one, other = talk.say(first, last)
    assert (one.data, other.data) == (b"A=1\0", b"B=2\0N=1\0")
    assert one.data_digest_ok()
    assert other.data_digest_ok()
    assert talk.counts() == {"matched": 2, "fired": 2}


def test_a_pair_that_stays_goes_on_behind_its_beginning() -> None:
    talk = Dialogue(rule("{remove: [Other]}", "Text-Request nth 1"))
    out = talk.say(text_request(2, 10, b"A=1\0Lon", C=1, F=0), text_request(2, 11, b"g=22\0", TTT=7))
    assert b"".join(pdu.data for pdu in out) == b"A=1\0Long=22\0"


def test_two_rules_edit_the_same_text() -> None:
    talk = Dialogue(rule("{add: [N=1]}") + "\n  - when: Text-Request\n    do: {text: {add: [M=2]}}")
    out = talk.say(text_request(2, 10, b"A=1\0", C=1, F=0), text_request(2, 11, b"B=1\0", TTT=7))
    assert [pdu.data for pdu in out] == [b"A=1\0", b"B=1\0N=1\0M=2\0"]


def test_a_text_that_gets_too_long_is_left_alone() -> None:
    talk = Dialogue(rule("{add: [N=123456789]}"), connect=False)
    talk.connect(keys={"MaxRecvDataSegmentLength": "512"})
    pdu = text_request(2, 10, b"A=" + b"x" * 500 + b"\0")
    assert talk.say(pdu) == [pdu]
    assert talk.told("failed") == ["#1: text: the text gets 515 bytes long, the receiver takes 512"]


def test_the_login_can_be_edited() -> None:
    talk = Dialogue(rule("{remove: [InitiatorName]}", "Login-Request nth 1"), connect=False)
    talk.connect(login=False)
    (out,) = talk.say(login_request(NAMES))
    assert b"InitiatorName" not in out.data


def test_the_target_may_be_edited_too() -> None:
    talk = Dialogue(rule("{add: [N=1]}", "Text-Response"))
    talk.say(text_request(2, 10, b"A=?\0"))
    (out,) = talk.say(text_response(2, 101, b"A=1\0"))
    assert out.data == b"A=1\0N=1\0"
    assert talk.sent(End.INITIATOR)[-1].rules == ("x/#1",)


@pytest.mark.parametrize("size", [512, 513, 8192, 281, 300, 304, 305, 580])
def test_a_text_is_filled_to_the_byte_with_keys_that_are_right(size: int) -> None:
    talk = Dialogue(rule(f"{{fill: {size}}}"))
    (out,) = talk.say(text_request(2, 10, b"A=1\0B=2\0"))
    pairs, problems = inspect_text(out.data)
    assert problems == ()
    assert out["DataSegmentLength"] == len(out.data) == size
    assert [pair.key for pair in pairs[2:]] == [f"X-pad.example.{n}" for n in range(1, len(pairs) - 1)]
    assert all(1 <= len(pair.value) <= 255 for pair in pairs)


def test_a_text_that_goes_on_is_filled_in_all_and_appended_to_at_its_end() -> None:
    talk = Dialogue(rule("{fill: 60, append: 0x3d, remove: Long}", "Text-Request nth 1"))
    out = talk.say(text_request(2, 10, b"A=1\0Lon", C=1, F=0), text_request(2, 11, b"g=22\0B=2\0", TTT=7))
    assert out[0].data == b"A=1\0"
    assert (out[1].data[:4], out[1].data[-2:], len(out[0].data + out[1].data)) == (b"B=2\0", b"\0=", 60)


def test_a_last_pair_without_its_end_gets_it() -> None:
    for size, data in ((4, b"A=1\0"), (22, b"A=1\0X-pad.example.1=x\0")):
        (out,) = Dialogue(rule(f"{{fill: {size}}}")).say(text_request(2, 10, b"A=1"))
        assert out.data == data


@pytest.mark.parametrize(
    ("act", "why"),
    [
        ("{fill: 7}", "fill is too little by 1 bytes: the text has more without it"),
        ("{fill: 9, append: 0x0000}", "fill is too little by 1 bytes: the text has more without it"),
        ("{fill: 24}", "fill: 16 bytes are missing, and a key takes at least 18"),
        ("{fill: 0x1000000, long: yes}", "fill: a PDU holds 16777215 bytes"),
        ("{fill: 8193}", "the text gets 8193 bytes long, the receiver takes 8192"),
    ],
)
def test_a_text_that_cannot_be_filled_so_stays_as_it_was(act: str, why: str) -> None:
    talk = Dialogue(rule(act))
    pdu = text_request(2, 10, b"A=1\0B=2\0")
    assert talk.say(pdu) == [pdu]
    assert talk.told("failed") == [f"#1: text: {why}"]


def test_a_long_text_goes_in_one_pdu_if_that_is_wanted() -> None:
    talk = Dialogue(rule("{fill: 65536, long: yes}", "Login-Request"), connect=False)
    talk.connect(login=False)
    (out,) = talk.say(login_request(NAMES))
    assert (out["DataSegmentLength"], out["C"], len(out.data)) == (65536, 0, 65536)
    (change,) = talk.reports[-1].changes
    assert change.what == "text.X-pad.example"
    assert change.new.endswith(f" keys, {65536 - len(login_request(NAMES).data)} bytes")
