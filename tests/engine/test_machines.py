from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from iscsiproxy.engine import SPECS, Engine
from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.machines import ActiveMachine
from iscsiproxy.engine.rules import ActiveRule
from iscsiproxy.language import load
from iscsiproxy.session.events import IoDone
from iscsiproxy.wire.opcodes import End
from tests.engine.dialogue import Dialogue, data_out, nop_out, r2t, read, write

__all__: list[str] = []


def machine(states: str, *, per: str = "run", more: str = "") -> str:
    """Write a machine called m; `states` has a line for each rule, `state | when | do`."""
    lines = [f"{more}machines:", "  m:", f"    per: {per}", "    states:"]
    last = ""
    for line in states.strip().splitlines():
        state, when, do = (part.strip() for part in line.split("|"))
        if state != last:
            lines.append(f"      {state}:")
            last = state
        lines.append(f"        - when: {when}\n          do: {do}")
    return "\n".join(lines)


def test_the_first_state_is_the_start_and_a_rule_is_in_force_in_its_state_only() -> None:
    talk = Dialogue(
        machine(
            """
            a | R2T | {note: in a}
            a | NOP-Out | {goto: b}
            b | R2T | {note: in b}
            b | NOP-Out | {goto: a}
            """
        )
    )
    talk.say(r2t(2, 5), nop_out(9, 10), r2t(2, 5), nop_out(9, 11), r2t(2, 5))
    assert talk.told("noted") == ["m.a#1: in a", "m.b#1: in b", "m.a#1: in a"]


def test_what_is_changed_in_a_state_is_changed_in_it_only() -> None:
    talk = Dialogue(machine("a | Data-Out | [drop, {goto: b}]\nb | Data-Out | [pass, {goto: a}]"))
    assert [pdu["DataSN"] for pdu in talk.say(*(data_out(2, sn) for sn in range(6)))] == [1, 3, 5]


def test_picks_start_anew_on_entry_and_counts_add_up() -> None:
    talk = Dialogue(
        machine(
            """
            a | R2T nth 2 | {note: second}
            a | NOP-Out | {goto: a}
            """
        )
    )
    talk.say(r2t(2, 5), r2t(2, 5), r2t(2, 5))
    assert len(talk.told("noted")) == 1
    talk.say(nop_out(9, 10), r2t(2, 5), r2t(2, 5), nop_out(9, 11), r2t(2, 5))
    assert len(talk.told("noted")) == 2
    assert talk.counts("m.a#1") == {"matched": 2, "fired": 2}
    assert talk.counts("m.a#2") == {"matched": 2, "fired": 2}


def test_sequences_start_anew_on_entry() -> None:
    talk = Dialogue(machine("a | R2T then Data-Out | {note: now}\na | NOP-Out | {goto: a}"))
    talk.say(r2t(2, 5), nop_out(9, 10), data_out(2, 0))
    assert talk.told("noted") == []
    talk.say(r2t(2, 5), data_out(2, 0))
    assert talk.told("noted") == ["m.a#1: now"]


def test_durations_run_from_entry_and_die_with_the_state() -> None:
    talk = Dialogue(
        machine(
            """
            a | 5s | {note: five in a}
            a | NOP-Out | {goto: b}
            b | 3s | [{note: three in b}, {goto: a}]
            """
        )
    )
    talk.tick(4)
    talk.say(nop_out(9, 10))
    talk.tick(2.9)
    assert talk.told("noted") == []
    talk.tick(0.2)
    assert talk.told("noted") == ["m.b#1: three in b"]
    talk.tick(4.8)
    assert len(talk.told("noted")) == 1
    talk.tick(0.2)
    assert talk.told("noted")[1:] == ["m.a#1: five in a"]


def test_a_range_is_drawn_anew_on_every_entry() -> None:
    talk = Dialogue(machine("a | 1s..2s | {goto: a}"), connect=False)
    times = []
    for _ in range(4000):
        before = len(talk.reports)
        talk.tick(0.001)
        times += [talk.now] * (len(talk.reports) - before)
    lengths = [round(b - a, 3) for a, b in zip([0.0, *times], times, strict=False)]
    assert len(lengths) >= 2
    assert all(0.99 <= length <= 2.01 for length in lengths)
    assert len(set(lengths)) == len(lengths)


