"""The JSON Schema of scenario files, for editors: completion, help and the wrong keys, while one writes.

It is made of the same tables and specifications as the reader. It knows the shape of a file, which words may stand
where, and how moments and patterns begin; what they mean is for the reader alone, which refuses more. What the schema
refuses the reader refuses too, with one exception: the bare words that YAML takes for nothing (`null`, `~`) have to be
quoted. Draft 7, because that is what YAML language servers know best.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from iscsiproxy.language import glossary
from iscsiproxy.language.cdbs import CDB_WORDS
from iscsiproxy.language.keys import KEYS, key_words
from iscsiproxy.language.scenario import ACTOR_ACTS, CONN
from iscsiproxy.language.spec import ActSpec, Param, ParamKind
from iscsiproxy.language.steps import STEPS
from iscsiproxy.language.vocabulary import EVENTS, PDU_NAMES, field_names, having_field, shared_field
from iscsiproxy.session.params import KEYS as RANGES
from iscsiproxy.wire.opcodes import LABELS, sender_of

__all__ = ["field_help", "key_help", "schema"]

Schema = dict[str, Any]

#: What a value that is read as text looks like to YAML
_SCALARS: Final = ["string", "number", "boolean"]
_ANY: Final[Schema] = {"type": _SCALARS}
#: A parameter may stand for anything that is written in one word.
_FILLED: Final[Schema] = {"type": "string", "pattern": r"\$[A-Za-z_]"}
_DURATION: Final = r"^[0-9]+(\.[0-9]+)?(ms|s|min)$"
_PLACE: Final = r"^(start|end|(header|ahs|header-digest|data|pad|data-digest)(\+[0-9A-Za-z]+)?)$"
_OFFSET: Final = r"[0-9A-Za-z]+"
_NAME: Final = r"^[A-Za-z_][A-Za-z0-9_#-]*$"
_PDU: Final = rf"{'|'.join(map(re.escape, PDU_NAMES))}|Opcode-0x[0-9a-f]{{2}}"
_ITEM: Final = rf"({_PDU}|{'|'.join(map(re.escape, EVENTS))})"
_OPCODES: Final = frozenset(range(64))


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _words(words: Mapping[str, str] | Iterable[str], **more: Any) -> Schema:
    """Allow a few words, or a parameter that stands for one."""
    if not isinstance(words, Mapping):
        words = dict.fromkeys(words, "")
    choice: Schema = {"enum": list(words)}
    if any(words.values()):
        choice["enumDescriptions"] = list(words.values())
    return {"anyOf": [choice, _FILLED], **more}


def _matching(pattern: str, **more: Any) -> Schema:
    """Allow a text of this form, or one with a parameter in it."""
    return {"anyOf": [{"type": "string", "pattern": pattern, **more}, _FILLED]}


def _some(one: Schema) -> Schema:
    """Allow one, or a list."""
    return {"anyOf": [one, {"type": "array", "items": one}]}


def _table(properties: Mapping[str, Schema], *, required: Iterable[str] = (), **more: Any) -> Schema:
    table: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False, **more}
    if names := list(required):
        table["required"] = names
    return table


def _described(one: Schema, help_: str) -> Schema:
    # A `$ref` hides what stands beside it, in this draft.
    return {"allOf": [one], "description": help_} if "$ref" in one else {**one, "description": help_}


def schema(acts: Mapping[str, ActSpec]) -> Schema:
    """Make the schema; `acts` are the acts there are, as in `load`."""
    steps: dict[str, ActSpec] = {**{name: acts[name] for name in ACTOR_ACTS if name in acts}, **STEPS}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "iscsiproxy scenario",
        "description": "A fault between an iSCSI initiator and its target, and what the victim may do about it.",
        **_table({name: _section(name) for name in glossary.SECTIONS}, required=["scenario"]),
        "anyOf": [{"required": [name]} for name in ("rules", "machines", "actor")],
        "definitions": {
            **_moments(),
            "keys": _key_table(strict=True),
            "offer": _key_table(strict=False),
            "act": _act(acts),
            "step": _act(steps, prefix="step-"),
            "rule": _table(_rule(), required=["when"]),
            "rules": _some(_ref("rule")),
            "machine": _machine(),
            "outcome": _outcome(),
            "expectation": _expectation(),
            **{f"act-{name}": _given(spec) for name, spec in acts.items()},
            **{f"step-{name}": _given(spec, (CONN,)) for name, spec in steps.items()},
        },
    }


# --- sections --------------------------------------------------------------------------------------------------------


def _section(name: str) -> Schema:
    prose: Schema = {"type": _SCALARS}
    numbers = _table(
        {
            word: (
                _words(("verify", "read", "write", "discovery", "none"), description=help_)
                if word == "io"
                else _described(_ref("offer") if word == "offer" else _ANY, help_)
            )
            for word, help_ in glossary.TRAFFIC.items()
        }
    )
    names: Schema = {"propertyNames": {"pattern": r"^[A-Za-z_][A-Za-z0-9_]*$"}}
    known: dict[str, Schema] = {
        "scenario": {"type": "string", "pattern": _NAME},
        "version": {"enum": [1, "1"]},
        "covers": _some(prose),
        "cites": _some(prose),
        "victim": _words(glossary.VICTIMS),
        "needs": _some({**_ANY, "examples": ['key.DataDigest == "CRC32C"', "initiator.depth >= 2"]}),
        "params": {"type": "object", "additionalProperties": _ANY, **names},
        "matrix": {"type": "object", "minProperties": 1, "additionalProperties": _some(_ANY), **names},
        "traffic": numbers,
        "negotiate": _table({end: _ref("keys") for end in ("initiator", "target")}),
        "rules": _ref("rules"),
        "machines": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": _ref("machine"),
            "propertyNames": {"pattern": _NAME},
        },
        "actor": _some(_ref("step")),
        "expect": _some(_ref("expectation")),
        "aftermath": _words(glossary.AFTERMATHS),
        "timing": _table(
            {word: {**_matching(_DURATION), "description": help_} for word, help_ in glossary.TIMING.items()}
        ),
    }
    return _described(known.get(name, prose), glossary.SECTIONS[name])


def _key_table(*, strict: bool) -> Schema:
    """Keys and their values; any key that is private, or any at all when not `strict`."""
    properties: dict[str, Schema] = {}
    for key in KEYS:
        words = key_words(key)
        properties[key] = {**_ANY, "description": key_help(key)}
        if words:
            properties[key]["examples"] = list(words)
    return {
        "type": "object",
        "minProperties": 1,
        "properties": properties,
        "patternProperties": {"^[XYZ][-#]": _ANY},
        "additionalProperties": False if strict else _ANY,
    }


def key_help(key: str) -> str:
    """Say what values a text key has, its default, and where it is defined."""
    words, rules = key_words(key), RANGES.get(key)
    parts = ["a number" if words == () else ", ".join(words) if words else "a text"]
    if rules is not None:
        if rules.low is not None and rules.high is not None:
            parts[0] += f", {rules.low} to {rules.high}"
        if rules.default is not None:
            parts.append(f"{rules.default} if nothing is said")
        parts.append(rules.section)
    return "; ".join(parts)


# --- moments ---------------------------------------------------------------------------------------------------------


def _moments() -> dict[str, Schema]:
    more = "then `of NAME`, `from END`, `at LEG`, `where TEST`, picks (`nth 1`), `as NAME`"
    pdus = [name for name in PDU_NAMES if not name.endswith("-PDU")]
    pattern: Schema = {
        "description": f"PDUs or events, joined by `or`; {more}",
        **_matching(rf"^\s*{_ITEM}(\s|$)", examples=[*pdus, *EVENTS]),
    }
    moment: Schema = {
        "description": (
            f"A pattern (a PDU or an event, {more}), a duration, `barrier`, `fault` or a name that is bound; "
            "several steps are joined by `then`"
        ),
        "type": "string",
        "examples": [*(f"{name} nth 1" for name in pdus), *EVENTS[:3], "barrier", "fault", "5s", "1s..5s"],
    }
    counted: Schema = {
        "description": f"How many, and a pattern: {more}",
        **_matching(rf"^\s*[0-9]\S*\s+{_ITEM}(\s|$)", examples=["1 SCSI-Response of NAME"]),
    }
    return {"pattern": pattern, "moment": moment, "moments": _some(_ref("moment")), "counted": counted}


def _rule() -> dict[str, Schema]:
    shapes: dict[str, Schema] = {
        "when": _ref("moments"),
        "do": _some(_ref("act")),
        "name": _matching(_NAME),
        "until": _ref("moments"),
        "optional": _words(("yes", "no")),
        "armed": _words(("yes", "no")),
    }
    return {word: _described(shapes[word], help_) for word, help_ in glossary.RULE.items()}


def _machine() -> Schema:
    states: Schema = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": _ref("rules"),
        "propertyNames": {"pattern": _NAME},
    }
    shapes = {"per": _words(("run", "session", "connection")), "states": states}
    return _table(
        {word: _described(shapes[word], help_) for word, help_ in glossary.MACHINE.items()}, required=["states"]
    )


def _expectation() -> Schema:
    shapes: dict[str, Schema] = {
        "first": _some(_ref("outcome")),
        "never": _ref("pattern"),
        **{head: _ref("counted") for head in ("exactly", "at_least", "at_most")},
        "after": _ref("moments"),
        "until": _ref("moments"),
        "within": _matching(_DURATION),
        "else": _words(("fail", "warn")),
        "note": _ANY,
    }
    words = {**glossary.HEADS, **glossary.WINDOW}
    return _table(
        {word: _described(shapes[word], help_) for word, help_ in words.items()},
        oneOf=[{"required": [head]} for head in glossary.HEADS],
        dependencies={"first": {"not": {"required": ["else"]}}},
    )


def _outcome() -> Schema:
    line: Schema = {"anyOf": [_ref("pattern"), {"enum": ["nothing"], "description": "the window closed undecided"}]}
    return _table(
        {
            **{verdict: {**line, "description": help_} for verdict, help_ in glossary.VERDICTS.items()},
            "note": {**_ANY, "description": glossary.OUTCOME["note"]},
        },
        oneOf=[{"required": [verdict]} for verdict in glossary.VERDICTS],
    )


# --- acts ------------------------------------------------------------------------------------------------------------


def _act(specs: Mapping[str, ActSpec], *, prefix: str = "act-") -> Schema:
    """Allow an act by its name alone, or as one key with what it takes."""
    bare = {name: spec.help for name, spec in specs.items() if not any(param.required for param in spec.params)}
    table = _table(
        {name: _described(_ref(f"{prefix}{name}"), spec.help) for name, spec in specs.items()},
        minProperties=1,
        maxProperties=1,
    )
    return {"anyOf": [table, *_words(bare)["anyOf"]]}


def _given(spec: ActSpec, more: tuple[Param, ...] = ()) -> Schema:
    """Allow what an act takes: its main parameter alone, or parameters and fields by name."""
    params = [*spec.params, *(param for param in more if param.name not in {one.name for one in spec.params})]
    properties = {param.name: _described(_value(param), _param_help(param)) for param in params}
    patterns: dict[str, Schema] = {}
    if spec.fields:
        for name in field_names(_OPCODES):
            properties.setdefault(name, _described(_field(name), field_help(name)))
        patterns[r"\$"] = _ANY
    for word in sorted(spec.extra):
        if word in ("text", "BHS"):
            patterns[rf"^{word}\."] = _ANY
        elif word == "CDB":
            for name in ("CDB.LBA", "CDB.blocks"):
                properties[name] = {**_ANY, "description": glossary.NAMES[name]}
        else:
            properties.setdefault(word, {**_ANY, "description": glossary.NAMES[word]})
    if "data" in spec.extra:
        patterns[rf"^data\+{_OFFSET}$"] = _ANY
    required = [param.name for param in spec.params if param.required]
    table = _table(properties, required=required, **({"patternProperties": patterns} if patterns else {}))
    table["description"] = spec.help
    if spec.main is None:
        return table
    main = next(param for param in spec.params if param.name == spec.main)
    return {"anyOf": [_described(_value(main), _param_help(main)), table], "description": spec.help}


def _param_help(param: Param) -> str:
    return f"{param.help} ({param.kind.value})" if param.kind is not ParamKind.CHOICE else param.help


def _field(name: str) -> Schema:
    if name == "CDB":
        return {**_ANY, "examples": list(CDB_WORDS)}
    shared = shared_field(_OPCODES, name)
    words = list(shared.type.words) if shared is not None else []
    return {**_ANY, "examples": words} if words else _ANY


def field_help(name: str) -> str:
    """Say what kind of value a field is, and which PDUs have it."""
    shared = shared_field(_OPCODES, name)
    pdus = having_field(name)
    kind = shared.type.kind.value if shared is not None else "value"
    every = len(pdus) == len(LABELS)
    return f"{kind}; a field of {'every PDU' if every else ', '.join(pdus)}"


def _value(param: Param) -> Schema:
    """Allow what a parameter may be."""
    one = _kind_of(param)
    return (
        {"anyOf": [{"enum": list(param.choices)}, one]} if param.choices and param.kind is not ParamKind.CHOICE else one
    )


def _kind_of(param: Param) -> Schema:
    match param.kind:
        case ParamKind.MOMENT:
            return _ref("moments")
        case ParamKind.FLAG:
            return _words(("yes", "no"))
        case ParamKind.DURATION:
            return _matching(_DURATION)
        case ParamKind.CHOICE:
            return _words(param.choices)
        case ParamKind.PLACE:
            return _matching(_PLACE, examples=["start", "end", "header+20", "data+0"])
        case ParamKind.NEW_NAME:
            return _matching(_NAME)
        case ParamKind.PDU:
            pdus = {name: f"sent by the {sender_of(opcode)}" for opcode, name in LABELS.items()}
            words = _words(pdus)
            return {"anyOf": [*words["anyOf"], {"type": "string", "pattern": "^Opcode-0x[0-9a-f]{2}$"}]}
        case ParamKind.TEXTS:
            return _some({"type": "string", "pattern": "^[^=]+="})
        case ParamKind.KEYS:
            return _some({**_ANY, "examples": list(KEYS)})
        case ParamKind.CUTS:
            return _some(_matching(r"^[^+\s]+\+[0-9A-Za-z]+$"))
        case ParamKind.OFFER:
            return _ref("offer")
        case ParamKind.ROUNDS:
            return {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": "^[0-9]"},
                "additionalProperties": _some({"type": "string", "pattern": "^[^=]+="}),
            }
        case ParamKind.ACT:
            return _ref(f"act-{param.name}")
        case _:
            return _ANY
