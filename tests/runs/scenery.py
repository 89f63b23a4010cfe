"""Scenarios made up by a seed: acts that add, hide and regroup PDUs, unseen by the ends, and a stage for them.

What is made up leaves both legs legal: a victim that does as the standard says goes on as if nothing was.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import trio

from iscsiproxy.engine import SPECS
from iscsiproxy.errors import PeerError
from iscsiproxy.language import load
from iscsiproxy.language.spec import Scenario
from iscsiproxy.peers.initiator.errors import ConnectionLost
from iscsiproxy.peers.initiator.recovery import RecoveringSession, recovering_session
from iscsiproxy.peers.initiator.settings import InitiatorSettings, random_isid
from iscsiproxy.peers.target.settings import TargetSettings
from iscsiproxy.peers.workload.drive import RecoveringDrive
from iscsiproxy.peers.workload.load import Workload, WorkloadSettings
from iscsiproxy.peers.workload.tally import WorkloadReport
from iscsiproxy.runs.stage import BLOCK, IQN, Stage, stage
from iscsiproxy.session.events import Decided, Event, Violated
from iscsiproxy.wire.opcodes import End
from tests.runs.legality import complaints

__all__ = ["Play", "make_up", "play", "trouble"]

#: Blocks of one session; those behind them are the proxy's own.
SHARE = 256
SESSIONS = 3

#: Rules that leave both ends as they were. `{w}` is a pick, `{v}` a small number, `{c}` a name that is not used yet.
ACTS = (
    "when: SCSI-Command {w}\n    do:\n      - inject: NOP-Out",
    "when: SCSI-Command {w}\n    do:\n      - inject: {{pdu: NOP-Out, I: 0, data: '\"ping\"'}}",
    "when: Data-Out {w}\n    do:\n      - inject: {{pdu: NOP-Out, I: 0}}",
    "when: Data-Out {w}\n    do:\n      - inject: NOP-Out",
    "when: Data-In {w}\n    do:\n      - inject: {{pdu: NOP-Out, I: 0}}",
    "when: Data-In {w}\n    do:\n      - inject: {{pdu: NOP-In, TTT: 0x7{v}}}",
    "when: SCSI-Response {w}\n    do:\n      - inject: {{pdu: NOP-In, TTT: 0x8{v}}}",
    "when: R2T {w}\n    do:\n      - inject: {{pdu: NOP-In, TTT: 0x9{v}}}",
    "when: SCSI-Command {w}\n    do:\n      - inject: {{pdu: NOP-In, TTT: 0xa{v}}}",
    "when: SCSI-Response {w}\n    do:\n      - inject: NOP-In",
    "when: SCSI-Response {w}\n    do:\n      - inject: {{pdu: Async, AsyncEvent: 0}}",
    "when: SCSI-Command {w}\n    do:\n      - inject: {{pdu: SCSI-Command, CDB: INQUIRY, R: 1, EDTL: 36}}",
    "when: SCSI-Command {w}\n    do:\n      - inject: {{pdu: SCSI-Command, CDB: READ lba={free} blocks=40}}",
    "when: SCSI-Command {w}\n    do:\n      - probe: {{pdu: SCSI-Command, CDB: READ lba={free} blocks=24}}",
    "when: SCSI-Command {w}\n    do:\n      - probe: {{pdu: SCSI-Command, CDB: TEST_UNIT_READY}}",
    "when: SCSI-Response {one}\n    do:\n      - probe: {{pdu: SCSI-Command, CDB: TEST_UNIT_READY, wait: no}}",
    "when: Data-Out {w}\n    do:\n      - probe: NOP-Out",
    "when: Data-In {w}\n    do:\n      - probe: {{pdu: NOP-In}}",
    "when: SCSI-Response {w}\n    do:\n      - probe: {{pdu: NOP-In}}",
    "when: SCSI-Command {one}\n    do:\n      - probe: {{pdu: Text-Request, text: SendTargets=All}}",
    "when: SCSI-Command {one}\n    do:\n      - probe: {{pdu: Text-Request, I: 0, text: SendTargets=, split_text: F}}",
    (
        "when: SCSI-Command where not I and not W {t} as {c}\n    do:\n      - pass\n"
        "      - probe: {{pdu: TMF-Request, Function: ABORT_TASK, LUN: {c}.LUN, RefTaskTag: {c}.ITT,"
        " RefCmdSN: {c}.CmdSN, settle: BUSY}}"
    ),
    'when: SCSI-Command where CDB.name != "TEST UNIT READY" {t}\n    do:\n      - answer: {{Status: BUSY}}',
    "when: SCSI-Command where W {t}\n    do:\n      - answer: {{Status: TASK_SET_FULL}}",
    "when: NOP-Out where ITT != none {w}\n    do: answer",
    "when: NOP-Out where ITT != none {one}\n    do:\n      - swap: {{pdu: Text-Request, text: SendTargets=}}",
    "when: NOP-Out where ITT != none {w}\n    do:\n      - swap: {{pdu: SCSI-Command, CDB: READ lba={free} blocks=16}}",
    (
        "when: NOP-Out where ITT != none {w}\n    do:\n"
        "      - swap: {{pdu: TMF-Request, Function: ABORT_TASK, RefTaskTag: 0x77777777}}"
    ),
    (
        'when: SCSI-Command where CDB.name == "TEST UNIT READY" {w}\n    do:\n'
        "      - swap: {{pdu: NOP-Out, data: '\"swapped\"'}}"
    ),
    (
        'when: SCSI-Command where CDB.name == "TEST UNIT READY" {w}\n    do:\n'
        "      - swap: {{pdu: SCSI-Command, CDB: INQUIRY, R: 1, EDTL: 96}}"
    ),
    "when: NOP-Out where ITT != none {w}\n    do:\n      - duplicate: {{ITT: fresh, numbers: translate}}",
    "when: SCSI-Command where R {w}\n    do:\n      - duplicate: {{ITT: fresh, numbers: translate, count: 2}}",
    "when: NOP-Out where ITT != none {one} as {c}\n    do:\n      - replay: {{what: {c}, ITT: fresh, I: 1}}",
    "when: NOP-Out where ITT != none {w}\n    do:\n      - drop: {{numbers: translate}}",
    "when: NOP-In where ITT != none {w}\n    do:\n      - drop: {{numbers: translate}}",
    "when: NOP-Out where not I {w}\n    do:\n      - set: {{I: 1}}",
    "when: NOP-Out where I {w}\n    do:\n      - set: {{I: 0}}",
    'when: SCSI-Command where CDB.name == "TEST UNIT READY" {w}\n    do:\n      - set: {{I: 1}}',
    (
        "when: Data-In where S {w} as {c}\n    do:\n      - set: {{S: 0}}\n      - pass\n"
        "      - inject: {{pdu: SCSI-Response, ExpDataSN: {c}.DataSN + 1}}"
    ),
    "when: Data-Out {w}\n    do:\n      - split: {size}",
    "when: Data-Out {w}\n    do:\n      - split: {{into: 2}}",
    "when: Data-In {w}\n    do:\n      - split: {size}",
    "when: Data-In {w}\n    do:\n      - split: {{into: 3}}",
    "when: Data-In where S {w}\n    do:\n      - split: {{first: 512, status: apart}}",
    "when: Data-In where S {w}\n    do:\n      - split: {{status: apart}}",
    "when: R2T {w}\n    do:\n      - split: {{into: 2}}",
    "when: R2T {w}\n    do:\n      - split: {{into: 3, in_turn: no}}",
    "when: R2T {w}\n    do:\n      - split: {{size: 2048}}",
    "when: Data-Out where not F {w}\n    do: merge",
    "when: Data-Out where not F {w}\n    do:\n      - merge: 3",
    "when: Data-In where not F {w}\n    do: merge",
    "when: Data-In {w}\n    do:\n      - merge: {{count: 2, status: folded}}",
    "when: Login-Request where CSG == 1 nth 1 per connection\n    do:\n      - split_text: {how}",
    "when: Login-Response nth 1 per connection\n    do:\n      - split_text: {how}",
    "when: Text-Request {w}\n    do:\n      - split_text: F",
    "when: Text-Request {w}\n    do:\n      - split_text: C",
    "when: Text-Response {w}\n    do:\n      - split_text: C",
    "when: SCSI-Command {w}\n    do:\n      - delay: {ms}",
    "when: Data-Out {w}\n    do:\n      - delay: {ms}",
    "when: R2T {w}\n    do:\n      - delay: {ms}",
    "when: SCSI-Response {w}\n    do:\n      - delay: {ms}",
    "when: Data-In {w}\n    do:\n      - delay: {ms}",
    "when: SCSI-Command {w}\n    do:\n      - delay: barrier",
    "when: SCSI-Response {w}\n    do:\n      - delay: barrier",
    "when: Data-Out {w}\n    do:\n      - delay: barrier",
    (
        "when: SCSI-Command {w} as {c}\n    do:\n"
        "      - delay: {{until: SCSI-Command where CmdSN == {c}.CmdSN + 1 then barrier, at_most: 30ms}}"
    ),
    "when: SCSI-Command {w}\n    do:\n      - pass\n      - delay: {ms}\n      - inject: {{pdu: NOP-Out, I: 0}}",
    "when: SCSI-Response {w}\n    do:\n      - stall: {{until: {ms}, end: initiator}}",
    "when: SCSI-Command {w}\n    do:\n      - stall: {{until: {ms}, end: target, at: header+20}}",
    "when: Data-Out {w}\n    do:\n      - stall: {{until: {ms}, end: both, at: data+100}}",
    "when: Data-In {w}\n    do:\n      - stall: {{until: {ms}, end: both, at: header+47}}",
    "when: full-feature {w}\n    do:\n      - inject: {{pdu: NOP-Out, I: 0}}",
    "when: full-feature {w}\n    do:\n      - probe: {{pdu: SCSI-Command, CDB: TEST_UNIT_READY, wait: no}}",
    "when: full-feature {w}\n    do:\n      - probe: {{pdu: NOP-In, wait: no}}",
    "when: full-feature then {ms}\n    do:\n      - inject: {{pdu: NOP-Out, I: 0}}",
    "when: full-feature then {ms}\n    do:\n      - inject: {{pdu: NOP-In, TTT: 0xb{v}}}",
)
#: Commands that go out of their order, which a target has to put right (RFC 7143 4.2.2.1)
OVERTAKING = (
    "when: SCSI-Command where R {w}\n    do:\n      - delay: {{until: {ms}, overtake: yes}}",
    "when: NOP-Out where not I {w}\n    do:\n      - delay: {{until: {ms}, overtake: yes}}",
    "when: SCSI-Command where R {w}\n    do:\n      - delay: {{until: barrier, overtake: yes, at_most: 60ms}}",
)
#: The end of a connection, now and then
CLOSING = (
    "when: {any} {once}\n    do:\n      - close: rst",
    "when: {any} {once}\n    do:\n      - close: fin",
    "when: {any} {once}\n    do:\n      - close: {{how: rst, end: initiator}}",
    "when: {any} {once}\n    do:\n      - close: {{how: rst, at: header+20}}",
    "when: {data} where length > 200 {once}\n    do:\n      - close: {{how: rst, at: data+100}}",
    "when: {any} {once}\n    do:\n      - delay: 30ms\n      - close: rst",
    "when: full-feature then 20ms..200ms\n    do:\n      - close: rst",
)
#: What a leg cannot but say to that
OVERTAKEN = ("was next", "below ExpCmdSN", "phase logout")
#: What acts on one PDU may come to, and what then is left undone
UNDONE = ("bytes of this PDU have gone already", "it waits for the end of this command's unsolicited data")
NEGOTIATIONS = (
    "{target: {HeaderDigest: CRC32C}, initiator: {HeaderDigest: None}}",
    "{target: {DataDigest: CRC32C, HeaderDigest: CRC32C}, initiator: {DataDigest: None, HeaderDigest: None}}",
    "{target: {DataDigest: None, HeaderDigest: None}, initiator: {DataDigest: CRC32C, HeaderDigest: CRC32C}}",
    "{target: {MaxRecvDataSegmentLength: 1024}}",
    "{initiator: {MaxRecvDataSegmentLength: 1024}}",
    "{target: {MaxRecvDataSegmentLength: 1024}, initiator: {MaxRecvDataSegmentLength: 2048}}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One scenario with its stage, and how it is played."""

    seed: int
    rules: tuple[str, ...]
    negotiate: str
    initiator: InitiatorSettings
    target: TargetSettings
    sessions: int = 1
    depth: int = 1
    count: int = 16
    sizes: tuple[tuple[int, int], ...] = ((1, 1), (24, 1))
    out_of_order: bool = False
    closes: bool = False
    ends: float | None = None  #: when the faults are cleared, in seconds
    leaves: float | None = None  #: when the proxy is shut down

    @property
    def texts(self) -> bool:
        """Whether the initiator may send texts: there is only one at a time (RFC 7143 6.4)."""
        return not any("pdu: Text-Request" in rule for rule in self.rules)

    @property
    def parts(self) -> bool:
        """Whether the connection has to go when the faults are cleared: its ends were told different things."""
        return self.ends is not None and bool(self.negotiate)

    @property
    def text(self) -> str:
        """The file of the scenario."""
        head = "scenario: made_up\nvictim: both\ntiming: {quiet: 1ms, hang: 2s}\n"
        if self.negotiate:
            head += f"negotiate: {self.negotiate}\n"
        rules = "".join(
            f"  - name: r{number}\n    optional: yes\n    {rule}\n" for number, rule in enumerate(self.rules)
        )
        return f"{head}rules:\n{rules}"

    def load(self) -> Scenario:
        """Give the scenario."""
        return load(self.text, file="made_up.yaml", acts=SPECS)


