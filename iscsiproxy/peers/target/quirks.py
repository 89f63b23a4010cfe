"""Known deviations of real targets, one small class each: its name is what `--quirk` takes.

W01 to W19 are the rows of Microsoft's implementation notes for the iSCSI Target Server of Windows Server 2012, which
say where it departs from RFC 3720; the sections here are those of RFC 7143. All of them together are the personality
`windows-server-2012`. `tgt-holes` was seen on the wire of tgt 1.0.85. The first line of a class says what the target
does, `clause` what it should have heeded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from iscsiproxy.peers.deviation import Deviation
from iscsiproxy.peers.target.conduct import Conduct, Disconnect
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.sense import SenseCode

__all__ = ["PERSONALITIES", "QUIRKS", "Quirk"]

_SEGMENT = "MaxRecvDataSegmentLength"


class Quirk(Deviation, Conduct):
    """A conduct that departs from the standard at one clause."""


class W01(Quirk):
    """Answer GOOD to a WRITE with more immediate data than FirstBurstLength."""

    clause = "RFC 7143 4.2.5.2"

    def excess_immediate(self, length: int, limit: int) -> SenseCode | None:
        return None


class W02(Quirk):
    """Answer GOOD where the amount of data is not what was negotiated or asked for."""

    clause = "RFC 7143 11.4.7.2"

    def wrong_unsolicited(self, received: int, due: int) -> SenseCode | None:
        return None

    def wrong_sequence(self, received: int, desired: int) -> SenseCode | None:
        return None


class W03(Quirk):
    """Answer GOOD to unsolicited data that ImmediateData=No and InitialR2T=Yes forbid."""

    clause = "RFC 7143 13.11"

    def unexpected_unsolicited(self) -> SenseCode | None:
        return None


class W04(Quirk):
    """Leave the Target Transfer Tag of a discovery session's Text Response with F=0 at ffffffff."""

    clause = "RFC 7143 11.11.1"

    def text_tag(self, tag: int, *, discovery: bool) -> int:
        return NO_TAG if discovery else tag


class _NoOpenText(Quirk):
    """Disconnect at a negotiation of MaxRecvDataSegmentLength in a normal session that goes on."""

    def on_text(self, keys: Iterable[str], *, final: bool, continues: bool, discovery: bool) -> None:
        if not final and not discovery and _SEGMENT in keys:
            raise Disconnect
        super().on_text(keys, final=final, continues=continues, discovery=discovery)


class W05(_NoOpenText):
    """Disconnect at a Text Request with F=0 and MaxRecvDataSegmentLength in a normal session."""

    clause = "RFC 7143 4.6.3.1"


class W06(Quirk):
    """Disconnect at a Text Request with MaxRecvDataSegmentLength in a discovery session."""

    clause = "RFC 7143 4.3"

    def on_text(self, keys: Iterable[str], *, final: bool, continues: bool, discovery: bool) -> None:
        if discovery and _SEGMENT in keys:
            raise Disconnect
        super().on_text(keys, final=final, continues=continues, discovery=discovery)


class W07(Quirk):
    """Disconnect at SendTargets without a value."""

    clause = "RFC 7143 appendix C"

    def on_send_targets(self, value: str, *, discovery: bool) -> None:
        if not value:
            raise Disconnect
        super().on_send_targets(value, discovery=discovery)


class W08(Quirk):
    """Disconnect at SendTargets=All in a normal session."""

    clause = "RFC 7143 appendix C"

    def on_send_targets(self, value: str, *, discovery: bool) -> None:
        if value == "All" and not discovery:
            raise Disconnect
        super().on_send_targets(value, discovery=discovery)


class W09(_NoOpenText):
    """Disconnect where a negotiation in full feature phase is left unfinished: the trigger is that of W05."""

    clause = "RFC 7143 7.12"


class W10(Quirk):
    """Disconnect at a Text Request whose C bit says that the text goes on."""

    clause = "RFC 7143 6.2"

    def on_text(self, keys: Iterable[str], *, final: bool, continues: bool, discovery: bool) -> None:
        if continues:
            raise Disconnect
        super().on_text(keys, final=final, continues=continues, discovery=discovery)


class W11(Quirk):
    """Give the TSIH in the first Login Response already."""

    clause = "RFC 7143 11.13.3"

    def partial_tsih(self, requested: int, future: int) -> int:
        return future


class W12(Quirk):
    """Ignore every command whose CmdSN is not the next; a duplicate costs the original its answer."""

    clause = "RFC 7143 4.2.2.1"

    def queues_ahead(self) -> bool:
        return False

    def duplicate_kills_original(self) -> bool:
        return True


class W13(Quirk):
    """Answer "function complete" to ABORT TASK for a task that never was."""

    clause = "RFC 7143 11.6.1"

    def missing_task_response(self, *, inside_window: bool) -> int:
        return 0


class W14(Quirk):
    """Let a discovery session log out for any reason."""

    clause = "RFC 7143 4.3"

    def accepts_discovery_logout(self, reason: int) -> bool:
        return True


class W15(Quirk):
    """Answer success to a logout of a connection that is not there."""

    clause = "RFC 7143 11.15.1"

    def unknown_cid_response(self) -> int:
        return 0


class W16(Quirk):
    """Let a login succeed in spite of TargetPortalGroupTag=NotUnderstood."""

    clause = "RFC 7143 6.2"

    def accepts_not_understood(self, key: str) -> bool:
        return key == "TargetPortalGroupTag" or super().accepts_not_understood(key)


class W17(Quirk):
    """Let keys be negotiated twice in one login."""

    clause = "RFC 7143 6.3"

    def accepts_repeated_key(self, key: str) -> bool:
        return True


class W18(Quirk):
    """Use the StatSN of the Reject of a SNACK again for the next status."""

    clause = "RFC 7143 11.17.3"

    def reject_advances(self, opcode: int) -> bool:
        return opcode != Opcode.SNACK and super().reject_advances(opcode)


class W19(Quirk):
    """Say nothing to an unknown key that came in a login text with the C bit."""

    clause = "RFC 7143 6.2"

    def answers_unknown_key(self, key: str, *, continued: bool) -> bool:
        return not continued and super().answers_unknown_key(key, continued=continued)


class TgtHoles(Quirk):
    """Answer GOOD to a write of which a Data-Out never came."""

    name = "tgt-holes"
    clause = "RFC 7143 7.9"

    def broken_sequence(self) -> SenseCode | None:
        return None


_WINDOWS = (
    *(W01, W02, W03, W04, W05, W06, W07, W08, W09, W10),
    *(W11, W12, W13, W14, W15, W16, W17, W18, W19),
)

#: Every quirk by its name.
QUIRKS: Mapping[str, type[Quirk]] = {quirk.name: quirk for quirk in (*_WINDOWS, TgtHoles)}

#: Whole targets: the names of their quirks.
PERSONALITIES: Mapping[str, tuple[str, ...]] = {
    "windows-server-2012": tuple(quirk.name for quirk in _WINDOWS),
}
