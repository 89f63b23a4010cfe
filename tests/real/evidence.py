"""What faults look like: a check for each kind of fault, on the bytes of both legs and on what tshark reads.

Each looks at one run, and first makes sure that nothing else is different between the legs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from tests.real import tshark
from tests.real.catalogued import HEADER, End, Run, edited
from tests.real.legs import Difference

__all__ = [
    "Check",
    "bursts",
    "changed",
    "clean",
    "doubled",
    "flat",
    "gapless",
    "lost",
    "numbers",
    "only",
    "opcodes",
    "pieces",
    "retold",
    "together",
]

Check: TypeAlias = Callable[[Run], None]

_OTHER: Mapping[End, End] = {"initiator": "target", "target": "initiator"}


def only(found: Sequence[Difference], end: End) -> Difference:
    """Give the only difference there is, and make sure that it is on the way to that end."""
    assert len(found) == 1, found
    assert found[0].to_target == (end == "target")
    return found[0]


def flat(found: Iterable[Difference], end: End) -> tuple[list[bytes], list[bytes]]:
    """Give all that was received for an end and not delivered as it was, and all that was delivered in its place."""
    here = [one for one in found if one.to_target == (end == "target")]
    return [p for one in here for p in one.received], [p for one in here for p in one.delivered]


def opcodes(payloads: Iterable[bytes]) -> list[int]:
    """Give the opcode of each PDU."""
    return [payload[0] & 0x3F for payload in payloads]


def numbers(pdus: Iterable[tshark.Pdu], name: str) -> list[int | None]:
    """Give the value of a field in each PDU."""
    return [pdu.number(name) for pdu in pdus]


def gapless(run: Run) -> None:
    """Make sure that each leg counts on by one, whatever was added or taken away, and that nobody has complained."""
    for end in _OTHER:
        for counted in (*run.cmdsns(end), *run.statsns(end)):
            assert {(b - a) & 0xFFFFFFFF for a, b in pairwise(counted)} <= {1}, (end, counted)
    assert run.named("violated") == []


def clean(run: Run) -> None:
    """Make sure that the initiator has seen nothing wrong."""
    run.finished.check()


def together(*checks: Check) -> Check:
    """Make one check of several."""

    def check(run: Run) -> None:
        for one in checks:
            one(run)

    return check


def changed(
    opcode: int,
    places: Iterable[int],
    *,
    end: End,
    shows: Mapping[str, int] | None = None,
    digest: tshark.Digest | None = None,
) -> Check:
    """Expect that one PDU is changed, in these bytes and no others, and that tshark shows the new values.

    `shows` are tshark's names and values, none of which the PDU may have had before.
    """
    allowed = frozenset(places)

    def check(run: Run) -> None:
        difference = only(run.differences, end)
        (old,), (new,) = difference.received, difference.delivered
        assert old[0] & 0x3F == opcode
        assert len(old) == len(new)
        differing = {at for at, (a, b) in enumerate(zip(old, new, strict=True)) if a != b}
        assert differing
        assert differing <= allowed, differing
        (before,), (after,) = run.struck(_OTHER[end]), run.struck(end)
        for name, value in (shows or {}).items():
            assert after.number(name) == value, name
            assert before.number(name) != value, name
        assert after.header_digest == digest

    return check


def retold(opcode: int, *, end: End, gone: Iterable[str] = (), told: Iterable[str] = ()) -> Check:
    """Expect that the text of one PDU has lost these keys and gained these pairs."""
    lost_keys, new_pairs = set(gone), set(told)

    def check(run: Run) -> None:
        difference = only(run.differences, end)
        assert opcodes(difference.received) == [opcode]
        before, after = edited(difference)
        assert {pair.partition("=")[0] for pair in before} == lost_keys
        assert after == new_pairs
        (struck,) = (pdu for pdu in run.struck(end) if pdu.opcode == opcode)
        (old,) = (pdu for pdu in run.struck(_OTHER[end]) if pdu.opcode == opcode)
        assert set(struck.keys) == set(old.keys) - before | after

    return check


def lost(opcode: int, *, end: End) -> Check:
    """Expect that one PDU never comes to this end."""

    def check(run: Run) -> None:
        difference = only(run.differences, end)
        assert (opcodes(difference.received), difference.delivered) == ([opcode], ())
        assert len(run.leg(end, opcode)) == len(run.leg(_OTHER[end], opcode)) - 1

    return check


def doubled(opcode: int, *, end: End, number: str) -> Check:
    """Expect that one PDU comes twice to this end, with the same value of a field, as no other has."""

    def check(run: Run) -> None:
        difference = only(run.differences, end)
        assert (difference.received, opcodes(difference.delivered)) == ((), [opcode])
        first = run.struck(end)[0]
        seen = [(pdu.text("iscsi.initiatortasktag"), pdu.text(number)) for pdu in run.leg(end, opcode)]
        twice = {one for one in seen if seen.count(one) > 1}
        assert twice == {(first.text("iscsi.initiatortasktag"), first.text(number))}

    return check


def bursts(run: Run, end: End, opcode: int) -> list[list[tshark.Pdu]]:
    """Give the Data-Ins of each command, or the Data-Outs of each R2T, where there are several."""
    found: dict[tuple[str | None, str | None], list[tshark.Pdu]] = {}
    for pdu in run.leg(end, opcode):
        key = pdu.text("iscsi.initiatortasktag"), pdu.text("iscsi.targettransfertag")
        found.setdefault(key, []).append(pdu)
    return [burst for burst in found.values() if len(burst) > 1]


def pieces(opcode: int, *lengths: int, end: End) -> Check:
    """Expect that PDUs of this opcode, and no others, are delivered in pieces, cut behind that many bytes.

    tshark has to find the PDU in the packet with the last piece, and nothing whole in those before.
    """

    def check(run: Run) -> None:
        struck = 0
        for difference in run.differences:
            assert difference.to_target == (end == "target")
            whole, parts = b"".join(difference.received), difference.delivered
            assert b"".join(parts) == whole
            assert set(opcodes(difference.received)) == {opcode}
            assert [len(part) for part in parts[: len(lengths)]] == list(lengths)
            struck += len(difference.received)
        assert struck > 0
        frames = run.struck_frames(end)
        assert [bool(frame.pdus) or not frame.pending for frame in frames] == [False] * struck
        tags = [numbers(run.leg(side, opcode), "iscsi.initiatortasktag") for side in _OTHER]
        assert tags[0] == tags[1]
        assert all(len(payload) > HEADER - 1 for one in run.differences for payload in one.received)

    return check
