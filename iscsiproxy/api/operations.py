"""Everything that can be asked of a running proxy: the one list that routes, clients and OpenAPI are made from.

An operation is a method and a path. What stands in braces in a path is an argument; `query` and `body` are what else is
sent, `answer` is what comes back, `status` says so. `refusals` are the status codes of the ways in which it can be
refused, beside those that every operation has (400, 401, 500).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

from iscsiproxy.api import models

__all__ = ["OPERATIONS", "Operation"]

A = TypeVar("A")

_NUMBERS: Final = frozenset({"conn", "n", "session"})


@dataclass(frozen=True, kw_only=True)
class Operation(Generic[A]):
    """One operation; `answer` is the type of what comes back, of each line if it is a `stream`."""

    name: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    help: str
    answer: type[A] | Any
    query: type[Any] | None = None
    body: type[Any] | None = None
    status: int = 200
    refusals: tuple[int, ...] = ()
    stream: bool = False

    @property
    def arguments(self) -> tuple[str, ...]:
        """What stands in braces in the path."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))

    @staticmethod
    def is_number(argument: str) -> bool:
        """Tell whether an argument of a path is a number, and not a name."""
        return argument in _NUMBERS


_M = models

PROXY = Operation[_M.Proxy](
    name="proxy", method="GET", path="/v1/proxy", help="the run as a whole, with its counters", answer=_M.Proxy
)
SESSIONS = Operation[tuple[_M.Session, ...]](
    name="sessions", method="GET", path="/v1/sessions", help="the sessions there are", answer=tuple[_M.Session, ...]
)
SESSION = Operation[_M.Session](
    name="session",
    method="GET",
    path="/v1/sessions/{session}",
    help="one session",
    answer=_M.Session,
    refusals=(404,),
)
CONNECTIONS = Operation[tuple[_M.Connection, ...]](
    name="connections",
    method="GET",
    path="/v1/connections",
    help="the connections there are",
    answer=tuple[_M.Connection, ...],
)
CONNECTION = Operation[_M.Connection](
    name="connection",
    method="GET",
    path="/v1/connections/{conn}",
    help="one connection, with what was negotiated on each leg",
    answer=_M.Connection,
    refusals=(404,),
)
KILL = Operation[_M.Connection](
    name="kill",
    method="POST",
    path="/v1/connections/{conn}/kill",
    help="close a connection; what it was comes back",
    body=_M.Kill,
    answer=_M.Connection,
    refusals=(404,),
)
STALL = Operation[_M.Connection](
    name="stall",
    method="POST",
    path="/v1/connections/{conn}/stall",
    help="neither read from nor write to a connection until it is resumed",
    body=_M.Stall,
    answer=_M.Connection,
    refusals=(404, 409),
)
RESUME = Operation[_M.Connection](
    name="resume",
    method="POST",
    path="/v1/connections/{conn}/resume",
    help="end what stalls a connection",
    answer=_M.Connection,
    refusals=(404, 409),
)
TASKS = Operation[tuple[_M.Task, ...]](
    name="tasks",
    method="GET",
    path="/v1/tasks",
    help="the tasks that have no status yet",
    query=_M.TaskQuery,
    answer=tuple[_M.Task, ...],
)
RULES = Operation[tuple[_M.Rule, ...]](
    name="rules", method="GET", path="/v1/rules", help="the rules and their counters", answer=tuple[_M.Rule, ...]
)
ARM = Operation[_M.Armed](
    name="arm",
    method="POST",
    path="/v1/rules",
    help="arm a line, a scenario file or a scenario that ships; all of it between two PDUs, or nothing",
    body=_M.Arming,
    answer=_M.Armed,
    status=201,
    refusals=(404, 409),
)
CHECK = Operation[_M.Armed](
    name="check",
    method="POST",
    path="/v1/rules/check",
    help="say what would be armed, or what is wrong with it, and arm nothing",
    body=_M.Arming,
    answer=_M.Armed,
    refusals=(404, 409),
)
SWITCH_SCENARIO = Operation[tuple[_M.Rule, ...]](
    name="switch_scenario",
    method="PATCH",
    path="/v1/rules/{scenario}",
    help="arm or disarm all rules of a scenario; picks begin anew",
    body=_M.RuleSwitch,
    answer=tuple[_M.Rule, ...],
    refusals=(404,),
)
SWITCH_RULE = Operation[_M.Rule](
    name="switch_rule",
    method="PATCH",
    path="/v1/rules/{scenario}/{rule}",
    help="arm or disarm one rule; its picks begin anew",
    body=_M.RuleSwitch,
    answer=_M.Rule,
    refusals=(404,),
)
REMOVE = Operation[tuple[_M.Rule, ...]](
    name="remove",
    method="DELETE",
    path="/v1/rules/{scenario}",
    help="take a scenario out; what its rules hold goes, what they stall goes on",
    answer=tuple[_M.Rule, ...],
    refusals=(404,),
)
CLEAR = Operation[_M.Cleared](
    name="clear",
    method="POST",
    path="/v1/clear",
    help="clear everything: rules out, held PDUs go in order, stalls end",
    answer=_M.Cleared,
)
HELD = Operation[tuple[_M.Held, ...]](
    name="held", method="GET", path="/v1/held", help="the PDUs in hand, oldest first", answer=tuple[_M.Held, ...]
)
HELD_PDU = Operation[_M.PduView](
    name="held_pdu",
    method="GET",
    path="/v1/held/{n}",
    help="one PDU in hand, in full, as it would go now",
    answer=_M.PduView,
    refusals=(404,),
)
EDIT = Operation[_M.Held](
    name="edit",
    method="PATCH",
    path="/v1/held/{n}",
    help="change a PDU in hand by acts of the language",
    body=_M.Edit,
    answer=_M.Held,
    refusals=(404, 409),
)
RELEASE = Operation[_M.Held](
    name="release",
    method="POST",
    path="/v1/held/{n}/release",
    help="let a PDU go; how it goes comes back",
    answer=_M.Held,
    refusals=(404,),
)
DROP = Operation[_M.Held](
    name="drop",
    method="DELETE",
    path="/v1/held/{n}",
    help="let a PDU in hand go nowhere",
    answer=_M.Held,
    refusals=(404,),
)
STEP = Operation[_M.Stepped](
    name="step",
    method="POST",
    path="/v1/held/{n}/step",
    help="let a PDU go, and hold the next one of its connection",
    answer=_M.Stepped,
    refusals=(404,),
)
INJECT = Operation[_M.Injected](
    name="inject",
    method="POST",
    path="/v1/inject",
    help="send a PDU of the proxy's own, and wait for its answer",
    body=_M.Injection,
    answer=_M.Injected,
    status=201,
    refusals=(404, 409),
)
PDU = Operation[_M.PduView](
    name="pdu",
    method="GET",
    path="/v1/pdus/{n}",
    help="one PDU in full, by the number of its event; recent ones are kept while somebody looks",
    answer=_M.PduView,
    refusals=(404,),
)
FINDINGS = Operation[_M.Findings](
    name="findings",
    method="GET",
    path="/v1/findings",
    help="what the judge has found",
    query=_M.FindingQuery,
    answer=_M.Findings,
)
EXPLAIN = Operation[tuple[_M.Explanation, ...]](
    name="explain",
    method="GET",
    path="/v1/explanations",
    help="why rules did or did not fire: the nearest misses",
    query=_M.ExplanationQuery,
    answer=tuple[_M.Explanation, ...],
    refusals=(404,),
)
EVENTS = Operation[_M.Event](
    name="events",
    method="GET",
    path="/v1/events",
    help="events as they happen, one JSON object a line; `since` tells earlier ones again",
    query=_M.EventQuery,
    answer=_M.Event,
    stream=True,
)
RECORDING = Operation[_M.Recording](
    name="recording", method="GET", path="/v1/recording", help="what was recorded", answer=_M.Recording
)
RECORD = Operation[_M.Recording](
    name="record",
    method="PUT",
    path="/v1/recording",
    help="begin to record what is done by hand, or end it",
    body=_M.RecordingSwitch,
    answer=_M.Recording,
)
SAVE = Operation[_M.ScenarioText](
    name="save",
    method="POST",
    path="/v1/scenarios/{scenario}",
    help="what was done by hand, or what is armed, as a scenario file of that name",
    body=_M.Saving,
    answer=_M.ScenarioText,
    refusals=(409,),
)
COMPLETE = Operation[_M.Completion](
    name="complete",
    method="GET",
    path="/v1/completion",
    help="what may come next in a line of the language that is being typed",
    query=_M.CompletionQuery,
    answer=_M.Completion,
)
VOCABULARY = Operation[_M.Vocabulary](
    name="vocabulary",
    method="GET",
    path="/v1/vocabulary",
    help="the words of the language: PDUs, fields, acts, keys",
    answer=_M.Vocabulary,
)

OPERATIONS: Final[tuple[Operation[Any], ...]] = (
    PROXY,
    SESSIONS,
    SESSION,
    CONNECTIONS,
    CONNECTION,
    KILL,
    STALL,
    RESUME,
    TASKS,
    RULES,
    ARM,
    CHECK,
    SWITCH_SCENARIO,
    SWITCH_RULE,
    REMOVE,
    CLEAR,
    HELD,
    HELD_PDU,
    EDIT,
    RELEASE,
    DROP,
    STEP,
    INJECT,
    PDU,
    FINDINGS,
    EXPLAIN,
    EVENTS,
    RECORDING,
    RECORD,
    SAVE,
    COMPLETE,
    VOCABULARY,
)
