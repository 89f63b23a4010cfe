from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
import trio
import trio.testing

from iscsiproxy.api import models
from iscsiproxy.api.server.control import Control
from iscsiproxy.api.server.presence import Run
from iscsiproxy.api.server.refusal import Refusal
from iscsiproxy.peers.initiator import commands
from iscsiproxy.peers.initiator.session import Session, open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import MemoryMedium
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.server import TargetServer
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.proxy import Address, Proxy, Route
from iscsiproxy.proxy.relay import Relay
from iscsiproxy.runs.stage import IQN
from tests.api.server.stand import LIBRARY, Reader, Stand, ping, refused, stand, write
from tests.proxy.fakes import scenario

__all__: list[str] = []


def arming(line: str, **values: Any) -> models.Arming:
    return models.Arming(line=line, **{"confirm": True, **values})


# --- arming ----------------------------------------------------------------------------------------------------------


async def test_what_is_armed_acts_from_then_on_and_says_what_came_before() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        last = the.control.proxy().last
        armed = the.arm("drop SCSI-Command nth 1")
        assert (armed.scenario, armed.n, [rule.name for rule in armed.rules]) == ("line-1", last, ["line-1/#1"])
        reader = the.read(since=armed.n)
        await initiator.send(write(2, 1), write(3, 2))
        assert (await target.pdu())["ITT"] == 3
        assert (await reader.kind("fired")).n > armed.n
        (rule,) = the.control.rules()
        assert (rule.matched, rule.fired) == (1, 1)


@pytest.mark.parametrize("cut", [60, 300])
async def test_a_pdu_that_has_come_half_when_a_rule_comes_goes_whole(cut: int) -> None:
    async with stand() as the:
        initiator, target = await the.login()
        first, second = write(2, 1, b"x" * 512), write(3, 2, b"y" * 512)
        await initiator.raw(first.raw[:cut])
        begun = await target.exactly(cut)
        the.arm("drop SCSI-Command")
        await initiator.raw(first.raw[cut:] + second.raw + ping(8).raw)
        assert begun + await target.exactly(len(first.raw) - cut) == first.raw
        assert await target.pdu() == ping(8)


async def test_a_pdu_of_which_no_whole_header_has_come_is_seen_by_a_rule_that_comes() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        one = write(2, 1, b"x" * 512)
        await initiator.raw(one.raw[:20])
        await trio.testing.wait_all_tasks_blocked()
        the.arm("drop SCSI-Command")
        await initiator.raw(one.raw[20:] + ping(8).raw)
        assert await target.pdu() == ping(8)


async def test_a_line_of_now_is_done_when_that_is_answered() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        armed = the.arm("close rst")
        assert [(rule.once, rule.matched, rule.fired, rule.conn) for rule in armed.rules] == [(True, 1, 1, 1)]
        await initiator.until_reset()
        await target.until_reset()


async def test_a_rule_for_one_connection_acts_on_that_only() -> None:
    async with stand() as the:
        first, first_target = await the.login()
        second, second_target = await the.login()
        armed = the.arm("drop NOP-Out", conn=2)
        assert armed.rules[0].conn == 2
        await first.send(ping(5))
        await second.send(ping(6), write(7, 1))
        assert (await first_target.pdu())["ITT"] == 5
        assert (await second_target.pdu())["ITT"] == 7


_SOMETHING = "hold SCSI-Command nth 1"