def make_up(seed: int) -> Play:
    """Make one up."""
    rng = Random(seed)
    closes, out_of_order = rng.random() < 0.25, rng.random() < 0.15
    pool = [rng.choice(ACTS) for _ in range(rng.randint(1, 4))]
    if out_of_order:
        # What waits for an answer to a command behind the one it holds would wait for ever.
        pool = [*(rule for rule in pool if "probe" not in rule), rng.choice(OVERTAKING)]
    if any("merge" in rule for rule in pool):
        # What has come while one was held is not awaited any more.
        pool = [rule for rule in pool if not ("when: Data" in rule and ("delay" in rule or "probe" in rule))]
    if any(name in rule for rule in pool for name in ("READ", "INQUIRY", "duplicate")):
        pool = [rule for rule in pool if "ExpDataSN" not in rule]  # it would end those tasks for the initiator
    if closes:
        pool += [rng.choice(CLOSING) for _ in range(rng.randint(1, 2))]
    rng.shuffle(pool)
    rules = tuple(_filled(rule, number, rng) for number, rule in enumerate(pool))
    digests = rng.choice((("None",), ("None",), ("CRC32C",)))
    window = rng.choice((1, 2, 3, 4, 8, 128, 128))
    segment = rng.choice((1024, 4096, 262144))
    initiator = InitiatorSettings(
        target=IQN,
        header_digests=digests if digests != ("None",) else ("None", "CRC32C"),
        data_digests=digests if digests != ("None",) else ("None", "CRC32C"),
        initial_r2t=rng.random() < 0.5,
        immediate_data=rng.random() < 0.5,
        max_recv_data_segment_length=segment,
        first_burst_length=rng.choice((1024, 4096, 65536)),
        max_burst_length=rng.choice((4096, 8192, 65536)),
        max_outstanding_r2t=rng.choice((1, 1, 4)),
        time2wait=0,
        first_cmdsn=rng.choice((1, 0, 0xFFFFFFF0, 0x7FFFFFF8)),
        command_timeout=4.0,
        logout_timeout=3.0,
    )
    negotiate = _negotiation(rng, digests)
    if any("in_turn: no" in rule for rule in rules):
        negotiate = "{target: {MaxOutstandingR2T: 1}, initiator: {MaxOutstandingR2T: 8}}"
        initiator = initiator.changed(max_outstanding_r2t=8)
    if any("merge" in rule for rule in rules):
        # What becomes one PDU must still be taken: the ends are told of less than they take.
        both = "MaxRecvDataSegmentLength: 1024, MaxOutstandingR2T: 1"
        negotiate = f"{{target: {{{both}}}, initiator: {{{both.replace('R2T: 1', 'R2T: 8')}}}}}"
        initiator = initiator.changed(max_recv_data_segment_length=16384, max_outstanding_r2t=8)
    if initiator.first_burst_length > initiator.max_burst_length:
        initiator = initiator.changed(first_burst_length=initiator.max_burst_length)
    target = TargetSettings(
        command_window=window,
        max_recv_data_segment_length=16384
        if "1024, MaxOut" in negotiate or "2048" in negotiate
        else rng.choice((1024, 4096, 262144)),
        time2wait=0,
        max_outstanding_r2t=4,
    )
    return Play(
        seed=seed,
        rules=rules,
        negotiate=negotiate,
        initiator=initiator,
        target=target,
        sessions=rng.choice((1, 1, 1, 2, SESSIONS)),
        depth=rng.randint(1, 8),
        count=rng.choice((12, 24)),
        sizes=rng.choice((((1, 1), (24, 1)), ((16, 1),), ((2, 1), (40, 2)))),
        out_of_order=out_of_order,
        closes=closes,
        ends=rng.uniform(0.0, 0.15) if rng.random() < 0.3 else None,
        leaves=rng.uniform(0.0, 0.15) if rng.random() < 0.05 else None,
    )


