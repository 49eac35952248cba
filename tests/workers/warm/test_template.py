"""A process forked from the template is as one that was started for the attempt alone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models_app.jobs.states import ReasonCode
from tests.workers.conftest import wait_for
from tests.workers.isolation.stage import Stage, each_fence, lives
from workers.isolation import records
from workers.isolation.processes import process, variable
from workers.process import child_environment
from workers.warm import keeper as keeping
from workers.warm.keeper import keeper
from workers.warm.sources import sources_state
from workers.warm.template import unsafe

pytestmark = [pytest.mark.nodb, pytest.mark.slow]


@pytest.fixture(scope="module")
def loaded():
    """A template, loaded once for all tests; they get new ones only where they spoil it."""
    keeper.start(child_environment())
    yield
    keeper.stop()


@pytest.fixture
def template(loaded):
    return wait_for(keeper.ready, "the template is loaded")


def test_is_one_process_of_one_thread(template):
    assert process(template.pid).threads == 1
    assert unsafe()  # this process has several


class TestForked:
    """Compared with one that was started from nothing."""

    @pytest.fixture
    def both(self, template, stage, monkeypatch):
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-in-the-worker")
        forked = stage(disk_mib=100).start().at_step(1)
        with monkeypatch.context() as patch:
            patch.setattr(keeper, "ready", lambda: None)
            fresh = stage(disk_mib=100).start().at_step(1)
        assert forked.cage.describe()["template"] == template.pid
        assert process(forked.child.pid).parent == template.pid
        assert process(fresh.child.pid).parent == os.getpid()
        return forked, fresh

    def test_it_is_given_the_same_variables(self, both):
        forked, fresh = (
            shown(one, "environ")
            .replace(one.cage.marker, "MARK")
            .replace(str(one.cage.scratch), "S")
            for one in both
        )
        assert sorted(filter(None, forked.split("\0"))) == sorted(filter(None, fresh.split("\0")))
        assert "hidden-in-the-worker" not in forked
        for one in both:
            assert variable(one.child.pid, records.VARIABLE) == one.cage.marker

    def test_it_is_called_the_same(self, both):
        for one in both:
            words = shown(one, "cmdline").rstrip("\0").split("\0")
            assert words == [sys.executable, "-m", "workers.child", str(one.folder)]

    def test_it_has_the_same_files_open(self, both):
        forked, fresh = (
            sorted(
                (path.name, target(path).replace(str(one.folder), ""))
                for path in Path(f"/proc/{one.child.pid}/fd").iterdir()
            )
            for one in both
        )
        assert forked == fresh

    def test_it_has_the_same_limits_rights_and_signals(self, both):
        forked, fresh = (
            (
                shown(one, "limits"), shown(one, "oom_score_adj"), shown(one, "coredump_filter"),
                [line for line in shown(one, "status").splitlines() if line.startswith(SAME)],
                (Path(f"/proc/{one.child.pid}") / "cwd").readlink(),
                process(one.child.pid).session == process(one.child.pid).group == one.child.pid,
            )
            for one in both
        )  # fmt: skip
        assert forked == fresh

    def test_it_keeps_what_it_is_given_under_the_same_numbers(self, template, stage, tmp_path):
        given = [os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("first", "second")]
        keep = [os.dup2(given[0], 40), given[1]]
        job = stage().start(keep=keep).at_step(1)
        folder = Path(f"/proc/{job.child.pid}/fd")
        found = {int(path.name): path.readlink() for path in folder.iterdir()}
        for handle in {*given, *keep}:
            os.close(handle)

        files = {number: path for number, path in found.items() if path.parent == tmp_path}
        assert files == {40: tmp_path / "first", given[1]: tmp_path / "second"}

    def test_its_children_carry_its_mark(self, template, stage):
        job = stage().start(daemon=True).at_step(2)
        daemon = job.daemon()
        assert variable(daemon, records.VARIABLE) == job.cage.marker
        job.end()
        assert not lives(daemon)


SAME = ("Uid", "Gid", "Groups", "Umask", "NoNewPrivs", "Sig", "Cap", "Seccomp", "Threads")


def shown(job: Stage, name: str) -> str:
    return Path(f"/proc/{job.child.pid}/{name}").read_bytes().decode()


def target(path: Path) -> str:
    """Where a handle leads; pipes differ by number only."""
    return str(path.readlink()).partition("[")[0]


class TestEnds:
    def test_are_told_as_of_any_child(self, template, stage):
        good = stage().start(steps=2, step_ms=1)
        bad = stage().start(steps=1, step_ms=1, outcome="fail")
        shot = stage().start().at_step(1)
        os.kill(shot.child.pid, signal.SIGKILL)
        for job in (good, bad, shot):
            wait_for(lambda j=job: not j.child.running(0.05), "it ends")

        assert (good.child.exit_code, bad.child.exit_code, shot.child.exit_code) == (0, 1, None)
        assert shot.child.exit_signal == "SIGKILL"
        pids = [job.child.pid for job in (good, bad, shot)]
        for job in (good, bad, shot):
            job.end()
        wait_for(lambda: not any(map(process, pids)), "their numbers are free again")

    def test_a_wish_to_stop_is_heard(self, template, stage):
        job = stage().start().at_step(1)
        job.child.signal(signal.SIGTERM)
        wait_for(lambda: not job.child.running(0.05), "it stops")

        assert job.events("stopped")

    def test_what_cannot_enter_its_cage_does_not_run(self, template, stage, monkeypatch):
        job = stage()
        real = job.cage._plan
        monkeypatch.setattr(
            job.cage, "_plan", lambda made: {**real(made), "enter": ["/proc/none/cgroup.procs"]}
        )
        job.start()
        wait_for(lambda: not job.child.running(0.05), "it ends")

        assert job.child.exit_code == 71
        assert "cannot be entered" in job.said() and not job.events("log")

    def test_all_end_with_the_template_and_another_one_is_loaded(
        self,
        template,
        stage,
        monkeypatch,
    ):
        monkeypatch.setattr(keeper, "_again_s", 0.0)
        job = stage().start().at_step(1)
        os.kill(template.pid, signal.SIGKILL)
        wait_for(lambda: not job.child.running(0.05), "it ends")
        wait_for(lambda: not lives(job.child.pid), "the kernel has ended it")

        assert job.child.exit_signal == "SIGKILL"
        keeper.tend()
        assert wait_for(keeper.ready, "another one").pid != template.pid


@each_fence
def test_too_much_memory_ends_the_forked_job_alone(fence, template, stage):
    hog = stage(memory_mib=600).start(allocate_mib=4000, at_step=3)
    neighbour = stage(memory_mib=600).start(allocate_mib=50, at_step=2)
    breach = hog.watch()

    assert breach is not None and breach.code == ReasonCode.OOM
    assert hog.cage.template == template.pid
    neighbour.at_step(neighbour.steps() + 3)
    assert neighbour.cage.breach() is None


def test_a_template_of_changed_code_is_asked_no_more_but_lets_its_jobs_end(
    template,
    stage,
    monkeypatch,
):
    job = stage().start().at_step(1)
    monkeypatch.setattr(keeping, "sources_state", lambda: "changed")
    monkeypatch.setattr(keeper, "_again_s", 0.0)
    assert keeper.ready() is None
    newer = wait_for(keeper.ready, "one of the new code")

    assert newer.pid != template.pid
    job.at_step(job.steps() + 2)
    job.end()
    wait_for(lambda: not lives(template.pid), "the old one ends with its last job")


def test_the_state_of_the_sources_follows_code_and_packages(tmp_path, settings, monkeypatch):
    settings.BASE_DIR = tmp_path
    for root in ("console", "models_app", "workers"):
        (tmp_path / root / "part").mkdir(parents=True)
    module = tmp_path / "workers" / "part" / "one.py"
    module.write_text("a = 1")
    packages = tmp_path / "site-packages"
    packages.mkdir()
    monkeypatch.setattr(sys, "path", [str(packages)])
    states = [sources_state()]
    assert sources_state() == states[0]

    module.write_text("a = 22")
    states.append(sources_state())
    (module.parent / "two.py").write_text("")
    states.append(sources_state())
    (packages / "torch-3.dist-info").mkdir()
    states.append(sources_state())

    assert len(set(states)) == 4


def test_it_ends_with_its_worker():
    """Also while it loads, and whatever becomes of the channel."""
    code = (
        "import django; django.setup(); import time, json, sys;"
        "from workers.process import child_environment; from workers.warm.keeper import keeper;"
        "keeper.start(child_environment());\n"
        "while not keeper._template.pid: time.sleep(0.01)\n"
        "print(json.dumps(keeper._template.pid), flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "console.settings.worker"}
    worker = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    )
    pid = json.loads(worker.stdout.readline())
    assert lives(pid)
    worker.kill()
    worker.wait()
    wait_for(lambda: not lives(pid), "the template ends")
