"""Acts: what was written, against what the act's specification allows.

An act is read twice. First its shape and the moments in it, so that the names it binds are known to the whole file;
then its values, with those names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from iscsiproxy.language import shapes
from iscsiproxy.language.captures import Captures
from iscsiproxy.language.document import Entry, Listing, Node, Scalar, Table
from iscsiproxy.language.moments import check_new_name, moments
from iscsiproxy.language.names import Hand, path_type
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.patterns import Patterns
from iscsiproxy.language.problems import Problems, nearest, problem, quoted
from iscsiproxy.language.rendering import act_text
from iscsiproxy.language.spec import Act, ActSpec, Expr, Param, ParamKind, Position, Value, ValueKind
from iscsiproxy.language.syntax import MomentNode
from iscsiproxy.language.tokens import number_value
from iscsiproxy.language.values import Values, pdu_opcode
from iscsiproxy.language.vocabulary import ANSWERS, Type, describe, field_names, having_field, owners, shared_field
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["ActNode", "ActReader", "check_acts", "collect"]

#: Events that an act is only for, where not any will do.
_ONLY_ON: Final = {"refuse": frozenset({"connect"})}
#: What may be done before a connection is refused: whatever takes time, or touches it, comes too late or too early.
_BEFORE_REFUSE: Final = frozenset({"note", "arm", "disarm"})
#: What each PDU has a number of its own in (RFC 7143 4.2.2).
_COUNTED: Final = frozenset({"CmdSN", "StatSN", "DataSN", "R2TSN"})
#: What is given a value in one of its parts only; all of a CDB is a field.
_WITH_PARTS: Final = frozenset({"text", "BHS", "CDB"})
#: A data segment is shorter than this (RFC 7143 11.2.1.6)
_LONGEST: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class Given:
    """One parameter as written; `moments` holds those of a parameter that is one, `act` that of one that is an act."""

    param: Param
    node: Node
    moments: tuple[MomentNode, ...] = ()
    act: ActNode | None = None


@dataclass(frozen=True, slots=True)
class ActNode:
    """An act whose shape is right: its parameters and the fields it is given."""

    spec: ActSpec
    given: tuple[Given, ...]
    fields: tuple[Entry, ...]
    text: str
    where: Position

    def get(self, name: str) -> Given | None:
        """Give a parameter that was written, or None."""
        return next((given for given in self.given if given.param.name == name), None)


class ActReader:
    """Reads the shape of acts; `more` are parameters that every act has here."""

    def __init__(self, acts: Mapping[str, ActSpec], parameters: Parameters, more: tuple[Param, ...] = ()) -> None:
        self.acts = acts
        self.parameters = parameters
        self._more = more

    def __repr__(self) -> str:
        return f"<ActReader of {len(self.acts)} acts>"

    def acts_of(self, node: Node, problems: Problems) -> tuple[ActNode, ...]:
        """Read an act or a list of them; those that are wrong are told and left out."""
        found = []
        for item in shapes.as_list(node):
            with problems.part(binds=True):
                found.append(self.act(item))
        return tuple(found)

    def act(self, node: Node) -> ActNode:
        """Read one act; raises FileError."""
        if isinstance(node, Listing):
            raise problem("expected an act, not a list", node.position)
        if isinstance(node, Scalar):
            name = self.parameters.fill(shapes.as_scalar(node, "an act"))
            spec = self._spec(name)
            return self._node(spec, (), (), name.text, node.position)
        if len(node.entries) != 1:
            where = node.entries[1].key.position if node.entries else node.position
            raise problem("an act is one name with its parameters", where, self._below(node))
        entry = node.entries[0]
        spec = self._spec(entry.key)
        text = act_text(spec, entry.value, self.parameters)
        if isinstance(entry.value, Table):
            return self._node(spec, *self._sort(spec, entry.value), text, entry.key.position)
        if spec.main is None:
            what = "takes no parameter" if not (spec.params or spec.fields) else "takes its parameters by name"
            hint = f"`{spec.name}: {{…}}`" if spec.params or spec.fields else f"write `{spec.name}`"
            raise problem(f"`{spec.name}` {what}", entry.value.position, hint)
        param = next(param for param in spec.params if param.name == spec.main)
        return self._node(spec, (self._given(param, entry.value),), (), text, entry.key.position)

    def _below(self, table: Table) -> str:
        """Say where parameters stand that stand beside their act."""
        for entry in table.entries:
            spec, rest = self.acts.get(entry.key.text), [one for one in table.entries if one is not entry]
            names = {param.name for param in (*spec.params, *self._more)} if spec is not None else set()
            if spec is None or not all(one.key.text in names or _is_field(one.key.text, spec) for one in rest):
                continue
            if isinstance(entry.value, Table):
                rest = [*entry.value.entries, *rest]
            elif isinstance(entry.value, Scalar) and not entry.value.text:
                pass
            elif spec.main is not None:
                rest = [Entry(Scalar(spec.main, entry.key.position, fixed=True), entry.value), *rest]
            else:
                continue
            plain = all(isinstance(one.value, Scalar) for one in rest)
            shown = ", ".join(f"{one.key.text}: {_in_braces(one.value)}" for one in rest) if plain else "…"
            return f"parameters stand below the act: `{spec.name}: {{{shown if len(shown) < 80 else '…'}}}`"
        return "several acts are a list: each begins with `- `; the parameters of one stand below it"

    def _spec(self, name: Scalar) -> ActSpec:
        spec = self.acts.get(name.text)
        if spec is not None:
            return spec
        first = name.text.split()[0] if name.text.split() else ""
        if first in self.acts:
            raise problem(f"`{name.text}` is no act", name.position, f"in a file it is `{first}: …`")
        raise problem(f"there is no act `{name.text}`", name.position, nearest(name.text, self.acts))

    def _sort(self, spec: ActSpec, table: Table) -> tuple[tuple[Given, ...], tuple[Entry, ...]]:
        """Tell parameters from fields."""
        params = {param.name: param for param in (*spec.params, *self._more)}
        given = []
        fields = []
        for entry in table.entries:
            key = self.parameters.fill(entry.key)
            param = params.get(key.text)
            if param is not None:
                given.append(self._given(param, entry.value))
            else:
                fields.append(Entry(key, entry.value))
        return tuple(given), tuple(fields)

    def _given(self, param: Param, node: Node) -> Given:
        if param.kind is ParamKind.ACT:
            name = Scalar(param.name, node.position, fixed=True)
            return Given(param, node, act=self.act(Table((Entry(name, node),), node.position)))
        found = moments(node, self.parameters) if param.kind is ParamKind.MOMENT else ()
        return Given(param, node, found)

    def _node(
        self, spec: ActSpec, given: tuple[Given, ...], fields: tuple[Entry, ...], text: str, where: Position
    ) -> ActNode:
        names = {one.param.name for one in given}
        for param in spec.params:
            if param.required and param.name not in names:
                raise problem(f"`{spec.name}` needs `{param.name}`", where, param.help or None)
        if spec.one_of and names.isdisjoint(spec.one_of):
            raise problem(f"`{spec.name}` needs {quoted(spec.one_of)}", where)
        for one in given:
            if others := [name for name in one.param.excludes if name in names]:
                raise problem(f"`{one.param.name}` and `{others[0]}` exclude each other", one.node.position)
        return ActNode(spec, given, fields, text, where)


def collect(act: ActNode, hand: Hand, captures: Captures, parameters: Parameters) -> None:
    """Note the names that an act binds; raises FileError.

    A name may be bound to the PDU of another name, so the acts of a file are gone through twice.
    """
    for given in act.given:
        captures.add_moments(given.moments)
        if given.param.kind is ParamKind.NEW_NAME:
            values = Values(parameters, captures, hand)
            name = check_new_name(values.word(given.node, "a new name"))
            captures.add(
                name,
                given.node.position,
                opcodes=_field_opcodes(act, hand, captures, parameters),
                connection=act.spec.name == "login",
                pieces=act.spec.name == "split",
            )


def _field_opcodes(act: ActNode, hand: Hand, captures: Captures, parameters: Parameters) -> frozenset[int]:
    """Tell whose fields an act may be given: those of the PDU in hand, of its `pdu`, or of a capture."""
    if act.spec.name == "login":
        return frozenset({Opcode.LOGIN_REQUEST})
    if not act.spec.of:
        return hand.opcodes
    opcodes: set[int] = set()
    for given in act.given:
        if given.param.kind is ParamKind.PDU:
            return frozenset({pdu_opcode(given.node, parameters)})
        if given.param.kind is ParamKind.NAME and given.param.name in (act.spec.of, "with", "again"):
            known = captures.find(Values(parameters, captures, hand).word(given.node, "a name").text)
            opcodes |= known.opcodes if known else set()
    if not opcodes and act.spec.name == "answer":
        opcodes = {ANSWERS[opcode] for opcode in hand.opcodes if opcode in ANSWERS}
    return frozenset(opcodes)


def check_acts(acts: Iterable[ActNode], values: Values, patterns: Patterns, problems: Problems) -> tuple[Act, ...]:
    """Check the acts of one rule, in their order; those that are wrong are told and left out."""
    checked: list[Act] = []
    settled = ""
    ended = ""
    for act in acts:
        name = act.spec.name
        with problems.part():
            if ended:
                raise problem(f"`{name}` is never done: the list ends with `{ended}`", act.where)
            if settled and act.spec.changes:
                raise problem(f"`{name}` would change a PDU that `{settled}` has settled", act.where, "put it before")
            if settled and (name == "pass" or (act.spec.fate and not act.spec.events)):
                raise problem(f"`{name}` is never done: `{settled}` has settled the PDU", act.where)
            if name == "refuse" and (before := [one.name for one in checked if one.name not in _BEFORE_REFUSE]):
                hint = "a connection is refused before anything else is done with it"
                raise problem(f"`refuse` comes before `{before[0]}`", act.where, hint)
            checked.append(check_act(act, values, patterns, problems))
        if act.spec.fate or name == "pass":
            settled = settled or name
        if name in ("close", "goto") and act.get("conn") is None:
            ended = name
    return tuple(checked)


def check_act(act: ActNode, values: Values, patterns: Patterns, problems: Problems) -> Act:
    """Check one act; raises FileError for the act, and tells of each of its values that is wrong."""
    _check_place(act.spec, act.where, values.hand)
    params: dict[str, Value | None] = {param.name: param.default for param in act.spec.params}
    opcodes = _field_opcodes(act, values.hand, values.captures, values.parameters)
    for given in act.given:
        with problems.part():
            if given.param.kind is ParamKind.MOMENT:
                params[given.param.name] = patterns.moments(given.moments)
            elif given.act is not None:
                inner = replace(values, hand=Hand(opcodes))
                params[given.param.name] = check_act(given.act, inner, patterns, problems)
            else:
                params[given.param.name] = values.read(given.param, given.node)
                _check_pdu(act.spec, given, values)
    for given in act.given:
        with problems.part():
            _check_company(given, params)
    if act.spec.of and not opcodes and not act.given:
        raise problem(f"`{act.spec.name}` needs `{act.spec.of}`", act.where)
    fields: dict[str, Expr] = {}
    for entry in act.fields:
        with problems.part():
            name, kind = _field_type(act.spec, opcodes, entry.key)
            if name in fields:
                raise problem(f"`{name}` is given twice", entry.key.position)
            fields[name] = values.assigned(entry.value, kind)
            if name in _COUNTED and act.spec.name == "duplicate" and params["numbers"] == "translate":
                raise problem(f"a copy that is hidden has a {name} of its own", entry.key.position, "`numbers: raw`")
    return Act(name=act.spec.name, params=params, fields=fields, text=act.text, position=act.where)


def _check_pdu(spec: ActSpec, given: Given, values: Values) -> None:
    """Make sure that a PDU, or what a name is bound to, is what the act can use."""
    pdus, where = given.param.pdus, given.node.position
    if pdus is None:
        return
    if given.param.kind is ParamKind.PDU:
        found, shown = frozenset({pdu_opcode(given.node, values.parameters)}), ""
    else:
        name = values.word(given.node, "a name").text
        known = values.captures.find(name)
        found, shown = frozenset(known.opcodes) if known is not None else pdus, f"`{name}`, which is "
    if not found & pdus:
        raise problem(f"`{spec.name}` takes {describe(pdus)}, not {shown}{describe(found) or 'no PDU'}", where)


def _check_company(given: Given, params: Mapping[str, Value | None]) -> None:
    """Make sure that a word stands beside those that it goes with."""
    for word, other, words in given.param.goes_with:
        beside = params[other]
        if params[given.param.name] == word and isinstance(beside, str) and beside not in words:
            hint = f"`{other}` is {beside}"
            raise problem(f"`{given.param.name}: {word}` goes with {quoted(words)} only", given.node.position, hint)


def _check_place(spec: ActSpec, where: Position, hand: Hand) -> None:
    """Make sure that the act may act on what is in hand."""
    only = _ONLY_ON.get(spec.name)
    if only is not None and (hand.opcodes or not hand.events <= only or not hand.events):
        raise problem(f"`{spec.name}` acts on {quoted(only)} only", where)
    if spec.events and (hand.events or not hand.opcodes):
        return
    if not hand.opcodes:
        here = f"and this is {hand}" if hand.events else "and there is none"
        raise problem(f"`{spec.name}` needs a PDU in hand, {here}", where, "the moment has to end in a PDU")
    if hand.gone and not spec.events:
        message = f"`{spec.name}` needs a PDU in hand, and this one is seen where it has gone to"
        raise problem(message, where, "`from proxy`, and `at` the leg it goes to, only tell of it")
    if spec.on is not None and not hand.opcodes & spec.on:
        raise problem(f"`{spec.name}` acts on {describe(spec.on)}, and this is {hand}", where)


def _field_type(spec: ActSpec, opcodes: frozenset[int], key: Scalar) -> tuple[str, Type]:
    """Give the name and the type of what an act sets; raises FileError with the nearest parameter or field."""
    name, where = key.text, key.position
    head, dot, rest = name.partition(".")
    if head in spec.extra and (bool(dot and rest) == (head in _WITH_PARTS)):
        if name == "CDB.name":
            raise problem("a CDB has a name by what it is; it is given none", where, "`CDB` is given as a whole")
        if head == "AHS":
            return name, Type(ValueKind.BYTES, name)
        owner = describe(opcodes) if opcodes else "nothing"
        return name, path_type(opcodes, name, where, owner)
    if name.startswith("data+") and "data" in spec.extra:
        return _inside_data(name, where)
    shared = shared_field(opcodes, name) if spec.fields else None
    if shared is not None:
        return name, shared.type
    params = [param.name for param in spec.params]
    extra = [{"text": "text.KEY", "BHS": "BHS.n", "CDB": "CDB.LBA"}.get(word, word) for word in sorted(spec.extra)]
    fields = field_names(opcodes) if spec.fields else ()
    hint = nearest(name, [*params, *extra, *fields])
    if spec.fields and having_field(name):
        message = f"{describe(opcodes)} has no field `{name}`" if opcodes else f"there is no PDU to have `{name}`"
        raise problem(message, where, owners(name))
    if not spec.fields and (name[:1].isupper() or having_field(name)):
        raise problem(f"`{spec.name}` takes no fields, such as `{name}`", where, hint)
    what = "parameter or field" if spec.fields else "parameter"
    known = f"it takes {quoted(params)}" if params and not spec.fields else None
    raise problem(f"`{spec.name}` has no {what} `{name}`", where, hint or known)


def _inside_data(name: str, where: Position) -> tuple[str, Type]:
    """Give the name and the type of bytes inside the data segment."""
    offset = number_value(name.partition("+")[2])
    if offset is None or offset >= _LONGEST:
        hint = "the first byte is `data+0`"
        raise problem(f"`{name}` is no place in a data segment", where, hint)
    return f"data+{offset}", Type(ValueKind.BYTES, f"data+{offset}")


def _is_field(name: str, spec: ActSpec) -> bool:
    return spec.fields and bool(having_field(name))


def _in_braces(node: Node) -> str:
    """Write a value as it may stand inside braces."""
    text = node.text if isinstance(node, Scalar) else ""
    return f"'{text}'" if not text or any(sign in text for sign in ",{}[]:#") else text
