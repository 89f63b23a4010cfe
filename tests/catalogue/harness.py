"""Scenarios played, and what became of it at the victim: see the package's docstring."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from textwrap import dedent
from typing import Literal

import pytest
import trio

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import PeerError
from iscsiproxy.language import load, load_all
from iscsiproxy.peers.initiator.session import Session, open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.runs.library import find
from iscsiproxy.runs.stage import IQN, stage
from iscsiproxy.session.events import Closed, Delivered, Event, Fired, Received
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import add
from tests.engine.dialogue import Dialogue

__all__ = [
    "Claims",
    "Fields",
    "On",
    "Part",
    "Played",
    "Step",
    "also",
    "altered",
    "at_initiator",
    "at_target",
    "live",
    "moved",
    "play",
    "row",
    "runs_of",
]


@dataclass(frozen=True, slots=True)
class On:
    """A PDU that comes in on one of several connections, which are numbered from 1."""

    conn: int
    pdu: Pdu


#: One step of a script: a PDU that comes in on the newest connection, or on another; seconds that pass; or what to do
#: with the dialogue, and what to say then.
Step = Pdu | On | float | Callable[[Dialogue], Pdu | On | None]
Part = Literal["header", "ahs", "data", "pad", "header-digest", "data-digest"]
Fields = Mapping[str, int | bytes]

row = pytest.mark.row
_NAME = re.compile(r"[a-z0-9_]+")
_VICTIMS = {"target": (End.TARGET,), "initiator": (End.INITIATOR,), "both": (End.TARGET, End.INITIATOR)}
#: The order of a PDU's parts, as `Pdu.parts` has them.
_PARTS: tuple[Part, ...] = ("header", "ahs", "header-digest", "data", "pad", "data-digest")


class Claims:
    """The legs that assertions of the running test were about."""

    made: set[End] = set()  # noqa: RUF012 - one test runs at a time

    @classmethod
    def begin(cls) -> None:
        """Forget those of the test before."""
        cls.made.clear()


def altered(pdu: Pdu, changes: Fields, *, data_digest: bool = False) -> Pdu:
    """Give a PDU with other values in these fields, or other `data`, `pad` or bytes (`BHS.3`).

    Lengths, padding and digests follow, where the PDU has digests at all; a digest or a length that is named is taken
    as it is named.
    """
    named = dict(changes)
    digests = {name: named.pop(name) for name in ("header_digest", "data_digest") if name in named}
    result = pdu
    if "data" in named:
        result = result.with_data(_bytes(named.pop("data")))
    if "ahs" in named:
        result = result.with_ahs(_bytes(named.pop("ahs")))
    if "pad" in named:
        result = result.with_parts(pad=_bytes(named.pop("pad")))
    for name in [name for name in named if name.startswith("BHS.")]:
        at, value = int(name.removeprefix("BHS.")), named.pop(name)
        assert isinstance(value, int)
        result = result.with_bhs(result.bhs[:at] + bytes([value]) + result.bhs[at + 1 :])
    result = result.with_fields(named)
    result = result.sealed(header=bool(pdu.header_digest), data=bool(pdu.data_digest) or data_digest)
    return result.with_parts(**{name: _bytes(value) for name, value in digests.items()})


def moved(pdu: Pdu, **by: int) -> Pdu:
    """Give a PDU with these sequence numbers moved on, or back: what comes behind something added, or hidden."""
    return altered(pdu, {name: add(pdu[name], step) for name, step in by.items()})


def also(pdu: Pdu, *, instead: Pdu | None = None) -> Callable[[Dialogue], Pdu | None]:
    """Make a step that says a PDU where a rule has fired, and `instead` where none has: what becomes of a fault."""

    def say(talk: Dialogue) -> Pdu | None:
        return pdu if any(one.kind == "fired" for one in talk.reports) else instead

    return say


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


@dataclass(frozen=True, slots=True)
class _Said:
    """A PDU of the script, as it was said, and when. The script's own is kept, so that its id stays its own."""

    script: Pdu
    pdu: Pdu
    at: float


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bytes that the victim got at once, and the number of the PDU they came from."""

    data: bytes
    of: int | None
    at: float
    whole: bool


@dataclass(frozen=True, kw_only=True)
class Played:
    """What came of a scenario, looked at from the leg of one victim."""

    leg: End
    events: Sequence[Event]  #: of the armed run
    disarmed: Sequence[Event]
    talk: Dialogue | None = None  #: the armed one
    said: Mapping[int, _Said] = field(default_factory=dict)  #: by the id of the script's PDU

    def at(self, leg: End) -> Played:
        """Look at the other leg."""
        return replace(self, leg=leg)

    @property
    def came(self) -> list[Received]:
        """What the other end sent, in order, on all connections."""
        return [one for one in self.events if isinstance(one, Received) and one.leg is self.leg.other]

    @property
    def sender(self) -> list[Pdu]:
        """The PDUs that the other end sent."""
        return [one.pdu for one in self.came]

    @property
    def victim(self) -> list[Pdu]:
        """The PDUs that this end got, those that were cut too."""
        return [one.pdu for one in _delivered(self.events, self.leg) if one.start == 0]

    @property
    def authored(self) -> list[Pdu]:
        """The PDUs that this end got and the other end did not send: those of the proxy."""
        return [one.pdu for one in _delivered(self.events, self.leg) if one.author or one.of is None]

    def pick(self, label: str, nth: int = 0) -> Pdu:
        """Give one of the PDUs that the other end sent."""
        return [pdu for pdu in self.sender if pdu.label == label][nth]

    # --- what has to be so ---

    def assert_got(self, *expected: Pdu | bytes, ended: Literal["fin", "rst"] | None = None) -> None:
        """Assert that the victim's whole stream is this, and not what was sent; a login before the script aside.

        `ended`: and that a fault ended it there.
        """
        stream = [one.pdu.raw for one in self._before()]
        stream += [one if isinstance(one, bytes) else self._sealed(one) for one in expected]
        if ended is None:
            self._assert_stream(stream)
        else:
            self._assert_ended(ended)
            self._assert_bytes(stream)

    def assert_changed(self, pdu: Pdu, changes: Fields, *more: tuple[Pdu, Fields]) -> None:
        """Assert that these PDUs had just these other values, and all else was as it came."""
        wanted = {self._n(one): values for one, values in ((pdu, changes), *more)}
        digest = any(one.pdu.data_digest for one in self.came)
        stream = [
            altered(one.pdu, wanted[one.n], data_digest=digest).raw if one.n in wanted else one.pdu.raw
            for one in self.came
        ]
        for one, expected in zip(self.came, stream, strict=True):
            assert one.n not in wanted or expected != one.pdu.raw, f"{one.pdu!r} has these values anyway"
        self._assert_stream(stream)

    def assert_missing(self, *pdus: Pdu) -> None:
        """Assert that these PDUs never came, and all others did."""
        gone = {self._n(pdu) for pdu in pdus}
        self._assert_stream([one.pdu.raw for one in self.came if one.n not in gone])

    def assert_added(self, after: Pdu | None, *pdus: Pdu) -> None:
        """Assert that these PDUs came right behind another, or (None) before all of the script."""
        before = self._before()
        place = self._n(after) if after is not None else before[-1].n if before else 0
        stream = [] if place else [self._sealed(pdu) for pdu in pdus]
        for one in self.came:
            stream += [one.pdu.raw, *([self._sealed(pdu) for pdu in pdus] if one.n == place else [])]
        self._assert_stream(stream)

    def assert_same(self) -> None:
        """Assert that this end got what the other end sent: it is none the wiser. This proves no row."""
        assert [piece.data for piece in self._pieces()] == [one.pdu.raw for one in self.came]

    def assert_order(self, *pdus: Pdu) -> None:
        """Assert that these PDUs came in this order, in the places that they have together."""
        order = [self._n(pdu) for pdu in pdus]
        raw = {one.n: one.pdu.raw for one in self.came}
        assert order != sorted(order), "this is the order they were sent in"
        following = iter(order)
        self._assert_stream([raw[next(following) if one.n in order else one.n] for one in self.came])

    def assert_corrupted(
        self, pdu: Pdu, part: Part, bits: int = 1, *more: Pdu, digest: Literal["right", "keep"] = "right"
    ) -> None:
        """Assert that just so many bits of one part were other than sent, in each of these PDUs and nowhere else.

        Digests fit what the victim got, or are those of what was sent (`keep`); one that is corrupted fits neither.
        """
        wanted = {self._n(one) for one in (pdu, *more)}
        stream = [self._corrupted(one, part, bits, digest) if one.n in wanted else one.pdu.raw for one in self.came]
        self._assert_stream(stream)

    def _corrupted(self, one: Received, part: Part, bits: int, digest: Literal["right", "keep"]) -> bytes:
        """Give the bytes that may have come of a PDU: of the one part what came, of the others what has to come."""
        before, at = one.pdu, _PARTS.index(part)
        (after,) = (other.pdu for other in _delivered(self.events, self.leg) if other.of == one.n and other.start == 0)
        assert len(before.parts[at]) == len(after.parts[at])
        assert _difference(before.parts[at], after.parts[at]) == bits
        expected = Pdu(*(after.parts[i] if i == at else before.parts[i] for i in range(len(_PARTS))))
        if digest == "right" and not part.endswith("digest"):
            expected = expected.sealed(header=bool(before.header_digest), data=bool(before.data_digest))
        else:
            assert not (expected.header_digest_ok() and expected.data_digest_ok() in (True, None))
        return expected.raw

    def assert_cut(self, pdu: Pdu, at: int | None, how: Literal["fin", "rst"] = "rst") -> None:
        """Assert that the stream ended behind so many bytes of a PDU (None: all), and that a fault ended it."""
        n = self._n(pdu)
        said = next(one.pdu for one in self.came if one.n == n)
        stream = [one.pdu.raw for one in self.came if one.n < n] + [said.raw[:at]]
        assert at is None or at < len(said)
        self._assert_ended(how)
        whole = _stream(self.disarmed, self.leg)
        assert len(whole) > len(b"".join(stream)), "the end of the script: nothing was cut"
        self._assert_bytes(stream, closing=True)

    def _assert_ended(self, how: Literal["fin", "rst"]) -> None:
        """Assert that a fault has ended every connection of the victim so, and that nothing came behind that."""
        closed = {one.conn: one for one in self.events if isinstance(one, Closed) and one.leg is self.leg}
        last = {one.conn: one.n for one in _delivered(self.events, self.leg)}
        assert {(one.how, one.by) for one in closed.values()} == {(how, "fault")}
        assert last.keys() <= closed.keys(), "a connection goes on"
        assert all(n < closed[conn].n for conn, n in last.items()), "bytes behind the end"

    def lateness(self) -> list[float]:
        """Give how much later than it was said each PDU of the script came here, all of them whole and in order."""
        said = [one for one in self.said.values() if one.pdu.sender is self.leg.other]
        pieces = self._pieces()[-len(said) :]
        assert [one.data for one in pieces] == [one.pdu.raw for one in said]
        Claims.made.add(self.leg)
        return [piece.at - one.at for piece, one in zip(pieces, said, strict=True)]

    def assert_late(self, pdu: Pdu, seconds: float, *, at: int = 0) -> None:
        """Assert that a PDU, behind its first `at` bytes, came so much later than it was said.

        To the byte it is what it was, and all that follows it comes behind it.
        """
        said, when = self.said[id(pdu)].pdu, self.said[id(pdu)].at
        (n,) = (one.n for one in self.came if one.pdu is said)
        before = b"".join(one.pdu.raw for one in self.came if one.n < n) + said.raw[:at]
        due = when + seconds
        pieces = self._pieces()
        assert b"".join(one.data for one in pieces if one.at < due) == before
        assert [one.at for one in pieces if one.of == n] == [when] * bool(at) + [due]
        assert seconds > 0
        assert b"".join(one.data for one in pieces) == b"".join(one.pdu.raw for one in self.came)
        Claims.made.add(self.leg)

    def assert_refused(self, *conns: int) -> None:
        """Assert that just these connections were not accepted: the initiator got a RST on each, and nothing else."""
        assert self.leg is End.INITIATOR
        spoken = {one.conn for one in self.events if not isinstance(one, Closed)}
        closed = [one for one in self.events if isinstance(one, Closed) and one.conn not in spoken]
        assert [(one.conn, one.leg, one.how, one.by) for one in closed] == [
            (conn, self.leg, "rst", "fault") for conn in conns
        ]
        Claims.made.add(self.leg)

    def assert_throttled(self, rate: int, size: int) -> None:
        """Assert that at the end all that this end gets comes at that rate, so many bytes at a time."""
        assert self.talk is not None
        assert [(rate, size)] == [one[1:] for one in self.talk.throttles.values()]
        Claims.made.add(self.leg)

    # --- how it is found out ---

    def _before(self) -> list[Received]:
        """Give what came before anything of the script: the login."""
        mine = {id(one.pdu) for one in self.said.values()}
        first = min((one.n for one in self.events if isinstance(one, Received) and id(one.pdu) in mine), default=0)
        return [one for one in self.came if one.n < first]

    def _n(self, pdu: Pdu) -> int:
        """Give the number of the event with which a PDU of the script, or of `came`, came in."""
        said = self.said[id(pdu)].pdu if id(pdu) in self.said else pdu
        found = [one.n for one in self.came if one.pdu is said]
        assert len(found) == 1, f"{pdu!r} came {len(found)} times towards the {self.leg}"
        return found[0]

    def _sealed(self, pdu: Pdu) -> bytes:
        """Give the bytes of a PDU of the script as it was said, of another as its connection has digests."""
        if id(pdu) in self.said:
            return self.said[id(pdu)].pdu.raw
        if self.talk is None:
            return pdu.raw
        header, data = next((two for (_, leg), two in self.talk.digests.items() if leg is self.leg), (False, False))
        return pdu.sealed(header=header, data=data).raw

    def _pieces(self) -> list[_Piece]:
        return [
            _Piece(one.pdu.raw[one.start : None if one.sent == -1 else one.sent], one.of, one.at, one.sent == -1)
            for one in _delivered(self.events, self.leg)
        ]

    def _assert_stream(self, expected: Sequence[bytes]) -> None:
        assert list(expected) != [one.pdu.raw for one in self.came], "this is what was sent"
        self._assert_bytes(expected)

    def _assert_bytes(self, expected: Sequence[bytes], *, closing: bool = False) -> None:
        pieces = self._pieces()
        joined = [b"".join(one.data for one in group) for _, group in groupby(pieces, _by_pdu())]
        wanted = [one for one in expected if one]
        if b"".join(joined) != b"".join(wanted):
            assert [one.hex(" ", 4) for one in joined] == [one.hex(" ", 4) for one in wanted]
        assert closing or all(one.whole for one in pieces[-1:])
        Claims.made.add(self.leg)


def _by_pdu() -> Callable[[_Piece], int]:
    """Make a function that numbers the PDUs that pieces belong to: a new one begins behind a whole one."""
    count = 0

    def number(piece: _Piece) -> int:
        nonlocal count
        here = count
        count += piece.whole
        return here

    return number


def _delivered(events: Sequence[Event], leg: End) -> Iterator[Delivered]:
    yield from (one for one in events if isinstance(one, Delivered) and one.leg is leg)


def _stream(events: Sequence[Event], leg: End) -> bytes:
    return b"".join(one.pdu.raw[one.start : None if one.sent == -1 else one.sent] for one in _delivered(events, leg))


def _difference(one: bytes, other: bytes) -> int:
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def _assert_untouched(events: Sequence[Event]) -> None:
    """Assert that each leg got just what came in on the other."""
    for leg in End:
        conns = {one.conn for one in events if isinstance(one, Received)}
        for conn in conns:
            mine = [one for one in events if one.conn == conn]
            came = [one.pdu.raw for one in mine if isinstance(one, Received) and one.leg is leg.other]
            assert [one.pdu.raw for one in _delivered(mine, leg)] == came, f"disarmed, the {leg} got something else"
    assert not any(isinstance(one, Closed) and one.by == "fault" for one in events)


# --- playing ---


def _document(text: str, victim: str) -> str:
    """Make a whole scenario of what a test gives."""
    if _NAME.fullmatch(text):
        return find(text).read_text(encoding="utf-8")
    text = dedent(text).strip("\n") + "\n"
    if text.startswith("- "):
        text = f"rules:\n{text}"
    return text if "scenario:" in text else f"scenario: x\nvictim: {victim}\n{text}"


def _file(document: str) -> str:
    """Give the name that the file of a scenario has to have."""
    return f"{document.partition('scenario:')[2].split()[0]}.yaml"


def runs_of(text: str, victim: str = "target") -> list[Mapping[str, str]]:
    """List the runs of a scenario with a matrix, each as the values of its axes."""
    document = _document(text, victim)
    return [one.axes for one in load_all(document, file=_file(document), acts=SPECS)]


def at_target(
    text: str,
    *script: Step,
    login: bool = True,
    keys: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    axes: Mapping[str, str] | None = None,
    seed: int = 1,
) -> Played:
    """Play a scenario whose victim is the target."""
    return play(text, *script, victim="target", login=login, keys=keys, params=params, axes=axes, seed=seed)


def at_initiator(
    text: str,
    *script: Step,
    login: bool = True,
    keys: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    axes: Mapping[str, str] | None = None,
    seed: int = 1,
) -> Played:
    """Play a scenario whose victim is the initiator."""
    return play(text, *script, victim="initiator", login=login, keys=keys, params=params, axes=axes, seed=seed)


def play(
    text: str,
    *script: Step,
    victim: Literal["target", "initiator", "both"] = "both",
    login: bool = True,
    keys: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    axes: Mapping[str, str] | None = None,
    seed: int = 1,
) -> Played:
    """Play a scenario twice, armed and disarmed, and give what became of it; of two victims the target's leg first.

    Nothing more is said on a leg that a fault has closed.
    """
    document = _document(text, victim)
    said: dict[int, _Said] = {}
    runs = []
    for armed in (False, True):
        said.clear()
        talk = Dialogue(document, seed=seed, connect=False, params=params, axes=axes)
        if not armed:
            talk.end()
        talk.connect(login=login, keys=keys or {})
        for step in script:
            _do(talk, step, said)
        runs.append(talk)
    calm, talk = runs
    _assert_untouched(calm.events)
    assert [one.text for one in talk.reports if one.kind == "failed"] == []
    assert talk.engine.unfired() == ()
    leg = _VICTIMS[talk.scenario.victim][0]
    return Played(leg=leg, events=talk.events, disarmed=calm.events, talk=talk, said=dict(said))


def _do(talk: Dialogue, step: Step, said: dict[int, _Said]) -> None:
    if isinstance(step, int | float):
        talk.tick(step)
        return
    what = step if isinstance(step, Pdu | On) else step(talk)
    if what is None:
        return
    pdu, conn = (what.pdu, what.conn) if isinstance(what, On) else (what, max(conn for conn, _ in talk.digests))
    closed = {one.leg for one in talk.events if isinstance(one, Closed) and one.conn == conn}
    if pdu.sender in closed:
        return
    header, data = talk.digests[conn, pdu.sender]
    one = pdu.sealed(header=header, data=data)
    said[id(pdu)] = _Said(pdu, one, talk.now)
    talk.say(one, conn=conn, raw=True)


async def live(
    text: str,
    io: Callable[[Session], Awaitable[None]],
    *,
    victim: Literal["target", "initiator", "both"] = "both",
    initiator: InitiatorSettings | None = None,
    target: TargetSettings | None = None,
    params: Mapping[str, str] | None = None,
    axes: Mapping[str, str] | None = None,
    seed: int = 1,
) -> Played:
    """Play a scenario on a stage, twice: `io` uses a session of the embedded initiator with the embedded target.

    What the peers make of the fault does not matter here: errors of theirs end the armed run.
    """
    document = _document(text, victim)
    scenario = load(document, file=_file(document), acts=SPECS, params=params, axes=axes)
    settings = (initiator or InitiatorSettings()).changed(target=IQN)
    runs: list[list[Event]] = []
    for armed in (False, True):
        with trio.fail_after(20):
            async with stage(seed=seed, blocks=256, scenarios=[scenario] if armed else [], settings=target) as here:
                with suppress(*((PeerError,) if armed else ())):
                    async with open_session((here.portal.host, here.portal.port), settings) as session:
                        await io(session)
                runs.append(here.events)
    calm, events = runs
    _assert_untouched(calm)
    fired = {one.rule.partition("/")[2] for one in events if isinstance(one, Fired)}
    assert [one.name for one in scenario.rules if one.do and not one.optional and one.name not in fired] == []
    return Played(leg=_VICTIMS[scenario.victim][0], events=events, disarmed=calm)
