from __future__ import annotations

from random import Random

import pytest

from iscsiproxy.api import models
from iscsiproxy.api.server.views import _DUMPED, pdu_view, show
from iscsiproxy.session.events import Change, Connected, Delivered, Received
from iscsiproxy.wire.describe import full, summary
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.api.server.stand import ping, response, stand, write
from tests.proxy.fakes import login_request, login_response

__all__: list[str] = []

_SECRET = "0x1a2b3c4d5e6f708192a3b4c5d6e7f809"


# --- PDUs ----------------------------------------------------------------------------------------------------------


def test_a_pdu_is_shown_with_all_its_fields_in_their_order() -> None:
    pdu = write(2, 7, b"x" * 5)
    view = pdu_view(Received(n=3, at=0.12345678, conn=2, leg=End.INITIATOR, pdu=pdu))
    assert (view.n, view.at, view.conn, view.leg) == (3, 0.123457, 2, "initiator")
    assert (view.event, view.of, view.rules, view.changes) == ("received", None, (), ())
    assert (view.label, view.summary, view.lines) == ("SCSI-Command", summary(pdu), full(pdu))
    assert (bytes.fromhex(view.raw), view.size) == (pdu.raw, 56)
    fields = {field.name: (field.value, field.text) for field in view.fields}
    assert fields["CmdSN"] == (7, "7")
    assert fields["ATTR"] == (1, "SIMPLE")
    assert [field.name for field in view.fields][:4] == ["I", "Opcode", "F", "R"]
    assert set(fields) == set(pdu.fields)


def test_what_was_delivered_says_what_became_of_it() -> None:
    changes = (Change(what="LUN", old="0", new="1"),)
    view = pdu_view(
        Delivered(n=4, at=0, conn=1, leg=End.TARGET, pdu=write(2, 7), of=3, rules=("x/a",), changes=changes)
    )
    assert (view.event, view.leg, view.of, view.rules, view.changes) == (
        *("delivered", "target", 3, ("x/a",)),
        ("LUN 0 -> 1",),
    )


