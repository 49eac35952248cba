"""A whole stack as its users see it, and a hand that kills its processes."""

import json
import os
import signal
from pathlib import Path
from typing import Any

from benchmarks.faults.words import sentences
from benchmarks.running_stack import Stack
from console.demo.client import Client
from tests.waiting import WAIT_S, wait_for

TEAM = "flows"
OVER = {"succeeded", "failed", "canceled", "timed_out"}
SCOPES = "read,infer,write,deploy"
ANA = ["--email", "ana@example.com"]


until = wait_for


class Site:
    """A running stack with a person in it, reached through the public API."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        words = ["--scope", SCOPES, "--name", "flows"]
        *_, self.token = stack.manage(
            ["team_create", TEAM],
            ["user_create", *ANA, "--name", "Ana", "--team", TEAM, "--role", "admin"],
            ["token_create", "--user", ANA[1], *words],
        )
        self.api = Client(stack.url, self.token)

    def dataset(self) -> dict[str, Any]:
        """A small dataset, uploaded and imported."""
        row = self.api.post("datasets", {"team": TEAM, "name": "sentences"})
        path = f"datasets/{row['id']}/versions"
        made = self.api.upload(path, {"seed": 1}, "sentences.jsonl", sentences())
        self.ended(made["job"])
        return dict(self.api.get(f"dataset-versions/{made['id']}"))

    def ended(self, job_id: int, timeout_s: float = 2 * WAIT_S) -> dict[str, Any]:
        """The job after its end, which must be a good one."""
        job = until(
            lambda: (row := self.api.get(f"jobs/{job_id}"))["state"] in OVER and row,
            f"job {job_id} ends", timeout_s,
        )  # fmt: skip
        assert job["state"] == "succeeded", job
        return dict(job)

    def lines(self, job_id: int) -> list[list[Any]]:
        """The whole log, read page by page as a client does."""
        found: list[list[Any]] = []
        while True:
            after = found[-1][0] if found else 0
            page = self.api.get(f"jobs/{job_id}/logs", after=after, limit=5000)
            if not page["lines"]:
                return found
            found += page["lines"]

    # ---- processes ----

    def pid(self, name: str) -> int:
        """Process id of a child of the launcher."""
        children = json.loads((self.stack.data_dir / "run" / "children.json").read_text())
        return int(children[name][0])

    def job_pid(self, job_id: int) -> int:
        """Process id of the newest attempt's child."""

        def running() -> int:
            attempts = self.api.get(f"jobs/{job_id}/attempts")
            return attempts[-1]["pid"] if attempts and not attempts[-1]["ended_at"] else 0

        return int(until(running, f"a child of job {job_id}"))

    def kill(self, name: str, job_id: int) -> None:
        """Kill -9 one process: `child` of the job, `launcher`, or one of the launcher's."""
        process = self.stack.process
        assert process is not None
        if name == "launcher":
            process.kill()
            process.wait()
            self.stack.start()
        else:
            os.kill(self.job_pid(job_id) if name == "child" else self.pid(name), signal.SIGKILL)

    def left_over(self) -> list[str]:
        """Command lines of processes that belong to this stack."""
        folder, found = str(self.stack.data_dir), []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                environment = (process / "environ").read_bytes().decode(errors="replace")
                place = str((process / "cwd").readlink())
            except OSError:
                continue
            named = f"SLIPWAY_DATA_DIR={folder}\0" in environment or folder in words
            if words and (named or place.startswith(folder)):
                found.append(f"{process.name} {words}")
        return found
