"""The values that go over the control API. Protocol fields have the RFC's names; times are seconds since the run began.

What a client sends is strict: an unknown member is an error. What it gets may grow: clients pass over what they do not
know.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "Act",
    "Armed",
    "Arming",
    "Candidate",
    "Cleared",
    "Completion",
    "CompletionQuery",
    "Connection",
    "Edit",
    "End",
    "Event",
    "EventQuery",
    "Explanation",
    "ExplanationQuery",
    "Field",
    "Finding",
    "FindingQuery",
    "Findings",
    "Held",
    "Injected",
    "Injection",
    "Kill",
    "Leg",
    "Numbers",
    "Param",
    "PduKind",
    "PduView",
    "Problem",
    "Proof",
    "Proxy",
    "Recording",
    "RecordingSwitch",
    "Route",
    "Rule",
    "RuleSwitch",
    "Saving",
    "ScenarioText",
    "Session",
    "Stall",
    "Stepped",
    "Task",
    "TaskQuery",
    "Timer",
    "Vocabulary",
]

End = Literal["initiator", "target"]
Ends = Literal["initiator", "target", "both"]

#: The longest line of the fault language that is read, and the longest file, in characters
Line = Annotated[str, Meta(min_length=1, max_length=4096)]
FileText = Annotated[str, Meta(min_length=1, max_length=262_144)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Number = Annotated[int, Meta(ge=0, lt=1 << 53)]
Seconds = Annotated[float, Meta(ge=0, le=86_400)]


class _Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client sends."""


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the proxy answers."""


# --- errors --------------------------------------------------------------------------------------------------------


class Problem(_Told, frozen=True, kw_only=True):
    """Why something was not done; then nothing has changed.

    `error` is for programs: `bad_request`, `unauthorized`, `not_found`, `conflict`, `confirm` (it may corrupt data on a
    target that was not declared scratch: send it again with `confirm`), `too_large`, `internal`. Where a scenario or a
    line is wrong, `line` and `column` count from 1, and `others` are further errors of it.
    """

    error: str
    message: str
    hint: str | None = None
    file: str = ""
    line: int = 0
    column: int = 0
    others: tuple[Problem, ...] = ()


# --- the proxy -----------------------------------------------------------------------------------------------------


class Route(_Told, frozen=True, kw_only=True):
    """Where initiators connect, and the target behind it; `host:port`."""

    listen: str
    target: str


class Timer(_Told, frozen=True, kw_only=True):
    """The timer of a peer that runs out next while PDU `n` is held, by the usual defaults of such peers."""

    n: int
    what: Literal["NOP", "Data-Out", "login", "command"]
    end: End
    left: float
    why: str


class Proxy(_Told, frozen=True, kw_only=True):
    """The run as a whole.

    `pdus` counts what was looked at so far, `findings` by severity (`known` those that are accepted). `left_out` is
    what could not be recorded. `internal_errors`: this run proves nothing any more.
    """

    version: str
    pid: int
    seed: int
    now: float
    routes: tuple[Route, ...]
    scratch: bool
    checked: bool
    profile: str
    journal: str | None
    capture: str | None
    sessions: int
    connections: int
    tasks: int
    pdus: int
    rules: int
    armed: int
    held: int
    stalled: int
    findings: dict[str, int]
    recording: bool
    clients: int
    last: int
    timer: Timer | None = None
    internal_errors: tuple[str, ...] = ()
    left_out: int = 0


class Numbers(_Told, frozen=True, kw_only=True):
    """Command numbers of a session as one end counts them (RFC 7143 4.2.2.1); null: not known (yet)."""

    CmdSN: int | None
    ExpCmdSN: int | None
    MaxCmdSN: int | None
    window: int | None


class Session(_Told, frozen=True, kw_only=True):
    """One session (RFC 7143 4.4.3)."""

    id: int
    type: str
    InitiatorName: str | None
    TargetName: str | None
    ISID: str
    TSIH: int
    connections: tuple[int, ...]
    outstanding: int
    initiator: Numbers
    target: Numbers


class Leg(_Told, frozen=True, kw_only=True):
    """One of the two TCP connections of a pair: what was settled and counted on it.

    `keys` are the negotiated values, `declared` what each end said of itself.
    """

    phase: str
    StatSN: int | None
    ExpStatSN: int | None
    outstanding: int
    header_digest: bool
    data_digest: bool
    stalled: bool
    closed: bool
    keys: dict[str, str]
    declared: dict[str, dict[str, str]]


class Connection(_Told, frozen=True, kw_only=True):
    """One connection pair; `id` is the proxy's own number of it, `initiator` … `target` its four addresses."""

    id: int
    session: int
    CID: int | None
    phase: str
    opened: float
    address: str
    listen: str
    local: str
    portal: str
    held: int
    initiator: Leg
    target: Leg


