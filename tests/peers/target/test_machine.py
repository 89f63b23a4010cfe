"""One target, two initiators, and whatever they may do to it: right, wrong, and nonsense.

After each step the target is alive (each connection answers a ping, or was closed for a reason), has said nothing that
breaks the rules of `wire.Watch`, and each block holds what the initial medium, an acknowledged write, or a write that
is not decided yet can have put there, whole. At the end every command that nothing has ended gets its answer.

The usual run takes seconds. `ISCSIPROXY_FUZZ=N` in the environment makes it N examples of 200 steps each, with a new
seed each time: `ISCSIPROXY_FUZZ=2000 pytest tests/peers/target/test_machine.py` takes minutes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from iscsiproxy.peers.scsi.device import Device
from iscsiproxy.peers.scsi.inquiry import UnitIdentity
from iscsiproxy.peers.scsi.medium import MemoryMedium
from iscsiproxy.peers.scsi.unit import LogicalUnit
from iscsiproxy.peers.target.conduct import Conduct, with_quirks
from iscsiproxy.peers.target.node import Node
from iscsiproxy.peers.target.quirks import QUIRKS
from iscsiproxy.peers.target.session import Session as TargetSession
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.wire import serial
from iscsiproxy.wire.fields import NO_TAG, lun_value
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.peers.target.wire import BLOCK, IQN, Initiator, Session, sense

#: The blocks that are written
BLOCKS = 6
#: Far from the numbers that nonsense is likely to have, and near the end of the circle
FIRST_CMDSN = 0xFFFFFFF0
SMALL = {"FirstBurstLength": "1024", "MaxBurstLength": "1024"}

ISIDS = st.sampled_from([1, 2])
MUTATIONS: dict[str, dict[str, int]] = {
    "TTT": {"TTT": 0x77777777},
    "ITT": {"ITT": 0x77777777},
    "LUN": {"LUN": lun_value(3)},
    "DataSN": {"DataSN": 9},
    "BufferOffset": {"BufferOffset": 0},
    "far": {"BufferOffset": 0xFFFFFE00},
    "final": {"F": 1},
    "open": {"F": 0},
}


#: What may be wrong with the first of some Data-Outs: nothing, most of the time
WRONG = st.sampled_from([None, None, None, None, "skip", "long", "digest", *MUTATIONS])


def block(seed: int, lba: int) -> bytes:
    """Give the content that write `seed` puts at `lba`; 0 is the medium as it was."""
    return bytes(BLOCK) if not seed else (seed.to_bytes(4, "big") + lba.to_bytes(4, "big")) * (BLOCK // 8)


@dataclass
class Write:
    """A write, from when it was sent to when it was over, by a clock of steps. `right` counts the bytes sent right."""

    seed: int
    lba: int
    blocks: int
    began: int
    ended: int | None = None
    right: set[int] = field(default_factory=set)

    @property
    def data(self) -> bytes:
        return b"".join(block(self.seed, lba) for lba in range(self.lba, self.lba + self.blocks))

    def sent(self, offset: int, length: int) -> None:
        self.right.update(range(offset // BLOCK, (offset + length) // BLOCK))


@dataclass
class Stream:
    """Data-Out that is due."""

    write: Write
    itt: int
    tag: int
    at: int
    end: int
    lun: int = 0
    sn: int = 0


class Peer(Initiator):
    """An initiator, and what it still has to do."""

    def begin(self) -> None:
        self.writes: dict[int, Write] = {}
        self.reads: dict[int, int] = {}
        self.streams: list[Stream] = []
        self.held: list[Pdu] = []
        self.history: list[Pdu] = []
        #: What task management covers: the commands that were there, and those before a CmdSN that came after it
        self.covers: dict[int, list[int]] = {}
        self.fences: dict[int, int] = {}
        self.may_close = False
        self.pinged: set[int] = set()
        #: Resets that have no answer yet, and commands that one may have ended without a word
        self.resets: set[int] = set()
        self.uncertain: set[int] = set()


class Machine(RuleBasedStateMachine):
    """The rules are what the initiators do."""

    conduct: Conduct = Conduct()
    medium: type[MemoryMedium] = MemoryMedium

    def __init__(self) -> None:
        super().__init__()
        self.orphans: list[TargetSession] = []
        self.disk = self.medium(64)
        unit = LogicalUnit(0, self.disk, UnitIdentity.derive(IQN, 0), target_name=IQN)
        chosen = TargetSettings(time2retain=20, command_window=8)
        self.node = Node({IQN: Device({0: unit})}, chosen, self.conduct)
        self.node.on_orphaned = self.orphans.append
        self.clock = 0
        self.seeds = 0
        first = Write(0, 0, BLOCKS, -1, -1)
        self.possible: list[list[Write]] = [[first] for _ in range(BLOCKS)]
        self.before = self.possible
        #: Nonsense that was task management: it may have ended anything
        self.upset = False
        #: There was a cold reset, which may have to wait before it closes everything
        self.cold = False
        self.peers: dict[int, Peer] = {}
        for isid in (1, 2):
            self.dial(isid, None, {"InitialR2T": "No", "MaxOutstandingR2T": "2"})

    # --- the model ---

    def dial(self, isid: int, session: Session | None, keys: dict[str, str]) -> None:
        peer = Peer(self.node, isid=isid, session=session or Session(FIRST_CMDSN))
        peer.begin()
        if session is not None and isid in self.peers:
            peer.watch.keys = dict(self.peers[isid].watch.keys)
        before = self.peers.get(isid)
        if before is not None:
            before.may_close = True
            self.over(before)
        if session is not None and not any(one.tsih == session.tsih for one in self.node.sessions()):
            refused = peer.send(peer.login_request())
            assert (refused[0]["Status-Class"], refused[0]["Status-Detail"]) == (2, 0x0A)
            assert peer.connection.closed
            peer = Peer(self.node, isid=isid, cmdsn=FIRST_CMDSN)
            peer.begin()
        peer.log_in(SMALL | {"iSCSIProtocolLevel": "2"} | keys)
        self.peers[isid] = peer
        missing = peer.session.exp
        while serial.lt(missing, peer.session.cmdsn):
            # What waited behind a gap is gone, the numbers are still to come.
            peer.held.append(peer.ready(CmdSN=missing))
            missing = serial.add(missing, 1)
        if session is None:
            # Most of the time the unit attentions of a new nexus are in the way of something more worth seeing.
            peer.send(peer.ready())

    def over(self, peer: Peer) -> None:
        """Take note that nothing more comes of a peer's commands."""
        for write in peer.writes.values():
            if write.ended is None:
                write.ended = self.clock
        peer.begin()
        peer.watch.asked.clear()

    def done(self, write: Write) -> None:
        """Take note of a status GOOD: what was over before it began is no more."""
        assert write.right >= set(range(write.blocks)), "GOOD without all of the data"
        write.ended = self.clock
        for lba in range(write.lba, write.lba + write.blocks):
            held = [one for one in self.possible[lba] if one.ended is None or one.ended >= write.began]
            self.possible[lba] = held if write in held else [*held, write]

    def never(self, write: Write) -> None:
        """Take note that a write was not carried out."""
        write.ended = self.clock
        self.possible = [[one for one in ones if one is not write] for ones in self.possible]

    def handle(self, peer: Peer, pdu: Pdu) -> None:
        itt = pdu["ITT"]
        match pdu.opcode:
            case Opcode.R2T:
                write = peer.writes[itt]
                start = pdu["BufferOffset"]
                end = start + pdu["DesiredDataTransferLength"]
                peer.streams.append(Stream(write, itt, pdu["TTT"], start, end, pdu["LUN"]))
            case Opcode.SCSI_RESPONSE if itt in peer.writes:
                write = peer.writes.pop(itt)
                if sense(pdu) == "00":
                    self.done(write)
                else:
                    self.never(write)
                peer.streams = [stream for stream in peer.streams if stream.itt != itt]
            case Opcode.DATA_IN if itt in peer.reads:
                for at in range(0, len(pdu.data), BLOCK):
                    self.check_block(peer.reads[itt] + (pdu["BufferOffset"] + at) // BLOCK, pdu.data[at : at + BLOCK])
            case Opcode.REJECT:
                bad = Pdu(pdu.data[:48])
                if bad.opcode in (0, 1, 2, 4, 6) and not bad["I"]:
                    # Its number is still to come.
                    self.fill(peer, bad["CmdSN"])
                if bad.opcode == Opcode.SCSI_COMMAND and (write_ := peer.writes.pop(bad["ITT"], None)) is not None:
                    self.never(write_)
            case Opcode.TMF_RESPONSE if pdu["Response"] == 0:
                fence = peer.fences.pop(itt, None)
                late = [] if fence is None else [each for each in self.tasks(peer) if self.goes_before(each, fence)]
                for covered in (*peer.covers.pop(itt, []), *(each["ITT"] for each in late)):
                    # Nothing may come for it any more: the watch knows it no longer.
                    peer.watch.asked.pop(covered, None)
                    peer.streams = [stream for stream in peer.streams if stream.itt != covered]
                    peer.held = [held for held in peer.held if held["ITT"] != covered]
                    if (ended := peer.writes.pop(covered, None)) is not None:
                        ended.ended = self.clock
                if itt in peer.resets:
                    for each in self.peers.values():
                        each.uncertain.update(each.watch.asked, (held["ITT"] for held in each.held))
            case Opcode.NOP_IN:
                peer.pinged.discard(itt)

    def fill(self, peer: Peer, number: int) -> None:
        if all(held["CmdSN"] != number for held in peer.held) and serial.lt(number, peer.session.cmdsn):
            peer.held.append(peer.ready(CmdSN=number))

    def check_block(self, lba: int, data: bytes) -> None:
        if lba < BLOCKS:
            seeds = {one.seed for one in (*self.possible[lba], *self.before[lba])}
            seed = int.from_bytes(data[:4], "big")
            assert seed in seeds, f"block {lba} holds {seed}, not one of {seeds}"
            assert data == block(seed, lba), f"block {lba} is torn"

    def settle(self) -> None:
        """Take what comes, on both connections, and see that both are alive."""
        self.clock += 1
        for peer in self.peers.values():
            for pdu in peer.collect():
                self.handle(peer, pdu)
        for peer in self.peers.values():
            if not peer.connection.closed:
                ping = peer.ping(b"alive?")
                peer.pinged.add(ping["ITT"])
                peer.feed(ping)
                for pdu in peer.collect():
                    self.handle(peer, pdu)
                assert not peer.pinged, "a ping was not answered"
        for isid, peer in list(self.peers.items()):
            if peer.connection.closed:
                assert peer.may_close or self.cold, f"closed: {peer.connection.reason}"
                self.over(peer)
                peer.may_close = True
            assert peer.isid == isid
        self.before = [list(ones) for ones in self.possible]

    def live(self, isid: int) -> Peer | None:
        peer = self.peers[isid]
        return None if peer.connection.closed else peer

    def tasks(self, peer: Peer) -> list[Pdu]:
        return [ours.pdu for ours in peer.watch.asked.values() if ours.pdu.opcode == Opcode.SCSI_COMMAND]

    def goes_before(self, pdu: Pdu, number: int) -> bool:
        return not pdu["I"] and serial.lt(pdu["CmdSN"], number)

    def room(self, peer: Peer) -> bool:
        return serial.le(peer.session.cmdsn, peer.session.max)

    def new_write(self, lba: int, blocks: int) -> Write:
        self.seeds += 1
        return Write(self.seeds, lba, min(blocks, BLOCKS - lba), self.clock)

    # --- what initiators do ---

    @rule(
        isid=ISIDS,
        lba=st.integers(0, BLOCKS - 1),
        blocks=st.integers(1, 4),
        immediate=st.integers(0, 4),
        final=st.booleans(),
        attribute=st.integers(0, 3),
        urgent=st.booleans(),
        how=st.sampled_from(["send", "send", "hold", "bad data", "bad header"]),
        pieces=st.integers(0, 3),
        wrong=WRONG,
    )
    def write(
        self,
        isid: int,
        lba: int,
        blocks: int,
        immediate: int,
        final: bool,
        attribute: int,
        urgent: bool,
        how: str,
        pieces: int,
        wrong: str | None,
    ) -> None:
        peer = self.live(isid)
        if peer is None or not (urgent or self.room(peer)):
            return
        write = self.new_write(lba, blocks)
        data = write.data[: immediate * BLOCK]
        write.sent(0, len(data))
        pdu = peer.write(write.lba, write.blocks, data, F=int(final), ATTR=attribute, I=int(urgent))
        for at in range(write.lba, write.lba + write.blocks):
            self.possible[at].append(write)
        peer.writes[pdu["ITT"]] = write
        if not final and len(data) < len(write.data):
            end = min(1024, len(write.data))
            peer.streams.append(Stream(write, pdu["ITT"], NO_TAG, len(data), end))
        if how == "hold" and not urgent:
            peer.held.append(pdu)
        elif how == "bad header" and peer.watch.digests[0]:
            peer.may_close = True
            peer.feed(pdu, bad_header=True)
            self.never(peer.writes.pop(pdu["ITT"]))
        elif how == "bad data" and peer.watch.digests[1] and data:
            peer.streams = [stream for stream in peer.streams if stream.itt != pdu["ITT"]]
            peer.feed(pdu, bad_data=True)
        else:
            peer.feed(pdu)
            peer.history.append(pdu)
        self.settle()
        mine = [stream for stream in peer.streams if stream.itt == pdu["ITT"] and pdu not in peer.held]
        if mine and pieces:
            self.push(peer, mine[-1], pieces, wrong)

    @precondition(lambda self: any(peer.streams for peer in self.peers.values()))
    @rule(
        isid=ISIDS,
        which=st.integers(0, 5),
        pieces=st.sampled_from([3, 2, 1]),
        wrong=WRONG,
    )
    def data_out(self, isid: int, which: int, pieces: int, wrong: str | None) -> None:
        """Send a part of the data that is due, or something like it."""
        peer = self.live(isid)
        streams = [] if peer is None else [one for one in peer.streams if all(h["ITT"] != one.itt for h in peer.held)]
        if peer is None or not streams:
            return
        self.push(peer, streams[which % len(streams)], pieces, wrong)

    def push(self, peer: Peer, stream: Stream, pieces: int, wrong: str | None) -> None:
        for _ in range(pieces):
            stop = min(stream.at + BLOCK, stream.end)
            data = stream.write.data[stream.at : stop] + bytes(BLOCK if wrong == "long" else 0)
            if wrong == "skip" and stop < stream.end:
                stream.at, stream.sn = stop, stream.sn + 1
                wrong = None
                continue
            pdu = peer.data_out(
                stream.itt,
                data,
                F=int(stop >= stream.end),
                TTT=stream.tag,
                LUN=stream.lun if stream.tag != NO_TAG else 0,
                DataSN=stream.sn,
                BufferOffset=stream.at,
            ).with_fields(MUTATIONS.get(wrong or "", {}))
            damaged = wrong == "digest" and peer.watch.digests[1]
            astray = pdu["TTT"] != stream.tag or pdu["ITT"] != stream.itt
            elsewhere = pdu["BufferOffset"] != stream.at or (wrong == "LUN" and stream.tag != NO_TAG)
            if not (astray or elsewhere or damaged):
                stream.write.sent(stream.at, stop - stream.at)
            peer.feed(pdu, bad_data=damaged)
            if not astray:
                stream.at, stream.sn = stop, stream.sn + 1
                if pdu["F"]:
                    peer.streams = [one for one in peer.streams if one is not stream]
                    break
            wrong = None
        self.settle()

    @rule(isid=ISIDS, lba=st.integers(0, BLOCKS - 1), blocks=st.integers(1, 4), urgent=st.booleans())
    def read(self, isid: int, lba: int, blocks: int, urgent: bool) -> None:
        peer = self.live(isid)
        if peer is not None and (urgent or self.room(peer)):
            pdu = peer.read(lba, blocks, I=int(urgent))
            peer.reads[pdu["ITT"]] = lba
            peer.feed(pdu)
            peer.history.append(pdu)
            self.settle()

    @rule(isid=ISIDS, which=st.integers(0, 5))
    def release(self, isid: int, which: int) -> None:
        """Send what was held back, or what fills the place of a command that was rejected."""
        peer = self.live(isid)
        if peer is not None and peer.held:
            pdu = peer.held.pop(which % len(peer.held))
            peer.feed(pdu)
            self.settle()

    @rule(isid=ISIDS, which=st.integers(0, 30), itt=st.booleans())
    def duplicate(self, isid: int, which: int, itt: bool) -> None:
        """Send a command again, with its own tag or a new one: nothing comes of it."""
        peer = self.live(isid)
        old = [] if peer is None else [pdu for pdu in peer.history if not pdu["I"]]
        if peer is not None and old:
            pdu = old[which % len(old)]
            if any(held["CmdSN"] == pdu["CmdSN"] for held in peer.held):
                return  # it was rejected: its number is still to come
            asked = dict(peer.watch.asked)
            peer.feed(pdu.with_fields({"ITT": peer.tag()}) if itt else pdu)
            peer.watch.asked = asked
            self.settle()

    @precondition(lambda self: self.clock % 3 == 2)
    @rule(isid=ISIDS, far=st.integers(1, 1000), ahead=st.booleans())
    def outside(self, isid: int, far: int, ahead: bool) -> None:
        """Send a write outside the window: nothing comes of it."""
        peer = self.live(isid)
        if peer is not None:
            session = next(one for one in self.node.sessions() if one.tsih == peer.session.tsih)
            number = serial.add(session.max_cmdsn, far) if ahead else serial.add(session.exp_cmdsn, -far)
            asked = dict(peer.watch.asked)
            peer.feed(peer.write(0, 1, self.new_write(0, 1).data, CmdSN=number))
            peer.watch.asked = asked
            self.settle()

    @rule(isid=ISIDS, function=st.sampled_from([1, 1, 2, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13]), which=st.integers(0, 5))
    def manage(self, isid: int, function: int, which: int) -> None:
        peer = self.live(isid)
        if peer is None:
            return
        tasks = self.tasks(peer)
        if function == 1:
            tasks += peer.held
            if not tasks:
                return
            of = tasks[which % len(tasks)]
            pdu = peer.tmf(function, of=of)
            peer.covers[pdu["ITT"]] = [of["ITT"]]
        else:
            pdu = peer.tmf(function)
            if function in (2, 4, 5, 6, 7, 11):
                peer.covers[pdu["ITT"]] = [one["ITT"] for one in tasks if one["I"]]
                peer.fences[pdu["ITT"]] = pdu["CmdSN"]
            if function in (4, 5, 6, 7, 11):
                peer.resets.add(pdu["ITT"])
            self.cold = self.cold or function == 7
        peer.feed(pdu)
        self.settle()

    @precondition(lambda self: self.clock % 3 == 0)
    @rule(isid=ISIDS, keys=st.sampled_from([{}, {"SendTargets": ""}, {"MaxBurstLength": "512"}]), tag=st.booleans())
    def text(self, isid: int, keys: dict[str, str], tag: bool) -> None:
        peer = self.live(isid)
        if peer is not None and self.room(peer):
            peer.feed(peer.text(keys, TTT=5 if tag else NO_TAG, I=int(tag)))
            self.settle()

    @precondition(lambda self: self.clock % 7 == 3)
    @rule(isid=ISIDS, reason=st.integers(0, 3), cid=st.booleans())
    def logout(self, isid: int, reason: int, cid: bool) -> None:
        peer = self.live(isid)
        if peer is not None:
            peer.may_close = peer.may_close or reason == 0 or (reason == 1 and cid)
            peer.feed(peer.logout(reason, CID=peer.cid if cid else 0x7777))
            self.settle()

    @precondition(lambda self: self.clock % 3 == 1)
    @rule(isid=ISIDS, header=st.binary(min_size=48, max_size=48), data=st.binary(max_size=16))
    def garbage(self, isid: int, header: bytes, data: bytes) -> None:
        peer = self.live(isid)
        pdu = Pdu(header[:4] + b"\0" + header[5:]).with_data(data)
        if peer is None:
            return
        if pdu.opcode in (Opcode.TMF_REQUEST, Opcode.LOGOUT_REQUEST):
            self.upset = self.cold = True
        if pdu.opcode == Opcode.SCSI_COMMAND:
            pdu = pdu.with_fields({"CDB": bytes(16)})
        if pdu.opcode in (0, 1, 2, 4, 6) and not pdu["I"]:
            # Nonsense, but not with a number that a command of ours has.
            pdu = pdu.with_fields({"CmdSN": 0x40000000})
        peer.uncertain.add(pdu["ITT"])
        peer.feed(pdu)
        self.settle()

    @rule(isid=ISIDS)
    def ping(self, isid: int) -> None:
        """Let the target ask, and answer it."""
        peer = self.live(isid)
        if peer is not None and not peer.connection.pinged:
            peer.connection.ping()
            asked = [pdu for pdu in peer.collect() if pdu.opcode == Opcode.NOP_IN]
            peer.feed(peer.ping(ITT=NO_TAG, TTT=asked[0]["TTT"]))
            assert not peer.connection.pinged
            self.settle()

    @precondition(lambda self: self.clock % 7 == 5)
    @rule(isid=ISIDS, garbled=st.booleans())
    def cut(self, isid: int, garbled: bool) -> None:
        peer = self.live(isid)
        if peer is not None:
            peer.may_close = True
            if garbled:
                peer.connection.garbled("bytes")
            else:
                peer.connection.lost()
            self.settle()

    @precondition(lambda self: self.clock % 7 == 6 or any(peer.connection.closed for peer in self.peers.values()))
    @rule(
        isid=ISIDS,
        again=st.booleans(),
        free=st.booleans(),
        immediate=st.booleans(),
        digests=st.booleans(),
        fast=st.booleans(),
        outstanding=st.integers(1, 3),
    )
    def log_in(
        self, isid: int, again: bool, free: bool, immediate: bool, digests: bool, fast: bool, outstanding: int
    ) -> None:
        """Log in again, into the session that there was or in its place, whether it is still connected or not."""
        keys = {
            "InitialR2T": "No" if free else "Yes",
            "ImmediateData": "Yes" if immediate else "No",
            "MaxOutstandingR2T": str(outstanding),
            "TaskReporting": "FastAbort" if fast else "RFC3720",
        }
        checked = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"} if digests else {}
        if again:
            self.dial(isid, self.peers[isid].session, checked)
        else:
            self.dial(isid, None, keys | checked)
        self.settle()

    @precondition(lambda self: self.orphans)
    @rule()
    def expire(self) -> None:
        self.node.expire(self.orphans.pop(0))
        self.settle()

    # --- what has to hold ---

    @invariant()
    def blocks_hold_what_they_may(self) -> None:
        for lba in range(BLOCKS):
            self.check_block(lba, bytes(self.disk.read(lba, 1)))

    @invariant()
    def memory_is_bounded(self) -> None:
        for session in self.node.sessions():
            assert len(session.tasks) <= 8 + 64
            assert len(session._ahead) <= 8
        assert len(self.node.sessions()) <= 2 + len(self.orphans)

    def teardown(self) -> None:
        """Fill every gap and send all the data there is: then everything has its answer."""
        for _ in range(200):
            for isid, peer in self.peers.items():
                if self.live(isid) is not None and peer.held:
                    self.release(isid, 0)
                elif self.live(isid) is not None and peer.streams:
                    self.data_out(isid, 0, 3, None)
        self.blocks_hold_what_they_may()
        for peer in self.peers.values():
            assert not (peer.held or peer.streams) or peer.connection.closed
            if not (peer.connection.closed or self.upset):
                left = peer.watch.asked.keys() - peer.uncertain
                assert not left, f"no answer to {[peer.watch.asked[itt].pdu for itt in left]}"


PATIENT = os.environ.get("ISCSIPROXY_FUZZ")
QUIET: Sequence[HealthCheck] = list(HealthCheck)
PROFILE = settings(
    max_examples=int(PATIENT or 250),
    stateful_step_count=200 if PATIENT else 50,
    derandomize=not PATIENT,
    deadline=None,
    suppress_health_check=QUIET,
)


def test_the_target_lives_through_everything() -> None:
    run_state_machine_as_test(Machine, settings=PROFILE)


class Forgetful(MemoryMedium):
    """Writes all but the last block of two or more."""

    def write(self, lba: int, data: bytes | bytearray | memoryview) -> None:
        super().write(lba, data if len(data) == BLOCK else data[:-BLOCK])


class Hasty(MemoryMedium):
    """Writes more than it was given."""

    def write(self, lba: int, data: bytes | bytearray | memoryview) -> None:
        super().write(lba, bytes(data) + bytes(data[-BLOCK:]))


HUNT = settings(
    PROFILE,
    max_examples=1000,
    stateful_step_count=50,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)


def hunt(machine: type[Machine]) -> None:
    """Look with one seed after the other.

    Hypothesis takes constants from the modules that are loaded, so what a seed draws, and finds, depends on them.
    """
    for number in range(8):
        run_state_machine_as_test(seed(number)(machine), settings=HUNT)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("W02", "GOOD without|block .* (holds|is torn)"),
        ("W12", "no answer to"),
        ("tgt-holes", "GOOD without|block .* (holds|is torn)"),
    ],
)
def test_a_target_that_is_not_right_is_found_out(name: str, found: str) -> None:
    class Wrong(Machine):
        conduct = with_quirks([QUIRKS[name]])

    with pytest.raises(AssertionError, match=found):
        hunt(Wrong)


@pytest.mark.parametrize("disk", [Forgetful, Hasty])
def test_a_disk_that_is_not_right_is_found_out(disk: type[MemoryMedium]) -> None:
    class Wrong(Machine):
        medium = disk

    with pytest.raises(AssertionError, match=r"block \d holds"):
        hunt(Wrong)
