from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pytest
import trio
import trio.testing

from iscsiproxy.peers.initiator.conduct import Conduct, with_quirks
from iscsiproxy.peers.initiator.errors import ConnectionLost
from iscsiproxy.peers.initiator.login import LoginExchange
from iscsiproxy.peers.initiator.quirks import PERSONALITIES, QUIRKS, Quirk
from iscsiproxy.peers.initiator.recovery import RecoveryPolicy, recovering_session
from iscsiproxy.peers.initiator.session import Session, open_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings
from iscsiproxy.peers.stream import PduStream
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import encode_text, parse_text
from tests.peers.initiator.script import SETTINGS, answered, login_response

ALL = with_quirks(QUIRKS.values())
CLOSED = "closed"
TUR = bytes(6)
Work = Callable[[Session], Awaitable[object]]


# --- what the target says: the same PDUs to everybody, for all tags and numbers are known beforehand ---


def request(settings: InitiatorSettings = SETTINGS) -> Pdu:
    """Give the first Login Request of every initiator with these settings."""
    first = LoginExchange(settings, Conduct()).next_request()
    assert first is not None
    return first


def welcome(settings: InitiatorSettings = SETTINGS, *, keys: dict[str, str] | None = None, **fields: int) -> Pdu:
    """Answer it so that the login is done."""
    first = request(settings)
    return login_response(first, answered(dict(parse_text(first.data)), keys or {}), **fields)


#: What makes the target ask for all the data of a write.
SOLICITED = {"InitialR2T": "Yes", "ImmediateData": "No"}
IN = welcome()


def say(opcode: Opcode, statsn: int, data: bytes = b"", /, **fields: int) -> Pdu:
    values = {"StatSN": statsn, "ExpCmdSN": 1, "MaxCmdSN": 32, **fields}
    return Pdu.build(opcode, data=data).with_fields({"F": 1, **values})


def status(statsn: int, itt: int = 1, **fields: int) -> Pdu:
    return say(Opcode.SCSI_RESPONSE, statsn, ITT=itt, **fields)


def data_in(offset: int, *, datasn: int = 0, **fields: int) -> Pdu:
    values = {"ITT": 1, "TTT": NO_TAG, "DataSN": datasn, "BufferOffset": offset, **fields}
    return say(Opcode.DATA_IN, 0, bytes(512), **values)


def r2t(number: int) -> Pdu:
    return say(Opcode.R2T, 1, ITT=1, TTT=9, R2TSN=number, DesiredDataTransferLength=512)


def event(number: int, **fields: int) -> Pdu:
    return say(Opcode.ASYNC, 1, ITT=NO_TAG, AsyncEvent=number, **fields)


def ping(statsn: int, lun: int = 0) -> Pdu:
    """Ask whether the initiator is still there; says which StatSN is next."""
    return say(Opcode.NOP_IN, statsn, ITT=NO_TAG, TTT=77, LUN=lun)


# --- what the initiator is asked to do ---


async def nothing(session: Session) -> None:  # noqa: ARG001 -- one of several
    await trio.lowlevel.checkpoint()


async def command(session: Session) -> None:
    await session.start(0, TUR)


async def two_commands(session: Session) -> None:
    await command(session)
    await command(session)


async def read(session: Session) -> None:
    await session.start(0, TUR, read_length=1024)


async def write(session: Session) -> None:
    await session.start(0, TUR, data_out=bytes(512))


# --- what is on the wire ---