class Kill(_Asked, frozen=True, kw_only=True):
    """Close a connection: RST, FIN, or FIN of our sending side only."""

    how: Literal["rst", "fin", "half"] = "rst"
    end: Ends = "both"


class Stall(_Asked, frozen=True, kw_only=True):
    """Neither read from nor write to an end until `resume`, or for `at_most` seconds."""

    end: Ends = "both"
    at_most: Seconds | None = None


class TaskQuery(_Asked, frozen=True, kw_only=True):
    """Which tasks."""

    conn: Number | None = None


class Task(_Told, frozen=True, kw_only=True):
    """One task without a status; `received` and `sent` are bytes of data that went to the target and came from it."""

    conn: int
    session: int
    ITT: int
    LUN: int
    command: str
    CmdSN: int | None
    EDTL: int
    received: int
    sent: int
    R2Ts: int
    age: float


# --- rules ---------------------------------------------------------------------------------------------------------


class Arming(_Asked, frozen=True, kw_only=True):
    """What to arm: exactly one of `line`, `text` and `scenario`.

    `line` is the language of the console, `text` a scenario file (`file` is its name in messages), `scenario` one that
    ships. `params` are parameters and axes of a matrix. A line without a moment is done now, on `conn` or, if there is
    but one, on that connection; with `conn` a line's rule acts there only. `name` is what the scenario of a line is
    called.
    """

    line: Line | None = None
    text: FileText | None = None
    scenario: Name | None = None
    file: Name = "scenario"
    params: dict[str, str] = {}
    conn: Number | None = None
    name: Name | None = None
    confirm: bool = False


class Rule(_Told, frozen=True, kw_only=True):
    """One rule and its counters.

    `text` is the rule as a line of the console; `once` tells that it was a line without a moment, done at once.
    """

    name: str
    scenario: str
    text: str
    armed: bool
    optional: bool
    once: bool
    conn: int | None
    matched: int
    fired: int
    failed: int
    shadowed: int
    expired: int
    skipped: int
    waiting: int


class Armed(_Told, frozen=True, kw_only=True):
    """What has come into force; `n` is the last event before it."""

    scenario: str
    rules: tuple[Rule, ...]
    n: int


class RuleSwitch(_Asked, frozen=True, kw_only=True):
    """Arm or disarm."""

    armed: bool


class Cleared(_Told, frozen=True, kw_only=True):
    """What was cleared: rules taken out, PDUs let go, stalls ended.

    `reset` are connections whose two ends had been told different things.
    """

    rules: int
    held: int
    stalled: int
    reset: tuple[int, ...]


# --- what is held --------------------------------------------------------------------------------------------------


class Field(_Told, frozen=True, kw_only=True):
    """One field of a PDU: its value, as number and as people read it."""

    name: str
    value: int
    text: str


class PduView(_Told, frozen=True, kw_only=True):
    """One PDU in full.

    `lines` list all fields, texts, sense, digests and data for people; `raw` are its bytes in hexadecimal, `size` how
    many it had: of a long one only the beginning is kept. Secrets are hidden in both. `of` is the event of the PDU
    that it came from.
    """

    n: int
    at: float
    conn: int
    leg: End
    event: Literal["received", "delivered", "held"]
    label: str
    summary: str
    fields: tuple[Field, ...]
    lines: tuple[str, ...]
    raw: str
    size: int
    of: int | None = None
    rules: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


class Held(_Told, frozen=True, kw_only=True):
    """A PDU in hand: it came in on `leg` as event `n`, and goes on when `until` comes.

    `changes` were made to it, `behind` counts the PDUs that wait behind it.
    """

    n: int
    at: float
    since: float
    conn: int
    leg: End
    rule: str
    until: str
    label: str
    summary: str
    changes: tuple[str, ...]
    behind: int = 0
    timer: Timer | None = None


class Edit(_Asked, frozen=True, kw_only=True):
    """What to do to a held PDU, as acts of the language: `set CDB.LBA=2048`, `corrupt header-digest; resize 512`."""

    acts: Line
    confirm: bool = False


class Stepped(_Told, frozen=True, kw_only=True):
    """What a step let go; the next PDU of its connection is held."""

    released: Held


class Injection(_Asked, frozen=True, kw_only=True):
    """A PDU of the proxy's own, as a template: `NOP-In TTT=0x12345678`.

    It is sent now, and `wait` seconds are given to its answer.
    """

    pdu: Line
    conn: Number | None = None
    wait: Seconds = 5.0
    confirm: bool = False


class Injected(_Told, frozen=True, kw_only=True):
    """What was sent, and what answered it; null: nothing, in that time."""

    rule: str
    sent: PduView | None
    answer: PduView | None


# --- what has happened ---------------------------------------------------------------------------------------------


