"""Lists of known deviations: what a user has looked at and accepts, each with the reason.

    # tgt 1.0.85
    - rule: T-006
      pdu: Data-In S
      clause: RFC 7143 11.1
      reason: it pads with what was in its buffer

An entry is about one rule at one clause, and about one shape of PDU: its name, and what its fields must be
(`Status=CHECK_CONDITION`, `LUN=0`, a flag alone, `Flag=0`), or `silence` for what did not come and `close` for the end
of a connection. `cdb: INQUIRY` narrows it to one SCSI command, `key: HeaderDigest` to one text key. Nothing wider can
be written, so that an accepted deviation hides no other one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from iscsiproxy.checks.findings import Finding
from iscsiproxy.checks.profiles import Profile, cited
from iscsiproxy.language.document import Listing, Node, Scalar, Table, read_yaml
from iscsiproxy.language.problems import nearest, problem, quoted
from iscsiproxy.language.spec import Position
from iscsiproxy.session.params import KEYS
from iscsiproxy.wire.cdb import CDB_NAMES
from iscsiproxy.wire.fields import NO_TAG, Field, FieldKind, fields_of, lun_value
from iscsiproxy.wire.opcodes import LABELS, opcode_of

__all__ = ["Deviation", "Known", "read_known"]

_KEYS = ("rule", "pdu", "cdb", "key", "clause", "reason")
_NEEDED = ("rule", "pdu", "clause", "reason")
#: What a finding is about where it is about no PDU
_EVENTS = ("close", "silence")
#: Prefix of the text keys that no standard has (RFC 7143 13.22)
_PRIVATE = "X-"
_YES_NO = {"0": 0, "1": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """One entry. `fields` are what the PDU must have, as numbers; `shape` is the whole as it is written."""

    rule: str
    label: str
    shape: str
    clause: str
    reason: str
    fields: tuple[tuple[str, int], ...] = ()
    cdb: str = ""
    key: str = ""
    position: Position

    def __str__(self) -> str:
        about = self.cdb or self.key
        return f"{self.rule} {self.shape}{f' of {about}' if about else ''} ({self.clause})"

    def covers(self, finding: Finding, profile: Profile) -> bool:
        """Tell whether a finding is what the entry accepts."""
        if self.rule != finding.rule or self.label != finding.label or (self.cdb and self.cdb != finding.cdb):
            return False
        if self.key and self.key != finding.key:
            return False
        clauses = [one.strip() for one in finding.clause.split(",")]
        if self.clause not in clauses and cited(self.clause, profile) not in clauses:
            return False
        pdu = finding.pdu
        return all(pdu is not None and pdu.get(name) == value for name, value in self.fields)


class Known:
    """All entries of some lists, and how often each was met."""

    def __init__(self, deviations: Iterable[Deviation] = ()) -> None:
        self.deviations = tuple(deviations)
        self.met: Counter[Deviation] = Counter()

    def __repr__(self) -> str:
        return f"<Known {len(self.deviations)} deviations, {sum(self.met.values())} met>"

    @property
    def unmet(self) -> tuple[Deviation, ...]:
        """Entries that nothing was found for: mended, perhaps, or never provoked."""
        return tuple(one for one in self.deviations if not self.met[one])

    def reason(self, finding: Finding, profile: Profile) -> str:
        """Give the reason why a finding is accepted; empty if it is not."""
        for one in self.deviations:
            if one.covers(finding, profile):
                self.met[one] += 1
                return one.reason
        return ""


def read_known(text: str, file: str, *, rules: Collection[str]) -> tuple[Deviation, ...]:
    """Read a list; `rules` are the ids there are.

    Raises FileError with file, line, column and the nearest right name.
    """
    node = read_yaml(text, file)
    if not isinstance(node, Listing):
        raise problem("expected a list of known deviations, each `- rule: …`", node.position)
    return tuple(_entry(item, rules) for item in node.items)


def _entry(node: Node, rules: Collection[str]) -> Deviation:
    if not isinstance(node, Table):
        raise problem("expected an entry with `rule`, `pdu`, `clause` and `reason`", node.position)
    for entry in node.entries:
        if entry.key.text not in _KEYS:
            hint = nearest(entry.key.text, _KEYS)
            raise problem(f"an entry has no `{entry.key.text}`", entry.key.position, hint)
    found = {}
    for name in _KEYS:
        value = node.get(name)
        if value is None:
            if name in _NEEDED:
                raise problem(f"the entry has no `{name}`", node.position, f"it needs {quoted(_NEEDED)}")
            continue
        if not isinstance(value, Scalar) or not value.text.strip():
            raise problem(f"`{name}` is one text", value.position)
        found[name] = value
    rule = found["rule"]
    if rule.text not in rules:
        raise problem(f"there is no rule `{rule.text}`", rule.position, nearest(rule.text, rules))
    cdb = found.get("cdb")
    if cdb is not None and cdb.text not in CDB_NAMES:
        raise problem(f"there is no SCSI command `{cdb.text}`", cdb.position, nearest(cdb.text, CDB_NAMES))
    key = found.get("key")
    if key is not None and key.text not in KEYS and not key.text.startswith(_PRIVATE):
        raise problem(f"there is no text key `{key.text}`", key.position, nearest(key.text, KEYS))
    label, fields = _shape(found["pdu"])
    return Deviation(
        rule=rule.text,
        label=label,
        shape=" ".join(found["pdu"].text.split()),
        fields=fields,
        cdb="" if cdb is None else cdb.text,
        key="" if key is None else key.text,
        clause=found["clause"].text.strip(),
        reason=" ".join(found["reason"].text.split()),
        position=node.position,
    )


def _shape(node: Scalar) -> tuple[str, tuple[tuple[str, int], ...]]:
    """Read the shape of a PDU: its name, and what its fields must be."""
    label, *words = node.text.split()
    if label in _EVENTS:
        if words:
            raise problem(f"`{label}` has no fields", node.position)
        return label, ()
    opcode = opcode_of(label)
    if opcode is None:
        raise problem(f"there is no PDU `{label}`", node.position, nearest(label, (*LABELS.values(), *_EVENTS)))
    fields = []
    for word in words:
        name, equals, value = word.partition("=")
        field = fields_of(opcode).get(name)
        if field is None:
            raise problem(f"{label} has no field `{name}`", node.position, nearest(name, fields_of(opcode)))
        fields.append((name, _value(field, value if equals else "1", node)))
    return label, tuple(fields)


def _value(field: Field, text: str, node: Scalar) -> int:
    if field.codes is not None and (code := field.codes.value(text)) is not None:
        return code
    if field.kind is FieldKind.FLAG and text not in _YES_NO:
        raise problem(f"{field.name} is a flag: 0 or 1, not `{text}`", node.position)
    if field.kind is FieldKind.TAG and text == "none":
        return NO_TAG
    try:
        number = int(text, 0)
    except ValueError:
        names = field.codes.values() if field.codes is not None else ()
        raise problem(f"{field.name} has no value `{text}`", node.position, nearest(text, names)) from None
    return lun_value(number) if field.name == "LUN" else number
