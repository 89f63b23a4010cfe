"""What there is, asked for."""

from __future__ import annotations

from tests.console.fake import FakeProxy, connection, leg, session, task
from tests.console.playing import answered, data_of, played, texts


def test_the_run_is_shown_as_a_whole() -> None:
    shown = "\n".join(answered(FakeProxy(pdus=42), "proxy"))
    assert "127.0.0.1:3261 → 127.0.0.1:3260" in shown
    assert "1 sessions, 1 connections, 0 tasks, 42 PDUs" in shown


def test_sessions_are_listed_with_their_ends() -> None:
    head, row, ends = answered(FakeProxy(), "sessions")
    assert head.split()[:2] == ["ID", "TYPE"]
    assert row.split()[:2] == ["1", "Normal"]
    assert ends == "    iqn.2004-01.com.example:i → iqn.2004-01.com.example:t"


def test_one_connection_is_shown_alone() -> None:
    proxy = FakeProxy(connections_={1: connection(1), 2: connection(2)})
    assert len(answered(proxy, "conns")) == 3
    assert [row.split()[0] for row in answered(proxy, "conns 2")] == ["ID", "2"]


def test_the_connection_in_use_is_marked() -> None:
    proxy = FakeProxy(connections_={1: connection(1), 2: connection(2)})
    [_, listed] = played(proxy, "use 2", "conns")
    assert [row.split()[0] for row in texts(listed)] == ["ID", "1", "*2"]


def test_a_connection_that_is_not_there_cannot_be_used() -> None:
    [refused, listed] = played(FakeProxy(), "use 7", "conns")
    assert texts(refused) == ["there is no connection 7"]
    assert "*" not in "".join(texts(listed))


def test_use_without_a_number_is_the_only_connection_again() -> None:
    [_, _, listed] = played(FakeProxy(), "use 1", "use", "conns")
    assert "*" not in "".join(texts(listed))


def test_tasks_are_those_of_all_connections_or_of_one() -> None:
    proxy = FakeProxy(tasks_=[task(3), task(4, conn=2)])
    assert len(answered(proxy, "tasks")) == 3
    _, row = answered(proxy, "tasks 2")
    assert row.split()[:2] == ["2", "0x00000004"]


def test_what_was_negotiated_is_that_of_the_connection() -> None:
    proxy = FakeProxy(connections_={1: connection(1, target=leg(keys={"HeaderDigest": "CRC32C"}))})
    assert any(row.startswith("≠  HeaderDigest") for row in answered(proxy, "negotiated"))


def test_the_window_is_that_of_all_sessions_or_of_one() -> None:
    proxy = FakeProxy(sessions_={1: session(1), 2: session(2)})
    assert [row for row in answered(proxy, "window") if row.startswith("session")] == [
        "session 1, 2 tasks without a status",
        "session 2, 2 tasks without a status",
    ]
    assert len([row for row in answered(proxy, "window 2") if row.startswith("session")]) == 1


def test_without_a_session_there_is_no_window() -> None:
    [outcome] = played(FakeProxy(sessions_={}), "window")
    assert texts(outcome) == ["there is no session"]


def test_programs_get_what_the_api_gives() -> None:
    [outcome] = played(FakeProxy(), "sessions")
    assert data_of(outcome)[0]["InitiatorName"] == "iqn.2004-01.com.example:i"
