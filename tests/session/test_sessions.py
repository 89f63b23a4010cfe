from __future__ import annotations

import pytest

from iscsiproxy.session.negotiation import Negotiation
from iscsiproxy.session.sessions import Connection, Registry, Session
from iscsiproxy.session.tasks import Task
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.text import encode_text
from tests.session.dialogue import INITIATOR, NAMES, TARGET, command, login_request

__all__: list[str] = []


def negotiation(**keys: str) -> Negotiation:
    made = Negotiation()
    made.hear(End.INITIATOR, encode_text({**NAMES, **keys}.items()), more=False)
    made.hear(End.TARGET, encode_text({"TargetPortalGroupTag": "1", **keys}.items()), more=False)
    return made


def session(registry: Registry, **keys: str) -> Session:
    """Make a registered session; ErrorRecoveryLevel and the like as given."""
    made = registry.new()
    made.isid, made.tsih = 1, 7
    made.negotiation = negotiation(**keys)
    made.identify(made.negotiation)
    registry.add(made)
    return made


def connected(to: Session, number: int, cid: int) -> Connection:
    connection = Connection(number, number, 0.0)
    connection.cid, connection.session = cid, to
    to.conns[cid] = connection
    to.tasks.start(Task(number, command(number, 10), number, 10, number, 0.0))
    return connection


def test_a_session_takes_its_names_from_what_is_declared() -> None:
    one = session(Registry())
    assert (one.initiator_name, one.target_name, one.tpgt, one.discovery) == (INITIATOR, TARGET, "1", False)
    discovery = Session(2)
    discovery.identify(negotiation(SessionType="Discovery"))
    assert discovery.discovery
    assert discovery.view().type == "Discovery"


@pytest.mark.parametrize(
    ("name", "value"),
    [("isid", 2), ("initiator_name", "iqn.b"), ("target_name", None), ("tpgt", "2"), ("discovery", True)],
)
def test_what_makes_another_session(name: str, value: object) -> None:
    registry = Registry()
    one, two = session(registry), session(registry)
    assert one.same_place(two)
    setattr(two, name, value)
    assert not one.same_place(two)
    assert registry.reinstated(one, 0.0) is None


def test_sessions_without_a_name_are_never_the_same() -> None:
    assert not Session(1).same_place(Session(2))


def test_who_is_joined_and_who_is_reinstated() -> None:
    registry = Registry()
    one = session(registry)
    login = registry.new()
    login.isid, login.tsih = 1, 7
    login.identify(negotiation())
    assert registry.joined(login, 0.0) is one
    assert registry.reinstated(login, 0.0) is one
    login.tsih = 8
    assert registry.joined(login, 0.0) is None
    registry.drop(one)
    assert not registry.registered(one)
    assert registry.reinstated(login, 0.0) is None


def test_the_end_of_a_connection_ends_its_tasks_at_level_0() -> None:
    registry = Registry()
    one = session(registry)
    first, second = connected(one, 1, 0), connected(one, 2, 1)
    registry.lose(one, first, 10.0)
    assert (len(one.conns), len(one.tasks.live), one.expires) == (1, 1, None)
    assert one.lost == {0: 1}
    registry.lose(one, second, 11.0)
    assert (len(one.conns), len(one.tasks.live)) == (0, 0)
    assert one.expires == 11.0 + 2 + 20


def test_at_level_2_tasks_wait_for_another_connection() -> None:
    registry = Registry()
    one = session(registry, ErrorRecoveryLevel="2")
    registry.lose(one, connected(one, 1, 0), 10.0)
    assert len(one.tasks.live) == 1
    assert one.tasks.on(1) == 0


def test_a_session_without_a_connection_is_gone_after_its_time() -> None:
    registry = Registry()
    one = session(registry, DefaultTime2Wait="3", DefaultTime2Retain="5")
    registry.lose(one, connected(one, 1, 0), 10.0)
    login = registry.new()
    login.isid, login.tsih = 1, 7
    login.identify(negotiation())
    assert registry.reinstated(login, 18.0) is one
    assert registry.reinstated(login, 18.5) is None
    assert len(registry) == 0


def test_a_connection_is_lost_once_and_only_by_its_session() -> None:
    registry = Registry()
    one = session(registry)
    first = connected(one, 1, 0)
    registry.lose(one, first, 1.0)
    registry.lose(one, first, 9.0)
    assert one.expires == 23.0
    other = Connection(5, 5, 0.0)
    registry.lose(one, other, 99.0)
    assert one.expires == 23.0


def test_sessions_and_CIDs_that_are_kept_are_bounded() -> None:
    registry = Registry()
    for number in range(1, 300):
        one = session(registry)
        registry.lose(one, connected(one, number, 0), 1.0)
    assert len(registry) <= 65
    one = session(registry)
    for cid in range(300):
        registry.lose(one, connected(one, cid + 1, cid), 1.0)
    assert len(one.lost) <= 64


def test_keys_are_heard_only_where_the_data_is_there() -> None:
    connection = Connection(1, 1, 0.0)
    connection.hear(login_request({"MaxBurstLength": "512"}, DataSegmentLength=5))
    assert connection.negotiation.settled["MaxBurstLength"] == "262144"
    connection.hear(login_request(b"ImmediateDa", T=0, C=1))
    connection.hear(login_request(b"ta=No\0", T=0, C=1))
    assert connection.negotiation.settled["ImmediateData"] == "Yes"
    connection.hear(login_request())
    assert connection.negotiation.settled["ImmediateData"] == "No"


def test_views_are_the_same_object_until_something_changes() -> None:
    one = session(Registry())
    connection = connected(one, 1, 0)
    assert one.view() is one.view()
    assert connection.view() is connection.view()
    before = one.view(), connection.view()
    one.commands.start(10)
    connection.numbers.status(5, once=True)
    after = one.view(), connection.view()
    assert (before[0].CmdSN, after[0].CmdSN) == (None, 10)
    assert (before[1].StatSN, after[1].StatSN) == (None, 6)


def test_repr() -> None:
    registry = Registry()
    one = session(registry)
    assert repr(one) == "<Session 1 ISID=0x000000000001 TSIH=0x0007 0 connections>"
    assert repr(connected(one, 3, 9)) == "<Connection 3 connected CID=9>"
    assert repr(registry) == "<Registry of 1 sessions>"
