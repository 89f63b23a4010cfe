"""Have tshark take a capture file apart: the TCP segments in it, in the order of the file.

tshark knows the file formats, the link layers, VLANs, tunnels and IP fragments, and which segments belong to which
connection, also where a port is used again. It is asked for one line a segment and never for more: its own following of
streams (`-z follow`) keeps all of them in memory, tells neither ends nor times nor, of a packet that was cut, that
bytes are missing, and leaves out what stands behind a gap that nobody acknowledged.

tshark is started with settings of its own: what the user has set in Wireshark changes nothing here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from iscsiproxy.errors import CaptureError

__all__ = ["ACK", "FIN", "RST", "SYN", "Segment", "Tshark"]

#: The control bits that matter here (RFC 9293 3.1)
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

_FIELDS = (
    "frame.time_relative",
    "frame.number",
    "tcp.stream",
    "tcp.flags",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.len",
    "ip.src",
    "ipv6.src",
    "tcp.srcport",
    "ip.dst",
    "ipv6.dst",
    "tcp.dstport",
    "frame.interface_name",
)
_CONTENT = ("frame.comment", "tcp.payload")
#: What stands between several values of a field: one for each header of a tunnel, and each comment
_BETWEEN = "\x1f"
#: Nobody looks at what TCP carries: that is our affair, and saves a third of the time
_OPTIONS = (
    *("-d", "tcp.port==0-65535,data"),
    *("-o", "tcp.analyze_sequence_numbers:FALSE"),
    *("-o", "ip.defragment:TRUE"),
    *("-E", "occurrence=a", "-E", f"aggregator={_BETWEEN}"),
)
_SEARCHED = ("/usr/local/bin", "/usr/bin", "/usr/sbin", "/Applications/Wireshark.app/Contents/MacOS")
_BUFFER = 1 << 20
_MOST_SAID = 1000
_CHATTER = ("Running as user",)
_CUT_SHORT = "cut short in the middle of a packet"


class Segment(NamedTuple):
    """A TCP segment as it was captured.

    `at` is in seconds since the first packet of the file, `stream` tshark's number of the connection. `length` counts
    the bytes it had on the wire; `payload` has those that were captured. Without the contents asked for it is empty.
    """

    at: float
    frame: int
    stream: int
    flags: int
    seq: int
    ack: int
    length: int
    source: tuple[bytes, int]
    destination: tuple[bytes, int]
    interface: str
    comments: tuple[str, ...] = ()
    payload: bytes = b""


class Tshark:
    """Reads one file, as often as asked. `warnings` are what tshark had to say, each once.

    Raises CaptureError if tshark is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], *, program: str | None = None) -> None:
        self.path = Path(path).absolute()
        self.warnings: list[str] = []
        self._program = program or _find()
        self._running: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Tshark {self.path.name} {'running' if self._running else 'idle'}>"

    def segments(self, *, contents: bool) -> Iterator[Segment]:
        """Give the segments, with their comments and payload if `contents` are asked for.

        Without them it gives every segment, with them only those that have either, or begin or end a connection. The
        process ends with the iterator. Raises CaptureError if tshark cannot read the file.
        """
        fields = _FIELDS + _CONTENT if contents else _FIELDS
        # The headers inside an ICMP error are not a segment.
        wanted = "tcp.stream && !icmp && !icmpv6"
        if contents:
            wanted += " && (tcp.len > 0 || (tcp.flags & 7) || frame.comment)"
        command = [self._program, "-n", "-r", str(self.path), *_OPTIONS, "-Y", wanted, "-T", "fields"]
        for field in fields:
            command += ["-e", field]
        with tempfile.TemporaryDirectory(prefix="iscsiproxy-") as nothing, tempfile.TemporaryFile() as said:
            # An empty directory has no preferences, profiles or plugins of the user.
            environment = {**os.environ, "LC_ALL": "C.UTF-8", "WIRESHARK_CONFIG_DIR": nothing}
            process = subprocess.Popen(  # noqa: S603 - tshark, as it was found
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                bufsize=_BUFFER,
                env=environment,
            )
            self._running = process
            some = False
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    some = True
                    yield _segment(line, contents=contents)
                process.wait()
            finally:
                self._end(process)
            self._ended(process.returncode, said, some=some)

    def close(self) -> None:
        """End a tshark that is still running. Idempotent."""
        if self._running is not None:
            self._end(self._running)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        self._running = None
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _ended(self, code: int, said: IO[bytes], *, some: bool) -> None:
        said.seek(0)
        lines = [line.strip() for line in said.read().decode(errors="replace").splitlines()]
        lines = [line.removeprefix("tshark: ") for line in lines if line and not line.startswith(_CHATTER)]
        text = " ".join(lines)[:_MOST_SAID]
        if code < 0:
            raise CaptureError(f"{self.path}: tshark was ended by signal {-code}{': ' if text else ''}{text}")
        if code and not some and _CUT_SHORT not in text:
            raise CaptureError(f"{self.path}: tshark cannot read it: {text or f'status {code}'}")
        if text and text not in self.warnings:
            self.warnings.append(text)


def _find() -> str:
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SEARCHED))
    found = shutil.which("tshark", path=places)
    if found is None:
        raise CaptureError(
            "captures are read with tshark, which is not installed: install the package `tshark` (Debian, Ubuntu),"
            " `wireshark-cli` (Fedora, Arch) or Wireshark itself"
        )
    return found


def _segment(line: bytes, *, contents: bool) -> Segment:
    if contents:
        *head, comment, payload = line.rstrip(b"\n").split(b"\t")
        comments = tuple(comment.decode(errors="replace").split(_BETWEEN)) if comment else ()
        data = bytes.fromhex(payload.decode()) if payload else b""
    else:
        head, comments, data = line.rstrip(b"\n").split(b"\t"), (), b""
    at, frame, stream, flags, seq, ack, length, *ends, interface = head
    source4, source6, source_port, to4, to6, to_port = ends
    return Segment(
        float(at),
        int(frame),
        int(stream),
        int(flags, 16),
        int(seq),
        int(ack or 0),
        int(length),
        (_innermost(source6 or source4), int(source_port)),
        (_innermost(to6 or to4), int(to_port)),
        interface.decode(errors="replace"),
        comments,
        data,
    )


def _innermost(values: bytes) -> bytes:
    return values.rpartition(b"\x1f")[2] if b"\x1f" in values else values
