from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from iscsiproxy.engine import SPECS
from iscsiproxy.engine.byhand import BY_HAND
from iscsiproxy.engine.commands import Finish
from iscsiproxy.engine.work import ActError
from iscsiproxy.language.line import read_acts
from iscsiproxy.language.spec import Act
from iscsiproxy.session.events import Change, How
from iscsiproxy.wire.framing import EVERYTHING
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import (
    Dialogue,
    data_in,
    data_out,
    nop_in,
    nop_out,
    scsi_response,
    text_request,
    write,
)

__all__: list[str] = []

#: What both ends have when digests are negotiated
_DIGESTS = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}


def holding(*lines: str, keys: dict[str, str] | None = None) -> Dialogue:
    """Begin with a connection, and lines in force."""
    talk = Dialogue(connect=False)
    talk.connect(keys=keys)
    for number, line in enumerate(lines, 1):
        talk.arm(line, name=f"line-{number}")
    return talk


def acts(text: str, pdu: Pdu) -> tuple[Act, ...]:
    return read_acts(text, opcodes=[pdu.opcode], acts=SPECS)


def edit(talk: Dialogue, itt: int, text: str) -> tuple[Change, ...]:
    """Edit the held PDU of a tag."""
    changes: list[Change] = []
    (pdu,) = [one.pdu for one in talk.engine.held() if one.pdu["ITT"] == itt]
    n = talk.number(itt)
    talk.ask(lambda engine: changes.extend(engine.edit(n, acts(text, pdu))))
    return tuple(changes)


def release(talk: Dialogue, itt: int) -> list[int]:
    return tags(talk.by_hand("let_go", talk.number(itt)))


def step(talk: Dialogue, itt: int) -> list[int]:
    return tags(talk.by_hand("step", talk.number(itt)))


def drop(talk: Dialogue, itt: int) -> list[int]:
    return tags(talk.by_hand("drop", talk.number(itt)))


def tags(pdus: Iterable[Pdu]) -> list[int]:
    return [pdu["ITT"] for pdu in pdus]


def single_file(talk: Dialogue) -> bool:
    return talk.engine.in_single_file


def assert_nothing_waits(talk: Dialogue) -> None:
    assert not talk.engine.held()
    assert not talk.engine.waiting()
    assert not talk.engine._queues
    assert talk.open_slots == []


# --- held, and let go ----------------------------------------------------------------------------------------------


def test_what_is_held_and_what_is_behind_it_waits_until_it_is_let_go() -> None:
    talk = holding("hold SCSI-Command nth 1")
    first, second, third = write(2, 10), data_out(2, 0), nop_out(9, 11)
    assert talk.say(first, second, third) == []
    assert talk.held == [(2, 2)]
    assert talk.by_hand("let_go", talk.number(2)) == [first, second, third]
    assert talk.counts() == {"matched": 1, "fired": 1}
    assert_nothing_waits(talk)


def test_what_is_held_says_since_when_by_what_and_until_when() -> None:
    talk = holding("hold SCSI-Command nth 1")
    talk.tick(2)
    talk.say(write(2, 10))
    talk.tick(3)
    (one,) = talk.engine.held()
    assert (one.at, one.since, one.conn, one.leg) == (2, 2, 1, End.INITIATOR)
    assert (one.rule, one.until, one.changes) == ("line-1/#1", "released", ())


def test_the_other_direction_goes_on() -> None:
    talk = holding("hold SCSI-Command nth 1")
    talk.say(write(2, 10))
    answer = nop_in(9, 101)
    assert talk.say(answer) == [answer]
    assert talk.say(nop_out(9, 11)) == []


@pytest.mark.parametrize("leg", End)
def test_both_ways_can_be_held_at_once(leg: End) -> None:
    talk = holding("hold SCSI-Command nth 1", "hold SCSI-Response nth 1")
    talk.say(write(2, 10), nop_out(9, 11), scsi_response(5, 101), nop_in(6, 102))
    assert talk.held == [(2, 1), (5, 1)]
    itt, written = (2, [2, 9]) if leg is End.INITIATOR else (5, [5, 6])
    assert release(talk, itt) == written
    assert len(talk.held) == 1


