"""What a judge says: one fact each, with the rule, the clause, who is to blame, and the events that prove it."""

from __future__ import annotations

from dataclasses import dataclass

from iscsiproxy.checks.rules import Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Finding", "Proof", "proof_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One event that a finding stands on: `n` in the journal, at `line` of its file (0: live)."""

    n: int
    at: float
    conn: int
    leg: End | None
    text: str
    line: int = 0

    def __str__(self) -> str:
        leg = f", {self.leg} leg" if self.leg else ""
        return f"#{self.n} {self.at:.3f}s conn {self.conn}{leg}: {self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding.

    `rule` is an id such as `T-023`, or the kind of a finding about data or recovery; `severity` how much it weighs;
    `blame` is the end that did it, None where a fault of the proxy did. `label` is what the last event of the proof
    was: a PDU's name, `close`, or `silence` for what did not come; `pdu` its header. The first of the proof is what the
    finding is about.
    """

    rule: str
    title: str
    severity: Severity
    clause: str
    blame: End | None
    conn: int
    at: float
    n: int
    text: str
    label: str
    proof: tuple[Proof, ...] = ()
    pdu: Pdu | None = None
    cdb: str = ""  #: the SCSI command it is about, by name
    key: str = ""  #: the text key it is about
    known: str = ""  #: the reason why it is accepted, from a list of known deviations

    def __str__(self) -> str:
        who = self.blame or "fault"
        return f"{self.severity} {self.rule} {who}: {self.text} ({self.clause})"


def proof_of(note: Note) -> Proof:
    """Make the proof of a note."""
    return Proof(n=note.n, at=note.at, conn=note.conn, leg=note.leg, text=note.text, line=note.line)
