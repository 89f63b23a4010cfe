from __future__ import annotations

from collections.abc import Mapping
from random import Random

import pytest

from iscsiproxy.engine import Engine
from iscsiproxy.engine.commands import Send
from iscsiproxy.session.events import Received
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text
from tests.engine.dialogue import Dialogue, text_request
from tests.session.dialogue import NAMES, TPGT, login_request, login_response

__all__: list[str] = []

Keys = Mapping[str, str]

CRC = "CRC32C,None"


def begin(negotiate: str) -> Dialogue:
    """Connect through a proxy that does nothing but lead the negotiation."""
    talk = Dialogue(f"negotiate: {negotiate}\nrules:\n  - when: R2T as any", connect=False)
    talk.connect(login=False)
    return talk


def text(keys: Keys) -> bytes:
    return encode_text(keys.items())


def asked(talk: Dialogue, keys: Keys, **values: int) -> bytes:
    """Let the initiator say its names and keys; give what the target hears behind the names."""
    (out,) = talk.say(login_request({**NAMES, **keys}, **values))
    assert out.data.startswith(text(NAMES))
    return out.data.removeprefix(text(NAMES))


def answered(talk: Dialogue, keys: Keys, **values: int) -> bytes:
    """Let the target answer; give what the initiator hears behind the portal group."""
    (out,) = talk.say(login_response({**TPGT, **keys}, **values))
    assert out.data.startswith(text(TPGT))
    return out.data.removeprefix(text(TPGT))


def cut(pdu: Pdu, at: int, **rest: int) -> tuple[Pdu, Pdu]:
    """Give a text in two PDUs, the first with the C bit."""
    first = pdu.with_data(pdu.data[:at]).with_fields({"C": 1, "T": 0, "NSG": 0})
    return first, pdu.with_data(pdu.data[at:]).with_fields(rest)


# --- what each end is told ---

W01 = """
  target: {FirstBurstLength: 512, ImmediateData: Yes, InitialR2T: Yes}
  initiator:
    ImmediateData: Yes
    FirstBurstLength: (min(offer, 65536))
"""


def test_towards_the_target_the_offer_and_towards_the_initiator_the_answer_becomes_the_value() -> None:
    talk = begin(W01)
    offer = {"MaxBurstLength": "262144", "FirstBurstLength": "262144", "InitialR2T": "No", "ImmediateData": "Yes"}
    told = {"MaxBurstLength": "262144", "FirstBurstLength": "512", "InitialR2T": "Yes", "ImmediateData": "Yes"}
    assert asked(talk, offer) == text(told)
    answer = {"MaxBurstLength": "262144", "FirstBurstLength": "512", "InitialR2T": "Yes", "ImmediateData": "Yes"}
    assert answered(talk, answer) == text({**answer, "FirstBurstLength": "65536"})
    (noted,) = talk.told("noted")
    assert noted.removeprefix("negotiate: negotiated: ").split(", ") == [
        "initiator ImmediateData=Yes",
        "initiator FirstBurstLength=65536",
        "target FirstBurstLength=512",
        "target ImmediateData=Yes",
        "target InitialR2T=Yes",
    ]
    assert not talk.told("skipped")


def test_both_truths_are_kept() -> None:
    talk = begin(W01)
    asked(talk, {"FirstBurstLength": "262144", "ImmediateData": "Yes"})
    answered(talk, {"FirstBurstLength": "512", "ImmediateData": "Yes", "InitialR2T": "Yes"})
    keys = {leg: talk.state(1, leg, None).keys["FirstBurstLength"] for leg in End}
    assert keys == {End.INITIATOR: "65536", End.TARGET: "512"}
    assert talk.engine.differs(1)


def test_legs_that_hold_the_same_in_the_end_do_not_differ() -> None:
    talk = begin("{target: {HeaderDigest: CRC32C}}")
    assert not talk.engine.differs(1)
    assert asked(talk, {"HeaderDigest": "None,CRC32C"}) == b"HeaderDigest=CRC32C\0"
    assert talk.engine.differs(1)  # they have been told different things, and who knows what comes of it
    assert answered(talk, {"HeaderDigest": "CRC32C"}) == b"HeaderDigest=CRC32C\0"
    assert not talk.engine.differs(1)