def test_a_state_is_left_before_the_next_pdu_is_matched() -> None:
    talk = Dialogue(machine("a | R2T | {goto: b}\na | Data-Out | drop\nb | 1s | {goto: a}"))
    assert [pdu.opcode for pdu in talk.say(data_out(2, 0), r2t(2, 5), data_out(2, 1))] == [0x31, 0x05]


def test_a_rule_that_has_matched_acts_although_another_has_left_the_state() -> None:
    talk = Dialogue(
        machine(
            """
            a | R2T | {goto: b}
            a | R2T | {note: seen}
            a | R2T | [{note: late}, {goto: c}]
            b | 1s | {note: b}
            c | 1s | {note: c}
            """
        )
    )
    talk.say(r2t(2, 5))
    assert talk.told("noted") == ["m.a#2: seen", "m.a#3: late"]
    assert talk.told("shadowed") == ["m.a#3: goto: state `a` has been left already"]
    assert talk.counts("m.a#3") == {"matched": 1, "shadowed": 1}
    talk.tick(1)
    assert talk.told("noted")[2:] == ["m.b#1: b"]


def test_a_list_that_was_begun_goes_on_but_does_not_move_a_machine_that_has_gone_on() -> None:
    talk = Dialogue(
        machine(
            """
            a | R2T | [{delay: 5s}, {note: done}, {goto: c}]
            a | NOP-Out | {goto: b}
            b | R2T | {note: b}
            c | R2T | {note: c}
            """
        )
    )
    talk.say(r2t(2, 5), nop_out(9, 10))
    assert [pdu.opcode for pdu in talk.tick(5)] == [0x31]
    assert talk.told("noted") == ["m.a#1: done"]
    assert talk.told("shadowed") == ["m.a#1: goto: state `a` has been left already"]
    talk.say(r2t(2, 6))
    assert talk.told("noted")[1:] == ["m.b#1: b"]


def test_until_ends_a_rule_for_this_stay_in_the_state() -> None:
    text = """
machines:
  m:
    states:
      a:
        - {when: Data-Out, do: {note: x}, until: R2T}
        - {when: NOP-Out, do: {goto: a}}
"""
    talk = Dialogue(text)
    talk.say(data_out(2, 0), r2t(2, 5), data_out(2, 1))
    assert len(talk.told("noted")) == 1
    talk.say(nop_out(9, 10), data_out(2, 2))
    assert len(talk.told("noted")) == 2


def test_machines_run_side_by_side_behind_the_rules() -> None:
    text = """
rules:
  - {when: R2T, do: {note: rule}, name: first}
machines:
  one: {states: {a: [{when: R2T, do: [{note: one}, {goto: b}]}], b: [{when: NOP-Out, do: {goto: a}}]}}
  two: {states: {a: [{when: R2T, do: {note: two}, name: mine}]}}
"""
    talk = Dialogue(text)
    talk.say(r2t(2, 5), r2t(2, 6))
    assert talk.told("noted") == ["first: rule", "one.a#1: one", "mine: two", "first: rule", "mine: two"]
    assert talk.engine.unfired() == ("x/one.b#1",)


def test_machines_share_the_captures_of_the_scenario() -> None:
    text = """
rules:
  - {when: R2T of n, do: {note: of n}}
machines:
  one: {states: {a: [{when: SCSI-Command nth 1 as n, do: {note: bound}}]}}
  two: {states: {a: [{when: n, do: {goto: b}}], b: [{when: Data-Out of n, do: {note: behind it}}]}}
"""
    talk = Dialogue(text)
    talk.say(write(2, 10), r2t(2, 5), r2t(3, 6), data_out(2, 0), data_out(3, 0))
    assert talk.told("noted") == ["one.a#1: bound", "#1: of n", "two.b#1: behind it"]