def test_held_pdus_are_let_go_in_any_order_and_go_in_theirs() -> None:
    talk = holding("hold SCSI-Command")
    talk.say(write(2, 10), nop_out(9, 11), write(3, 11), write(4, 12))
    assert talk.held == [(2, 3), (3, 1), (4, 0)]
    assert release(talk, 4) == []
    assert release(talk, 3) == []
    assert talk.held == [(2, 1)]
    assert release(talk, 2) == [2, 9, 3, 4]
    assert talk.counts() == {"matched": 3, "fired": 3}
    assert_nothing_waits(talk)


def test_what_is_behind_a_later_one_waits_for_that_when_the_first_is_gone() -> None:
    talk = holding("hold SCSI-Command")
    talk.say(write(2, 10), nop_out(8, 11), write(3, 11), nop_out(9, 12))
    assert release(talk, 2) == [2, 8]
    assert talk.held == [(3, 1)]
    assert release(talk, 3) == [3, 9]


def test_one_release_ends_one_wait() -> None:
    talk = holding("hold SCSI-Command", "hold SCSI-Command where W")
    talk.say(write(2, 10))
    assert [one.rule for one in talk.engine.held()] == ["line-1/#1"]
    assert release(talk, 2) == []
    assert [one.rule for one in talk.engine.held()] == ["line-2/#1"]
    assert release(talk, 2) == [2]


def test_what_waits_for_something_else_can_be_let_go_by_hand_too() -> None:
    talk = holding("delay 10s SCSI-Command")
    talk.say(write(2, 10), nop_out(9, 11))
    assert [one.until for one in talk.engine.held()] == ["10s"]
    assert release(talk, 2) == [2, 9]
    assert talk.tick(20) == []


def test_letting_go_is_what_a_moment_with_released_waits_for() -> None:
    talk = holding("hold SCSI-Command nth 1", "note seen when SCSI-Command then released")
    talk.say(write(2, 10))
    assert talk.told("noted") == []
    release(talk, 2)
    assert talk.told("noted") == ["#1: seen"]


def test_what_overtakes_is_not_kept_behind() -> None:
    talk = holding("hold overtake=yes SCSI-Command nth 1")
    talk.say(write(2, 10))
    assert tags(talk.say(nop_out(8, 11), nop_out(9, 11))) == [8, 9]
    assert talk.held == [(2, 0)]
    assert release(talk, 2) == [2]


def test_what_is_not_held_has_no_number() -> None:
    talk = holding("hold SCSI-Command nth 1")
    talk.say(write(2, 10), nop_out(9, 11))
    wrong = talk.number(2) + 77
    with pytest.raises(KeyError):
        talk.by_hand("let_go", wrong)
    with pytest.raises(KeyError):
        talk.by_hand("step", wrong)
    with pytest.raises(KeyError):
        talk.by_hand("drop", wrong)
    with pytest.raises(KeyError):
        talk.ask(lambda engine: engine.edit(wrong, ()))
    assert talk.held == [(2, 1)]


# --- step by step --------------------------------------------------------------------------------------------------


def test_a_step_lets_one_go_and_holds_the_next() -> None:
    talk = holding("hold SCSI-Command nth 1")
    talk.say(write(2, 10), data_out(2, 0), nop_out(8, 11), nop_out(9, 11))
    assert step(talk, 2) == [2]
    assert [(one.pdu.opcode, one.rule, one.behind) for one in talk.engine.held()] == [
        (Opcode.DATA_OUT, f"{BY_HAND}/step", 2)
    ]
    assert step(talk, 2) == [2]
    assert step(talk, 8) == [8]
    assert talk.held == [(9, 0)]
    assert release(talk, 9) == [9]
    assert_nothing_waits(talk)


def test_a_step_with_nothing_behind_holds_the_next_that_comes() -> None:
    talk = holding("hold SCSI-Command nth 1")
    talk.say(write(2, 10))
    assert step(talk, 2) == [2]
    assert talk.engine.held() == ()
    assert talk.say(nop_out(8, 11), nop_out(9, 11)) == []
    assert talk.held == [(8, 1)]
    assert release(talk, 8) == [8, 9]