def test_what_is_changed_is_said_of_the_pdu() -> None:
    talk = begin("{target: {FirstBurstLength: 512}, initiator: {FirstBurstLength: (answer * 2)}}")
    asked(talk, {"FirstBurstLength": "4096"})
    answered(talk, {"FirstBurstLength": "512"})
    request, response = talk.sent(End.TARGET)[0], talk.sent(End.INITIATOR)[0]
    assert [str(change) for change in request.changes] == ["text.FirstBurstLength 4096 -> 512"]
    assert [str(change) for change in response.changes] == ["text.FirstBurstLength 512 -> 1024"]
    assert request.rules == response.rules == ("x/negotiate",)


def test_a_login_of_which_nothing_is_to_change_passes_untouched() -> None:
    talk = begin("{target: {FirstBurstLength: 512}, initiator: {MaxBurstLength: 512}}")
    request = login_request({**NAMES, "FirstBurstLength": "512"})
    response = login_response({**TPGT, "FirstBurstLength": "512"})
    assert talk.say(request, response) == [request, response]
    assert not talk.sent(End.TARGET)[0].rules
    assert not talk.engine.differs(1)


# --- keys that are added, and their answers ---


def test_a_key_that_the_initiator_does_not_offer_is_added_and_its_answer_taken_out() -> None:
    talk = begin("{target: {HeaderDigest: CRC32C}}")
    assert asked(talk, {"MaxBurstLength": "512"}) == b"MaxBurstLength=512\0HeaderDigest=CRC32C\0"
    assert answered(talk, {"HeaderDigest": "CRC32C", "MaxBurstLength": "512"}) == b"MaxBurstLength=512\0"
    assert [str(change) for change in talk.sent(End.INITIATOR)[0].changes] == ["text.HeaderDigest CRC32C -> removed"]
    assert not talk.told("skipped")


def test_answers_of_no_value_to_keys_of_the_proxy_are_taken_out_too() -> None:
    talk = begin("{target: {X-com.example.a: 1, InitiatorAlias: me}}")
    assert asked(talk, {}) == b"X-com.example.a=1\0InitiatorAlias=me\0"
    assert answered(talk, {"X-com.example.a": "NotUnderstood", "InitiatorAlias": "Reject"}) == b""
    assert talk.told("skipped") == [
        "negotiate: the target leg did not settle on X-com.example.a=1: NotUnderstood came",
        "negotiate: the target leg did not settle on InitiatorAlias=me: Reject came",
    ]


def test_an_operational_key_waits_for_the_end_of_its_stage_and_a_name_does_not() -> None:
    talk = begin("{target: {HeaderDigest: CRC32C, InitiatorAlias: me}}")
    assert asked(talk, {"AuthMethod": "None"}, CSG=0, NSG=1) == b"AuthMethod=None\0InitiatorAlias=me\0"
    assert answered(talk, {"AuthMethod": "None"}, CSG=0, NSG=1, TSIH=0) == b"AuthMethod=None\0"
    (out,) = talk.say(login_request({"MaxBurstLength": "512"}, T=0, NSG=0))
    assert out.data == b"MaxBurstLength=512\0"
    talk.say(login_response({"MaxBurstLength": "512"}, T=0, NSG=0, TSIH=0, StatSN=101))
    (out,) = talk.say(login_request({}))
    assert out.data == b"HeaderDigest=CRC32C\0"
    (out,) = talk.say(login_response({"HeaderDigest": "CRC32C"}, StatSN=102))
    assert out.data == b""
    assert talk.digests[1, End.TARGET] == (True, False)
    assert talk.digests[1, End.INITIATOR] == (False, False)


def test_a_stage_that_is_left_out_cannot_be_negotiated_in() -> None:
    talk = begin("{target: {HeaderDigest: CRC32C, MaxBurstLength: 262144}}")
    assert asked(talk, {"AuthMethod": "None"}, CSG=0, NSG=3) == b"AuthMethod=None\0"
    answered(talk, {"AuthMethod": "None"}, CSG=0, NSG=3)
    assert talk.told("skipped") == [  # the other one has its default
        "negotiate: the target leg did not settle on HeaderDigest=CRC32C: it was never offered, so None holds"
    ]


