from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import pytest

from iscsiproxy.journal import Journal, Veil, read, veil_text
from iscsiproxy.session.events import Change, Event
from iscsiproxy.wire.digest import digest
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.journal.story import INITIATOR, KEYS, TARGET, Story, change, login, text

__all__: list[str] = []

#: An answer as initiators write it, no part of which is in anything else here
SECRET = "0x5ec2e7a95ec2e7a95ec2e7a95ec2e7a9"
PAIRS = ("CHAP_N=jack", f"CHAP_R={SECRET}", "CHAP_I=7")
#: Pieces that short say nothing; all longer ones must not be seen
SHORT = 4
PIECES = {SECRET[at : at + SHORT].lower() for at in range(2, len(SECRET) - SHORT + 1)}
FORMS = {form for piece in PIECES for form in (piece, piece.encode().hex(), bytes.fromhex(piece).hex())}


def written(tmp_path: Path, events: Iterable[Event]) -> str:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, started=0.0)
    for event in events:
        journal(event)
    assert journal.close()
    with read(path) as reader:
        list(reader)
    return path.read_text()


def shown(journal: str) -> list[str]:
    return sorted(form for form in FORMS if form in journal.lower())


def answer(*pairs: str) -> Pdu:
    return login(*pairs, CSG=0, NSG=1)


def test_the_search_of_these_tests_finds_a_secret(tmp_path: Path) -> None:
    story = Story()
    story.noted("r/1", None, f"it is {SECRET[2:]}")
    assert shown(written(tmp_path, story.events))


def test_an_answer_is_masked_byte_for_byte(tmp_path: Path) -> None:
    story = Story()
    story.passed(answer(*PAIRS))
    journal = written(tmp_path, story.events)
    assert shown(journal) == []
    assert f'"CHAP_R={"*" * len(SECRET)}"' in journal
    for known in ("CHAP_N=jack", "CHAP_I=7"):
        assert known in journal


def test_the_digest_of_an_answer_is_not_told(tmp_path: Path) -> None:
    story = Story()
    pdu = answer(*PAIRS).sealed(header=True, data=True)
    story.passed(pdu)
    story.went(pdu, None)
    journal = written(tmp_path, story.events)
    assert digest((pdu.data, pdu.pad)).hex() not in journal
    assert journal.count('"data_digest_ok":true') == 2


@pytest.mark.parametrize("came", [True, False])
def test_an_answer_cut_anywhere_is_masked(tmp_path: Path, came: bool) -> None:
    data = text(*PAIRS)
    for first, second in itertools.pairwise(range(0, len(data) + 1, 3)):
        story = Story()
        for start, stop in ((0, first), (first, second), (second, len(data))):
            pdu = login().with_data(data[start:stop])
            if came:
                story.passed(pdu)
            else:
                story.went(pdu, None, leg=TARGET)
        assert shown(written(tmp_path, story.events)) == [], (first, second)


def test_a_stream_is_not_taken_for_another(tmp_path: Path) -> None:
    story = Story()
    story.came(login().with_data(f"CHAP_R={SECRET[:10]}".encode()))
    story.came(login("TargetName=iqn.x", opcode=Opcode.LOGIN_RESPONSE))
    story.came(login().with_data(SECRET[10:].encode() + b"\0"))
    journal = written(tmp_path, story.events)
    assert shown(journal) == []
    assert "TargetName=iqn.x" in journal


@pytest.mark.parametrize(
    "changed",
    [
        answer("CHAP_N=jack", f"CHBP_R={SECRET}"),
        answer("CHAP_N=jack", f"CHAP_R{SECRET}"),
        answer(*PAIRS).with_fields({"Opcode": Opcode.NOP_OUT}),
        answer(*PAIRS).with_fields({"Opcode": 0x1C}),
        answer(*PAIRS).with_data(text(*PAIRS)[40:]),
        answer("CHAP_N=jack", "CHAP_R=0xff5ec2e7a95ec2e7a95ec2e7a95ec2e7"),
    ],
    ids=["other key", "no key", "other opcode", "unknown opcode", "cut off", "other value"],
)
def test_what_a_fault_made_of_an_answer_is_masked_too(tmp_path: Path, changed: Pdu) -> None:
    story = Story()
    n = story.came(answer(*PAIRS))
    story.went(changed, n, changes=[change("data", "a", "b")], rules=["corrupt/1"])
    assert shown(written(tmp_path, story.events)) == []


def test_a_login_under_another_opcode_is_withheld(tmp_path: Path) -> None:
    story = Story()
    story.passed(answer(*PAIRS).with_fields({"Opcode": Opcode.DATA_OUT}))
    story.went(answer(*PAIRS).with_fields({"Opcode": Opcode.DATA_OUT}), None)
    journal = written(tmp_path, story.events)
    assert shown(journal) == []
    assert journal.count('"withheld":true') == 2