def test_the_next_one_may_come_the_other_way() -> None:
    talk = holding("hold SCSI-Command nth 1")
    talk.say(write(2, 10))
    step(talk, 2)
    assert talk.say(scsi_response(2, 101), nop_in(8, 102)) == []
    assert talk.held == [(2, 1)]
    assert tags(talk.say(nop_out(9, 11))) == [9]
    assert release(talk, 2) == [2, 8]


def test_the_next_one_is_of_the_same_connection() -> None:
    talk = holding("hold SCSI-Command nth 1")
    talk.connect(2, ISID=0x80123456789B)
    talk.say(write(2, 10))
    step(talk, 2)
    assert tags(talk.say(nop_out(8, 11), conn=2)) == [8]
    assert talk.say(nop_out(9, 11)) == []


def test_a_step_to_one_that_is_held_already_holds_no_other() -> None:
    talk = holding("hold SCSI-Command")
    talk.say(write(2, 10), write(3, 11), nop_out(9, 12))
    assert step(talk, 2) == [2]
    assert talk.held == [(3, 1)]
    assert release(talk, 3) == [3, 9]
    assert tags(talk.say(nop_out(8, 12))) == [8]


def test_a_step_to_one_before_the_next_held_one_holds_that() -> None:
    talk = holding("hold SCSI-Command")
    talk.say(write(2, 10), nop_out(9, 11), write(3, 11))
    assert step(talk, 2) == [2]
    assert talk.held == [(9, 1), (3, 0)]
    assert step(talk, 9) == [9]
    assert talk.held == [(3, 0)]
    assert release(talk, 3) == [3]
    assert tags(talk.say(nop_out(8, 12))) == [8]


def test_one_that_is_held_by_a_rule_is_the_next_one_too() -> None:
    talk = holding("hold SCSI-Command")
    talk.say(write(2, 10))
    step(talk, 2)
    talk.say(write(3, 11))
    assert [one.rule for one in talk.engine.held()] == ["line-1/#1"]
    assert release(talk, 3) == [3]
    assert tags(talk.say(nop_out(9, 12))) == [9]


def test_what_matched_while_it_waited_in_line_is_done_when_its_turn_comes() -> None:
    talk = holding("hold SCSI-Command nth 1", "drop NOP-Out nth 1", "set LUN=7 Data-Out")
    talk.say(write(2, 10), nop_out(8, 11), data_out(2, 0), nop_out(9, 11))
    assert talk.told("fired") == []
    assert release(talk, 2) == [2, 2, 9]
    sent = talk.sent(End.TARGET)[-2]
    assert (sent.pdu.opcode, sent.rules) == (Opcode.DATA_OUT, ("line-3/#1",))
    assert [(one.rule, one.matched, one.fired) for one in talk.engine.counters()] == [
        ("line-1/#1", 1, 1),
        ("line-2/#1", 1, 1),
        ("line-3/#1", 1, 1),
    ]


def test_a_step_holds_before_the_rules_of_the_next_one_act() -> None:
    talk = holding("hold SCSI-Command nth 1", "drop NOP-Out nth 1")
    talk.say(write(2, 10), nop_out(8, 11))
    step(talk, 2)
    assert talk.held == [(8, 0)]
    assert "#1: not sent" not in talk.told("fired")
    assert release(talk, 8) == []
    assert "#1: not sent" in talk.told("fired")


# --- changed, or dropped -------------------------------------------------------------------------------------------


def test_an_edit_changes_the_field_and_no_other_bit() -> None:
    talk = holding("hold SCSI-Command nth 1")
    pdu = write(2, 10)
    talk.say(pdu)
    assert edit(talk, 2, "set CDB.LBA=2048") == (Change(what="CDB.LBA", old="0", new="2048"),)
    (one,) = talk.engine.held()
    assert [str(change) for change in one.changes] == ["CDB.LBA 0 -> 2048"]
    assert talk.told("fired") == ["edit: changed"]
    (gone,) = talk.by_hand("let_go", one.n)
    assert gone == one.pdu == pdu.with_fields({"CDB": bytes.fromhex("2a000000080000000800")})
    sent = talk.sent(End.TARGET)[-1]
    assert sent.rules == (f"{BY_HAND}/edit", "line-1/#1")
    assert sent.changes == one.changes


