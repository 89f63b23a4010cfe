"""The two counts of iSCSI: CmdSN of a session, StatSN of a connection (RFC 7143 4.2.2).

A number is None until it was seen. Both counts judge each number by what was seen before and give a complaint, or None;
both forgive: one wrong number does not make the right ones after it look wrong.
"""

from __future__ import annotations

from iscsiproxy.wire.serial import add, distance, le, lt

__all__ = ["CommandNumbers", "StatusNumbers"]

#: How many gaps in CmdSN are remembered at once. Below a forgotten one, repeated numbers are not told from late ones.
_MAX_HOLES = 64


class CommandNumbers:
    """CmdSN, ExpCmdSN and MaxCmdSN of one session.

    `next` is the CmdSN the initiator has to use next; `expected` and `maximum` are what it was told last.
    `single` holds as long as the session has had one connection only, so that commands must come in order.
    """

    __slots__ = ("_floor", "_holes", "expected", "maximum", "next", "single")

    def __init__(self) -> None:
        self.next: int | None = None
        self.expected: int | None = None
        self.maximum: int | None = None
        self.single = True
        self._holes: list[tuple[int, int]] = []  # first number of each gap, and the one behind its last
        self._floor: int | None = None  # of numbers below this one nobody knows whether they were used

    def __repr__(self) -> str:
        return f"<CommandNumbers next={self.next} expected={self.expected} maximum={self.maximum}>"

    @property
    def window(self) -> int | None:
        """How many more commands may be sent: MaxCmdSN - CmdSN + 1, never negative."""
        if self.next is None or self.maximum is None:
            return None
        return max(0, distance(self.next, self.maximum) + 1)

    def start(self, cmd_sn: int) -> None:
        """Begin with the CmdSN of a leading login, which the first command has again (RFC 7143 11.12.8)."""
        self.next = cmd_sn

    def forget(self) -> None:
        """Take every number as unknown: commands went by unseen."""
        self.next = self.expected = self.maximum = None
        self._floor = None
        self._holes.clear()

    def take(self, cmd_sn: int, *, again: bool) -> str | None:
        """Note the CmdSN of a non-immediate command. `again`: it was seen before with the same ITT (a retry)."""
        expected = self.next
        if expected is None:
            self._floor = expected = cmd_sn
        if cmd_sn == expected:
            self.next = (cmd_sn + 1) & 0xFFFFFFFF
            if self.maximum is not None and lt(self.maximum, cmd_sn):
                return f"CmdSN {cmd_sn:#x} is beyond MaxCmdSN {self.maximum:#x}"
            return None
        if self.maximum is not None and lt(self.maximum, cmd_sn) and not again:
            # The target ignores it; the count goes on without it.
            return f"CmdSN {cmd_sn:#x} is beyond MaxCmdSN {self.maximum:#x}"
        if lt(expected, cmd_sn):
            self._leave_out(expected, cmd_sn)
            self.next = add(cmd_sn, 1)
            return f"CmdSN {cmd_sn:#x} where {expected:#x} was next" if self.single else None
        if again or self._fill(cmd_sn) or (self._floor is not None and lt(cmd_sn, self._floor)):
            return None
        if self.expected is not None and lt(cmd_sn, self.expected):
            return f"CmdSN {cmd_sn:#x} is below ExpCmdSN {self.expected:#x}"
        return f"CmdSN {cmd_sn:#x} was used before"

    def reopen(self, cmd_sn: int) -> None:
        """Take a number as not used: its command was rejected, and counts as never received (RFC 7143 7.3)."""
        used = self.next is not None and lt(cmd_sn, self.next)
        if used and (self.expected is None or le(self.expected, cmd_sn)):
            self._leave_out(cmd_sn, add(cmd_sn, 1))

    def tell(self, expected: int, maximum: int) -> str | None:
        """Note ExpCmdSN and MaxCmdSN as an initiator does: neither ever goes back (RFC 7143 4.2.2.1)."""
        if lt(maximum, (expected - 1) & 0xFFFFFFFF):
            return f"MaxCmdSN {maximum:#x} is below ExpCmdSN {expected:#x} - 1"
        if self.maximum is None or lt(self.maximum, maximum):
            self.maximum = maximum
        if self.expected is None or lt(self.expected, expected):
            self.expected = expected
            self._holes = [hole for hole in self._holes if lt(expected, hole[1])]
        return None

    def _leave_out(self, first: int, behind: int) -> None:
        self._holes.append((first, behind))
        if len(self._holes) > _MAX_HOLES:
            self._floor = self._holes.pop(0)[1]

    def _fill(self, cmd_sn: int) -> bool:
        """Take a number out of the gap it lies in, if there is one."""
        for at, (first, behind) in enumerate(self._holes):
            if le(first, cmd_sn) and lt(cmd_sn, behind):
                parts = ((first, cmd_sn), (add(cmd_sn, 1), behind))
                self._holes[at : at + 1] = [part for part in parts if part[0] != part[1]]
                if len(self._holes) > _MAX_HOLES:
                    self._floor = self._holes.pop(0)[1]
                return True
        return False


class StatusNumbers:
    """StatSN of one connection: `next` is the one the target has to use next, `acked` the last ExpStatSN."""

    __slots__ = ("_otherwise", "acked", "next")

    def __init__(self) -> None:
        self.next: int | None = None
        self.acked: int | None = None
        self._otherwise: int | None = None  # the next number, if the last one was wrong and nothing was left out

    def __repr__(self) -> str:
        return f"<StatusNumbers next={self.next} acked={self.acked}>"

    def forget(self) -> None:
        """Take every number as unknown: PDUs went by unseen."""
        self.next = self.acked = self._otherwise = None

    def status(self, stat_sn: int, *, once: bool) -> str | None:
        """Note the StatSN of a PDU that advances it. `once`: nothing may be sent again (ErrorRecoveryLevel 0)."""
        expected = self.next
        if stat_sn == expected or expected is None or stat_sn == self._otherwise:
            self.next = (stat_sn + 1) & 0xFFFFFFFF
            self._otherwise = None
            return None
        if lt(expected, stat_sn):
            self.next, self._otherwise = add(stat_sn, 1), add(expected, 1)
            return f"StatSN {stat_sn:#x} where {expected:#x} was next"
        return f"StatSN {stat_sn:#x} was used before" if once else None

    def hint(self, stat_sn: int) -> None:
        """Note the StatSN of a PDU that only tells the next one (R2T, a target's own NOP-In)."""
        if self.next is None:
            self.next = stat_sn

    def ack(self, exp_stat_sn: int) -> None:
        """Note an initiator's ExpStatSN. It never goes back, and acknowledges at most one number in advance."""
        acked, following = self.acked, self.next
        if exp_stat_sn == acked or (acked is not None and lt(exp_stat_sn, acked)):
            return
        # One too many is common after an R2T; anything above cannot be meant as an acknowledgement.
        if following is None or le(exp_stat_sn, (following + 1) & 0xFFFFFFFF):
            self.acked = exp_stat_sn
