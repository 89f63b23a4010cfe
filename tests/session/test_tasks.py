from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from iscsiproxy.session.tasks import OpenR2T, Serials, Task, Tasks, header_of
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.session.dialogue import command, request

__all__: list[str] = []


def task(itt: int, *, serial: int = 1, conn: int = 1, pdu: Pdu | None = None) -> Task:
    pdu = pdu or command(itt, 10)
    return Task(serial, pdu, itt, pdu["CmdSN"], conn, 0.0)


def test_a_task_is_found_until_its_tag_is_used_again() -> None:
    tasks = Tasks()
    first = task(5)
    tasks.start(first)
    assert (tasks.find(5), len(tasks), tasks.on(1)) == (first, 1, 1)
    tasks.finish(first, 2)
    assert (tasks.find(5), len(tasks), tasks.on(1)) == (first, 0, 0)
    assert (first.finished, first.status) == (True, 2)
    second = task(5, serial=2)
    tasks.start(second)
    assert tasks.find(5) is second
    assert not tasks.finished
    assert tasks.find(6) is None


def test_a_task_finishes_once() -> None:
    tasks = Tasks()
    first = task(5)
    tasks.start(first)
    tasks.finish(first)
    assert (first.finished, first.status) == (True, None)
    tasks.finish(first, 8)
    assert (first.finished, first.status) == (True, 8)
    assert len(tasks) == 0


def test_a_live_tag_used_again_replaces_its_task() -> None:
    tasks = Tasks()
    first, second = task(5, conn=1), task(5, serial=2, conn=2)
    tasks.start(first)
    tasks.start(second)
    assert (len(tasks), tasks.on(1), tasks.on(2)) == (1, 0, 1)
    tasks.finish(first)
    assert tasks.find(5) is second
    assert len(tasks) == 1


def test_the_oldest_finished_are_forgotten() -> None:
    tasks = Tasks(finished=3)
    for itt in range(5):
        tasks.start(task(itt))
    for itt in (4, 3, 2, 1, 0):
        tasks.finish(tasks.live[itt])
    assert [tasks.find(itt) is not None for itt in range(5)] == [True, True, True, False, False]


def test_the_oldest_outstanding_are_forgotten() -> None:
    tasks = Tasks(outstanding=3)
    for itt in range(5):
        tasks.start(task(itt))
    assert sorted(tasks.live) == [2, 3, 4]
    assert tasks.on(1) == 3


def test_the_end_of_a_connection() -> None:
    tasks = Tasks()
    for itt in range(4):
        tasks.start(task(itt, conn=itt % 2))
    tasks.finish_all(1)
    assert sorted(tasks.live) == [0, 2]
    tasks.finish_all()
    assert not tasks.live
    assert tasks.find(3) is not None
    tasks.clear()
    assert tasks.find(3) is None


def test_a_lost_connections_tasks_may_be_assigned_anew() -> None:
    tasks = Tasks()
    one, two = task(1, conn=1), task(2, conn=2)
    tasks.start(one)
    tasks.start(two)
    tasks.abandon(1)
    assert (one.conn, tasks.on(1), tasks.on(2), len(tasks)) == (0, 0, 1, 2)
    tasks.assign(one, 2)
    assert (one.conn, tasks.on(2)) == (2, 2)


def test_an_abort_takes_the_earlier_commands_of_its_LUN() -> None:
    tasks = Tasks()
    tasks.start(task(1, serial=1, pdu=command(1, 10, LUN=1 << 48)))
    tasks.start(task(2, serial=2, pdu=command(2, 11, LUN=2 << 48)))
    tasks.start(task(3, serial=3, pdu=request(Opcode.TEXT_REQUEST, 3, 12, LUN=1 << 48)))
    tasks.start(task(5, serial=5, pdu=command(5, 13, LUN=1 << 48)))
    tasks.abort(1 << 48, before=4)
    assert sorted(tasks.live) == [2, 3, 5]
    tasks.abort(None, before=9)
    assert sorted(tasks.live) == [3]


