from __future__ import annotations

import pytest

from iscsiproxy.engine.editing import Editor
from iscsiproxy.engine.firing import ActError
from tests.engine.dialogue import text_request

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
