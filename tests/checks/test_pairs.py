from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from iscsiproxy.checks import pairs
from iscsiproxy.checks.profiles import Profile
from iscsiproxy.checks.scene.answers import Place
from iscsiproxy.checks.scene.ledger import Ledger
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.talks import Reading
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.text import inspect_text

__all__: list[str] = []

INITIATOR, TARGET = End.INITIATOR, End.TARGET


def reading(*texts: tuple[End, str], stage: int | None = 1, closes: bool = True) -> Reading:
    """Make the reading of the last of some texts."""
    found, ledger = SimpleNamespace(), Ledger()
    for n, (by, text) in enumerate(texts, 1):
        whole, found.problems = inspect_text("".join(f"{pair}\0" for pair in text.split()).encode())
        found.by, found.note = by, Note(n=n, at=float(n), conn=1, leg=TARGET)
        found.said = ledger.hear(by, whole, found.note, stage=stage)
    found.ledger, found.login, found.closes, found.flawed = ledger, stage is not None, closes, False
    found.place = Place(stage=stage, leading=True, discovery=False)
    return cast(Reading, found)


def test_repeated() -> None:
    found = reading((INITIATOR, "DataDigest=None"), (INITIATOR, "DataDigest=CRC32C"))
    breach = pairs.repeated(found.said[0], found)
    assert breach is not None
    assert breach.text == "DataDigest was said before, as DataDigest=None"
    assert ([note.n for note in breach.proof], breach.key) == ([1], "DataDigest")
    twice = reading((INITIATOR, "CHAP_N=a CHAP_N=a"), stage=0)
    assert pairs.repeated(twice.said[1], twice) is None


def test_wrong_answer() -> None:
    found = reading((INITIATOR, "DataDigest=CRC32C"), (TARGET, "DataDigest=None"))
    breach = pairs.wrong_answer(found.said[0], found, Profile.RFC7144)
    assert breach is not None
    assert breach.text == "DataDigest=None answers DataDigest=CRC32C: not one of those"
    assert (breach.clause, breach.key) == ("RFC 7143 6.2.1", "DataDigest")
    assert pairs.wrong_answer(reading((INITIATOR, "X-a=1"), (TARGET, "X-a=2")).said[0], found, Profile.RFC7144) is None


def test_wrong_value() -> None:
    breach = pairs.wrong_value(reading((INITIATOR, "MaxConnections=0")).said[0])
    assert breach is not None
    assert (breach.clause, breach.key) == ("RFC 7143 13.2", "MaxConnections")
    assert pairs.wrong_value(reading((INITIATOR, "X-a=0")).said[0]) is None


def test_wrong_place() -> None:
    found = reading((INITIATOR, "DataDigest=None"), (TARGET, "DataDigest=None"), stage=0)
    assert pairs.wrong_place(found.said[0], found) is None, "the initiator has begun with it"
    found = reading((TARGET, "DataDigest=None"), stage=0)
    breach = pairs.wrong_place(found.said[0], found)
    assert breach is not None
    assert breach.key == "DataDigest"


def test_reserved() -> None:
    found = reading((INITIATOR, "DataDigest=None"), (TARGET, "DataDigest=NotUnderstood"))
    breach = pairs.reserved(found.said[0], found, Profile.RFC7144)
    assert breach is not None
    assert breach.key == "DataDigest"
    assert pairs.unknown(found.said[0], found, Profile.RFC3720)
    found = reading((TARGET, "DataDigest=None"), stage=None)
    assert pairs.reserved(found.said[0], found, Profile.RFC7144) is None


def test_left_open() -> None:
    found = reading((INITIATOR, "DataDigest=None AuthMethod=None X-a=1 x-b=1"), (TARGET, "TargetAlias=x"))
    known = pairs.left_open(found, INITIATOR, known=True)
    unknown = pairs.left_open(found, INITIATOR, known=False)
    assert known is not None
    assert unknown is not None
    assert (known.text, unknown.text) == ("no answer to DataDigest=None", "no answer to X-a=1")
    assert (known.key, unknown.key) == ("DataDigest", "X-a")
    assert pairs.left_open(found, INITIATOR, known=True) is None, "it is told once"
    assert pairs.left_open(reading((INITIATOR, "A=1"), (TARGET, "B=1"), closes=False), INITIATOR, known=False) is None


def test_ill_formed() -> None:
    breach = pairs.ill_formed(reading((TARGET, "x-a=1")))
    assert breach is not None
    assert breach.text == "text at byte 0: a key that does not begin with a capital letter, 'x-a'"
    assert pairs.ill_formed(reading((INITIATOR, "x-a=1"), (TARGET, "x-a=NotUnderstood"))) is None
