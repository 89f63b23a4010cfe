"""One PDU of every opcode, as field values and as bytes: the table that tests the codec in both directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["SAMPLES", "Sample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A PDU told twice: `values` are all of its fields but the lengths, `wire` is what goes over the wire."""

    opcode: int
    values: Mapping[str, int | bytes]
    wire: bytes
    ahs: bytes = b""
    data: bytes = b""

    @property
    def built(self) -> Pdu:
        """The PDU, made from field values."""
        return Pdu.build(self.opcode, self.data, self.ahs, **self.values)


def _sample(
    opcode: int,
    wire: str,
    *,
    ahs: bytes = b"",
    data: bytes = b"",
    hyphened: Mapping[str, int] = MappingProxyType({}),
    **values: int | bytes,
) -> Sample:
    return Sample(opcode=opcode, values={**hyphened, **values}, wire=bytes.fromhex(wire), ahs=ahs, data=data)


#: Every row of four words is 16 bytes of the header; what follows the third is AHS, data and padding.
SAMPLES: tuple[Sample, ...] = (
    _sample(
        Opcode.NOP_OUT,
        """
        40800000 00000005 00010000 00000000
        01020304 a1a2a3a4 11121314 21222324
        00000000 00000000 00000000 00000000
        70696e67 21000000
        """,
        I=1,
        F=1,
        LUN=0x0001_0000_0000_0000,
        ITT=0x01020304,
        TTT=0xA1A2A3A4,
        CmdSN=0x11121314,
        ExpStatSN=0x21222324,
        data=b"ping!",
    ),
    _sample(
        Opcode.SCSI_COMMAND,
        """
        01e1a000 07000004 00020000 00000000
        01020304 00001000 11121314 21222324
        7f000000 00000018 000b0000 00000000
        00110100 01234567 01234567 00000000 00000008
        00050200 00000400
        dededede
        """,
        I=0,
        F=1,
        R=1,
        W=1,
        ATTR=1,
        PRI=10,
        LUN=0x0002_0000_0000_0000,
        ITT=0x01020304,
        EDTL=4096,
        CmdSN=0x11121314,
        ExpStatSN=0x21222324,
        CDB=bytes.fromhex("7f00000000000018000b000000000000"),
        ahs=bytes.fromhex("00110100 01234567 01234567 00000000 00000008 00050200 00000400"),
        data=b"\xde\xde\xde\xde",
    ),
    _sample(
        Opcode.TMF_REQUEST,
        """
        42810000 00000000 00010000 00000000
        01020304 0a0b0c0d 11121314 21222324
        31323334 41424344 00000000 00000000
        """,
        I=1,
        F=1,
        Function=1,
        LUN=0x0001_0000_0000_0000,
        ITT=0x01020304,
        RefTaskTag=0x0A0B0C0D,
        CmdSN=0x11121314,
        ExpStatSN=0x21222324,
        RefCmdSN=0x31323334,
        ExpDataSN=0x41424344,
    ),
    _sample(
        Opcode.LOGIN_REQUEST,
        """
        43870102 00000012 80010203 04050607
        01020304 00090000 11121314 21222324
        00000000 00000000 00000000 00000000
        53657373 696f6e54 7970653d 4e6f726d 616c0000
        """,
        I=1,
        T=1,
        C=0,
        CSG=1,
        NSG=3,
        hyphened={"Version-max": 1, "Version-min": 2},
        ISID=0x800102030405,
        TSIH=0x0607,
        ITT=0x01020304,
        CID=9,
        CmdSN=0x11121314,
        ExpStatSN=0x21222324,
        data=b"SessionType=Normal",
    ),
    _sample(
        Opcode.TEXT_REQUEST,
        """
        44400000 00000010 00010000 00000000
        01020304 a1a2a3a4 11121314 21222324
        00000000 00000000 00000000 00000000
        53656e64 54617267 6574733d 416c6c00
        """,
        I=1,
        F=0,
        C=1,
        LUN=0x0001_0000_0000_0000,
        ITT=0x01020304,
        TTT=0xA1A2A3A4,
        CmdSN=0x11121314,
        ExpStatSN=0x21222324,
        data=b"SendTargets=All\0",
    ),
    _sample(
        Opcode.DATA_OUT,
        """
        05800000 00000003 00010000 00000000
        01020304 a1a2a3a4 00000000 21222324
        00000000 31323334 41424344 00000000
        61626300
        """,
        F=1,
        LUN=0x0001_0000_0000_0000,
        ITT=0x01020304,
        TTT=0xA1A2A3A4,
        ExpStatSN=0x21222324,
        DataSN=0x31323334,
        BufferOffset=0x41424344,
        data=b"abc",
    ),
    _sample(
        Opcode.LOGOUT_REQUEST,
        """
        46810000 00000000 00000000 00000000
        01020304 77770000 11121314 21222324
        00000000 00000000 00000000 00000000
        """,
        I=1,
        F=1,
        ReasonCode=1,
        ITT=0x01020304,
        CID=0x7777,
        CmdSN=0x11121314,
        ExpStatSN=0x21222324,
    ),
    _sample(
        Opcode.SNACK,
        """
        10820000 00000000 00010000 00000000
        01020304 a1a2a3a4 00000000 21222324
        00000000 00000000 31323334 41424344
        """,
        F=1,
        Type=2,
        LUN=0x0001_0000_0000_0000,
        ITT=0x01020304,
        TTT=0xA1A2A3A4,
        ExpStatSN=0x21222324,
        BegRun=0x31323334,
        RunLength=0x41424344,
    ),
    _sample(
        Opcode.NOP_IN,
        """
        20800000 00000000 00000000 00000000
        ffffffff ffffffff 00000005 0000000a
        00000089 00000000 00000000 00000000
        """,
        F=1,
        LUN=0,
        ITT=0xFFFFFFFF,
        TTT=0xFFFFFFFF,
        StatSN=5,
        ExpCmdSN=10,
        MaxCmdSN=0x89,
    ),
    _sample(
        Opcode.SCSI_RESPONSE,
        """
        219e0102 00000014 0e0f0000 00000000
        01020304 a1a2a3a4 11121314 21222324
        31323334 41424344 51525354 61626364
        00127000 0b000000 000a0000 00000c0d 00000000
        """,
        F=1,
        o=1,
        u=1,
        O=1,
        U=1,
        Response=1,
        Status=2,
        StatusQualifier=0x0E0F,
        ITT=0x01020304,
        SNACKTag=0xA1A2A3A4,
        StatSN=0x11121314,
        ExpCmdSN=0x21222324,
        MaxCmdSN=0x31323334,
        ExpDataSN=0x41424344,
        BidirectionalReadResidualCount=0x51525354,
        ResidualCount=0x61626364,
        data=bytes.fromhex("001270000b000000000a000000000c0d00000000"),
    ),
    _sample(
        Opcode.TMF_RESPONSE,
        """
        2280ff00 00000000 0d0e0f00 00000000
        01020304 00000000 11121314 21222324
        31323334 00000000 00000000 00000000
        """,
        F=1,
        Response=255,
        AdditionalResponseInformation=0x0D0E0F,
        ITT=0x01020304,
        StatSN=0x11121314,
        ExpCmdSN=0x21222324,
        MaxCmdSN=0x31323334,
    ),
    _sample(
        Opcode.LOGIN_RESPONSE,
        """
        23440102 00000017 80010203 04050607
        01020304 00000000 11121314 21222324
        31323334 020a0000 00000000 00000000
        54617267 6574506f 7274616c 47726f75 70546167 3d310000
        """,
        T=0,
        C=1,
        CSG=1,
        NSG=0,
        hyphened={"Version-max": 1, "Version-active": 2, "Status-Class": 2, "Status-Detail": 10},
        ISID=0x800102030405,
        TSIH=0x0607,
        ITT=0x01020304,
        StatSN=0x11121314,
        ExpCmdSN=0x21222324,
        MaxCmdSN=0x31323334,
        data=b"TargetPortalGroupTag=1\0",
    ),
    _sample(
        Opcode.TEXT_RESPONSE,
        """
        24c00000 00000000 00010000 00000000
        01020304 a1a2a3a4 11121314 21222324
        31323334 00000000 00000000 00000000
        """,
        F=1,
        C=1,
        LUN=0x0001_0000_0000_0000,
        ITT=0x01020304,
        TTT=0xA1A2A3A4,
        StatSN=0x11121314,
        ExpCmdSN=0x21222324,
        MaxCmdSN=0x31323334,
    ),
    _sample(
        Opcode.DATA_IN,
        """
        25c50004 00000001 00010000 00000000
        01020304 a1a2a3a4 11121314 21222324
        31323334 41424344 51525354 61626364
        ff000000
        """,
        F=1,
        A=1,
        O=1,
        U=0,
        S=1,
        Status=4,
        LUN=0x0001_0000_0000_0000,
        ITT=0x01020304,
        TTT=0xA1A2A3A4,
        StatSN=0x11121314,
        ExpCmdSN=0x21222324,
        MaxCmdSN=0x31323334,
        DataSN=0x41424344,
        BufferOffset=0x51525354,
        ResidualCount=0x61626364,
        data=b"\xff",
    ),
    _sample(
        Opcode.LOGOUT_RESPONSE,
        """
        26800300 00000000 00000000 00000000
        01020304 00000000 11121314 21222324
        31323334 00000000 00020014 00000000
        """,
        F=1,
        Response=3,
        ITT=0x01020304,
        StatSN=0x11121314,
        ExpCmdSN=0x21222324,
        MaxCmdSN=0x31323334,
        Time2Wait=2,
        Time2Retain=20,
    ),
    _sample(
        Opcode.R2T,
        """
        31800000 00000000 00010000 00000000
        01020304 a1a2a3a4 11121314 21222324
        31323334 41424344 51525354 61626364
        """,
        F=1,
        LUN=0x0001_0000_0000_0000,
        ITT=0x01020304,
        TTT=0xA1A2A3A4,
        StatSN=0x11121314,
        ExpCmdSN=0x21222324,
        MaxCmdSN=0x31323334,
        R2TSN=0x41424344,
        BufferOffset=0x51525354,
        DesiredDataTransferLength=0x61626364,
    ),
    _sample(
        Opcode.ASYNC,
        """
        32800000 00000000 00010000 00000000
        ffffffff 00000000 11121314 21222324
        31323334 02000007 00030014 00000000
        """,
        F=1,
        LUN=0x0001_0000_0000_0000,
        ITT=0xFFFFFFFF,
        StatSN=0x11121314,
        ExpCmdSN=0x21222324,
        MaxCmdSN=0x31323334,
        AsyncEvent=2,
        AsyncVCode=0,
        Parameter1=7,
        Parameter2=3,
        Parameter3=20,
    ),
    _sample(
        Opcode.REJECT,
        """
        3f800900 00000030 00000000 00000000
        ffffffff 00000000 11121314 21222324
        31323334 41424344 00000000 00000000
        42810000 00000000 00010000 00000000
        01020304 0a0b0c0d 11121314 21222324
        31323334 00000000 00000000 00000000
        """,
        F=1,
        Reason=9,
        ITT=0xFFFFFFFF,
        StatSN=0x11121314,
        ExpCmdSN=0x21222324,
        MaxCmdSN=0x31323334,
        DataSN=0x41424344,
        data=bytes.fromhex(
            """
            42810000 00000000 00010000 00000000 01020304 0a0b0c0d 11121314 21222324
            31323334 00000000 00000000 00000000
            """
        ),
    ),
    _sample(
        0x1C,
        """
        5c800000 00000000 000a0000 00000000
        01020304 00000000 00000000 00000000
        00000000 00000000 00000000 00000000
        """,
        I=1,
        F=1,
        LUN=0x000A_0000_0000_0000,
        ITT=0x01020304,
    ),
)
