from __future__ import annotations

from random import Random

import pytest

from iscsiproxy.engine.picks import Counter
from iscsiproxy.language.spec import Picks
from tests.engine.dialogue import Dialogue, data_out, write


@pytest.mark.parametrize(
    ("picks", "taken"),
    [
        (Picks(), "1111111111"),
        (Picks(after=3), "0001111111"),
        (Picks(nth=(2, 2)), "0100000000"),
        (Picks(nth=(2, 4)), "0111000000"),
        (Picks(every=3), "0010010010"),
        (Picks(mask=(True, False, True, True)), "1011101110"),
        (Picks(times=2), "1100000000"),
        (Picks(after=1, nth=(2, 6), every=2), "0001010000"),
        (Picks(every=2, mask=(True, False)), "0100010001"),
        (Picks(every=2, times=2), "0101000000"),
        (Picks(mask=(False, True), times=3), "0101010000"),
        (Picks(chance=1.0), "1111111111"),
        (Picks(chance=0.0), "0000000000"),
        (Picks(after=2, nth=(1, 1)), "0010000000"),
    ],
)
def test_the_table(picks: Picks, taken: str) -> None:
    counter = Counter(picks)
    assert "".join("01"[counter.take(None, Random(1))] for _ in taken) == taken


def test_scopes_count_each_for_itself() -> None:
    counter = Counter(Picks(nth=(2, 2)))
    assert [counter.take(scope, Random(1)) for scope in "aabab"] == [False, True, False, False, True]


def test_chance_is_drawn_only_for_what_reaches_it() -> None:
    rng = Random(7)
    expected = [Random(7).random() < 0.5]
    counter = Counter(Picks(nth=(3, 3), chance=0.5))
    assert [counter.take(None, rng) for _ in range(5)] == [False, False, *expected, False, False]


def matched(pattern: str, talk_to: str = "") -> Dialogue:
    return Dialogue(f"rules:\n  - when: {pattern}\n    do: drop{talk_to}")


def test_where_comes_first_however_written() -> None:
    talk = matched("Data-Out where DataSN > 0 nth 2")
    assert [pdu["DataSN"] for pdu in talk.say(*(data_out(2, sn) for sn in range(4)))] == [0, 1, 3]


def test_the_scope_is_the_run_and_does_not_begin_anew_with_a_connection() -> None:
    talk = matched("SCSI-Command nth 1")
    talk.say(write(2, 10))
    talk.connect(2, ISID=0x800000000002)
    assert len(talk.say(write(2, 10), conn=2)) == 1


@pytest.mark.parametrize(("per", "dropped"), [("connection", 2), ("session", 1)])
def test_per_connection_and_per_session(per: str, dropped: int) -> None:
    talk = matched(f"SCSI-Command nth 1 per {per}")
    talk.connect(2, TSIH=7)  # joins the session
    out = talk.say(write(2, 10)) + talk.say(write(3, 11), conn=2)
    assert len(out) == 2 - dropped


def test_per_task_forgets_with_the_task() -> None:
    talk = matched("Data-Out nth 2 per task")
    talk.say(write(2, 10), write(3, 11))
    sent = talk.say(data_out(2, 0), data_out(3, 0), data_out(2, 1), data_out(3, 1), data_out(2, 2))
    assert [(pdu["ITT"], pdu["DataSN"]) for pdu in sent] == [(2, 0), (3, 0), (2, 2)]
    talk.say(write(2, 12))  # the tag is used again
    assert [pdu["DataSN"] for pdu in talk.say(data_out(2, 0), data_out(2, 1))] == [0]
