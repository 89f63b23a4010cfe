"""The part of the language that is read and checked but cannot be run yet.

Its grammar is whole, so that a file is right or wrong whatever is built. What is missing is refused with its place in
the file before anything is armed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from iscsiproxy.errors import FileError
from iscsiproxy.language.problems import Problems, problem
from iscsiproxy.language.spec import (
    Act,
    ActSpec,
    Barrier,
    Literal_,
    Moment,
    Param,
    ParamKind,
    Pattern,
    Position,
    Released,
    Rule,
    Scenario,
    ValueKind,
)
from iscsiproxy.language.vocabulary import ANSWERS, TEXT_PDUS
from iscsiproxy.wire.codes import SCSI_STATUS
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["STEPS", "UNBUILT", "check_built"]

#: Events that a judge or a workload would have to tell of.
_UNSEEN = frozenset({"escalation", "io-good", "io-error", "io-mismatch"})
_PDU = Param(name="pdu", kind=ParamKind.PDU, help="what to send")
#: What every template takes besides fields.
_TEMPLATE = (
    Param(name="text", kind=ParamKind.TEXTS, help="keys and values of its text"),
    Param(name="split_text", kind=ParamKind.ACT, help="send the text in several rounds"),
    Param(name="conn", kind=ParamKind.NAME, help="the connection to send it on"),
    Param(name="as", kind=ParamKind.NEW_NAME, help="a name for what is sent"),
)
_NEEDED_PDU = Param(name="pdu", kind=ParamKind.PDU, help="what to send", required=True)
_DATA = frozenset({"data"})


def _count(value: int) -> Literal_:
    return Literal_(value=value, kind=ValueKind.NUMBER)


_SPECS = (
    ActSpec(
        name="replay",
        help="send a capture again as it was first sent",
        main="what",
        params=(
            Param(name="what", kind=ParamKind.NAME, help="what was captured", required=True),
            Param(name="as", kind=ParamKind.NEW_NAME, help="a name for what is sent"),
        ),
        fields=True,
        of="what",
        built=False,
    ),
    ActSpec(
        name="split",
        help="several PDUs for one, renumbered",
        main="size",
        params=(
            Param(name="size", kind=ParamKind.NUMBER, help="bytes in each"),
            Param(name="into", kind=ParamKind.NUMBER, help="how many"),
            Param(name="as", kind=ParamKind.NEW_NAME, help="a name for the pieces: NAME.1, NAME.2"),
        ),
        on=frozenset({Opcode.DATA_OUT, Opcode.DATA_IN, Opcode.R2T}),
        fate=True,
        built=False,
    ),
    ActSpec(
        name="merge",
        help="one PDU for several",
        main="count",
        params=(Param(name="count", kind=ParamKind.NUMBER, help="how many become one", default=_count(2)),),
        on=frozenset({Opcode.DATA_OUT, Opcode.DATA_IN}),
        fate=True,
        built=False,
    ),
    ActSpec(
        name="split_text",
        help="several rounds for one, unseen by the sender",
        main="by",
        params=(
            Param(name="by", kind=ParamKind.CHOICE, help="C, T or F", required=True, choices=("C", "T", "F")),
            Param(name="at", kind=ParamKind.CUTS, help="where the text is cut"),
            Param(name="rounds", kind=ParamKind.NUMBER, help="how many rounds", default=_count(2)),
            Param(name="add", kind=ParamKind.ROUNDS, help="keys that a round has besides"),
            Param(name="finish", kind=ParamKind.FLAG, help="go on to the last round", default=True),
        ),
        on=TEXT_PDUS,
        fate=True,
        built=False,
    ),
    ActSpec(
        name="swap",
        help="another request in the place of this one",
        main="pdu",
        params=(_NEEDED_PDU, *_TEMPLATE),
        fields=True,
        of="pdu",
        extra=_DATA,
        on=frozenset({Opcode.NOP_OUT, Opcode.SCSI_COMMAND}),
        fate=True,
        built=False,
    ),
    ActSpec(
        name="answer",
        help="answer in the place of the victim; the request goes no further",
        main="pdu",
        params=(
            _PDU,
            Param(name="to", kind=ParamKind.NAME, help="the request that is answered"),
            Param(name="with", kind=ParamKind.NAME, help="a captured answer to send again"),
            Param(name="early", kind=ParamKind.FLAG, help="answer at the header", default=False),
            *_TEMPLATE,
        ),
        fields=True,
        of="pdu",
        extra=_DATA,
        on=frozenset({*ANSWERS, Opcode.SNACK}),
        fate=True,
        built=False,
    ),
    ActSpec(
        name="inject",
        help="send a new PDU towards the end its name addresses",
        main="pdu",
        params=(_NEEDED_PDU, *_TEMPLATE),
        fields=True,
        of="pdu",
        extra=_DATA,
        events=True,
        built=False,
    ),
    ActSpec(
        name="probe",
        help="send a request, and wait for its answer",
        main="pdu",
        params=(
            _NEEDED_PDU,
            Param(name="wait", kind=ParamKind.FLAG, help="wait for the answer", default=True),
            Param(
                name="settle",
                kind=ParamKind.CHOICE,
                help="how tasks that it ends are answered",
                default="TASK_ABORTED",
                choices=(*SCSI_STATUS.values(), "no"),
            ),
            *_TEMPLATE,
        ),
        fields=True,
        of="pdu",
        extra=_DATA,
        events=True,
        built=False,
    ),
    ActSpec(
        name="throttle",
        help="slow, in small segments",
        main="rate",
        params=(
            Param(name="rate", kind=ParamKind.NUMBER, help="bytes in a second", required=True),
            Param(name="slice", kind=ParamKind.NUMBER, help="bytes at a time"),
            Param(name="until", kind=ParamKind.MOMENT, help="when it ends"),
        ),
        events=True,
        built=False,
    ),
    ActSpec(name="refuse", help="do not accept this connection", on=frozenset(), events=True, fate=True, built=False),
    ActSpec(
        name="goto",
        help="go to another state of this machine",
        main="state",
        params=(Param(name="state", kind=ParamKind.STATE, help="the state to go to", required=True),),
        events=True,
        built=False,
    ),
    *(
        ActSpec(
            name=name,
            help=help_,
            main="rule",
            params=(Param(name="rule", kind=ParamKind.RULE, help="the name of the rule", required=True),),
            events=True,
            built=False,
        )
        for name, help_ in (("arm", "bring another rule into force"), ("disarm", "take another rule out of force"))
    ),
)
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
_SECTIONS = ("machines", "actor", "negotiate")


def check_built(scenario: Scenario, acts: Mapping[str, ActSpec]) -> None:
    """Make sure that all of a scenario can be run.

    Raises FileError for the first thing that is not built yet, with the others in its `others`.
    """
    problems = Problems()
    known = {**UNBUILT, **acts}
    for section in _SECTIONS:
        if section in scenario.sections:
            problems.add(_missing(f"`{section}`", scenario.sections[section]))
    for rule in scenario.rules:
        for error in _unbuilt_in(rule, known):
            problems.add(error)
    problems.raise_if_any()


def _unbuilt_in(rule: Rule, acts: Mapping[str, ActSpec]) -> Iterator[FileError]:
    yield from _unbuilt_moments((*rule.when, *rule.until))
    for act in rule.do:
        spec = acts.get(act.name)
        if spec is None or not spec.built:
            yield _missing(f"act `{act.name}`", act.position)
        elif act.params.get("numbers") == "translate":
            yield _missing(f"`numbers: translate` of `{act.name}`", act.position)
        yield from _unbuilt_moments(_moments_of(act))


def _moments_of(act: Act) -> Iterator[Moment]:
    for value in act.params.values():
        if isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, Moment))


def _unbuilt_moments(moments: Iterable[Moment]) -> Iterator[FileError]:
    for moment in moments:
        for step in moment.steps:
            if isinstance(step, Barrier | Released):
                word = "barrier" if isinstance(step, Barrier) else "released"
                yield _missing(f"`{word}` in a rule", moment.position)
            elif isinstance(step, Pattern):
                for item in step.items:
                    if item.name in _UNSEEN:
                        yield _missing(f"the event `{item.name}` in a rule", step.position)


def _missing(what: str, where: Position) -> FileError:
    return problem(f"{what} is part of the language but not built yet", where)