async def _with_something_held(the: Stand) -> int:
    initiator, _ = await the.login()
    await the.login()
    the.arm(_SOMETHING)
    await initiator.send(write(2, 1))
    ((held),) = await the.held()
    return held.n


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (models.Arming(), 400),
        (models.Arming(line="drop R2T", text="x"), 400),
        (arming("dorp R2T"), 400),
        (arming("drop R2T where"), 400),
        (arming("close"), 409),
        (arming("drop R2T", conn=77), 404),
        (arming("drop R2T", name="line-1"), 409),
        (arming("drop R2T", name="by-hand"), 409),
        (arming("drop R2T", name="no such name!"), 400),
        (models.Arming(line="drop Data-Out"), 409),
        (models.Arming(text="scenario: x\nvictim: target\nrules:\n  - when: R2T\n    do: dorp\n"), 400),
        (models.Arming(text="x: ["), 400),
        (models.Arming(text="rules: []", conn=1), 400),
        (models.Arming(scenario="lots"), 404),
        (models.Arming(scenario="lost", params={"x": "1"}), 400),
        (models.Arming(scenario="pings"), 400),
        (models.Arming(scenario="pings", params={"what": "R2T"}), 400),
        (models.Arming(scenario="acting"), 400),
    ],
)
async def test_what_is_refused_changes_nothing(asked: models.Arming, status: int) -> None:
    async with stand() as the:
        await _with_something_held(the)
        before = the.state()
        assert refused(lambda: the.control.arm(asked)).status == status
        assert refused(lambda: the.control.check(asked)).status == status
        assert the.state() == before
        assert the.arm("drop R2T").scenario == "line-2", "and no name is used up"


async def test_what_is_only_checked_changes_nothing() -> None:
    async with stand() as the:
        await _with_something_held(the)
        before = the.state()
        told = the.control.check(arming("drop SCSI-Command nth 2"))
        assert the.state() == before
        assert told == the.control.arm(arming("drop SCSI-Command nth 2"))


#: The PDU that is held, and one that is not
_HELD, _OTHER = "held", "other"


@pytest.mark.parametrize(
    ("operation", "given", "status"),
    [
        ("release", (_OTHER,), 404),
        ("step", (_OTHER,), 404),
        ("drop", (_OTHER,), 404),
        ("held_pdu", (_OTHER,), 404),
        ("edit", (_OTHER, models.Edit(acts="set LUN=1")), 404),
        ("edit", (_HELD, models.Edit(acts="set CmdSN=7")), 409),
        ("edit", (_HELD, models.Edit(acts="drop", confirm=True)), 400),
        ("edit", (_HELD, models.Edit(acts="set Bogus=1", confirm=True)), 400),
        ("edit", (_HELD, models.Edit(acts="set LUN=1 SCSI-Command", confirm=True)), 400),
        ("edit", (_HELD, models.Edit(acts="set CmdSN=7; corrupt pad", confirm=True)), 409),
        ("pdu", (_HELD,), 404),
        ("kill", (9, models.Kill()), 404),
        ("stall", (9, models.Stall()), 404),
        ("resume", (9,), 404),
        ("resume", (1,), 409),
        ("connection", (9,), 404),
        ("session", (9,), 404),
        ("remove", ("line-9",), 404),
        ("switch_scenario", ("line-9", models.RuleSwitch(armed=False)), 404),
        ("switch_rule", ("line-1", "#9", models.RuleSwitch(armed=False)), 404),
        ("explain", (models.ExplanationQuery(rule="line-9"),), 404),
        ("events", (models.EventQuery(where="Bogus"),), 400),
    ],
)
async def test_what_cannot_be_done_changes_nothing(operation: str, given: tuple[Any, ...], status: int) -> None:
    async with stand() as the:
        n = await _with_something_held(the)
        before = the.state()
        arguments = [{_HELD: n, _OTHER: n + 1}.get(one, one) if isinstance(one, str) else one for one in given]
        assert refused(lambda: getattr(the.control, operation)(*arguments)).status == status
        assert the.state() == before


async def test_what_may_do_harm_wants_a_word_more_unless_the_target_is_scratch() -> None:
    line = models.Arming(line="drop Data-Out")
    edit = models.Edit(acts="set CDB.LBA=2048")
    async with stand() as the:
        n = await _with_something_held(the)
        refusal = refused(lambda: the.control.arm(line))
        assert (refusal.status, refusal.problem.error) == (409, "confirm")
        assert "`drop` makes a hole in what is written" in refusal.problem.message
        assert refused(lambda: the.control.edit(n, edit)).problem.error == "confirm"
        assert the.arm("drop Data-Out").rules
        assert the.control.edit(n, models.Edit(acts="set CDB.LBA=2048", confirm=True)).changes
    async with stand(scratch=True) as the:
        n = await _with_something_held(the)
        assert the.control.arm(line).rules
        assert the.control.edit(n, edit).changes


