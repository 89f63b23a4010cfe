from __future__ import annotations

from iscsiproxy.checks.scene.tasks import Memory, Task
from tests.checks.watching import scene_after

__all__: list[str] = []


def task(text: str, itt: int = 1) -> Task:
    found = next(iter(scene_after(f"login InitialR2T=No\n{text}").sessions.values())).find(itt)
    assert found is not None
    return found


def test_data_of_a_read_is_counted() -> None:
    read = task(
        """
        > SCSI-Command cdb=READ(10):0+4
        < Data-In data=512
        < Data-In data=512 F
        < Data-In data=1024 F S
        """
    )
    assert (read.in_pdus, read.in_bytes, read.in_end, read.next_sn) == (3, 2048, 2048, 3)
    assert read.in_final
    assert read.in_sequence == 0
    assert read.status == 0
    assert read.reads
    assert not read.writes
    assert read.read_edtl == 2048
    assert read.cdb is not None
    assert read.cdb.name == "READ(10)"


def test_data_of_a_write_is_counted_by_its_bursts() -> None:
    write = task(
        """
        > SCSI-Command cdb=WRITE(10):0+8 data=512 F=0
        > Data-Out data=512 F
        < R2T BufferOffset=1024 DesiredDataTransferLength=2048 TTT=9
        > Data-Out TTT=9 data=1024
        """
    )
    assert write.immediate_length == 512
    assert write.unsolicited.bytes == 512
    assert write.unsolicited.final is not None
    assert list(write.out_extents) == [(0, 2048)]
    assert list(write.r2ts_open) == [9]
    burst = write.r2ts[0].burst
    assert (burst.bytes, burst.next_sn, burst.end) == (1024, 1, 2048)
    assert not write.r2ts[0].done


def test_an_r2t_is_done_with_its_last_data() -> None:
    write = task(
        """
        > SCSI-Command cdb=WRITE(10):0+4
        < R2T DesiredDataTransferLength=2048 TTT=9
        > Data-Out TTT=9 data=1024
        > Data-Out TTT=9 data=1024 F
        """
    )
    assert write.r2ts[0].done
    assert not write.r2ts_open


def test_a_bidirectional_command_has_its_read_length_in_an_ahs() -> None:
    both = task("> SCSI-Command R W EDTL=512 ahs=hex:0005020000000400 cdb=hex:53")
    assert both.bidirectional
    assert both.read_edtl == 1024
    assert both.edtl == 512


def test_a_memory_makes_one_object_of_each_class() -> None:
    memory = Memory()
    assert memory.known(list) is None
    kept = memory.recall(list)
    kept.append(1)
    assert memory.recall(list) is kept
    assert memory.known(list) is kept
    assert memory.recall(dict) == {}
