"""What a rule is: one thing that the standard demands of an end, and the function that sees whether it holds.

A rule is called at *moments*: a PDU that the end it judges has sent, a PDU that it was given, the end of a connection.
It is shown the moment and the state before it (`moment.Moment`), and says

- `None`: this moment says nothing about the rule;
- `FINE`: here the rule could have been broken, and was not. This is the evidence that is counted;
- a `Breach`: it was broken, how, and which earlier events prove it.

What an end has to do *later* is a debt: the check calls `moment.owe` and, when it is done, `moment.settle`. A debt that
was not settled in time is a breach by itself; one whose time was not up when the journal ended is no evidence.

Rules keep what only they need in objects of their own (`recall` of a connection, session or task), which the observers
of their family bring up to date behind all rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from iscsiproxy.checks.profiles import ALL, Profile
from iscsiproxy.wire.opcodes import End, Opcode

if TYPE_CHECKING:
    from iscsiproxy.checks.moment import Moment
    from iscsiproxy.checks.scene.notes import Note

__all__ = ["ANY", "FINE", "FROM_INITIATOR", "FROM_TARGET", "Breach", "Check", "Family", "Observer", "Outcome", "Rule",
           "Severity"]  # fmt: skip


class Severity(Enum):
    """How much a breach weighs."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    HEURISTIC = "heuristic"  #: the standard does not say it, but an engineer would want to know

    def __str__(self) -> str:
        return self.value


#: Opcodes of all PDUs, and of those that each end may send
ANY: Final = frozenset(range(64))
FROM_INITIATOR: Final = frozenset(int(opcode) for opcode in Opcode if not opcode & 0x20)
FROM_TARGET: Final = frozenset(int(opcode) for opcode in Opcode if opcode & 0x20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A rule was broken: `text` says how in one line, with the numbers.

    `proof` are earlier events that it stands on, besides the moment itself. `severity` and `clause` replace those of
    the rule where this case differs. `key` is the text key that it is about, if there is one.
    """

    text: str
    proof: tuple[Note, ...] = ()
    severity: Severity | None = None
    clause: str = ""
    key: str = ""


class _Fine(Enum):
    FINE = "fine"


#: The rule could have been broken here, and was not.
FINE: Final = _Fine.FINE

Outcome: TypeAlias = "Breach | _Fine | None"
Check: TypeAlias = "Callable[[Moment], Outcome]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule; its id begins with T for the target, I for the initiator, and D for the target's disks.

    `sent` are the opcodes of PDUs by the judged end at which `check` is called, `given` of those that it was given (and
    whose digests are right), `spoiled` of those that it was given with a wrong digest; `closed`: it is called when one
    side of the connection has ended. A PDU before the full feature phase counts like any other. `within` is the time
    that its debts have, in seconds, None for the judge's own; `calm`: they are void once a fault touched the
    connection.
    """

    id: str
    title: str
    severity: Severity
    clause: str
    check: Check
    sent: frozenset[int] = frozenset()
    given: frozenset[int] = frozenset()
    spoiled: frozenset[int] = frozenset()
    closed: bool = False
    profiles: frozenset[Profile] = ALL
    within: float | None = None
    calm: bool = False
    why: str = ""  #: for the reference: what goes wrong in practice when it is broken

    @property
    def blame(self) -> End:
        """The end that the rule judges."""
        return End.INITIATOR if self.id.startswith("I") else End.TARGET

    def __repr__(self) -> str:
        return f"<Rule {self.id} {self.title}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """Who brings the state of a family up to date, behind all rules and before the state of the scene moves on."""

    end: End  #: on whose leg
    update: Callable[[Moment], None]
    sent: frozenset[int] = frozenset()
    given: frozenset[int] = frozenset()
    spoiled: frozenset[int] = frozenset()
    closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Rules of one kind, a module each."""

    name: str
    title: str
    rules: tuple[Rule, ...]
    observers: tuple[Observer, ...] = ()