def test_what_the_initiator_offers_when_the_proxy_has_done_so_is_answered_without_the_target() -> None:
    talk = begin("{target: {MaxBurstLength: 4096, FirstBurstLength: 512}, initiator: {FirstBurstLength: 1024}}")
    assert asked(talk, {}) == b"MaxBurstLength=4096\0FirstBurstLength=512\0"
    assert answered(talk, {"MaxBurstLength": "4096", "FirstBurstLength": "512"}, T=0, NSG=0, TSIH=0) == b""
    offer = {"FirstBurstLength": "65536", "MaxBurstLength": "2048"}
    (out,) = talk.say(login_request(offer))
    assert out.data == b""
    (out,) = talk.say(login_response({}, StatSN=101))
    assert out.data == b"FirstBurstLength=1024\0MaxBurstLength=2048\0"
    assert not talk.told("skipped")


def test_a_session_that_is_joined_has_its_keys() -> None:
    talk = Dialogue(
        "negotiate: {target: {MaxBurstLength: 512, DataDigest: None}}\nrules: [{when: R2T as any}]", connect=False
    )
    talk.connect(keys={"MaxBurstLength": "4096"}, TSIH=0)
    talk.connect(2, login=False)
    joining = login_request({**NAMES}, TSIH=8, CID=2)
    (out,) = talk.say(joining, conn=2)
    assert out.data == text(NAMES) + b"DataDigest=None\0"


def test_what_means_nothing_in_discovery_is_left_alone() -> None:
    talk = begin("{target: {FirstBurstLength: 512, HeaderDigest: CRC32C}, initiator: {FirstBurstLength: 1024}}")
    names = {"InitiatorName": "iqn.a", "SessionType": "Discovery"}
    (out,) = talk.say(login_request({**names, "FirstBurstLength": "4096"}))
    assert out.data == text({**names, "FirstBurstLength": "4096", "HeaderDigest": "CRC32C"})
    (out,) = talk.say(login_response({"FirstBurstLength": "Irrelevant", "HeaderDigest": "CRC32C"}))
    assert out.data == b"FirstBurstLength=Irrelevant\0"
    assert not talk.told("skipped")


# --- answers that the scenario does not name ---


@pytest.mark.parametrize(
    ("key", "told", "offer", "answer", "heard"),
    [
        ("FirstBurstLength", "4096", "512", "4096", "512"),
        ("FirstBurstLength", "512", "4096", "512", "512"),
        ("DefaultTime2Wait", "1", "20", "5", "20"),
        ("ImmediateData", "Yes", "No", "Yes", "No"),
        ("ImmediateData", "No", "Yes", "No", "No"),
        ("InitialR2T", "No", "Yes", "No", "Yes"),
        ("HeaderDigest", "CRC32C", "None", "CRC32C", "None"),
        ("HeaderDigest", "None", "CRC32C", "None", "CRC32C"),
        ("HeaderDigest", "CRC32C", CRC, "CRC32C", "CRC32C"),
        ("HeaderDigest", "CRC32C", "None", "Reject", "Reject"),
        ("MaxOutstandingR2T", "9", "4", "Irrelevant", "Irrelevant"),
    ],
)
def test_the_initiator_gets_an_answer_that_its_own_offer_allows(
    key: str, told: str, offer: str, answer: str, heard: str
) -> None:
    talk = begin(f"{{target: {{{key}: {told}}}}}")
    assert asked(talk, {key: offer}) == text({key: told})
    assert answered(talk, {key: answer}) == text({key: heard})


def test_an_offer_that_decides_for_the_target_still_has_its_answer() -> None:
    talk = begin("{target: {ImmediateData: No, InitialR2T: Yes}}")
    assert asked(talk, {"ImmediateData": "Yes", "InitialR2T": "No"}) == b"ImmediateData=No\0InitialR2T=Yes\0"
    assert answered(talk, {}) == b"ImmediateData=No\0InitialR2T=Yes\0"
    assert not talk.told("skipped")


def test_an_offer_that_decides_alone_needs_no_answer() -> None:
    talk = begin("{target: {ImmediateData: Yes}, initiator: {InitialR2T: Yes}}")
    asked(talk, {"ImmediateData": "No", "InitialR2T": "Yes"})
    assert answered(talk, {}) == b""


def test_an_answer_that_the_target_leaves_out_is_given_all_the_same() -> None:
    talk = begin("{target: {ImmediateData: No}, initiator: {ImmediateData: Yes}}")
    asked(talk, {"ImmediateData": "Yes"})
    assert answered(talk, {}) == b"ImmediateData=Yes\0"
    assert not talk.told("skipped")
    assert talk.engine.differs(1)


