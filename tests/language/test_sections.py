from __future__ import annotations

import pytest

from iscsiproxy.language.spec import Call, Literal_, Timing, ValueKind
from iscsiproxy.wire.opcodes import End
from tests.language.samples import errors_of, read

__all__: list[str] = []

RULES = "\nrules: {when: R2T, do: drop}\n"


def test_needs() -> None:
    needs = read("needs: [initiator.depth >= 2, session.type == Normal, profile != rfc3720]" + RULES).needs
    assert [need.kind for need in needs] == [ValueKind.TRUTH] * 3
    assert len(read("needs: key.ErrorRecoveryLevel > 0" + RULES).needs) == 1


def test_traffic_has_defaults() -> None:
    assert read(RULES).traffic == {"io": "verify", "size": "65536", "depth": "1", "luns": "1"}


def test_traffic() -> None:
    traffic = read("traffic: {io: write, size: 256KiB, depth: 4, luns: 2, offer: {ImmediateData: No}}" + RULES).traffic
    assert traffic == {"io": "write", "size": "262144", "depth": "4", "luns": "2", "offer": {"ImmediateData": "No"}}


def test_negotiate() -> None:
    found = read(
        "negotiate:\n  target: {HeaderDigest: CRC32C, X-com.example.a: '(\"b\")'}\n"
        "  initiator:\n    FirstBurstLength: (min(offer, 65536))\n" + RULES
    ).negotiate
    assert list(found) == [End.TARGET, End.INITIATOR]
    told = found[End.TARGET]["HeaderDigest"]
    assert isinstance(told, Literal_)
    assert (told.value, told.kind) == ("CRC32C", ValueKind.TEXT)
    computed = found[End.INITIATOR]["FirstBurstLength"]
    assert isinstance(computed, Call)
    assert computed.kind is ValueKind.NUMBER


def test_timing() -> None:
    assert read(RULES).timing == Timing(quiet=1.0, hang=5.0, within=10.0)
    assert read("timing: {quiet: 200ms, within: 1min}" + RULES).timing == Timing(quiet=0.2, hang=5.0, within=60.0)


#: section, column, part of the message, part of the hint
WRONG = [
    ("needs: [conn.CID == 3]", 9, "`conn.CID` has no meaning here", "session, key, declared"),
    ("needs: [initiator.dept > 1]", 9, "`initiator.dept` has no meaning here", "`initiator.depth`"),
    ("needs: [initiator.depth]", 9, "expected a test", ""),
    ("needs: [key.ErrorRecoverLevel > 1]", 9, "no text key", "`ErrorRecoveryLevel`"),
    ("needs: {a: b}", 8, "expected a test, not a mapping", ""),
    ("traffic: verify", 10, "expected `traffic`: a mapping", ""),
    ("traffic: {oi: verify}", 11, "`traffic` has no key `oi`", "there are io, size"),
    ("traffic: {io: wirte}", 15, "`io` is `verify`", "`write`"),
    ("traffic: {size: 64kB}", 17, "`size` is a number of at least 1, not `64kB`", ""),
    ("traffic: {depth: 0}", 18, "`depth` is a number of at least 1", ""),
    ("traffic: {offer: x}", 18, "expected `offer`", ""),
    ("traffic: {offer: {A: [1]}}", 22, "expected a value for A, not a list", ""),
    ("negotiate: {victim: {A: b}}", 13, "`negotiate` has no key `victim`", "initiator, target"),
    ("negotiate: {target: {}}", 21, "`target` is empty", ""),
    ("negotiate: {target: {HeaderDigests: None}}", 22, "no text key `HeaderDigests`", "`HeaderDigest`"),
    ("negotiate: {target: {MaxBurstLength: (ofer + 1)}}", 39, "`ofer` has no meaning here", "`offer`"),
    ("negotiate: {target: {MaxBurstLength: (offer == 1)}}", 38, "expected a text or a number, not a test", ""),
    ("negotiate: {target: {TargetAlias: (offer + 1)}}", 42, "`+` reckons with numbers", ""),
    ("timing: {hang: 5}", 16, "`hang` is a duration, not `5`", "ms, s or min"),
    ("timing: {hnag: 5s}", 10, "`timing` has no key `hnag`", "`hang`"),
]


@pytest.mark.parametrize(("section", "column", "message", "hint"), WRONG)
def test_what_is_wrong(section: str, column: int, message: str, hint: str) -> None:
    (error,) = errors_of(section + RULES)
    assert message in error.message
    assert (error.line, error.column) == (3, column)
    assert hint in (error.hint or "")
