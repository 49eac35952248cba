"""Fences on made-up machines: what is written where, and what their counters are taken to mean."""

import os
import subprocess
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from models_app.jobs.states import ReasonCode
from tests.workers.isolation.stage import reprobe
from workers.isolation import cgroup1, cgroup2, probe
from workers.isolation.hierarchy import hierarchies, own_group
from workers.isolation.limits import Limits
from workers.isolation.polling import PollingFence
from workers.isolation.processes import process

pytestmark = pytest.mark.nodb

LIMITS = Limits(cpus=1.5, memory_mib=100, pids=20)
KNOBS2 = ("cgroup.procs", "memory.max", "memory.swap.max", "memory.oom.group", "pids.max",
          "cpu.max", "cpu.weight", "cgroup.kill")  # fmt: skip
KNOBS1 = {
    "memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    "pids": ("pids.max",),
    "cpu": ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares"),
    "freezer": ("freezer.state",),
}


class Kernel:
    """Puts the files of a control group into each folder that is made, as the kernel does."""

    def __init__(self, monkeypatch) -> None:
        self.made: list[Path] = []
        self.knobs: dict[Path, tuple[str, ...]] = {}
        mkdir, rmdir = Path.mkdir, Path.rmdir

        def made(path, *args, **options):
            mkdir(path, *args, **options)
            for name in self.knobs.get(path.parent, ()):
                (path / name).touch()
                self.made.append(path)

        def removed(path):
            if path.parent in self.knobs:
                for file in path.iterdir():
                    file.unlink()
            rmdir(path)

        monkeypatch.setattr(Path, "mkdir", made)
        monkeypatch.setattr(Path, "rmdir", removed)


@pytest.fixture
def kernel(monkeypatch):
    return Kernel(monkeypatch)


