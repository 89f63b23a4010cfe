from __future__ import annotations

import pytest

from iscsiproxy.api import models
from iscsiproxy.wire.opcodes import Opcode
from tests.api.server.stand import ping, response, stand, write
from tests.proxy.fakes import login_request, nop_in

__all__: list[str] = []


# --- what is held ----------------------------------------------------------------------------------------------------


async def test_a_pdu_is_held_looked_at_changed_and_let_go() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        the.arm("hold SCSI-Command nth 1")
        await initiator.send(write(2, 1), ping(9))
        (held,) = await the.held()
        assert (held.leg, held.rule, held.until, held.behind) == ("initiator", "line-1/#1", "released", 1)
        edited = the.control.edit(held.n, models.Edit(acts="set CDB.LBA=2048", confirm=True))
        assert edited.changes == ("CDB.LBA 0 -> 2048",)
        view = the.control.held_pdu(held.n)
        assert (view.event, view.changes) == ("held", edited.changes)
        released = the.control.release(held.n)
        assert released.summary == edited.summary
        gone = await target.pdu()
        assert gone.raw.hex() == view.raw
        assert gone == write(2, 1, CDB=bytes.fromhex("2a000000080000000800"))
        assert await target.pdu() == ping(9)
        assert the.control.held() == ()


async def test_step_by_step_both_ways() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        the.arm("hold SCSI-Command nth 1")
        await initiator.send(write(2, 1), ping(8), ping(9))
        ((first),) = await the.held()
        assert the.control.step(first.n).released.n == first.n
        assert (await target.pdu())["ITT"] == 2
        ((second),) = the.control.held()
        assert (second.label, second.rule, second.behind) == ("NOP-Out", "by-hand/step", 1)
        the.control.step(second.n)
        ((third),) = the.control.held()
        the.control.step(third.n)
        assert [(await target.pdu())["ITT"] for _ in range(2)] == [8, 9]
        await target.send(response(2, 2))
        ((answer),) = await the.held()
        assert (answer.label, answer.leg) == ("SCSI-Response", "target")
        the.control.release(answer.n)
        assert (await initiator.pdu()).opcode == Opcode.SCSI_RESPONSE


async def test_with_digests_what_was_edited_has_right_ones() -> None:
    keys = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}
    async with stand() as the:
        initiator, target = await the.login(keys, keys)
        for peer in (initiator, target):
            peer.digests(header=True, data=True)
        the.arm("hold SCSI-Command nth 1")
        await initiator.send(write(2, 1, b"x" * 512))
        (held,) = await the.held()
        the.control.edit(held.n, models.Edit(acts="set LUN=3; resize 10", confirm=True))
        the.control.release(held.n)
        gone = await target.pdu()
        assert (gone.header_digest_ok(), gone.data_digest_ok(), gone.data) == (True, True, b"x" * 10)


async def test_no_secret_is_shown_of_a_login_that_is_held_and_edited() -> None:
    secret = "0x1a2b3c4d5e6f708192a3b4c5d6e7f809"
    async with stand() as the:
        reader = the.read(pdus=True, deliveries=True)
        the.arm("hold Login-Request nth 1")
        initiator, target = await the.bench.connect()
        await initiator.send(login_request({"CHAP_N": "me", "CHAP_R": secret}))
        (held,) = await the.held()
        edits = ("set CSG=0", "text remove=[CHAP_N]", "corrupt data at=110", "resize 125", "set data+112=0x00ff")
        told: list[object] = [held, the.control.held_pdu(held.n)]
        told += [the.control.edit(held.n, models.Edit(acts=acts, confirm=True)) for acts in edits]
        told.append(the.control.held_pdu(held.n))
        the.control.edit(held.n, models.Edit(acts="text remove=[CHAP_R]", confirm=True))
        told += [the.control.held(), the.control.held_pdu(held.n)]
        the.control.release(held.n)
        await target.pdu()
        delivered = await reader.kind("delivered")
        told += [*reader.events, the.control.pdu(held.n), the.control.pdu(delivered.n), the.control.connections()]
        shown = "\n".join(map(repr, told)) + "\n".join(
            bytes.fromhex(one.raw).decode("latin-1") for one in told if isinstance(one, models.PduView)
        )
        for at in range(2, len(secret) - 8):
            assert secret[at : at + 8] not in shown
            assert secret[at : at + 8].encode().hex() not in shown
        assert "CHAP_N" in shown, "that is no secret"


async def test_a_dropped_one_never_comes_and_is_told_as_a_fault() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        the.arm("hold SCSI-Command nth 1")
        reader = the.read()
        await initiator.send(write(2, 1), write(3, 2))
        (held,) = await the.held()
        the.control.drop(held.n)
        gone = await target.pdu()
        assert (gone["ITT"], gone["CmdSN"]) == (3, 2)
        fired = await reader.kind("fired", act="drop")
        assert (fired.rule, fired.of) == ("by-hand/drop", held.n)


@pytest.mark.parametrize("who", ["initiator", "target"])
@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_nothing_is_left_of_what_was_held_on_a_connection_that_is_lost(who: str, how: str) -> None:
    async with stand() as the:
        initiator, target = await the.login()
        the.arm("hold SCSI-Command")
        the.arm("hold SCSI-Response")
        await initiator.send(write(2, 1), ping(8), write(3, 2))
        await target.send(response(2, 2), nop_in(9))
        await the.held(3)
        one, other = (initiator, target) if who == "initiator" else (target, initiator)
        if how == "rst":
            one.reset()
        else:
            await one.fin()
            await other.fin()
        await the.bench.no_pairs()
        engine = the.relay.engine
        assert engine is not None
        assert the.control.held() == ()
        assert (engine._queues, dict(engine.waiting()), the.relay._carrier._slots) == ({}, {}, {})


async def test_a_shutdown_lets_everything_go_in_order() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        the.arm("hold SCSI-Command")
        await initiator.send(write(2, 1), ping(9), write(3, 2))
        await the.held(2)
        await the.bench.proxy.shutdown()
        assert [(await target.pdu())["ITT"] for _ in range(3)] == [2, 9, 3]