async def test_rules_are_switched_and_taken_out() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        the.control.arm(models.Arming(scenario="pings", params={"what": "NOP-Out", "nth": "1"}))
        assert [rule.armed for rule in the.control.switch_scenario("pings", models.RuleSwitch(armed=False))] == [
            False,
            False,
        ]
        await initiator.send(ping(5))
        assert (await target.pdu())["ITT"] == 5
        assert the.control.switch_rule("pings", "#1", models.RuleSwitch(armed=True)).armed
        await initiator.send(ping(6), ping(7))
        assert (await target.pdu())["ITT"] == 7
        assert [rule.fired for rule in the.control.remove("pings")] == [1, 0]
        assert the.control.rules() == ()
        assert the.control.arm(models.Arming(scenario="pings", params={"what": "NOP-Out"})).rules[0].fired == 0


async def test_everything_is_cleared_at_once() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        the.arm("hold SCSI-Command")
        the.arm("drop NOP-Out")
        await initiator.send(write(2, 1), ping(9), write(3, 2))
        await the.held(2)
        the.control.stall(1, models.Stall(end="initiator"))
        assert the.control.clear() == models.Cleared(rules=3, held=2, stalled=1, reset=())
        assert [(await target.pdu())["ITT"] for _ in range(3)] == [2, 9, 3]
        assert (the.control.rules(), the.control.held()) == ((), ())
        assert not the.relay._carrier._slots
        assert the.control.clear() == models.Cleared(rules=0, held=0, stalled=0, reset=())


async def test_who_was_told_different_things_is_reset_when_all_is_cleared() -> None:
    async with stand() as the:
        the.arm("set text.MaxBurstLength=512 Login-Request")
        initiator, target = await the.login()
        assert the.control.clear().reset == (1,)
        await initiator.until_reset()
        await target.until_reset()


# --- connections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["rst", "fin", "half"])
async def test_a_connection_is_closed(how: Any) -> None:
    async with stand() as the:
        _, target = await the.login()
        was = the.control.kill(1, models.Kill(how=how, end="target"))
        assert (was.id, was.target.closed) == (1, False)
        if how == "rst":
            await target.until_reset()
        else:
            assert await target.rest() == b""
        reader = the.read(since=0)
        closed = await reader.kind("closed")
        what = "RST" if how == "rst" else "FIN"
        assert (closed.leg, closed.text) == ("target", f"{what} on the target leg, by fault")


async def test_a_connection_is_stalled_until_it_is_resumed() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        stalled = the.control.stall(1, models.Stall(end="target"))
        assert (stalled.initiator.stalled, stalled.target.stalled) == (False, True)
        assert the.control.proxy().stalled == 1
        assert refused(lambda: the.control.stall(1, models.Stall())).status == 409
        both = the.control.stall(1, models.Stall(end="initiator"))
        assert both.initiator.stalled
        await initiator.send(ping(5))
        resumed = the.control.resume(1)
        assert (resumed.initiator.stalled, resumed.target.stalled) == (False, False)
        assert (await target.pdu())["ITT"] == 5
        assert refused(lambda: the.control.resume(1)).status == 409


async def test_a_stall_ends_by_itself_when_its_time_is_up() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        the.control.stall(1, models.Stall(at_most=0.01))
        await initiator.send(ping(5))
        assert (await target.pdu())["ITT"] == 5


