"""Bytes to PDUs and back: the wire format of iSCSI (RFC 7143 11), without I/O and without protocol state.

One idea holds the room together: **exact bytes first, meaning on demand**. A `Pdu` is an envelope of the bytes as they
came; a field, an AHS, a text key, a CDB or a sense code is read out of them when somebody asks. So whatever nobody
touched goes on unchanged, reserved bits, odd padding and wrong digests included, and reading costs only what is read.

The way in, from the socket up:

- `framing` cuts a byte stream into PDUs. It looks only as closely as its interest table asks, and says so when the
  stream cannot be cut any more.
- `pdu` is the envelope and its changed copies; `digest` computes what goes over them.
- `opcodes`, `codes` and `fields` are the tables of the standard: the PDUs and who sends them, the meaning of code
  fields, and where every field is. No other module of the program knows an offset in a basic header segment.
  `reserved` lists the bits that belong to no field.
- `ahs` and `text` take apart additional header segments and key=value data; `cdb` and `sense` the SCSI inside.
- `serial` compares sequence numbers.
- `describe` puts a PDU into words, for people.

Bytes that do not mean what their place requires are a typed error under `PeerError`, or, where a checker wants to go
on, a typed problem; nothing else comes out of bytes, whatever they are. What is given back is encoded byte for byte as
it came: for every codec here, decoding and encoding again changes nothing.

Lengths are bytes and numbers are integers throughout. The room imports nothing of the program but `errors`.
"""

from __future__ import annotations

from iscsiproxy.wire.digest import digest
from iscsiproxy.wire.fields import BHS_LENGTH, NO_TAG, Field, FieldKind, fields_of
from iscsiproxy.wire.framing import (
    EVERYTHING,
    NEED_DATA,
    NOTHING,
    Framer,
    Header,
    Interest,
    NeedData,
    Run,
    Unframeable,
)
from iscsiproxy.wire.opcodes import End, Opcode, label_of, opcode_of, sender_of
from iscsiproxy.wire.pdu import Pdu, padding

__all__ = [
    "BHS_LENGTH",
    "EVERYTHING",
    "NEED_DATA",
    "NOTHING",
    "NO_TAG",
    "End",
    "Field",
    "FieldKind",
    "Framer",
    "Header",
    "Interest",
    "NeedData",
    "Opcode",
    "Pdu",
    "Run",
    "Unframeable",
    "digest",
    "fields_of",
    "label_of",
    "opcode_of",
    "padding",
    "sender_of",
]
