"""`corrupt`: flip seeded bits in one part of the PDU, or give it another digest."""

from __future__ import annotations

from iscsiproxy.engine.hand import Hand
from iscsiproxy.engine.work import ActError, Built, Pause, Work
from iscsiproxy.language.spec import ActSpec, Literal_, Param, ParamKind, ValueKind
from iscsiproxy.session.events import Change
from iscsiproxy.wire.digest import digest
from iscsiproxy.wire.pdu import Pdu

__all__ = ["SPEC", "run"]

_DIGESTS = ("header-digest", "data-digest")
_PARTS = ("header", "ahs", "data", "pad", *_DIGESTS)

SPEC = ActSpec(
    name="corrupt",
    help="flip bits, drawn with the run's seed, in one part of the PDU; or give it a digest that is wrong in itself",
    main="what",
    params=(
        Param(name="what", kind=ParamKind.CHOICE, help="the part", required=True, choices=_PARTS),
        Param(name="at", kind=ParamKind.NUMBER, help="the byte of the part to begin at; drawn if not given"),
        Param(
            name="bits",
            kind=ParamKind.NUMBER,
            help="how many bits",
            default=Literal_(value=1, kind=ValueKind.NUMBER),
        ),
        Param(
            name="digest",
            kind=ParamKind.CHOICE,
            help=(
                "right: the digest fits the new bytes; keep: the old digest stays over them; "
                "unpadded: no bit is flipped, the data digest is that of the data without its padding; "
                "added: a right digest where the connection has none, four bytes too many"
            ),
            default="right",
            choices=("right", "keep", "unpadded", "added"),
            goes_with=(
                ("unpadded", "what", ("data-digest",)),
                ("added", "what", _DIGESTS),
            ),
        ),
    ),
    changes=True,
)


def run(act: Built, work: Work) -> Pause | None:
    """Flip bits in what is in hand."""
    hand = work.need_hand()
    part = act.params["what"]
    if act.params["digest"] in ("unpadded", "added"):
        if act.params["at"] is not None:
            raise ActError(f"digest: {act.params['digest']} flips no bits, so it has no place for them")
        _change_digest(hand, part, act, work)
        return None
    pdu = hand.sealed(hand.pdu)
    old = {
        "header": pdu.bhs,
        "ahs": pdu.ahs,
        "data": pdu.data,
        "pad": pdu.pad,
        "header-digest": pdu.header_digest,
        "data-digest": pdu.data_digest,
    }[part]
    bits = work.value(act.params["bits"], "bits")
    if not old:
        raise ActError(f"this PDU has no {part}")
    places = range(len(old) * 8)
    if act.params["at"] is not None:
        at = work.value(act.params["at"], "at")
        if not 0 <= at < len(old):
            raise ActError(f"at is {at}, but the {part} has {len(old)} bytes")
        places = range(at * 8, min(len(old), at + max(1, (bits + 7) // 8)) * 8)
    if not 1 <= bits <= len(places):
        raise ActError(f"bits is {bits}, expected 1 to {len(places)}")
    flipped = bytearray(old)
    for place in work.host.rng.sample(places, bits):
        flipped[place // 8] ^= 0x80 >> place % 8
    new = bytes(flipped)
    first = next(i for i in range(len(old)) if old[i] != new[i])
    change = Change(
        what=part if part.endswith("digest") else f"{part}+{first}",
        old=old[first : first + 4].hex(),
        new=new[first : first + 4].hex(),
    )
    _put(hand, pdu, part, new, keep=act.params["digest"] == "keep")
    hand.change(hand.pdu, [change], work.rule.name)
    work.fired(act.act, f"{bits} bit{'s' if bits > 1 else ''} of the {part} flipped", [change])
    return None


def _change_digest(hand: Hand, part: str, act: Built, work: Work) -> None:
    """Put in the digest of the data alone, or one that nobody has agreed on."""
    if act.params["digest"] == "added":
        if part == "data-digest" and not hand.pdu.data:
            raise ActError("this PDU has no data")
        if hand.digests[_DIGESTS.index(part)]:
            raise ActError(f"this PDU has a {part}")
        hand.add_digest(header=part == "header-digest")
        added = hand.sealed(hand.pdu)
        new = added.header_digest if part == "header-digest" else added.data_digest
        change = Change(what=part, old="absent", new=new.hex())
        hand.change(hand.pdu, [change], work.rule.name)
        work.fired(act.act, f"a {part} was added that nobody has agreed on", [change])
        return
    pdu = hand.sealed(hand.pdu)
    if not pdu.data_digest:
        raise ActError("this PDU has no data-digest")
    if not pdu.pad:
        raise ActError("this PDU has no padding")
    new = digest((pdu.data,))
    change = Change(what=part, old=pdu.data_digest.hex(), new=new.hex())
    _put(hand, pdu, part, new, keep=True)
    hand.change(hand.pdu, [change], work.rule.name)
    work.fired(act.act, "the data-digest is that of the data without its padding", [change])


def _put(hand: Hand, pdu: Pdu, part: str, new: bytes, *, keep: bool) -> None:
    match part:
        case "header-digest":
            hand.pdu = pdu.with_parts(header_digest=new)
        case "data-digest":
            hand.pdu = pdu.with_parts(data_digest=new)
        case "header":
            hand.pdu = pdu.with_bhs(new)
        case "ahs":
            hand.pdu = Pdu(pdu.bhs, new, pdu.header_digest, pdu.data, pdu.pad, pdu.data_digest)
        case "data":
            hand.pdu = Pdu(pdu.bhs, pdu.ahs, pdu.header_digest, new, pdu.pad, pdu.data_digest)
        case _:
            hand.pdu = pdu.with_parts(pad=new)
    if keep or part.endswith("digest"):
        hand.keep_digests(hand.pdu)
