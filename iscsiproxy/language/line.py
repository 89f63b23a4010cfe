"""The language of the console: a line is one rule.

line = act { ";" act } [ [ "when" ] moment ]
act  = NAME [ MAIN ] { PARAM "=" value | Field "=" sum }

A line is only another skin: it becomes the tree that YAML gives for the same rule, with columns in the place of lines,
and the reader of files does the rest. So a line means what a file means, and what is wrong with it is told in the same
words. `hold PATTERN` alone is of the console: `delay released PATTERN` with no time at which it goes on by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from iscsiproxy.errors import FileError
from iscsiproxy.language.acts import ActNode, ActReader, check_acts
from iscsiproxy.language.captures import Captures
from iscsiproxy.language.document import Entry, Listing, Node, Scalar, Table
from iscsiproxy.language.line_tokens import Scanner, begins_moment, check_once, held_together, main_follows
from iscsiproxy.language.loader import load_tree
from iscsiproxy.language.moments import moments, parse_pattern
from iscsiproxy.language.names import Hand
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.patterns import Patterns, hand_of
from iscsiproxy.language.problems import Problems, nearest, problem, quoted
from iscsiproxy.language.rendering import HOLD, TEXTUAL
from iscsiproxy.language.spec import Act, ActSpec, Param, ParamKind, Pattern, Position, Scenario
from iscsiproxy.language.tokens import MAX_TEXT, duration_value
from iscsiproxy.language.values import Values
from iscsiproxy.language.vocabulary import HEADS, ITEMS, having_field, item_of
from iscsiproxy.wire.cdb import CDB_NAMES
from iscsiproxy.wire.opcodes import End, sender_of

__all__ = ["Line", "load_line", "read_acts", "read_line", "read_pattern", "receivers", "tree_of"]

Acts = Mapping[str, ActSpec]

#: When a line without a moment is done: as soon as it is in force
_NOW: Final = "0s"
_HELD: Final = {"until": "released", "at_most": "no"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line whose shape is right: the acts, and the moment or several, as a file would have them.

    `text` is the line as it was written.
    """

    text: str
    acts: Listing
    moment: Node | None

    @property
    def now(self) -> bool:
        """Whether it says no moment: it is done now, once."""
        return self.moment is None

    @property
    def rule(self) -> Table:
        """The rule of a file that the line is."""
        where = self.acts.position
        moment = self.moment or Scalar(_NOW, where, fixed=True)
        entries = [Entry(Scalar("when", moment.position, fixed=True), moment)]
        do = self.acts.items[0] if len(self.acts.items) == 1 else self.acts
        return Table((*entries, Entry(Scalar("do", where, fixed=True), do)), where)


def read_line(text: str, *, acts: Acts, file: str = "line") -> Line:
    """Read the shape of a line; `file` is its name in messages.

    Raises FileError for the first thing that is wrong with the shape. What its values mean is checked by `load_line`.
    """
    reader = _Reader(text, file, acts)
    found = reader.acts()
    moment = reader.moment()
    if moment is None and reader.held is not None:
        raise problem(f"`{HOLD}` does not say what is held", reader.held, f"such as `{HOLD} SCSI-Command nth 1`")
    return Line(text=text.strip(), acts=found, moment=moment)


def load_line(
    line: str | Line, *, name: str, acts: Acts, params: Mapping[str, str] | None = None, file: str = "line"
) -> Scenario:
    """Read a line as the scenario `name`, whose one rule it is; `params` are what each `$name` in it stands for.

    The victim is the end that receives what the rule acts on, else both. Raises FileError for a line that is wrong (all
    its errors are in `others`).
    """
    read = line if isinstance(line, Line) else read_line(line, acts=acts, file=file)
    begin = Position(file, 1, 1)
    entries: dict[str, Node] = {"scenario": Scalar(name, begin, fixed=True), "rules": Listing((read.rule,), begin)}
    if len(receivers(read, params)) != 1:
        entries["victim"] = Scalar("both", begin, fixed=True)
    if params:
        pairs = [
            Entry(Scalar(key, begin, fixed=True), Scalar(value, begin, fixed=True)) for key, value in params.items()
        ]
        entries["params"] = Table(tuple(pairs), begin)
    table = Table(tuple(Entry(Scalar(key, begin, fixed=True), node) for key, node in entries.items()), begin)
    (scenario,) = load_tree(table, file=file, acts=acts)
    return scenario


