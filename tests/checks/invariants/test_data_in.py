from __future__ import annotations

import pytest

from tests.checks.cases import Case, judged, prove

__all__: list[str] = []

#: A Bidirectional Read EDTL of 1024
READS_1024 = "ahs=hex:0005020000000400"
BIDI = f"> SCSI-Command cdb=hex:5300000000000000020000 R W EDTL=512 {READS_1024} data=512"

CASES = (
    Case(
        rule="T-022",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F
            < SCSI-Response
        """,
        bad="""
            login InitialR2T=Yes ImmediateData=No
            > SCSI-Command cdb=READ(10):0+1
            < R2T BufferOffset=0 DesiredDataTransferLength=512
        """,
        short="""
            login
            > SCSI-Command cdb=TEST-UNIT-READY
            < SCSI-Response
        """,
        mutant=("READ(10):0+1", "READ(10):0+1 W EDTL=512 data=512"),
    ),
    Case(
        rule="T-023",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+3
            < Data-In data=512
            < Data-In data=512
            < Data-In data=512 F S
        """,
        bad="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 DataSN=1 F
        """,
        short="""
            login
            > SCSI-Command cdb=WRITE(10):0+1 data=512
            < SCSI-Response
        """,
        mutant=("data=512 F S", "data=512 DataSN=1 F S"),
    ),
    Case(
        rule="T-024",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+4
            < Data-In data=512
            < Data-In data=512 F
            < Data-In data=512
            < Data-In data=512 BufferOffset=1536 F S
        """,
        bad="""
            login
            > SCSI-Command cdb=READ(10):0+2
            < Data-In data=512
            < Data-In data=512 BufferOffset=256 F
        """,
        short="""
            login
            > SCSI-Command cdb=READ(10):0+2
            < Data-In data=512
        """,
        mutant=("BufferOffset=1536", "BufferOffset=2048"),
    ),
    Case(
        rule="T-025",
        good="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 F S
        """,
        bad="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < Data-In data=512 BufferOffset=4 F
        """,
        short="""
            login
            > SCSI-Command cdb=READ(10):0+1
            < SCSI-Response U ResidualCount=512
        """,
        mutant=("data=512", "data=516"),
    ),
    Case(
        rule="T-026",
        good="""
            login MaxBurstLength=1024 FirstBurstLength=512
            > SCSI-Command cdb=READ(10):0+3
            < Data-In data=512
            < Data-In data=512 F
            < Data-In data=512 F S
        """,
        bad="""
            login MaxBurstLength=1024 FirstBurstLength=512
            > SCSI-Command cdb=READ(10):0+3
            < Data-In data=1028
        """,
        short="""
            > SCSI-Command cdb=READ(10):0+3
            < Data-In data=512
        """,
        mutant=("< Data-In data=512 F\n", "< Data-In data=512\n"),
    ),
    Case(
        rule="T-030",
        good="""
            login MaxBurstLength=1024 FirstBurstLength=512 ErrorRecoveryLevel=1
            > SCSI-Command cdb=READ(10):0+4 lun=1
            < Data-In data=512
            < Data-In data=512 F A TTT=0x10 lun=1
            > SNACK Type=DATA_ACK TTT=0x10 lun=1 BegRun=2
            < Data-In data=512
            < Data-In data=512 F A TTT=0x11 lun=1
            > SNACK Type=DATA_ACK TTT=0x11 lun=1 BegRun=4
            < SCSI-Response
        """,
        bad="""
            login
            > SCSI-Command cdb=READ(10):0+1 lun=1
            < Data-In data=512 F A TTT=0x10 lun=1
        """,
        short="""
            login ErrorRecoveryLevel=1
            > SCSI-Command cdb=READ(10):0+1 lun=1
            < Data-In data=512 F S
        """,
        mutant=("A TTT=0x10 lun=1\n", "A TTT=0x10 lun=2\n"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    prove(case)


@pytest.mark.parametrize("digest", ["None", "CRC32C"])
def test_digests_change_nothing(digest: str) -> None:
    text = f"""
        login HeaderDigest={digest} DataDigest={digest} MaxBurstLength=1024 FirstBurstLength=512
        > SCSI-Command cdb=READ(10):0+3
        < Data-In data=512
        < Data-In data=512 F
        < Data-In data=512 F S
    """
    found = judged(text)
    assert not found.findings
    assert found.evidence["T-023"] == found.evidence["T-026"] == 3
    assert judged(text.replace("F S", "DataSN=3 F S")).of("T-023")


# --- T-022, T-023 ----------------------------------------------------------------------------------------------------


def test_the_flags_are_those_that_were_given() -> None:
    text = """
        login
        > SCSI-Command cdb=READ(10):0+1 ! R=0 W=1
        < Data-In data=512 F
    """
    assert judged(text).of("T-022")
    assert not judged(text.replace("R=0 W=1", "R=1 W=1")).of("T-022")


def test_a_bidirectional_command_has_one_count() -> None:
    text = f"""
        login
        {BIDI}
        < R2T BufferOffset=0 DesiredDataTransferLength=512 TTT=7
        < Data-In data=512 F DataSN={{sn}}
    """
    assert not judged(text.format(sn=1)).of("T-023")
    assert judged(text.format(sn=0)).of("T-023")


@pytest.mark.parametrize(
    ("snack", "numbers", "wrong"),
    [
        ("", (0,), 0),
        ("Type=DATA_R2T BegRun=1 RunLength=2", (1, 2), None),
        ("Type=DATA_R2T BegRun=1 RunLength=1", (1, 2), 2),
        ("Type=DATA_R2T BegRun=1 RunLength=0", (1, 2, 3), None),
        ("Type=DATA_R2T BegRun=0 RunLength=0", (0, 1, 2, 3), None),
        ("Type=DATA_R2T BegRun=1 RunLength=2", (0,), 0),
        ("Type=R_DATA TTT=0x77", (0, 1, 2, 3, 4, 5), None),
        ("Type=R_DATA TTT=0x77", (1,), 1),
        ("Type=R_DATA TTT=0x77", (0, 2), 2),
    ],
)
def test_what_comes_again_was_asked_for(snack: str, numbers: tuple[int, ...], wrong: int | None) -> None:
    ask = f"> SNACK ITT=1 {snack}" if snack else ""
    again = "\n".join(f"< Data-In data=256 DataSN={number} BufferOffset=0" for number in numbers)
    found = judged(f"""
        login ErrorRecoveryLevel=1
        > SCSI-Command cdb=READ(10):0+3
        < Data-In data=512
        < Data-In data=512
        < Data-In data=512 F
        {ask}
        {again}
    """).of("T-023")
    assert [str(one.pdu["DataSN"]) for one in found if one.pdu] == ([] if wrong is None else [str(wrong)])


def test_data_that_was_acknowledged_need_not_come_again() -> None:
    assert not judged("""
        login MaxBurstLength=1024 FirstBurstLength=512 ErrorRecoveryLevel=1
        > SCSI-Command cdb=READ(10):0+4 lun=1
        < Data-In data=512
        < Data-In data=512 F A TTT=0x10 lun=1
        > SNACK Type=DATA_ACK TTT=0x10 lun=1 BegRun=2
        < Data-In data=512
        > SNACK Type=R_DATA ITT=1 TTT=0x77
        < Data-In data=256 DataSN=2 BufferOffset=1024
        < Data-In data=256 DataSN=3 BufferOffset=1280
        < Data-In data=256 DataSN=4 BufferOffset=1536
        < Data-In data=256 DataSN=5 BufferOffset=1792 F
        < SCSI-Response SNACKTag=0x77
    """).findings


def test_a_snack_that_was_dropped_asks_for_nothing() -> None:
    assert judged("""
        login ErrorRecoveryLevel=1
        > SCSI-Command cdb=READ(10):0+2
        < Data-In data=512
        >x SNACK Type=DATA_R2T ITT=1 BegRun=0 RunLength=1
        < Data-In data=512 DataSN=0 BufferOffset=0
    """).of("T-023")


def test_one_hole_is_one_finding() -> None:
    found = judged("""
        login
        > SCSI-Command cdb=READ(10):0+4
        < Data-In data=512
        < Data-In data=512 DataSN=2
        < Data-In data=512 DataSN=3
        < Data-In data=512 F DataSN=4
    """).of("T-023")
    assert [one.text for one in found] == ["DataSN 2 where 1 comes next"]


# --- T-024 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pdus", "sequences", "offsets", "broken"),
    [
        ("Yes", "Yes", "0 512F 1024 1536F", False),
        ("Yes", "Yes", "0 512F 1536 1024F", True),
        ("Yes", "Yes", "1024 1536F 0 512F", True),
        ("Yes", "No", "1024 1536F 0 512F", False),
        ("Yes", "No", "1024 1536F 0 768F", True),
        ("No", "Yes", "512 0F 1536 1024F", False),
        ("No", "Yes", "512 0F 512 1536F", True),
        ("No", "Yes", "512 0F 1536 512F", True),
        ("No", "No", "1536 0F 1024 512F", False),
        ("Yes", "Yes", "0 512F 1536F", False),  # a gap between sequences is not forbidden here
    ],
)
def test_order(pdus: str, sequences: str, offsets: str, broken: bool) -> None:
    lines = "\n".join(
        f"< Data-In data=512 BufferOffset={one.rstrip('F')} {'F' if 'F' in one else ''}" for one in offsets.split()
    )
    found = judged(f"""
        login DataPDUInOrder={pdus} DataSequenceInOrder={sequences}
        > SCSI-Command cdb=READ(10):0+4
        {lines}
    """)
    assert bool(found.of("T-024")) is broken


def test_of_an_order_that_nobody_saw_nothing_is_said() -> None:
    found = judged("""
        > SCSI-Command cdb=READ(10):0+4
        < Data-In data=512 BufferOffset=1024
        < Data-In data=512 BufferOffset=0 F
    """)
    assert not found.of("T-024")
    assert not found.evidence["T-024"]


def test_empty_data_is_nowhere() -> None:
    assert not judged("""
        login
        > SCSI-Command cdb=READ(10):0+2
        < Data-In data=512
        < Data-In BufferOffset=0
        < Data-In data=512 BufferOffset=512 F S
    """).of("T-024")


# --- T-025, T-026 ----------------------------------------------------------------------------------------------------


def test_a_bidirectional_command_reads_what_its_ahs_says() -> None:
    text = f"""
        login
        {BIDI}
        < Data-In data={{length}} F
    """
    assert not judged(text.format(length=1024)).of("T-025")
    assert judged(text.format(length=1028)).of("T-025")
    assert not judged(text.format(length=1028).replace(READS_1024, "")).of("T-025")


def test_the_expected_length_is_the_one_that_was_given() -> None:
    text = """
        login
        > SCSI-Command cdb=READ(10):0+2 ! EDTL=512
        < Data-In data=512
        {more}
    """
    assert not judged(text.format(more="")).of("T-025")
    assert judged(text.format(more="< Data-In data=512 F")).of("T-025")


def test_one_burst_that_is_too_long_is_one_finding() -> None:
    found = judged("""
        login MaxBurstLength=1024 FirstBurstLength=512
        > SCSI-Command cdb=READ(10):0+4
        < Data-In data=512
        < Data-In data=512
        < Data-In data=512
        < Data-In data=512 F
    """).of("T-026")
    assert [one.text for one in found] == ["1536 bytes in one sequence: MaxBurstLength is 1024"]


def test_a_second_connection_has_the_bursts_of_its_session() -> None:
    assert not judged("""
        login MaxBurstLength=524288 MaxConnections=2 / MaxBurstLength=524288
        conn 2
        login TSIH=1 CID=1
        > SCSI-Command cdb=READ(10):0+1024
        < Data-In data=524288 F
    """).of("T-026")


# --- T-030 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marks", "broken"),
    [
        ("1 -", False),
        ("1 1", False),  # the second is on the last
        ("1 1 -", True),
        ("1 - 1 -", False),
        ("- 1 1 1 -", True),
        ("- 1 - 1", False),
    ],
)
def test_an_acknowledgement_is_asked_for_once_per_burst(marks: str, broken: bool) -> None:
    lines = "\n".join(
        f"< Data-In data=512 F {f'A TTT={at + 1} lun=1' if mark == '1' else ''}"
        for at, mark in enumerate(marks.split())
    )
    found = judged(f"""
        login ErrorRecoveryLevel=1 MaxBurstLength=1024 FirstBurstLength=512
        > SCSI-Command cdb=READ(10):0+8 lun=1
        {lines}
        < SCSI-Response
    """)
    assert bool(found.of("T-030")) is broken


def test_data_that_is_acknowledged_is_judged_as_ever() -> None:
    text = """
        login MaxBurstLength=1024 FirstBurstLength=512 ErrorRecoveryLevel=1
        > SCSI-Command cdb=READ(10):0+4 lun=1
        < Data-In data=1024 F A TTT=0x10 lun=1
        > SNACK Type=DATA_ACK TTT=0x10 lun=1 BegRun=1
        < Data-In data=1024 F BufferOffset={offset}
        < SCSI-Response
    """
    assert not judged(text.format(offset=1024)).findings
    assert judged(text.format(offset=512)).of("T-024")


def test_an_acknowledgement_needs_a_tag() -> None:
    assert judged("""
        login ErrorRecoveryLevel=1
        > SCSI-Command cdb=READ(10):0+1 lun=1
        < Data-In data=512 F A lun=1
    """).of("T-030")


def test_what_comes_again_has_its_a_bit_again() -> None:
    assert not judged("""
        login ErrorRecoveryLevel=1 MaxBurstLength=1024 FirstBurstLength=512
        > SCSI-Command cdb=READ(10):0+4 lun=1
        < Data-In data=512
        < Data-In data=512 F A TTT=1 lun=1
        > SNACK Type=DATA_R2T ITT=1 BegRun=1 RunLength=1
        < Data-In data=512 DataSN=1 BufferOffset=512 F A TTT=1 lun=1
        < Data-In data=512
    """).of("T-030")
