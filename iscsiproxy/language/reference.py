"""The tables of the reference, made from what the reader reads by: Markdown for `faults/README.md`.

The text around them is written by hand; where it says `<!-- acts -->` on a line of its own, `fill` puts the table of
that name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from iscsiproxy.language import glossary
from iscsiproxy.language.examples import EXAMPLES, STEP_EXAMPLES
from iscsiproxy.language.keys import KEYS
from iscsiproxy.language.loader import load
from iscsiproxy.language.rendering import as_line
from iscsiproxy.language.scenario import ACTOR_ACTS
from iscsiproxy.language.schema import key_help
from iscsiproxy.language.spec import ActSpec, Literal_, Param, ParamKind, Place, ValueKind
from iscsiproxy.language.steps import STEPS
from iscsiproxy.language.vocabulary import describe
from iscsiproxy.language.written import value_text
from iscsiproxy.wire.fields import Field, FieldKind, fields_of
from iscsiproxy.wire.opcodes import LABELS, sender_of

__all__ = ["BLOCKS", "console_form", "fill"]

_MARK: Final = re.compile(r"^<!-- ([a-z]+) -->$", re.MULTILINE)
Acts = Mapping[str, ActSpec]


def fill(text: str, acts: Acts) -> str:
    """Put the tables into a text. Raises KeyError for a name that is none."""
    return _MARK.sub(lambda match: BLOCKS[match[1]](acts).rstrip("\n"), text)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _words(words: Mapping[str, str], head: str) -> str:
    return _table((head, ""), ((f"`{word}`", help_) for word, help_ in words.items()))


# --- acts ------------------------------------------------------------------------------------------------------------


def _acts(acts: Acts) -> str:
    return "\n".join(_act(spec, EXAMPLES.get(name, ""), acts) for name, spec in acts.items())


def _act(spec: ActSpec, example: str, acts: Acts) -> str:
    parts = [f"#### `{spec.name}`\n", f"{spec.help[:1].upper()}{spec.help[1:]}.\n", f"On: {_on(spec)}.\n"]
    if spec.params:
        parts.append(_table(("parameter", "value", "default", ""), (_param(spec, param) for param in spec.params)))
    if spec.fields:
        parts.append(f"{_fields(spec)}\n")
    if example:
        parts.append(f"```yaml\n{example}\n```\n")
        if line := console_form(spec.name, acts):
            parts.append(f"At the console: `{line}`\n")
    return "\n".join(parts)


def _on(spec: ActSpec) -> str:
    if spec.name == "refuse":
        return "the event `connect`"
    pdus = "any PDU" if spec.on is None else describe(spec.on)
    if spec.events:
        return f"{pdus}, any event, or nothing in hand"
    return pdus


def _param(spec: ActSpec, param: Param) -> tuple[str, str, str, str]:
    name = f"**`{param.name}`**" if param.name == spec.main else f"`{param.name}`"
    kind = " ".join(f"`{choice}`" for choice in param.choices) if param.kind is ParamKind.CHOICE else param.kind.value
    if param.choices and param.kind is not ParamKind.CHOICE:
        kind += f", or {' '.join(f'`{choice}`' for choice in param.choices)}"
    default = "(needed)" if param.required else _default(param)
    return name, kind, default, param.help


def _default(param: Param) -> str:
    match param.default:
        case None:
            return ""
        case bool() as yes:
            return "yes" if yes else "no"
        case Literal_(value=value):
            return str(value)
        case Place(part=part, offset=offset):
            return f"{part}+{offset}" if offset else part
        case float() as seconds:
            return value_text(seconds, ValueKind.DURATION)
        case other:
            return str(other)


def _fields(spec: ActSpec) -> str:
    whose = {"pdu": "of the PDU that `pdu` names", "what": "of the capture"}.get(spec.of, "of the PDU in hand")
    if spec.name == "login":
        whose = "of a Login-Request"
    shown = {
        "text": "`text.KEY`",
        "BHS": "`BHS.N`, `BHS.N.B`",
        "data": "`data`, `data+N`",
        "CDB": "`CDB.LBA`, `CDB.blocks`",
    }
    extra = [shown.get(word, f"`{word}`") for word in sorted(spec.extra)]
    besides = f", and {', '.join(extra)}" if extra else ""
    return f"Besides, any field {whose}{besides}."


def console_form(name: str, acts: Acts) -> str:
    """Give the example of an act as one line of the console; empty where it takes several rules, or a machine."""
    example = EXAMPLES.get(name, "")
    rules = [line for line in example.splitlines() if line.startswith("- ")]
    if len(rules) != 1 or name == "goto":
        return ""
    text = f"scenario: example\nvictim: both\nrules:\n  {rules[0]}\n"
    (rule,) = load(text, file="example.yaml", acts=acts, built=False).rules
    return as_line(rule)


def _steps(acts: Acts) -> str:
    also = ", ".join(f"`{name}`" for name in ACTOR_ACTS if name in acts)
    parts = [f"An actor may also do {also}; each takes `conn: NAME` besides.\n"]
    for name, spec in STEPS.items():
        parts.append(f"#### `{name}` (a step)\n\n{spec.help[:1].upper()}{spec.help[1:]}.\n")
        params = (
            spec.params
            if any(param.name == "conn" for param in spec.params) or name == "login"
            else (
                *spec.params,
                Param(name="conn", kind=ParamKind.NAME, help="the connection it is done on"),
            )
        )
        parts.append(_table(("parameter", "value", "default", ""), (_param(spec, param) for param in params)))
        if spec.fields:
            parts.append(f"{_fields(spec)}\n")
        parts.append(f"```yaml\n{STEP_EXAMPLES[name]}\n```\n")
    return "\n".join(parts)


# --- PDUs and keys ---------------------------------------------------------------------------------------------------


def _pdus(_: Acts) -> str:
    parts = [_words(glossary.GROUPS, "group")]
    for opcode, label in LABELS.items():
        fields = fields_of(opcode)
        parts.append(f"#### `{label}`\n\n0x{opcode:02x}, sent by the {sender_of(opcode)}.\n")
        parts.append(_table(("field", "kind", "values"), (_field(field) for field in fields.values())))
    return "\n".join(parts)


def _field(field: Field) -> tuple[str, str, str]:
    values = f"0 to {field.maximum:#x}" if field.maximum > 0xFFFF else f"0 to {field.maximum}"
    if field.codes:
        values = ", ".join(f"{value} `{name}`" for value, name in field.codes.items())
    elif field.kind is FieldKind.BYTES:
        values = f"{field.size} bytes"
    kind = "serial number" if field.kind is FieldKind.SERIAL else field.kind.value
    return f"`{field.name}`", kind, values


def _keys(_: Acts) -> str:
    return _table(("key", ""), ((f"`{key}`", key_help(key)) for key in KEYS))


def _expectations(_: Acts) -> str:
    parts = [
        _words(glossary.HEADS, "an expectation is one of"),
        _words(glossary.WINDOW, "and may have"),
        _words(glossary.VERDICTS, "verdict"),
    ]
    return "\n".join(parts)


#: Each table by its name
BLOCKS: Final[Mapping[str, Callable[[Acts], str]]] = {
    "sections": lambda _: _words(glossary.SECTIONS, "key"),
    "victims": lambda _: _words(glossary.VICTIMS, "`victim`"),
    "traffic": lambda _: _words(glossary.TRAFFIC, "`traffic`"),
    "timing": lambda _: _words(glossary.TIMING, "`timing`"),
    "rule": lambda _: _words(glossary.RULE, "key of a rule"),
    "machine": lambda _: _words(glossary.MACHINE, "key of a machine"),
    "moments": lambda _: _words(glossary.MOMENTS, "step"),
    "clauses": lambda _: _words(glossary.CLAUSES, "word"),
    "ends": lambda _: _words(glossary.ENDS, "end"),
    "picks": lambda _: _words(glossary.PICKS, "pick"),
    "events": lambda _: _words(glossary.EVENTS, "event"),
    "names": lambda _: _words(glossary.NAMES, "name"),
    "functions": lambda _: _words(glossary.FUNCTIONS, "function"),
    "expectations": _expectations,
    "aftermaths": lambda _: _words(glossary.AFTERMATHS, "`aftermath`"),
    "acts": _acts,
    "steps": _steps,
    "pdus": _pdus,
    "keys": _keys,
}
