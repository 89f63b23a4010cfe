"""The judge: every record of a run in, findings out, live and from a file alike.

Each end is judged on its own leg: by what it was really given and what it really sent. What the proxy made or changed
moves the state on and is blamed on nobody.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from iscsiproxy.checks.catalogue import FAMILIES
from iscsiproxy.checks.court import Court, Crash
from iscsiproxy.checks.disk import Counts
from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.invariants.disks import KINDS
from iscsiproxy.checks.known import Known
from iscsiproxy.checks.profiles import DEFAULT, Profile
from iscsiproxy.checks.recovery import Recoveries
from iscsiproxy.checks.rules import Family, Severity
from iscsiproxy.checks.scene.scene import Limits
from iscsiproxy.checks.storage import Hashes
from iscsiproxy.journal import Lost, Record
from iscsiproxy.language.spec import Verdict
from iscsiproxy.session.events import Delivered, Event, Received
from iscsiproxy.wire.opcodes import End

__all__ = ["Judge"]

_DISKS = frozenset(rule.id for rule in KINDS.values())
#: How many wrong reads are remembered until they were seen on the other leg
_REMEMBERED = 256
#: How many kinds of findings are counted for each connection by itself
_MOST = 4096


class Judge:
    """Call `take` with every record from the first of the run on, and `tick` while nothing happens, and at the end.

    `on_finding` is told each finding when it is made. Of findings of one rule about one kind of PDU on one connection
    the first `kept` stand in `findings`; `counts` has how many there were, of connections beyond the first thousands
    together under 0. Memory is bounded by what peers may have outstanding, not by how long a run lasts.
    """

    def __init__(
        self,
        *,
        profile: Profile = DEFAULT,
        limits: Limits | None = None,
        families: Sequence[Family] = FAMILIES,
        ends: Iterable[End] = tuple(End),
        known: Known | None = None,
        on_finding: Callable[[Finding], None] | None = None,
        kept: int = 5,
        disks: bool = True,
    ) -> None:
        self.profile = profile
        self.limits = Limits() if limits is None else limits
        self.findings: list[Finding] = []
        #: By rule, what it is about, connection, and whether it is known
        self.counts: Counter[tuple[str, str, int, bool]] = Counter()
        self.recoveries = Recoveries()
        self.records = 0
        self.lost = 0
        self.now = 0.0
        self.known = Known() if known is None else known
        self._open: set[tuple[Severity, End | None]] = set()  #: what was found that nobody has accepted
        self._kept = kept
        self._on_finding = on_finding
        #: Reads that were found wrong on the target's leg: on the initiator's they are the same
        self._wrong: deque[int] = deque(maxlen=_REMEMBERED)
        self._entry: Event | None = None  #: what is being looked at
        hashes = Hashes() if disks else None
        self._courts = tuple(
            Court(end, families, profile=profile, limits=self.limits, tell=self._found, hashes=hashes) for end in ends
        )
        self._at = {court.end: court for court in self._courts}

    def __repr__(self) -> str:
        return f"<Judge {self.records} records, {sum(self.counts.values())} findings>"

    @property
    def evidence(self) -> dict[str, int]:
        """How often each rule could have been broken, by its id; 0 where nothing was seen that could tell."""
        return {name: count for court in self._courts for name, count in court.evidence.items()}

    @property
    def disks(self) -> Counts:
        """What of the data that was read was judged, and what not, and why: in sectors, on each leg for itself."""
        total = Counts()
        for court in self._courts:
            if court.storage is not None:
                total.add(court.storage.disks.counts())
        return total

    @property
    def crashes(self) -> tuple[Crash, ...]:
        """The checks that broke."""
        return tuple(crash for court in self._courts for crash in court.crashes)

    @property
    def verdict(self) -> Verdict:
        """Give what it all comes to.

        `fail`: a MUST was broken, and not by a fault or a known deviation; `inconclusive`: a check broke, events are
        missing, or there was nothing to judge; `warn`: anything else that nobody has accepted; else `pass`.
        """
        weights = {severity for severity, blame in self._open if blame is not None}
        if Severity.MUST in weights:
            return "fail"
        if self.crashes or self.lost or not any(self.evidence.values()):
            return "inconclusive"
        return "warn" if self._open else "pass"

    def take(self, record: Record) -> None:
        """Take note of the next record."""
        entry = record.entry
        if isinstance(entry, Lost):
            self.lost += entry.count
            for court in self._courts:
                court.missed()
            return
        if not isinstance(entry, Event):
            return
        self.records += 1
        self._entry = entry
        if entry.at > self.now:
            self.now = entry.at
        self.recoveries.take(entry)
        for court in self._courts:
            court.tick(self.now)
        if isinstance(entry, Received | Delivered):
            if (only := self._at.get(entry.leg)) is not None:
                only.take_pdu(record, entry)
            return
        for court in self._courts:
            court.take(record, entry)

    def tick(self, now: float) -> None:
        """Take note of the time, in seconds since the run began."""
        self.now = max(now, self.now)
        for court in self._courts:
            court.tick(self.now)

    def count(self, finding: Finding) -> int:
        """Give how many there were so far of a finding's kind."""
        return self.counts.get(self._key(finding)) or self.counts[self._key(finding, conn=0)]

    def _key(self, finding: Finding, conn: int | None = None) -> tuple[str, str, int, bool]:
        return (finding.rule, finding.label, finding.conn if conn is None else conn, bool(finding.known))

    def _found(self, finding: Finding) -> None:
        if finding.rule in _DISKS and finding.pdu is not None:
            if finding.blame is not None:
                self._wrong.append(finding.n)
            elif isinstance(self._entry, Delivered) and self._entry.of in self._wrong:
                return
        if self.known.deviations and (reason := self.known.reason(finding, self.profile)):
            finding = replace(finding, known=reason)
        else:
            self._open.add((finding.severity, finding.blame))
        key = self._key(finding)
        if key not in self.counts and len(self.counts) >= _MOST:
            key = self._key(finding, conn=0)
        self.counts[key] += 1
        if self.counts[key] <= self._kept:
            self.findings.append(finding)
        if self._on_finding is not None:
            self._on_finding(finding)