def test_a_target_that_offers_itself_is_left_to_do_so() -> None:
    talk = begin("{target: {MaxBurstLength: 4096}, initiator: {MaxBurstLength: 1024}}")
    assert asked(talk, {}, T=0, NSG=0) == b""
    assert answered(talk, {"MaxBurstLength": "8192"}, T=0, NSG=0, TSIH=0) == b"MaxBurstLength=8192\0"
    (out,) = talk.say(login_request({"MaxBurstLength": "8192"}))
    assert out.data == b"MaxBurstLength=4096\0"


# --- declared keys ---


def test_each_end_is_told_what_the_other_takes() -> None:
    talk = begin("{target: {MaxRecvDataSegmentLength: 1024}, initiator: {MaxRecvDataSegmentLength: 2048}}")
    assert asked(talk, {"MaxRecvDataSegmentLength": "65536"}) == b"MaxRecvDataSegmentLength=1024\0"
    assert answered(talk, {"MaxRecvDataSegmentLength": "32768"}) == b"MaxRecvDataSegmentLength=2048\0"
    lengths = {leg: {end: talk.trackers[leg].max_recv_data_segment_length(1, end) for end in End} for leg in End}
    assert lengths == {
        End.TARGET: {End.INITIATOR: 1024, End.TARGET: 32768},
        End.INITIATOR: {End.INITIATOR: 65536, End.TARGET: 2048},
    }
    assert not talk.told("skipped")
    assert talk.engine.differs(1)


def test_what_an_end_does_not_declare_is_declared_for_it() -> None:
    talk = begin("{target: {MaxRecvDataSegmentLength: 1024}, initiator: {MaxRecvDataSegmentLength: 2048}}")
    assert asked(talk, {}) == b"MaxRecvDataSegmentLength=1024\0"
    assert answered(talk, {}) == b"MaxRecvDataSegmentLength=2048\0"
    assert not talk.told("skipped")


def test_a_declaration_of_the_target_is_no_answer_to_one_of_the_proxy() -> None:
    talk = begin("{target: {MaxRecvDataSegmentLength: 1024}}")
    asked(talk, {})
    assert answered(talk, {"MaxRecvDataSegmentLength": "32768"}) == b"MaxRecvDataSegmentLength=32768\0"


# --- texts in pieces ---

WHOLE = login_request({**NAMES, "FirstBurstLength": "262144", "MaxBurstLength": "262144"})
TOLD = text({**NAMES, "FirstBurstLength": "512", "MaxBurstLength": "262144"}) + b"DataDigest=CRC32C\0"
ANSWER = login_response({**TPGT, "DataDigest": "CRC32C", "FirstBurstLength": "512", "MaxBurstLength": "262144"})
HEARD = text({**TPGT, "FirstBurstLength": "65536", "MaxBurstLength": "262144"})
PIECES = "{target: {FirstBurstLength: 512, DataDigest: CRC32C}, initiator: {FirstBurstLength: '(min(offer, 65536))'}}"


@pytest.mark.parametrize("at", range(len(WHOLE.data) + 1))
def test_a_request_may_be_cut_anywhere(at: int) -> None:
    talk = begin(PIECES)
    first, last = cut(WHOLE, at)
    (one,) = talk.say(first)
    assert one["C"] == 1
    assert TOLD.startswith(one.data)  # nothing is said that may still change
    talk.say(login_response(T=0, NSG=0, TSIH=0))
    (other,) = talk.say(last)
    assert one.data + other.data == TOLD
    (heard,) = talk.say(ANSWER.with_fields({"StatSN": 101}))
    assert heard.data == HEARD


@pytest.mark.parametrize("at", range(len(ANSWER.data) + 1))
def test_a_response_may_be_cut_anywhere(at: int) -> None:
    talk = begin(PIECES)
    talk.say(WHOLE)
    first, last = cut(ANSWER, at, StatSN=101)
    one, _, other = talk.say(first.with_fields({"TSIH": 0}), login_request(T=1), last)
    assert one.data + other.data == HEARD
    assert not talk.told("skipped")


def test_bytes_that_nobody_asked_about_stay_as_odd_as_they_are() -> None:
    talk = begin("{target: {MaxBurstLength: 512}}")
    odd = b"\0\0A\0X-\xff=\xfe\0MaxBurstLength\0MaxBurstLengthX=1\0MaxBurstLength=1024"
    (out,) = talk.say(login_request(text(NAMES) + odd))
    assert out.data == text(NAMES) + odd.replace(b"MaxBurstLength\0", b"MaxBurstLength=512\0").replace(
        b"=1024", b"=512"
    )


