"""Events as they come: what is shown, what is left out, and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest

from iscsiproxy.api.client import ApiError, Unreachable
from iscsiproxy.console.live import Live
from tests.console.fake import FakeProxy, event
from tests.console.playing import Sheet, run, until


@asynccontextmanager
async def showing(proxy: FakeProxy, sheet: Sheet, *, rows: int = 50, since: int = 0) -> AsyncIterator[Live]:
    """Show events of a proxy while the block runs."""
    async with proxy.client() as api:
        live = Live(api, sheet, since=since, rows=lambda: rows)
        task = asyncio.create_task(live.run())
        await until(lambda: bool(proxy.streams) or task.done())
        try:
            yield live
        finally:
            task.cancel()
            await asyncio.wait([task])


def numbers(sheet: Sheet) -> list[str]:
    return [row.split()[0] for row in sheet.written]


def played(play: Callable[[FakeProxy, Sheet], Coroutine[object, object, None]]) -> None:
    run(play(FakeProxy(), Sheet()))


def test_faults_and_connections_are_always_shown() -> None:
    async def play(proxy: FakeProxy, sheet: Sheet) -> None:
        async with showing(proxy, sheet):
            for one in (event(1, "connected"), event(2, "fired"), event(3), event(4, "pinged"), event(5, "closed")):
                proxy.tell(one)
            await until(lambda: len(sheet.written) == 3)
        assert numbers(sheet) == ["1", "2", "5"]

    played(play)


def test_what_was_before_is_not_shown() -> None:
    async def play(proxy: FakeProxy, sheet: Sheet) -> None:
        proxy.tell(event(1, "fired"))
        async with showing(proxy, sheet, since=1):
            proxy.tell(event(2, "fired"))
            await until(lambda: bool(sheet.written))
        assert numbers(sheet) == ["2"]

    played(play)


def test_pdus_are_shown_while_they_are_watched() -> None:
    async def play(proxy: FakeProxy, sheet: Sheet) -> None:
        async with showing(proxy, sheet) as live:
            await live.watch("R2T")
            proxy.tell(event(1, label="R2T"))
            proxy.tell(event(2))
            proxy.tell(event(3, "fired"))
            await until(lambda: len(sheet.written) == 2)
            assert sorted(numbers(sheet)) == ["1", "3"]
            await live.watch(None)
            await until(lambda: len(proxy.streams) == 1)
            proxy.tell(event(4, label="R2T"))
            proxy.tell(event(5, "fired"))
            await until(lambda: len(sheet.written) == 3)
        assert numbers(sheet)[2] == "5"

    played(play)


def test_another_pattern_takes_the_place_of_the_first() -> None:
    async def play(proxy: FakeProxy, sheet: Sheet) -> None:
        async with showing(proxy, sheet) as live:
            await live.watch("R2T")
            await live.watch("NOP-Out")
            await until(lambda: len(proxy.streams) == 2)
            proxy.tell(event(1, label="R2T"))
            proxy.tell(event(2))
            await until(lambda: bool(sheet.written))
        assert numbers(sheet) == ["2"]

    played(play)


def test_a_wrong_pattern_leaves_everything_as_it_was() -> None:
    async def play(proxy: FakeProxy, sheet: Sheet) -> None:
        async with showing(proxy, sheet) as live:
            await live.watch("R2T")
            with pytest.raises(ApiError):
                await live.watch("wrong")
            assert live.pattern == "R2T"
            proxy.tell(event(1, label="R2T"))
            await until(lambda: bool(sheet.written))

    played(play)


def test_deliveries_are_shown_on_request() -> None:
    async def play(proxy: FakeProxy, sheet: Sheet) -> None:
        async with showing(proxy, sheet) as live:
            await live.watch("", both=True)
            proxy.tell(event(1))
            proxy.tell(event(2, "delivered", of=1))
            await until(lambda: len(sheet.written) == 2)

    played(play)


def test_a_quiet_prompt_shows_only_what_is_watched() -> None:
    async def play(proxy: FakeProxy, sheet: Sheet) -> None:
        async with showing(proxy, sheet) as live:
            live.quiet = True
            await live.watch("")
            proxy.tell(event(1, "fired"))
            proxy.tell(event(2))
            await until(lambda: bool(sheet.written))
            await live.reach(2)
        assert numbers(sheet) == ["2"]

    played(play)


def test_of_more_than_a_screen_the_last_is_shown_and_the_rest_counted() -> None:
    async def play(proxy: FakeProxy, sheet: Sheet) -> None:
        async with showing(proxy, sheet, rows=5) as live:
            await live.watch("")
            for n in range(1, 101):
                proxy.tell(event(n, "fired" if n in (3, 50) else "received"))
            await until(lambda: any(row.split()[0] == "100" for row in sheet.written))
            shown = [row for row in numbers(sheet) if row != "…"]
            assert {"3", "50"} <= set(shown)
            assert live.left_out == 100 - len(shown)
            told = [int(row.split()[1]) for row in sheet.written if row.startswith("…")]
            assert sum(told) == live.left_out

    played(play)


def test_what_the_proxy_left_out_is_counted_and_told() -> None:
    async def play(proxy: FakeProxy, sheet: Sheet) -> None:
        async with showing(proxy, sheet) as live:
            proxy.tell(event(1, "left-out", count=12))
            await until(lambda: bool(sheet.written))
            assert live.left_out == 12
        assert "up to 12 events were left out here" in sheet.written[0]

    played(play)


def test_what_waits_to_be_shown_is_bounded() -> None:
    async def play(proxy: FakeProxy, sheet: Sheet) -> None:
        async with showing(proxy, sheet, rows=10) as live:
            await live.watch("")
            for n in range(1, 20_001):
                proxy.tell(event(n))
            await until(lambda: any(row.split()[0] == "20000" for row in sheet.written))
            assert live.left_out + sum(not row.startswith("…") for row in sheet.written) == 20_000

    played(play)


def test_a_command_waits_until_what_came_of_it_is_shown() -> None:
    async def play(proxy: FakeProxy, sheet: Sheet) -> None:
        async with showing(proxy, sheet) as live:
            proxy.tell(event(1, "fired"))
            assert sheet.written == []
            await live.reach(1)
            assert numbers(sheet) == ["1"]

    played(play)


def test_what_never_comes_is_not_waited_for_long() -> None:
    async def play(proxy: FakeProxy, sheet: Sheet) -> None:
        async with showing(proxy, sheet) as live:
            await live.reach(99)

    played(play)


def test_a_stream_that_ended_is_opened_again_where_it_was() -> None:
    async def play(proxy: FakeProxy, sheet: Sheet) -> None:
        async with showing(proxy, sheet):
            proxy.tell(event(1, "fired"))
            await until(lambda: bool(sheet.written))
            proxy.streams[0].offer(None)
            proxy.events.append(event(2, "fired"))
            await until(lambda: len(sheet.written) == 2)
        assert numbers(sheet) == ["1", "2"]

    played(play)


def test_the_end_of_the_proxy_is_the_end() -> None:
    async def main() -> None:
        proxy = FakeProxy()
        async with proxy.client() as api:
            live = Live(api, Sheet(), since=0)
            task = asyncio.create_task(live.run())
            await until(lambda: bool(proxy.streams))
            proxy.end()
            with pytest.raises(ExceptionGroup) as raised:
                await task
            assert raised.value.subgroup(Unreachable) is not None

    run(main())
