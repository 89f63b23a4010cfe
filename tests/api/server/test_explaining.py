from __future__ import annotations

from iscsiproxy.api import models
from iscsiproxy.api.server.explaining import _MOST, Explaining
from iscsiproxy.engine import SPECS
from iscsiproxy.language.line import load_line
from iscsiproxy.language.spec import Scenario
from iscsiproxy.session.events import Fired, Received
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.api.server.stand import ping, response, stand, write
from tests.engine.dialogue import Dialogue, nop_out

__all__: list[str] = []

_GAP = "  PDUs were not looked at all the time: what came meanwhile is not in this"


def line(text: str, name: str = "x") -> Scenario:
    return load_line(text, name=name, acts=SPECS)


def explaining(*scenarios: Scenario, seeing: bool = True) -> Explaining:
    one = Explaining(Dialogue().state, ())
    one.seeing = seeing
    for scenario in scenarios:
        one.add(scenario, 0.0)
    return one


def came(pdu: Pdu, n: int = 1, at: float = 0.0) -> Received:
    return Received(n=n, at=at, conn=1, leg=End.INITIATOR, pdu=pdu)


def lines_of(one: Explaining, rule: str | None = None) -> list[tuple[str, ...]]:
    return [explanation.lines for explanation in one.explanations(rule)]


def test_the_nearest_miss_is_told() -> None:
    one = explaining(line("drop NOP-Out where ITT == 7"))
    one(came(nop_out(9, 10), n=5))
    ((explanation),) = one.explanations(None)
    assert (explanation.rule, explanation.fired) == ("x/#1", 0)
    assert explanation.lines[0] == "rule x/#1 (line:1): never fired"
    assert "    1 seen, none matched; the nearest:" in explanation.lines
    assert explanation.lines[-1] == "        not `ITT == 0x7`: ITT is 0x9"


def test_one_rule_or_one_scenario_is_asked_for() -> None:
    one = explaining(line("drop NOP-Out", "a"), line("drop NOP-Out", "ab"))
    assert [explanation.rule for explanation in one.explanations("a")] == ["a/#1"]
    assert [explanation.rule for explanation in one.explanations("ab/#1")] == ["ab/#1"]
    assert len(one.explanations(None)) == 2


def test_what_was_armed_while_nobody_looked_says_so() -> None:
    one = explaining(line("drop NOP-Out", "a"), seeing=False)
    one.seeing = True
    one.add(line("drop NOP-Out", "b"), 0.0)
    first, second = lines_of(one)
    assert (first[-1] == _GAP, second[-1] == _GAP) == (True, False)
    one.look_away()
    one.seeing = True
    assert [lines[-1] for lines in lines_of(one)] == [_GAP] * 2


def test_what_was_done_is_known_although_nobody_looked() -> None:
    one = explaining(line("drop NOP-Out"), seeing=False)
    one(Fired(n=1, at=0, conn=1, rule="x/#1", act="drop", of=None, label="NOP-Out", text="not sent"))
    ((explanation),) = one.explanations(None)
    assert explanation.fired == 1
    assert explanation.lines[0] == "rule x/#1 (line:1): fired once"


def test_times_run_from_when_a_rule_has_come() -> None:
    one = explaining()
    one.add(line("note now when 60s", "late"), 100.0)
    one(came(nop_out(9, 10), at=110.0))
    assert "    this time has not passed" in lines_of(one, "late")[0]
    one.add(line("note now when 60s", "later"), 40.0)
    one(came(nop_out(9, 10), at=110.0))
    assert "    this time has not passed" not in lines_of(one, "later")[0]


def test_one_of_the_same_name_begins_anew() -> None:
    one = explaining(line("drop NOP-Out where ITT == 7"))
    one(came(nop_out(9, 10)))
    one.add(line("drop NOP-Out where ITT == 7"), 0.0)
    ((lines),) = lines_of(one)
    assert "    nothing of this kind was seen" in lines


def test_the_oldest_is_forgotten() -> None:
    one = explaining(*(line("drop NOP-Out", f"s{number}") for number in range(_MOST + 1)))
    names = [explanation.rule for explanation in one.explanations(None)]
    assert (len(names), names[0]) == (_MOST, "s1/#1")


def test_what_breaks_in_it_costs_nothing_and_is_told() -> None:
    def broken(*_: object) -> Snapshot:
        raise ZeroDivisionError("boom")

    one = Explaining(broken, [line("drop NOP-Out where conn.CID == 1")])
    one.seeing = True
    for n in (1, 2):
        one(came(nop_out(9, 10), n=n))
    assert lines_of(one)[0][-1] == "  it can be explained no further: ZeroDivisionError('boom')"
    assert repr(one) == "<Explaining 1 scenarios, broken>"


def test_no_secret_is_told() -> None:
    one = explaining(line('drop Login-Request where text.CHAP_R == "0x123456789a"'))
    login = Pdu(bytes([0x43]) + bytes(47)).with_data(b"CHAP_R=0xfedcba9876\0")
    one(came(login))
    assert "fedcba9876" not in repr(lines_of(one))
    assert "123456789a" not in repr(lines_of(one))


# --- in a run ------------------------------------------------------------------------------------------------------


async def test_in_a_run_it_says_why_not_from_the_first_question_on() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        the.arm("drop SCSI-Command where EDTL == 512")
        await initiator.send(write(2, 1))
        await target.pdu()
        ((before),) = the.control.explain(models.ExplanationQuery(rule="line-1"))
        assert "    nothing of this kind was seen" in before.lines
        await initiator.send(write(3, 2), ping(8))
        await target.pdu()
        await target.pdu()
        ((behind),) = the.control.explain(models.ExplanationQuery(rule="line-1/#1"))
        assert "        not `EDTL == 512`: EDTL is 4096" in behind.lines
        assert behind.lines[-1] == _GAP


async def test_in_a_run_what_has_fired_is_known_without_a_question() -> None:
    async with stand() as the:
        initiator, target = await the.login()
        the.arm("drop SCSI-Command nth 1")
        await initiator.send(write(2, 1), ping(8))
        await target.pdu()
        await target.send(response(2, 2))
        await initiator.pdu()
        ((one),) = the.control.explain(models.ExplanationQuery())
        assert (one.rule, one.fired) == ("line-1/#1", 1)
