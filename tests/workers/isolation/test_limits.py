"""What an attempt may take, and how much it has on the disk."""

import os
from types import SimpleNamespace

import pytest

from models_app.jobs.states import ReasonCode
from workers.isolation import disk
from workers.isolation.disk import DiskMeter
from workers.isolation.limits import limits_of
from workers.isolation.processors import Processors

pytestmark = pytest.mark.nodb


def asks(**values) -> SimpleNamespace:
    return SimpleNamespace(**{"cpus": 0, "memory_mib": 0, "disk_mib": 0, "gpus": 0, **values})


class TestLimits:
    def test_are_what_the_job_asks_for(self):
        found = limits_of(asks(cpus=2, memory_mib=500, disk_mib=70), node_mib=8000)

        assert (found.cpus, found.memory_mib, found.disk_mib) == (2, 500, 70)

    @pytest.mark.parametrize(("node", "memory"), [(8000, 7600), (1000, 872), (200, 100)])
    def test_leave_the_node_its_reserve_where_nothing_is_asked(self, node, memory):
        assert limits_of(asks(), node_mib=node).memory_mib == memory

    def test_are_never_more_than_the_node_has(self):
        assert limits_of(asks(memory_mib=9000), node_mib=8000).memory_mib == 8000

    def test_come_from_the_settings_where_nothing_is_asked(self, settings):
        settings.JOB_MEMORY_MIB, settings.JOB_DISK_MIB, settings.JOB_PIDS = 300, 40, 100
        found = limits_of(asks(), node_mib=8000, node_cpus=8)

        assert (found.memory_mib, found.disk_mib, found.pids) == (300, 40, 132)


class TestProcessors:
    def test_are_those_with_the_fewest_claims(self):
        four = Processors({0, 1, 2, 3})
        first, second, third = four.take(2), four.take(1.5), four.take(1)

        assert (first, second, third) == ([0, 1], [2, 3], [0])
        four.give_back(second)
        assert four.take(3) == [1, 2, 3]

    @pytest.mark.parametrize("cpus", [0, 4, 9.5])
    def test_are_all_for_a_job_that_asks_for_none_or_for_all(self, cpus):
        assert Processors({0, 1, 2, 3}).take(cpus) == []


class TestDiskMeter:
    def fill(self, path, mib):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(mib << 20))

    def test_counts_all_folders_but_not_the_inputs(self, tmp_path):
        self.fill(tmp_path / "a/deep/x", 1)
        self.fill(tmp_path / "b/y", 1)
        self.fill(tmp_path / "a/inputs/z", 3)
        folders = [tmp_path / "a", tmp_path / "b", tmp_path / "missing"]
        meter = DiskMeter(folders, 1, skip=tmp_path / "a/inputs")
        breach = meter.breach(now=True)

        assert (breach.code, breach.used, breach.limit) == (ReasonCode.DISK_FULL, 2, 1)
        assert not breach.permanent
        assert "2 of 1 MiB of disk, at step 1,200." in breach.message(1200)

    def test_counts_a_file_once_and_follows_no_links(self, tmp_path):
        self.fill(tmp_path / "a/x", 1)
        os.link(tmp_path / "a/x", tmp_path / "a/again")
        self.fill(tmp_path / "elsewhere/y", 5)
        (tmp_path / "a/link").symlink_to(tmp_path / "elsewhere")
        with (tmp_path / "a/holes").open("wb") as stream:
            stream.truncate(100 << 20)

        assert DiskMeter([tmp_path / "a"], 2).breach(now=True) is None

    def test_walks_as_rarely_as_its_cost_demands(self, tmp_path, monkeypatch):
        clock = [100.0]
        meter = DiskMeter([tmp_path], 100)
        monkeypatch.setattr(disk.time, "monotonic", lambda: clock[0])
        walks = []

        def walk(folder):
            walks.append(clock[0])
            clock[0] += 1.0
            return 0

        monkeypatch.setattr(meter, "_walk", walk)
        while clock[0] < 400:
            meter.breach()
            clock[0] += 0.15

        assert len(walks) <= 0.03 * 300 + 1

    def test_looks_often_while_the_limit_comes_near(self, tmp_path, monkeypatch):
        clock = [100.0]
        meter = DiskMeter([tmp_path], 100)
        monkeypatch.setattr(disk.time, "monotonic", lambda: clock[0])
        monkeypatch.setattr(meter, "_walk", lambda folder: int((clock[0] - 100) * (10 << 20)))
        while meter.breach() is None:
            clock[0] += 0.15
            assert clock[0] < 120

        assert clock[0] < 100 + 10 + 1.5