def _negotiation(rng: Random, digests: tuple[str, ...]) -> str:
    possible = [one for one in NEGOTIATIONS if "None" in digests or "Digest" not in one]
    return rng.choice(possible) if rng.random() < 0.3 else ""


def _filled(rule: str, number: int, rng: Random) -> str:
    first = rng.randint(1, 6)
    return rule.format(
        w=rng.choice(
            (
                f"nth {first}",
                f"every {rng.randint(1, 4)}",
                f"nth {first}..{first + 3}",
                "chance 30%",
                "",
                f"nth {first} per connection",
            )
        ),
        t=rng.choice((f"nth {first}", f"every {rng.randint(1, 4)} times 6", "chance 30% times 9")),
        one=f"nth {first}",
        once=f"nth {rng.randint(3, 60)}",
        any=rng.choice(("SCSI-Command", "Data-Out", "Data-In", "SCSI-Response", "R2T", "Initiator-PDU", "Target-PDU")),
        data=rng.choice(("Data-Out", "Data-In")),
        v=rng.randint(0, 9),
        c=f"c{number}",
        free=SHARE * SESSIONS + rng.randrange(8),
        size=rng.choice((512, 1000, 516)),
        ms=rng.choice(("1ms", "5ms", "1ms..10ms", "20ms")),
        how=rng.choice(("C", "T", "{by: C, rounds: 3}", "{by: T, rounds: 3}")),
    )


