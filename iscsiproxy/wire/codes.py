"""The code tables of RFC 7143: what the numbers in code fields mean.

A table is open: a value it does not know prints as hexadecimal and is kept as it came. Names are the RFC's in capitals
with `_` for spaces, as users write them in scenario files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

__all__ = [
    "ASYNC_EVENT",
    "ATTR",
    "LOGIN_STATUS",
    "LOGOUT_REASON",
    "LOGOUT_RESPONSE",
    "REJECT_REASON",
    "SCSI_RESPONSE",
    "SCSI_STATUS",
    "SNACK_TYPE",
    "STAGE",
    "TMF_FUNCTION",
    "TMF_RESPONSE",
    "CodeTable",
]


class CodeTable(Mapping[int, str]):
    """The names of one code field; immutable. Reads both ways: `table[8]` is `BUSY`, `table.value("BUSY")` is 8."""

    def __init__(self, field: str, section: str, names: Mapping[int, str], *, digits: int = 2) -> None:
        self.field = field
        self.section = section
        self._names = dict(names)
        self._values = {name: value for value, name in names.items()}
        self._digits = digits

    def __getitem__(self, value: int) -> str:
        return self._names[value]

    def __iter__(self) -> Iterator[int]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<CodeTable {self.field} of {len(self._names)} codes>"

    def value(self, name: str) -> int | None:
        """Give the number that `name` stands for, or None."""
        return self._values.get(name)

    def text(self, value: int) -> str:
        """Name `value`; an unknown one is its hexadecimal number."""
        return self._names.get(value) or f"0x{value:0{self._digits}x}"


#: SCSI Command, task attributes (RFC 7143 11.3.1)
ATTR = CodeTable(
    "ATTR", "RFC 7143 11.3.1", {0: "UNTAGGED", 1: "SIMPLE", 2: "ORDERED", 3: "HEAD_OF_QUEUE", 4: "ACA"}, digits=1
)
#: SCSI Response, Response (RFC 7143 11.4.3)
SCSI_RESPONSE = CodeTable("Response", "RFC 7143 11.4.3", {0: "COMMAND_COMPLETED_AT_TARGET", 1: "TARGET_FAILURE"})
#: SCSI Response and Data-In, Status (RFC 7143 11.4.2, SAM)
SCSI_STATUS = CodeTable(
    "Status",
    "RFC 7143 11.4.2",
    {
        0x00: "GOOD",
        0x02: "CHECK_CONDITION",
        0x04: "CONDITION_MET",
        0x08: "BUSY",
        0x10: "INTERMEDIATE",
        0x14: "INTERMEDIATE_CONDITION_MET",
        0x18: "RESERVATION_CONFLICT",
        0x28: "TASK_SET_FULL",
        0x30: "ACA_ACTIVE",
        0x40: "TASK_ABORTED",
    },
)
#: Task Management Function Request, Function (RFC 7143 11.5.1, RFC 7144 6.3)
TMF_FUNCTION = CodeTable(
    "Function",
    "RFC 7143 11.5.1",
    {
        1: "ABORT_TASK",
        2: "ABORT_TASK_SET",
        3: "CLEAR_ACA",
        4: "CLEAR_TASK_SET",
        5: "LUN_RESET",
        6: "TARGET_WARM_RESET",
        7: "TARGET_COLD_RESET",
        8: "TASK_REASSIGN",
        9: "QUERY_TASK",
        10: "QUERY_TASK_SET",
        11: "I_T_NEXUS_RESET",
        12: "QUERY_ASYNC_EVENT",
    },
)
#: Task Management Function Response, Response (RFC 7143 11.6.1, RFC 7144 6.3)
TMF_RESPONSE = CodeTable(
    "Response",
    "RFC 7143 11.6.1",
    {
        0: "FUNCTION_COMPLETE",
        1: "TASK_DOES_NOT_EXIST",
        2: "LUN_DOES_NOT_EXIST",
        3: "TASK_STILL_ALLEGIANT",
        4: "TASK_ALLEGIANCE_REASSIGNMENT_NOT_SUPPORTED",
        5: "FUNCTION_NOT_SUPPORTED",
        6: "FUNCTION_AUTHORIZATION_FAILED",
        7: "FUNCTION_SUCCEEDED",
        255: "FUNCTION_REJECTED",
    },
)
#: Login stages, CSG and NSG (RFC 7143 11.12.3)
STAGE = CodeTable(
    "CSG", "RFC 7143 11.12.3", {0: "SecurityNegotiation", 1: "LoginOperationalNegotiation", 3: "FullFeaturePhase"},
    digits=1,
)  # fmt: skip
#: Login Response, Status-Class in the high byte and Status-Detail in the low one (RFC 7143 11.13.5)
LOGIN_STATUS = CodeTable(
    "Status",
    "RFC 7143 11.13.5",
    {
        0x0000: "SUCCESS",
        0x0101: "TARGET_MOVED_TEMPORARILY",
        0x0102: "TARGET_MOVED_PERMANENTLY",
        0x0200: "INITIATOR_ERROR",
        0x0201: "AUTHENTICATION_FAILURE",
        0x0202: "AUTHORIZATION_FAILURE",
        0x0203: "NOT_FOUND",
        0x0204: "TARGET_REMOVED",
        0x0205: "UNSUPPORTED_VERSION",
        0x0206: "TOO_MANY_CONNECTIONS",
        0x0207: "MISSING_PARAMETER",
        0x0208: "CANNOT_INCLUDE_IN_SESSION",
        0x0209: "SESSION_TYPE_NOT_SUPPORTED",
        0x020A: "SESSION_DOES_NOT_EXIST",
        0x020B: "INVALID_DURING_LOGIN",
        0x0300: "TARGET_ERROR",
        0x0301: "SERVICE_UNAVAILABLE",
        0x0302: "OUT_OF_RESOURCES",
    },
    digits=4,
)
#: Logout Request, Reason Code (RFC 7143 11.14.1)
LOGOUT_REASON = CodeTable(
    "ReasonCode",
    "RFC 7143 11.14.1",
    {0: "CLOSE_SESSION", 1: "CLOSE_CONNECTION", 2: "REMOVE_CONNECTION_FOR_RECOVERY"},
)
#: Logout Response, Response (RFC 7143 11.15.1)
LOGOUT_RESPONSE = CodeTable(
    "Response",
    "RFC 7143 11.15.1",
    {0: "CLOSED_SUCCESSFULLY", 1: "CID_NOT_FOUND", 2: "CONNECTION_RECOVERY_NOT_SUPPORTED", 3: "CLEANUP_FAILED"},
)
#: Asynchronous Message, AsyncEvent (RFC 7143 11.9.1)
ASYNC_EVENT = CodeTable(
    "AsyncEvent",
    "RFC 7143 11.9.1",
    {
        0: "SCSI_ASYNC_EVENT",
        1: "LOGOUT_REQUEST",
        2: "CONNECTION_DROP",
        3: "SESSION_DROP",
        4: "NEGOTIATION_REQUEST",
        5: "TASK_TERMINATION",
        255: "VENDOR_SPECIFIC",
    },
)
#: SNACK Request, Type (RFC 7143 11.16.1)
SNACK_TYPE = CodeTable("Type", "RFC 7143 11.16.1", {0: "DATA_R2T", 1: "STATUS", 2: "DATA_ACK", 3: "R_DATA"}, digits=1)
#: Reject, Reason (RFC 7143 11.17.1; 0x0b is RFC 3720 10.17.1 only)
REJECT_REASON = CodeTable(
    "Reason",
    "RFC 7143 11.17.1",
    {
        0x01: "RESERVED",
        0x02: "DATA_DIGEST_ERROR",
        0x03: "SNACK_REJECT",
        0x04: "PROTOCOL_ERROR",
        0x05: "COMMAND_NOT_SUPPORTED",
        0x06: "IMMEDIATE_COMMAND_REJECT",
        0x07: "TASK_IN_PROGRESS",
        0x08: "INVALID_DATA_ACK",
        0x09: "INVALID_PDU_FIELD",
        0x0A: "LONG_OPERATION_REJECT",
        0x0B: "NEGOTIATION_RESET",
        0x0C: "WAITING_FOR_LOGOUT",
    },
)
