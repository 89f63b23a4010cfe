"""Mode pages: how a logical unit is set, and what of it an initiator may set otherwise (SPC-4 6.9, 6.11, 7.5).

What can be changed: D_SENSE and SWP in the control page, WCE in the caching page. Everything else is told as it is. The
saved values outlive a reset, not the program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from iscsiproxy.peers.scsi.command import CheckCondition
from iscsiproxy.peers.scsi.handler import Commands, Handler, Reach

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.command import Nexus
    from iscsiproxy.peers.scsi.unit import LogicalUnit

__all__ = ["COMMANDS", "ModePages"]

#: PAGE CODEs: read-write error recovery, caching (SBC-3 6.5), control, informational exceptions control (SPC-4 7.5)
_RECOVERY, _CACHING, _CONTROL, _EXCEPTIONS = 0x01, 0x08, 0x0A, 0x1C
_ALL_PAGES, _ALL_SUBPAGES = 0x3F, 0xFF
#: WCE in byte 2 of the caching page (SBC-3 6.5.5)
_WCE = 0x04
#: D_SENSE in byte 2 and SWP in byte 4 of the control page (SPC-4 7.5.8)
_D_SENSE, _SWP = 0x04, 0x08
#: DEXCPT in byte 2 of the informational exceptions control page: exceptions are not reported (SBC-3 6.5.8)
_DEXCPT = 0x08


def _page(code: int, length: int, flags: Mapping[int, int]) -> bytes:
    page = bytearray(length + 2)
    page[:2] = code, length
    for offset, bits in flags.items():
        page[offset] = bits
    return bytes(page)


_DEFAULTS: Mapping[int, bytes] = {
    _RECOVERY: _page(_RECOVERY, 0x0A, {}),
    _CACHING: _page(_CACHING, 0x12, {2: _WCE}),
    _CONTROL: _page(_CONTROL, 0x0A, {}),
    _EXCEPTIONS: _page(_EXCEPTIONS, 0x0A, {2: _DEXCPT}),
}
_CHANGEABLE: Mapping[int, bytes] = {
    _RECOVERY: _page(_RECOVERY, 0x0A, {}),
    _CACHING: _page(_CACHING, 0x12, {2: _WCE}),
    _CONTROL: _page(_CONTROL, 0x0A, {2: _D_SENSE, 4: _SWP}),
    _EXCEPTIONS: _page(_EXCEPTIONS, 0x0A, {}),
}

#: PAGE CONTROL (SPC-4 table 158)
_CURRENT, _CHANGES, _DEFAULT, _SAVED = range(4)
#: DBD and, in MODE SENSE(10), LLBAA
_DBD, _LLBAA = 0x08, 0x10
#: PF, RTD and SP of MODE SELECT
_PF, _RTD, _SP = 0x10, 0x02, 0x01
#: PS in byte 0 of a page: it can be saved; SPF: it is a subpage (SPC-4 7.5.7)
_PS, _SPF = 0x80, 0x40
#: DEVICE-SPECIFIC PARAMETER: WP and DPOFUA (SBC-3 6.5.1)
_WP, _DPOFUA = 0x80, 0x10
#: LONGLBA in byte 4 of the header of ten byte commands
_LONGLBA = 0x01
#: Length of the header, by the operation code
_SENSE_6, _SENSE_10, _SELECT_6, _SELECT_10 = 0x1A, 0x5A, 0x15, 0x55
_SHORT_HEADER, _LONG_HEADER = 4, 8
#: Length of a short and of a long LBA block descriptor (SBC-3 6.5.2)
_SHORT_BLOCK, _LONG_BLOCK = 8, 16

_INVALID_FIELD = (0x5, 0x24, 0x00)
_BAD_LENGTH = (0x5, 0x1A, 0x00)
_BAD_PARAMETER = (0x5, 0x26, 0x00)


class ModePages:
    """The current and the saved values of the mode pages of a logical unit."""

    def __init__(self) -> None:
        self._saved = dict(_DEFAULTS)
        self._current = dict(_DEFAULTS)

    def __repr__(self) -> str:
        changed = [f"{code:02X}h" for code, page in self._current.items() if page != _DEFAULTS[code]]
        return f"<ModePages {', '.join(changed) or 'all'} {'changed' if changed else 'as by default'}>"

    @property
    def descriptor_sense(self) -> bool:
        """Whether sense data has descriptor format (D_SENSE)."""
        return bool(self._current[_CONTROL][2] & _D_SENSE)

    @property
    def software_write_protect(self) -> bool:
        """Whether writing is forbidden (SWP)."""
        return bool(self._current[_CONTROL][4] & _SWP)

    @property
    def write_cache(self) -> bool:
        """Whether a write may end before its data is where it lasts (WCE)."""
        return bool(self._current[_CACHING][2] & _WCE)

    def reset(self) -> None:
        """Go back to the saved values (SAM-5 6.3.2)."""
        self._current = dict(self._saved)

    def read(self, control: int, code: int, subpage: int) -> bytes:
        """Give pages as MODE SENSE does. Raises CheckCondition for what there is not."""
        pages = (self._current, _CHANGEABLE, _DEFAULTS, self._saved)[control]
        if subpage not in (0, _ALL_SUBPAGES) or (code != _ALL_PAGES and code not in pages):
            raise CheckCondition(*_INVALID_FIELD)
        chosen = sorted(pages) if code == _ALL_PAGES else [code]
        return b"".join(bytes([pages[one][0] | _PS]) + pages[one][1:] for one in chosen)

    def write(self, data: bytes, *, save: bool) -> bool:
        """Take pages as MODE SELECT gives them, all or none; tell whether that changes anything.

        Raises CheckCondition for an unknown page, a wrong length, and another value where nothing can be changed.
        """
        changed: dict[int, bytes] = {}
        while data:
            code = data[0] & 0x3F
            if data[0] & _SPF or code not in self._current:
                raise CheckCondition(*_BAD_PARAMETER)
            now, mask = changed.get(code, self._current[code]), _CHANGEABLE[code]
            page, data = data[: len(now)], data[len(now) :]
            if len(page) > 1 and page[1] != now[1]:
                raise CheckCondition(*_BAD_PARAMETER)
            if len(page) < len(now):
                raise CheckCondition(*_BAD_LENGTH)
            if any((new ^ old) & ~bits for new, old, bits in zip(page[2:], now[2:], mask[2:], strict=True)):
                raise CheckCondition(*_BAD_PARAMETER)
            changed[code] = bytes([code]) + page[1:]
        differs = any(self._current[code] != page for code, page in changed.items())
        self._current.update(changed)
        if save:
            self._saved.update(changed)
        return differs


def _block_descriptor(unit: LogicalUnit, *, long: bool) -> bytes:
    blocks, size = unit.medium.blocks, unit.medium.block_size
    if long:
        return blocks.to_bytes(8, "big") + bytes(4) + size.to_bytes(4, "big")
    return min(blocks, 0xFFFFFFFF).to_bytes(4, "big") + size.to_bytes(4, "big")


def _sense_wants(unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    unit.mode.read(cdb[2] >> 6, cdb[2] & 0x3F, cdb[3])
    return 0


def _sense(unit: LogicalUnit, _nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes:
    ten = cdb[0] == _SENSE_10
    long = ten and bool(cdb[1] & _LLBAA)
    pages = unit.mode.read(cdb[2] >> 6, cdb[2] & 0x3F, cdb[3])
    block = b"" if cdb[1] & _DBD else _block_descriptor(unit, long=long)
    specific = _DPOFUA | (_WP if unit.write_protected else 0)
    rest = block + pages
    if ten:
        length = _LONG_HEADER + len(rest) - 2
        head = length.to_bytes(2, "big") + bytes([0, specific, _LONGLBA if long and block else 0, 0])
        return (head + len(block).to_bytes(2, "big") + rest)[: int.from_bytes(cdb[7:9], "big")]
    return (bytes([_SHORT_HEADER + len(rest) - 1, 0, specific, len(block)]) + rest)[: cdb[4]]


def _select_wants(_unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    length = cdb[4] if cdb[0] == _SELECT_6 else int.from_bytes(cdb[7:9], "big")
    if cdb[1] & _RTD or (length and not cdb[1] & _PF):
        raise CheckCondition(*_INVALID_FIELD)
    return length


def _select(unit: LogicalUnit, nexus: Nexus, cdb: bytes, data: memoryview) -> bytes:
    length = _select_wants(unit, nexus, cdb)
    if not length:
        return b""
    ten = cdb[0] == _SELECT_10
    header = _LONG_HEADER if ten else _SHORT_HEADER
    if len(data) < max(length, header):
        raise CheckCondition(*_BAD_LENGTH)
    medium_type = data[2] if ten else data[1]
    long = ten and bool(data[4] & _LONGLBA)
    described = int.from_bytes(data[6:8], "big") if ten else data[3]
    if medium_type or described not in (0, _LONG_BLOCK if long else _SHORT_BLOCK):
        raise CheckCondition(*_BAD_PARAMETER)
    block = bytes(data[header : header + described])
    if len(block) < described:
        raise CheckCondition(*_BAD_LENGTH)
    if block:
        _check_block(unit, block)
    if unit.mode.write(bytes(data[header + described :]), save=bool(cdb[1] & _SP)):
        unit.mode_changed(nexus)
    return b""


def _check_block(unit: LogicalUnit, block: bytes) -> None:
    """Refuse another size of the unit or its blocks; 0 blocks, or the most there could be, leave it (SBC-3 6.5.2)."""
    long = len(block) == _LONG_BLOCK
    now = _block_descriptor(unit, long=long)
    count = 8 if long else 4
    if block[:count] not in (now[:count], bytes(count), b"\xff" * count) or block[count:] != now[count:]:
        raise CheckCondition(*_BAD_PARAMETER)


#: MODE SENSE is in conflict with reservations of either kind (SPC-4 table 66)
_LOOKS = Reach(reads=True, writes=True)
_CHANGES_STATE = Reach(writes=True)

COMMANDS: Commands = {
    (_SENSE_6, None): Handler(name="MODE SENSE(6)", wants=_sense_wants, perform=_sense, reach=_LOOKS),
    (_SENSE_10, None): Handler(name="MODE SENSE(10)", wants=_sense_wants, perform=_sense, reach=_LOOKS),
    (_SELECT_6, None): Handler(name="MODE SELECT(6)", wants=_select_wants, perform=_select, reach=_CHANGES_STATE),
    (_SELECT_10, None): Handler(name="MODE SELECT(10)", wants=_select_wants, perform=_select, reach=_CHANGES_STATE),
}
