from __future__ import annotations

import pytest

from iscsiproxy.api.server.veiling import summed_up, veiled, veiled_changes, veiled_data, veiled_pdu
from iscsiproxy.journal.secrets import HIDDEN
from iscsiproxy.session.events import Change
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []

_LOGIN = Pdu.build(Opcode.LOGIN_REQUEST, b"CHAP_R=0x0123456789\0")
_PING = Pdu.build(Opcode.NOP_OUT)
_FIELD = Change(what="CmdSN", old="1", new="2")
_DATA = Change(what="data+7", old="30313233", new="00000000")
_PROOF = Change(what="text.CHAP_R", old="17", new="removed")


def test_of_a_login_only_what_is_no_secret_is_told() -> None:
    changes = (_FIELD, _DATA, _PROOF)
    told = ("CmdSN 1 -> 2", f"data+7 {HIDDEN} -> {HIDDEN}", f"text.CHAP_R {HIDDEN} -> {HIDDEN}")
    assert veiled(changes, _LOGIN) == told
    assert tuple(map(str, veiled_changes(changes, summary(_LOGIN)))) == told


def test_of_anything_else_everything_is_told() -> None:
    assert veiled((_FIELD, _DATA), _PING) == ("CmdSN 1 -> 2", "data+7 30313233 -> 00000000")
    assert veiled_changes((_FIELD, _DATA), summary(_PING)) == (_FIELD, _DATA)


@pytest.mark.parametrize("what", ["Opcode", "BHS.0"])
def test_what_is_no_login_any_more_may_have_been_one(what: str) -> None:
    disguised = Change(what=what, old="3", new="0")
    assert veiled((disguised, _DATA), _PING)[1] == f"data+7 {HIDDEN} -> {HIDDEN}"


def test_where_a_secret_stands_in_a_text_its_bytes_are_hidden_and_the_words_do_that_by_themselves() -> None:
    assert veiled_data(_LOGIN) == b"CHAP_R=************\0"
    assert veiled_pdu(_LOGIN) is _LOGIN
    assert summed_up(_LOGIN) == summary(_LOGIN)
    assert veiled_data(Pdu.build(Opcode.LOGIN_REQUEST, b"0123\0X=1\0")) == b"****\0X=1\0"
    assert veiled_data(Pdu.build(Opcode.DATA_OUT, b"0123\0X=1\0")) == b"0123\0X=1\0"


def test_where_a_fault_has_cut_the_text_of_a_login_anew_nothing_of_it_is_shown() -> None:
    cut = Pdu.build(Opcode.LOGIN_REQUEST, b"CHAP_R=0x\x00123456789\0")
    assert veiled_data(cut, [_FIELD]) == b"CHAP_R=**\x00123456789\0"
    assert veiled_data(cut, [_DATA]) == b"*" * len(cut.data)
    assert "123456789" not in summed_up(cut, [_DATA])
    assert veiled_pdu(cut, [_DATA]).data == b"*" * len(cut.data)
    assert veiled_data(_PING.with_data(b"ping"), [_DATA]) == b"ping"


def test_a_login_in_disguise_is_hidden_too() -> None:
    disguised = _LOGIN.with_fields({"Opcode": Opcode.NOP_OUT})
    changed = Change(what="Opcode", old="3", new="0")
    assert veiled_pdu(disguised, [changed]).data == b"CHAP_R=************\0"
    assert veiled_pdu(_PING, [changed]) is _PING