async def test_stalls_of_rules_are_ended_by_hand_too_and_of_others_not() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        await the.login()
        the.arm("stall 50s NOP-Out nth 1")
        the.control.stall(2, models.Stall())
        await initiator.send(ping(5))
        await the.bench.until(lambda: the.control.connection(1).target.stalled)
        assert the.control.resume(1).target.stalled is False
        assert (await target.pdu())["ITT"] == 5
        assert the.control.connection(2).target.stalled


# --- the run as a whole ----------------------------------------------------------------------------------------------


async def test_the_run_tells_what_there_is() -> None:
    async with stand(always=True) as the:
        initiator, _ = await the.login()
        the.arm("hold SCSI-Command")
        the.arm("note now")
        await initiator.send(write(2, 1))
        await the.held()
        the.control.stall(1, models.Stall())
        reader = the.read()
        run = the.control.proxy()
        assert (run.sessions, run.connections, run.tasks, run.held, run.stalled, run.clients) == (1, 1, 1, 1, 1, 1)
        assert (run.rules, run.armed) == (3, 1), "what was done once is in force no more"
        assert [(route.listen, route.target) for route in run.routes] == [
            (str(route.listen), str(route.target)) for route in the.bench.routes
        ]
        assert run.timer is not None
        assert run.last >= the.control.held()[0].n
        assert (run.checked, run.findings, run.internal_errors, run.left_out) == (False, {}, (), 0)
        reader.stream.close()
        assert the.control.proxy().clients == 0


async def test_an_error_of_ours_is_told_with_the_run() -> None:
    async with stand() as the:
        the.control.crashed(ZeroDivisionError("boom"))
        assert the.control.proxy().internal_errors == ("ZeroDivisionError('boom')",)
        the.relay.crashes.clear()


async def test_without_a_judge_nothing_is_found() -> None:
    async with stand() as the:
        assert the.control.findings(models.FindingQuery()) == models.Findings(
            checked=False, profile="", findings=(), counts={}
        )


async def test_scenarios_from_the_start_are_rules_as_others_are() -> None:
    from_the_start = scenario("  - {name: seen, when: NOP-Out, do: {note: here}}\n", "begun")
    async with stand(from_the_start) as the:
        (rule,) = the.control.rules()
        assert (rule.name, rule.conn, rule.once) == ("begun/seen", None, False)
        assert the.control.explain(models.ExplanationQuery(rule="begun"))[0].rule == "begun/seen"
        assert refused(lambda: the.arm("drop R2T", name="begun")).status == 409
        the.control.remove("begun")
        assert the.control.rules() == ()


async def test_what_is_saved_is_what_is_armed() -> None:
    async with stand() as the:
        assert refused(lambda: the.control.save("x", models.Saving())).status == 409
        the.arm("drop SCSI-Response nth 1")
        saved = the.control.save("mine", models.Saving())
        assert saved.name == "mine"
        the.control.clear()
        armed = the.control.arm(models.Arming(text=saved.text))
        assert [(rule.scenario, rule.text) for rule in armed.rules] == [("mine", "drop SCSI-Response nth 1")]


async def test_what_is_recorded_is_told_and_begins_from_nothing() -> None:
    async with stand() as the:
        await the.login()
        assert the.control.record(models.RecordingSwitch(on=True)) == models.Recording(on=True, lines=())
        the.arm("drop SCSI-Response nth 1")
        the.control.kill(1, models.Kill())
        lines = the.control.record(models.RecordingSwitch(on=False)).lines
        assert [line.split("s  ", 1)[1] for line in lines] == ["drop SCSI-Response nth 1", "close rst end=both"]
        assert the.control.proxy().recording is False


def test_a_refusal_is_no_error_of_ours() -> None:
    assert not isinstance(Refusal(404, "x"), (AssertionError, KeyError))


# --- between peers of our own --------------------------------------------------------------------------------------

_BLOCKS = 256


