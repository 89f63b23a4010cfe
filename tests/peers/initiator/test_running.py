from __future__ import annotations

import pytest

from iscsiproxy.peers.initiator.conduct import Conduct
from iscsiproxy.peers.initiator.errors import CommandAborted
from iscsiproxy.peers.initiator.running import Request, Running
from iscsiproxy.peers.initiator.tasks import ScsiTask
from iscsiproxy.peers.parameters import Parameters
from iscsiproxy.peers.scsi.command import Attribute
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__: list[str] = []


def running() -> Running:
    task = ScsiTask(
        itt=7,
        lun=3,
        cdb=bytes(6),
        data_out=b"",
        read_length=0,
        attribute=Attribute.SIMPLE,
        immediate=False,
        parameters=Parameters(),
        conduct=Conduct(),
    )
    task.cmdsn = 9
    return Running(task)


def test_it_is_known_by_what_task_management_asks_for() -> None:
    command = running()
    assert (command.itt, command.cmdsn, command.lun, command.ended) == (7, 9, 3, False)


async def test_everybody_who_waits_hears_of_the_end() -> None:
    command = running()
    command.answer.fail(CommandAborted("gone"))
    assert command.ended
    for _ in range(2):
        with pytest.raises(CommandAborted, match="gone"):
            await command.wait()


def test_a_request_is_for_itself_unless_it_fills_a_gap() -> None:
    assert not Request(Pdu.build(Opcode.NOP_OUT)).fills