def read_acts(text: str, *, opcodes: Iterable[int], acts: Acts, file: str = "line") -> tuple[Act, ...]:
    """Read acts that change a PDU which is in hand already, one of `opcodes`, and check them as those of a rule.

    Raises FileError for what is wrong, and for acts that do anything else than to change it.
    """
    reader = _Reader(text, file, acts)
    nodes = reader.acts()
    if not reader.ended:
        raise problem("a moment has no place here: the PDU is in hand", reader.here)
    problems, parameters, captures = Problems(), Parameters({}), Captures()
    shapes: list[ActNode] = []
    for node in nodes.items:
        with problems.part():
            act = ActReader(acts, parameters).act(node)
            if not act.spec.changes:
                raise _no_change(act.spec, act.where, acts)
            shapes.append(act)
    values = Values(parameters, captures, Hand(frozenset(opcodes)))
    checked = check_acts(shapes, values, Patterns(captures, "both"), problems)
    problems.raise_if_any()
    return checked


def read_pattern(text: str, *, file: str = "line") -> Pattern:
    """Read one pattern alone, as `SCSI-Command where W`; nothing binds a name for it, and it binds none.

    Raises FileError.
    """
    _check_text(text, file)
    scalar = Scalar(text, Position(file, 1, 1))
    first = Scanner(text, file)
    first.blanks()
    if first.ended:
        raise problem("expected a pattern", first.here, "such as `SCSI-Command where W`")
    head = re.split(r"[^\w#-]", first.word)[0]
    if item_of(head) is None and (having_field(head) or head in (*HEADS, "not", "CDB", "length", "text", "sense")):
        hint = f"a test stands behind it: `Any-PDU where {first.text[first.at :].strip()}`"
        raise problem("a pattern begins with a PDU or an event", first.here, hint)
    _, node = parse_pattern(scalar, Parameters({}))
    if node.capture is not None:
        where = node.capture_at or scalar.position
        raise problem(f"`{node.capture.name}` would be bound for nobody", where, "leave `as` out")
    return Patterns(Captures(), "both").pattern(node)


def receivers(line: Line, params: Mapping[str, str] | None = None) -> frozenset[End]:
    """Give the ends that receive what the rule acts on; none for events, and for a moment that is wrong."""
    if line.moment is None:
        return frozenset()
    try:
        hand = hand_of(moments(line.moment, Parameters(params or {})))
    except FileError:
        return frozenset()  # it is told when the rule is read
    return frozenset(sender_of(opcode).other for opcode in hand.opcodes)


def tree_of(done: Iterable[Act], *, acts: Acts) -> Listing:
    """Give the tree of some checked acts again, from what was written."""
    return _Reader("; ".join(act.text for act in done), "", acts, typed=False).acts()


def _no_change(spec: ActSpec, where: Position, acts: Acts) -> FileError:
    hint = f"what changes one is {', '.join(f'`{name}`' for name, act in acts.items() if act.changes)}"
    if spec.fate or spec.name in ("pass", "delay", "stall"):
        return problem(f"`{spec.name}` says what becomes of a PDU, and this one is in hand", where, hint)
    return problem(f"`{spec.name}` does not change the PDU in hand", where, hint)


def _check_text(text: str, file: str) -> None:
    if len(text) > MAX_TEXT:
        raise problem(f"the line has {len(text)} characters; at most {MAX_TEXT} are read", Position(file, 1, 1))
    for offset, character in enumerate(text):
        if not character.isprintable() and character != "\t":
            message = f"the character U+{ord(character):04X} may not stand in a line"
            raise problem(message, Position(file, 1, offset + 1))