@dataclass(frozen=True, kw_only=True)
class Case:
    """What the target says, one PDU whenever the initiator has no more to say; and what that says, by whom.

    `show` are the fields that are looked at, `MaxBurstLength` that key.
    """

    says: Sequence[Pdu]
    standard: Sequence[str]
    quirk: Sequence[str]
    show: tuple[str, ...] = ()
    work: Work = nothing
    settings: InitiatorSettings = SETTINGS

    def describe(self, pdu: Pdu) -> str:
        name = Opcode(pdu.opcode).name
        shown = "".join(f" {field}={pdu[field]:#x}" for field in self.show if field in pdu.fields)
        if "MaxBurstLength" in self.show and b"MaxBurstLength=" in pdu.data:
            shown += " MaxBurstLength"
        return name + shown

    async def observe(self, conduct: Conduct) -> list[str]:
        """Give what an initiator of this conduct sends, and `closed` at the end if it closes the connection."""
        ours, theirs = trio.testing.memory_stream_pair()
        target = PduStream(theirs, max_segment=1 << 24)
        wire: list[str] = []

        async def connect() -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            return ours

        async def listen() -> None:
            while (pdu := await target.receive()) is not None:
                wire.append(self.describe(pdu))
            wire.append(CLOSED)

        async def initiate() -> None:
            with suppress(ConnectionLost):
                async with open_session(connect, self.settings, conduct=conduct) as session:
                    await self.work(session)
                    await session.ended()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            nursery.start_soon(initiate)
            await trio.testing.wait_all_tasks_blocked()
            for pdu in self.says:
                with suppress(trio.BrokenResourceError):
                    await target.send([pdu])
                await trio.testing.wait_all_tasks_blocked()
            seen = list(wire)
            nursery.cancel_scope.cancel()
        return seen


class Returns(Case):
    """A target that ends every session at once, once it has said this; and when the initiator comes back."""

    async def observe(self, conduct: Conduct) -> list[str]:
        start = trio.current_time()
        wire: list[str] = []

        async with trio.open_nursery() as nursery:

            async def connect() -> trio.abc.Stream:
                await trio.lowlevel.checkpoint()
                wire.append(f"after {trio.current_time() - start:g} s")
                if len(wire) == len(self.standard):
                    nursery.cancel_scope.cancel()
                ours, theirs = trio.testing.memory_stream_pair()
                nursery.start_soon(end, PduStream(theirs))
                return ours

            async def end(target: PduStream) -> None:
                await target.receive()
                for pdu in self.says:
                    with suppress(trio.BrokenResourceError):
                        await target.send([pdu])
                    await trio.testing.wait_all_tasks_blocked()
                await target.aclose()

            async with recovering_session(connect, self.settings, conduct=conduct):
                await trio.Event().wait()
        return wire


LOGIN, COMMAND, OUT, REPLY = "LOGIN_REQUEST", "SCSI_COMMAND", "DATA_OUT", "NOP_OUT"


def each(field: str, *values: tuple[str, int]) -> list[str]:
    """List PDUs and the value that the field has in each."""
    return [f"{name} {field}={value:#x}" for name, value in values]


def lets_pass(*says: Pdu, work: Work = nothing, settings: InitiatorSettings = SETTINGS) -> Case:
    """Make a case of something that ends the session, but for those who let it pass; the last says that they did."""
    sends = [LOGIN] if work is nothing else [LOGIN, COMMAND]
    return Case(says=says, work=work, settings=settings, standard=[*sends, CLOSED], quirk=[*sends, REPLY])


def gives_up(*says: Pdu, work: Work = nothing) -> Case:
    """Make a case of something that ends the session for those alone who cannot live with it."""
    sends = [LOGIN] if work is nothing else [LOGIN, COMMAND]
    return Case(says=says, work=work, standard=[*sends, REPLY], quirk=[*sends, CLOSED])


#: Settings with which an expectation can be disappointed.
GROUP_1 = SETTINGS.changed(portal_group=1)
AGAIN = SETTINGS.changed(tsih=7)
#: A Login Response that ends nothing, and the first half of one.
NOT_YET = login_response(request(), T=0, NSG=0)
HALF = login_response(request(), {"HeaderDigest": "None"}, T=0, NSG=0, C=1)
TWICE = IN.with_data(IN.data + encode_text([("HeaderDigest", "None")]))
REJECTED = Pdu.build(Opcode.SCSI_COMMAND, F=1, ITT=1, CmdSN=1)

