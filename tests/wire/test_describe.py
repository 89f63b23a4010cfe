from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iscsiproxy.wire.ahs import Ahs
from iscsiproxy.wire.describe import HIDDEN, field_text, full, hexdump, summary
from iscsiproxy.wire.fields import NO_TAG, fields_of
from iscsiproxy.wire.opcodes import LABELS, Opcode
from iscsiproxy.wire.pdu import Pdu
from tests.wire.samples import SAMPLES

__all__: list[str] = []

ANSWER = b"0x00112233445566778899aabbccddeeff"

SUMMARIES = """\
NOP-Out ITT=0x01020304 TTT=0xa1a2a3a4 LUN=1 CmdSN=286397204 ExpStatSN=555885348 I data=5
SCSI-Command ITT=0x01020304 LUN=2 CmdSN=286397204 R W F WRITE(32) LBA=19088743 blocks=8 \
AHS=ExtendedCDB,BidirectionalReadEDTL data=4
TMF-Request ITT=0x01020304 LUN=1 CmdSN=286397204 Function=ABORT_TASK RefTaskTag=0x0a0b0c0d RefCmdSN=825373492 I
Login-Request ITT=0x01020304 CmdSN=286397204 ISID=0x800102030405 TSIH=0x0607 CID=0x0009 \
CSG=LoginOperationalNegotiation NSG=FullFeaturePhase T keys=SessionType data=18
Text-Request ITT=0x01020304 TTT=0xa1a2a3a4 LUN=1 CmdSN=286397204 I C keys=SendTargets data=16
Data-Out ITT=0x01020304 TTT=0xa1a2a3a4 LUN=1 DataSN=825373492 BufferOffset=1094861636 F data=3
Logout-Request ITT=0x01020304 CmdSN=286397204 ReasonCode=CLOSE_CONNECTION CID=0x7777 I
SNACK ITT=0x01020304 TTT=0xa1a2a3a4 LUN=1 Type=DATA_ACK BegRun=825373492 RunLength=1094861636
NOP-In ITT=none StatSN=5
SCSI-Response ITT=0x01020304 StatSN=286397204 Response=TARGET_FAILURE Status=CHECK_CONDITION \
ResidualCount=1633837924 BidirectionalReadResidualCount=1364349780 O U o u sense=B/0C/0D data=20
TMF-Response ITT=0x01020304 StatSN=286397204 Response=FUNCTION_REJECTED
Login-Response ITT=0x01020304 StatSN=286397204 ISID=0x800102030405 TSIH=0x0607 CSG=LoginOperationalNegotiation \
Status=SESSION_DOES_NOT_EXIST C keys=TargetPortalGroupTag data=23
Text-Response ITT=0x01020304 TTT=0xa1a2a3a4 LUN=1 StatSN=286397204 C F
Data-In ITT=0x01020304 TTT=0xa1a2a3a4 StatSN=286397204 Status=CONDITION_MET DataSN=1094861636 \
BufferOffset=1364349780 ResidualCount=1633837924 A S O F data=1
Logout-Response ITT=0x01020304 StatSN=286397204 Response=CLEANUP_FAILED
R2T ITT=0x01020304 TTT=0xa1a2a3a4 LUN=1 R2TSN=1094861636 BufferOffset=1364349780 \
DesiredDataTransferLength=1633837924
Async StatSN=286397204 LUN=1 AsyncEvent=CONNECTION_DROP Parameter1=7 Parameter2=3 Parameter3=20
Reject StatSN=286397204 Reason=INVALID_PDU_FIELD of=TMF-Request ITT=0x01020304 data=48
Opcode-0x1c ITT=0x01020304 LUN=10 I F
""".splitlines()


def values(pdu: Pdu) -> dict[str, str]:
    """Read a listing as name and value; of names that come twice, the first."""
    found: dict[str, str] = {}
    for line in full(pdu):
        found.setdefault(line[:36].strip(), line[36:])
    return found


@pytest.mark.parametrize(("pdu", "line"), [(s.built, line) for s, line in zip(SAMPLES, SUMMARIES, strict=True)])
def test_one_line_for_every_pdu(pdu: Pdu, line: str) -> None:
    assert summary(pdu) == line
    assert summary(pdu.sealed(header=True, data=True)) == line


