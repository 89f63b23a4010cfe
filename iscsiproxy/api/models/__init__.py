"""The values that go over the control API. Protocol fields have the RFC's names; times are seconds since the run began.

What a client sends is strict: an unknown member is an error. What it gets may grow: clients pass over what they do not
know.
"""

from __future__ import annotations

from iscsiproxy.api.models.base import End, Ends, FileText, Json, Line, Name, Number, Problem, Seconds
from iscsiproxy.api.models.happened import (
    Event,
    EventQuery,
    Explanation,
    ExplanationQuery,
    Finding,
    FindingQuery,
    Findings,
    Proof,
)
from iscsiproxy.api.models.holding import Edit, Field, Held, Injected, Injection, PduView, Stepped
from iscsiproxy.api.models.recording import Recording, RecordingSwitch, Saving, ScenarioText
from iscsiproxy.api.models.rules import Armed, Arming, Cleared, Rule, RuleSwitch
from iscsiproxy.api.models.state import (
    Connection,
    Kill,
    Leg,
    Numbers,
    Proxy,
    Route,
    Session,
    Stall,
    Task,
    TaskQuery,
    Timer,
)
from iscsiproxy.api.models.words import Act, Candidate, Completion, CompletionQuery, Param, PduKind, Vocabulary

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
    "Ends",
    "Event",
    "EventQuery",
    "Explanation",
    "ExplanationQuery",
    "Field",
    "FileText",
    "Finding",
    "FindingQuery",
    "Findings",
    "Held",
    "Injected",
    "Injection",
    "Json",
    "Kill",
    "Leg",
    "Line",
    "Name",
    "Number",
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
    "Seconds",
    "Session",
    "Stall",
    "Stepped",
    "Task",
    "TaskQuery",
    "Timer",
    "Vocabulary",
]