CASES: Sequence[tuple[str, str, Case]] = [
    ("libiscsi-statsn-gaps", "gap", lets_pass(IN, status(5), ping(6), work=command)),
    (
        *("libiscsi-statsn-gaps", "back"),
        Case(
            says=[IN, status(5), status(3, 2), ping(6)],
            work=two_commands,
            show=("ExpStatSN",),
            standard=[*each("ExpStatSN", (LOGIN, 0), (COMMAND, 1), (COMMAND, 1)), CLOSED],
            # The highest counts.
            quirk=each("ExpStatSN", (LOGIN, 0), (COMMAND, 1), (COMMAND, 1), (REPLY, 6)),
        ),
    ),
    ("libiscsi-datasn", "DataSN", lets_pass(IN, data_in(0, datasn=4), ping(1), work=read)),
    ("libiscsi-datasn", "ExpDataSN", lets_pass(IN, status(1, ExpDataSN=4), ping(2), work=command)),
    (
        *("libiscsi-datasn", "R2TSN"),
        Case(
            says=[welcome(keys=SOLICITED), r2t(4)],
            work=write,
            standard=[LOGIN, COMMAND, CLOSED],
            quirk=[LOGIN, COMMAND, OUT],
        ),
    ),
    ("libiscsi-offset", "hole", lets_pass(IN, data_in(512), ping(1), work=read)),
    ("libiscsi-offset", "overlap", lets_pass(IN, data_in(0), data_in(0, datasn=1), ping(1), work=read)),
    ("libiscsi-offset", "missing", lets_pass(IN, status(1), ping(2), work=read)),
    ("libiscsi-a-bit", "A", gives_up(IN, data_in(0, A=1), ping(1), work=read)),
    ("libiscsi-unknown-task", "status", lets_pass(IN, status(1, 0x999), ping(2))),
    ("libiscsi-unknown-task", "data", lets_pass(IN, data_in(0, ITT=0x999), ping(1))),
    (
        *("libiscsi-async", "negotiate"),
        Case(says=[IN, event(4, Parameter3=9)], standard=[LOGIN, "TEXT_REQUEST"], quirk=[LOGIN, "LOGOUT_REQUEST"]),
    ),
    ("libiscsi-async", "drop-connection", lets_pass(IN, event(2, Parameter2=1), ping(2))),
    ("libiscsi-async", "drop-session", lets_pass(IN, event(3, Parameter2=1), ping(2))),
    ("libiscsi-async", "terminated", gives_up(IN, event(5))),
    ("libiscsi-async", "vendor", gives_up(IN, event(250), ping(2))),
    (
        *("libiscsi-expstatsn", "async"),
        Case(
            says=[IN, event(0), ping(2)],
            show=("ExpStatSN",),
            standard=each("ExpStatSN", (LOGIN, 0), (REPLY, 2)),
            quirk=each("ExpStatSN", (LOGIN, 0), (REPLY, 1)),
        ),
    ),
    (
        *("libiscsi-expstatsn", "reject"),
        Case(
            says=[IN, say(Opcode.REJECT, 1, REJECTED.bhs, ITT=NO_TAG, Reason=4), ping(2)],
            show=("ExpStatSN",),
            standard=each("ExpStatSN", (LOGIN, 0), (REPLY, 2)),
            quirk=each("ExpStatSN", (LOGIN, 0), (REPLY, 1)),
        ),
    ),
    (
        *("libiscsi-expstatsn", "R2T"),
        Case(
            # The status has a StatSN that was acknowledged too early, and is taken all the same.
            says=[welcome(keys=SOLICITED), r2t(0), status(1), ping(2)],
            work=write,
            show=("ExpStatSN",),
            standard=each("ExpStatSN", (LOGIN, 0), (COMMAND, 1), (OUT, 1), (REPLY, 2)),
            quirk=each("ExpStatSN", (LOGIN, 0), (COMMAND, 1), (OUT, 2), (REPLY, 2)),
        ),
    ),
    (
        *("libiscsi-reject", "place"),
        Case(
            says=[IN, say(Opcode.REJECT, 1, REJECTED.bhs, ITT=NO_TAG, Reason=2)],
            work=command,
            show=("CmdSN",),
            standard=each("CmdSN", (LOGIN, 1), (COMMAND, 1), (REPLY, 1)),
            quirk=each("CmdSN", (LOGIN, 1), (COMMAND, 1)),
        ),
    ),
    (
        *("libiscsi-ping-lun", "LUN"),
        Case(
            says=[IN, ping(1, 0x0102030405060708), ping(1, 3 << 48)],
            show=("LUN",),
            standard=[LOGIN, *each("LUN", (REPLY, 0x0102030405060708), (REPLY, 3 << 48))],
            quirk=[LOGIN, *each("LUN", (REPLY, 0x0102 << 48), (REPLY, 3 << 48))],
        ),
    ),
    ("libiscsi-login-keys", "twice", lets_pass(TWICE, ping(1))),
    ("libiscsi-login-keys", "not-offered", lets_pass(welcome(keys={"MaxOutstandingR2T": "99"}), ping(1))),
    ("libiscsi-login-keys", "unanswered", lets_pass(welcome(keys={"DefaultTime2Wait": ""}), ping(1))),
    ("libiscsi-transit", "CSG", lets_pass(welcome(CSG=0), ping(1))),
    (
        *("libiscsi-transit", "NSG"),
        Case(says=[welcome(NSG=1)], standard=[LOGIN, CLOSED], quirk=[LOGIN, LOGIN]),
    ),
    (
        *("libiscsi-c-bit", "C"),
        Case(
            says=[HALF],
            show=("T",),
            # One asks for the rest, the other takes that for all.
            standard=each("T", (LOGIN, 1), (LOGIN, 0)),
            quirk=each("T", (LOGIN, 1), (LOGIN, 1)),
        ),
    ),
    (
        *("libiscsi-offers", "again"),
        Case(
            says=[NOT_YET],
            show=("MaxBurstLength",),
            standard=[LOGIN + " MaxBurstLength", LOGIN],
            quirk=[LOGIN + " MaxBurstLength"] * 2,
        ),
    ),
    (
        *("libiscsi-login-rounds", "eleven"),
        Case(
            says=[NOT_YET.with_fields({"StatSN": statsn}) for statsn in range(12)],
            standard=[LOGIN] * 13,
            quirk=[*[LOGIN] * 11, CLOSED],
        ),
    ),
    (
        *("libiscsi-reconnect", "negotiated"),
        Returns(
            says=[welcome(keys={"DefaultTime2Wait": "8"})],
            standard=["after 0 s", "after 8 s", "after 16 s", "after 24 s"],
            quirk=["after 0 s", "after 0 s", "after 3 s", "after 6 s"],
        ),
    ),
    (
        *("open-iscsi-tsih", "TSIH"),
        Case(
            says=[],
            settings=AGAIN,
            show=("TSIH",),
            standard=each("TSIH", (LOGIN, 7)),
            quirk=each("TSIH", (LOGIN, 0)),
        ),
    ),
    (
        *("open-iscsi-tpgt", "group"),
        lets_pass(welcome(GROUP_1, keys={"TargetPortalGroupTag": "2"}), ping(1), settings=GROUP_1),
    ),
]