@pytest.mark.parametrize(
    ("pdu", "line"),
    [
        (
            Pdu.build(1, b"x" * 512, ITT=3, CmdSN=5, F=1, W=1, EDTL=512, CDB=bytes.fromhex("2a000000000000000100")),
            "SCSI-Command ITT=0x00000003 CmdSN=5 W F WRITE(10) LBA=0 blocks=1 data=512",
        ),
        (
            Pdu.build(1, F=1, CDB=b"\x7f").with_ahs(b"\xff" * 8),
            "SCSI-Command ITT=0x00000000 CmdSN=0 F CDB-0x7f/0x0000 AHS=?",
        ),
        (
            Pdu.build(1, F=1, CDB=bytes.fromhex("7f00000000000018000b")),
            "SCSI-Command ITT=0x00000000 CmdSN=0 F CDB=7f00000000000018000b000000000000",
        ),
        (Pdu.build(0x25, b"abcd", F=0, ITT=7), "Data-In ITT=0x00000007 TTT=0x00000000 DataSN=0 BufferOffset=0 data=4"),
        (Pdu.build(0x31, ITT=7, TTT=9, F=0).with_fields({"DesiredDataTransferLength": 5}),
         "R2T ITT=0x00000007 TTT=0x00000009 R2TSN=0 BufferOffset=0 DesiredDataTransferLength=5 F=0"),
        (Pdu.build(0x21, b"\0\5x", F=1, Status=0x55),
         "SCSI-Response ITT=0x00000000 StatSN=0 Status=0x55 sense=? data=3"),
        (Pdu.build(0x21, b"\0\0", F=1), "SCSI-Response ITT=0x00000000 StatSN=0 Status=GOOD data=2"),
        (Pdu.build(0x3F, b"short", F=1, Reason=4), "Reject StatSN=0 Reason=PROTOCOL_ERROR of=? data=5"),
        (
            Pdu.build(0x24, b"".join(b"K%d=1\0" % n for n in range(9)), F=1, TTT=0xFFFFFFFF),
            "Text-Response ITT=0x00000000 StatSN=0 F keys=K0,K1,K2,K3,K4,K5,K6,K7,... data=45",
        ),
        (
            Pdu.build(0x20, F=1, ITT=1, TTT=0xFFFFFFFF).with_fields({"DataSegmentLength": 9}),
            "NOP-In ITT=0x00000001 StatSN=0 data=0 DataSegmentLength=9",
        ),
        (
            Pdu.build(0x20, b"ping", F=1, TTT=0xFFFFFFFF).with_parts(header_digest=b"1234", data_digest=b"5678"),
            "NOP-In ITT=0x00000000 StatSN=0 data=4 header-digest=wrong data-digest=wrong",
        ),
    ],
)  # fmt: skip
def test_one_line_for_odd_pdus(pdu: Pdu, line: str) -> None:
    assert summary(pdu) == line


def test_a_listing_in_full() -> None:
    pdu = Pdu.build(
        Opcode.SCSI_COMMAND,
        b"hello",
        F=1,
        R=1,
        W=1,
        ATTR=1,
        LUN=0x4005_0000_0000_0000,
        ITT=0xFFFFFFFF,
        EDTL=5,
        CmdSN=7,
        ExpStatSN=8,
        CDB=bytes.fromhex("53000000000000000100"),
        ahs=Ahs.for_read_edtl(512).raw,
    )
    pdu = pdu.with_bhs(pdu.bhs[:3] + b"\x81" + pdu.bhs[4:]).sealed(header=True, data=True).with_parts(pad=b"abc")
    assert full(pdu) == (
        "SCSI-Command from initiator, 72 bytes",
        "  I                                 0",
        "  Opcode                            0x01 SCSI-Command",
        "  F                                 1",
        "  R                                 1",
        "  W                                 1",
        "  ATTR                              1 SIMPLE",
        "  PRI                               0",
        "  TotalAHSLength                    2",
        "  DataSegmentLength                 5",
        "  LUN                               0x4005000000000000",
        "  ITT                               0xffffffff (none)",
        "  EDTL                              5",
        "  CmdSN                             7",
        "  ExpStatSN                         8",
        "  CDB                               53 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00",
        "  command                           XDWRITEREAD(10) LBA=0 blocks=1",
        "  reserved bits set                 BHS.3.0 BHS.3.7",
        "  AHS                               BidirectionalReadEDTL length=512 00 05 02 00 00 00 02 00",
        f"  header digest                     {pdu.header_digest.hex(' ')} right",
        "  data                              5 bytes",
        "    000000  68 65 6c 6c 6f                                   hello",
        "  pad                               61 62 63",
        f"  data digest                       {pdu.data_digest.hex(' ')} wrong, expected "
        + pdu.sealed(header=False, data=True).data_digest.hex(" "),
    )