@dataclass(slots=True)
class Seen:
    """What came of a play."""

    reports: list[WorkloadReport] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    recoveries: list[str] = field(default_factory=list)
    pings: int = 0
    hung: str = ""
    fired: int = 0


async def play(one: Play, *, within: float = 15.0) -> Seen:
    """Play it to its end; raises what the stage raises."""
    seen = Seen()
    with trio.fail_after(within + 10):
        async with stage(
            seed=one.seed,
            blocks=SHARE * SESSIONS + 64,
            scenarios=[one.load()],
            settings=one.target,
            on_event=seen.events.append,
        ) as here:
            with trio.move_on_after(within) as limit:
                await _on_stage(one, here, seen)
            if limit.cancelled_caught:
                relay = here.proxy.relay
                pairs = {} if relay is None else relay.pairs
                lines = [(pair, *(pair.towards(end) for end in End)) for pair in pairs.values()]
                seen.hung = f"it was not over in {within:g} s: {relay} {lines}"
    return seen


async def _on_stage(one: Play, here: Stage, seen: Seen) -> None:
    portal = (here.portal.host, here.portal.port)
    relay = here.proxy.relay
    assert relay is not None
    assert relay.engine is not None
    async with trio.open_nursery() as nursery:

        async def clear(after: float) -> None:
            await trio.sleep(after)
            relay.end()

        async def leave(after: float) -> None:
            await trio.sleep(after)
            await here.proxy.shutdown()
            nursery.cancel_scope.cancel()

        if one.ends is not None:
            nursery.start_soon(clear, one.ends)
        if one.leaves is not None:
            nursery.start_soon(leave, one.leaves)
        left = one.sessions

        async def session(number: int) -> None:
            nonlocal left
            settings = one.initiator.changed(isid=random_isid(f"{one.seed}/{number}"))
            while True:
                try:
                    async with recovering_session(portal, settings) as keeper:
                        await _work(one, number, keeper, seen)
                        seen.recoveries += [str(each.reason) for each in keeper.recoveries]
                    break
                except ConnectionLost:
                    if not (one.closes or one.parts or one.leaves is not None):
                        raise
                    await trio.sleep(0.01)
            left -= 1
            if not left:
                nursery.cancel_scope.cancel()

        for number in range(one.sessions):
            nursery.start_soon(session, number)
    seen.fired = sum(counts.fired for counts in relay.engine.counters())


