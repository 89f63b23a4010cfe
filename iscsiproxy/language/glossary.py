"""What every word of the language is for, in one line each: for the schema, the reference and the console.

Only words that have no specification of their own are here; acts and their parameters bring their help along.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = [
    "AFTERMATHS",
    "CLAUSES",
    "ENDS",
    "EVENTS",
    "FUNCTIONS",
    "GROUPS",
    "HEADS",
    "MACHINE",
    "MOMENTS",
    "NAMES",
    "OUTCOME",
    "PICKS",
    "RULE",
    "SECTIONS",
    "TIMING",
    "TRAFFIC",
    "VERDICTS",
    "VICTIMS",
    "WINDOW",
]

Words = Mapping[str, str]

#: The keys of a file
SECTIONS: Words = MappingProxyType(
    {
        "scenario": "The name; the file is called NAME.yaml.",
        "version": "The version of the language: 1.",
        "title": "What happens, in one line.",
        "about": "What the standard asks of the victim, and why this breaks things; any number of lines.",
        "covers": "Identifiers of a catalogue that this scenario is about.",
        "cites": "Clauses of the standards, such as RFC 7143 4.2.2.1.",
        "victim": "The end that receives what the rules change, and that is judged.",
        "needs": "Tests on what is known of the run, such as initiator.depth >= 2; if one is false the run is skipped.",
        "params": "Names and their defaults: $name stands for the value, and -p name=value changes it.",
        "matrix": "Names and lists of values: one run for each combination; $name stands for the value.",
        "traffic": "What the initiator is made, or asked, to do.",
        "negotiate": "What each end is told in login; the proxy answers for the other.",
        "rules": "When to do what.",
        "machines": "Rules with states, for loops and branches.",
        "actor": "Steps of the embedded initiator, through the proxy: for several connections and reinstatement.",
        "expect": "What the victim may do, and must not do, between two moments.",
        "aftermath": "What must work when the fault is over.",
        "timing": "Times that belong to this scenario.",
    }
)
VICTIMS: Words = MappingProxyType(
    {
        "target": "It receives what the rules change in requests.",
        "initiator": "It receives what the rules change in responses.",
        "both": "Each is judged.",
    }
)
TRAFFIC: Words = MappingProxyType(
    {
        "io": "What it does: verify writes and reads back; read, write, discovery or none.",
        "size": "Bytes in each command.",
        "depth": "Commands in flight at a time.",
        "luns": "How many logical units are used.",
        "offer": "Keys that it offers in login.",
    }
)
TIMING: Words = MappingProxyType(
    {
        "quiet": "How long it stays quiet behind an answered ping before silence counts.",
        "hang": "How long an end may leave a ping unanswered.",
        "within": "How long a window is open that has no end of its own.",
    }
)
RULE: Words = MappingProxyType(
    {
        "when": "The moment; in a list, whichever comes first.",
        "do": "An act or a list of acts, done in their order; without it the rule only binds names.",
        "name": "A name for reports and for `arm` and `disarm`.",
        "until": "The moment from which the rule no longer holds.",
        "optional": "yes: it need not fire.",
        "armed": "no: it holds only from when an `arm` brings it into force.",
    }
)
MACHINE: Words = MappingProxyType(
    {
        "per": "One machine for the run, or for each session or connection.",
        "states": "States and their rules; the first is the start.",
    }
)
#: What an expectation says
HEADS: Words = MappingProxyType(
    {
        "first": "Lines of VERDICT: PATTERN; the first event that any line means decides, by the topmost such line.",
        "never": "No such event in the window.",
        "exactly": "Just so many: NUMBER PATTERN.",
        "at_least": "So many or more: NUMBER PATTERN.",
        "at_most": "So many or fewer: NUMBER PATTERN.",
    }
)
#: What else an expectation may have
WINDOW: Words = MappingProxyType(
    {
        "after": "The moment behind which the window opens; without it, the first act that reaches the wire.",
        "until": "The moment that closes the window.",
        "within": "How long the window is open.",
        "else": "What a miss is: fail, or warn.",
        "note": "Said with the verdict.",
    }
)
VERDICTS: Words = MappingProxyType(
    {
        "pass": "As it has to be.",
        "warn": "Allowed, but not good.",
        "fail": "Wrong.",
        "inconclusive": "It shows nothing.",
        "skipped": "There was nothing to judge here.",
    }
)
#: What a line of `first` may have besides its verdict
OUTCOME: Words = MappingProxyType({"note": "Said with the verdict."})
AFTERMATHS: Words = MappingProxyType(
    {
        "recovers": "This session or its successor does good I/O.",
        "survives": "This very connection does good I/O.",
        "ends": "This connection is gone, and a new login works.",
        "none": "Nothing is asked.",
    }
)
ENDS: Words = MappingProxyType(
    {
        "initiator": "The end that sends requests.",
        "target": "The end that sends responses.",
        "victim": "The end that is judged.",
        "proxy": "What the proxy made itself; without `from proxy` no rule sees that.",
    }
)
EVENTS: Words = MappingProxyType(
    {
        "connect": "An initiator has connected, and the proxy to the target.",
        "full-feature": "A connection has entered the full feature phase.",
        "close": "One side of a TCP connection has ended; `how` is fin, rst or timeout.",
        "escalation": "The victim closes the connection, or sends Async event 1, 2 or 3: always allowed to it.",
        "io-good": "I/O has ended well, as the application sees it.",
        "io-error": "I/O has ended with an error, as the application sees it.",
        "io-mismatch": "A read gave other data than was written.",
    }
)
#: PDU names that stand for several
GROUPS: Words = MappingProxyType(
    {
        "Initiator-PDU": "Anything that an initiator sends.",
        "Target-PDU": "Anything that a target sends.",
        "Any-PDU": "Anything.",
        "Status-PDU": "What advances StatSN: responses, and a Data-In with S.",
    }
)
#: Steps of a moment that are no patterns
MOMENTS: Words = MappingProxyType(
    {
        "200ms": "So long after the step before; as the only step, after the rule came into force.",
        "1s..5s": "A time between the two, drawn with the run's seed.",
        "barrier": "The victim has answered a ping that is sent now, and then stayed quiet for `timing.quiet`.",
        "fault": "The first act of the scenario has reached the wire.",
        "released": "Somebody has let the PDU go by hand.",
        "NAME": "This name is bound.",
    }
)
#: What a pattern may say besides which PDUs or events, in this order
CLAUSES: Words = MappingProxyType(
    {
        "of": "of NAME: it belongs to what NAME is bound to.",
        "from": "from END: it was sent by that end.",
        "at": "at LEG: seen there, after all changes on the way to it; else where it comes in.",
        "where": "where TEST: and the test is true of it.",
        "as": "as NAME binds the name to it, a later match anew; as each NAME collects up to 4096.",
    }
)
PICKS: Words = MappingProxyType(
    {
        "after": "after 3: leave out the first three matches.",
        "nth": "nth 2, nth 2..4: only these, counted from 1.",
        "every": "every 3: only the third, the sixth and so on.",
        "mask": "mask 1011: the bits say which, over and over.",
        "chance": "chance 1%: each with this chance, drawn with the run's seed.",
        "times": "times 5: no more than five.",
        "per": "per session: count in each run, session, connection or task on its own.",
    }
)
FUNCTIONS: Words = MappingProxyType(
    {
        "min": "min(a, b, …): the smallest.",
        "max": "max(a, b, …): the largest.",
        "len": "len(data): how many bytes or characters.",
        "random": "random(a, b): a number from a to b, drawn with the run's seed.",
        "uint": "uint(bytes, at, n): the number in n bytes from `at`.",
        "replica": "replica(NAME): this PDU is NAME again, but for ExpCmdSN, MaxCmdSN, ExpDataSN and digests.",
    }
)
#: Names besides the fields of the PDU; capitals stand for what is to be filled in
NAMES: Words = MappingProxyType(
    {
        "length": "Bytes in the data segment.",
        "data": "The data segment.",
        "pad": "The padding behind it.",
        "sense": "Sense data of a SCSI-Response or Async: B/0C/0D is key/ASC/ASCQ.",
        "AHS": "Additional header segments; `AHS != absent`.",
        "text.KEY": "A key in the text of a Login or Text PDU.",
        "header.FIELD": "A field of the header inside a Reject.",
        "CDB.name": 'The command, such as "WRITE(10)".',
        "CDB.LBA": "The first block.",
        "CDB.blocks": "How many blocks.",
        "BHS.N": "Byte N of the header, 0 to 47.",
        "BHS.N.B": "Bit B of that byte; bit 0 is its highest.",
        "how": "Of a close: fin, rst or timeout.",
        "task.FIELD": "A field of the SCSI command that this PDU belongs to.",
        "task.received": "Bytes of a write that have reached the target.",
        "task.sent": "Bytes of a read that have come from it.",
        "task.R2Ts": "R2Ts that are open.",
        "task.age": "Time since the command.",
        "task.status": "Its SCSI status, once there is one.",
        "conn.CID": "The connection's identifier.",
        "conn.phase": "Where it is: connected, security, operational, full-feature, logout or closed.",
        "conn.nth": "Which connection of the run it is, from 1.",
        "conn.age": "Time since it was opened.",
        "conn.outstanding": "Tasks on it that have no status yet.",
        "conn.StatSN": "The StatSN that the target has to use next.",
        "conn.ExpStatSN": "What the initiator has acknowledged.",
        "session.type": "Normal or Discovery.",
        "session.TargetName": "The target's name.",
        "session.InitiatorName": "The initiator's name.",
        "session.ISID": "The initiator's part of the session's name.",
        "session.TSIH": "The target's part of it.",
        "session.CmdSN": "The CmdSN that is to be used next.",
        "session.ExpCmdSN": "The CmdSN that the target awaits.",
        "session.MaxCmdSN": "The last CmdSN that it takes.",
        "session.window": "How many more commands it takes.",
        "session.outstanding": "Tasks in it that have no status yet.",
        "session.conns": "How many connections it has.",
        "key.KEY": "What was negotiated on this leg, or the default.",
        "declared.initiator.KEY": "What the initiator has declared, such as MaxRecvDataSegmentLength.",
        "declared.target.KEY": "What the target has declared.",
        "profile": "The standard that is judged by: rfc3720, rfc5048, rfc7143 or rfc7144.",
        "initiator.depth": "How many commands the initiator has in flight.",
        "initiator.kind": "embedded, external or command.",
        "target.LUs": "How many logical units the target has.",
        "target.kind": "embedded, external or command.",
        "NAME.FIELD": "A field of what NAME is bound to, as it was then; on each leg as that leg saw it.",
        "NAME.CDB": "The whole CDB of a captured command.",
        "NAME.at": "When it was bound, as a time since the run began.",
        "NAME.first.FIELD": "Of the first that `as each NAME` has collected; `last` in the same way.",
        "NAME.count": "How many it has collected.",
        "absent": "What is not there: equal to nothing else.",
        "none": "The tag ffffffff, beside a tag.",
    }
)