def test_text_and_login_status() -> None:
    pdu = Pdu.build(Opcode.LOGIN_RESPONSE, b"TargetAlias=Gr\xc3\xbc\xc3\x9fe\x1b[1m\xff\0\0bad\0SessionType=N")
    lines = full(pdu.with_fields({"Status-Class": 2, "Status-Detail": 7, "CSG": 1}))
    assert "  Status                            0x0207 MISSING_PARAMETER" in lines
    at = lines.index("  text")
    assert lines[at + 1 : at + 5] == (
        "    TargetAlias=Gr\u00fc\u00dfe\\x1b[1m\\xff",
        "    (empty pair)",
        "    bad",
        "    SessionType=N (without its NUL)",
    )


def test_sense() -> None:
    good = next(sample.built for sample in SAMPLES if sample.opcode == Opcode.SCSI_RESPONSE)
    assert values(good)["sense"] == "B/0C/0D ABORTED_COMMAND, write error, not enough unsolicited data"
    assert values(good.with_data(b"\0\0"))["sense"] == "none"
    assert values(good.with_data(b"\0\1"))["sense"].startswith("? (SenseLength 1: expected")
    assert "sense" not in values(good.with_data(b""))


def test_the_header_inside_a_reject() -> None:
    reject = next(sample.built for sample in SAMPLES if sample.opcode == Opcode.REJECT)
    lines = full(reject)
    at = lines.index("  rejected header                   TMF-Request")
    assert "    Function                        1 ABORT_TASK" in lines[at:]
    assert values(reject.with_data(b"short"))["rejected header"] == "? (expected 48 bytes, got 5)"


def test_what_cannot_be_read_is_said() -> None:
    command = Pdu.build(Opcode.SCSI_COMMAND, CDB=bytes.fromhex("7f00000000000018000b"), ahs=b"\xff" * 4)
    assert values(command)["command"] == "? (WRITE(32): expected 32 bytes of CDB, got 16)"
    assert values(command)["AHS"] == "? (length does not fit) ff ff ff ff"
    header = Pdu.build(Opcode.DATA_IN, b"abcd").with_bhs(Pdu.build(Opcode.DATA_IN, bytes(8)).bhs)
    assert values(header)["data"] == "4 bytes, but DataSegmentLength is 8"
    assert values(header)["header digest"] == "none"


def test_data_is_bounded() -> None:
    pdu = Pdu.build(Opcode.DATA_IN, bytes(1000))
    assert [len([line for line in full(pdu, data_limit=limit) if "00 00 00" in line]) for limit in (None, 256, 0)] == [
        63,
        16,
        0,
    ]
    assert "    ... 744 more bytes" in full(pdu)


def test_hexdump() -> None:
    assert hexdump(b"") == ()
    assert hexdump(bytes(range(0x3A, 0x4C)), limit=17) == (
        "000000  3a 3b 3c 3d 3e 3f 40 41 42 43 44 45 46 47 48 49  :;<=>?@ABCDEFGHI",
        "000010  4a                                               J",
        "... 1 more bytes",
    )


@pytest.mark.parametrize(
    ("opcode", "name", "value", "text"),
    [
        (Opcode.SCSI_COMMAND, "LUN", 0x00FF_0000_0000_0000, "255"),
        (Opcode.SCSI_COMMAND, "LUN", 5, "0x0000000000000005"),
        (Opcode.SCSI_COMMAND, "ITT", 0xFFFFFFFF, "none"),
        (Opcode.SCSI_COMMAND, "ATTR", 3, "HEAD_OF_QUEUE"),
        (Opcode.SCSI_COMMAND, "ATTR", 7, "0x7"),
        (Opcode.SCSI_COMMAND, "F", 1, "1"),
        (Opcode.SCSI_COMMAND, "CmdSN", 0xFFFFFFFF, "4294967295"),
        (Opcode.LOGIN_REQUEST, "TSIH", 0xFFFF, "0xffff"),
        (Opcode.LOGIN_REQUEST, "ISID", 1, "0x000000000001"),
        (Opcode.SCSI_COMMAND, "CDB", 0x28 << 120, "28" + 15 * " 00"),
    ],
)
def test_values_are_spelled_as_users_write_them(opcode: int, name: str, value: int, text: str) -> None:
    assert field_text(fields_of(opcode)[name], value) == text