class EventQuery(_Asked, frozen=True, kw_only=True):
    """Which events: those behind `since` (they are told again as far as they are kept), and with `follow` what comes.

    With `pdus` every PDU that comes in, and what goes out otherwise than it came; with `deliveries` all that goes out.
    `where` is a pattern of the language, and narrows PDUs: `SCSI-Command where W`. `conn` narrows all. At most `limit`
    are told.
    """

    since: Number | None = None
    follow: bool = True
    pdus: bool = False
    deliveries: bool = False
    where: Line | None = None
    conn: Number | None = None
    limit: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None


class Event(_Told, frozen=True, kw_only=True):
    """One event.

    `event` names its kind: `received`, `delivered`, `connected`, `closed`, `fired`, `decided`, `finding`, …; `what`
    says more of some (a decision: `held`, `released`, `failed`, …). `left-out` tells that up to `count` events are
    missing here: this client was too slow, or they are no longer kept.
    """

    n: int
    at: float
    conn: int
    event: str
    text: str
    leg: str = ""
    label: str = ""
    rule: str = ""
    act: str = ""
    what: str = ""
    of: int | None = None
    rules: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    count: int = 0


class Proof(_Told, frozen=True, kw_only=True):
    """An event that a finding stands on."""

    n: int
    at: float
    conn: int
    text: str
    leg: str = ""


class FindingQuery(_Asked, frozen=True, kw_only=True):
    """Which findings: those behind event `since`."""

    since: Number = 0
    known: bool = False


class Finding(_Told, frozen=True, kw_only=True):
    """One finding of the judge; `blame` is null where a fault did it, `count` how many of its kind there are."""

    rule: str
    title: str
    severity: str
    clause: str
    blame: str | None
    conn: int
    at: float
    n: int
    about: str
    text: str
    proof: tuple[Proof, ...]
    known: str = ""
    count: int = 1


class Findings(_Told, frozen=True, kw_only=True):
    """What the judge has found; without a judge (`checked` false) that is nothing."""

    checked: bool
    profile: str
    findings: tuple[Finding, ...]
    counts: dict[str, int]


class ExplanationQuery(_Asked, frozen=True, kw_only=True):
    """Of which rule: its full name, or that of its scenario."""

    rule: Name | None = None


class Explanation(_Told, frozen=True, kw_only=True):
    """Why a rule did or did not fire, in lines for people."""

    rule: str
    fired: int
    lines: tuple[str, ...]


# --- from the keyboard to a file -----------------------------------------------------------------------------------


class RecordingSwitch(_Asked, frozen=True, kw_only=True):
    """Begin to record what is armed and done by hand, from nothing; or end it."""

    on: bool


class Recording(_Told, frozen=True, kw_only=True):
    """Whether what is done by hand is recorded, and what was, a line each."""

    on: bool
    lines: tuple[str, ...]


class Saving(_Asked, frozen=True, kw_only=True):
    """What goes into the file: what was `recorded`, or the rules `armed`; by default the first if there is any."""

    what: Literal["recorded", "armed"] | None = None


class ScenarioText(_Told, frozen=True, kw_only=True):
    """A scenario file."""

    name: str
    text: str


# --- words ---------------------------------------------------------------------------------------------------------


class PduKind(_Told, frozen=True, kw_only=True):
    """One PDU of the language, and its fields; `words` are the names of code values by field."""

    name: str
    sender: str
    fields: tuple[str, ...]
    words: dict[str, tuple[str, ...]]


class Param(_Told, frozen=True, kw_only=True):
    """One parameter of an act."""

    name: str
    help: str
    choices: tuple[str, ...]


class Act(_Told, frozen=True, kw_only=True):
    """One act of the language."""

    name: str
    help: str
    main: str | None
    params: tuple[Param, ...]
    fields: bool


class CompletionQuery(_Asked, frozen=True, kw_only=True):
    """A line that is being typed, up to its end or with the cursor elsewhere.

    `form`: a whole `line`, only the `acts` of an edit (of the held PDU `n`), or a `pattern` alone.
    """

    line: Annotated[str, Meta(max_length=4096)] = ""
    cursor: Number | None = None
    form: Literal["line", "acts", "pattern"] = "line"
    n: Number | None = None


class Candidate(_Told, frozen=True, kw_only=True):
    """A word that may stand at the cursor; `kind` says what it is."""

    text: str
    kind: str
    help: str


class Completion(_Told, frozen=True, kw_only=True):
    """What may stand at the cursor, in the place of the characters from `start` on.

    `kinds` are all kinds of words that may; some have no list here: a `capture`, a `rule`, a `number`, a `duration`.
    """

    start: int
    kinds: tuple[str, ...]
    candidates: tuple[Candidate, ...]


class Vocabulary(_Told, frozen=True, kw_only=True):
    """The words of the language, for completion and help."""

    pdus: tuple[PduKind, ...]
    events: tuple[str, ...]
    acts: tuple[Act, ...]
    CDBs: tuple[str, ...]
    keys: tuple[str, ...]
    names: tuple[str, ...]
    scenarios: tuple[str, ...]


#: A JSON object of any kind
Json = dict[str, Any]
