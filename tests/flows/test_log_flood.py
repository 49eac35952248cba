"""A flood of lines, three browsers and a slow one, web and worker killed: all see the same log.

CHAOS=full says a million lines at 20,000 a second; without it the same in small.
"""

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.running_stack import ROOT, running_stack
from tests.flows.log_viewers import Audience, Digest, Viewer, sign_in
from tests.flows.site import OVER, TEAM, Site, until

pytestmark = [pytest.mark.slow, pytest.mark.nodb]

FULL = os.environ.get("CHAOS") == "full"
#: 50 ms a step and a thousand lines: 20,000 a second.
STEPS, STEP_MS, LINES = (1000, 42, 1000) if FULL else (50, 150, 500)
WAIT_S = 900 if FULL else 180
EMAIL, PASSWORD = "eve@example.com", "a long password of hers"
SAID = re.compile(r"step (\d+) line (\d+) of")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One stack for the module; whatever happens, nothing of it is left."""
    with running_stack(environment={"SLIPWAY_MEASURE_SPEED": "0"}) as stack:
        found = Site(stack)
        yield found
        stack.stop()
        assert found.left_over() == []


@pytest.fixture(scope="module")
def cookie(site) -> str:
    words = ["user_create", "--email", EMAIL, "--name", "Eve", "--team", TEAM, "--password-stdin"]
    subprocess.run(
        [sys.executable, "manage.py", *words], cwd=ROOT, env=site.stack.environment(),
        input=PASSWORD + "\n", text=True, check=True, capture_output=True,
    )  # fmt: skip
    return sign_in(site.stack.url, EMAIL, PASSWORD)


def flood(site: Site) -> int:
    params = {
        "steps": STEPS, "step_ms": STEP_MS, "lines_per_step": LINES,
        "checkpoint_every": STEPS // 10,
    }  # fmt: skip
    return int(site.api.post("jobs", {"team": TEAM, "kind": "self_test", "params": params})["id"])


def stored(site: Site, job_id: int) -> tuple[Digest, dict[int, list[int]]]:
    """The log by number, and what each attempt said, as running numbers of its lines."""
    whole, said = Digest(), defaultdict(list)
    while True:
        lines: list[list[Any]] = site.api.get(
            f"jobs/{job_id}/logs", after=whole.last, limit=5000
        )["lines"]  # fmt: skip
        if not lines:
            return whole, said
        whole.take(lines)
        for _, _, epoch, stream, _, text in lines:
            found = SAID.match(text)
            if stream == "job" and found:
                said[epoch].append((int(found[1]) - 1) * LINES + int(found[2]))


def test_everybody_sees_the_same_lines_whatever_is_killed(site, cookie, capsys):
    job_id = flood(site)
    viewers = [Viewer(site.stack.url, cookie, job_id) for _ in range(3)]
    viewers.append(Viewer(site.stack.url, cookie, job_id, pause_s=0.05))
    with Audience(viewers) as audience:

        def reached(share: float) -> None:
            wanted = int(share * STEPS * LINES)
            until(lambda: audience.furthest() > wanted, f"line {wanted}", WAIT_S)

        reached(0.15)
        site.kill("web", job_id)
        reached(0.4)
        site.kill("worker", job_id)
        reached(0.6)
        site.kill("web", job_id)
        job = until(
            lambda: (row := site.api.get(f"jobs/{job_id}"))["state"] in OVER and row,
            "the job ends", WAIT_S,
        )  # fmt: skip
        assert job["state"] == "succeeded", job

        def all_closed() -> bool:
            audience.check()
            return all(viewer.closed for viewer in viewers)

        until(all_closed, "everybody has seen the end", WAIT_S)

    whole, said = stored(site, job_id)
    assert whole.last == job["log_seq"]
    assert [repr(viewer.seen) for viewer in viewers] == [repr(whole)] * len(viewers)
    assert all(viewer.connections >= 3 for viewer in viewers)
    attempts = site.api.get(f"jobs/{job_id}/attempts")
    assert len(attempts) >= 2
    for epoch, numbers in said.items():
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), f"attempt {epoch}"
    assert said[len(attempts)][-1] == STEPS * LINES
    with capsys.disabled():
        print(
            f"\nlog flood: {whole} each once for {len(viewers)} viewers, one of them slow, over "
            f"{sum(viewer.connections for viewer in viewers)} connections, {len(attempts)} attempts"
        )