def test_edits_add_up_and_several_acts_are_one() -> None:
    talk = holding("hold Data-Out nth 1")
    talk.say(write(2, 10), data_out(2, 0, b"x" * 512))
    edit(talk, 2, "set F=1")
    assert [change.what for change in edit(talk, 2, "resize 10; set LUN=3")] == ["length", "LUN"]
    (gone,) = talk.by_hand("let_go", talk.number(2))
    assert (gone["F"], gone["LUN"] >> 48, gone.data, gone["DataSegmentLength"], gone.pad) == (
        *(1, 3, b"x" * 10, 10),
        bytes(2),
    )


def test_digests_fit_what_an_edit_has_made_of_it() -> None:
    talk = holding("hold Data-Out nth 1", keys=_DIGESTS)
    talk.say(write(2, 10), data_out(2, 0, b"x" * 512))
    edit(talk, 2, "set DataSN=3; resize 6")
    (gone,) = talk.by_hand("let_go", talk.number(2))
    assert (gone.header_digest_ok(), gone.data_digest_ok()) == (True, True)
    assert (gone["DataSN"], gone.data) == (3, b"x" * 6)


def test_a_digest_can_be_made_wrong() -> None:
    talk = holding("hold Data-Out nth 1", keys=_DIGESTS)
    pdu = data_out(2, 0, b"x" * 512)
    talk.say(write(2, 10), pdu)
    edit(talk, 2, "corrupt header-digest")
    (gone,) = talk.by_hand("let_go", talk.number(2))
    assert (gone.header_digest_ok(), gone.data_digest_ok()) == (False, True)
    assert (gone.bhs, gone.data) == (pdu.bhs, pdu.data)


def test_a_number_that_is_edited_goes_as_it_was_written() -> None:
    talk = holding("hold NOP-Out nth 1", "inject NOP-Out SCSI-Command nth 1")
    talk.say(write(2, 10), nop_out(9, 11))
    edit(talk, 9, "set CmdSN=5")
    (gone,) = talk.by_hand("let_go", talk.number(9))
    assert gone["CmdSN"] == 5


@pytest.mark.parametrize(
    "failing", ["set DataSN=1; resize 99999999", "set DataSN=1; corrupt ahs", "set DataSN=DataSN - 1", "corrupt pad"]
)
def test_an_edit_that_fails_leaves_everything_as_it_was(failing: str) -> None:
    talk = holding("hold Data-Out nth 1")
    pdu = data_out(2, 0)
    talk.say(write(2, 10), pdu)
    edit(talk, 2, "set LUN=3")
    (before,) = talk.engine.held()
    reports = list(talk.reports)
    with pytest.raises(ActError):
        edit(talk, 2, failing)
    assert talk.engine.held() == (before,)
    assert talk.reports == reports
    assert talk.by_hand("let_go", before.n) == [before.pdu]


def test_a_text_that_could_not_be_edited_makes_no_two_ends_that_differ() -> None:
    talk = holding("hold Text-Request nth 1")
    talk.say(text_request(5, 10, {"SendTargets": "All"}, C=1, F=0))
    with pytest.raises(ActError):
        edit(talk, 5, "text add=[A=b]; resize 99999999")
    assert not talk.engine.differs(1)
    assert not talk.engine.editors
    edit(talk, 5, "set text.A=b")
    with pytest.raises(ActError):
        edit(talk, 5, "resize 99999999")
    assert talk.engine.differs(1), "the first edit stands"


def test_what_was_changed_after_a_part_has_gone_is_refused() -> None:
    talk = holding("stall released at=header+10 SCSI-Command nth 1")
    talk.say(write(2, 10))
    with pytest.raises(ActError, match="10 bytes of this PDU have gone already"):
        edit(talk, 2, "set LUN=3")


