"""A proxy that is only its API: what a console sees of one, held in memory.

It answers every operation of the list by a method of its name, over a transport that streams events as they are told.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import msgspec

from iscsiproxy.api import models
from iscsiproxy.api.client import AsyncClient
from iscsiproxy.api.models import (
    Act,
    Armed,
    Arming,
    Cleared,
    Connection,
    Edit,
    Event,
    EventQuery,
    Explanation,
    Finding,
    Findings,
    Held,
    Injected,
    Injection,
    Kill,
    Leg,
    Numbers,
    Param,
    PduKind,
    PduView,
    Problem,
    Proxy,
    Recording,
    RecordingSwitch,
    Route,
    Rule,
    RuleSwitch,
    Saving,
    ScenarioText,
    Session,
    Stall,
    Stepped,
    Task,
    Timer,
    Vocabulary,
)
from iscsiproxy.api.operations import OPERATIONS, Operation

__all__ = ["FakeProxy", "connection", "event", "held_pdu", "pdu_view", "rule", "session", "task"]


T = TypeVar("T")


class RefusedError(Exception):
    """What the fake refuses."""

    def __init__(self, status: int, error: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.problem = Problem(error=error, message=message, **more)


def leg(**changed: Any) -> Leg:
    keys = {"HeaderDigest": "None", "MaxBurstLength": "262144"}
    given: dict[str, Any] = {
        "phase": "full-feature",
        "StatSN": 7,
        "ExpStatSN": 7,
        "outstanding": 0,
        "header_digest": False,
        "data_digest": False,
        "stalled": False,
        "closed": False,
        "keys": keys,
        "declared": {"initiator": {"MaxRecvDataSegmentLength": "8192"}},
    }
    return Leg(**given | changed)


def connection(number: int, **changed: Any) -> Connection:
    given: dict[str, Any] = {
        "id": number,
        "session": 1,
        "CID": 0,
        "phase": "full-feature",
        "opened": 0.5,
        "address": f"127.0.0.1:4000{number}",
        "listen": "127.0.0.1:3261",
        "local": f"127.0.0.1:4100{number}",
        "portal": "127.0.0.1:3260",
        "held": 0,
        "initiator": leg(),
        "target": leg(),
    }
    return Connection(**given | changed)


def session(number: int, **changed: Any) -> Session:
    numbers = Numbers(CmdSN=10, ExpCmdSN=8, MaxCmdSN=39, window=30)
    given: dict[str, Any] = {
        "id": number,
        "type": "Normal",
        "InitiatorName": "iqn.2004-01.com.example:i",
        "TargetName": "iqn.2004-01.com.example:t",
        "ISID": "0x00023d000000",
        "TSIH": 1,
        "connections": (1,),
        "outstanding": 2,
        "initiator": numbers,
        "target": numbers,
    }
    return Session(**given | changed)


def task(itt: int, **changed: Any) -> Task:
    given: dict[str, Any] = {
        "conn": 1,
        "session": 1,
        "ITT": itt,
        "LUN": 0,
        "command": "WRITE(10) LBA=0 blocks=8",
        "CmdSN": 9,
        "EDTL": 4096,
        "received": 512,
        "sent": 0,
        "R2Ts": 1,
        "age": 0.25,
    }
    return Task(**given | changed)


def rule(name: str, **changed: Any) -> Rule:
    given: dict[str, Any] = {
        "name": name,
        "scenario": name.partition("/")[0],
        "text": "drop Data-Out nth 1",
        "armed": True,
        "optional": False,
        "once": False,
        "conn": None,
        "matched": 0,
        "fired": 0,
        "failed": 0,
        "shadowed": 0,
        "expired": 0,
        "skipped": 0,
        "waiting": 0,
    }
    return Rule(**given | changed)


def held_pdu(n: int, **changed: Any) -> Held:
    given: dict[str, Any] = {
        "n": n,
        "at": 1.0,
        "since": 1.0,
        "conn": 1,
        "leg": "initiator",
        "rule": "line-1/1",
        "until": "released",
        "label": "SCSI-Command",
        "summary": "SCSI-Command ITT=0x00000003 W WRITE(10) LBA=0 blocks=8",
        "changes": (),
    }
    return Held(**given | changed)


def pdu_view(n: int, **changed: Any) -> PduView:
    given: dict[str, Any] = {
        "n": n,
        "at": 1.0,
        "conn": 1,
        "leg": "initiator",
        "event": "received",
        "label": "NOP-Out",
        "summary": "NOP-Out ITT=0x00000001",
        "fields": (models.Field(name="TotalAHSLength", value=0, text="0"),),
        "lines": ("NOP-Out from initiator, 48 bytes", "  ITT 0x00000001"),
        "raw": bytes(range(48)).hex(),
        "size": 48,
    }
    return PduView(**given | changed)


def event(n: int, kind: str = "received", **changed: Any) -> Event:
    given: dict[str, Any] = {"n": n, "at": n / 1000, "conn": 1, "event": kind, "text": ""}
    if kind in ("received", "delivered"):
        given |= {"leg": "initiator", "label": "NOP-Out", "text": f"NOP-Out ITT=0x{n:08x}"}
    return Event(**given | changed)


VOCABULARY = Vocabulary(
    pdus=tuple(
        PduKind(name=name, sender="initiator", fields=("ITT", "F"), words={})
        for name in ("NOP-Out", "NOP-In", "SCSI-Command", "SCSI-Response", "Data-Out", "R2T")
    ),
    events=("connect", "close", "full-feature"),
    acts=tuple(
        Act(name=name, help=help_, main=main, params=params, fields=fields)
        for name, help_, main, params, fields in (
            ("drop", "The PDU does not go", None, (Param(name="numbers", help="of what", choices=("raw",)),), False),
            ("delay", "keeps what is in hand", "until", (Param(name="until", help="the moment", choices=()),), False),
            ("set", "gives fields new values", None, (), True),
            ("inject", "sends a new PDU", "pdu", (Param(name="pdu", help="which", choices=()),), True),
            ("close", "closes", "how", (Param(name="how", help="in what way", choices=("rst", "fin")),), False),
            ("stall", "stands still", "until", (), False),
            ("note", "leaves a note", "text", (), False),
            ("arm", "arms a rule", "rule", (), False),
            ("disarm", "disarms a rule", "rule", (), False),
            ("pass", "the PDU goes now", None, (), False),
        )
    ),
    CDBs=("READ(10)", "WRITE(10)"),
    keys=("HeaderDigest",),
    scenarios=("data_out_lost", "link_flaps"),
)


class _Following(httpx.AsyncByteStream):
    """The body of a stream of events."""

    def __init__(self, proxy: FakeProxy, query: EventQuery) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._query = query
        self._proxy = proxy
        since = proxy.last if query.since is None else query.since
        for one in proxy.events:
            if one.n > since:
                self.offer(one)
        if query.follow:
            proxy.streams.append(self)
        else:
            self._queue.put_nowait(None)

    def offer(self, one: Event | None) -> None:
        if one is not None and one.event in ("received", "delivered"):
            where = self._query.where
            if not self._query.pdus or (where is not None and where.split()[0] not in ("Any-PDU", one.label)):
                return
            if one.event == "delivered" and not self._query.deliveries and not one.changes:
                return
        self._queue.put_nowait(one)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (one := await self._queue.get()) is not None:
            yield msgspec.json.encode(one) + b"\n"

    async def aclose(self) -> None:
        if self in self._proxy.streams:
            self._proxy.streams.remove(self)
        self._queue.put_nowait(None)


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, proxy: FakeProxy) -> None:
        self._proxy = proxy
        self._routes = [
            (operation.method, re.compile(re.sub(r"\{\w+\}", "([^/]+)", operation.path)), operation)
            for operation in OPERATIONS
        ]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._proxy.gone:
            raise httpx.ConnectError("nobody is there")
        body = await request.aread()
        for method, path, operation in self._routes:
            match = path.fullmatch(request.url.path)
            if match and method == request.method:
                self._proxy.asked.append(operation.name)
                return await self._answer(operation, match.groups(), request, body)
        return httpx.Response(404, content=msgspec.json.encode(Problem(error="not_found", message="no such path")))

    async def _answer(
        self, operation: Operation[Any], groups: tuple[str, ...], request: httpx.Request, body: bytes
    ) -> httpx.Response:
        given: list[Any] = [
            int(text) if Operation.is_number(name) else text
            for name, text in zip(operation.arguments, groups, strict=True)
        ]
        if operation.query is not None:
            given.append(msgspec.convert(dict(request.url.params), operation.query, strict=False))
        if operation.body is not None:
            given.append(msgspec.json.decode(body or b"{}", type=operation.body))
        try:
            name = "events_" if operation.stream else operation.name  # `events` are those that were
            answer = getattr(self._proxy, name)(*given)
            if asyncio.iscoroutine(answer):
                answer = await answer
        except RefusedError as refused:
            return httpx.Response(refused.status, content=msgspec.json.encode(refused.problem))
        if operation.stream:
            return httpx.Response(200, stream=answer)
        return httpx.Response(operation.status, content=msgspec.json.encode(answer))


@dataclass
class FakeProxy:
    """The state of the fake; tests change it, and look at what was asked."""

    connections_: dict[int, Connection] = field(default_factory=lambda: {1: connection(1)})
    sessions_: dict[int, Session] = field(default_factory=lambda: {1: session(1)})
    tasks_: list[Task] = field(default_factory=list)
    rules_: list[Rule] = field(default_factory=list)
    held_: dict[int, Held] = field(default_factory=dict)
    pdus_: dict[int, PduView] = field(default_factory=dict)
    findings_: list[Finding] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    streams: list[_Following] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    armings: list[Arming] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    injections: list[Injection] = field(default_factory=list)
    completions: list[models.CompletionQuery] = field(default_factory=list)
    recorded: Recording = field(default_factory=lambda: Recording(on=False, lines=()))
    timer: Timer | None = None
    scratch: bool = True
    checked: bool = True
    #: What comes of an act that is done now
    outcome: str = "fired"
    gone: bool = False
    silent: bool = False
    pdus: int = 0
    now: float = 10.0

    def client(self) -> AsyncClient:
        """Give a client of it."""
        return AsyncClient(transport=_Transport(self))

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self.events[-1].n if self.events else 0

    def tell(self, one: Event) -> Event:
        """Let an event happen."""
        self.events.append(one)
        for stream in self.streams:
            stream.offer(one)
        return one

    def end(self) -> None:
        """Let the proxy end."""
        self.gone = True
        for stream in self.streams:
            stream.offer(None)

    def wrong(self, message: str, *, column: int = 0, hint: str | None = None, **more: Any) -> RefusedError:
        """Give a refusal of a line."""
        return RefusedError(400, "bad_request", message, file="line", line=1, column=column, hint=hint, **more)

    # --- operations ---

    async def proxy(self) -> Proxy:
        while self.silent:
            await asyncio.sleep(0.01)
        return Proxy(
            version="0.1.0",
            pid=1,
            seed=7,
            now=self.now,
            routes=(Route(listen="127.0.0.1:3261", target="127.0.0.1:3260"),),
            scratch=self.scratch,
            checked=self.checked,
            profile="rfc7143",
            journal=None,
            capture=None,
            sessions=len(self.sessions_),
            connections=len(self.connections_),
            tasks=len(self.tasks_),
            pdus=self.pdus,
            rules=len(self.rules_),
            armed=sum(one.armed for one in self.rules_),
            held=len(self.held_),
            stalled=0,
            findings={"MUST": len(self.findings_)},
            recording=self.recorded.on,
            clients=1,
            last=self.last,
            timer=self.timer,
        )

    def sessions(self) -> tuple[Session, ...]:
        return tuple(self.sessions_.values())

    def session(self, number: int) -> Session:
        return self._there(self.sessions_, number, "session")

    def connections(self) -> tuple[Connection, ...]:
        return tuple(self.connections_.values())

    def connection(self, number: int) -> Connection:
        return self._there(self.connections_, number, "connection")

    def kill(self, number: int, how: Kill) -> Connection:
        gone = self.connection(number)
        del self.connections_[number]
        self.tell(event(self.last + 1, "closed", text=f"{how.how.upper()} on the {how.end} leg, by fault", conn=number))
        return gone

    def stall(self, number: int, how: Stall) -> Connection:
        self.connections_[number] = connection(number, initiator=leg(stalled=True), target=leg(stalled=True))
        return self.connection(number)

    def resume(self, number: int) -> Connection:
        self.connections_[number] = connection(number)
        return self.connection(number)

    def tasks(self, query: models.TaskQuery) -> tuple[Task, ...]:
        return tuple(one for one in self.tasks_ if query.conn in (None, one.conn))

    def rules(self) -> tuple[Rule, ...]:
        return tuple(self.rules_)

    def arm(self, arming: Arming) -> Armed:
        if arming.line is not None and "wrong" in arming.line:
            raise self.wrong("`wrong` does not belong here", column=arming.line.index("wrong") + 1, hint="leave it out")
        if arming.text is not None and "wrong" in arming.text:
            further = Problem(error="bad_request", message="and this", file=arming.file, line=4, column=1)
            raise RefusedError(
                400, "bad_request", "that is wrong", file=arming.file, line=3, column=5, others=(further,)
            )
        if arming.scenario is not None and arming.scenario not in VOCABULARY.scenarios:
            raise RefusedError(404, "not_found", f"no scenario {arming.scenario}")
        if not self.scratch and not arming.confirm:
            raise RefusedError(409, "confirm", "it may corrupt data; do it all the same?")
        self.armings.append(arming)
        name = arming.scenario or arming.name or f"line-{len(self.armings)}"
        once = arming.line is not None and not re.search(r"NOP|SCSI|R2T|Data|when", arming.line)
        made = rule(f"{name}/1", text=arming.line or "drop Data-Out", once=once, armed=not once)
        self.rules_.append(made)
        n = self.last
        if once and self.outcome == "fired":
            self.tell(event(n + 1, "fired", rule=made.name, act="close", text=f"FAULT {made.name} close"))
        elif once and self.outcome == "failed":
            self.tell(event(n + 1, "decided", rule=made.name, what="failed", text=f"failed {made.name}: no PDU"))
        return Armed(scenario=name, rules=(made,), n=n)

    def check(self, arming: Arming) -> Armed:
        return Armed(scenario="checked", rules=(), n=self.last)

    def switch_scenario(self, name: str, switch: RuleSwitch) -> tuple[Rule, ...]:
        found = [one for one in self.rules_ if one.scenario == name]
        if not found:
            raise RefusedError(404, "not_found", f"no scenario {name}")
        return tuple(self.switch_rule(name, one.name.partition("/")[2], switch) for one in found)

    def switch_rule(self, scenario: str, name: str, switch: RuleSwitch) -> Rule:
        for at, one in enumerate(self.rules_):
            if one.name == f"{scenario}/{name}":
                self.rules_[at] = msgspec.structs.replace(one, armed=switch.armed)
                return self.rules_[at]
        raise RefusedError(404, "not_found", f"no rule {scenario}/{name}")

    def remove(self, name: str) -> tuple[Rule, ...]:
        found = tuple(one for one in self.rules_ if one.scenario == name)
        if not found:
            raise RefusedError(404, "not_found", f"no scenario {name}")
        self.rules_ = [one for one in self.rules_ if one.scenario != name]
        return found

    def clear(self) -> Cleared:
        done = Cleared(rules=len(self.rules_), held=len(self.held_), stalled=0, reset=())
        self.rules_, self.held_ = [], {}
        return done

    def held(self) -> tuple[Held, ...]:
        return tuple(self.held_.values())

    def held_pdu(self, n: int) -> PduView:
        one = self._there(self.held_, n, "held PDU")
        return pdu_view(n, event="held", label=one.label, summary=one.summary, changes=one.changes)

    def edit(self, n: int, edit: Edit) -> Held:
        if "wrong" in edit.acts:
            raise self.wrong("no such field", column=edit.acts.index("wrong") + 1)
        self.edits.append(edit)
        self.held_[n] = msgspec.structs.replace(self._there(self.held_, n, "held PDU"), changes=(edit.acts,))
        return self.held_[n]

    def release(self, n: int) -> Held:
        self._there(self.held_, n, "held PDU")
        return self.held_.pop(n)

    def drop(self, n: int) -> Held:
        return self.release(n)

    def step(self, n: int) -> Stepped:
        return Stepped(released=self.release(n))

    def inject(self, injection: Injection) -> Injected:
        if "wrong" in injection.pdu:
            raise self.wrong("no such PDU", column=injection.pdu.index("wrong") + 1)
        self.injections.append(injection)
        sent = pdu_view(90, event="delivered", summary=injection.pdu)
        return Injected(rule="inject-1/1", sent=sent, asks=True, answer=pdu_view(91, summary="NOP-In TTT=none"))

    def pdu(self, n: int) -> PduView:
        return self._there(self.pdus_, n, "PDU")

    def findings(self, query: models.FindingQuery) -> Findings:
        found = tuple(one for one in self.findings_ if query.known or not one.known)
        return Findings(checked=self.checked, profile="rfc7143", findings=found, counts={"MUST": len(found)})

    def explain(self, query: models.ExplanationQuery) -> tuple[Explanation, ...]:
        return tuple(
            Explanation(rule=one.name, fired=0, lines=(f"rule {one.name}: never fired", "  no PDU matched"))
            for one in self.rules_
        )

    def events_(self, query: EventQuery) -> _Following:
        if query.where is not None and "wrong" in query.where:
            raise self.wrong("no such PDU", column=query.where.index("wrong") + 1)
        return _Following(self, query)

    def recording(self) -> Recording:
        return self.recorded

    def record(self, switch: RecordingSwitch) -> Recording:
        self.recorded = Recording(on=switch.on, lines=() if switch.on else self.recorded.lines)
        return self.recorded

    def save(self, name: str, saving: Saving) -> ScenarioText:
        return ScenarioText(name=name, text=f"scenario: {name}\n# {saving.what}\n")

    def vocabulary(self) -> Vocabulary:
        return VOCABULARY

    def complete(self, query: models.CompletionQuery) -> models.Completion:
        self.completions.append(query)
        begun = query.line.rpartition(" ")[2]
        words = [
            models.Candidate(text=word, kind="clause", help=f"help of {word}") for word in ("where", "nth", "when")
        ]
        return models.Completion(
            start=len(query.line) - len(begun),
            kinds=("clause", "rule") if query.line.startswith("arm ") else ("clause",),
            candidates=tuple(word for word in words if word.text.startswith(begun)),
        )

    def _there(self, of: dict[int, T], number: int, what: str) -> T:
        if number not in of:
            raise RefusedError(404, "not_found", f"there is no {what} {number}")
        return of[number]