def test_R2Ts() -> None:
    one = task(1)
    assert not one.open_r2t(7, 0, 1024, allowed=1)
    assert not one.open_r2t(7, 0, 1024, allowed=1)
    assert one.open_r2t(8, 1024, 1024, allowed=1)
    assert one.view().R2Ts == 2
    for ttt in range(100, 1000):
        one.open_r2t(ttt, 0, 1, allowed=1)
    assert len(one.r2ts) <= 17
    assert 999 in one.r2ts


def test_a_retry_is_the_same_task() -> None:
    one = task(5, pdu=command(5, 10))
    assert one.is_retry(command(5, 10), 10)
    assert not one.is_retry(command(5, 11), 11)
    assert not one.is_retry(command(5, 10, I=1), 10)
    assert not one.is_retry(request(Opcode.TMF_REQUEST, 5, 10), 10)
    one.finished = True
    assert one.is_retry(command(5, 10), 10)


def test_immediate_requests_share_their_CmdSN() -> None:
    ping = task(5, pdu=request(Opcode.NOP_OUT, 5, 10, I=1))
    again = request(Opcode.NOP_OUT, 5, 10, I=1)
    assert ping.is_retry(again, 10)
    ping.finished = True
    assert not ping.is_retry(again, 10)


def test_a_text_exchange_is_one_task() -> None:
    text = task(5, pdu=request(Opcode.TEXT_REQUEST, 5, 10))
    assert text.is_retry(request(Opcode.TEXT_REQUEST, 5, 11), 11)
    text.finished = True
    assert not text.is_retry(request(Opcode.TEXT_REQUEST, 5, 11), 11)


def test_a_command_is_kept_without_its_data() -> None:
    bare = Pdu.build(Opcode.SCSI_COMMAND, ITT=1)
    assert header_of(bare) is bare
    full = bare.with_ahs(bytes(8)).with_data(b"secret data").sealed(header=True, data=True)
    kept = header_of(full)
    assert (kept.bhs, kept.ahs) == (full.bhs, full.ahs)
    assert kept["DataSegmentLength"] == 11
    assert kept.raw == full.bhs + full.ahs


def test_serials_count() -> None:
    serials = Serials()
    assert (serials.last, serials.take(), serials.take(), serials.last) == (0, 1, 2, 2)


def test_repr() -> None:
    tasks = Tasks()
    one = task(5, serial=3)
    tasks.start(one)
    assert repr(one) == "<Task 3 SCSI-Command ITT=0x00000005 outstanding>"
    assert repr(tasks) == "<Tasks 1 outstanding, 0 finished>"
    assert repr(OpenR2T(512, 1024)) == "<OpenR2T 0 of 1024 bytes at 512>"
    assert repr(Serials()) == "<Serials last=0>"


@given(st.lists(st.tuples(st.sampled_from("sfaxl"), st.integers(0, 12), st.integers(1, 3)), max_size=200))
def test_the_counts_are_always_right(steps: list[tuple[str, int, int]]) -> None:
    tasks = Tasks(outstanding=6, finished=4)
    serials = Serials()
    for what, itt, conn in steps:
        found = tasks.find(itt)
        if what == "s":
            tasks.start(task(itt, serial=serials.take(), conn=conn))
        elif what == "f" and found is not None:
            tasks.finish(found, 0)
        elif what == "a" and found is not None:
            tasks.assign(found, conn)
        elif what == "x":
            tasks.finish_all(conn)
        elif what == "l":
            tasks.abandon(conn)
        for number in range(4):
            assert tasks.on(number) == sum(one.conn == number for one in tasks.live.values())
        assert len(tasks.live) <= 6
        assert len(tasks.finished) <= 4
        assert not tasks.live.keys() & tasks.finished.keys()