def test_of_a_long_one_the_begin_is_given() -> None:
    pdu = Pdu.build(Opcode.DATA_OUT, b"x" * (_DUMPED + 2)).sealed(header=False, data=True)
    view = show(pdu, n=1, at=0, conn=1, leg=End.INITIATOR, kind="held")
    assert (len(view.raw) // 2, view.size) == (48 + _DUMPED, len(pdu))


def test_one_that_was_cut_is_told_as_what_it_was() -> None:
    whole = Pdu.build(Opcode.DATA_OUT, b"x" * 10_000)
    kept = Pdu(whole.bhs, whole.ahs, b"", whole.data[:100])
    event = Received(n=1, at=0, conn=1, leg=End.INITIATOR, pdu=kept)
    view = pdu_view(event, line=summary(whole), size=len(whole))
    assert (view.summary, view.size) == (summary(whole), 10_048)
    assert view.lines[-1] == "  only the first 100 bytes of its data are kept"
    assert "only the first" not in pdu_view(event).lines[-1]


def test_a_pdu_of_any_bytes_can_be_shown() -> None:
    rng = Random(1)
    for _ in range(300):
        pdu = Pdu(rng.randbytes(48), rng.randbytes(4), rng.randbytes(4), rng.randbytes(20), b"", b"")
        view = show(pdu, n=1, at=0, conn=1, leg=End.TARGET, kind="received")
        assert view.size == len(pdu)
        assert view.lines


@pytest.mark.parametrize(
    "pdu",
    [
        login_request({"CHAP_N": "me", "CHAP_R": _SECRET}),
        login_response({"CHAP_N": "me", "chap_r": _SECRET}),
        Pdu.build(Opcode.LOGIN_REQUEST, f"{_SECRET[6:]}\0CHAP_N=me\0".encode()),
        Pdu.build(Opcode.TEXT_REQUEST, encode_text([("CHAP_R", _SECRET)])),
    ],
)
def test_no_secret_is_shown(pdu: Pdu) -> None:
    view = show(pdu, n=1, at=0, conn=1, leg=End.INITIATOR, kind="held")
    told = repr(view).encode() + bytes.fromhex(view.raw)
    for secret in (_SECRET, _SECRET[6:], _SECRET[2:].encode().hex(), _SECRET[6:].encode().hex(" ")):
        assert secret.encode() not in told
    assert len(bytes.fromhex(view.raw)) == len(pdu), "lengths stay true"


# --- what there is -------------------------------------------------------------------------------------------------


async def test_a_connection_is_shown_with_what_was_settled_on_each_leg() -> None:
    async with stand(always=True) as the:
        the.arm("set text.MaxRecvDataSegmentLength=1024 Login-Request")
        initiator, target = await the.login(
            {"MaxBurstLength": "4096", "HeaderDigest": "CRC32C", "CHAP_R": _SECRET},
            {"MaxBurstLength": "2048", "HeaderDigest": "CRC32C", "CHAP_R": _SECRET},
        )
        for peer in (initiator, target):
            peer.digests(header=True, data=False)
        the.arm("hold SCSI-Command")
        await initiator.send(write(2, 1))
        await the.held()
        (one,) = the.control.connections()
        assert one == the.control.connection(1)
        route, pair = the.bench.routes[0], the.bench.pair()
        assert (one.address, one.listen, one.local, one.portal) == (
            str(pair.initiator),
            str(route.listen),
            str(pair.leg(End.TARGET).local),
            str(route.target),
        )
        assert one.address == f"127.0.0.1:{initiator.stream.socket.getsockname()[1]}"
        assert (one.id, one.session, one.CID, one.phase, one.held) == (1, 1, 0, "full-feature", 1)
        for leg in (one.initiator, one.target):
            assert (leg.header_digest, leg.data_digest, leg.stalled, leg.closed) == (True, False, False, False)
            assert (leg.keys["MaxBurstLength"], leg.keys["HeaderDigest"]) == ("2048", "CRC32C")
        declared = [leg.declared["initiator"]["MaxRecvDataSegmentLength"] for leg in (one.initiator, one.target)]
        assert declared == ["8192", "1024"], "each leg has been told its own"
        assert (one.initiator.outstanding, one.target.outstanding) == (1, 0)
        assert _SECRET not in repr(one)
        assert "CHAP" not in repr(one)


async def test_a_session_is_shown_with_the_numbers_of_both_legs() -> None:
    async with stand(always=True) as the:
        initiator, target = await the.login()
        await the.login_as(0x800000000002)
        await initiator.send(write(2, 1))
        await target.pdu()
        await target.send(response(9, 5, ExpCmdSN=2, MaxCmdSN=70))
        await initiator.pdu()
        first, second = the.control.sessions()
        assert (first.id, first.connections, second.connections) == (1, (1,), (2,))
        assert the.control.session(1) == first
        assert (first.type, first.InitiatorName, first.TargetName) == (
            *("Normal", "iqn.2001-04.example:i"),
            "iqn.2001-04.example:t",
        )
        assert (first.ISID, first.TSIH, first.outstanding) == ("0x80123456789a", 7, 1)
        numbers = models.Numbers(CmdSN=2, ExpCmdSN=2, MaxCmdSN=70, window=69)
        assert (first.initiator, first.target) == (numbers, numbers)


async def test_before_login_there_is_a_connection_and_no_session() -> None:
    async with stand() as the:
        await the.bench.connect()
        await the.bench.event(Connected)
        assert the.control.sessions() == ()
        (one,) = the.control.connections()
        assert (one.session, one.CID, one.phase, one.initiator.keys) == (0, None, "connected", one.target.keys)


async def test_where_numbers_are_not_known_that_is_said() -> None:
    async with stand() as the:
        await the.login()
        (session,) = the.control.sessions()
        assert session.initiator == models.Numbers(CmdSN=None, ExpCmdSN=None, MaxCmdSN=None, window=None)


async def test_tasks_are_those_without_a_status() -> None:
    async with stand(always=True) as the:
        initiator, target = await the.login()
        other, other_target = await the.login_as(0x800000000002)
        cdb = bytes.fromhex("93" + "00" * 15)
        await initiator.send(write(2, 1, LUN=5 << 48), ping(8), write(3, 2, LUN=0x4007 << 48, CDB=cdb))
        await other.send(write(4, 1, LUN=0xC101 << 48))
        for _ in range(3):
            await target.pdu()
        await other_target.pdu()
        await target.send(response(3, 2))
        await initiator.pdu()
        first, second, third = the.control.tasks(models.TaskQuery())
        assert [(one.conn, one.session, one.ITT, one.LUN, one.CmdSN, one.EDTL) for one in (first, second)] == [
            (1, 1, 2, 5, 1, 4096),
            (1, 1, 8, 0, 1, 0),
        ]
        assert (first.command, second.command) == ("WRITE(10) LBA=0 blocks=8", "NOP-Out")
        assert (third.conn, third.LUN) == (2, 0xC101 << 48), "a form that is no number stays as it is"
        assert (first.received, first.sent, first.R2Ts) == (0, 0, 0)
        assert first.age >= 0
        assert [one.ITT for one in the.control.tasks(models.TaskQuery(conn=2))] == [third.ITT]
        assert the.control.tasks(models.TaskQuery(conn=9)) == ()


async def test_a_task_tells_how_far_it_has_come() -> None:
    async with stand(always=True) as the:
        initiator, target = await the.login()
        await initiator.send(write(2, 1, b"x" * 512))
        await target.pdu()
        await target.send(Pdu.build(Opcode.R2T, F=1, ITT=2, TTT=5, StatSN=2, ExpCmdSN=2, MaxCmdSN=30,
                                    BufferOffset=512, DesiredDataTransferLength=1024))  # fmt: skip
        await initiator.pdu()
        await initiator.send(
            Pdu.build(Opcode.DATA_OUT, b"y" * 256).with_fields(
                {"ITT": 2, "TTT": 5, "BufferOffset": 512, "ExpStatSN": 2}
            )
        )
        await target.pdu()
        (task,) = the.control.tasks(models.TaskQuery())
        assert (task.received, task.sent, task.R2Ts) == (768, 0, 1)
        the.arm("hold Data-Out")
        await initiator.send(Pdu.build(Opcode.DATA_OUT, b"y" * 256).with_fields({"ITT": 2, "TTT": 5, "DataSN": 1}))
        await the.held()
        (task,) = the.control.tasks(models.TaskQuery())
        assert task.received == 768, "what is held has not come to the target"
