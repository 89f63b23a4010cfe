"""PDUs and events, as they come and as they were."""

from __future__ import annotations

import asyncio

from iscsiproxy.api.models import Event
from iscsiproxy.console.desk import Desk
from iscsiproxy.console.execute import Outcome, execute
from iscsiproxy.console.registry import COMMANDS
from tests.console.fake import FakeProxy, event
from tests.console.playing import Sheet, StillLive, answered, data_of, played, run, texts, until


def streamed(proxy: FakeProxy, line: str, *events: Event) -> tuple[Outcome, list[str]]:
    """Do a line of a script, and let events happen when it listens."""
    sheet = Sheet()

    async def main() -> Outcome:
        async with proxy.client() as api:
            desk = Desk(api=api, paper=sheet, commands=COMMANDS)
            doing = asyncio.create_task(execute(desk, line))
            await until(lambda: bool(proxy.streams))
            for one in events:
                proxy.tell(one)
            outcome = await doing
        assert outcome is not None
        return outcome

    return run(main()), sheet.written


def test_a_script_watches_until_so_many_came() -> None:
    outcome, written = streamed(FakeProxy(), "watch count 2", *(event(n) for n in (1, 2, 3)))
    assert [row.split()[0] for row in written] == ["1", "2"]
    assert data_of(outcome) == {"shown": 2}


def test_a_script_watches_until_the_time_is_up() -> None:
    outcome, written = streamed(FakeProxy(), "watch for 200ms", event(1))
    assert [row.split()[0] for row in written] == ["1"]
    assert not outcome.failed


def test_a_script_that_watches_a_pattern_gets_only_its_pdus() -> None:
    other = event(2, label="R2T", text="R2T ITT=0x00000001")
    _, written = streamed(FakeProxy(), "watch R2T count 1", event(1), event(1, "fired", text="FAULT"), other)
    assert [row.split()[0] for row in written] == ["2"]


def test_what_went_out_unchanged_is_shown_only_if_both_are_asked_for() -> None:
    came, went = event(1), event(2, "delivered", of=1, leg="target")
    _, written = streamed(FakeProxy(), "watch count 1", went, came)
    assert [row.split()[0] for row in written] == ["1"]
    _, written = streamed(FakeProxy(), "watch both count 1", went, came)
    assert [row.split()[0] for row in written] == ["2"]


def test_a_prompt_goes_on_while_pdus_are_shown() -> None:
    live = StillLive()
    [outcome] = played(FakeProxy(), "watch both R2T", live=live)
    assert (live.pattern, live.both) == ("R2T", True)
    assert texts(outcome) == ["PDUs are shown: R2T; `watch off` ends it"]


def test_watching_ends_with_off_and_with_a_second_plain_watch() -> None:
    for line in ("watch off", "watch"):
        live = StillLive(pattern="R2T")
        played(FakeProxy(), line, live=live)
        assert live.pattern is None


def test_another_pattern_takes_the_place_of_the_first() -> None:
    live = StillLive(pattern="R2T")
    played(FakeProxy(), "watch NOP-Out", live=live)
    assert live.pattern == "NOP-Out"


def test_the_log_shows_what_was() -> None:
    proxy = FakeProxy(events=[event(1, "connected", text="connected"), event(2), event(3, "fired", text="FAULT x")])
    assert [row.split()[0] for row in answered(proxy, "log")] == ["1", "3"]
    assert [row.split()[0] for row in answered(proxy, "log 1")] == ["3"]


def test_the_log_shows_pdus_of_a_pattern() -> None:
    proxy = FakeProxy(events=[event(1, "connected", text="connected"), event(2), event(3, label="R2T")])
    assert [row.split()[0] for row in answered(proxy, "log 1 R2T")] == ["3"]


def test_the_log_without_a_begin_shows_the_end() -> None:
    proxy = FakeProxy(events=[event(n, "fired", text="FAULT") for n in range(1, 101)])
    shown = [int(row.split()[0]) for row in answered(proxy, "log")]
    assert shown == list(range(61, 101))


def test_a_prompt_can_be_quiet() -> None:
    live = StillLive()
    played(FakeProxy(), "quiet", live=live)
    assert live.quiet
    played(FakeProxy(), "quiet off", live=live)
    assert not live.quiet


def test_a_script_is_quiet_anyway() -> None:
    [outcome] = played(FakeProxy(), "quiet")
    assert texts(outcome) == ["`quiet` is for the prompt"]