def test_one_instance_for_each_connection() -> None:
    talk = Dialogue(machine("a | R2T | {goto: b}\nb | Data-Out | drop", per="connection"))
    talk.connect(2, ISID=0x800000000002)
    talk.say(r2t(2, 5))
    assert talk.say(data_out(2, 0)) == []
    assert len(talk.say(data_out(2, 0), conn=2)) == 1


def test_durations_of_a_connection_run_from_its_beginning_and_act_on_it_alone() -> None:
    talk = Dialogue(machine("a | 3s | {close: rst}", per="connection"))
    talk.tick(1)
    talk.connect(2, ISID=0x800000000002)
    talk.tick(2)
    assert [one for one in talk.wire if isinstance(one, str)] == ["rst both"]
    assert talk.counts() == {"matched": 1, "fired": 1}
    assert len(talk.say(nop_out(9, 10), conn=2)) == 1
    talk.tick(1)
    assert talk.counts() == {"matched": 2, "fired": 2}


def test_with_nothing_in_hand_an_act_acts_on_every_connection_of_the_run() -> None:
    talk = Dialogue(machine("a | 3s | {close: rst}"))
    talk.connect(2, ISID=0x800000000002)
    talk.tick(3)
    assert talk.wire[-2:] == ["rst both", "rst both"]


def test_one_instance_for_each_session_acts_on_its_connections() -> None:
    talk = Dialogue(
        machine("a | NOP-Out | {goto: b}\nb | 1s | {close: fin}\nb | Data-Out | drop", per="session"), connect=False
    )
    talk.connect(1, ISID=1, TSIH=7)
    talk.connect(2, ISID=1, TSIH=7)
    talk.connect(3, ISID=2, TSIH=8)
    talk.say(nop_out(9, 10), conn=1)
    assert talk.say(data_out(2, 0), conn=2) == [], "the session is in state b"
    assert len(talk.say(data_out(2, 0), conn=3)) == 1, "another session is not"
    talk.tick(1)
    assert [one for one in talk.wire if isinstance(one, str)] == ["fin both", "fin both"]


def test_before_there_is_a_session_its_connection_stands_for_it() -> None:
    talk = Dialogue(machine("a | connect | {goto: b}\nb | R2T | {note: b}", per="session"))
    talk.say(r2t(2, 5))
    assert talk.told("noted") == ["m.b#1: b"]


def test_a_connection_that_joins_a_session_joins_its_machine() -> None:
    talk = Dialogue(machine("a | 5s | {note: timer}\na | NOP-Out | {goto: b}\nb | R2T | {note: b}", per="session"))
    talk.tick(1)
    talk.connect(2, ISID=0x80123456789A, TSIH=7)
    talk.say(nop_out(9, 10))
    talk.say(r2t(2, 5), conn=2)
    talk.tick(10)
    assert talk.told("noted") == ["m.b#1: b"], "the timer of the second connection's own machine is dead"


def test_armed_late_it_begins_on_the_connections_that_are_there() -> None:
    talk = Dialogue("rules: [{when: R2T, do: drop}]", connect=False)
    scenario = load(
        "scenario: x\nvictim: target\n" + machine("a | 1s | {close: rst}", per="connection"), file="x.yaml", acts=SPECS
    )
    talk.engine = Engine([scenario], rng=Random(1), state=talk.state, armed=False)
    talk.connect(1)
    talk.connect(2, ISID=0x800000000002)
    talk.tick(5)
    assert talk.told("fired") == []
    talk._carry_out(talk.engine.start(talk.now))
    talk.tick(1)
    assert talk.wire[-2:] == ["rst both", "rst both"]


def test_the_first_fault_and_captures_move_a_machine() -> None:
    talk = Dialogue(
        machine("a | fault | {goto: b}\nb | R2T | {note: b}", more="rules: [{when: Data-Out nth 1, do: drop}]\n")
    )
    talk.say(r2t(2, 5))
    assert talk.told("noted") == []
    talk.say(data_out(2, 0), r2t(2, 5))
    assert talk.told("noted") == ["m.b#1: b"]