def machine(tmp_path, mountinfo: str, cgroup: str) -> Path:
    """A /proc of a made-up machine."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(mountinfo)
    (tmp_path / "proc/self/cgroup").write_text(cgroup)
    return tmp_path / "proc"


@pytest.fixture
def unified(tmp_path, kernel):
    """A machine of version 2 whose worker lives in `job.slice`, handed down or not."""
    mount = tmp_path / "cg"
    base = mount / "job.slice"
    base.mkdir(parents=True)
    (base / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (base / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (base / "cgroup.procs").write_text("")
    kernel.knobs[base] = KNOBS2
    line = f"30 23 0:26 / {mount} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    return machine(tmp_path, line, "0::/job.slice\n"), base


class TestCgroup2:
    def test_is_found_where_controllers_are_handed_down(self, unified):
        proc, base = unified

        assert cgroup2.find_bases(proc=proc) == dict.fromkeys(("memory", "pids", "cpu"), base)

    def test_is_found_from_the_leaf_of_another_worker(self, unified, tmp_path):
        proc, base = unified
        (proc / "self/cgroup").write_text(f"0::/job.slice/{cgroup2.LEAF}\n")

        assert set(cgroup2.find_bases(proc=proc).values()) == {base}

    def test_is_not_had_without_the_memory_controller(self, unified):
        proc, base = unified
        (base / "cgroup.controllers").write_text("hugetlb pids\n")

        assert cgroup2.find_bases(proc=proc) == {}

    def test_is_not_had_where_the_files_of_a_group_are_missing(self, unified, kernel):
        proc, base = unified
        kernel.knobs[base] = ("cgroup.procs",)

        assert cgroup2.find_bases(proc=proc) == {}

    def test_moves_nobody_in_a_group_that_was_not_delegated(self, unified):
        proc, base = unified
        (base / "cgroup.subtree_control").unlink()
        (base / "cgroup.subtree_control").mkdir()  # refuses to be written
        (base / "cgroup.procs").write_text("123\n")

        assert cgroup2.find_bases(proc=proc) == {}
        assert not (base / cgroup2.LEAF).exists()

    def test_moves_what_lives_in_a_group_that_was_set_aside(self, unified, monkeypatch):
        proc, base = unified
        (base / "cgroup.procs").write_text("123\n456\n")
        control = base / "cgroup.subtree_control"
        control.write_text("")
        write, moved = Path.write_text, []

        def busy(path, text, *args, **options):
            if path == control and not moved:
                raise OSError(16, "busy")
            if path.parent.name == cgroup2.LEAF:
                moved.append(text)
            shown = text.replace("+", "") if path == control else text
            return write(path, shown, *args, **options)

        monkeypatch.setattr(Path, "write_text", busy)
        assert set(cgroup2.find_bases(chosen=base, proc=proc)) == {"memory", "pids", "cpu"}
        assert moved == ["123", "456"]

    def test_writes_every_limit_before_anybody_enters(self, unified):
        proc, base = unified
        fence = cgroup2.Cgroup2Fence("j1-a1", LIMITS, cgroup2.find_bases(proc=proc))
        fence.make()
        group = base / "j1-a1"

        assert fence.entrances() == [str(group / "cgroup.procs")]
        assert {name: (group / name).read_text() for name in KNOBS2[1:7]} == {
            "memory.max": str(100 << 20), "memory.swap.max": "0", "memory.oom.group": "1",
            "pids.max": "20", "cpu.max": "150000 100000", "cpu.weight": "150",
        }  # fmt: skip
        assert fence.enforced()["cpus"] == "kernel: cpu.max"
        assert fence.breach() is None

    @pytest.mark.parametrize(
        ("files", "code", "used", "permanent"),
        [
            ({"memory.events": "oom 1\noom_kill 2\n", "memory.peak": str(100 << 20)},
             ReasonCode.OOM, 100, True),
            ({"memory.events": "oom_kill 1\n", "memory.peak": str(30 << 20)},
             ReasonCode.KILLED, 30, False),
            ({"memory.events": "max 7\noom 3\noom_kill 0\n"}, None, 0, False),
            ({"pids.events": "max 3\n"}, ReasonCode.PIDS, 20, True),
        ],
        ids=["its own limit", "the machine's memory", "close to it", "too many processes"],
    )  # fmt: skip
    def test_reads_a_breach_from_the_counters(self, unified, files, code, used, permanent):
        proc, base = unified
        fence = cgroup2.Cgroup2Fence("j1-a1", LIMITS, cgroup2.find_bases(proc=proc))
        fence.make()
        for name, text in files.items():
            (base / "j1-a1" / name).write_text(text)
        breach = fence.breach()

        assert (breach and breach.code) == code
        if breach:
            assert (breach.used, breach.permanent) == (used, permanent)
            assert f"{used:,} of" in breach.message(120) or "its 100 MiB" in breach.message(120)

    def test_leaves_nothing_when_a_limit_cannot_be_written(self, unified, monkeypatch):
        proc, base = unified
        fence = cgroup2.Cgroup2Fence("j1-a1", LIMITS, cgroup2.find_bases(proc=proc))
        write = Path.write_text

        def refuses(path, text, *args, **options):
            if path.name == "pids.max":
                raise PermissionError(path)
            return write(path, text, *args, **options)

        monkeypatch.setattr(Path, "write_text", refuses)
        with pytest.raises(PermissionError):
            fence.make()
        assert not (base / "j1-a1").exists()

    @pytest.mark.skipif(
        not os.access("/sys/fs/cgroup/unified/cgroup.procs", os.W_OK)
        and not os.access("/sys/fs/cgroup/cgroup.procs", os.W_OK),
        reason="needs a mounted cgroup2 in which this user may make groups",
    )
    def test_a_real_group_is_killed_with_those_who_left_the_session(self):
        mounted = next(one for one in hierarchies() if one.version == 2)
        base = mounted.folder(own_group(""))
        fence = cgroup2.Cgroup2Fence(f"slipway-test-{os.getpid()}", Limits(), {"cgroup": base})
        fence.make()
        script = f"echo $$ > {fence.entrances()[0]}; setsid sleep 600 & exec sleep 600"
        child = subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True)
        try:
            while len(fence.members()) < 2:
                assert child.poll() is None
            members = fence.members()
            fence.kill()
            child.wait(10)

            assert fence.members() == set()
            assert not [pid for pid in members if (row := process(pid)) and row.alive]
        finally:
            child.kill()
            child.wait()
            assert fence.remove()


@pytest.fixture
def divided(tmp_path, kernel):
    """A machine of version 1: each controller at its own place, in a container's own root."""
    lines, groups = [], []
    for number, name in enumerate(KNOBS1, 1):
        mount = tmp_path / "cg" / name
        base = mount / "box" if name == "memory" else mount
        base.mkdir(parents=True)
        kernel.knobs[base] = ("cgroup.procs", *KNOBS1[name])
        root = "/docker/abc" if name == "pids" else "/"
        lines.append(f"3{number} 23 0:2{number} {root} {mount} rw - cgroup cgroup rw,{name}\n")
        own = {"memory": "/box", "pids": "/docker/abc"}.get(name, "/")
        groups.append(f"{number}:{name}:{own}\n")
    return machine(tmp_path, "".join(lines), "".join(groups)), tmp_path / "cg"


