"""Read a capture through tshark: an independent dissector's opinion of every PDU, frame and comment.

One frame may carry several PDUs, and one PDU may lie in several frames; columns of `-T fields` lose which value
belongs to which PDU, so the packets are read as PDML, where each PDU is an element of its own. A PDU that lies in
several frames is in the last of them.

What the dissector does not show: whether a digest is right is only in the text of its field, and bytes that it takes
for nonsense (an unknown opcode, a header that cannot be) are not iSCSI to it at all: such a frame is `unread`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

from tests.real.process import run

__all__ = ["Frame", "Pdu", "pdus", "problems", "read"]

#: The layers that are printed in full. All the others appear with their names only.
LAYERS = ("frame", "pkt_comment", "tcp", "iscsi", "iscsi.flags", "scsi", "_ws.malformed")

#: The dissector takes a longer data segment for nonsense; as it comes, from 256 KiB on.
OPTIONS: Mapping[str, str] = {"iscsi.bogus_pdu_max_data_len": str(0xFF_FFFF)}

_MALFORMED = re.compile(r"^\[Malformed Packet: (.*)\]$")

#: How tshark 4.2 and later show flags, and how 4.0 does
_FLAGS: Mapping[str, str] = {"False": "0", "True": "1"}

Digest = Literal["good", "bad"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pdu:
    """One PDU as tshark dissected it.

    `fields` maps tshark's names, those of its SCSI layer too (`iscsi.cmdsn`, `scsi.lun`, `scsi_sbc.opcode`), to the
    values shown, in the order in which they stand in the PDU. Flags are "0" and "1".
    `name` is tshark's own for the opcode ("SCSI Command"); `scsi` are its words for the SCSI layer, if there is one.
    `complaints` are expert messages about the PDU, not about the SCSI data in it.
    """

    frame: int
    name: str
    fields: Mapping[str, tuple[str, ...]]
    header_digest: Digest | None = None
    data_digest: Digest | None = None
    scsi: str = ""
    complaints: tuple[str, ...] = ()

    @property
    def opcode(self) -> int:
        """The opcode, without the immediate bit."""
        opcode = self.number("iscsi.opcode")
        assert opcode is not None
        return opcode

    @property
    def keys(self) -> tuple[str, ...]:
        """The `key=value` pairs of a login or text PDU."""
        return self.fields.get("iscsi.keyvalue", ())

    def text(self, name: str) -> str | None:
        """Return the first value of a field as tshark shows it, or None if the PDU has no such field."""
        return next(iter(self.fields.get(name, ())), None)

    def number(self, name: str) -> int | None:
        """Return the first value of a numeric field, or None if the PDU has no such field."""
        shown = self.text(name)
        return None if shown is None else int(shown, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One captured packet.

    `analysis` holds tshark's TCP flags by their short names (`retransmission`, `lost_segment`, `out_of_order`, …).
    `malformed` names the dissector that gave up (`iSCSI`, `SCSI`, …), and is empty where none did.
    `unread` tells that the packet has payload in which tshark saw neither a PDU nor a piece of one, and `pending` that
    it holds nothing but a piece of a PDU, which a later frame completes or none does.
    """

    number: int
    interface: str
    comments: tuple[str, ...]
    source: int
    destination: int
    pdus: tuple[Pdu, ...]
    analysis: tuple[str, ...]
    malformed: str
    unread: bool
    pending: bool


def _shown(element: ET.Element, name: str) -> list[str]:
    return [one.get("show", "") for one in element.iter("field") if one.get("name") == name]


def _digest(fields: Iterable[ET.Element], name: str) -> Digest | None:
    for one in fields:
        if one.get("name") == name:
            return "good" if "(Good" in one.get("showname", "") else "bad"
    return None


@dataclass(slots=True)
class _Draft:
    """A PDU whose later elements may still come: tshark prints some of its fields after the SCSI layer."""

    proto: ET.Element
    fields: list[ET.Element]
    beyond: list[ET.Element] = field(default_factory=list)
    scsi: str = ""

    def finish(self, frame: int) -> Pdu:
        values: dict[str, list[str]] = {}
        for one in (*self.fields, *self.beyond):
            if (name := one.get("name", "")).startswith(("iscsi.", "scsi")):
                shown = one.get("show", "")
                values.setdefault(name, []).append(_FLAGS.get(shown, shown))
        return Pdu(
            frame=frame,
            name=self.proto.get("showname", "").strip().removeprefix("iSCSI (").removesuffix(")"),
            fields={name: tuple(shown) for name, shown in values.items()},
            header_digest=_digest(self.fields, "iscsi.headerdigest32"),
            data_digest=_digest(self.fields, "iscsi.datadigest32"),
            scsi=self.scsi,
            complaints=tuple(one.get("show", "") for one in self.fields if one.get("name") == "_ws.expert.message"),
        )