def test_a_dropped_one_leaves_a_hole_and_is_a_fault() -> None:
    talk = holding("hold SCSI-Command nth 1")
    talk.say(write(2, 10), write(3, 11))
    n = talk.number(2)
    (gone,) = talk.by_hand("drop", n)
    assert (gone["ITT"], gone["CmdSN"]) == (3, 11)
    (fired,) = [one for one in talk.reports if one.kind == "fired"]
    assert (fired.rule, fired.act, fired.of) == (f"{BY_HAND}/drop", "drop", n)
    assert talk.told("ended") == ["#1: #1: it was dropped by hand"]
    assert [(one.unsent, one.rule) for one in talk.commands if isinstance(one, Finish) and one.slot == n] == [
        ("raw", f"{BY_HAND}/drop")
    ]
    assert talk.counts() == {"matched": 1, "expired": 1}
    assert_nothing_waits(talk)


def test_a_drop_is_the_first_fault_of_no_scenario() -> None:
    talk = holding("hold SCSI-Command nth 1", "note now when fault")
    talk.say(write(2, 10))
    drop(talk, 2)
    assert talk.told("noted") == []


def test_what_was_edited_may_still_be_dropped() -> None:
    talk = holding("hold SCSI-Command nth 1")
    talk.say(write(2, 10))
    edit(talk, 2, "set LUN=3")
    assert drop(talk, 2) == []
    assert_nothing_waits(talk)


# --- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("leg", "how"), [(End.INITIATOR, "fin"), (End.INITIATOR, "rst"), (End.TARGET, "rst")])
def test_a_connection_that_is_lost_leaves_nothing_behind(leg: End, how: How) -> None:
    talk = holding("hold SCSI-Command")
    talk.say(write(2, 10), nop_out(9, 11), write(3, 11), data_out(3, 0))
    talk.closed(leg, how)
    assert_nothing_waits(talk)


@pytest.mark.parametrize("leg", End)
def test_a_step_that_waits_for_a_connection_that_is_lost_holds_nothing_elsewhere(leg: End) -> None:
    talk = holding("hold SCSI-Command nth 1")
    talk.connect(2, ISID=0x80123456789B)
    talk.say(write(2, 10), nop_out(9, 11))
    step(talk, 2)
    talk.closed(leg, "rst")
    assert_nothing_waits(talk)
    assert tags(talk.say(nop_out(8, 11), conn=2)) == [8]


def test_what_only_stood_in_line_goes_when_the_sender_of_all_has_gone() -> None:
    talk = holding("hold SCSI-Command nth 1")
    talk.say(write(2, 10), nop_out(9, 11))
    talk.closed(End.INITIATOR)
    assert tags(one.pdu for one in talk.sent(End.TARGET)[1:]) == [9]
    assert talk.told("ended") == ["#1: #1: its sender has gone"]
    assert_nothing_waits(talk)


def test_orphans_that_are_to_be_delivered_wait_for_the_hand() -> None:
    talk = holding("hold orphans=deliver SCSI-Command nth 1")
    talk.say(write(2, 10), nop_out(9, 11))
    talk.closed(End.INITIATOR)
    assert talk.held == [(2, 1)]
    assert release(talk, 2) == [2, 9]
    assert_nothing_waits(talk)


@pytest.mark.parametrize("clear", [False, True])
def test_when_all_is_over_everything_goes_in_order(clear: bool) -> None:
    talk = holding("hold SCSI-Command", "drop NOP-Out")
    talk.say(write(2, 10), nop_out(9, 11), write(3, 11), data_out(3, 0), write(4, 12))
    before = len(talk.sent(End.TARGET))
    if clear:
        talk.clear()
    else:
        talk.end()
    assert tags(one.pdu for one in talk.sent(End.TARGET)[before:]) == [2, 9, 3, 3, 4]
    why = "everything is cleared" if clear else "the run ends"
    assert {text.split(": ", 2)[2] for text in talk.told("ended")} == {why}
    assert_nothing_waits(talk)
    assert tags(talk.say(write(5, 13))) == [5]