class TestCgroup1:
    def test_is_found_in_our_own_group_of_each_hierarchy(self, divided):
        proc, mount = divided

        assert cgroup1.find_bases(proc=proc) == {
            "memory": mount / "memory/box", "pids": mount / "pids", "cpu": mount / "cpu",
            "freezer": mount / "freezer",
        }  # fmt: skip

    def test_writes_every_limit(self, divided):
        proc, mount = divided
        fence = cgroup1.Cgroup1Fence("j1-a1", LIMITS, cgroup1.find_bases(proc=proc))
        fence.make()

        assert len(fence.entrances()) == 4
        assert (mount / "memory/box/j1-a1/memory.limit_in_bytes").read_text() == str(100 << 20)
        assert (mount / "memory/box/j1-a1/memory.memsw.limit_in_bytes").read_text() == str(
            100 << 20
        )
        assert (mount / "pids/j1-a1/pids.max").read_text() == "20"
        assert (mount / "cpu/j1-a1/cpu.cfs_quota_us").read_text() == "150000"
        assert (mount / "cpu/j1-a1/cpu.shares").read_text() == "1536"

    def test_says_honestly_what_it_can_only_look_at(self, divided):
        proc, _ = divided
        found = {"memory": cgroup1.find_bases(proc=proc)["memory"]}
        enforced = cgroup1.Cgroup1Fence("j1-a1", LIMITS, found).enforced()

        assert enforced["memory"].startswith("kernel")
        assert enforced["pids"].startswith("looked at") and enforced["cpus"].startswith("kept to")

    def test_takes_the_counter_of_kills_and_not_the_signal(self, divided):
        proc, mount = divided
        fence = cgroup1.Cgroup1Fence("j1-a1", LIMITS, cgroup1.find_bases(proc=proc))
        fence.make()
        group = mount / "memory/box/j1-a1"
        (group / "memory.max_usage_in_bytes").write_text(str(100 << 20))
        (group / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
        assert fence.breach() is None
        (group / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")

        assert fence.breach().code == ReasonCode.OOM


class TestProbe:
    def test_takes_polling_where_there_are_no_control_groups(self, place, monkeypatch):
        for one in (cgroup1, cgroup2):
            monkeypatch.setattr(one, "find_bases", lambda **_: {})

        assert isinstance(probe.fence_for("j1-a1", LIMITS), PollingFence)

    def test_never_takes_less_than_was_demanded(self, place, settings, monkeypatch):
        monkeypatch.setattr(cgroup2, "find_bases", lambda **_: {})
        settings.ISOLATION = "cgroup2"
        reprobe()

        with pytest.raises(ImproperlyConfigured, match="cgroup2"):
            probe.bases()

    def test_a_typing_error_is_named(self, place, settings):
        settings.ISOLATION = "cgroup3"
        reprobe()

        with pytest.raises(ImproperlyConfigured, match="cgroup3"):
            probe.bases()

    def test_polls_this_once_when_a_group_cannot_be_made(self, place, monkeypatch, tmp_path):
        monkeypatch.setattr(cgroup2, "find_bases", lambda **_: {"memory": tmp_path / "missing"})

        assert isinstance(probe.fence_for("j1-a1", LIMITS), PollingFence)

    def test_installations_do_not_share_names(self, place, settings, tmp_path):
        first = probe.prefix("a")
        settings.DATA_DIR = tmp_path / "other"

        assert len({first, probe.prefix("a"), probe.prefix("b")}) == 3


def test_mount_points_with_spaces_are_read(tmp_path):
    proc = machine(tmp_path, "1 2 0:3 / /a\\040b rw shared:1 - cgroup2 none rw\nnonsense\n", "")

    assert [one.mount for one in hierarchies(proc)] == [Path("/a b")]
    assert own_group("", proc) == "/"


def test_a_machine_without_control_groups_has_no_hierarchies(tmp_path):
    assert hierarchies(tmp_path) == []
    assert cgroup1.find_bases(proc=tmp_path) == cgroup2.find_bases(proc=tmp_path) == {}