@pytest.mark.parametrize(("name", "case"), [pytest.param(n, case, id=f"{n}-{what}") for n, what, case in CASES])
async def test_a_quirk_is_seen_on_the_wire(
    name: str,
    case: Case,
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    assert await case.observe(Conduct()) == case.standard
    assert await case.observe(with_quirks([QUIRKS[name]])) == case.quirk
    # No other quirk gets in its way.
    assert await case.observe(ALL) == case.quirk
    assert case.standard != case.quirk


@pytest.mark.parametrize(("name", "case"), [pytest.param(n, case, id=f"{n}-{what}") for n, what, case in CASES])
async def test_nothing_else_makes_the_difference(
    name: str,
    case: Case,
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    others = with_quirks(quirk for other, quirk in QUIRKS.items() if other != name)
    if name == "libiscsi-statsn-gaps":
        # Who miscounts StatSN cannot mind it.
        others = with_quirks(quirk for quirk in QUIRKS.values() if "wrong_statsn" not in vars(quirk))
    assert await case.observe(others) == case.standard


def test_every_quirk_is_seen() -> None:
    assert {name for name, _, _ in CASES} == set(QUIRKS)


# --- what the wire does not show, or only two quirks together ---


async def test_what_a_trusting_initiator_reads_is_where_the_target_put_it() -> None:
    read_data: list[bytes] = []

    async def read_it(session: Session) -> None:
        running = await session.start(0, TUR, read_length=1024)
        read_data.append((await running.wait()).data)

    first, second = data_in(512).with_data(b"b" * 512), data_in(0, datasn=1).with_data(b"a" * 512)
    case = Case(says=[IN, first, second, status(1, ExpDataSN=2)], work=read_it, standard=[], quirk=[])
    await case.observe(with_quirks([QUIRKS["libiscsi-offset"]]))
    assert read_data == [b"a" * 512 + b"b" * 512]


@pytest.mark.parametrize("quirks", [(), ["libiscsi-async"], ["libiscsi-reconnect"], PERSONALITIES["libiscsi-1.19"]])
async def test_who_is_told_how_long_to_wait_waits(
    quirks: Sequence[str],
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    times = ["after 0 s", "after 5 s", "after 10 s"]
    case = Returns(says=[IN, event(3, Parameter2=5)], standard=times, quirk=times)
    assert await case.observe(with_quirks(QUIRKS[name] for name in quirks)) == times


async def test_who_comes_back_at_once_does_not_flood_a_target_that_is_away(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 -- sets the clock by being there
) -> None:
    tries = 0

    async with trio.open_nursery() as nursery:

        async def greet(target: PduStream) -> None:
            await target.receive()
            await target.send([IN])
            await target.aclose()

        async def connect() -> trio.abc.Stream:
            nonlocal tries
            await trio.lowlevel.checkpoint()
            tries += 1
            if tries > 1:
                raise ConnectionRefusedError
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(greet, PduStream(theirs))
            return ours

        policy = RecoveryPolicy(deadline=1)
        async with recovering_session(connect, SETTINGS, policy=policy, conduct=ALL) as keeper:
            with pytest.raises(ConnectionLost, match="not back"):
                await keeper.command(0, TUR)
    assert 5 < tries < 15


# --- the table ---


@pytest.mark.parametrize("name", QUIRKS)
def test_a_quirk_says_what_it_does_and_what_it_should_have_heeded(name: str) -> None:
    quirk = QUIRKS[name]
    assert quirk.name == name
    assert quirk.clause.startswith("RFC ")
    assert 20 < len(quirk.summary()) < 120
    assert not quirk.summary().endswith(".")
    assert "\n" not in quirk.summary()


def test_no_two_quirks_say_the_same() -> None:
    assert len({quirk.summary() for quirk in QUIRKS.values()}) == len(QUIRKS)


@pytest.mark.parametrize("name", QUIRKS)
def test_a_quirk_overrides_decisions_that_there_are(name: str) -> None:
    decisions = {decision for decision in vars(Conduct) if not decision.startswith("_")}
    layers = [layer for layer in QUIRKS[name].__mro__ if issubclass(layer, Quirk) and layer is not Quirk]
    overridden = {decision for layer in layers for decision in vars(layer) if not decision.startswith("_")}
    overridden -= {"name", "clause"}
    assert overridden
    assert overridden <= decisions


def test_personalities_are_made_of_quirks() -> None:
    assert all(set(names) <= set(QUIRKS) for names in PERSONALITIES.values())
    assert {name for names in PERSONALITIES.values() for name in names} == set(QUIRKS)
    for personality, names in PERSONALITIES.items():
        assert all(personality.startswith(name.rsplit("iscsi-", 1)[0] + "iscsi") for name in names)
