from __future__ import annotations

from iscsiproxy.api.models import Kill, Numbers, Session, Stall, TaskQuery, Timer
from tests.api.models.wire import read, refused, said

__all__: list[str] = []

UNKNOWN = Numbers(CmdSN=None, ExpCmdSN=None, MaxCmdSN=None, window=None)
SESSION = Session(
    id=1,
    type="Normal",
    InitiatorName="iqn.2026-01.example:i",
    TargetName=None,
    ISID="0x800000000001",
    TSIH=7,
    connections=(1, 3),
    outstanding=0,
    initiator=UNKNOWN,
    target=Numbers(CmdSN=5, ExpCmdSN=5, MaxCmdSN=36, window=32),
)


def test_a_session_has_the_names_of_the_standard() -> None:
    there = said(SESSION)
    assert there["connections"] == [1, 3]
    assert there["target"] == {"CmdSN": 5, "ExpCmdSN": 5, "MaxCmdSN": 36, "window": 32}
    assert there["initiator"] == dict.fromkeys(there["target"])
    assert read(Session, **there) == SESSION


def test_how_a_connection_is_closed() -> None:
    assert read(Kill) == Kill(how="rst", end="both")
    assert read(Kill, how="half", end="target") == Kill(how="half", end="target")
    assert "Invalid enum value 'gently'" in refused(Kill, how="gently")
    assert "Invalid enum value 'both ends'" in refused(Kill, end="both ends")


def test_how_long_a_stall_may_last() -> None:
    assert read(Stall) == Stall(end="both", at_most=None)
    assert not refused(Stall, at_most=0)
    assert "<= 86400" in refused(Stall, at_most=86_401)
    assert ">= 0" in refused(Stall, at_most=-0.1)


def test_tasks_are_those_of_all_connections_or_of_one() -> None:
    assert read(TaskQuery) == TaskQuery(conn=None)
    assert read(TaskQuery, conn=0) == TaskQuery(conn=0)
    assert ">= 0" in refused(TaskQuery, conn=-1)


def test_the_timers_that_there_are() -> None:
    timer = Timer(n=3, what="Data-Out", end="target", left=-0.5, why="a target waits 30 s for data")
    assert read(Timer, **said(timer)) == timer
    assert "Invalid enum value" in refused(Timer, **{**said(timer), "what": "tea"})
