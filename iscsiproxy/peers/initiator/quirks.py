"""Known ways of real initiators that are not the standard's, one small class each.

The names say whose they are. What is said of libiscsi was seen on the wire of version 1.19 or is plain in its source
and object code, what is said of open-iscsi is plain in its source. `clause` is what they should have heeded, or, where
the standard leaves a choice, where it does so. Other things that libiscsi does, such as to drop the connection at a
wrong header digest or at an AHS, are what the conforming initiator does too.
"""

from __future__ import annotations

from collections.abc import Mapping

from iscsiproxy.peers.deviation import Deviation
from iscsiproxy.peers.initiator.conduct import Conduct, Reaction
from iscsiproxy.peers.initiator.errors import ProtocolError
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["PERSONALITIES", "QUIRKS", "Quirk"]

#: The first level of a LUN: two bytes of eight (RFC 7143 11.2.1.7, SAM)
_FIRST_LEVEL = 0xFFFF << 48
#: How often libiscsi tries to come to the full feature phase, and how far apart it comes back
_LIBISCSI_ROUNDS = 11
_LIBISCSI_INTERVAL = 3.0


#: All but these make libiscsi reconnect
_LIBISCSI_REACTIONS = {
    0: Reaction.NOTHING,
    1: Reaction.LOG_OUT,
    2: Reaction.AWAIT_DROP,
    3: Reaction.AWAIT_DROP,
    4: Reaction.LOG_OUT,
}


class Quirk(Deviation, Conduct):
    """A conduct that departs from the standard at one clause."""


class StatSNGaps(Quirk):
    """Take no notice of a StatSN that was skipped."""

    name = "libiscsi-statsn-gaps"
    clause = "RFC 7143 7.9"

    def wrong_statsn(self, pdu: Pdu, expected: int) -> None:
        """Let it pass."""


class UncheckedDataSN(Quirk):
    """Never look at DataSN, R2TSN and ExpDataSN."""

    name = "libiscsi-datasn"
    clause = "RFC 7143 7.9"

    def wrong_datasn(self, message: str) -> None:
        """Let it pass."""


class TrustedOffset(Quirk):
    """Put Data-In wherever its Buffer Offset says, and ask for no more than a status."""

    name = "libiscsi-offset"
    clause = "RFC 7143 11.7.6"

    def wrong_offset(self, message: str) -> None:
        """Let it pass."""

    def missing_data(self, message: str) -> None:
        """Let it pass."""


class AcknowledgeIsAnError(Quirk):
    """Give the connection up when a Data-In has the A bit."""

    name = "libiscsi-a-bit"
    clause = "RFC 7143 11.7.2"

    def acknowledge_asked(self, pdu: Pdu) -> None:
        raise ProtocolError("Data-In with A", section=self.clause)


class StrayAnswers(Quirk):
    """Take no notice of an answer to a task that there is not."""

    name = "libiscsi-unknown-task"
    clause = "RFC 7143 7.10"

    def unknown_task(self, pdu: Pdu) -> None:
        """Let it pass."""


class AsyncEvents(Quirk):
    """Log out at a request to negotiate, wait to be dropped, reconnect at any event that is not known."""

    name = "libiscsi-async"
    clause = "RFC 7143 11.9.1"

    def reaction(self, event: int) -> Reaction:
        return _LIBISCSI_REACTIONS.get(event, Reaction.WAIT_AND_RECONNECT)


class LateAcknowledgement(Quirk):
    """Count no StatSN for Async and Reject, and one for each R2T: acknowledge late there, early here."""

    name = "libiscsi-expstatsn"
    clause = "RFC 7143 4.2.2.2"

    def advances_statsn(self, pdu: Pdu) -> bool:
        if pdu.opcode == Opcode.R2T:
            return True
        return pdu["ITT"] != NO_TAG and super().advances_statsn(pdu)

    def wrong_statsn(self, pdu: Pdu, expected: int) -> None:
        """Let pass what it has miscounted itself."""


