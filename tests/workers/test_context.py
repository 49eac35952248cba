"""What a job says reaches its spool as whole lines, also when the disk is full for a moment."""

import errno
import os

import pytest

from workers.context import Context
from workers.spool import Spool

pytestmark = pytest.mark.nodb


@pytest.fixture
def ctx(tmp_path) -> Context:
    folders = {name: str(tmp_path / name) for name in ("work_dir", "checkpoint_dir", "output_dir")}
    return Context(tmp_path, {"epoch": 1, **folders})


@pytest.fixture
def disk(monkeypatch):
    """`disk(10, "full")`: the next writes take 10 bytes, then fail; later ones are whole."""
    write, plan = os.write, []

    def limited(fd: int, data: bytes) -> int:
        room = plan.pop(0) if plan else len(data)
        if room == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:room])

    monkeypatch.setattr(os, "write", limited)
    return plan.extend


def said(tmp_path):
    return Spool(tmp_path / "events.jsonl").read(final=True)


def test_a_line_that_the_disk_takes_in_parts_is_whole(ctx, tmp_path, disk):
    disk([10, 7])
    ctx.progress(step=1, total=2)
    ctx.metric(1, {"loss": 0.5})

    batch = said(tmp_path)
    assert (batch.progress["step"], len(batch.metrics), batch.lines) == (1, 1, [])


def test_half_a_line_on_a_full_disk_is_told_and_swallows_nothing(ctx, tmp_path, disk):
    disk([10, "full"])
    with pytest.raises(OSError, match="No space"):
        ctx.progress(step=1, total=2)
    ctx.metric(2, {"loss": 0.5})

    batch = said(tmp_path)
    assert len(batch.metrics) == 1
    assert [line[3] for line in batch.lines] == ['{"t": "pro']