def _frame(packet: ET.Element) -> Frame:
    drafts: list[_Draft] = []
    comments: list[str] = []
    analysis: list[str] = []
    number = source = destination = payload = 0
    interface = malformed = ""
    piece = False
    for proto in packet:
        match proto.get("name"):
            case "frame":
                number = int(_shown(proto, "frame.number")[0])
                interface = next(iter(_shown(proto, "frame.interface_name")), "")
            case "pkt_comment":
                comments.extend(_shown(proto, "frame.comment"))
            case "tcp":
                source, destination = int(_shown(proto, "tcp.srcport")[0]), int(_shown(proto, "tcp.dstport")[0])
                payload = int(_shown(proto, "tcp.len")[0])
                piece = bool(_shown(proto, "tcp.segment_data"))
                analysis = [
                    one.get("name", "").removeprefix("tcp.analysis.")
                    for expert in proto.iter("field")
                    if expert.get("name") == "_ws.expert"
                    for one in expert
                    if one.get("name", "").startswith("tcp.analysis.")
                ]
            case "iscsi":
                drafts.append(_Draft(proto, list(proto.iter("field"))))
            case "fake-field-wrapper" if drafts:
                drafts[-1].fields.extend(proto.iter("field"))
            case "scsi" if drafts:
                drafts[-1].scsi = proto.get("showname", "")
                drafts[-1].beyond.extend(proto.iter("field"))
            case "_ws.malformed":
                malformed = _MALFORMED.sub(r"\1", proto.get("showname", ""))
            case _:
                pass
    return Frame(
        number=number,
        interface=interface,
        comments=tuple(comments),
        source=source,
        destination=destination,
        pdus=tuple(draft.finish(number) for draft in drafts),
        analysis=tuple(analysis),
        malformed=malformed,
        unread=payload > 0 and not drafts and not piece and "retransmission" not in analysis,
        pending=piece and not drafts,
    )


async def read(
    path: Path,
    *,
    ports: Iterable[int] = (),
    only: str = "",
    options: Mapping[str, str] | None = None,
    may_be_cut: bool = False,
) -> list[Frame]:
    """Read a pcap or pcapng file.

    `ports` are TCP ports that carry iSCSI; 3260 does without being named. `only` is a display filter. `options` are
    preferences of tshark, as in `{"iscsi.bogus_pdu_filter": "FALSE"}`, which makes it dissect nonsense too. Raises
    `ProgramError` where tshark cannot read the file; one cut off in the middle of a packet is read up to there if it
    `may_be_cut`, and cannot be read otherwise.
    """
    arguments = ["-n", "-r", str(path), "-T", "pdml", "-J", " ".join(LAYERS)]
    for port in ports:
        arguments += ["-d", f"tcp.port=={port},iscsi"]
    for name, value in {**OPTIONS, **(options or {})}.items():
        arguments += ["-o", f"{name}:{value}"]
    if only:
        arguments += ["-Y", only]
    finished = await run("tshark", *arguments, within=120.0)
    if not (may_be_cut and "cut short" in finished.stderr):
        finished.check()
    frames = []
    for _, element in ET.iterparse(BytesIO(finished.stdout.encode())):
        if element.tag == "packet":
            frames.append(_frame(element))
            element.clear()
    return frames


def pdus(
    frames: Iterable[Frame], *, interface: str | None = None, comment: str | None = None, opcode: int | None = None
) -> list[Pdu]:
    """List the PDUs of those frames that fit: on this interface, with this text in a comment; and of this opcode."""
    return [
        pdu
        for frame in frames
        if interface is None or frame.interface == interface
        if comment is None or any(comment in one for one in frame.comments)
        for pdu in frame.pdus
        if opcode is None or pdu.opcode == opcode
    ]


def problems(frames: Iterable[Frame]) -> list[str]:
    """Say all that is wrong with a capture, one line each: `7: lost_segment`.

    That is: malformed packets, payload that is not iSCSI, TCP analysis flags, wrong digests, and complaints of the
    iSCSI dissector. A capture that we wrote of healthy traffic has none. Data that only the SCSI dissector finds
    malformed is left out: real targets answer an INQUIRY with pages that it cannot read.
    """
    found = []
    for frame in frames:
        said = [f"malformed: {frame.malformed}"] if frame.malformed not in ("", "SCSI") else []
        said += ["unread"] if frame.unread else []
        said += frame.analysis
        for pdu in frame.pdus:
            said += [f"{pdu.name}: wrong header digest"] if pdu.header_digest == "bad" else []
            said += [f"{pdu.name}: wrong data digest"] if pdu.data_digest == "bad" else []
            said += [f"{pdu.name}: {complaint}" for complaint in pdu.complaints]
        found += [f"{frame.number}: {one}" for one in said]
    return found
