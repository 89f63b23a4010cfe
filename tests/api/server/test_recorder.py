from __future__ import annotations

import pytest
import trio.testing

from iscsiproxy.api import models
from iscsiproxy.api.server.recorder import _DEEPEST
from iscsiproxy.engine import SPECS
from iscsiproxy.language import load
from iscsiproxy.language.rendering import as_line
from iscsiproxy.language.spec import Scenario
from iscsiproxy.wire.pdu import Pdu
from tests.api.server.stand import Stand, ping, refused, response, stand, write
from tests.proxy.fakes import Peer

__all__: list[str] = []

Clock = trio.testing.MockClock


def recording(the: Stand, *, on: bool = True) -> None:
    the.control.record(models.RecordingSwitch(on=on))


def lines(the: Stand) -> list[str]:
    return list(the.control.recording().lines)


def saved(the: Stand, what: models.Saving | None = None) -> Scenario:
    told = the.control.save("mine", what or models.Saving())
    return load(told.text, file="mine.yaml", acts=SPECS)


def rules_of(scenario: Scenario) -> list[str]:
    return [as_line(rule) for rule in scenario.rules]


# --- what is written down ------------------------------------------------------------------------------------------


async def test_what_is_done_is_written_down_with_its_time(mock_clock: Clock) -> None:
    async with stand(patience=100) as the:
        await the.login()
        mock_clock.jump(5)
        the.arm("drop R2T")
        recording(the)
        mock_clock.jump(1.5)
        the.arm("drop SCSI-Response nth 3")
        mock_clock.jump(1)
        the.control.arm(models.Arming(scenario="lost"))
        the.control.stall(1, models.Stall(end="target"))
        mock_clock.jump(1)
        the.control.resume(1)
        the.arm("close rst")
        assert lines(the) == [
            "1.5s  drop SCSI-Response nth 3",
            "2.5s  arm lost",
            "2.5s  stall end=target",
            "3.5s  close rst",
        ]
        recording(the, on=False)
        the.arm("drop NOP-Out")
        assert len(lines(the)) == 4
        recording(the)
        assert lines(the) == []
        recording(the)
        the.arm("drop NOP-In")
        recording(the)
        assert len(lines(the)) == 1, "it is on already"


async def test_what_is_checked_or_refused_is_not_written_down() -> None:
    async with stand() as the:
        recording(the)
        the.control.check(models.Arming(line="drop R2T"))
        refused(lambda: the.arm("dorp R2T"))
        refused(lambda: the.control.kill(9, models.Kill()))
        assert lines(the) == []


async def test_what_is_done_to_a_held_one_is_told_with_which_it_was(mock_clock: Clock) -> None:
    async with stand(patience=100) as the:
        initiator, target = await the.login()
        recording(the)
        the.arm("hold SCSI-Command")
        await initiator.send(*(write(itt, itt) for itt in (2, 3, 4)))
        first, second, third = await the.held(3)
        mock_clock.jump(2)
        the.control.edit(third.n, models.Edit(acts="set LUN=1", confirm=True))
        the.control.release(third.n)
        mock_clock.jump(1)
        the.control.drop(second.n)
        assert lines(the) == [
            "0.0s  hold SCSI-Command",
            "0.0s    #3 was held 2.0 s: set LUN=1",
            "0.0s    #2 was held 3.0 s: drop",
        ]
        the.control.edit(first.n, models.Edit(acts="set LUN=2", confirm=True))
        assert lines(the)[-1] == "0.0s    #1 is held: set LUN=2"
        del target


# --- what becomes of it --------------------------------------------------------------------------------------------


async def test_a_line_with_a_moment_is_a_rule_as_it_stands() -> None:
    async with stand() as the:
        recording(the)
        the.arm("drop SCSI-Response where StatSN == 7 nth 2")
        the.arm("delay 200ms Data-In every 3")
        assert rules_of(saved(the)) == [
            "drop SCSI-Response where StatSN == 7 nth 2",
            "delay 200ms Data-In every 3",
        ]


async def test_what_was_done_at_once_is_done_as_long_behind_the_login(mock_clock: Clock) -> None:
    async with stand(patience=100) as the:
        await the.login()
        recording(the)
        mock_clock.jump(1.25)
        the.arm("inject Async AsyncEvent=1")
        mock_clock.jump(2)
        the.control.stall(1, models.Stall())
        mock_clock.jump(3)
        the.control.resume(1)
        the.control.kill(1, models.Kill(how="fin", end="target"))
        scenario = saved(the)
        assert rules_of(scenario) == [
            "inject Async AsyncEvent=1 full-feature nth 1 then 1.25s",
            "stall 3s end=both full-feature nth 1 then 3.25s",
            "close fin end=target full-feature nth 1 then 6.25s",
        ]
        assert scenario.timing.within == 13