@pytest.mark.parametrize("moment", ["0s", "fault"])
def test_a_machine_that_runs_in_circles_stands_still(moment: str) -> None:
    talk = Dialogue(
        machine(f"a | {moment} | {{goto: b}}\nb | {moment} | {{goto: a}}", more="rules: [{when: R2T, do: drop}]\n")
    )
    talk.say(r2t(2, 5))
    talk.tick(0)
    (told,) = talk.told("failed")
    assert told.endswith("goto: 1000 changes of state in a second: the machine stands still")
    assert len(talk.told("fired")) == 1001
    assert len(talk.say(nop_out(9, 10))) == 1


def test_pdus_may_move_a_machine_as_often_as_they_come() -> None:
    talk = Dialogue(machine("a | NOP-Out | {goto: b}\nb | NOP-Out | {goto: a}"))
    talk.say(*(nop_out(9, 10) for _ in range(1200)))
    assert talk.told("failed") == []
    assert talk.counts("m.a#1") == {"matched": 600, "fired": 600}


def test_the_end_stops_machines() -> None:
    talk = Dialogue(machine("a | 1s | {goto: b}\nb | 1s | {goto: a}"))
    talk.tick(1)
    talk.end()
    talk.tick(5)
    assert len(talk.told("fired")) == 1


@pytest.mark.parametrize(("per", "count"), [("run", 1), ("session", 0), ("connection", 0)])
def test_what_belongs_to_no_connection_is_seen_by_the_machine_of_the_run_alone(per: str, count: int) -> None:
    talk = Dialogue(machine("a | io-error | {note: seen}", per=per))
    talk._carry_out(talk.engine.happened(IoDone(n=talk.next_n(), at=0.0, conn=0, what="error", text="x")))
    assert len(talk.told("noted")) == count


def test_the_flapping_link_of_the_manual() -> None:
    text = """scenario: link_flaps
victim: initiator
traffic: {io: verify, depth: 8}
machines:
  link:
    states:
      up:
        - when: 3s..6s
          do: {goto: down}
      down:
        - when: 0s
          do: {close: rst}
        - when: connect
          do: refuse
        - when: 5s
          do: {goto: up}
"""
    talk = Dialogue(text)
    talk.tick(6)
    assert talk.wire[-1] == "rst both"
    talk.connect(2)
    assert talk.wire[-1] == "refused 2"
    talk.tick(5)
    talk.connect(3)
    assert len(talk.say(read(2, 10), conn=3)) == 1
    assert talk.engine.unfired() == ()


# --- the parts ---


class Floor:
    """An engine that follows nothing."""

    def __init__(self, session: Callable[[int], int] = lambda _: 0) -> None:
        self.now = 0.0
        self.session = session
        self.brought: list[str] = []

    def bring(self, rule: ActiveRule) -> None:
        self.brought.append(rule.name)


def built(text: str, floor: Floor) -> ActiveMachine:
    scenario = load(f"scenario: x\nvictim: target\n{text}", file="x.yaml", acts=SPECS)
    return ActiveMachine(scenario, scenario.machines[0], Book(), floor)


def test_a_machine_names_its_state() -> None:
    floor = Floor()
    made = built(machine("a | R2T | {goto: b}\nb | R2T | drop"), floor)
    made.start([])
    assert floor.brought == ["x/m.a#1"]
    assert repr(made) == "<ActiveMachine x/m 1 instances>"
    (copy,) = made.copies()
    assert repr(copy.instance) == "<Instance x/m None in a>"
    assert [rule.in_force for rule in made.rules] == [False, False], "what stands among the rules is a pattern only"


def test_instances_do_not_pile_up() -> None:
    talk = Dialogue(machine("a | 1s | {note: x}", per="connection"), connect=False)
    (made,) = talk.engine._machines
    for conn in range(1, 9000):
        look = talk.engine._look(conn, End.INITIATOR, n=0)
        made.instance(look)
    assert len(list(made.copies())) == 8192
