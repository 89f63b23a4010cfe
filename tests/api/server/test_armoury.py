from __future__ import annotations

import pytest

from iscsiproxy.api import models
from iscsiproxy.api.server.armoury import _DONE_KEPT
from iscsiproxy.language.rendering import as_line
from iscsiproxy.wire.opcodes import Opcode
from tests.api.server.stand import ping, refused, stand, write
from tests.proxy.fakes import scenario

__all__: list[str] = []

_RULES = "victim: target\nparams: {nth: 1}\nrules:\n"
_FILE = f"scenario: mine\n{_RULES}  - name: hole\n    when: SCSI-Command nth $nth\n    do: drop\n"
_BROKEN = f"scenario: mine\n{_RULES}  - when: R2T where Bogus\n    do: drop\n  - when: R2T\n    do: dorp\n"


# --- what is read --------------------------------------------------------------------------------------------------


async def test_a_line_a_text_and_one_that_ships_are_rules_alike() -> None:
    async with stand() as the:
        arm = the.control.arm
        assert [rule.name for rule in arm(models.Arming(line="drop R2T")).rules] == ["line-1/#1"]
        assert [rule.name for rule in arm(models.Arming(text=_FILE)).rules] == ["mine/hole"]
        assert [rule.name for rule in arm(models.Arming(scenario="lost")).rules] == ["lost/hole"]
        assert [(rule.name, rule.text) for rule in the.control.rules()] == [
            ("line-1/#1", "drop R2T"),
            ("mine/hole", "drop SCSI-Command nth 1"),
            ("lost/hole", "drop SCSI-Command nth 1"),
        ]


async def test_a_line_is_shown_as_it_was_typed() -> None:
    async with stand() as the:
        (rule,) = the.control.arm(models.Arming(line="  delay   200ms   Data-In every 3 ")).rules
        assert rule.text == "delay   200ms   Data-In every 3"


async def test_parameters_and_axes_choose_one_run() -> None:
    async with stand() as the:
        pings = models.Arming(scenario="pings", params={"what": "NOP-In", "nth": "7"})
        first, second = the.control.check(pings).rules
        assert (first.text, first.optional, second.optional) == ("drop NOP-In nth 7", False, True)
        (line,) = the.control.check(models.Arming(line="drop R2T nth $n", params={"n": "3"})).rules
        assert line.text == "drop R2T nth $n"


@pytest.mark.parametrize(
    ("asked", "status", "message", "hint"),
    [
        (models.Arming(), 400, "expected one of `line`, `text` and `scenario`, got none of them", None),
        (models.Arming(line="x", scenario="y"), 400, "got line and scenario", None),
        (models.Arming(scenario="lots"), 404, "no scenario is called lots", "did you mean lost?"),
        (models.Arming(scenario="qqq"), 404, "no scenario is called qqq", None),
        (models.Arming(scenario="pings"), 400, "pings has a matrix of 2 runs: choose one", "such as what=NOP-Out"),
        (models.Arming(scenario="pings", params={"nht": "1"}), 400, "has no parameter 'nht'", "did you mean nth?"),
        (models.Arming(scenario="lost", params={"a": "1"}), 400, "has no parameter 'a'", "there are: none"),
        (models.Arming(scenario="pings", params={"qq": "1"}), 400, "no parameter 'qq'", "there are: nth, what"),
        (models.Arming(scenario="acting"), 400, "acting wants an initiator of its own", "`iscsiproxy test` has one"),
        (models.Arming(text=_FILE, conn=1), 400, "`conn` and `name` go with a `line` only", None),
        (models.Arming(text=_FILE, name="x"), 400, "`conn` and `name` go with a `line` only", None),
        (models.Arming(line="drop R2T", conn=5), 404, "there is no connection 5", "there are: 1, 2"),
        (models.Arming(line="close"), 409, "there are several connections: say on which to do this", "there are: 1, 2"),
        (models.Arming(line="drop R2T", name="begun"), 409, "begun is here already", "take it out first, or switch it"),
    ],
)
async def test_what_is_refused_says_why_and_what_would_do(
    asked: models.Arming, status: int, message: str, hint: str | None
) -> None:
    async with stand(scenario("  - {when: R2T, do: {note: x}}\n", "begun")) as the:
        await the.login()
        await the.login()
        refusal = refused(lambda: the.control.arm(asked))
        assert refusal.status == status
        assert message in refusal.problem.message
        assert (refusal.problem.hint or "").startswith(hint or "")
        assert (refusal.problem.hint is None) is (hint is None)


async def test_all_that_is_wrong_with_a_file_is_told_with_its_name() -> None:
    async with stand() as the:
        problem = refused(lambda: the.control.arm(models.Arming(text=_BROKEN, file="mine.yaml"))).problem
        assert [(one.file, one.line) for one in (problem, *problem.others)] == [("mine.yaml", 5), ("mine.yaml", 8)]
        assert the.control.rules() == ()