class _Reader:
    """Reads a line from left to right, with what each act takes."""

    def __init__(self, text: str, file: str, acts: Acts, *, typed: bool = True) -> None:
        if typed:
            _check_text(text, file)
        self._scan = Scanner(text, file)
        self._acts = acts
        self.held: Position | None = None  #: where the line says `hold`

    def __repr__(self) -> str:
        return f"<_Reader {self._scan}>"

    @property
    def here(self) -> Position:
        """The place of what comes next."""
        return self._scan.here

    @property
    def ended(self) -> bool:
        """Whether nothing comes any more."""
        return self._scan.ended

    def acts(self) -> Listing:
        """Read the acts; what is left then is the moment."""
        scan = self._scan
        scan.blanks()
        where = scan.here
        if scan.ended:
            raise problem("the line is empty", where, "it begins with an act, such as `drop`")
        found = [self._act()]
        while scan.sees(";"):
            scan.at += 1
            scan.blanks()
            if not scan.word:
                raise problem("an act is missing here", scan.here, "`;` stands between two acts")
            found.append(self._act())
        return Listing(tuple(found), where)

    def moment(self) -> Node | None:
        """Read the moment, or a list of them; None if there is none."""
        scan = self._scan
        if scan.word == "when":
            scan.take_word()
            scan.blanks()
            if scan.sees("["):
                return self._moments()
            if scan.at == len(scan.text):
                raise problem("a moment is missing behind `when`", scan.here, "such as `when SCSI-Command nth 1`")
        if scan.ended:
            return None
        self._check_end()
        return scan.rest()

    def _moments(self) -> Node:
        node = held_together(self._scan.value())
        self._scan.blanks()
        if not self._scan.ended:
            raise problem(f"`{self._scan.word}` does not belong here, behind the moments", self._scan.here)
        return node

    def _check_end(self) -> None:
        """Make sure that no act follows the moment."""
        quoting = False
        for offset in range(self._scan.at, len(self._scan.text)):
            quoting ^= self._scan.text[offset] == '"'
            if self._scan.text[offset] == ";" and not quoting:
                raise problem(
                    "no act follows the moment", self._scan.where(offset), "the moment stands behind all acts"
                )

    # --- acts ---

    def _act(self) -> Node:
        scan = self._scan
        name = scan.take_word()
        spec = self._spec(name)
        entries: list[Entry] = []
        main: Node | None = None
        while True:
            scan.blanks()
            if scan.ended or scan.sees(";"):
                break
            key = scan.take_key()
            if key is not None:
                check_once(key, entries)
                entries.append(Entry(key, self._value(spec, key)))
            elif main is None and not entries and main_follows(spec, scan):
                main = self._main(spec)
            elif scan.word == "when" or scan.sees("$") or begins_moment(scan.word):
                break
            else:
                raise self._leftover(spec, main, entries)
        if name.text == HOLD:
            return self._hold(name, entries)
        if main is None:
            value: Node = Table(tuple(entries), name.position)
            return Table((Entry(name, value),), name.position) if entries else name
        if not entries:
            return Table((Entry(name, main),), name.position)
        first = Entry(Scalar(spec.main or "", main.position, fixed=True), main)
        for entry in entries:
            check_once(entry.key, [first])
        return Table((Entry(name, Table((first, *entries), main.position)),), name.position)

    def _hold(self, name: Scalar, entries: list[Entry]) -> Table:
        for entry in entries:
            if entry.key.text in _HELD:
                hint = f"`delay released {entry.key.text}=…` does"
                raise problem(f"`{HOLD}` takes no `{entry.key.text}`", entry.key.position, hint)
        self.held = name.position
        fixed = [
            (Scalar(key, name.position, fixed=True), Scalar(held, name.position, fixed=True))
            for key, held in _HELD.items()
        ]
        table = Table((*(Entry(key, held) for key, held in fixed), *entries), name.position)
        return Table((Entry(Scalar("delay", name.position, fixed=True), table),), name.position)

    def _spec(self, name: Scalar) -> ActSpec:
        if name.text == HOLD and "delay" in self._acts:
            return ActSpec(name=HOLD, help="", params=self._acts["delay"].params, events=True)
        spec = self._acts.get(name.text)
        if spec is not None:
            return spec
        if begins_moment(name.text) or name.text in ("when", ""):
            raise problem("an act stands here, before any moment", name.position, "such as `drop SCSI-Command nth 1`")
        raise problem(f"there is no act `{name.text}`", name.position, nearest(name.text, [*self._acts, HOLD]))

    def _param(self, spec: ActSpec, name: str) -> Param | None:
        return next((param for param in spec.params if param.name == name), None)

    def _main(self, spec: ActSpec) -> Node:
        param = self._param(spec, spec.main or "")
        return _valued(self._scan.value(), param)

    def _value(self, spec: ActSpec, key: Scalar) -> Node:
        if self._scan.ended or self._scan.sees(";") or self._scan.text[self._scan.at].isspace():
            raise problem(f"`{key.text}` has no value", key.position, "no blank stands behind `=`")
        node, param = self._scan.value(), self._param(spec, key.text)
        if param is None and key.text.startswith("text."):
            return node
        return _valued(node, param)

    def _leftover(self, spec: ActSpec, main: Node | None, entries: list[Entry]) -> FileError:
        """Say what a word that is neither a parameter nor the begin of a moment may have been meant for."""
        scan = self._scan
        word = scan.word or scan.text[scan.at]
        param = self._param(spec, spec.main) if spec.main else None
        behind = scan.text[scan.at + len(word) :].lstrip()
        hint = None
        if isinstance(main, Scalar) and param and param.kind is ParamKind.CHOICE and main.text not in param.choices:
            near = nearest(main.text, [*param.choices, *ITEMS])
            return problem(f"`{param.name}` is {quoted(param.choices)}, not `{main.text}`", main.position, near)
        if behind.startswith("=") and not behind.startswith("=="):
            hint = f"no blank stands around `=`: `{word}=…`"
        elif main is not None and param is not None and param.kind is ParamKind.TEXT:
            hint = "a text of several words stands in quotes"
        elif main is not None and param is not None and param.kind is ParamKind.MOMENT and word in _INSIDE:
            hint = f"a moment of several words stands in parentheses: `{spec.name} (…)`"
        elif duration_value(word) is not None or word in ("barrier", "fault", "released"):
            hint = f"a moment that begins so stands behind `when`: `when {word}`"
        elif word in self._acts:
            hint = f"acts are kept apart by `;`: `; {word}`"
        elif self._param(spec, word) is not None or (spec.fields and having_field(word)):
            hint = f"a value is given with `=`: `{word}=…`"
        elif main is None and entries and param is not None:
            hint = f"the main parameter comes first: `{spec.name} {word} …`"
        hint = (
            hint
            or nearest(word, ITEMS)
            or _command_hint(word)
            or "the moment begins with a PDU or an event, or behind `when`"
        )
        return problem(f"`{word}` does not belong here, behind `{spec.name}`", scan.here, hint)


def _command_hint(word: str) -> str | None:
    """Tell how a SCSI command is meant that is named alone; of several alike the one with ten bytes."""
    said = word.upper().replace("_", " ")
    alike = (name for name in CDB_NAMES if re.split(r"[ (]", name)[0] == said)
    name = next((one for one in (said, f"{said}(10)", *alike) if one in CDB_NAMES), None)
    return None if name is None else f'a SCSI command is meant by `SCSI-Command where CDB.name == "{name}"`'


#: Words that go on with a moment
_INSIDE: Final = ("then", "of", "from", "at", "where", "nth", "after", "every", "as")


def _valued(node: Node, param: Param | None) -> Node:
    return node if param is not None and param.kind in TEXTUAL else held_together(node)
