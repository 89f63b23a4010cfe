"""Sessions, connections, tasks, keys and windows as they are shown."""

from __future__ import annotations

import pytest

from iscsiproxy.api.models import Numbers, Proxy, Route
from iscsiproxy.console.views.state import connections, negotiated, proxy, sessions, tag, tasks, window
from tests.console.fake import connection, leg, session, task
from tests.console.playing import viewed

WIDTHS = pytest.mark.parametrize("width", [80, 200])


def numbers(CmdSN: int | None, ExpCmdSN: int | None, MaxCmdSN: int | None) -> Numbers:  # noqa: N803 - the RFC's names
    return Numbers(CmdSN=CmdSN, ExpCmdSN=ExpCmdSN, MaxCmdSN=MaxCmdSN, window=None)


@WIDTHS
def test_everything_fits_on_a_screen(width: int) -> None:
    long = "iqn.2004-01.com.example:" + "x" * 200
    large = numbers(4294967295, 4294967290, 4294967295)
    shown = [
        *viewed(sessions([session(1, InitiatorName=long, initiator=large, target=large)], width)),
        *viewed(connections([connection(1, address="[fe80::1234:5678:9abc:def0]:49152")], None, width)),
        *viewed(tasks([task(3, command="x" * 200)], width)),
        *viewed(negotiated(connection(1, initiator=leg(keys={"SendTargets": long})), width)),
        *viewed(window(session(1, initiator=large, target=large), width)),
    ]
    assert max(map(len, shown)) <= width


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (sessions([], 80), "no session"),
        (connections([], None, 80), "no connection"),
        (tasks([], 80), "no task without a status"),
    ],
)
def test_where_there_is_nothing_that_is_told(view: list[object], said: str) -> None:
    assert viewed(view) == [said]  # type: ignore[arg-type]


def test_what_is_not_known_yet_is_a_question_mark() -> None:
    unknown = numbers(None, None, None)
    _, row, ends = viewed(sessions([session(1, initiator=unknown, TargetName=None)], 0))
    assert row.split()[-2:] == ["?", "10"]
    assert ends.endswith("→ ?")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "-"),
        ({"held": 2}, "2 held"),
        ({"initiator": leg(stalled=True)}, "stalled (initiator)"),
        ({"initiator": leg(stalled=True), "target": leg(stalled=True, closed=True)}, "stalled, closed (target)"),
    ],
)
def test_what_a_connection_suffers_is_told(more: dict[str, object], said: str) -> None:
    _, row = viewed(connections([connection(1, **more)], None, 0))
    assert row.split("  ")[-2].strip() == said or f"  {said}  " in row


def test_tasks_are_listed_by_their_age() -> None:
    _, *rows = viewed(tasks([task(3, age=0.5), task(4, age=2.0)], 0))
    assert [row.split()[1] for row in rows] == ["0x00000004", "0x00000003"]


@pytest.mark.parametrize(("value", "text"), [(3, "0x00000003"), (0xFFFFFFFF, "none")])
def test_tags_are_written_as_in_the_language(value: int, text: str) -> None:
    assert tag(value) == text


def test_keys_that_differ_between_the_legs_are_marked() -> None:
    one = connection(
        1,
        initiator=leg(keys={"HeaderDigest": "None", "MaxBurstLength": "512"}),
        target=leg(keys={"HeaderDigest": "CRC32C", "MaxBurstLength": "512"}, header_digest=True),
    )
    rows = {row.lstrip(" ≠").split("  ")[0]: row for row in viewed(negotiated(one, 0))}
    assert rows["HeaderDigest"].split() == ["≠", "HeaderDigest", "None", "CRC32C"]
    assert rows["header digests"].split() == ["≠", "header", "digests", "no", "yes"]
    assert rows["MaxBurstLength"].split() == ["MaxBurstLength", "512"]
    assert rows["MaxRecvDataSegmentLength (initiator)"].split()[-2:] == ["(initiator)", "8192"]


@pytest.mark.parametrize(
    ("of", "bar"),
    [
        (numbers(8, 8, 39), ".......... 0/32"),
        (numbers(10, 8, 39), "#......... 2/32"),
        (numbers(40, 8, 39), "########## 32/32"),
        (numbers(8, 8, 7), "closed"),
        (numbers(1, 0xFFFFFFFF, 3), "####...... 2/5"),
        (numbers(None, 8, 39), "?"),
        (numbers(8, 9, 39), "?"),
    ],
)
def test_the_window_is_drawn_by_serial_numbers(of: Numbers, bar: str) -> None:
    row = viewed(window(session(1, initiator=of), 80))[2]
    assert row.endswith(f" {bar}")


def test_the_run_is_shown_with_what_went_wrong_in_it() -> None:
    run = Proxy(
        version="1", pid=2, seed=3, now=4.5, routes=(Route(listen="a:1", target="b:2"),), scratch=False, checked=False,
        profile="", journal="j.jsonl", capture=None, sessions=0, connections=0, tasks=0, pdus=0, rules=2, armed=1,
        held=0, stalled=0, findings={}, recording=False, clients=1, last=0, internal_errors=("KeyError('x')",),
    )  # fmt: skip
    shown = viewed(proxy(run, 80))
    assert shown[0] == "a:1 → b:2"
    assert "target   not declared scratch" in shown
    assert "journal  j.jsonl" in shown
    assert shown[-1] == "internal error KeyError('x')"