async def test_a_line_of_now_wants_a_connection_unless_it_needs_none() -> None:
    async with stand() as the:
        refusal = refused(lambda: the.arm("close"))
        assert (refusal.status, refusal.problem.message) == (409, "there is no connection to do this on")
        assert the.arm("note begun").rules[0].conn is None
        assert the.arm("drop R2T").rules[0].conn is None
        await the.login()
        assert the.arm("stall 1ms").rules[0].conn == 1


# --- names ---------------------------------------------------------------------------------------------------------


async def test_lines_have_numbers_that_are_not_given_twice() -> None:
    async with stand() as the:
        assert the.arm("drop R2T").scenario == "line-1"
        the.control.remove("line-1")
        assert the.arm("drop R2T").scenario == "line-2"
        assert the.arm("drop R2T", name="mine").scenario == "mine"
        assert the.arm("drop R2T", name="line-4").scenario == "line-4"
        assert [the.arm("drop R2T").scenario for _ in range(2)] == ["line-3", "line-5"], "that one was taken"
        assert refused(lambda: the.arm("drop R2T", name="line-5")).status == 409


async def test_what_was_taken_out_may_come_again() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        for itt in (2, 4):
            the.control.arm(models.Arming(scenario="lost"))
            assert refused(lambda: the.control.arm(models.Arming(scenario="lost"))).status == 409
            await initiator.send(write(itt, 1), write(itt + 1, 2))
            assert (await target.pdu())["ITT"] == itt + 1
            assert [rule.fired for rule in the.control.remove("lost")] == [1]


# --- what is in force ----------------------------------------------------------------------------------------------


async def test_a_rule_is_shown_with_what_it_has_done() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        the.arm("hold SCSI-Command")
        the.arm("set LUN=1 NOP-In")
        the.arm("corrupt ahs NOP-Out")
        await initiator.send(write(2, 1), write(3, 2), ping(8))
        held = await the.held(2)
        the.control.release(held[0].n)
        the.control.drop(held[1].n)
        assert (await target.pdu())["ITT"] == 2
        assert (await target.pdu()).opcode == Opcode.NOP_OUT
        first, second, third = the.control.rules()
        assert (first.matched, first.fired, first.expired, first.waiting) == (2, 1, 1, 0)
        assert (second.matched, second.fired) == (0, 0)
        assert (third.matched, third.fired, third.failed) == (1, 0, 1)


async def test_what_waits_is_counted() -> None:
    async with stand() as the:
        initiator, _ = await the.login()
        the.arm("hold SCSI-Command")
        the.arm("delay 50s; note late")
        await initiator.send(write(2, 1), write(3, 2))
        await the.held(2)
        assert [rule.waiting for rule in the.control.rules()] == [2, 1]


async def test_lines_that_are_done_do_not_pile_up() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        the.arm("delay 3600s; note late")
        the.arm("drop R2T")
        for number in range(3 * _DONE_KEPT):
            the.arm(f"note {number}")
        names = [rule.name for rule in the.control.rules()]
        assert names[:2] == ["line-1/#1", "line-2/#1"], "one that waits for something is not done"
        assert len(names) == 2 + _DONE_KEPT + 1
        assert names[-1] == f"line-{2 + 3 * _DONE_KEPT}/#1"
        await initiator.send(ping(8))
        assert (await target.pdu())["ITT"] == 8


async def test_rules_of_machines_are_rules_too() -> None:
    text = (
        "scenario: m\nvictim: target\nmachines:\n  m:\n    states:\n"
        "      a:\n        - {name: one, when: NOP-Out, do: {goto: b}}\n"
        "      b:\n        - {name: two, when: NOP-Out, do: drop}\n"
    )
    async with stand() as the:
        initiator, target = await the.login()
        checked = the.control.check(models.Arming(text=text)).rules
        assert checked == the.control.arm(models.Arming(text=text)).rules
        assert [(rule.name, rule.armed) for rule in checked] == [("m/one", True), ("m/two", True)]
        await initiator.send(ping(7), ping(8), write(2, 1))
        assert [(await target.pdu())["ITT"] for _ in range(2)] == [7, 2]
        assert [rule.fired for rule in the.control.rules()] == [1, 1]


async def test_where_a_scenario_came_from_is_known() -> None:
    begun = scenario("  - {when: R2T, do: {note: x}}\n", "begun")
    async with stand(begun) as the:
        the.arm("drop R2T")
        the.control.arm(models.Arming(scenario="lost"))
        armoury = the.control._armoury
        assert armoury.origin("begun") is None
        line, shipped = armoury.origin("line-1"), armoury.origin("lost")
        assert line is not None
        assert shipped is not None
        assert line.line is not None
        assert (line.line.text, line.once, shipped.line) == ("drop R2T", False, None)
        assert the.control.rules()[0].text == as_line(begun.rules[0])
        assert repr(armoury) == "<Armoury 2 scenarios by hand>"