@asynccontextmanager
async def _session() -> AsyncIterator[tuple[Control, Relay, Session]]:
    """Run a target and a proxy under control, and log in through it."""
    unit = LogicalUnit(0, MemoryMedium(_BLOCKS, 512), UnitIdentity.derive(IQN, 0), target_name=IQN)
    server = TargetServer(Node({IQN: Device({0: unit})}, TargetSettings()))
    async with trio.open_nursery() as nursery:
        with trio.fail_after(20):
            ((host, port), *_) = await nursery.start(server.serve, (("127.0.0.1", 0),))
            routes = [Route(Address("127.0.0.1", 0), Address(host, port))]
            proxy = Proxy(routes, rng=Random(1), open_to_rules=True)
            (route,) = await nursery.start(proxy.run)
            control = Control(proxy, Run(seed=1, library=LIBRARY, scratch=True))
            control.begin()
            settings = InitiatorSettings(target=IQN, initial_r2t=True, immediate_data=False)
            async with open_session((route.listen.host, route.listen.port), settings) as session:
                await session.command(0, commands.test_unit_ready())  # a new session is told that it is one
                assert proxy.relay is not None
                yield control, proxy.relay, session
                assert session.failure is None
            assert not proxy.relay.crashes
            assert not server.crashes
            nursery.cancel_scope.cancel()


async def test_io_goes_on_whatever_comes_and_goes_meanwhile() -> None:
    rng, done = Random(5), trio.Event()
    data = {lba: rng.randbytes(8 * 512) for lba in range(0, _BLOCKS, 8)}
    async with _session() as (control, relay, session), trio.open_nursery() as nursery:

        async def write_all() -> None:
            for lba, block in data.items():
                assert (await session.command(0, commands.write10(lba, 8), data_out=block)).good
            done.set()

        nursery.start_soon(write_all)
        count = 0
        while not done.is_set():
            count += 1
            armed = control.arm(
                models.Arming(line=rng.choice(["delay 1ms Data-Out", "hold SCSI-Command", "split 512 Data-Out"]))
            )
            stream = control.events(models.EventQuery(pdus=rng.random() < 0.5))
            with trio.move_on_after(0.002):
                await done.wait()
            for held in control.held():
                getattr(control, rng.choice(["release", "step"]))(held.n)
            stream.close()
            if rng.random() < 0.5:
                control.clear()
            else:
                control.remove(armed.scenario)
        control.clear()
        assert count > 1
        for lba, block in data.items():
            assert (await session.command(0, commands.read10(lba, 8), read_length=len(block))).data == block
        engine = relay.engine
        assert engine is not None
        assert not engine.waiting()
        assert not relay._carrier._slots


async def test_a_write_that_is_held_and_edited_goes_where_the_edit_says() -> None:
    block = b"\xa5" * 512
    async with _session() as (control, _, session), trio.open_nursery() as nursery:
        control.arm(models.Arming(line="hold SCSI-Command where W nth 1"))
        reader = Reader(control.events(models.EventQuery()))

        async def write_it() -> None:
            assert (await session.command(0, commands.write10(0, 1), data_out=block)).good

        nursery.start_soon(write_it)
        held = await reader.kind("decided", what="held")
        assert held.of is not None
        control.edit(held.of, models.Edit(acts="set CDB.LBA=9"))
        control.release(held.of)
        await reader.kind("fired", act="delay")
        reader.stream.close()
        while control.tasks(models.TaskQuery()):
            await trio.lowlevel.checkpoint()
        for lba, expected in ((0, bytes(512)), (9, block)):
            assert (await session.command(0, commands.read10(lba, 1), read_length=512)).data == expected


async def test_an_injected_command_is_answered_and_the_initiator_goes_on() -> None:
    async with _session() as (control, _, session):
        control.called()
        assert (await session.command(0, commands.test_unit_ready())).good
        told = await control.inject(models.Injection(pdu="SCSI-Command CDB=TEST_UNIT_READY"))
        assert told.answer is not None
        assert told.answer.label == "SCSI-Response"
        for _ in range(3):
            assert (await session.command(0, commands.test_unit_ready())).good
        assert await session.nop(b"still here", immediate=False) == b"still here"
