from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import Family, Observer
from iscsiproxy.checks.scene.talks import LISTENERS, Reading, heard
from iscsiproxy.wire.opcodes import End, Opcode
from tests.checks.cases import judged

__all__: list[str] = []

NAMES = "text='InitiatorName=iqn.x:i TargetName=iqn.x:t'"
SPOKEN = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE})


def readings(text: str, end: End = End.TARGET) -> list[Reading | None]:
    """Give the readings of all PDUs with text on one leg, with the ends taken apart as a rule of it sees them."""
    found: dict[int, Reading | None] = {}

    def take(moment: Moment) -> None:
        found[moment.note.n] = heard(moment)

    family = Family(
        name="x", title="x", rules=(), observers=(*LISTENERS, Observer(end=end, update=take, sent=SPOKEN, given=SPOKEN))
    )
    judged(text, families=(family,))
    return list(found.values())


def known(text: str, end: End = End.TARGET) -> list[bool]:
    return [reading is not None and reading.known for reading in readings(text, end)]


def test_a_login() -> None:
    first, answer, second, final = readings(f"""
        > Login-Request CSG=1 {NAMES}
        < Login-Response CSG=1 text='TargetPortalGroupTag=1'
        > Login-Request T CSG=1 NSG=3 text='DataDigest=None'
        < Login-Response T CSG=1 NSG=3 TSIH=5 text='DataDigest=None'
    """)
    assert first is not None
    assert answer is not None
    assert second is not None
    assert final is not None
    assert (first.first, first.turn, first.waiting) == (None, 0, ())
    assert answer.asked is answer.request is first.note
    assert (second.first, second.response, second.turn) == (first.note, answer.note, 1)
    assert not answer.closes
    assert final.final
    assert final.closes
    assert final.first_response is answer.note
    assert [str(said) for said in final.said] == ["DataDigest=None"]
    assert final.place.stage == 1
    assert final.place.leading


def test_a_text_in_parts_is_read_when_it_is_whole() -> None:
    part, nothing, rest = readings("""
        > Login-Request C CSG=1 text='InitiatorName=iqn.x:i'
        < Login-Response CSG=1
        > Login-Request CSG=1 text='SessionType=Discovery'
    """)
    assert part is not None
    assert nothing is not None
    assert rest is not None
    assert (part.whole, part.said) == (False, ())
    assert [said.key for said in rest.said] == ["InitiatorName", "SessionType"]
    assert (rest.parts, rest.turn) == (2, 0)
    assert rest.place.discovery
    assert nothing.whole


def test_what_only_lets_the_other_go_on_is_no_turn() -> None:
    found = readings(
        "> Login-Request C CSG=1 text='A=1'\n< Login-Response CSG=1\n> Login-Request CSG=1\n< Login-Response CSG=1"
    )
    assert [reading.turn for reading in found if reading is not None] == [0, 0, 0, 0]


def test_a_second_exchange_is_a_negotiation_of_its_own() -> None:
    found = readings("login\n> Text-Request text='A=1'\n< Text-Response\n> Text-Request text='A=1'\n< Text-Response")
    assert [one.ledger.keys(End.INITIATOR) for one in found[2:] if one] == [{"A"}] * 4
    assert found[2] is not None
    assert found[4] is not None
    assert found[2].ledger is not found[4].ledger


def test_a_request_goes_on_by_its_tag() -> None:
    text = (
        "login\n> Text-Request F=0 text='A=1'\n< Text-Response F=0 TTT=7\n> Text-Request ITT={} TTT={}\n< Text-Response"
    )
    on = readings(text.format(1, 7))[4]
    stray = readings(text.format(1, 8))[4]
    assert on is not None
    assert stray is not None
    assert (on.strays, on.known, on.request is not None) == (False, True, True)
    assert (stray.strays, stray.known) == (True, False)


def test_what_is_not_known_is_not_known() -> None:
    assert known(f"> Login-Request CSG=1 {NAMES}\nlost 2\n< Login-Response CSG=1") == [True, False]
    assert known("< Login-Response T CSG=1 NSG=3 TSIH=1\n> Text-Request text='A=1'\n< Text-Response") == [False] * 3
    two = f"> Login-Request CSG=1 {NAMES}\n>> Login-Request CSG=1\n< Login-Response CSG=1"
    assert known(two) == [True, False, False]
    assert known(f"> Login-Request CSG=1 data={1 << 21} C") == [False]


def test_a_rejected_request_ends_its_exchange() -> None:
    found = readings("""
        login
        > Text-Request F=0 text='A=1' as asked
        < Reject Reason=4 reject=asked
        > Text-Request text='B=1'
        < Text-Response
    """)
    answer = found[-1]
    assert answer is not None
    assert answer.known
    assert answer.asked is not None
    assert answer.ledger.keys(End.INITIATOR) == {"B"}


def test_what_counts_for_nothing_is_not_read() -> None:
    """A request that came twice, one beyond the window, one without a tag, a login in full feature phase."""
    assert readings("login\n> Text-Request text='A=1'\n>> Text-Request CmdSN=1 ITT=1")[-1] is None
    assert readings("login\n>> Text-Request CmdSN=1000")[-1] is None
    assert readings("login\n>> Text-Request ITT=none")[-1] is None
    assert readings("login\n>> Login-Request CSG=1")[-1] is None


def test_a_spoiled_text_has_not_come() -> None:
    text = "login DataDigest=CRC32C\n> Text-Request text='A=1' ! spoil=data\n> Text-Request text='B=1'"
    assert [reading is not None for reading in readings(text)] == [True, True, True]
    last = readings(text)[-1]
    assert last is not None
    assert last.ledger.keys(End.INITIATOR) == {"B"}


def test_a_pair_that_is_none_makes_open_what_was_meant() -> None:
    found = readings(f"> Login-Request CSG=1 data=hex:{b'A'.hex()}00\n< Login-Response CSG=1 text='A=Reject'")
    assert found[1] is not None
    assert found[1].flawed
    assert found[1].known