def test_a_text_that_gets_too_long_stays_as_it_is() -> None:
    talk = begin("{target: {MaxBurstLength: 512, HeaderDigest: CRC32C}}")
    whole = login_request({**NAMES, "MaxBurstLength": "262144", "X-com.example.pad": "x" * 7980})
    assert len(whole.data) < 8192
    padding = 8192 - len(whole.data)
    whole = whole.with_data(whole.data.replace(b"pad=", b"pad=" + b"x" * padding))
    assert len(whole.data) == 8192
    assert talk.say(whole) == [whole]
    assert "gets 8209 bytes long, the receiver takes 8192" in talk.told("failed")[0]
    answered(talk, {"MaxBurstLength": "262144"})
    assert talk.told("skipped") == [
        "negotiate: the target leg did not settle on MaxBurstLength=512: it was never offered, so 262144 holds",
        "negotiate: the target leg did not settle on HeaderDigest=CRC32C: it was never offered, so None holds",
    ]


def test_a_text_in_pieces_that_gets_too_long_loses_nothing() -> None:
    talk = begin("{target: {MaxBurstLength: 512, HeaderDigest: CRC32C}}")
    tail = b"144\0X-com.example.pad=" + b"x" * 8165 + b"\0"
    first = text(NAMES) + b"MaxBurstLength=262"
    between = login_response(T=0, NSG=0, TSIH=0)
    one, _, other = talk.say(login_request(first, C=1, T=0, NSG=0), between, login_request(tail))
    assert one.data == text(NAMES)
    assert one.data + other.data == first + tail
    assert "the receiver takes 8192" in talk.told("failed")[0]


# --- what did not come about ---


@pytest.mark.parametrize(
    ("negotiate", "offer", "answer", "miss"),
    [
        (
            "{target: {FirstBurstLength: 512}}",
            {"FirstBurstLength": "4096"},
            {"FirstBurstLength": "1024"},
            "target leg did not settle on FirstBurstLength=512: 1024 came",
        ),
        (
            "{target: {InitialR2T: No}}",
            {"InitialR2T": "No"},
            {"InitialR2T": "Yes"},
            "target leg did not settle on InitialR2T=No: Yes came",
        ),
        (
            "{target: {HeaderDigest: CRC32C}}",
            {},
            {"HeaderDigest": "Reject"},
            "target leg did not settle on HeaderDigest=CRC32C: Reject came",
        ),
        (
            "{target: {FirstBurstLength: 512}}",
            {},
            {},
            "target leg did not settle on FirstBurstLength=512: no answer came, so 65536 holds",
        ),
        (
            "{initiator: {FirstBurstLength: 512}}",
            {},
            {},
            "initiator leg did not settle on FirstBurstLength=512: it was never offered, so 65536 holds",
        ),
        (
            "{initiator: {FirstBurstLength: (offer + 1)}}",
            {"FirstBurstLength": "4096"},
            {"FirstBurstLength": "4096"},
            "initiator leg did not settle on FirstBurstLength=4097: 4096 came",
        ),
        ("{target: {HeaderDigest: 'CRC32C,None'}}", {}, {"HeaderDigest": "None"}, ""),
        ("{target: {FirstBurstLength: 0x200}}", {}, {"FirstBurstLength": "512"}, ""),
        ("{initiator: {ImmediateData: Yes}}", {}, {}, ""),
        ("{initiator: {HeaderDigest: CRC32C}}", {"HeaderDigest": CRC}, {"HeaderDigest": "None"}, ""),
    ],
)
def test_a_leg_that_does_not_settle_is_told_of(negotiate: str, offer: Keys, answer: Keys, miss: str) -> None:
    talk = begin(negotiate)
    asked(talk, offer)
    answered(talk, answer)
    assert talk.told("skipped") == ([f"negotiate: the {miss}"] if miss else [])


def test_a_value_that_is_absent_changes_nothing() -> None:
    talk = begin("{target: {FirstBurstLength: '(min(offer, 512))'}}")
    assert asked(talk, {}) == b""
    answered(talk, {})
    assert talk.told("failed") == ["negotiate: FirstBurstLength for the target: the value is absent"]
    assert not talk.told("skipped")


