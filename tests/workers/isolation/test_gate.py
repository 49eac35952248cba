"""What a job's process is and has, read from outside: no secrets, no privileges, no open files."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from workers.isolation.cage import GATE

pytestmark = [pytest.mark.nodb, pytest.mark.slow]

ALLOWED = {
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "TMPDIR",
    "DJANGO_SETTINGS_MODULE", "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "SLIPWAY_DATA_DIR",
    "OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE", "PYTHONUNBUFFERED",
    "PYTHONFAULTHANDLER", "SLIPWAY_ATTEMPT",
}  # fmt: skip


@pytest.fixture
def job(stage, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-in-the-worker")
    monkeypatch.setenv("SLIPWAY_ADMIN_PASSWORD", "hidden-in-the-worker")
    return stage(disk_mib=100).start().at_step(1)


def status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith(f"{name}:"))


def limit(pid: int, name: str) -> list[str]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line[len(name) :].split()[:2] for line in lines if line.startswith(name))


class TestProcess:
    def test_its_environment_holds_nothing_that_it_does_not_need(self, job):
        words = Path(f"/proc/{job.child.pid}/environ").read_bytes().decode().split("\0")
        found = dict(word.partition("=")[::2] for word in words if word)

        assert set(found) <= ALLOWED
        assert found["DATABASE_URL"] == "postgresql://nobody@127.0.0.1:9/none"
        assert found["REDIS_URL"] == "redis://127.0.0.1:9"
        assert found["SECRET_KEY"] == "not-for-children"
        assert found["TMPDIR"] == str(job.cage.scratch)
        real = (os.environ["DATABASE_URL"], os.environ["REDIS_URL"], "hidden-in-the-worker")
        assert not [name for name, value in found.items() if value in real]

    def test_its_command_line_names_a_folder_only(self, job):
        words = Path(f"/proc/{job.child.pid}/cmdline").read_bytes().decode().split("\0")

        assert words == [sys.executable, "-m", "workers.child", str(job.folder), ""]

    def test_it_cannot_gain_privileges_and_leaves_no_core(self, job):
        pid = job.child.pid

        assert status(pid, "NoNewPrivs") == "1"
        assert status(pid, "Umask") == "0077"
        assert status(pid, "Uid").split() == [str(os.geteuid())] * 4
        assert limit(pid, "Max core file size") == ["0", "0"]
        assert limit(pid, "Max file size") == [str(100 << 20)] * 2
        assert int(Path(f"/proc/{pid}/coredump_filter").read_text(), 16) == 0

    def test_the_kernel_would_take_it_before_its_worker(self, job):
        ours = int(Path("/proc/self/oom_score_adj").read_text())
        its = int(Path(f"/proc/{job.child.pid}/oom_score_adj").read_text())

        assert its == min(1000, ours + 500) > ours

    def test_it_inherits_no_open_file_but_its_spool(self, stage, tmp_path):
        secret = os.open(tmp_path / "secret", os.O_WRONLY | os.O_CREAT)
        os.set_inheritable(secret, True)
        job = stage().start().at_step(1)
        os.close(secret)
        open_files = [str(path.readlink()) for path in Path(f"/proc/{job.child.pid}/fd").iterdir()]

        assert not [name for name in open_files if name.endswith("/secret")]
        assert str(job.folder / "events.jsonl") in open_files

    def test_its_scratch_is_closed_to_others(self, job):
        assert stat.S_IMODE(job.cage.scratch.stat().st_mode) == 0o700


class TestGate:
    def run(self, tmp_path, *, enter=(), parent=None, stdin=b"."):
        plan = tmp_path / "cage.json"
        told = {
            "enter": list(enter), "rlimits": {"core": 0}, "oom_score_adj": 1000, "nice": 0,
            "processors": [], "subreaper": False, "parent": parent or os.getpid(),
        }  # fmt: skip
        plan.write_text(json.dumps(told))
        command = [sys.executable, "-I", "-S", str(GATE), str(plan), "/bin/echo", "job"]
        return subprocess.run(command, input=stdin, capture_output=True, check=False)

    def test_writes_itself_into_every_entrance_before_the_job(self, tmp_path):
        entrance = tmp_path / "cgroup.procs"
        entrance.touch()
        done = self.run(tmp_path, enter=[str(entrance)])

        assert (done.stdout, entrance.read_text()) == (b"job\n", "0")

    def test_an_entrance_that_is_shut_ends_it_before_the_job(self, tmp_path):
        done = self.run(tmp_path, enter=[str(tmp_path / "missing" / "cgroup.procs")])

        assert (done.returncode, done.stdout) == (71, b"")
        assert b"cannot be entered" in done.stderr

    def test_nothing_runs_without_the_word_of_the_supervisor(self, tmp_path):
        done = self.run(tmp_path, stdin=b"")

        assert (done.returncode, done.stdout) == (70, b"")

    def test_nothing_runs_for_another_supervisor(self, tmp_path):
        done = self.run(tmp_path, parent=1)

        assert (done.returncode, done.stdout) == (70, b"")
