"""Faults of processes: killed, stopped for a while, asked to end."""

import contextlib
import os
import signal

from tests.chaos.faults.base import Fault, leases
from tests.chaos.node import kill_tree
from tests.chaos.site import HOME
from tests.flows.site import until


class ChildKilled(Fault):
    """kill -9 of the training's own process, or of a short job's."""

    name = "child_killed"

    def inject(self) -> None:
        job = self.load.current() or next(iter(self.scene.running()), 0)
        row = self.site.truth.one(
            "SELECT pid FROM jobs_jobattempt WHERE job_id = %s AND ended_at IS NULL", job
        )
        if row and row["pid"]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(row["pid"], signal.SIGKILL)


class WorkerKilled(Fault):
    """kill -9 of a worker's main process: of the launcher's, or of a further node's."""

    name = "worker_killed"

    def inject(self) -> None:
        self.victim = self.scene.training_node()
        if self.victim in self.site.nodes:
            self.site.nodes[self.victim].kill()
        else:
            os.kill(self.site.pid_of("worker"), signal.SIGKILL)

    def mend(self) -> None:
        if self.victim in self.site.nodes:
            self.site.start_node(self.victim, wait=False)


class NodeKilled(Fault):
    """A worker and all of its children at once; the node comes back much later."""

    name = "node_killed"
    holds_s = (10, 25)

    def inject(self) -> None:
        node = self.scene.training_node()
        self.victim = node if node in self.site.nodes else self.scene.node()
        self.site.nodes[self.victim].kill_all()

    def mend(self) -> None:
        self.site.start_node(self.victim, wait=False)


class WorkerTerminated(Fault):
    """The polite signal: jobs save and are given back; then the worker starts again."""

    name = "worker_terminated"
    holds_s = (1, 4)

    def inject(self) -> None:
        self.victim = self.scene.training_node()
        if self.victim in self.site.nodes:
            self.site.stop_node(self.victim)
        else:
            os.kill(self.site.pid_of("worker"), signal.SIGTERM)

    def mend(self) -> None:
        if self.victim in self.site.nodes:
            self.site.start_node(self.victim, wait=False)


class WorkerFrozen(Fault):
    """SIGSTOP of a worker for a part of the lease or several of them, then SIGCONT."""

    name = "worker_frozen"
    factors = (0.5, 1.2, 3.0)

    def hold_s(self) -> float:
        return self.random.choice(leases(*self.factors))

    def inject(self) -> None:
        self.pid = self.site.worker_pid(self.scene.training_node())
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGSTOP)

    def mend(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGCONT)


class WebKilled(Fault):
    name = "web_killed"
    harmful = False

    def inject(self) -> None:
        os.kill(self.site.pid_of("web"), signal.SIGKILL)


class BeatKilled(Fault):
    name = "beat_killed"
    harmful = False

    def inject(self) -> None:
        os.kill(self.site.pid_of("beat"), signal.SIGKILL)


class LauncherKilled(Fault):
    """kill -9 of the launcher; it is started again on the same folder."""

    name = "launcher_killed"
    holds_s = (0, 3)

    def inject(self) -> None:
        self.site.kill_launcher()

    def mend(self) -> None:
        self.site.stack.start()
        until(lambda: self.site.takes_jobs(HOME), f"{HOME} takes jobs again")


class EverythingKilled(Fault):
    """A power cut: every process of the installation in one moment."""

    name = "everything_killed"
    holds_s = (0, 2)

    def inject(self) -> None:
        process = self.site.stack.process
        assert process is not None
        for node in self.site.nodes.values():
            node.kill_all()
        kill_tree(process.pid, children=True)
        process.wait()

    def mend(self) -> None:
        self.site.stack.start()
        for name in self.site.nodes:
            self.site.start_node(name, wait=False)
