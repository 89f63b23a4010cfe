from __future__ import annotations

import pytest

from iscsiproxy.peers.scsi.commands import COMMANDS, merged
from iscsiproxy.peers.scsi.handler import Commands
from iscsiproxy.wire.cdb import decode_cdb

__all__: list[str] = []


def test_no_command_is_there_twice() -> None:
    one: Commands = {(0x12, None): COMMANDS[0x12, None]}
    with pytest.raises(ValueError, match=r"twice: \[\(18, None\)\]"):
        merged([one, one])
    assert merged([one]) == one


def test_an_operation_code_has_service_actions_or_has_none() -> None:
    plain = {opcode for opcode, action in COMMANDS if action is None}
    assert not plain & {opcode for opcode, action in COMMANDS if action is not None}


def test_the_names_are_those_of_the_wire_format() -> None:
    for (opcode, action), handler in COMMANDS.items():
        found = decode_cdb(bytes([opcode, action or 0]).ljust(16, b"\0"))
        name = f"{found.name}, {found.action}" if found.action else found.name
        assert handler.name == name


def test_what_a_unit_attention_does_not_hinder() -> None:
    exempt = {handler.name for handler in COMMANDS.values() if handler.ignores_attention}
    assert exempt == {"INQUIRY", "REPORT LUNS", "REQUEST SENSE"}
