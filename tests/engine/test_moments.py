from __future__ import annotations

import pytest

from iscsiproxy.engine.commands import SetTimer
from iscsiproxy.wire.opcodes import End
from tests.engine.dialogue import Dialogue, data_out, nop_out, r2t, read, scsi_response, write


def noted(talk: Dialogue) -> int:
    return len(talk.told("noted"))


def rule(when: str, more: str = "") -> str:
    return f"rules:\n  - when: {when}\n    do: {{note: now}}{more}"


def test_steps_come_in_their_order_others_between() -> None:
    talk = Dialogue(rule("R2T then Data-Out then SCSI-Response"))
    talk.say(scsi_response(2, 101), data_out(2, 0), r2t(2, 5), scsi_response(2, 102), data_out(2, 0))
    assert noted(talk) == 0
    talk.say(nop_out(9, 10), scsi_response(2, 103))
    assert noted(talk) == 1


def test_the_last_pattern_is_met_again_by_every_match() -> None:
    talk = Dialogue(rule("R2T then Data-Out"))
    talk.say(r2t(2, 5), data_out(2, 0), data_out(2, 1))
    assert noted(talk) == 2


def test_one_pdu_meets_one_step() -> None:
    talk = Dialogue(rule("SCSI-Command then SCSI-Command"))
    talk.say(write(2, 10))
    assert noted(talk) == 0
    talk.say(write(3, 11))
    assert noted(talk) == 1


def test_a_time_behind_a_pattern_and_from_the_beginning() -> None:
    talk = Dialogue(rule("3s", "\n  - when: SCSI-Command then 1s\n    do: {note: later}"))
    talk.say(write(2, 10))
    talk.tick(0.99)
    assert noted(talk) == 0
    talk.tick(0.02)
    assert talk.told("noted") == ["#2: later"]
    talk.tick(2)
    assert talk.told("noted") == ["#2: later", "#1: now"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_range_is_drawn_with_the_seed(seed: int) -> None:
    times = {
        next(one.at for one in Dialogue(rule("3s..6s"), seed=seed).commands if isinstance(one, SetTimer))
        for _ in range(2)
    }
    assert len(times) == 1
    assert all(3 <= at <= 6 for at in times)


def test_a_list_is_whichever_comes_first_and_each_counts() -> None:
    talk = Dialogue("rules:\n  - when: [SCSI-Command nth 2, SCSI-Command where R]\n    do: {note: now}")
    talk.say(read(2, 10), write(3, 11), write(4, 12))
    assert noted(talk) == 2


def test_a_name_is_met_when_it_is_bound() -> None:
    talk = Dialogue(rule("n then 1s", "\n  - when: SCSI-Command nth 2 as n"))
    talk.say(write(2, 10))
    talk.tick(5)
    assert noted(talk) == 0
    talk.say(write(3, 11))
    talk.tick(1)
    assert noted(talk) == 1


def test_a_capture_of_the_same_moment_can_be_waited_for() -> None:
    talk = Dialogue(rule("SCSI-Command as n then n then 1s"))
    talk.say(write(2, 10))
    talk.tick(1)
    assert noted(talk) == 1


def test_fault_is_when_the_first_act_has_reached_the_wire() -> None:
    talk = Dialogue(
        rule("fault then SCSI-Command", "\n  - when: SCSI-Command nth 2\n    do: [set: {LUN: 1}, delay: 1s]")
    )
    talk.say(write(2, 10), write(3, 11), write(4, 12))
    assert noted(talk) == 0
    talk.tick(1)
    talk.say(write(5, 13))
    assert noted(talk) == 1


def test_a_sequence_is_followed_per_connection() -> None:
    talk = Dialogue(rule("R2T per connection then Data-Out per connection"))
    talk.connect(2, ISID=0x800000000002)
    talk.say(r2t(2, 5))
    talk.say(data_out(2, 0), conn=2)
    assert noted(talk) == 0
    talk.say(data_out(2, 0))
    assert noted(talk) == 1


@pytest.mark.parametrize(
    ("until", "count"), [("NOP-Out", 2), ("2s", 1), ("n", 1), ("fault", 3), ("[NOP-Out nth 2, SCSI-Command nth 2]", 1)]
)
def test_until_ends_the_rule(until: str, count: int) -> None:
    more = f"\n    until: {until}\n  - when: SCSI-Command nth 1 as n"
    talk = Dialogue(rule("SCSI-Command", more))
    talk.say(write(2, 10))
    talk.tick(2)
    talk.say(write(3, 11), nop_out(9, 12), write(4, 13))
    # A name that is bound by a PDU is bound when the rules have seen it.
    assert noted(talk) == {"fault": 3}.get(until, count)


def test_after_the_end_nothing_is_met() -> None:
    talk = Dialogue(rule("1s", "\n  - when: SCSI-Command\n    do: drop"))
    talk.end()
    assert len(talk.say(write(2, 10))) == 1
    talk.tick(2)
    assert noted(talk) == 0


def release(talk: Dialogue, n: int) -> None:
    """Let a PDU go by hand, as a user would."""
    talk._carry_out(talk.engine.release(n, talk.now))


def test_a_pdu_is_held_until_somebody_lets_it_go() -> None:
    talk = Dialogue(rule("SCSI-Command").replace("{note: now}", "{delay: released}"))
    assert talk.say(write(2, 10), nop_out(9, 11), write(3, 12)) == []
    first, behind, second = talk.open_slots
    release(talk, 9999)
    assert [one.n for one in talk.engine.held()] == [first, second]
    release(talk, second)
    assert talk.sent(End.TARGET)[1:] == []
    assert talk.open_slots == [first, behind], "its acts are done, but it is behind the first"
    release(talk, first)
    assert [one.pdu["CmdSN"] for one in talk.sent(End.TARGET)[1:]] == [10, 11, 12]
    assert talk.told("fired") == ["#1: held until released"] * 2


def test_released_is_a_step_like_others() -> None:
    talk = Dialogue(rule("SCSI-Command").replace("{note: now}", "{delay: released then 1s}"))
    talk.say(write(2, 10))
    talk.tick(2)
    release(talk, talk.open_slots[0])
    assert talk.tick(0.9) == []
    assert len(talk.tick(0.2)) == 1


def test_a_release_that_was_not_waited_for_yet_is_none() -> None:
    talk = Dialogue(rule("SCSI-Command").replace("{note: now}", "{delay: 1s then released}"))
    talk.say(write(2, 10))
    (n,) = talk.open_slots
    release(talk, n)
    assert talk.tick(5) == []
    release(talk, n)
    assert talk.open_slots == []


def test_a_stall_ends_by_hand_too() -> None:
    talk = Dialogue(rule("SCSI-Command").replace("{note: now}", "{stall: released}"))
    talk.say(write(2, 10))
    release(talk, talk.open_slots[0])
    assert len(talk.sent(End.TARGET)) == 2


def test_a_rule_may_wait_for_a_release() -> None:
    talk = Dialogue(
        rule("SCSI-Command nth 1 then released", "\n  - when: SCSI-Command nth 1\n    do: {delay: released}")
    )
    release(talk, 1)
    talk.say(write(2, 10))
    assert noted(talk) == 0
    release(talk, talk.open_slots[0])
    assert noted(talk) == 1
