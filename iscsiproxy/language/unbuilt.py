"""The part of the language that is read and checked but cannot be run yet.

Its grammar is whole, so that a file is right or wrong whatever is built. What is missing is refused with its place in
the file before anything is armed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from iscsiproxy.errors import FileError
from iscsiproxy.language.problems import Problems, problem
from iscsiproxy.language.spec import (
    ActSpec,
    Param,
    ParamKind,
    Position,
    Rule,
    Scenario,
)

__all__ = ["STEPS", "UNBUILT", "check_built"]

_PDU = Param(name="pdu", kind=ParamKind.PDU, help="what to send")
#: What every template takes besides fields.
_TEMPLATE = (
    Param(name="text", kind=ParamKind.TEXTS, help="keys and values of its text"),
    Param(name="split_text", kind=ParamKind.ACT, help="send the text in several rounds"),
    Param(name="conn", kind=ParamKind.NAME, help="the connection to send it on"),
    Param(name="as", kind=ParamKind.NEW_NAME, help="a name for what is sent"),
)


_SPECS: tuple[ActSpec, ...] = ()
#: Acts of the language that no engine has yet; what an engine brings takes the place of these.
UNBUILT: Mapping[str, ActSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})

#: What only an actor does.
STEPS: Mapping[str, ActSpec] = MappingProxyType(
    {
        "login": ActSpec(
            name="login",
            help="log in through the proxy",
            params=(
                Param(name="as", kind=ParamKind.NEW_NAME, help="a name for the connection"),
                Param(name="offer", kind=ParamKind.OFFER, help="keys to offer"),
                Param(name="join", kind=ParamKind.NAME, help="another connection of that session"),
                Param(name="reinstate", kind=ParamKind.NAME, help="the session of that connection anew"),
                Param(name="resume", kind=ParamKind.NAME, help="that very connection anew"),
            ),
            fields=True,
            events=True,
            built=False,
        ),
        "send": ActSpec(
            name="send",
            help="send a PDU",
            params=(
                _PDU,
                Param(name="again", kind=ParamKind.NAME, help="a retry of that command"),
                Param(name="data", kind=ParamKind.BYTES, help="its data", choices=("none",)),
                *_TEMPLATE,
            ),
            fields=True,
            of="pdu",
            events=True,
            built=False,
        ),
        "io": ActSpec(
            name="io",
            help="do I/O and wait for its end",
            main="do",
            params=(
                Param(
                    name="do", kind=ParamKind.CHOICE, help="what", choices=("verify", "read", "write"), required=True
                ),
                Param(name="size", kind=ParamKind.NUMBER, help="bytes in each command"),
            ),
            events=True,
            built=False,
        ),
    }
)


def check_built(scenario: Scenario, acts: Mapping[str, ActSpec]) -> None:
    """Make sure that all of a scenario can be run.

    Raises FileError for the first thing that is not built yet, with the others in its `others`.
    """
    problems = Problems()
    known = {**UNBUILT, **acts}
    for step in scenario.actor:
        if step.params.get("join") is not None:
            problems.add(_missing("`join`, a second connection of one session,", step.position))
    states = (state for machine in scenario.machines for state in machine.states)
    for rule in (*scenario.rules, *(rule for state in states for rule in state.rules)):
        for error in _unbuilt_in(rule, known):
            problems.add(error)
    problems.raise_if_any()


def _unbuilt_in(rule: Rule, acts: Mapping[str, ActSpec]) -> Iterator[FileError]:
    for act in rule.do:
        spec = acts.get(act.name)
        if spec is None or not spec.built:
            yield _missing(f"act `{act.name}`", act.position)


def _missing(what: str, where: Position) -> FileError:
    return problem(f"{what} is part of the language but not built yet", where)