async def _work(one: Play, number: int, keeper: RecoveringSession, seen: Seen) -> None:
    drive = RecoveringDrive(keeper)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_ping, keeper, Random(f"{one.seed}/{number}"), seen, one.texts)
        for again in range(2):
            settings = WorkloadSettings(
                lun=0,
                first=SHARE * number,
                blocks=SHARE,
                block_size=BLOCK,
                sizes=one.sizes,
                depth=one.depth,
                count=one.count,
                run=one.seed * 16 + number * 2 + again,
                pause=0.002,
                retries=10_000,
            )
            workload = Workload(drive, settings, Random(f"{one.seed}/{number}/{again}"), recoveries=drive.recoveries)
            seen.reports.append(await workload.run())
        nursery.cancel_scope.cancel()


async def _ping(keeper: RecoveringSession, rng: Random, seen: Seen, texts: bool) -> None:
    """Do now and then what else an initiator does."""
    while True:
        session = await keeper.session()
        with trio.move_on_after(0.2), suppress(PeerError):
            what = rng.random() if texts else 0.0
            if what < 0.7:
                await session.nop(b"are you there?", immediate=rng.random() < 0.5)
            else:
                await session.text([("SendTargets", "")], immediate=rng.random() < 0.5)
            seen.pings += 1
        await trio.sleep(0.005)


def trouble(one: Play, seen: Seen) -> list[str]:
    """Say all that is wrong with what came of a play."""
    found = [seen.hung] if seen.hung else []
    whole = one.leaves is None
    if whole and not seen.hung:
        found += [
            f"the workload: {report.ended}, {report.lost}, {report.errors}, {report.mismatches[:1]}"
            for report in seen.reports
            if not report.passed
        ]
    if whole and not (one.closes or one.parts):
        found += seen.recoveries[:1]
    found += [
        f"{event}"
        for event in seen.events
        if isinstance(event, Violated) and not (one.out_of_order and any(text in event.text for text in OVERTAKEN))
    ]
    found += [
        f"{event}"
        for event in seen.events
        if isinstance(event, Decided) and event.what == "failed" and not any(text in event.text for text in UNDONE)
    ]
    if not seen.hung:
        found += complaints(seen.events, out_of_order=one.out_of_order)
    return found