@pytest.mark.parametrize(
    "one",
    [
        change("CHAP_R", SECRET, "0x00"),
        change("text.CHAP_R", "", SECRET),
        change("CHBP_R", "", SECRET),
        change("data", text(*PAIRS).hex(), "00"),
        change("data[20:24]", SECRET[4:8], "00"),
        change("text", f"CHAP_R={SECRET}", ""),
        change("X-other", "", repr(bytes.fromhex(SECRET[2:]))),
    ],
    ids=lambda one: one.what,
)
def test_changes_say_no_secret(tmp_path: Path, one: Change) -> None:
    story = Story()
    n = story.came(answer(*PAIRS))
    story.fired("corrupt/1", "corrupt", n, str(one), one)
    story.went(answer(*PAIRS), n, changes=[one], rules=["corrupt/1"])
    journal = written(tmp_path, story.events)
    assert [form for form in shown(journal) if form != one.old[:SHORT]] == []


def test_changes_that_are_no_secret_stay() -> None:
    veil = Veil()
    changes = (
        change("ITT", "0x5ec2e7a9", "0x1"),
        change("AuthMethod", "CHAP", "None"),
        change("CHAP_N", "jack", "joe"),
    )
    veil.data(text(*PAIRS), Opcode.LOGIN_REQUEST, conn=1, leg=INITIATOR, came=True, n=1)
    assert veil.bears(1)
    assert veil.changes(changes, of=1) == changes


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (f"CHAP_R={SECRET}", "CHAP_R=(withheld)"),
        (f"set text.CHAP_R to {SECRET}", "set text.CHAP_R to (withheld)"),
        (f"chap_r: {SECRET}, then go", "chap_r: (withheld), then go"),
        ("CHAP_R 0bXsLnqV7C56lewuepXsLnqQ==", "CHAP_R (withheld)"),
        ("dropped Login-Request ITT=0x10", "dropped Login-Request ITT=0x10"),
        ("CHAP_C=0x5ec2e7a95ec2e7a9", "CHAP_C=0x5ec2e7a95ec2e7a9"),
    ],
)
def test_words_say_no_secret(said: str, meant: str) -> None:
    assert veil_text(said) == meant


def test_words_about_an_answer_have_no_long_literals(tmp_path: Path) -> None:
    story = Story()
    n = story.came(answer(*PAIRS))
    for said in (SECRET, repr(text(*PAIRS)), text(*PAIRS).hex(), repr(bytes.fromhex(SECRET[2:]))):
        story.fired("r/1", "corrupt", n, f"data was {said}")
        story.decided("r/1", "failed", n, f"data was {said}")
        story.noted("r/1", n, f"data was {said}")
        story.violated(TARGET, INITIATOR, n, f"data was {said}")
    assert shown(written(tmp_path, story.events)) == []


def test_settled_keys_and_reasons_say_no_secret(tmp_path: Path) -> None:
    story = Story()
    story.full_feature(INITIATOR, f"CHAP_R={SECRET}", "HeaderDigest=None")
    story.unframed(INITIATOR, f"CHAP_R={SECRET} is no header")
    journal = written(tmp_path, story.events)
    assert shown(journal) == []
    assert '["CHAP_R","(withheld)"],["HeaderDigest","None"]' in journal


def test_user_data_is_not_searched_in_full_feature_phase() -> None:
    veil = Veil()
    data = text(*PAIRS)

    def hide(opcode: int) -> bytes | None:
        return veil.data(data, opcode, conn=1, leg=INITIATOR, came=True, n=1)

    assert hide(Opcode.DATA_OUT) is None
    veil.full_feature(1)
    assert hide(Opcode.DATA_OUT) is data
    hidden = hide(Opcode.TEXT_REQUEST)
    assert hidden is not None
    assert hidden != data


def test_what_has_no_secret_is_given_back_itself() -> None:
    veil = Veil()
    data = text(*KEYS)
    for opcode in (Opcode.LOGIN_REQUEST, Opcode.NOP_OUT):
        assert veil.data(data, opcode, conn=1, leg=INITIATOR, came=True, n=1) is data
    assert not veil.bears(1)
    assert not veil.bears(None)


def test_a_connection_is_forgotten_when_both_legs_have_ended() -> None:
    veil = Veil()
    veil.full_feature(1)
    veil.data(b"CHAP_R=0x5e", Opcode.LOGIN_REQUEST, conn=1, leg=INITIATOR, came=True, n=1)
    veil.closed(1, INITIATOR)
    veil.closed(1, INITIATOR)
    assert repr(veil) == "<Veil 1 streams inside a pair, 1 PDUs bore a secret>"
    veil.closed(1, TARGET)
    assert repr(veil) == "<Veil 0 streams inside a pair, 1 PDUs bore a secret>"
