"""The decisions of a target that somebody is known to get wrong, each as the standard wants it.

The core asks `conduct` where RFC 7143 leaves it no choice but other targets have taken one. A quirk is a subclass that
overrides one method, or a few that belong to one deviation; `with_quirks` stacks them. So the conforming path has no
branch that deviates, and a deviation has no more code than what it does.

To close the connection a method raises `Disconnect`.
"""

from __future__ import annotations

from collections.abc import Iterable

from iscsiproxy.wire.sense import SenseCode

__all__ = ["INCORRECT_AMOUNT", "UNEXPECTED_UNSOLICITED", "Conduct", "Disconnect", "with_quirks"]

#: Unexpected unsolicited data and incorrect amount of data (RFC 7143 11.4.7.2)
UNEXPECTED_UNSOLICITED = SenseCode(0xB, 0x0C, 0x0C)
INCORRECT_AMOUNT = SenseCode(0xB, 0x0C, 0x0D)


class Disconnect(Exception):  # noqa: N818 -- an order, not an error
    """Close this connection without another word."""


class Conduct:
    """What the standard wants. Sequence numbers are 32-bit, lengths bytes."""

    # --- login ----------------------------------------------------------------------------------------------------

    def partial_tsih(self, requested: int, future: int) -> int:
        """Give the TSIH of a Login Response that is not the final one (RFC 7143 11.13.3).

        `requested` is what the request carried, `future` what the session will have.
        """
        return requested

    def accepts_repeated_key(self, key: str) -> bool:
        """Tell whether a key may be declared or negotiated again (RFC 7143 6.3: login reject, 0200)."""
        return False

    def accepts_not_understood(self, key: str) -> bool:
        """Tell whether `key=NotUnderstood` is fine as an answer to a mandatory key (RFC 7143 6.2: it is not)."""
        return False

    def answers_unknown_key(self, key: str, *, continued: bool) -> bool:
        """Tell whether an unknown key is answered with NotUnderstood (RFC 7143 6.2: always).

        `continued` tells that the text came in several PDUs with the C bit.
        """
        return True

    # --- Text in full feature phase -------------------------------------------------------------------------------

    def on_text(self, keys: Iterable[str], *, final: bool, continues: bool, discovery: bool) -> None:
        """Take note of a Text Request before it is looked at: its keys as far as they are there, F and C."""

    def on_send_targets(self, value: str, *, discovery: bool) -> None:
        """Take note of a SendTargets request before it is answered (RFC 7143 appendix C)."""

    def text_tag(self, tag: int, *, discovery: bool) -> int:
        """Give the Target Transfer Tag of a Text Response with F=0 (RFC 7143 11.11.4: a valid one)."""
        return tag

    # --- write data -----------------------------------------------------------------------------------------------

    def excess_immediate(self, length: int, limit: int) -> SenseCode | None:
        """Judge immediate data longer than FirstBurstLength allows (RFC 7143 4.2.5.2); None takes the data."""
        return UNEXPECTED_UNSOLICITED

    def unexpected_unsolicited(self) -> SenseCode | None:
        """Judge unsolicited data that the negotiation forbids (RFC 7143 13.10, 13.11); None takes the data."""
        return UNEXPECTED_UNSOLICITED

    def wrong_unsolicited(self, received: int, due: int) -> SenseCode | None:
        """Judge an unsolicited burst of another length than it has to have (RFC 7143 11.4.7.2).

        None takes what came as all the data there is.
        """
        return INCORRECT_AMOUNT

    def wrong_sequence(self, received: int, desired: int) -> SenseCode | None:
        """Judge an answer to an R2T that ends short or goes beyond it (RFC 7143 11.4.7.2); None takes what came."""
        return INCORRECT_AMOUNT

    def broken_sequence(self) -> SenseCode | None:
        """Judge a Data-Out whose DataSN or Buffer Offset shows that one is missing (RFC 7143 7.9, 11.7.5).

        None takes what is missing as if it had come.
        """
        return INCORRECT_AMOUNT

    # --- commands and task management -----------------------------------------------------------------------------

    def queues_ahead(self) -> bool:
        """Tell whether a command inside the window but ahead of ExpCmdSN waits for its turn (RFC 7143 4.2.2.1)."""
        return True

    def duplicate_kills_original(self) -> bool:
        """Tell whether a duplicate CmdSN harms the command that had it first (RFC 7143 4.2.2.1: silently ignored)."""
        return False

    def missing_task_response(self, *, inside_window: bool) -> int:
        """Answer ABORT TASK for a task that is not there (RFC 7143 11.6.1 b, c).

        `inside_window` tells that RefCmdSN is one that the command may still come with.
        """
        return 0 if inside_window else 1

    # --- logout, SNACK --------------------------------------------------------------------------------------------

    def accepts_discovery_logout(self, reason: int) -> bool:
        """Tell whether a discovery session may end with this logout reason (RFC 7143 4.3: only with 0)."""
        return reason == 0

    def unknown_cid_response(self) -> int:
        """Answer a Logout that names a connection which is not there (RFC 7143 11.15.1)."""
        return 1

    def reject_advances(self, opcode: int) -> bool:
        """Tell whether a Reject of this opcode takes a StatSN (RFC 7143 11.17.3: every one does)."""
        return True


def with_quirks(quirks: Iterable[type[Conduct]]) -> Conduct:
    """Make a conduct that deviates as each of the quirks says, and nowhere else."""
    conduct: Conduct = type("Conduct", (*dict.fromkeys(quirks), Conduct), {})()
    return conduct
