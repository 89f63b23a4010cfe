"""By hand, on the wire."""

from __future__ import annotations

import pytest

from tests.console.fake import FakeProxy, connection
from tests.console.playing import answered, played, texts


def test_what_is_sent_and_what_answers_it_are_shown() -> None:
    proxy = FakeProxy(connections_={1: connection(1), 2: connection(2)})
    [_, outcome] = played(proxy, "use 2", "inject NOP-In TTT=0x12345678 for 2s")
    assert texts(outcome) == ["sent   90 NOP-In TTT=0x12345678", "answer 91 NOP-In TTT=none"]
    [sent] = proxy.injections
    assert (sent.pdu, sent.conn, sent.wait) == ("NOP-In TTT=0x12345678", 2, 2.0)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("kill", "connection 1 was closed (rst) towards both ends"),
        ("kill 1 fin target", "connection 1 was closed (fin) towards the target"),
        ("kill half", "connection 1 was closed (half) towards both ends"),
    ],
)
def test_a_connection_is_closed(line: str, said: str) -> None:
    assert answered(FakeProxy(), line) == [said]


def test_a_connection_that_was_closed_is_no_longer_in_use() -> None:
    proxy = FakeProxy(connections_={1: connection(1), 2: connection(2)})
    [*_, outcome] = played(proxy, "use 2", "kill", "kill")
    assert texts(outcome) == ["connection 1 was closed (rst) towards both ends"]


def test_a_connection_stands_still_until_it_is_resumed() -> None:
    proxy = FakeProxy()
    [stalled, resumed, again] = played(proxy, "stall", "resume", "resume")
    assert texts(stalled) == ["connection 1 stands still; `resume 1` ends it"]
    assert texts(resumed) == ["connection 1 goes on"]
    assert texts(again) == ["no connection stands still"]


def test_a_connection_stands_still_for_a_time() -> None:
    said = "connection 1 stands still; it goes on after 0.3 s, or with `resume 1`"
    assert answered(FakeProxy(), "stall 1 target for 300ms") == [said]


def test_a_connection_is_resumed_by_its_number() -> None:
    assert answered(FakeProxy(), "resume 1") == ["connection 1 goes on"]