def test_a_login_that_fails_is_left_to_fail() -> None:
    talk = begin("{target: {HeaderDigest: CRC32C}, initiator: {MaxBurstLength: 512}}")
    asked(talk, {"MaxBurstLength": "4096"})
    refusal = login_response({}, T=0, NSG=0, TSIH=0, **{"Status-Class": 2})
    assert talk.say(refusal) == [refusal]
    assert not talk.told("skipped")


# --- its place in a run ---


def test_it_is_no_act_and_so_no_fault() -> None:
    talk = Dialogue(
        "negotiate: {target: {MaxBurstLength: 512}}\n"
        "rules:\n  - when: fault then Text-Request\n    do: {set: {F: 0}}\n"
        "  - when: Text-Request nth 2\n    do: {set: {text.A: 2}}\n",
        connect=False,
    )
    talk.connect(keys={"MaxBurstLength": "4096"})
    outs = [talk.say(text_request(1, 10 + n, b"A=1\0"))[0] for n in range(3)]
    assert [out["F"] for out in outs] == [1, 1, 0]


def test_rules_see_what_came_and_change_what_is_told() -> None:
    talk = Dialogue(
        "negotiate: {target: {MaxBurstLength: 512}}\n"
        'rules:\n  - when: Login-Request where text.MaxBurstLength == "4096"\n    do: {text: {add: [X-a=1]}}\n',
        connect=False,
    )
    talk.connect(login=False)
    assert asked(talk, {"MaxBurstLength": "4096"}) == b"MaxBurstLength=512\0X-a=1\0"


def test_a_login_that_is_split_into_rounds_is_led_as_one() -> None:
    talk = Dialogue(
        "negotiate: {target: {MaxBurstLength: 512, HeaderDigest: CRC32C}, initiator: {MaxBurstLength: 1024}}\n"
        "rules:\n  - when: Login-Request nth 1\n    do: {split_text: {by: T, rounds: 3}}\n",
        connect=False,
    )
    talk.connect(login=False)
    assert asked(talk, {"MaxBurstLength": "4096"}) == b"MaxBurstLength=512\0HeaderDigest=CRC32C\0"
    between = {"T": 0, "NSG": 0, "TSIH": 0}
    (second,) = talk.say(login_response({**TPGT, "MaxBurstLength": "512"}, **between))
    (third,) = talk.say(login_response({"HeaderDigest": "CRC32C"}, StatSN=101, **between))
    assert (second.data, third.data) == (b"", b"")
    (answer,) = talk.say(login_response({}, StatSN=102))
    assert answer.data == text({**TPGT, "MaxBurstLength": "1024"})
    assert not talk.told("skipped")


def test_logins_behind_the_end_are_left_alone_and_what_was_told_two_things_is_reset() -> None:
    talk = begin("{target: {MaxBurstLength: 512}}")
    asked(talk, {"MaxBurstLength": "4096"})
    talk.end()
    assert talk.wire[-1] == "rst both"
    talk.connect(2, login=False)
    request = login_request({**NAMES, "MaxBurstLength": "4096"}, CID=2)
    assert talk.say(request, conn=2) == [request]


def test_a_connection_is_forgotten_when_both_its_legs_have_ended() -> None:
    talk = begin("{target: {MaxRecvDataSegmentLength: 512}}")
    asked(talk, {})
    answered(talk, {})
    talk.closed(End.INITIATOR)
    assert talk.engine.differs(1)
    talk.closed(End.TARGET, by="proxy")
    assert not talk.engine.differs(1)


def test_a_login_that_was_begun_before_is_none_of_its() -> None:
    talk = begin("{target: {MaxBurstLength: 512}}")
    for leg in End:
        talk.trackers[leg].observe(1, login_request(NAMES, T=0, NSG=0), 0.0)
    request = login_request({"MaxBurstLength": "4096"})
    assert talk.say(request) == [request]


def test_it_leads_no_login_before_the_rules_are_in_force() -> None:
    talk = begin("{target: {MaxBurstLength: 512}}")
    engine = Engine([talk.scenario], rng=Random(1), state=talk.state, armed=False)
    event = Received(n=9, at=0.0, conn=1, leg=End.INITIATOR, pdu=login_request({**NAMES, "MaxBurstLength": "4096"}))
    assert engine.received(event, (False, False)) == []
    engine.start(1.0)
    (sent,) = (one for one in engine.received(event, (False, False)) if isinstance(one, Send))
    assert sent.pdu.data == text({**NAMES, "MaxBurstLength": "512"})