# --- secrets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "opcode", [Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE, Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE]
)
def test_an_answer_is_hidden(opcode: int) -> None:
    lines = full(Pdu.build(opcode, b"CHAP_N=user\0CHAP_R=" + ANSWER + b"\0CHAP_I=7\0"), data_limit=None)
    at = lines.index("  text")
    assert lines[at + 1 : at + 4] == ("    CHAP_N=user", f"    CHAP_R={HIDDEN}", "    CHAP_I=7")
    assert ANSWER not in undumped(lines)
    assert b"CHAP_R=***" in undumped(lines)


def undumped(lines: tuple[str, ...]) -> bytes:
    """Put together what the hex dump of a listing shows."""
    at = next(number for number, line in enumerate(lines) if line.startswith("  data  "))
    rows = [line for line in lines[at + 1 :] if line.startswith("    0")]
    return b"".join(bytes.fromhex(row[12:60]) for row in rows)


@pytest.mark.parametrize("value", [ANSWER, b"0bABEiM0RVZneImaq7zN3u/w=="])
def test_an_answer_is_hidden_however_the_pair_is_cut(value: bytes) -> None:
    data = b"CHAP_R=" + value + b"\0CHAP_I=7\0"
    for cut in range(1, 7 + len(value)):
        for part in (data[:cut], data[cut:]):
            pdu = Pdu.build(Opcode.LOGIN_REQUEST, part, I=1, C=1)
            lines = full(pdu)
            shown = undumped(lines) + "\n".join(lines).encode() + summary(pdu).encode()
            for at in range(len(value) - 6):
                assert value[at : at + 6] not in shown, (cut, part)


def test_who_knows_that_a_pair_goes_on_can_say_so() -> None:
    pdu = Pdu.build(Opcode.TEXT_REQUEST, b"Secret=\0TargetName=x\0")
    assert "    Secret=" in full(pdu)
    assert f"    {HIDDEN}" in full(pdu, inside_pair=True)
    login = Pdu.build(Opcode.LOGIN_REQUEST, b"Strange=1\0")
    assert f"    {HIDDEN}" in full(login)
    assert "    Strange=1" in full(login, inside_pair=False)


def test_an_answer_behind_a_rejected_header_is_hidden() -> None:
    login = Pdu.build(Opcode.LOGIN_REQUEST, b"CHAP_R=" + ANSWER + b"\0")
    reject = Pdu.build(Opcode.REJECT, login.raw)
    assert ANSWER not in undumped(full(reject))
    assert undumped(full(reject))[:48] == login.bhs
    command = Pdu.build(Opcode.REJECT, Pdu.build(Opcode.NOP_OUT, b"CHAP_R=1").raw)
    assert undumped(full(command)).endswith(b"CHAP_R=1")


def test_fields_without_a_value_yet_are_left_out() -> None:
    pdu = Pdu.build(Opcode.NOP_OUT, ITT=7, TTT=NO_TAG, CmdSN=0, ExpStatSN=0, F=1)
    assert summary(pdu, without={"CmdSN", "ExpStatSN"}) == "NOP-Out ITT=0x00000007"
    assert summary(pdu, without={"ExpStatSN"}) == "NOP-Out ITT=0x00000007 CmdSN=0"
    assert summary(pdu) == "NOP-Out ITT=0x00000007 CmdSN=0 ExpStatSN=0"


# --- whatever the bytes --------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    opcode=st.sampled_from(sorted(LABELS)) | st.integers(0, 255),
    header=st.binary(min_size=47, max_size=47),
    ahs=st.binary(max_size=16),
    data=st.binary(max_size=120) | st.sampled_from(SAMPLES).map(lambda sample: sample.wire),
    digests=st.binary(max_size=4),
    inside_pair=st.sampled_from([None, True, False]),
)
def test_any_pdu_can_be_described(
    opcode: int, header: bytes, ahs: bytes, data: bytes, digests: bytes, inside_pair: bool | None
) -> None:
    pdu = Pdu(bytes([opcode]) + header, ahs, digests, data, b"", digests)
    lines = full(pdu, inside_pair=inside_pair)
    assert lines[0].startswith(pdu.label)
    for line in (summary(pdu), *lines):
        assert line.isprintable()
