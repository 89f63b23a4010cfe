from __future__ import annotations

import pytest

from iscsiproxy.engine.editing import Editor, Strainer, appended, filling, fitted, shown
from iscsiproxy.engine.work import ActError
from iscsiproxy.wire.framing import Interest
from iscsiproxy.wire.opcodes import End, Opcode
from tests.engine.dialogue import Dialogue, text_request

TEXT = b"Alpha=1\0Beta=22\0Gamma=333\0"


@pytest.mark.parametrize("cut", range(len(TEXT) + 1))
def test_wherever_a_text_is_cut_the_same_is_taken_out(cut: int) -> None:
    editor = Editor("r", ("New=1",), ("Beta",), None)
    first, one = editor.apply(text_request(2, 1, TEXT[:cut], C=1, F=0), 8192)
    last, other = editor.apply(text_request(2, 2, TEXT[cut:]), 8192)
    assert first.data + last.data == b"Alpha=1\0Gamma=333\0New=1\0"
    assert sorted(str(change) for change in one + other) == ["text.Beta 22 -> removed", "text.New absent -> 1"]


def test_nothing_is_lost_when_editing_fails() -> None:
    editor = Editor("r", ("New=" + "x" * 100,), ("Beta",), None)
    first, _ = editor.apply(text_request(2, 1, TEXT[:10], C=1, F=0), 100)
    last = text_request(2, 2, TEXT[10:])
    with pytest.raises(ActError):
        editor.apply(last, 100)
    assert first.data + editor.give_up(last).data == TEXT


def test_a_last_pair_without_its_end_is_a_pair() -> None:
    editor = Editor("r", ("New=1",), ("Beta",), None)
    assert editor.apply(text_request(2, 1, b"Alpha=1\0Beta=2"), 100)[0].data == b"Alpha=1\0New=1\0"


def test_what_is_not_edited_stays_byte_for_byte() -> None:
    pdu = text_request(2, 1, b"\0\0Alpha=1\0\0odd")
    assert Editor("r", (), ("Beta",), None).apply(pdu, 100) == (pdu, [])


def test_a_full_pdu_stays_within_what_the_receiver_takes() -> None:
    editor = Editor("r", (), ("Beta",), None)
    text = b"Alpha=" + b"x" * 200 + b"\0"
    first, _ = editor.apply(text_request(2, 1, text[:100], C=1, F=0), 107)
    last, _ = editor.apply(text_request(2, 2, text[100:]), 107)
    assert (first.data, last.data) == (text[:100], text[100:])


@pytest.mark.parametrize("cut", range(len(TEXT) + 1))
def test_wherever_a_text_is_cut_the_same_stands_in_the_place_of_a_pair(cut: int) -> None:
    strainer = Strainer(("Beta", "Gamma"), lambda key, value: None if key == "Gamma" else f"{key}={value}{value}")
    first = strainer.strain(TEXT[:cut], more=True)
    assert b"Alpha=1\0Beta=2222\0".startswith(first)
    assert first + strainer.strain(TEXT[cut:], more=False) == b"Alpha=1\0Beta=2222\0"


@pytest.mark.parametrize("cut", range(len(TEXT) + 1))
def test_what_is_given_back_is_all_that_was_held(cut: int) -> None:
    strainer = Strainer(("Beta",), lambda key, value: f"{key}={value}")
    first = strainer.strain(TEXT[:cut], more=True)
    assert first + strainer.give_back() == TEXT[:cut]
    assert strainer.strain(TEXT[cut:], more=False) == TEXT[cut:]


def test_a_pair_that_ends_with_the_text_has_no_nul_before_or_after() -> None:
    strainer = Strainer(("Beta",), lambda key, value: f"{key}={value}3")
    assert strainer.strain(b"Alpha=1\0Beta=2", more=True) + strainer.strain(b"", more=False) == b"Alpha=1\0Beta=23"


def test_odd_bytes_come_through() -> None:
    strainer = Strainer(("Beta",), lambda key, value: f"{key}={value}")
    assert strainer.strain(b"Beta=\xff\xfe\0", more=False) == b"Beta=\xff\xfe\0"
    assert shown("a\udcff") == "a\ufffd"


def test_pairs_stand_behind_a_last_one_that_was_not_ended() -> None:
    assert appended(b"A=1", ["B=2", "C=3"]) == b"A=1\0B=2\0C=3\0"
    assert appended(b"", ["B=2"]) == b"B=2\0"


def test_a_text_that_fits_is_put_in_and_one_that_does_not_is_refused() -> None:
    pdu = text_request(2, 1, b"A=1\0")
    assert fitted(pdu, b"A=1\0", 4) is pdu
    assert fitted(pdu, b"B=\0", 4).data == b"B=\0"
    with pytest.raises(ActError, match="gets 5 bytes long, the receiver takes 4"):
        fitted(pdu, b"A=22\0", 4)


_CUT = b"A=1\0Bet=22\0"
_REMOVE = """
rules:
  - when: Text-Request nth 1
    do:
      - text: {remove: [Beta]}
"""


def test_a_text_that_was_begun_is_edited_to_its_end() -> None:
    dialogue = Dialogue(_REMOVE)
    dialogue.say(text_request(2, 10, _CUT[:6], C=1, F=0))
    dialogue.end()
    assert dialogue.engine.interest(End.INITIATOR)[Opcode.TEXT_REQUEST] is Interest.WHOLE
    dialogue.say(text_request(2, 11, _CUT[6:]))
    assert b"".join(one.pdu.data for one in dialogue.sent(End.TARGET)[-2:]) == _CUT
    assert dialogue.engine.interest(End.INITIATOR)[Opcode.TEXT_REQUEST] is Interest.NONE
    assert not dialogue.open_slots


def test_an_edit_that_is_undone_does_not_go_on() -> None:
    dialogue = Dialogue(_REMOVE + "      - corrupt: ahs\n")
    dialogue.say(text_request(2, 10, _CUT[:6], C=1, F=0), text_request(2, 11, _CUT[6:]))
    assert b"".join(one.pdu.data for one in dialogue.sent(End.TARGET)[-2:]) == _CUT


def test_keys_fill_any_length_but_the_shortest() -> None:
    assert filling(0) == []
    for length in (*range(18, 1200), 65536, 1_000_003):
        pairs = filling(length)
        assert len(appended(b"", pairs)) == length
        assert all(1 <= len(pair.partition("=")[2]) <= 255 for pair in pairs)
    for length in range(1, 18):
        with pytest.raises(ActError, match=f"{length} bytes are missing, and a key takes at least 18"):
            filling(length)
