"""Acts and rules written as lines of the console.

Each value is written in the plainest of a few ways that the reader of lines reads as what it was, so whatever is shown
can be typed again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from iscsiproxy.errors import FileError
from iscsiproxy.language.document import Entry, Listing, Node, Scalar, Table
from iscsiproxy.language.line_tokens import KEY, Scanner, begins_moment, held_together
from iscsiproxy.language.parameters import Parameters
from iscsiproxy.language.spec import Act, ActSpec, Moment, Param, ParamKind, Released, Rule
from iscsiproxy.language.vocabulary import item_of
from iscsiproxy.wire.opcodes import LABELS, End, sender_of

__all__ = ["HOLD", "TEXTUAL", "act_text", "as_line", "gives_bytes", "moments_text"]

#: The word of the console for a `delay` that only a hand ends
HOLD: Final = "hold"
#: Parameters whose values mean something else when they stand in parentheses: there a text is computed.
TEXTUAL: Final = frozenset({ParamKind.TEXTS, ParamKind.ROUNDS, ParamKind.OFFER, ParamKind.ACT})
#: What may be answered with, and so stands behind `when` where a moment begins with it
_ANSWERS: Final = frozenset(item_of(name) for opcode, name in LABELS.items() if sender_of(opcode) is End.TARGET)
#: Fields whose bytes a text in quotes gives
_BYTES: Final = frozenset({"data", "pad", "AHS"})


def act_text(spec: ActSpec, value: Node, parameters: Parameters) -> str:
    """Write an act with what it is given: the value of its main parameter, or a mapping."""
    params = {param.name: param for param in spec.params}
    entries = value.entries if isinstance(value, Table) else (Entry(Scalar(spec.main or "", value.position), value),)
    first, parts = "", []
    for entry in entries:
        key = parameters.fill(entry.key).text
        param = params.get(key)
        text = _written(entry.value, _kind(spec, key, param), parameters)
        if param is not None and key == spec.main and _may_be_first(param, text):
            first = f" {text}"
        else:
            parts.append(f" {key}={text}")
    return f"{spec.name}{first}{''.join(parts)}"


def as_line(rule: Rule) -> str:
    """Write a rule as a line of the console.

    The line says what is done and when. It cannot say a rule's name, `until`, `optional` and `armed`, which are left
    out; a rule that only binds a name is shown as its moment behind `when`, and is then no line that can be read again.
    A name that another rule binds, and a state or a rule that is spoken of, are there in the file only.
    """
    acts = "; ".join(_act_line(act) for act in rule.do)
    moments = moments_text(rule.when)
    item = item_of(Scanner(moments, "").word)
    # A PDU that the act before it may be given would be taken for that.
    doubtful = bool(rule.do) and rule.do[-1].params.get("pdu", "") is None and item in _ANSWERS
    return f"{acts} {moments}" if rule.do and item and not doubtful else f"{acts} when {moments}".strip()


def moments_text(moments: tuple[Moment, ...]) -> str:
    """Write one moment, or a list of them."""
    if len(moments) == 1:
        return moments[0].text
    return f"[{', '.join(moment.text for moment in moments)}]"


def _act_line(act: Act) -> str:
    if act.name != "delay" or act.params.get("at_most") != "no":
        return act.text
    until = act.params.get("until")
    held = isinstance(until, tuple) and [getattr(moment, "steps", ()) for moment in until] == [(Released(),)]
    words = [word for word in act.text.split() if word not in ("delay", "released", "at_most=no")]
    return " ".join([HOLD, *words]) if held else act.text


def gives_bytes(spec: ActSpec, name: str) -> bool:
    """Tell whether a parameter or a field takes bytes, so that quotes around its value say what it is."""
    param = next((param for param in spec.params if param.name == name), None)
    return name.partition("+")[0] in _BYTES if param is None else param.kind is ParamKind.BYTES


def _may_be_first(param: Param, text: str) -> bool:
    """Tell whether the value of a main parameter is known for one without the parameter's name."""
    if text[:1] in ("(", "[", "{", '"', "'"):
        return True
    word = Scanner(text, "").word
    return word != "when" and not KEY.match(text) and (param.kind is ParamKind.PDU or not begins_moment(word))


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a text is read: `textual` texts may be computed, `prose` ones are never, of `bytes` the quotes count."""

    textual: bool = False
    prose: bool = False
    bytes: bool = False


def _kind(spec: ActSpec, name: str, param: Param | None) -> _Kind:
    textual = name.startswith("text.") if param is None else param.kind in TEXTUAL
    prose = param is not None and param.kind is ParamKind.TEXT
    return _Kind(textual=textual, prose=prose, bytes=gives_bytes(spec, name))


def _written(node: Node, kind: _Kind, parameters: Parameters) -> str:
    if isinstance(node, Listing):
        return f"[{', '.join(_written(item, kind, parameters) for item in node.items)}]"
    if isinstance(node, Table):
        inner = _Kind(textual=True)
        pairs = [f"{parameters.fill(one.key).text}={_written(one.value, inner, parameters)}" for one in node.entries]
        return f"{{{', '.join(pairs)}}}"
    text = parameters.fill(node).text
    if kind.bytes and node.quoted and not text.isprintable():
        return f"0x{text.encode().hex()}"
    quoted = node.quoted if kind.bytes else None
    ways = [way for way in _ways(text, kind) if _reads(way, text, kind, quoted)]
    return ways[0] if ways else text


def _ways(text: str, kind: _Kind) -> Iterator[str]:
    """Give the ways in which a text may be written, the plainest first."""
    if not any(character.isspace() for character in text) or (kind.textual and text.endswith(")")):
        yield text
    if not (kind.textual or kind.prose):
        yield f"({text})"
    if '"' in text and "'" not in text:
        yield f"'{text}'"
    doubled = text.replace('"', '""')
    yield f'"{doubled}"'


def _reads(way: str, text: str, kind: _Kind, quoted: bool | None) -> bool:
    """Tell whether a way to write a text is read as just that, alone and in a list."""
    for written in (way, f"[{way}]"):
        scanner = Scanner(written, "")
        try:
            node = scanner.value()
        except FileError:
            return False
        if written != way:
            node = node.items[0] if isinstance(node, Listing) and len(node.items) == 1 else node
        node = node if kind.textual else held_together(node)
        if not scanner.ended or not isinstance(node, Scalar) or node.text != text:
            return False
        if quoted is not None and node.quoted is not quoted:
            return False
    return True
