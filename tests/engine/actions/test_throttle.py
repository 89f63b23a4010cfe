from __future__ import annotations

import pytest

from iscsiproxy.engine.commands import Resume, Throttle
from tests.engine.dialogue import Dialogue, data_out, nop_out, r2t, write

__all__: list[str] = []


def rule(what: str, when: str = "Data-Out nth 1") -> str:
    return f"rules:\n  - when: {when}\n    do: {what}"


def test_the_connection_is_slow_from_the_pdu_in_hand_on() -> None:
    talk = Dialogue(rule("{throttle: {rate: 100, slice: 1}}"))
    assert [pdu["DataSN"] for pdu in talk.say(data_out(2, 0))] == [0]
    assert list(talk.throttles.values()) == [(1, 100, 1)]
    assert talk.told("fired") == ["#1: 100 bytes in a second, 1 at a time"]


def test_it_has_its_turn_behind_what_went_before() -> None:
    talk = Dialogue(rule("{throttle: 100}"))
    talk.say(data_out(2, 0))
    kinds = [type(one).__name__ for one in talk.commands if type(one).__name__ in ("Throttle", "Send", "Finish")]
    assert kinds == ["Throttle", "Send", "Finish"]


def test_behind_pass_only_what_follows_is_slow() -> None:
    talk = Dialogue(rule("[pass, {throttle: 100}]"))
    talk.say(data_out(2, 0))
    kinds = [type(one).__name__ for one in talk.commands if type(one).__name__ in ("Throttle", "Send", "Finish")]
    assert kinds == ["Send", "Throttle", "Finish"]
    assert list(talk.throttles.values()) == [(1, 100, 10)]


@pytest.mark.parametrize(("rate", "size"), [(100, 10), (5, 1), (1, 1), (1000000, 100000)])
def test_without_a_slice_it_is_a_tenth_of_a_second(rate: int, size: int) -> None:
    talk = Dialogue(rule(f"{{throttle: {rate}}}"))
    talk.say(data_out(2, 0))
    assert list(talk.throttles.values()) == [(1, rate, size)]


def test_it_ends_at_its_moment_and_the_list_does_not_wait() -> None:
    talk = Dialogue(rule("[{throttle: {rate: 100, until: NOP-Out then 2s}}, {note: on}]"))
    assert len(talk.say(data_out(2, 0))) == 1
    assert talk.told("noted") == ["#1: on"]
    talk.say(nop_out(9, 10))
    talk.tick(1.9)
    assert len(talk.throttles) == 1
    talk.tick(0.2)
    assert talk.throttles == {}
    assert talk.told("released") == ["#1: throttle until NOP-Out then 2s"]
    assert talk.counts() == {"matched": 1, "fired": 1}


@pytest.mark.parametrize("until", ["", ", until: 50s"])
def test_it_ends_with_the_run(until: str) -> None:
    talk = Dialogue(rule(f"{{throttle: {{rate: 100{until}}}}}"))
    talk.say(data_out(2, 0))
    talk.end()
    assert talk.throttles == {}
    assert len([one for one in talk.commands if isinstance(one, Resume)]) == 1
    assert talk.counts() == {"matched": 1, "fired": 1}


def test_on_an_event_its_connection_is_slow_at_once() -> None:
    talk = Dialogue(rule("{throttle: 100}", "full-feature"))
    assert list(talk.throttles.values()) == [(1, 100, 10)]
    assert len(talk.say(write(2, 10))) == 1


def test_with_nothing_in_hand_every_connection_is_slow() -> None:
    talk = Dialogue(rule("{throttle: {rate: 100, until: R2T}}", "1s"))
    talk.connect(2, ISID=0x800000000002)
    talk.tick(1)
    assert sorted(talk.throttles.values()) == [(1, 100, 10), (2, 100, 10)]
    talk.say(r2t(2, 5))
    assert talk.throttles == {}


def test_the_rate_may_be_computed() -> None:
    talk = Dialogue(rule("{throttle: {rate: length * 2, slice: 'random(3, 3)'}}"))
    talk.say(data_out(2, 0))
    assert list(talk.throttles.values()) == [(1, 1024, 3)]


def slow(text: str, *, seed: int = 1) -> list[Throttle]:
    talk = Dialogue(text, seed=seed)
    talk.say(data_out(2, 0, bytes(100)))
    return [one for one in talk.commands if isinstance(one, Throttle)]


def test_a_slice_may_be_drawn_each_time_by_the_seed_of_the_run() -> None:
    text = rule("{throttle: {rate: 1GiB, slice: 1..1460}}")
    (one,), (same,), (other,) = slow(text), slow(text), slow(text, seed=2)
    assert (one.slice, one.most) == (1, 1460)
    assert one.seed == same.seed != other.seed
    (one,) = slow(rule("{throttle: {rate: 1GiB, slice: length..length * 2}}"))
    assert (one.slice, one.most) == (100, 200)
    (one,) = slow(rule("{throttle: {rate: 1GiB, slice: 7}}"))
    assert (one.slice, one.most, one.seed) == (7, 0, 0)


def test_each_connection_draws_for_itself() -> None:
    talk = Dialogue(rule("{throttle: {rate: 100, slice: 2..9}}", "1s"))
    talk.connect(2, ISID=0x800000000002)
    talk.tick(1)
    one, other = (command for command in talk.commands if isinstance(command, Throttle))
    assert (one.slice, one.most, other.slice, other.most) == (2, 9, 2, 9)
    assert one.seed != other.seed
    assert talk.told("fired") == ["#1: 100 bytes in a second, 2 to 9 at a time"]


@pytest.mark.parametrize(
    ("slices", "why"),
    [
        ("length..50", "slice is 100..50, which begins behind its end"),
        ("DataSN..50", "slice is 0, expected 1 to 1099511627776"),
    ],
)
def test_a_range_that_is_none_is_an_error_in_the_act(slices: str, why: str) -> None:
    talk = Dialogue(rule(f"{{throttle: {{rate: 100, slice: {slices}}}}}"))
    talk.say(data_out(2, 0, bytes(100)))
    assert talk.told("failed") == [f"#1: throttle: {why}"]


def test_no_rate_at_all_is_an_error_in_the_act() -> None:
    talk = Dialogue(rule("{throttle: {rate: DataSN}}"))
    assert len(talk.say(data_out(2, 0))) == 1
    assert talk.told("failed") == ["#1: throttle: rate is 0, expected 1 to 1099511627776"]
    assert talk.throttles == {}