class EmptyPlace(Quirk):
    """Leave the place of a rejected command empty, so that the target takes none that follow."""

    name = "libiscsi-reject"
    clause = "RFC 7143 7.3"

    def fills_place(self) -> bool:
        return False


class ShortPingLun(Quirk):
    """Copy two bytes of eight of the LUN when it answers a ping."""

    name = "libiscsi-ping-lun"
    clause = "RFC 7143 11.18.2"

    def ping_lun(self, lun: int) -> int:
        return lun & _FIRST_LEVEL


class UncheckedLoginKeys(Quirk):
    """Accept keys twice and values that were not offered in a Login Response."""

    name = "libiscsi-login-keys"
    clause = "RFC 7143 6.2.1"

    def repeated_key(self, key: str) -> None:
        """Let it pass."""

    def inadmissible_value(self, message: str) -> None:
        """Let it pass."""


class UncheckedTransit(Quirk):
    """Hold T, CSG and NSG of a Login Response against nothing."""

    name = "libiscsi-transit"
    clause = "RFC 7143 11.13.6"

    def wrong_transit(self, message: str) -> None:
        """Let it pass."""


class NoContinuation(Quirk):
    """Take a Login Response with C=1 for a whole one."""

    name = "libiscsi-c-bit"
    clause = "RFC 7143 6.2"

    def continues_response(self) -> bool:
        return False


class RepeatedOffers(Quirk):
    """Offer all operational keys again in each Login Request of the stage."""

    name = "libiscsi-offers"
    clause = "RFC 7143 6.3"

    def repeats_offers(self) -> bool:
        return True


class FewRounds(Quirk):
    """Give a login up after eleven requests."""

    name = "libiscsi-login-rounds"
    clause = "RFC 7143 6.3"

    def login_rounds(self) -> int:
        return _LIBISCSI_ROUNDS


class OwnReturn(Quirk):
    """Come back without heed of DefaultTime2Wait, but three seconds after the last return at the soonest."""

    name = "libiscsi-reconnect"
    clause = "RFC 7143 13.15"

    def reconnect_after(self, time2wait: float, *, told: bool) -> float:
        return time2wait if told else 0.0

    def reconnect_interval(self) -> float:
        return _LIBISCSI_INTERVAL


class NoTsih(Quirk):
    """Send a TSIH of 0 in every login, so that a session is reinstated and never a connection."""

    name = "open-iscsi-tsih"
    clause = "RFC 7143 11.12.6"

    def login_tsih(self, tsih: int) -> int:
        return 0


class AnyPortalGroup(Quirk):
    """Log in to another portal group than the one that was looked for."""

    name = "open-iscsi-tpgt"
    clause = "RFC 7143 13.9"

    def wrong_portal_group(self, expected: int, found: int) -> None:
        """Let it pass."""


_LIBISCSI: tuple[type[Quirk], ...] = (
    *(StatSNGaps, UncheckedDataSN, TrustedOffset, AcknowledgeIsAnError, StrayAnswers, AsyncEvents),
    *(LateAcknowledgement, EmptyPlace, ShortPingLun),
    *(UncheckedLoginKeys, UncheckedTransit, NoContinuation, RepeatedOffers, FewRounds, OwnReturn),
)
_OPEN_ISCSI: tuple[type[Quirk], ...] = (NoTsih, AnyPortalGroup)

#: Every quirk by its name.
QUIRKS: Mapping[str, type[Quirk]] = {quirk.name: quirk for quirk in (*_LIBISCSI, *_OPEN_ISCSI)}

#: Whole initiators: the names of their quirks.
PERSONALITIES: Mapping[str, tuple[str, ...]] = {
    "libiscsi-1.19": tuple(quirk.name for quirk in _LIBISCSI),
    "open-iscsi": tuple(quirk.name for quirk in _OPEN_ISCSI),
}
