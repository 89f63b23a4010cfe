"""The line at the bottom, and what it is made from."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from iscsiproxy.api.client import AsyncClient, Unreachable
from iscsiproxy.api.models import Proxy, Route, Timer
from iscsiproxy.console.toolbar import Status, toolbar
from tests.console.fake import FakeProxy, rule
from tests.console.playing import run, until

BUSY: dict[str, Any] = {
    "sessions": 2,
    "connections": 2,
    "pdus": 1234,
    "rules": 3,
    "armed": 3,
    "held": 1,
    "recording": True,
    "findings": {"MUST": 2, "SHOULD": 0, "known": 1},
    "timer": Timer(n=7, what="Data-Out", end="target", left=5.0, why=""),
    "left_out": 10,
}
IDLE = Proxy(
    version="1", pid=1, seed=1, now=1.0, routes=(Route(listen="a:1", target="b:2"),), scratch=True, checked=True,
    profile="rfc7143", journal=None, capture=None, sessions=0, connections=0, tasks=0, pdus=0, rules=0, armed=0,
    held=0, stalled=0, findings={}, recording=False, clients=1, last=0,
)  # fmt: skip


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def status_of(*seen: Proxy, clock: Clock | None = None) -> Status:
    status = Status(AsyncClient("/nowhere.sock"), changed=lambda: None, clock=clock or Clock())
    for one in seen:
        status.take(one)
    return status


def run_of(**changed: Any) -> Proxy:
    return msgspec.structs.replace(IDLE, **changed)


def shown(status: Status, *, left_out: int = 0, width: int = 200) -> str:
    return "".join(text for _, text in toolbar(status, left_out=left_out, width=width))


def styles(status: Status) -> dict[str, str]:
    return {text: style for style, text in toolbar(status, left_out=0, width=200)}


def test_before_anything_is_known_there_is_nothing_to_show() -> None:
    assert shown(status_of()) == " …"


def test_an_idle_run() -> None:
    assert shown(status_of(IDLE)) == " sessions 0  conns 0  0 PDU/s  armed 0  held 0  findings 0"


def test_a_busy_run() -> None:
    status = status_of(IDLE, run_of(now=2.0, **BUSY))
    assert shown(status, left_out=7) == (
        " sessions 2  conns 2  1234 PDU/s  armed 3  held 1, Data-Out 5.0s (target)  findings 2 MUST 1 known  REC"
        "  left out 17"
    )


def test_a_run_that_nobody_judges_says_so() -> None:
    assert "not judged" in shown(status_of(run_of(checked=False)))


def test_what_stands_still_and_errors_of_ours_are_shown() -> None:
    text = shown(status_of(run_of(stalled=2, internal_errors=("x",))))
    assert "stalled 2" in text
    assert "INTERNAL ERRORS 1" in text


def test_what_is_less_important_goes_first_where_there_is_no_room() -> None:
    status = status_of(IDLE, run_of(now=2.0, **BUSY))
    for width in range(32, 140):
        assert len(shown(status, left_out=7, width=width)) <= width
    small = shown(status, left_out=7, width=80)
    assert "held 1, Data-Out 5.0s (target)" in small
    assert "findings 2 MUST" in small
    assert "left out" not in small


def test_the_rate_is_what_was_looked_at_since_the_last_look() -> None:
    status = status_of(run_of(now=1.0, pdus=100), run_of(now=1.5, pdus=300))
    assert status.rate == 400.0


def test_the_timer_counts_down_between_two_looks() -> None:
    clock = Clock()
    status = status_of(run_of(**BUSY), clock=clock)
    clock.now += 3.5
    assert "Data-Out 1.5s" in shown(status)
    clock.now += 3.5
    assert "Data-Out 0.0s" in shown(status)


@pytest.mark.parametrize(
    ("passed", "style"),
    [(0.0, ""), (1.99, ""), (2.0, "bold noreverse"), (2.3, "bold"), (2.6, "bold"), (3.0, "bold noreverse")],
)
def test_a_timer_that_is_about_to_run_out_flashes(passed: float, style: str) -> None:
    clock = Clock()
    status = status_of(run_of(**BUSY), clock=clock)
    clock.now += passed
    [found] = [style for text, style in styles(status).items() if text.startswith("Data-Out")]
    assert (found == "") is (style == "")
    assert ("noreverse" in found) is (int((5.0 - passed) * 2) % 2 == 0 and passed >= 2.0)


def test_the_run_is_looked_at_until_it_ends() -> None:
    proxy = FakeProxy(rules_=[rule("a/1")])
    changes: list[int] = []

    async def main() -> None:
        async with proxy.client() as api:
            status = Status(api, changed=lambda: changes.append(1))
            looking = asyncio.create_task(status.run())
            await until(lambda: bool(changes))
            assert status.proxy is not None
            assert status.proxy.armed == 1
            proxy.gone = True
            with pytest.raises(Unreachable):
                await looking

    run(main())