def test_a_step_is_over_too_when_everything_is_cleared() -> None:
    talk = holding("hold SCSI-Command nth 1")
    talk.say(write(2, 10))
    step(talk, 2)
    talk.clear()
    assert tags(talk.say(nop_out(8, 11))) == [8]
    assert not single_file(talk)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_done_in_whatever_order_the_wire_keeps_its_order(seed: int) -> None:
    rng = Random(seed)
    talk = holding("hold SCSI-Command", "hold Data-In")
    talk.connect(2, ISID=0x80123456789B)
    came: dict[tuple[int, End], list[int]] = {}
    dropped: set[int] = set()
    itt = 100
    for _ in range(60):
        held = talk.engine.held()
        what = rng.choice(["say", "say", "release", "step", "drop", "edit"]) if held else "say"
        if what == "say":
            itt += 1
            conn = rng.choice((1, 2))
            pdu = rng.choice([write(itt, 10), nop_out(itt, 10), data_in(itt, 0), nop_in(itt, 101)])
            came.setdefault((conn, pdu.sender.other), []).append(itt)
            talk.say(pdu, conn=conn)
            continue
        one = rng.choice(held)
        if what == "drop":
            dropped.add(one.pdu["ITT"])
            talk.by_hand("drop", one.n)
        elif what == "edit":
            edit(talk, one.pdu["ITT"], "set LUN=1")
        else:
            talk.by_hand("step" if what == "step" else "let_go", one.n)
        order = [one.n for one in talk.engine.held()]
        assert order == sorted(order)
    for _ in range(200):
        if not (held := talk.engine.held()):
            break
        talk.by_hand("let_go", held[0].n)
    assert_nothing_waits(talk)
    for (conn, leg), expected in came.items():
        written = [one["ITT"] for one in (sent.pdu for sent in talk.sent(leg, conn)) if one["ITT"] > 100]
        assert written == [tag for tag in expected if tag not in dropped]


# --- stalls --------------------------------------------------------------------------------------------------------


def test_stalls_of_some_connections_end_by_hand() -> None:
    talk = Dialogue()
    talk.connect(2, ISID=0x80123456789B)
    for conn in (1, 2):
        talk.arm("stall released at_most=no", name=f"line-{conn}", only=[conn])
        assert talk.say(nop_out(7, 10), conn=conn) == []
    ended: list[int] = []
    talk.ask(lambda engine: ended.append(engine.resume(frozenset({2}))))
    assert ended == [1]
    assert tags(one.pdu for one in talk.sent(End.TARGET, 2)[1:]) == [7]
    assert len(talk.sent(End.TARGET, 1)) == 1
    talk.ask(lambda engine: ended.append(engine.resume()))
    assert ended == [1, 1]
    assert tags(one.pdu for one in talk.sent(End.TARGET, 1)[1:]) == [7]
    talk.ask(lambda engine: ended.append(engine.resume()))
    assert ended == [1, 1, 0]


# --- how closely is looked -----------------------------------------------------------------------------------------


def test_every_pdu_stands_in_line_by_itself_while_something_is_held() -> None:
    talk = holding("hold SCSI-Command nth 1")
    assert single_file(talk)
    talk.say(write(2, 10))
    talk.switch("line-1/#1", on=False)
    assert talk.held == [(2, 0)]
    assert single_file(talk), "what comes behind it has to be kept one by one"
    step(talk, 2)
    assert single_file(talk), "the next one has to be held"
    talk.say(nop_out(9, 11))
    assert talk.engine.interest(End.TARGET) == EVERYTHING
    release(talk, 9)
    assert not single_file(talk)
    assert talk.engine.interest(End.TARGET) != EVERYTHING


def test_a_rule_of_a_state_of_a_machine_may_hold_too() -> None:
    talk = Dialogue()
    talk.adopt(
        "machines:\n  m:\n    states:\n      a:\n"
        "        - when: SCSI-Command\n          do: {delay: {until: released, at_most: no}}\n"
    )
    assert single_file(talk)
    talk.say(write(2, 10), nop_out(9, 11))
    assert talk.held == [(2, 1)]
    assert step(talk, 2) == [2]
    assert talk.held == [(9, 0)]
