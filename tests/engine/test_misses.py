from __future__ import annotations

import pytest

from iscsiproxy.engine.captures import Book
from iscsiproxy.engine.facts import Look
from iscsiproxy.engine.match import Matcher
from iscsiproxy.engine.misses import Miss, conditions_of, diagnose, picks_text, seen_by
from iscsiproxy.language.spec import Pattern, Picks
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from tests.engine.dialogue import Dialogue
from tests.journal.story import command, data_in, login, response


def matcher(text: str) -> Matcher:
    body = (
        "scenario: x\nvictim: target\nrules:\n  - when: SCSI-Command nth 1 as n\n"
        f"  - when: '{text}'\n    do: {{note: x}}\n"
    )
    (_, rule) = Dialogue(body, connect=False).scenario.rules
    step = rule.when[0].steps[0]
    assert isinstance(step, Pattern)
    return Matcher(step, "target")


def look_at(pdu: Pdu | None, *, event: str = "", by_proxy: bool = False, bound: Pdu | None = None) -> Look:
    talk = Dialogue("rules: [{when: R2T, do: drop}]")
    book = Book()
    if bound is not None:
        book.bind("n", Look(1, 0.0, End.INITIATOR, talk.state, talk.engine.rng, book, bound, 1), each=False)
    leg = pdu.sender if pdu is not None else End.INITIATOR
    look = Look(1, 0.0, leg, talk.state, talk.engine.rng, book, pdu, 7, True, event)
    look.by_proxy = by_proxy
    return look


def why(text: str, look: Look) -> Miss:
    one = matcher(text)
    assert seen_by(one, look)
    assert not one.test(look)
    return diagnose(one.pattern, conditions_of(one.pattern), look).told(look, line=3)


#: A pattern, what it does not match, at which stage, what was written and what was found.
MISSES = [
    ("SCSI-Command where W", look_at(command()), "where", "W", "W is 0"),
    ("SCSI-Command where not R", look_at(command()), "where", "not R", "R is 1"),
    ("SCSI-Command where R and EDTL < 512", look_at(command()), "where", "EDTL < 512", "EDTL is 4096"),
    ("SCSI-Command where ATTR == ORDERED", look_at(command()), "where", "ATTR == ORDERED", "ATTR is SIMPLE"),
    ("SCSI-Command where ITT == none", look_at(command(5)), "where", "ITT == none", "ITT is 0x5"),
    (
        "SCSI-Command where CmdSN == n.CmdSN + 1",
        look_at(command(9), bound=command(3)),
        "where",
        "CmdSN == n.CmdSN + 1",
        "CmdSN is 9, n.CmdSN + 1 is 4",
    ),
    ("SCSI-Command where W or EDTL == 1", look_at(command()), "where", "W or EDTL == 1", "W is 0, EDTL is 4096"),
    ("SCSI-Command where EDTL in (1, 2)", look_at(command()), "where", "EDTL in (1, 2)", "EDTL is 4096"),
    (
        'SCSI-Command where CDB.name == "WRITE(10)"',
        look_at(command()),
        "where",
        'CDB.name == "WRITE(10)"',
        'CDB.name is "READ(10)"',
    ),
    ("SCSI-Response where sense == B/0C/0D", look_at(response()), "where", "sense == B/0C/0D", "sense is absent"),
    ("SCSI-Command where CmdSN > n.CmdSN", look_at(command()), "names", "n", "it is not bound"),
    ("SCSI-Response of n", look_at(response()), "of", "of n", "`n` is not bound"),
    ("SCSI-Response of n", look_at(response(2), bound=command(1)), "of", "of n", "its ITT is 0x2, that of `n` 0x1"),
    (
        "close from target",
        look_at(None, event="close"),
        "from",
        "from target",
        "it is from the initiator",
    ),
    ("close", look_at(None, event="close", by_proxy=True), "from", "what a peer has sent", "the proxy did it"),
    ("Status-PDU", look_at(data_in(S=0)), "kind", "Status-PDU", "it advances no StatSN"),
    (
        "SCSI-Response where replica(n)",
        look_at(response(2), bound=command(1)),
        "where",
        "replica(n)",
        "it is another one",
    ),
]


@pytest.mark.parametrize(("text", "look", "stage", "clause", "found"), MISSES)
def test_the_first_thing_that_is_not_so_is_told(text: str, look: Look, stage: str, clause: str, found: str) -> None:
    miss = why(text, look)
    assert (miss.stage, miss.n, miss.line) == (stage, 7, 3)
    assert [(one.text, one.found) for one in miss.clauses] == [(clause, found)]


def test_every_condition_that_fails_is_told() -> None:
    miss = why("SCSI-Command where W and R and EDTL == 1", look_at(command()))
    assert [one.text for one in miss.clauses] == ["W", "EDTL == 1"]
    assert (miss.passed, miss.total) == (1, 3)


def test_the_nearer_a_miss_the_lower_its_rank() -> None:
    text = "SCSI-Command where R and EDTL == 512"
    near, far = why(text, look_at(command(EDTL=513))), why(text, look_at(command(EDTL=4096)))
    none = why(text, look_at(command(EDTL=512, R=0, W=1)))
    assert near.rank < far.rank
    assert near.rank < none.rank or none.distance < near.distance
    unbound = why("SCSI-Command where R and CmdSN == n.CmdSN", look_at(command()))
    assert far.rank < unbound.rank


def test_texts_are_the_nearer_the_later_they_differ() -> None:
    text = 'SCSI-Command where CDB.name == "WRITE(16)"'
    write, read = look_at(command(1, b"x")), look_at(command())
    assert why(text, write).rank < why(text, read).rank


@pytest.mark.parametrize("text", ['text.CHAP_R == "0x1"', 'data contains "nothing like it"'])
def test_the_proof_of_a_secret_is_not_shown(text: str) -> None:
    miss = why(f"Login-Request where {text}", look_at(login("CHAP_R=0xsecret", "A=b")))
    assert "secret" not in miss.clauses[0].found
    assert "not shown" in miss.clauses[0].found


def test_what_is_seen_is_of_the_kind_and_on_the_leg() -> None:
    there = matcher("SCSI-Command at target")
    look = look_at(command())
    assert not seen_by(there, look)
    assert seen_by(matcher("SCSI-Command at initiator"), look)
    assert not seen_by(matcher("R2T"), look)
    assert not seen_by(matcher("SCSI-Command"), look_at(None, event="connect"))


def test_picks_are_written_as_they_are_read() -> None:
    picks = Picks(after=2, nth=(1, 3), every=2, mask=(True, False), chance=0.005, times=7, per="session")
    assert picks_text(picks) == "after 2 nth 1..3 every 2 mask 10 chance 0.5% times 7 per session"
    assert picks_text(Picks(nth=(4, 4))) == "nth 4"