async def test_what_was_held_is_held_as_long_and_changed_or_dropped_then(mock_clock: Clock) -> None:
    async with stand(patience=100) as the:
        initiator, _ = await the.login()
        recording(the)
        the.arm("hold SCSI-Command where W")
        await initiator.send(*(write(itt, itt) for itt in (2, 3, 4)))
        first, second, third = await the.held(3)
        mock_clock.jump(2)
        the.control.edit(second.n, models.Edit(acts="set LUN=1", confirm=True))
        the.control.edit(second.n, models.Edit(acts="corrupt header bits=2", confirm=True))
        the.control.release(second.n)
        the.control.drop(first.n)
        assert rules_of(saved(the)) == [
            "delay 2s; set LUN=1; corrupt header bits=2 SCSI-Command where W nth 2",
            "delay 2s; drop SCSI-Command where W nth 1",
        ], "of the third nobody knows yet how long it will be held"
        del third


async def test_a_rule_that_picks_for_itself_is_held_where_it_picked(mock_clock: Clock) -> None:
    async with stand(patience=100) as the:
        initiator, _ = await the.login()
        recording(the)
        the.arm("hold overtake=yes SCSI-Command nth 2 as n")
        await initiator.send(*(write(itt, itt) for itt in (2, 3)))
        (held,) = await the.held()
        mock_clock.jump(1)
        the.control.release(held.n)
        assert rules_of(saved(the)) == ["delay 1s overtake=yes SCSI-Command nth 2 as n"]


async def test_with_a_name_the_number_stands_before_it(mock_clock: Clock) -> None:
    async with stand(patience=100) as the:
        initiator, _ = await the.login()
        recording(the)
        the.arm("hold SCSI-Command as n")
        await initiator.send(*(write(itt, itt) for itt in (2, 3)))
        held = await the.held(2)
        mock_clock.jump(1)
        the.control.release(held[1].n)
        assert rules_of(saved(the)) == ["delay 1s SCSI-Command nth 2 as n"]


async def test_a_file_has_its_initiator_as_busy_as_it_was() -> None:
    async with stand(always=True) as the:
        initiator, target = await the.login()
        recording(the)
        for itt in range(2, 5):
            await initiator.send(write(itt, itt - 1))
            await target.pdu()
        the.arm("drop SCSI-Response nth 1")
        assert saved(the).traffic["depth"] == "3"
        await target.send(response(2, 2), response(3, 3))
        await initiator.pdu()
        assert saved(the).traffic["depth"] == "3", "the most counts"
        assert _DEEPEST >= 3


async def test_what_is_armed_is_written_when_that_is_asked_for_or_nothing_was_recorded() -> None:
    async with stand() as the:
        await the.login()
        the.control.arm(models.Arming(scenario="lost"))
        the.arm("note once")
        the.arm("drop R2T")
        the.control.switch_scenario("line-2", models.RuleSwitch(armed=False))
        the.arm("drop NOP-In")
        armed = ["drop SCSI-Command nth 1", "drop NOP-In"]
        assert rules_of(saved(the)) == armed
        assert next(rule.name for rule in saved(the).rules) == "hole"
        recording(the)
        the.arm("drop NOP-Out")
        assert rules_of(saved(the)) == ["drop NOP-Out"]
        assert rules_of(saved(the, models.Saving(what="armed"))) == [*armed, "drop NOP-Out"]


@pytest.mark.parametrize(
    ("saving", "message"),
    [
        (models.Saving(), "no rule is armed that a file could say"),
        (models.Saving(what="armed"), "no rule is armed that a file could say"),
        (models.Saving(what="recorded"), "nothing was recorded that a file could say"),
    ],
)
async def test_where_there_is_nothing_no_file_is_made(saving: models.Saving, message: str) -> None:
    async with stand() as the:
        refusal = refused(lambda: the.control.save("mine", saving))
        assert (refusal.status, refusal.problem.message) == (409, message)


@pytest.mark.parametrize("name", ["no name", "a/b", ""])
async def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    async with stand() as the:
        the.arm("drop R2T")
        assert refused(lambda: the.control.save(name, models.Saving())).status == 409


# --- run again -----------------------------------------------------------------------------------------------------


async def _traffic(the: Stand, initiator: Peer, target: Peer) -> list[Pdu]:
    """Send what the recording saw; give what the target gets."""
    await initiator.send(write(2, 1), write(3, 2), ping(8, 3), write(4, 3))
    if the.control.rules()[0].text.startswith("hold"):
        first, second, third = await the.held(3)
        the.control.edit(second.n, models.Edit(acts="set CDB.LBA=2048", confirm=True))
        for one in (third, second):
            the.control.release(one.n)
        the.control.drop(first.n)
    return [await target.pdu() for _ in range(3)]


async def test_what_was_done_by_hand_is_done_again_by_the_file() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        recording(the)
        the.arm("hold SCSI-Command")
        by_hand = await _traffic(the, initiator, target)
        text = the.control.save("mine", models.Saving()).text
    async with stand(load(text, file="mine.yaml", acts=SPECS)) as the:
        initiator, target = await the.login()
        by_file = await _traffic(the, initiator, target)
    assert by_file == by_hand
    assert [pdu["ITT"] for pdu in by_hand] == [3, 8, 4]
