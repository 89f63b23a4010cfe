"""What a scenario can do to the data on a target: make commands that write, or change what is written and what is read.

What cannot be told beforehand counts as harm. Whether a target is declared scratch is for others to know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from iscsiproxy.language.spec import Act, Pattern, Rule, Scenario
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["acts_of", "harm_of", "harmful_act", "writing_act"]

#: Operation codes that leave a logical unit as it is: TEST UNIT READY, REQUEST SENSE, READ(6), INQUIRY, MODE SENSE(6),
#: READ CAPACITY(10), READ(10), MODE SENSE(10), READ(16), SERVICE ACTION IN(16), REPORT LUNS, READ(12) (SPC-4, SBC-3)
_HARMLESS: Final = frozenset({0x00, 0x03, 0x08, 0x12, 0x1A, 0x25, 0x28, 0x5A, 0x88, 0x9E, 0xA0, 0xA8})
#: Parts of a PDU whose change can make another command, or the same one elsewhere
_TELLING: Final = ("CDB", "BHS", "LUN", "Opcode")
#: Parts by which what is sent can be another command than it says
_DISGUISING: Final = ("BHS", "Opcode")
_WRITING_IO: Final = ("verify", "write")

#: What carries data, says where it goes, or says what became of it (RFC 7143 11.3, 11.4, 11.7, 11.8)
_OF_DATA: Final = frozenset({Opcode.SCSI_COMMAND, Opcode.DATA_OUT, Opcode.DATA_IN, Opcode.R2T, Opcode.SCSI_RESPONSE})
#: Acts that put something else in the place of a PDU, or a PDU more beside it; `split` and `merge` keep every byte
_CHANGING: Final = frozenset({"answer", "corrupt", "duplicate", "replay", "resize", "set", "swap"})
#: One of these that is lost leaves a hole, that comes late may come behind the end; others are waited for, and missed
_HOLES: Final = {Opcode.DATA_OUT: "what is written", Opcode.DATA_IN: "what is read"}
#: What counts PDUs, and says nothing of data (RFC 7143 4.2.2)
_COUNTING: Final = frozenset({"StatSN", "ExpStatSN", "ExpCmdSN", "MaxCmdSN", "numbers"})
#: The key that says which disks an initiator gets to see (RFC 7143 13.4)
_TARGET: Final = "TargetName"
#: Acts that send something of their own
_SENDING: Final = frozenset({"inject", "probe", "send", "swap", "replay"})
_OWN_OF_DATA: Final = frozenset({"Data-Out", "R2T", "Data-In", "SCSI-Response"})
#: Parts of a PDU that are not data, and do not say where it goes
_OUTSIDE: Final = frozenset({"header-digest", "data-digest", "pad"})


def harm_of(scenario: Scenario) -> str:
    """Say what of a scenario may corrupt data; empty if nothing can."""
    for rule in _rules(scenario):
        opcodes = _opcodes(rule)
        for act in rule.do:
            if why := harmful_act(act, opcodes):
                return why
    return next((why for act in scenario.actor if (why := writing_act(act))), "")


def harmful_act(act: Act, opcodes: Iterable[int]) -> str:
    """Say how an act, on one of those PDUs, may corrupt data; empty if it cannot."""
    if why := writing_act(act):
        return why
    shown, on = f"`{act.text or act.name}`", _OF_DATA & frozenset(opcodes)
    own = act.params.get("pdu")
    if act.name in _SENDING and isinstance(own, str) and own in _OWN_OF_DATA:
        return f"{shown} sends a {own} of the proxy's own"
    if _leads_elsewhere(act):
        return f"{shown} may lead to other disks"
    for opcode, what in _HOLES.items():
        if opcode in on and act.name == "drop":
            return f"{shown} makes a hole in {what}"
        if opcode in on and act.name == "delay" and act.params.get("overtake"):
            return f"{shown} may bring {what} too late"
    return f"{shown} changes what is written, or what is read" if on and _changes(act) else ""


def _changes(act: Act) -> bool:
    """Tell whether an act on one of those PDUs changes more than its numbers, or says that what was not done was."""
    if act.name == "corrupt":
        return act.params.get("what") not in _OUTSIDE
    if act.name == "set":
        return not _COUNTING.issuperset(act.fields) or act.params.get("fix") == "none"
    if act.name == "answer":
        status = getattr(act.fields.get("Status"), "value", None)
        refuses = isinstance(status, int) and status != 0 and "Response" not in act.fields
        return not (refuses or act.params.get("pdu") == "Reject")
    return act.name in _CHANGING


def _leads_elsewhere(act: Act) -> bool:
    """Tell whether an act gives a login the name of another target."""
    added = act.params.get("add")
    pairs = [one for one in added if isinstance(one, str)] if isinstance(added, tuple) else []
    raw = [value for name in ("raw", "append") if isinstance(value := act.params.get(name), bytes)]
    return (
        f"text.{_TARGET}" in act.fields
        or any(pair.startswith(f"{_TARGET}=") for pair in pairs)
        or any(f"{_TARGET}=".encode() in text for text in raw)
    )


def writing_act(act: Act) -> str:
    """Say how an act may make a command that writes; empty if it cannot."""
    if act.name == "io" and act.params.get("do") in _WRITING_IO:
        return f"its actor does {act.text or 'io'}"
    telling = {name.partition(".")[0] for name in act.fields}
    if (act.name == "set" and not telling.isdisjoint(_TELLING)) or (
        act.name in _SENDING and not telling.isdisjoint(_DISGUISING)
    ):
        return f"`{act.text or act.name}` can make another command"
    cdb = act.params.get("CDB") or act.fields.get("CDB")
    if cdb is not None and not _harmless(cdb):
        return f"`{act.text or act.name}` makes a command"
    return ""


def _harmless(cdb: object) -> bool:
    """Tell whether a CDB is known to leave the logical unit as it is; what is computed is not known."""
    value = getattr(cdb, "value", None)
    return isinstance(value, bytes) and len(value) > 0 and value[0] in _HARMLESS


def acts_of(scenario: Scenario) -> Iterator[Act]:
    """Give every act of a scenario."""
    for rule in _rules(scenario):
        yield from rule.do
    yield from scenario.actor


def _rules(scenario: Scenario) -> Iterator[Rule]:
    yield from scenario.rules
    for machine in scenario.machines:
        for state in machine.states:
            yield from state.rules


def _opcodes(rule: Rule) -> frozenset[int]:
    """Give the PDUs that a rule may have in hand."""
    last = [moment.steps[-1] for moment in rule.when]
    return frozenset(
        opcode for step in last if isinstance(step, Pattern) for item in step.items for opcode in item.opcodes
    )
